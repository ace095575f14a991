//! Which rule or default drops a packet, and when that is noticed.

use std::sync::Arc;

use serde::Serialize;

use super::Cni;
use super::answers::Lost;
use super::world::{Traced, Way, World, trace};
use crate::calico::question::Path;
use crate::calico::state::{Class, Policy, Side};
use crate::calico::trace::{Hook, Outcome, Stage, Step, Trace};
use crate::cilium::trace as cilium;
use crate::packet::Packet;
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Key, Snapshot, Source};

/// What drops a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deciding {
    /// Whose policy.
    pub cni: Cni,
    /// The node on which it does.
    pub node: String,
    /// The object; absent where a setting decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Key>,
    /// Where in it, such as `spec.ingress[0]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Index of the rule in its list; absent where a default decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Where the object was read.
    #[serde(skip)]
    pub source: Option<Arc<Source>>,
    /// What happens, in a sentence without its full stop.
    pub reason: String,
}

/// What drops a packet on a way. Objects in `changed` are named rather than others where several
/// bring a default about.
pub(in crate::lifeline) fn deciding(world: &World, way: &Way, packet: &Packet, changed: &[&Key]) -> Deciding {
    let traces = trace(world, way, packet);
    // The set said that one does; property tests hold both engines to that.
    let dropped = traces.iter().find(|trace| !trace.passes()).or_else(|| traces.first());
    let mut deciding = match dropped {
        Some(Traced::Calico(trace)) => calico_deciding(world, way, trace, changed),
        Some(Traced::Cilium(trace)) => cilium_deciding(world, way, trace),
        Some(Traced::Lost(lost)) => of_lost(world, way, lost, changed),
        None => Deciding::nothing(Cni::Calico, way),
    };
    let manifest = deciding.object.as_ref().and_then(|key| world.snapshot.objects.get(key));
    deciding.source = manifest.and_then(|manifest| manifest.source.clone());
    deciding
}

impl Deciding {
    fn nothing(cni: Cni, way: &Way) -> Self {
        let (node, reason) = (way.node.to_string(), "it is dropped".to_owned());
        Self { cni, node, object: None, path: String::new(), rule: None, source: None, reason }
    }
}

/// What drops a packet that follows one which passes.
fn of_lost(world: &World, way: &Way, lost: &Lost, changed: &[&Key]) -> Deciding {
    let deciding = calico_deciding(world, way, &lost.trace, changed);
    let reason = format!("what follows it is dropped, {}: {}", lost.packet, deciding.reason);
    match &lost.untracked {
        Some(Step { object: Some(object), rule: Some(rule), hook, .. }) => {
            let list = if *hook == Hook::RawOutput { "egress" } else { "ingress" };
            let reason = format!("rule {rule} lets one way by untracked, in {hook}, and not the other; {reason}");
            let (object, path, rule) = (Some(object.clone()), format!("spec.{list}[{rule}]"), Some(*rule));
            Deciding { object, path, rule, reason, ..deciding }
        }
        _ => Deciding { reason, ..deciding },
    }
}

fn calico_deciding(world: &World, way: &Way, trace: &Trace, changed: &[&Key]) -> Deciding {
    let nothing = Deciding::nothing(Cni::Calico, way);
    let Some(step) = trace.decision() else {
        return nothing;
    };
    let plain = |object, path, rule, reason| Deciding { object, path, rule, reason, ..nothing };
    let side = side(trace, step);
    let list = if side == Side::Ingress { "ingress" } else { "egress" };
    let endpoint = trace.steps.iter().rev().find(|step| step.stage == Stage::Endpoint && step.object.is_some());
    let endpoint = endpoint.and_then(|step| step.object.clone());
    let here = format!("in {}", step.hook);
    match (&step.stage, step.rule) {
        (Stage::Tier(tier), Some(rule)) => {
            let path = format!("spec.{list}[{rule}]");
            plain(step.object.clone(), path, Some(rule), format!("rule {rule} denies it, tier {tier}, {here}"))
        }
        (Stage::Profile(name), Some(rule)) => {
            let path = format!("spec.{list}[{rule}]");
            plain(step.object.clone(), path, Some(rule), format!("rule {rule} of profile {name} denies it, {here}"))
        }
        (Stage::EndOfTier(tier), _) => {
            let policies = responsible(world, endpoint.as_ref(), tier, side, step.hook == Hook::Forward);
            let first = policies.iter().find(|policy| changed.contains(&&policy.key)).or_else(|| policies.first());
            let object = first.map(|policy| policy.key.clone());
            let path = object.as_ref().map(|_| format!("spec.{list}")).unwrap_or_default();
            let reason =
                format!("no rule of tier {tier} allows it, and what its policies apply to it drops at its end, {here}");
            plain(object, path, None, reason)
        }
        (Stage::Profile(name), None) => {
            let reason = format!("no policy decides, and profile {name} does not exist, {here}");
            plain(endpoint, "spec.profiles".to_owned(), None, reason)
        }
        (Stage::End, _) => {
            let reason = format!("no policy decides, and no profile of the host endpoint allows it, {here}");
            plain(endpoint, "spec.profiles".to_owned(), None, reason)
        }
        (stage, rule) => plain(step.object.clone(), String::new(), rule, format!("{stage}: {}, {here}", step.reason)),
    }
}

