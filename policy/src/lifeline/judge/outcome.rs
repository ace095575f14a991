//! What comes of changes as a whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compare::{self, Compared};
use super::ground::Ground;
use super::world::{Assumptions, World};
use super::{
    Change, Cut, Deciding, Doubt, DoubtKind, Example, Judgement, Loss, Side, Stop, Verdict, doubt, explain, open,
};
use crate::lifeline::detect::Detected;
use crate::snapshot::Key;

/// What changes are held against.
pub(super) struct Before<'b> {
    pub(super) world: &'b World,
    /// Its nodes, where they are known, and the lifelines between them.
    pub(super) ground: Option<(&'b Ground, &'b Arc<Detected>)>,
    /// What stops agents in it.
    pub(super) stops: &'b BTreeSet<Stop>,
}

/// What comes of changes as a whole.
pub(in crate::lifeline) struct Outcome {
    pub(in crate::lifeline) world: World,
    detected: Arc<Detected>,
    pub(in crate::lifeline) losses: Vec<Loss>,
    pub(in crate::lifeline) stops: Vec<Stop>,
    pub(in crate::lifeline) doubts: Vec<Doubt>,
    /// What rules leave open, where it may cut something.
    pub(super) open: Vec<Doubt>,
    changed: Vec<Key>,
}

impl Outcome {
    /// `alone` says that the state before is only what the state at hand is held against.
    pub(super) fn of(
        before: &Before<'_>,
        alone: bool,
        world: World,
        changes: &[Change],
        detected: Arc<Detected>,
        assumptions: &Assumptions,
    ) -> Self {
        let Before { world: before, ground, stops: known } = *before;
        let with_calico;
        let before = if before.has_calico == world.has_calico {
            before
        } else {
            with_calico = before.clone().beside(&world);
            &with_calico
        };
        let world = world.beside(before);
        let mut doubts = doubt::doubts(Some(before).filter(|_| !alone), &world, changes, assumptions);
        let stops = doubt::stops(&world).difference(known).cloned().collect();
        let lifelines = &detected.lifelines;
        let ground = match ground {
            Some((ground, known)) => ground.after(before, &world, lifelines, Arc::ptr_eq(known, &detected)),
            None => Ground::new(before, &world, lifelines),
        };
        let lacking: Vec<Doubt> = doubt::missing(&detected.missing).collect();
        let whole = !lacking.is_empty();
        let mut open = doubt::open(before, &world);
        let compared = compare::compare(before, &world, &ground, lifelines, whole).and_then(|compared| {
            if open.is_empty() || !compared.losses.is_empty() {
                return Ok(compared);
            }
            let read = open::compare_all(before, &world, &ground, lifelines, whole)?;
            if read.losses.is_empty() {
                open.clear();
            }
            Ok(Compared { nothing_lost: compared.nothing_lost && read.nothing_lost, ..compared })
        });
        let losses = match compared {
            Ok(Compared { losses, nothing_lost }) => {
                // Where nothing is lost at all, it does not matter who would have needed it.
                doubts.extend(lacking.into_iter().filter(|_| !nothing_lost));
                losses
            }
            Err(_) => {
                doubts.push(doubt::exhausted());
                Vec::new()
            }
        };
        let changed = changes.iter().map(|change| change.key().clone()).collect();
        Self { world, detected, losses, stops, doubts, open, changed }
    }

    /// Whether nothing is cut, no agent stops, and that is proved.
    pub(in crate::lifeline) fn is_safe(&self) -> bool {
        !self.is_bad() && self.doubts.is_empty() && self.open.is_empty()
    }

    /// Whether nothing is cut, no agent stops, and what is not known is what the snapshot lacks with another change too.
    pub(in crate::lifeline) fn mends(&self, other: &Self) -> bool {
        let lacked = |doubt: &Doubt| doubt.kind == DoubtKind::Missing && other.doubts.contains(doubt);
        !self.is_bad() && self.open.is_empty() && self.doubts.iter().all(lacked)
    }

    pub(in crate::lifeline) fn is_bad(&self) -> bool {
        !self.losses.is_empty() || !self.stops.is_empty()
    }

    /// The judgement about it, with the given cuts.
    pub(super) fn into_judgement(mut self, mut cuts: Vec<Cut>) -> Judgement {
        self.doubts.append(&mut self.open);
        self.doubts.sort();
        cuts.sort_by_key(|cut| std::cmp::Reverse(cut.severity));
        let verdict = if !cuts.is_empty() || !self.stops.is_empty() {
            Verdict::Cuts
        } else if self.doubts.is_empty() {
            Verdict::Safe
        } else {
            Verdict::CannotProve
        };
        let assumed = doubt::assumed(&self.world);
        let Self { stops, doubts, detected, .. } = self;
        let missing = detected.missing.clone();
        Judgement { verdict, cuts, stops, doubts, broken: Vec::new(), missing, assumed, order: None, repair: None }
    }

    /// What drops the packet of a loss.
    pub(in crate::lifeline) fn deciding(&self, loss: &Loss) -> Deciding {
        let changed: Vec<&Key> = self.changed.iter().collect();
        explain::deciding(&self.world, &loss.way, &loss.packet, &changed)
    }

    /// The losses, explained.
    pub(in crate::lifeline) fn cuts(&self) -> Vec<Cut> {
        let explained = self.losses.iter().map(|loss| {
            let deciding = self.deciding(loss);
            let lifeline = &self.detected.lifelines[loss.lifeline];
            let noticed = explain::noticed(&self.world, &loss.way, &deciding, &loss.packet);
            Cut {
                lifeline: lifeline.id.clone(),
                severity: lifeline.severity,
                side: if loss.leaving { Side::Egress } else { Side::Ingress },
                pairs: loss.pairs,
                example: Example { source: loss.source.clone(), destination: loss.destination.clone() },
                packet: loss.packet,
                deciding,
                breaks: lifeline.breaks.clone(),
                noticed: noticed.to_owned(),
                step: None,
            }
        });
        explained.collect()
    }
}
