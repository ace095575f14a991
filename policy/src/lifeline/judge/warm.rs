//! A state that is kept warm, against which changes are judged.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::ground::Ground;
use super::outcome::{Before, Outcome};
use super::world::{Assumptions, World};
use super::{Change, ChangeError, Cut, Doubt, Judgement, Stop, Verdict, apply, doubt, order};
use crate::lifeline::detect::{self, Detected};
use crate::lifeline::model::Lifeline;
use crate::lifeline::repair::repair;
use crate::snapshot::Snapshot;

/// Judgements of one node each that one search may take.
const MOST_WORK: usize = 20_000;

/// A state that is kept warm: compiled for both CNIs, its lifelines detected, its nodes known. Changes are judged against it
/// at the cost of what they change, by many threads at once; the state after a change is made of it at the same cost.
///
/// Cheap to clone. Its judgements are those of [`judge`](super::judge()), [`decide`](super::decide()) and
/// [`judge_state`](super::judge_state()), with one difference: of objects that Cilium refuses, a judge that came from
/// another knows the version that agents go on with.
#[derive(Clone)]
pub struct Judge<'d> {
    pub(super) world: World,
    pub(super) detected: Arc<Detected>,
    detect: Arc<dyn Fn(&Snapshot) -> Detected + Send + Sync + 'd>,
    pub(super) assumptions: Arc<Assumptions>,
    ground: Arc<OnceLock<Ground>>,
    stops: Arc<BTreeSet<Stop>>,
    broken: Arc<OnceLock<Vec<Cut>>>,
}

impl<'d> Judge<'d> {
    /// Of a state. `detect` finds the lifelines of a state, such as [`detect`](crate::lifeline::detect::detect()) with a
    /// configuration; it is asked again when something changes that it [reads](detect::reads).
    pub fn new(
        snapshot: &Snapshot,
        detect: impl Fn(&Snapshot) -> Detected + Send + Sync + 'd,
        assumptions: &Assumptions,
    ) -> Self {
        let detected = Arc::new(detect(snapshot));
        Self::of(World::new(snapshot, assumptions), detected, Arc::new(detect), Arc::new(assumptions.clone()))
    }

    fn of(
        world: World,
        detected: Arc<Detected>,
        detect: Arc<dyn Fn(&Snapshot) -> Detected + Send + Sync + 'd>,
        assumptions: Arc<Assumptions>,
    ) -> Self {
        let stops = Arc::new(doubt::stops(&world));
        Self { world, detected, detect, assumptions, ground: Arc::default(), stops, broken: Arc::default() }
    }

    /// The state.
    pub fn snapshot(&self) -> &Snapshot {
        &self.world.snapshot
    }

    /// Its lifelines.
    pub fn detected(&self) -> &Arc<Detected> {
        &self.detected
    }

