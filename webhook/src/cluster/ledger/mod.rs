//! Changes that are harmless alone and harmful together.
//!
//! The API server validates a change before it stores it, and stores it only in the place of the revision that was
//! validated (kubernetes/apiserver:pkg/registry/generic/registry/store.go). So a change that was allowed is either done,
//! or has become impossible, as soon as its object has another revision; until then it may still happen. Such changes
//! are in a ledger that all replicas share, and a further one is judged in every state that they can bring about.
//!
//! An order of steps carries the proof. A change that is not among the entries at hand must show in what was read: it
//! was struck out because a read showed it, and ours began later. A change that was entered meanwhile makes the swap
//! fail. In between stands what is uncertain, and of that every subset is judged.

pub mod cell;
pub mod config_map;
mod subsets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use policy::lifeline::judge::{Change, is_same};
use policy::snapshot::Snapshot;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::live::{Read, Shared};
use super::object::revision;
use crate::metrics::Metrics;
use crate::verdict::{Decision, is_guarded};
use cell::{Cell, Entry, Held, Swap};

/// How long a change can still be stored after it was allowed: no request lasts longer than 34 s
/// (kubernetes/apiserver:pkg/endpoints/handlers/rest.go).
pub const LIFE: Duration = Duration::from_secs(35);
/// Most changes whose outcome is unknown. Twice the judgements for each.
const MOST: usize = 4;
/// Until the outcome of one may be known.
const WAIT: Duration = Duration::from_millis(40);

/// Decides about a change in one state, told whether that is the state as it was read; others may come about.
pub type Judge<'j> = &'j (dyn Fn(&Snapshot, bool) -> Result<Decision, String> + Sync);

/// The ledger, as one replica sees it.
pub struct Ledger {
    cell: Arc<dyn Cell>,
    reads: Shared,
    turn: Mutex<Turn>,
    metrics: Arc<Metrics>,
}

/// What is known to who has the turn.
#[derive(Default)]
struct Turn {
    held: Option<Known>,
    /// When this replica has seen an entry, or an unreadable value, for the first time.
    first_seen: HashMap<String, Instant>,
}

struct Known {
    version: String,
    entries: Vec<Entry>,
    /// Whatever is not among the entries shows in a read of this number, and in later ones.
    shown: u64,
}

impl Ledger {
    /// The ledger in a cell, for what is read so.
    pub fn new(cell: Arc<dyn Cell>, reads: Shared, metrics: Arc<Metrics>) -> Self {
        Self { cell, reads, turn: Mutex::default(), metrics }
    }

    /// Decides about a change, and enters it if it is allowed and going to be stored.
    ///
    /// # Errors
    ///
    /// There is no verdict: the cluster cannot be read, or not in time, or too much happens at once.
    pub async fn decide(
        &self,
        proposal: &Entry,
        stored: bool,
        deadline: Instant,
        judge: Judge<'_>,
    ) -> Result<Decision, String> {
        let decided = timeout_at(deadline, async {
            loop {
                if let Some(decision) = self.attempt(proposal, stored, judge).await? {
                    return Ok(decision);
                }
            }
        });
        decided.await.unwrap_or_else(|_| {
            let what = "the API server is slow, or too many policies change at once; try again";
            Err(format!("not decided in time: {what}"))
        })
    }

    /// Nothing if it has to begin anew.
    async fn attempt(&self, proposal: &Entry, stored: bool, judge: Judge<'_>) -> Result<Option<Decision>, String> {
        let mut read = self.reads.read().await?;
        let mut turn = self.turn.lock().await;
        if turn.held.is_none() {
            turn.held = Some(self.fetch(&mut turn.first_seen).await?);
        }
        let Turn { held, first_seen } = &mut *turn;
        // It has just been filled in.
        let Some(known) = held.as_mut() else { return Ok(None) };
        if read.number < known.shown {
            read = self.reads.read().await?;
        }
        let proposal = &found(proposal, &read.snapshot);
        let uncertain = uncertain(&known.entries, first_seen, &read);
        self.metrics.cluster.entries(uncertain.len());
        let own = proposal.key();
        let others: Vec<&Entry> = uncertain.iter().filter(|entry| !is_same(&entry.key(), &own)).collect();
        if others.len() > MOST {
            drop(turn);
            sleep(WAIT).await;
            return Ok(None);
        }
        let decision = judged(&others, proposal, &read.snapshot, judge)?;
        if decision.answer.denial.is_some() || !stored {
            return Ok(Some(decision));
        }
        let mut next = uncertain;
        // The same change, asked for again, is one change.
        next.retain(|entry| {
            entry.id != proposal.id
                && !(is_same(&entry.key(), &own) && entry.seen == proposal.seen && entry.after == proposal.after)
        });
        next.push(proposal.clone());
        match self.cell.swap(&known.version, &next).await {
            Ok(Swap::Done(version)) => {
                first_seen.insert(proposal.id.clone(), Instant::now());
                *known = Known { version, entries: next, shown: known.shown.max(read.number) };
                Ok(Some(decision))
            }
            Ok(Swap::Conflict) => {
                *held = None;
                self.metrics.cluster.conflict();
                Ok(None)
            }
            Err(error) => {
                *held = None;
                Err(error)
            }
        }
    }

