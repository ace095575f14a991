//! What Cilium does with the objects.

use std::collections::BTreeMap;

use policy::cilium::compile::{Options as Compile, State};
use policy::cilium::evaluate::evaluate;
use policy::cilium::question::{Layer, Path, Question};
use policy::cilium::settings::Enforcement;
use policy::cilium::trace::trace;
use policy::packet::{Cube, IpSet, Region};
use policy::snapshot::{Key, Manifest, Snapshot};

use super::check::{Checker, Difference, Ways};
use super::defect::{Defect, Disagreement, Obstacle};
use super::facts::{Member, loopback};
use super::{Cluster, Scope, own, put};
use crate::matrix::{Action, Direction, Row};
use crate::render::Rendered;
use crate::render::cilium::Options;

/// Proves a rendering; the number of states that were looked at.
pub(super) fn prove(
    cluster: &Cluster<'_>,
    checker: &mut Checker<'_>,
    options: &Options,
    rendered: &Rendered,
    scope: Scope,
) -> Result<usize, Obstacle> {
    let proof = Proof { cluster, options, stated: stated(options) };
    let objects: Vec<Manifest> = rendered.objects.iter().map(put::manifest).collect();
    let classes = cluster.classes();
    let length = objects.len();
    // With `always` both directions are denied before the first object exists, which a finding says.
    let always = options.config.enable_policy == Some(Enforcement::Always);
    let first = if always || scope == Scope::Whole { length } else { 0 };
    let mut states = 0;
    for applied in (first..=length).rev() {
        // A group that no policy refers to yet changes nothing.
        let is_group = applied > 0 && objects[applied - 1].key.kind == "CiliumCIDRGroup";
        if is_group && applied < length {
            continue;
        }
        let snapshot = put::into(&cluster.snapshot, &objects[..applied]);
        let state = proof.compile(&snapshot, &objects)?;
        let (ways, title) = if applied == length {
            (Ways::Both, "with everything applied".to_owned())
        } else {
            (Ways::NothingMissing, format!("with {applied} of {length} objects applied"))
        };
        for node in &classes {
            for direction in [Direction::Ingress, Direction::Egress] {
                proof.ask(checker, &state, node, direction, ways, &title)?;
            }
        }
        states += 1;
    }
    Ok(states)
}

struct Proof<'p> {
    cluster: &'p Cluster<'p>,
    options: &'p Options,
    stated: BTreeMap<String, String>,
}

/// The agent's configuration as stated, with enforcement on: what the objects do is asked, and findings say where the agent
/// does not ask them.
fn stated(options: &Options) -> BTreeMap<String, String> {
    let mut stated = options.config.stated();
    let mut set = |key: &str, value: &str| stated.insert(key.to_owned(), value.to_owned());
    set("enable-host-firewall", "true");
    set("enable-cilium-clusterwide-network-policy", "true");
    set("policy-audit-mode", "false");
    if options.config.enable_policy == Some(Enforcement::Never) {
        set("enable-policy", "default");
    }
    stated
}

impl Proof<'_> {
    fn compile(&self, snapshot: &Snapshot, objects: &[Manifest]) -> Result<State, Obstacle> {
        let version = Some(self.options.version);
        let state = State::compile(snapshot, Compile { version, stated: &self.stated, ..Compile::default() });
        let ours = |key: &Key| objects.iter().any(|object| object.key == *key);
        if let Some(refusal) = state.refused.iter().find(|refusal| ours(&refusal.key)) {
            let what = format!("{}: {}: {}", refusal.key, refusal.path, refusal.reason);
            return Err(Obstacle::Defect(Defect::Object { what }));
        }
        if state.unknown.is_empty() && state.setting_errors.is_empty() {
            return Ok(state);
        }
        let errors = state.setting_errors.iter().map(ToString::to_string);
        let unknown =
            state.unknown.iter().map(|unknown| format!("{}: {}: {}", unknown.object, unknown.path, unknown.what));
        Err(Obstacle::Unknown(errors.chain(unknown).collect()))
    }

    fn ask(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        node: &Member,
        direction: Direction,
        ways: Ways,
        applied: &str,
    ) -> Result<(), Obstacle> {
        let question = question(node, direction);
        let admitted = evaluate(state, &question)?;
        let bounds = checker.bounds(node, direction, None);
        let domain = self.domain(checker, node, direction);
        let own = own::cilium(&mut checker.space, &state.settings);
        match checker.compare(bounds, domain, own, &admitted.packets, ways)? {
            None => Ok(()),
            Some(difference) => Err(self.defect(checker, state, (node, direction, applied), &difference)),
        }
    }

    /// Packets between the node and others, in families that are in use. What stays on the node, or is not for it, is never
    /// judged.
    fn domain(&self, checker: &mut Checker<'_>, node: &Member, direction: Direction) -> Region {
        let used = |address: &&std::net::IpAddr| {
            let config = &self.options.config;
            let stated = if address.is_ipv4() { config.enable_ipv4 } else { config.enable_ipv6 };
            stated != Some(false)
        };
        let own: IpSet = node.addresses.iter().filter(used).copied().collect();
        let every: IpSet = node.addresses.iter().chain(&node.external).copied().collect();
        let others = every.union(&loopback()).union(&self.cluster.strays).complement();
        let cube = match direction {
            Direction::Ingress => Cube { source: others, destination: own, ..Cube::any() },
            Direction::Egress => Cube { source: own, destination: others, ..Cube::any() },
        };
        checker.space.cube(&cube, 1)
    }

    fn defect(
        &self,
        checker: &Checker<'_>,
        state: &State,
        (node, direction, applied): (&Member, Direction, &str),
        difference: &Difference,
    ) -> Obstacle {
        let Some(packet) = checker.sample(difference, node) else {
            return Obstacle::Unknown(vec!["a difference without a packet".to_owned()]);
        };
        let traced = trace(state, &question(node, direction), &packet);
        let step = traced.steps.last().map(ToString::to_string).unwrap_or_default();
        let rows = checker.rows(&node.roles, direction, None);
        let action = if difference.missing { Action::Allow } else { Action::Deny };
        let row = checker.intent.row_of(&rows, action, &packet).map(Row::title);
        Obstacle::Defect(Defect::Packet(Box::new(Disagreement {
            packet,
            node: node.name.clone(),
            roles: node.roles.iter().map(|role| checker.intent.matrix.roles[*role].name.clone()).collect(),
            direction,
            place: "through a policed interface".to_owned(),
            wanted: difference.missing,
            row,
            cni: "Cilium",
            step,
            applied: applied.to_owned(),
        })))
    }
}

fn question(node: &Member, direction: Direction) -> Question<'_> {
    let direction = match direction {
        Direction::Ingress => policy::packet::Direction::Ingress,
        Direction::Egress => policy::packet::Direction::Egress,
    };
    Question { node: &node.name, direction, layer: Layer::Host, path: Path::Device(None) }
}
