//! The state that was judged last, kept warm for whoever judges next.

use std::sync::{Arc, Mutex, PoisonError};

use policy::lifeline::config::Config;
use policy::lifeline::judge::Assumptions;
use policy::snapshot::Snapshot;

use crate::verdict::State;

/// Makes states to judge, each from the last one as far as nothing has changed.
pub(super) struct Warm {
    assumptions: Arc<Assumptions>,
    /// With the configuration that it was made under.
    last: Mutex<Option<(Arc<Config>, State)>>,
}

impl Warm {
    /// One that has nothing yet.
    pub(super) fn new(assumptions: Arc<Assumptions>) -> Self {
        Self { assumptions, last: Mutex::default() }
    }

    /// The cluster as it is.
    pub(super) fn state(&self, snapshot: &Snapshot, config: &Arc<Config>) -> State {
        let state = self.imagined(snapshot, config);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(config), state.clone()));
        state
    }

    /// The cluster as it may become. It is not kept: agents go on with what they had, never with what they might have had.
    pub(super) fn imagined(&self, snapshot: &Snapshot, config: &Arc<Config>) -> State {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            Some((stated, state)) if Arc::ptr_eq(&stated, config) => state.with(snapshot),
            _ => State::new(snapshot, Arc::clone(config), &self.assumptions),
        }
    }
}
