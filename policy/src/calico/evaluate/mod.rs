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
mod selected;
mod swap;

use std::sync::Arc;

pub(super) use self::rule::Kept;
pub(super) use self::selected::{Known, Selected};
pub(super) use self::swap::Steps;
use super::question::{Path, Question};
use super::settings::Dataplane;
use super::state::State;
use crate::packet::{Exhausted, PacketSet, Region, Space};

/// Steps that the questions of one [`Evaluator`] may take together, which bounds its memory too; see
/// [`Space::with_budget`]. Far more than 10,000 rules take.
pub const BUDGET: u64 = 1 << 28;

/// Answers questions about one state. Rules are built into sets once, and what nodes have in common is worked out once.
pub struct Evaluator<'s> {
    state: &'s State,
    selected: Selected,
    space: Space,
    kept: Kept,
}

impl<'s> Evaluator<'s> {
    /// Of a state, with [`BUDGET`].
    pub fn new(state: &'s State) -> Self {
        Self::with_budget(state, BUDGET)
    }

    /// Of a state, with another number of steps. What is exhausted stays so.
    pub fn with_budget(state: &'s State, steps: u64) -> Self {
        let selected = Selected::new(state, None, &Arc::default());
        Self { state, selected, space: Space::with_budget(steps), kept: Kept::default() }
    }

    /// The packets that pass, before destination NAT: accepted, or asked about by no policy.
    ///
    /// # Errors
    ///
    /// The questions so far took more steps than the budget has.
    pub fn evaluate(&mut self, question: &Question) -> Result<PacketSet, Exhausted> {
        let passed = passing((self.state, 0), &self.selected, question, &mut self.space, &mut self.kept);
        self.space.store(passed)
    }
}

/// The packets that pass, as a region of the space that `kept` belongs to. States with the same `frame` differ in nothing
/// but policies.
pub(super) fn passing(
    (state, frame): (&State, usize),
    selected: &Selected,
    question: &Question,
    space: &mut Space,
    kept: &mut Kept,
) -> Region {
    let mut builder = rule::Builder { space, kept, selected, translated: None, state, frame };
    let mut fold = hooks::Fold::new(&mut builder, question);
    let bpf = fold.settings.dataplane.value == Dataplane::Bpf;
    match &question.path {
        path if bpf => fold.bpf(path),
        Path::Ingress(interface) => fold.ingress(interface),
        Path::Egress(interface) => fold.egress(interface),
        Path::Forward { from, to } => fold.forward(from, to),
        Path::Local(interface) => fold.local(interface),
    }
}

/// The packets that some node may no longer let by after these steps, as a region of the space that `kept` belongs to.
pub(super) fn lost(
    (state, frame): (&State, usize),
    selected: &Selected,
    steps: &Steps<'_>,
    space: &mut Space,
    kept: &mut Kept,
) -> Region {
    steps.region(&mut rule::Builder { space, kept, selected, translated: None, state, frame })
}

/// What policies before connection tracking accept of a question's packets where these begin, and what they drop. `None` where
/// there are no such policies.
pub(super) fn before_tracking(
    (state, frame): (&State, usize),
    selected: &Selected,
    question: &Question,
    space: &mut Space,
    kept: &mut Kept,
) -> Option<[Region; 2]> {
    let mut builder = rule::Builder { space, kept, selected, translated: None, state, frame };
    hooks::Fold::new(&mut builder, question).by_untracked()
}

/// The packets of one question.
///
/// # Errors
///
/// The policies take more than [`BUDGET`] steps.
pub fn evaluate(state: &State, question: &Question) -> Result<PacketSet, Exhausted> {
    Evaluator::new(state).evaluate(question)
}
