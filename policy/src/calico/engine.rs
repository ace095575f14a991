//! A state that is kept warm.

use std::sync::Arc;

use super::compile::{Assumptions, compile};
use super::evaluate::{BUDGET, Evaluator};
use super::question::Question;
use super::state::State;
use crate::packet::{Exhausted, Held, SharedSpace};
use crate::snapshot::Snapshot;

/// A compiled snapshot that answers many questions, and from which that of a changed snapshot is made at the cost of the
/// change. Cheap to clone; the engines before and after a change share what they have in common.
///
/// Its answers are those of [`compile()`] and [`evaluate()`](super::evaluate::evaluate).
#[derive(Clone, Debug)]
pub struct Engine {
    snapshot: Snapshot,
    assumptions: Assumptions,
    state: Arc<State>,
    space: SharedSpace,
}

impl Engine {
    /// Compiles a snapshot.
    pub fn new(snapshot: &Snapshot, assumptions: &Assumptions) -> Self {
        let state = Arc::new(compile(snapshot, assumptions));
        Self { snapshot: snapshot.clone(), assumptions: *assumptions, state, space: SharedSpace::new(BUDGET) }
    }

    /// The engine of another snapshot, which should have most objects in common with this one's.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        let state = Arc::new(compile(snapshot, &self.assumptions));
        Self { snapshot: snapshot.clone(), state, ..self.clone() }
    }

    /// What was compiled.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The state, for [`trace()`](super::trace::trace).
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The packets that pass, before destination NAT. Nodes of one class are worked out once.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub fn evaluate(&self, question: &Question) -> Result<Held, Exhausted> {
        self.space.hold(&Evaluator::new(&self.state).evaluate(question)?)
    }
}
