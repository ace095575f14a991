//! Decides about changes of the cluster at hand.

use std::sync::{Arc, Mutex, PoisonError};

use policy::lifeline::config::Config;
use policy::lifeline::judge::Assumptions;
use policy::snapshot::{Manifest, Snapshot};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::ledger::cell::Entry;
use super::object::revision;
use super::store::{Standing, Store};
use super::table::ROWS;
use crate::validate::{Change, Judge};
use crate::verdict::{Decision, State, is_relevant, verdict};

/// The judge of a cluster.
pub struct Guard {
    pub(super) runtime: Handle,
    pub(super) store: Arc<Store>,
    pub(super) ledger: Ledger,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) assumptions: Arc<Assumptions>,
    /// What was judged against last, and under which configuration.
    pub(super) warm: Mutex<Option<(Arc<Config>, State)>>,
}

impl Judge for Guard {
    fn judge(&self, change: &Change<'_>) -> Result<Decision, String> {
        if !is_relevant(change) {
            return Ok(Decision::allowed());
        }
        self.is_read(change)?;
        let config = Arc::clone(&self.config.borrow());
        let decide = |snapshot: &Snapshot| verdict(&self.state(snapshot, &config), change);
        let Some(entry) = entry(change) else { return Ok(Decision::allowed()) };
        // What is only tried out is never stored.
        let stored = change.request.dry_run != Some(true);
        let deadline = Instant::from_std(change.deadline);
        self.runtime.block_on(self.ledger.decide(&entry, stored, deadline, &decide))
    }
}

impl Guard {
    /// A state to judge against, made from the last one as far as nothing has changed.
    fn state(&self, snapshot: &Snapshot, config: &Arc<Config>) -> State {
        let last = self.warm.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = match last {
            Some((stated, state)) if Arc::ptr_eq(&stated, config) => state.with(snapshot),
            _ => State::new(snapshot, Arc::clone(config), &self.assumptions),
        };
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = Some((Arc::clone(config), state.clone()));
        state
    }

    /// Whether objects of this kind are read. A kind that was defined a moment ago may not be yet.
    fn is_read(&self, change: &Change<'_>) -> Result<(), String> {
        let kind = &change.request.kind;
        let rows = ROWS.iter().zip(self.store.standings());
        let own = rows.filter(|(row, _)| row.group == kind.group && row.kind == kind.kind);
        let known = own.map(|(_, standing)| standing).any(|standing| standing != Standing::Absent);
        if known {
            return Ok(());
        }
        self.store.look_again();
        Err(format!(
            "{} of {} are new to this cluster and have not been read yet; try again in a moment",
            kind.kind, kind.group
        ))
    }
}

/// The change for the ledger.
fn entry(change: &Change<'_>) -> Option<Entry> {
    let Manifest { key, version, .. } = change.after.as_ref().or(change.before.as_ref())?.clone();
    let seen = change.before.as_ref().map(|before| revision(&before.value).unwrap_or_default().to_owned());
    let after = change.after.as_ref().map(|after| lean(after.value.clone()));
    let id = change.request.uid.clone().into_owned();
    Some(Entry { id, group: key.group, version, kind: key.kind, namespace: key.namespace, name: key.name, seen, after })
}

/// Without what no verdict reads.
fn lean(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        }
    }
    value
}
