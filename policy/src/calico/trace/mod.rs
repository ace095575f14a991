//! One packet, step by step, the way the kernel takes it through Calico's chains.
//!
//! ```text
//! for the host       raw PREROUTING  mangle PREROUTING  (DNAT)  filter INPUT
//! from the host      raw OUTPUT  (DNAT)  filter OUTPUT  mangle POSTROUTING
//! through the host   raw PREROUTING  mangle PREROUTING  (DNAT)  filter FORWARD
//! ```
//!
//! The eBPF dataplane has programs on the interfaces instead.
//!
//! Written apart from `evaluate`; the two share the compiled state and nothing else.

mod bpf;
mod chain;
mod matching;
mod step;
mod walk;

pub use step::{Hook, Outcome, Stage, Step, Trace, Verdict};

use super::question::{Path, Question};
use super::settings::Dataplane;
use super::state::State;
use crate::packet::Packet;

/// What a node does with a packet, and why.
pub fn trace(state: &State, question: &Question, packet: &Packet) -> Trace {
    let mut walk = walk::Walk::new(state, question, packet);
    let bpf = walk.settings.dataplane.value == Dataplane::Bpf;
    let verdict = match &question.path {
        path if bpf => walk.bpf(path),
        Path::Ingress(interface) => walk.ingress(interface),
        Path::Egress(interface) => walk.egress(interface),
        Path::Forward { from, to } => walk.forward(from, to),
        Path::Local(interface) => walk.local(interface),
    };
    walk.finish(verdict)
}
