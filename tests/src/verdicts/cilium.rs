//! Cases for Cilium: a cluster, its configuration, policies and packets, as the recorder of upstream's `pkg/policy`
//! takes them.

mod case;
mod cluster;
mod fact;

pub use case::{Case, Outcome, Refused};
pub use fact::{Fact, facts};

use std::collections::BTreeMap;

use policy::cilium::compile::{Options, State};
use policy::cilium::evaluate::{Admitted, evaluate};
use policy::cilium::label::CIDR_GROUP;
use policy::cilium::question::{Layer, Path, Question, Verdict};
use policy::cilium::trace::{Trace, trace};
use policy::cilium::version::Version;
use policy::packet::{Direction, Packet};

use super::LineError;

/// The version that the recordings are of.
const VERSION: Version = Version::V1_20;
/// The verdict where the peer's family is off.
const UNSUPPORTED: &str = "unsupported";

/// Judges one line.
///
/// # Errors
///
/// It is not a case, or `evaluate` and `trace` differ.
pub fn line(line: &str) -> Result<String, LineError> {
    let case: Case = serde_json::from_str(line).map_err(|error| LineError::Case(error.to_string()))?;
    let judged = judge(&case).map_err(LineError::Case)?;
    let evaluated = &judged.evaluated;
    let verdicts = evaluated.verdicts.iter().zip(judged.traced());
    if let Some((index, (evaluate, trace))) =
        verdicts.enumerate().find(|(_, (evaluate, trace))| evaluate.as_str() != *trace)
    {
        return Err(LineError::Differ(format!("{}: packet {index}: {evaluate} and {trace}", case.id)));
    }
    serde_json::to_string(evaluated).map_err(|error| LineError::Case(error.to_string()))
}

/// A case, judged in both ways.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What `evaluate` says, with what compiling found.
    pub evaluated: Outcome,
    /// What `trace` says about each packet; nothing where the peer's family is off.
    pub traces: Vec<Option<Trace>>,
}

impl Judged {
    /// The verdicts of `trace`, as an outcome has them.
    pub fn traced(&self) -> impl Iterator<Item = &'static str> {
        self.traces.iter().map(|trace| trace.as_ref().map_or(UNSUPPORTED, |trace| word(trace.verdict != Verdict::Deny)))
    }
}

/// Judges a case by policy alone, as the recordings do.
///
/// # Errors
///
/// A packet is not one, or the policies are too large.
pub fn judge(case: &Case) -> Result<Judged, String> {
    let stated = case.settings();
    let snapshot = cluster::snapshot(case, &case.policies)?;
    let previous = cluster::snapshot(case, &case.previous)?;
    let options =
        Options { schema: !case.is_raw(), version: Some(VERSION), stated: &stated, previous: Some(&previous) };
    let state = State::compile(&snapshot, options);
    let view = state.view(&case.node);
    let ask = |direction| Question { node: &case.node, direction, layer: Layer::Policy, path: Path::Device(None) };
    let admitted = |direction| evaluate(&state, &ask(direction)).map_err(|error| error.to_string());
    let (to_host, from_host) = (admitted(Direction::Ingress)?, admitted(Direction::Egress)?);
    let mut identities = BTreeMap::new();
    let (mut evaluated, mut traces) = (Vec::new(), Vec::new());
    for packet in &case.packets {
        if !view.has_family(packet.peer) {
            evaluated.push(UNSUPPORTED.to_owned());
            traces.push(None);
            continue;
        }
        identities.insert(packet.peer.to_string(), identity(&view.identity(packet.peer)));
        let direction = packet.direction()?;
        let admitted: &Admitted = if direction == Direction::Ingress { &to_host } else { &from_host };
        let packet: Packet = packet.packet(direction)?;
        evaluated.push(word(admitted.packets.contains(&packet)).to_owned());
        traces.push(Some(trace(&state, &ask(direction), &packet)));
    }
    let (ingress, egress) =
        (state.enforcement(&case.node, Direction::Ingress), state.enforcement(&case.node, Direction::Egress));
    let refused = state.refused.iter().map(|refusal| Refused {
        name: refusal.key.name.clone(),
        stage: refusal.stage.to_string(),
        error: refusal.reason.clone(),
    });
    let evaluated = Outcome {
        id: case.id.clone(),
        verdicts: evaluated,
        invalid: refused.collect(),
        identities,
        default_deny: case::Directions { ingress: ingress.default_deny, egress: egress.default_deny },
        enforced: case::Directions { ingress: ingress.enforced, egress: egress.enforced },
        host_labels: view.subject().map(policy::cilium::label::Labels::texts).unwrap_or_default(),
    };
    Ok(Judged { evaluated, traces })
}

fn word(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

/// An identity as the recorder prints it: labels of CIDR groups without their values, which the agent looks for in keys.
fn identity(identity: &policy::cilium::identity::Identity) -> String {
    let mut labels: Vec<String> = identity
        .labels
        .iter()
        .map(|label| match label.source.as_str() {
            CIDR_GROUP => format!("{CIDR_GROUP}:{}", label.key),
            _ => label.to_string(),
        })
        .collect();
    labels.sort();
    format!("{} [{}]", identity.number, labels.join(" "))
}
