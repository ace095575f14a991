//! What stands in the way of a proof, and what stops an agent.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::Cni;
use super::answers;
use super::change::Change;
use super::world::{Assumptions, World};
use crate::calico::settings::Dataplane;
use crate::calico::state as calico;
use crate::cilium::compile as cilium;
use crate::cilium::settings::Origin;
use crate::lifeline::detect::Missing;
use crate::lifeline::model::Severity;
use crate::snapshot::sources::{CILIUM, STORED};

/// Why nothing can be proved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// What kind.
    pub kind: DoubtKind,
    /// The object or setting concerned.
    pub object: String,
    /// Where in it.
    pub path: String,
    /// What about it, a sentence without its full stop.
    pub reason: String,
}

/// Kinds of [`Doubt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoubtKind {
    /// A field, enum or setting whose meaning, or whole effect, is not known.
    Unknown,
    /// An object that upstream refuses.
    Refused,
    /// A fact that the snapshot lacks, and on which the verdict depends.
    Missing,
    /// The policies are too large for the work that a judgement may take.
    Exhausted,
}

/// Content that stops an agent, or keeps it from reading anything new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Whose agent.
    pub cni: Cni,
    /// The object, or the setting.
    pub object: String,
    /// Where in it.
    pub path: String,
    /// What happens.
    pub effect: String,
}

impl From<&cilium::Unknown> for Doubt {
    fn from(unknown: &cilium::Unknown) -> Self {
        Self {
            kind: DoubtKind::Unknown,
            object: unknown.object.clone(),
            path: unknown.path.clone(),
            reason: unknown.what.clone(),
        }
    }
}

impl fmt::Display for DoubtKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Exhausted => "exhausted",
        })
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(formatter, &self.object, &self.path)?;
        formatter.write_str(&self.reason)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(formatter, &self.object, &self.path)?;
        formatter.write_str(&self.effect)
    }
}

fn place(formatter: &mut fmt::Formatter<'_>, object: &str, path: &str) -> fmt::Result {
    for part in [object, path].into_iter().filter(|part| !part.is_empty()) {
        write!(formatter, "{part}: ")?;
    }
    Ok(())
}

/// What stops agents in a state.
pub(super) fn stops(world: &World) -> BTreeSet<Stop> {
    let mut stops = BTreeSet::new();
    let state = world.calico.state();
    let mut add = |cni, object: String, path: &str, effect: String| {
        stops.insert(Stop { cni, object, path: path.to_owned(), effect });
    };
    let all = || std::iter::once(&state.settings).chain(state.node_settings.values());
    for reason in all().flat_map(|settings| &settings.fatal) {
        add(Cni::Calico, String::new(), "", format!("{reason}; Felix does not start with it, or never gets in sync"));
    }
    let has = |dataplane| all().any(|settings| settings.dataplane.value == dataplane);
    let stopping = |danger: &&calico::Danger| match danger.hazard {
        calico::Hazard::Stops => true,
        calico::Hazard::StopsNftables => has(Dataplane::Nftables),
        calico::Hazard::StopsIptables => has(Dataplane::Iptables),
        calico::Hazard::Misleads => false,
    };
    for danger in state.dangers.iter().filter(stopping) {
        add(Cni::Calico, danger.key.to_string(), &danger.path, danger.effect.clone());
    }
    let raw = |refusal: &&calico::Refusal| refusal.key.group == STORED && refusal.stage == calico::Stage::Decode;
    for refusal in state.refused.iter().filter(raw) {
        let effect = format!(
            "{}; Felix can no longer read any object of this kind, and after a restart enforces none",
            refusal.reason
        );
        add(Cni::Calico, refusal.key.to_string(), &refusal.path, effect);
    }
    let state = world.cilium.state();
    for refusal in state.refused.iter().filter(|refusal| refusal.stage == cilium::Stage::Decode) {
        let effect = format!("{}; agents can no longer read any object of this kind", refusal.reason);
        add(Cni::Cilium, refusal.key.to_string(), &refusal.path, effect);
    }
    for error in &state.setting_errors {
        let effect = format!("`{}` is not {}; agents do not start with it", error.value, error.expected);
        add(Cni::Cilium, error.origin.to_string(), error.key, effect);
    }
    stops
}

