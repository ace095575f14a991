//! Decides about changes of the cluster at hand.

use std::sync::Arc;

use policy::lifeline::config::Config;
use policy::snapshot::{Manifest, Snapshot};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::ledger::cell::Entry;
use super::object::revision;
use super::store::{Standing, Store};
use super::table::ROWS;
use super::warm::Warm;
use crate::validate::{Change, Judge};
use crate::verdict::{Decision, content, decide, is_relevant};

/// The judge of a cluster.
pub struct Guard {
    pub(super) runtime: Handle,
    pub(super) store: Arc<Store>,
    pub(super) ledger: Ledger,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) warm: Arc<Warm>,
}

impl Judge for Guard {
    fn judge(&self, change: &Change<'_>) -> Result<Decision, String> {
        if !is_relevant(change) {
            return Ok(Decision::allowed());
        }
        self.is_read(change)?;
        let config = Arc::clone(&self.config.borrow());
        let judge = |snapshot: &Snapshot, read: bool| {
            let _span = tracing::debug_span!("judge", read).entered();
            let Self { warm, .. } = self;
            let state = if read { warm.state(snapshot, &config) } else { warm.imagined(snapshot, &config) };
            decide(&state, change)
        };
        let Some(entry) = entry(change) else { return Ok(Decision::allowed()) };
        // What is only tried out is never stored.
        let stored = change.request.dry_run != Some(true);
        let deadline = Instant::from_std(change.deadline);
        self.runtime.block_on(self.ledger.decide(&entry, stored, deadline, &judge))
    }
}

impl Guard {
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
    let after = change.after.as_ref().map(|after| content(&after.value));
    let id = change.request.uid.clone().into_owned();
    Some(Entry { id, group: key.group, version, kind: key.kind, namespace: key.namespace, name: key.name, seen, after })
}
