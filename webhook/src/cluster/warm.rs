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

    /// The cluster as it is. Those who ask about one read at the same time wait for one of them to make its state.
    pub(super) fn state(&self, snapshot: &Snapshot, config: &Arc<Config>) -> State {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.next(last.as_ref(), snapshot, config);
        *last = Some((Arc::clone(config), state.clone()));
        state
    }

    /// The cluster as it may become. It is not kept: agents go on with what they had, never with what they might have had.
    pub(super) fn imagined(&self, snapshot: &Snapshot, config: &Arc<Config>) -> State {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.next(last.as_ref(), snapshot, config)
    }

    /// The state of a snapshot, from the last one where that is of the same configuration.
    fn next(&self, last: Option<&(Arc<Config>, State)>, snapshot: &Snapshot, config: &Arc<Config>) -> State {
        match last.filter(|(stated, _)| Arc::ptr_eq(stated, config)) {
            Some((_, state)) if is_same(state.snapshot(), snapshot) => state.clone(),
            Some((_, state)) => state.with(snapshot),
            None => State::new(snapshot, Arc::clone(config), &self.assumptions),
        }
    }
}

fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    Arc::ptr_eq(&one.objects, &other.objects) && Arc::ptr_eq(&one.cluster, &other.cluster)
}