    /// The judge of another state, which should have most in common with this one: with a change made, or with nodes and
    /// pods as they are now. What did not change is taken over.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        let same = Arc::ptr_eq(&self.world.snapshot.cluster, &snapshot.cluster)
            && detect::reads_the_same(&self.world.snapshot, snapshot);
        let detected = if same { Arc::clone(&self.detected) } else { Arc::new((self.detect)(snapshot)) };
        let (detect, assumptions) = (Arc::clone(&self.detect), Arc::clone(&self.assumptions));
        let next = Self::of(self.world.with(snapshot), detected, detect, assumptions);
        if same && Ground::stays(&self.world, &next.world) {
            return Self { ground: Arc::clone(&self.ground), ..next };
        }
        next
    }

    /// The judge of the state after changes.
    ///
    /// # Errors
    ///
    /// A change is none: see [`ChangeError`].
    pub fn after(&self, changes: &[Change]) -> Result<Self, ChangeError> {
        Ok(self.with(&apply(&self.world.snapshot, changes)?))
    }

    /// Judges changes, applied in their order, as a whole and step by step, and looks for a repair.
    ///
    /// # Errors
    ///
    /// A change is none: see [`ChangeError`].
    pub fn judge(&self, changes: &[Change]) -> Result<Judgement, ChangeError> {
        Ok(Judgement { broken: self.broken().to_vec(), ..self.repaired(changes)? })
    }

    /// Judges changes, and looks for a repair and for what is broken before them where they cut something. Most changes cut
    /// nothing, and are answered in a fraction of the time.
    ///
    /// # Errors
    ///
    /// A change is none: see [`ChangeError`].
    pub fn review(&self, changes: &[Change]) -> Result<Judgement, ChangeError> {
        let judgement = self.repaired(changes)?;
        let cuts = judgement.verdict == Verdict::Cuts;
        Ok(if cuts { Judgement { broken: self.broken().to_vec(), ..judgement } } else { judgement })
    }

    /// Judges changes without looking for a repair, or for what is broken before them: the verdict alone, in a fraction of
    /// the time.
    ///
    /// # Errors
    ///
    /// A change is none: see [`ChangeError`].
    pub fn decide(&self, changes: &[Change]) -> Result<Judgement, ChangeError> {
        self.seen(changes).map_or_else(|| self.decide_at_length(changes), Ok)
    }

    /// What a glance at changes tells.
    fn seen(&self, changes: &[Change]) -> Option<Judgement> {
        let [change] = changes else { return None };
        self.glance(change)
    }

    /// The same as [`decide`](Self::decide), from the state after the changes, whatever a [`glance`](Self::glance) at them tells.
    ///
    /// # Errors
    ///
    /// A change is none: see [`ChangeError`].
    pub fn decide_at_length(&self, changes: &[Change]) -> Result<Judgement, ChangeError> {
        let outcome = self.outcome(changes)?;
        self.judgement(changes, outcome)
    }

    /// Judges the state by itself: every packet of a lifeline that does not pass is cut.
    pub fn state(&self) -> Judgement {
        let outcome = self.alone();
        let cuts = outcome.cuts();
        outcome.into_judgement(cuts)
    }

    /// How many judgements a search may take, between the given bounds. What one costs grows with the nodes.
    pub(in crate::lifeline) fn tries(&self, (least, most): (usize, usize)) -> usize {
        (MOST_WORK / self.world.snapshot.cluster.nodes.len().max(1)).clamp(least, most)
    }

    /// Its nodes.
    pub(super) fn ground(&self) -> &Ground {
        self.ground.get_or_init(|| Ground::new(&self.world, &self.world, &self.detected.lifelines))
    }

    /// Judges changes as a whole.
    pub(in crate::lifeline) fn outcome(&self, changes: &[Change]) -> Result<Outcome, ChangeError> {
        let snapshot = apply(&self.world.snapshot, changes)?;
        let world = self.world.next(&snapshot, &changes.iter().map(Change::key).collect::<Vec<_>>());
        let detected = if changes.iter().any(|change| detect::reads(change.key())) {
            let after = (self.detect)(&snapshot);
            Arc::new(Detected { lifelines: both(&self.detected.lifelines, after.lifelines), ..after })
        } else {
            Arc::clone(&self.detected)
        };
        let before = Before { world: &self.world, ground: Some((self.ground(), &self.detected)), stops: &self.stops };
        Ok(Outcome::of(&before, false, world, changes, detected, &self.assumptions))
    }

    /// Judges changes, and looks for a repair if they need one.
    fn repaired(&self, changes: &[Change]) -> Result<Judgement, ChangeError> {
        if let Some(judgement) = self.seen(changes) {
            return Ok(judgement);
        }
        let outcome = self.outcome(changes)?;
        let repair = if outcome.is_bad() { repair(self, changes, &outcome)? } else { None };
        Ok(Judgement { repair, ..self.judgement(changes, outcome)? })
    }

    /// What is cut by the whole and on the way, and an order in which nothing is.
    fn judgement(&self, changes: &[Change], mut outcome: Outcome) -> Result<Judgement, ChangeError> {
        let mut cuts = outcome.cuts();
        let mut order = None;
        if changes.len() > 1 {
            let steps = self.steps(changes, &cuts, &mut outcome.open)?;
            if !steps.is_empty() && cuts.is_empty() {
                order = order::find(self, changes)?;
            }
            cuts.extend(steps);
        }
        Ok(Judgement { order, ..outcome.into_judgement(cuts) })
    }

    /// What is cut on the way, in the given order, and not after all of it. `open` is what rules leave open, where it may
    /// cut something.
    fn steps(&self, changes: &[Change], whole: &[Cut], open: &mut Vec<Doubt>) -> Result<Vec<Cut>, ChangeError> {
        let mut cuts: Vec<Cut> = Vec::new();
        for step in 1..changes.len() {
            let mut outcome = self.outcome(&changes[..step])?;
            open.append(&mut outcome.open);
            for cut in outcome.cuts() {
                let known = |one: &Cut| one.lifeline == cut.lifeline && one.side == cut.side;
                if !whole.iter().chain(&cuts).any(known) {
                    cuts.push(Cut { step: Some(step), ..cut });
                }
            }
        }
        open.sort();
        open.dedup();
        Ok(cuts)
    }

    /// Lifelines that do not pass before any change.
    fn broken(&self) -> &[Cut] {
        self.broken.get_or_init(|| self.alone().cuts())
    }

    /// The state, held against the same cluster with nothing that closes its hosts.
    fn alone(&self) -> Outcome {
        let bare = self.world.bare();
        let before = Before { world: &bare, ground: None, stops: &BTreeSet::new() };
        let detected = Arc::clone(&self.detected);
        Outcome::of(&before, true, self.world.clone(), &[], detected, &self.assumptions)
    }
}

impl fmt::Debug for Judge<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lifelines = self.detected.lifelines.len();
        formatter.debug_struct("Judge").field("lifelines", &lifelines).finish_non_exhaustive()
    }
}

/// The flows of both states. One that goes on between the same ends with other packets has moved, and is only as it is
/// after; one whose ends changed is needed both ways, so that a new label does not hide it.
fn both(before: &[Lifeline], after: Vec<Lifeline>) -> Vec<Lifeline> {
    let mut all = after;
    for old in before {
        match all.iter_mut().find(|new| new.id == old.id) {
            None => all.push(old.clone()),
            Some(new) => {
                let moved: Vec<_> = new.flows.iter().map(|flow| (flow.from.clone(), flow.to.clone())).collect();
                let kept = old.flows.iter().filter(|flow| !moved.contains(&(flow.from.clone(), flow.to.clone())));
                new.flows.extend(kept.cloned().collect::<Vec<_>>());
            }
        }
    }
    all
}