    /// What the cell holds. It shows in reads that begin after that.
    async fn fetch(&self, first_seen: &mut HashMap<String, Instant>) -> Result<Known, String> {
        let Held { version, entries } = self.cell.get().await?;
        let shown = self.reads.next();
        match entries {
            Ok(entries) => Ok(Known { version, entries, shown }),
            // Somebody wrote into it. What stood there is past when all it can have been is past.
            Err(reason) => {
                let now = Instant::now();
                let id = format!("unreadable {version}");
                first_seen.retain(|known, _| *known == id);
                let since = *first_seen.entry(id).or_insert(now);
                if now < since + LIFE {
                    return Err(format!(
                        "the ledger holds something else: {reason}; it is begun anew in half a minute"
                    ));
                }
                Ok(Known { version, entries: Vec::new(), shown })
            }
        }
    }
}

/// A change with the revision that it replaces: that of the object at hand, if the review does not tell.
fn found(proposal: &Entry, snapshot: &Snapshot) -> Entry {
    let mut proposal = proposal.clone();
    if proposal.seen.as_deref() == Some("") {
        let change = proposal.change();
        proposal.seen = change.replaced(snapshot).and_then(|object| revision(&object.value)).map(str::to_owned);
    }
    proposal
}

/// Entries whose changes may still happen.
fn uncertain(entries: &[Entry], first_seen: &mut HashMap<String, Instant>, read: &Read) -> Vec<Entry> {
    let now = Instant::now();
    for entry in entries {
        first_seen.entry(entry.id.clone()).or_insert(now);
    }
    first_seen.retain(|id, _| entries.iter().any(|entry| entry.id == *id));
    let may_happen = |entry: &&Entry| {
        let expired = first_seen.get(&entry.id).is_some_and(|since| now >= *since + LIFE);
        !expired && stands(entry, &read.snapshot)
    };
    entries.iter().filter(may_happen).cloned().collect()
}

/// Whether the object still is as the change found it.
fn stands(entry: &Entry, snapshot: &Snapshot) -> bool {
    let change = Change::Delete(entry.key());
    match (change.replaced(snapshot), &entry.seen) {
        (None, seen) => seen.is_none(),
        (Some(object), seen) => seen.is_some() && revision(&object.value) == seen.as_deref(),
    }
}

/// The decision in the state at hand; or the first state, of those that may come about, in which it is a denial.
fn judged(others: &[&Entry], proposal: &Entry, snapshot: &Snapshot, judge: Judge<'_>) -> Result<Decision, String> {
    let ending = terminating(snapshot, proposal);
    let mut first = None;
    for subset in subsets::all(others) {
        let state = applied(snapshot, subset.iter().map(|entry| entry.change()))?;
        let mut names: Vec<String> = subset.iter().map(|entry| entry.change().to_string()).collect();
        let mut states = vec![(state, names.clone())];
        if !ending.is_empty() {
            let gone = ending.iter().filter(|change| change.replaced(&states[0].0).is_some()).cloned();
            let gone = applied(&states[0].0, gone)?;
            names.extend(ending.iter().map(ToString::to_string));
            states.push((gone, names));
        }
        for (state, names) in states {
            let mut decision = judge(&state, names.is_empty())?;
            if let Some(denial) = &mut decision.answer.denial {
                if !names.is_empty() {
                    denial.message = with_others(&denial.message, &names);
                }
                return Ok(decision);
            }
            first.get_or_insert(decision);
        }
    }
    // The empty subset is one of them.
    first.ok_or_else(|| "nothing was judged".to_owned())
}

/// Objects that have been deleted and wait for a finalizer. When they go, nobody asks.
fn terminating(snapshot: &Snapshot, proposal: &Entry) -> Vec<Change> {
    let own = proposal.key();
    let ends = snapshot.objects.values().filter(|object| {
        let key = &object.key;
        !object.value["metadata"]["deletionTimestamp"].is_null()
            && is_guarded(&key.group, &key.kind)
            && !is_same(key, &own)
    });
    ends.map(|object| Change::Delete(object.key.clone())).collect()
}

fn applied(snapshot: &Snapshot, changes: impl Iterator<Item = Change>) -> Result<Snapshot, String> {
    let mut state = snapshot.clone();
    for change in changes {
        state = change.apply(&state).map_err(|error| error.to_string())?;
    }
    Ok(state)
}

/// A denial that says with which other changes it is one.
fn with_others(message: &str, names: &[String]) -> String {
    let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
    let names = names.join(", ");
    let note = format!("That is so together with a change made at this moment ({names}); if that fails, try again.");
    if rest.is_empty() { format!("{first}\n{note}") } else { format!("{first}\n{note}\n{rest}") }
}