/// Policies that make a tier drop what it does not allow.
fn responsible<'w>(world: &'w World, endpoint: Option<&Key>, tier: &str, side: Side, forward: bool) -> Vec<&'w Policy> {
    let state = world.calico.state();
    let endpoint = state.endpoints.iter().find(|one| Some(&one.key) == endpoint);
    let policies = state.tiers.iter().filter(|one| one.name == tier).flat_map(|tier| &tier.policies).map(AsRef::as_ref);
    let local = |class| matches!(class, Class::Normal | Class::Forward);
    let applies = |policy: &&Policy| {
        !policy.staged
            && policy.rules(side).is_some()
            && if forward { policy.class == Class::Forward } else { local(policy.class) }
            && endpoint.is_some_and(|endpoint| policy.selector.matches(&endpoint.labels))
    };
    policies.filter(applies).collect()
}

/// The list of rules that a step is about.
fn side(trace: &Trace, step: &Step) -> Side {
    match step.hook {
        Hook::RawOutput | Hook::Output | Hook::ManglePostrouting | Hook::TcEgress => Side::Egress,
        Hook::RawPrerouting | Hook::ManglePrerouting | Hook::Input | Hook::Xdp | Hook::TcIngress => Side::Ingress,
        // Where the packet enters is asked first, unless something accepted it before.
        Hook::Forward => {
            let asked = trace.steps.iter().filter(|step| step.hook == Hook::Forward && step.stage == Stage::Endpoint);
            let accepted = trace.steps.iter().any(|step| step.hook != Hook::Forward && step.outcome == Outcome::Accept);
            if asked.count() > 1 || accepted { Side::Egress } else { Side::Ingress }
        }
    }
}

fn cilium_deciding(world: &World, way: &Way, trace: &cilium::Trace) -> Deciding {
    let (object, path, rule, reason) = match trace.steps.last() {
        Some(cilium::Step::Element { object, path, .. }) => {
            let rule =
                path.strip_suffix(']').and_then(|path| path.rsplit_once('[')).and_then(|(_, text)| text.parse().ok());
            (find(&world.snapshot, object), path.clone(), rule, "this element denies it".to_owned())
        }
        Some(cilium::Step::DefaultDeny { object, path, .. }) => {
            let reason = "nothing allows it, and this rule turns on default deny".to_owned();
            (find(&world.snapshot, object), path.clone(), None, reason)
        }
        Some(step) => (None, String::new(), None, step.to_string()),
        None => return Deciding::nothing(Cni::Cilium, way),
    };
    Deciding { object, path, rule, reason, ..Deciding::nothing(Cni::Cilium, way) }
}

/// The object that a trace names.
fn find(snapshot: &Snapshot, text: &str) -> Option<Key> {
    let own = |key: &&Key| key.group == CILIUM && key.to_string() == text;
    snapshot.objects.keys().find(own).cloned()
}

/// When somebody notices.
pub(in crate::lifeline) fn noticed(world: &World, way: &Way, deciding: &Deciding, packet: &Packet) -> &'static str {
    let settings = world.calico.state().settings(&way.node);
    let vxlan = packet.destination_port() == Some(settings.vxlan_port.value)
        && packet.protocol() == crate::packet::protocol::UDP;
    match (deciding.cni, &way.calico) {
        (Cni::Cilium, _) => {
            "at once, for open connections too: Cilium asks policy about every packet of the first direction"
        }
        (Cni::Calico, Path::Ingress(_) | Path::Egress(_)) if vxlan && settings.vxlan.value => {
            "at once: VXLAN is not tracked, and each packet is judged"
        }
        (Cni::Calico, _) if deciding.reason.contains("raw ") => "at once: what is not tracked has no open connections",
        (Cni::Calico, _) => {
            "when a connection is next opened: Calico lets the packets of open ones by, so it seems to work for a while"
        }
    }
}
