//! Exactly which packets pass a node, as a set.
//!
//! The chains are folded from their ends: what a tier leaves undecided is what the tiers after it decide. Every chain is
//! a region that says of each packet how it leaves the chain; the hooks then hand sets of packets on to each other.
//!
//! Written apart from `trace`; the two share the compiled state and nothing else.

mod bpf;
mod chain;
mod hooks;
mod rule;

use super::question::{Path, Question};
use super::settings::Dataplane;
use super::state::State;
use crate::packet::{Exhausted, PacketSet, Space};

/// Steps that one question may take, far more than 100,000 rules do.
pub const BUDGET: u64 = 1 << 32;

/// The packets that pass, before destination NAT: accepted, or asked about by no policy.
///
/// # Errors
///
/// The policies take more than [`BUDGET`] steps.
pub fn evaluate(state: &State, question: &Question) -> Result<PacketSet, Exhausted> {
    evaluate_within(state, question, BUDGET)
}

/// The same with another budget.
///
/// # Errors
///
/// The policies take more steps than the budget has.
pub fn evaluate_within(state: &State, question: &Question, budget: u64) -> Result<PacketSet, Exhausted> {
    let mut fold = hooks::Fold::new(state, question, Space::with_budget(budget));
    let bpf = fold.settings.dataplane.value == Dataplane::Bpf;
    let passed = match &question.path {
        path if bpf => fold.bpf(path),
        Path::Ingress(interface) => fold.ingress(interface),
        Path::Egress(interface) => fold.egress(interface),
        Path::Forward { from, to } => fold.forward(from, to),
        Path::Local(interface) => fold.local(interface),
    };
    fold.finish(passed)
}
