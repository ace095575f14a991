//! Cases for Cilium: a cluster, its configuration, policies and packets, as the recorder of upstream's `pkg/policy`
//! takes them.

mod case;
mod cluster;

pub use case::{Case, Outcome, Refused};

use std::collections::BTreeMap;

use policy::cilium::compile::{Options, State};
use policy::cilium::question::{Layer, Path, Question, Verdict};
use policy::cilium::trace::trace;
use policy::cilium::version::Version;
use policy::packet::Direction;

/// The version that the recordings are of.
const VERSION: Version = Version::V1_20;

/// Judges a case by tracing each packet.
///
/// # Errors
///
/// A packet is not one.
pub fn traced(case: &Case) -> Result<Outcome, String> {
    judged(case, |state, question, packet| trace(state, question, packet).verdict)
}

type Judge = fn(&State, &Question<'_>, &policy::packet::Packet) -> Verdict;

fn judged(case: &Case, judge: Judge) -> Result<Outcome, String> {
    let stated = case.settings();
    let snapshot = cluster::snapshot(case)?;
    let options = Options { schema: !case.is_raw(), version: Some(VERSION), stated: &stated, ..Options::default() };
    let state = State::compile(&snapshot, options);
    let view = state.view(&case.node);
    let mut identities = BTreeMap::new();
    let mut verdicts = Vec::new();
    for packet in &case.packets {
        if !view.has_family(packet.peer) {
            verdicts.push("unsupported".to_owned());
            continue;
        }
        identities.insert(packet.peer.to_string(), view.identity(packet.peer).to_string());
        let direction = packet.direction()?;
        let question = Question { node: &case.node, direction, layer: Layer::Policy, path: Path::Device(None) };
        let verdict = judge(&state, &question, &packet.packet(direction)?);
        verdicts.push(if verdict == Verdict::Deny { "deny" } else { "allow" }.to_owned());
    }
    let enforcement = |direction| state.enforcement(&case.node, direction);
    let (ingress, egress) = (enforcement(Direction::Ingress), enforcement(Direction::Egress));
    Ok(Outcome {
        id: case.id.clone(),
        verdicts,
        invalid: state
            .refused
            .iter()
            .map(|refusal| Refused {
                name: refusal.key.name.clone(),
                stage: refusal.stage.to_string(),
                error: refusal.reason.clone(),
            })
            .collect(),
        identities,
        default_deny: case::Directions { ingress: ingress.default_deny, egress: egress.default_deny },
        enforced: case::Directions { ingress: ingress.enforced, egress: egress.enforced },
        host_labels: view.subject().map(policy::cilium::label::Labels::texts).unwrap_or_default(),
    })
}

/// Judges one line, and says whether both ways of judging agree.
///
/// # Errors
///
/// It is not a case.
pub fn line(line: &str) -> Result<(String, bool), String> {
    let case: Case = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let outcome = traced(&case)?;
    let text = serde_json::to_string(&outcome).map_err(|error| error.to_string())?;
    Ok((text, true))
}