/// What stands in the way of a proof about the state after a change. Objects that were refused before it are known to be
/// without effect, and stay so.
pub(super) fn doubts(
    before: Option<&World>,
    after: &World,
    changes: &[Change],
    assumptions: &Assumptions,
) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let touches = |group: &str| changes.is_empty() || changes.iter().any(|change| reads(&change.key().group, group));
    if touches("projectcalico.org") {
        doubts.extend(calico_doubts(before, after));
    }
    if touches(CILIUM) {
        doubts.extend(cilium_doubts(before, after, assumptions));
    }
    doubts.sort();
    doubts.dedup();
    doubts
}

/// Whether the CNI whose own group is given reads objects of a group.
fn reads(group: &str, own: &str) -> bool {
    let calico = group.ends_with("projectcalico.org");
    let cilium = group == CILIUM;
    if own == CILIUM { !calico } else { !cilium }
}

fn calico_doubts(before: Option<&World>, after: &World) -> Vec<Doubt> {
    let state = after.calico.state();
    // Without a host endpoint nothing is enforced on a host, whatever else the policies say.
    let idle = |world: &World| world.calico.state().endpoints.is_empty();
    let quiet = idle(after) && before.is_none_or(idle);
    let unknown = state.unknown.iter().filter(|unknown| !quiet && matters(unknown, before, after));
    let mut doubts: Vec<Doubt> = unknown
        .map(|unknown| Doubt {
            kind: DoubtKind::Unknown,
            object: unknown.key.as_ref().map(ToString::to_string).unwrap_or_default(),
            path: unknown.path.clone(),
            reason: unknown.reason.clone(),
        })
        .collect();
    let known =
        |refusal: &&calico::Refusal| before.is_some_and(|before| before.calico.state().refused.contains(refusal));
    doubts.extend(state.refused.iter().filter(|refusal| !known(refusal)).map(|refusal| Doubt {
        kind: DoubtKind::Refused,
        object: refusal.key.to_string(),
        path: refusal.path.clone(),
        reason: match refusal.stage {
            calico::Stage::Decode | calico::Stage::Api => format!("the API refuses it: {}", refusal.reason),
            calico::Stage::Felix => format!("it is stored, and Felix acts as if it were absent: {}", refusal.reason),
        },
    }));
    if !answers::are_unknown(after) {
        return doubts;
    }
    let follows = |policy: &calico::Policy| before.is_some_and(|before| untracked(before).any(|one| one == policy));
    doubts.extend(untracked(after).filter(|policy| !follows(policy)).map(|policy| {
        Doubt {
            kind: DoubtKind::Unknown,
            object: policy.key.to_string(),
            path: "spec.doNotTrack".to_owned(),
            reason:
                "what it allows belongs to no connection, and neither on eBPF nor on the loopback interface is followed what \
                 becomes of answers then"
                    .to_owned(),
        }
    }));
    doubts
}

/// Policies that let packets by before connection tracking.
fn untracked(world: &World) -> impl Iterator<Item = &calico::Policy> {
    let state = world.calico.state();
    let lets_by = |side| {
        move |policy: &&Arc<calico::Policy>| -> bool {
            policy.rules(side).is_some_and(|rules| rules.iter().any(|rule| rule.action == calico::Action::Allow))
        }
    };
    let on_hosts = |policy: &&Arc<calico::Policy>| {
        // Of `*` nothing is asked before connection tracking.
        let mut own = state.endpoints.iter().filter(|endpoint| endpoint.interfaces != calico::Interfaces::All);
        own.any(|endpoint| policy.selector.matches(&endpoint.labels))
    };
    let all = state.tiers.iter().flat_map(|tier| &tier.policies);
    all.filter(|policy| policy.class == calico::Class::Untracked && !policy.staged)
        .filter(move |policy| lets_by(calico::Side::Ingress)(policy) || lets_by(calico::Side::Egress)(policy))
        .filter(move |policy| on_hosts(policy))
        .map(Arc::as_ref)
}

