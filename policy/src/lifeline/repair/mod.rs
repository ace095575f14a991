//! What makes a change harmless, proved by judging it.
//!
//! Tried in this order, and the first that cuts nothing is given: a deletion left out, where that is all the change is; what
//! stops an agent taken out of a changed object; rules for exactly what is lost, put into a changed policy; the same as an
//! object of its own; one difference of a changed object taken back; the profile that allows everything for a changed host
//! endpoint; a change left out. Rules for what is lost leave closed whatever else the change closes.

mod calico;
mod cilium;
mod mend;
mod nets;
mod revert;

use std::cell::Cell;

use json_patch::PatchOperation;
use serde::Serialize;
use serde_json::Value;

use super::judge::{Asker, Change, ChangeError, Judge, Outcome, World, lines};
use crate::packet::{Exhausted, PacketSet};
use crate::snapshot::{Key, Manifest};

/// Lines that say what a repair lets in again.
const MOST_LINES: usize = 12;
/// Changes that are tried without one of them, and differences that are tried taken back.
const MOST_TRIES: usize = 16;

/// Judgements that a search may take at the least, and at the most.
const JUDGEMENTS: (usize, usize) = (8, 64);

/// A way to make a change harmless. Judged with all of its steps, it cuts nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// Whether that is proved; otherwise something is not known that was not known without the repair either.
    pub proved: bool,
    /// What passes with it and would not with the change as it was, at the nodes of the cuts. The last line is `...` where
    /// there is more.
    pub reopens: Vec<String>,
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action")]
pub enum Step {
    /// Put an object beside the change, before it.
    Add {
        /// The object.
        object: Key,
        /// All of it.
        manifest: Value,
    },
    /// Change what is to be put.
    Patch {
        /// The object.
        object: Key,
        /// JSON Patch (RFC 6902) to the object as the change has it.
        patch: Vec<PatchOperation>,
        /// All of it, as it is then.
        manifest: Value,
    },
    /// Leave this change out: do not delete, do not create, or do not update.
    Withhold {
        /// The object.
        object: Key,
        /// Whether it was to be deleted.
        deletion: bool,
    },
}

/// Looks for a repair, and gives up after so much work.
pub(in crate::lifeline) fn repair(
    judge: &Judge<'_>,
    changes: &[Change],
    outcome: &Outcome,
) -> Result<Option<Repair>, ChangeError> {
    let base = &Base { judge, left: Cell::new(judge.tries(JUDGEMENTS)) };
    let deletion = matches!(changes, [Change::Delete(_)]);
    let first: &[Try] = if deletion { &[withhold] } else { &[] };
    let rest: [Try; 5] =
        [revert::without_what_stops, mend::mend, revert::one_difference, revert::with_profile, withhold];
    let mut found = None;
    for attempt in first.iter().chain(&rest) {
        found = attempt(base, changes, outcome)?;
        if found.is_some() {
            break;
        }
    }
    let Some(Found { steps, changes: repaired }) = found else {
        return Ok(None);
    };
    let after = judge.outcome(&repaired)?;
    let reopens = reopened(outcome, &after.world);
    Ok(Some(Repair { proved: after.is_safe(), steps, reopens }))
}

/// The state that changes are judged against, as often as a search may.
struct Base<'s, 'd> {
    judge: &'s Judge<'d>,
    /// Judgements that are left.
    left: Cell<usize>,
}

impl Base<'_, '_> {
    /// What comes of changes; nothing when the search has taken too much work already.
    fn outcome(&self, changes: &[Change]) -> Result<Option<Outcome>, ChangeError> {
        let Some(left) = self.left.get().checked_sub(1) else { return Ok(None) };
        self.left.set(left);
        self.judge.outcome(changes).map(Some)
    }

    /// Whether changes mend what others cut.
    fn mends(&self, changes: &[Change], cut: &Outcome) -> Result<bool, ChangeError> {
        Ok(self.outcome(changes)?.is_some_and(|outcome| outcome.mends(cut)))
    }
}

/// One way to look for a repair.
type Try = fn(&Base<'_, '_>, &[Change], &Outcome) -> Result<Option<Found>, ChangeError>;

/// Steps, and the changes with them.
struct Found {
    steps: Vec<Step>,
    changes: Vec<Change>,
}

/// Each change left out alone, then all that can be: the last resort, whatever was tried before.
fn withhold(base: &Base<'_, '_>, changes: &[Change], outcome: &Outcome) -> Result<Option<Found>, ChangeError> {
    let step = |change: &Change| Step::Withhold {
        object: change.key().clone(),
        deletion: matches!(change, Change::Delete(_)),
    };
    for (index, change) in changes.iter().enumerate().take(MOST_TRIES) {
        let rest: Vec<Change> =
            changes.iter().enumerate().filter(|(one, _)| *one != index).map(|(_, one)| one.clone()).collect();
        // What is left may be about an object that the change left out would have made.
        if base.judge.outcome(&rest).is_ok_and(|rest| rest.mends(outcome)) {
            return Ok(Some(Found { steps: vec![step(change)], changes: rest }));
        }
    }
    let nothing = changes.len() > 1 && base.judge.outcome(&[])?.mends(outcome);
    Ok(nothing.then(|| Found { steps: changes.iter().map(step).collect(), changes: Vec::new() }))
}

/// What passes at the cuts after the repair, and did not without it.
fn reopened(cut: &Outcome, repaired: &World) -> Vec<String> {
    let (mut then, mut now) = (Asker::new(&cut.world), Asker::new(repaired));
    let mut all = PacketSet::empty();
    for loss in cut.losses.iter().take(MOST_TRIES) {
        let mut difference = || -> Result<PacketSet, Exhausted> {
            let both = |asker: &mut Asker<'_>| -> Result<PacketSet, Exhausted> {
                let (calico, cilium) = asker.ask(&loss.way)?;
                let calico = calico.set();
                Ok(cilium.map_or_else(|| calico.clone(), |cilium| calico.intersection(&cilium.set())))
            };
            Ok(both(&mut now)?.difference(&both(&mut then)?))
        };
        if let Ok(set) = difference() {
            all = all.union(&set);
        }
    }
    lines(&all, MOST_LINES)
}

/// `spec.ingress[0]` as a JSON pointer.
fn pointer(path: &str) -> String {
    path.split(['.', '[']).fold(String::new(), |pointer, part| format!("{pointer}/{}", part.trim_end_matches(']')))
}

/// The manifest of a change that puts one.
fn manifest(change: &Change) -> Option<&Manifest> {
    match change {
        Change::Put(manifest) => Some(manifest),
        Change::Delete(_) => None,
    }
}