/// Whether what is not understood can be about a host: of a policy that selects no host endpoint before or after, rules
/// do not matter.
fn matters(unknown: &calico::Unknown, before: Option<&World>, after: &World) -> bool {
    let Some(key) = &unknown.key else { return true };
    let in_rules = ["spec.ingress", "spec.egress"].iter().any(|list| unknown.path.starts_with(list));
    let selects = |world: &World| {
        let mut policies =
            world.calico.state().tiers.iter().flat_map(|tier| &tier.policies).filter(|policy| policy.key == *key);
        policies.any(|policy| {
            world.calico.state().endpoints.iter().any(|endpoint| policy.selector.matches(&endpoint.labels))
        })
    };
    let compiled = after.calico.state().tiers.iter().flat_map(|tier| &tier.policies).any(|policy| policy.key == *key);
    !(in_rules && compiled) || selects(after) || before.is_some_and(selects)
}

fn cilium_doubts(before: Option<&World>, after: &World, assumptions: &Assumptions) -> Vec<Doubt> {
    let state = after.cilium.state();
    let quiet = |world: &World| world.cilium.state().rules.is_empty() && world.cilium.state().refused.is_empty();
    let mut doubts = Vec::new();
    let policies = !quiet(after) || before.is_some_and(|before| !quiet(before));
    if policies && is_unread(after, assumptions) {
        doubts.push(Doubt {
            kind: DoubtKind::Missing,
            object: "ConfigMap/kube-system/cilium-config".to_owned(),
            path: "data.enable-host-firewall".to_owned(),
            reason:
                "the snapshot does not hold Cilium's configuration, so nothing tells whether host policies are enforced"
                    .to_owned(),
        });
    }
    if state.settings.host_firewall.value {
        doubts.extend(state.unknown.iter().filter(|unknown| !unknown.is_open).map(Doubt::from));
    }
    let known =
        |refusal: &&cilium::Refusal| before.is_some_and(|before| before.cilium.state().refused.contains(refusal));
    doubts.extend(state.refused.iter().filter(|refusal| !known(refusal)).map(|refusal| Doubt {
        kind: DoubtKind::Refused,
        object: refusal.key.to_string(),
        path: refusal.path.clone(),
        reason: refusal.to_string(),
    }));
    doubts
}

/// What rules of Cilium leave open about their peers, before a change or after it.
pub(super) fn open(before: &World, after: &World) -> Vec<Doubt> {
    let left = [before, after].into_iter().flat_map(|world| world.cilium.state().left_open());
    let all: BTreeSet<Doubt> = left.map(Doubt::from).collect();
    all.into_iter().collect()
}

/// Whether nothing tells what Cilium's agents are configured to do.
pub(super) fn is_unread(world: &World, assumptions: &Assumptions) -> bool {
    assumptions.cilium_settings.is_empty()
        && world.cilium.state().settings.host_firewall.origin == Origin::Default
        && !world.snapshot.cluster.config_maps.iter().any(|map| map.name == "cilium-config")
}

/// Lifelines that the cluster certainly has, and whose ends nothing tells.
pub(super) fn missing(missing: &[Missing]) -> impl Iterator<Item = Doubt> {
    missing.iter().filter(|missing| missing.severity == Severity::Blocker).map(|missing| Doubt {
        kind: DoubtKind::Missing,
        object: format!("lifeline {}", missing.id),
        path: String::new(),
        reason: format!(
            "{}; state it as parameter {} of a LifelineConfig",
            missing.what.trim_end_matches('.'),
            missing.parameter
        ),
    })
}

/// What work without end leaves unproved.
pub(super) fn exhausted() -> Doubt {
    Doubt {
        kind: DoubtKind::Exhausted,
        object: String::new(),
        path: String::new(),
        reason: crate::packet::Exhausted.to_string(),
    }
}

/// Values that were taken because the snapshot tells none, for the report.
pub(super) fn assumed(world: &World) -> Vec<String> {
    use crate::calico::settings::Provenance;
    let mut assumed = Vec::new();
    let state = world.calico.state();
    if !state.endpoints.is_empty() {
        if state.version.from == Provenance::Default {
            assumed.push(format!("Calico {}: nothing in the snapshot tells its version", state.version.value));
        }
        if state.settings.dataplane.from == Provenance::Default {
            let name = format!("{:?}", state.settings.dataplane.value).to_lowercase();
            assumed.push(format!("dataplane {name}: nothing in the snapshot tells it"));
        }
    }
    if !world.cilium.state().rules.is_empty() && world.cilium.state().settings.version.origin == Origin::Default {
        assumed.push(format!(
            "Cilium {}: nothing in the snapshot tells its version",
            world.cilium.state().settings.version.value
        ));
    }
    assumed
}
