//! What a change does to the flows that a cluster lives on.
//!
//! A cut is a packet of a lifeline that passed before and does not after. Only that is held against a change: what did not
//! pass before is reported as broken, and a change that mends it is never in the way. Packets are judged as the first of
//! their flow; connections that are open are nobody's excuse.
//!
//! Packets from and to addresses that no node had before count as having passed: a node that joins or moves must be let
//! in. A state without a change is held against the same cluster without host policies.

mod change;
mod compare;
mod doubt;
mod ends;
mod explain;
mod hosts;
mod interfaces;
mod loss;
mod order;
pub mod probe;
pub mod reach;
mod traffic;
mod world;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::detect::{Detected, Missing};
use super::model::{Lifeline, Severity};
use super::repair::{Repair, repair};
use crate::packet::Packet;
use crate::snapshot::{Key, Snapshot};

use compare::Compared;

pub use change::{Change, ChangeError};
pub use doubt::{Doubt, DoubtKind, Stop};
pub use explain::Deciding;
pub use world::Assumptions;

pub(in crate::lifeline) use change::apply;
pub(in crate::lifeline) use ends::PeerKind;
pub(in crate::lifeline) use loss::{Loss, Need, Passage, lines};
pub(in crate::lifeline) use world::{Asker, World};

/// Finds the lifelines of a state, such as [`detect`](super::detect::detect) with a configuration.
pub type Detect<'d> = &'d dyn Fn(&Snapshot) -> Detected;

/// A CNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cni {
    /// Calico.
    Calico,
    /// Cilium.
    Cilium,
}

/// Whether a change may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It cuts nothing, and that is proved.
    Safe,
    /// It cuts a lifeline, or stops an agent.
    Cuts,
    /// It was found to cut nothing, and what is not known may do so all the same.
    CannotProve,
}

/// What a change does.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Whether it may be made.
    pub verdict: Verdict,
    /// Lifelines that it cuts, the worst first.
    pub cuts: Vec<Cut>,
    /// Content of it that stops an agent.
    pub stops: Vec<Stop>,
    /// What stands in the way of a proof.
    pub doubts: Vec<Doubt>,
    /// Lifelines that do not pass even without it.
    pub broken: Vec<Cut>,
    /// Ends of lifelines that are not known, and therefore not judged.
    pub missing: Vec<Missing>,
    /// Values that were taken because nothing tells them.
    pub assumed: Vec<String>,
    /// An order of the changes, by their indices, in which no step cuts what the whole does not; where the given one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<usize>>,
    /// How to make it harmless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
}

/// Packets of a lifeline that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// The lifeline.
    pub lifeline: String,
    /// How bad that is.
    pub severity: Severity,
    /// Where they are lost.
    pub side: Side,
    /// Pairs of ends that lose packets.
    pub pairs: usize,
    /// One of the pairs.
    pub example: Example,
    /// One of the packets.
    pub packet: Packet,
    /// What drops it.
    pub deciding: Deciding,
    /// What breaks, for the one who is paged.
    pub breaks: String,
    /// When that is noticed.
    pub noticed: String,
    /// Only on the way: after so many of the changes, in the given order, and no longer after all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
}

/// Where packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Where they leave.
    Egress,
    /// Where they arrive.
    Ingress,
}

/// A pair of ends, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// Who sends.
    pub source: String,
    /// Who should get it.
    pub destination: String,
}

/// Judges changes, applied in their order, as a whole and step by step, and looks for a repair.
///
/// # Errors
///
/// A change is none: see [`ChangeError`].
pub fn judge(
    before: &Snapshot,
    changes: &[Change],
    detect: Detect<'_>,
    assumptions: &Assumptions,
) -> Result<Judgement, ChangeError> {
    let world = World::new(before, assumptions);
    let mut base = Base::new(&world, detect, assumptions);
    let outcome = base.outcome(changes)?;
    let repair = if outcome.is_bad() { repair(&mut base, changes, &outcome)? } else { None };
    let broken = base.broken();
    Ok(Judgement { broken, repair, ..base.judgement(changes, outcome)? })
}

/// Judges changes without looking for a repair, or for what is broken before them: the verdict alone, in a fraction of the
/// time.
///
/// # Errors
///
/// A change is none: see [`ChangeError`].
pub fn decide(
    before: &Snapshot,
    changes: &[Change],
    detect: Detect<'_>,
    assumptions: &Assumptions,
) -> Result<Judgement, ChangeError> {
    let world = World::new(before, assumptions);
    let mut base = Base::new(&world, detect, assumptions);
    let outcome = base.outcome(changes)?;
    base.judgement(changes, outcome)
}

/// Judges a state by itself: every packet of a lifeline that does not pass is cut.
pub fn judge_state(state: &Snapshot, detect: Detect<'_>, assumptions: &Assumptions) -> Judgement {
    let world = World::new(state, assumptions);
    let detected = detect(state);
    let bare = bare(state, assumptions);
    let outcome = Outcome::of((&bare, &mut Asker::new(&bare)), true, world, &[], detected, assumptions);
    let cuts = outcome.cuts();
    outcome.into_judgement(cuts)
}

/// The state before, against which changes are held.
pub(in crate::lifeline) struct Base<'b> {
    pub(in crate::lifeline) world: &'b World,
    asker: Asker<'b>,
    detected: Detected,
    detect: Detect<'b>,
    assumptions: &'b Assumptions,
}

/// What comes of changes as a whole.
pub(in crate::lifeline) struct Outcome {
    pub(in crate::lifeline) world: World,
    lifelines: Vec<Lifeline>,
    missing: Vec<Missing>,
    pub(in crate::lifeline) losses: Vec<Loss>,
    pub(in crate::lifeline) stops: Vec<Stop>,
    pub(in crate::lifeline) doubts: Vec<Doubt>,
    changed: Vec<Key>,
}

impl Outcome {
    /// `alone` says that the state before is only what the state at hand is held against.
    fn of(
        (before, asker): (&World, &mut Asker<'_>),
        alone: bool,
        world: World,
        changes: &[Change],
        detected: Detected,
        assumptions: &Assumptions,
    ) -> Self {
        let Detected { lifelines, missing, .. } = detected;
        let mut doubts = doubt::doubts(Some(before).filter(|_| !alone), &world, changes, assumptions);
        let known = if alone { BTreeSet::new() } else { doubt::stops(before) };
        let stops = doubt::stops(&world).difference(&known).cloned().collect();
        let hosts = hosts::hosts(before, &world);
        let masquerade = hosts::masquerades(&world.snapshot);
        let compared = compare::compare(asker, &mut Asker::new(&world), &hosts, &lifelines, masquerade);
        let losses = match compared {
            Ok(Compared { losses, nothing_lost }) => {
                // Where nothing is lost at all, it does not matter who would have needed it.
                doubts.extend(doubt::missing(&missing).filter(|_| !nothing_lost));
                losses
            }
            Err(_) => {
                doubts.push(doubt::exhausted());
                Vec::new()
            }
        };
        let changed = changes.iter().map(|change| change.key().clone()).collect();
        Self { world, lifelines, missing, losses, stops, doubts, changed }
    }

    /// Whether nothing is cut, no agent stops, and that is proved.
    pub(in crate::lifeline) fn is_safe(&self) -> bool {
        !self.is_bad() && self.doubts.is_empty()
    }

    /// Whether nothing is cut, no agent stops, and what is not known is what the snapshot lacks with another change too.
    pub(in crate::lifeline) fn mends(&self, other: &Self) -> bool {
        let lacked = |doubt: &Doubt| doubt.kind == DoubtKind::Missing && other.doubts.contains(doubt);
        !self.is_bad() && self.doubts.iter().all(lacked)
    }

    pub(in crate::lifeline) fn is_bad(&self) -> bool {
        !self.losses.is_empty() || !self.stops.is_empty()
    }

    /// The judgement about it, with the given cuts.
    fn into_judgement(self, mut cuts: Vec<Cut>) -> Judgement {
        cuts.sort_by_key(|cut| std::cmp::Reverse(cut.severity));
        let verdict = if !cuts.is_empty() || !self.stops.is_empty() {
            Verdict::Cuts
        } else if self.doubts.is_empty() {
            Verdict::Safe
        } else {
            Verdict::CannotProve
        };
        let assumed = doubt::assumed(&self.world);
        let Self { stops, doubts, missing, .. } = self;
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
            let lifeline = &self.lifelines[loss.lifeline];
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

impl<'b> Base<'b> {
    pub(in crate::lifeline) fn new(world: &'b World, detect: Detect<'b>, assumptions: &'b Assumptions) -> Self {
        let detected = detect(&world.snapshot);
        Self { world, asker: Asker::new(world), detected, detect, assumptions }
    }

    /// Judges changes as a whole.
    pub(in crate::lifeline) fn outcome(&mut self, changes: &[Change]) -> Result<Outcome, ChangeError> {
        let snapshot = apply(&self.world.snapshot, changes)?;
        let world = self.world.next(&snapshot, &changes.iter().map(Change::key).collect::<Vec<_>>(), self.assumptions);
        let detected = if changes.iter().any(|change| is_read_by_detection(change.key())) {
            let after = (self.detect)(&snapshot);
            Detected { lifelines: both(&self.detected.lifelines, after.lifelines), ..after }
        } else {
            self.detected.clone()
        };
        Ok(Outcome::of((self.world, &mut self.asker), false, world, changes, detected, self.assumptions))
    }

    /// What is cut by the whole and on the way, and an order in which nothing is.
    fn judgement(&mut self, changes: &[Change], outcome: Outcome) -> Result<Judgement, ChangeError> {
        let mut cuts = outcome.cuts();
        let mut order = None;
        if changes.len() > 1 {
            let steps = self.steps(changes, &cuts)?;
            if !steps.is_empty() && cuts.is_empty() {
                order = order::find(self, changes)?;
            }
            cuts.extend(steps);
        }
        Ok(Judgement { order, ..outcome.into_judgement(cuts) })
    }

    /// What is cut on the way, in the given order, and not after all of it.
    fn steps(&mut self, changes: &[Change], whole: &[Cut]) -> Result<Vec<Cut>, ChangeError> {
        let mut cuts: Vec<Cut> = Vec::new();
        for step in 1..changes.len() {
            for cut in self.outcome(&changes[..step])?.cuts() {
                let known = |one: &Cut| one.lifeline == cut.lifeline && one.side == cut.side;
                if !whole.iter().chain(&cuts).any(known) {
                    cuts.push(Cut { step: Some(step), ..cut });
                }
            }
        }
        Ok(cuts)
    }

    /// Lifelines that do not pass before any change.
    fn broken(&self) -> Vec<Cut> {
        let bare = bare(&self.world.snapshot, self.assumptions);
        let base = (&bare, &mut Asker::new(&bare));
        Outcome::of(base, true, self.world.clone(), &[], self.detected.clone(), self.assumptions).cuts()
    }
}

/// Whether finding lifelines reads objects of a kind. It reads nothing that only says what is admitted.
fn is_read_by_detection(key: &Key) -> bool {
    !matches!(
        key.kind.as_str(),
        "GlobalNetworkPolicy"
            | "StagedGlobalNetworkPolicy"
            | "Tier"
            | "GlobalNetworkSet"
            | "HostEndpoint"
            | "CiliumClusterwideNetworkPolicy"
            | "CiliumCIDRGroup"
    )
}

/// The same cluster with nothing that closes its hosts: what does not pass there, no host policy is to blame for.
fn bare(state: &Snapshot, assumptions: &Assumptions) -> World {
    let kinds = ["HostEndpoint", "KubeControllersConfiguration"];
    let closing = state.objects.keys().filter(|key| kinds.contains(&key.kind.as_str()));
    let open = closing.fold(state.clone(), |state, key| state.without(key));
    let mut assumptions = assumptions.clone();
    assumptions.cilium_settings.insert("enable-host-firewall".to_owned(), "false".to_owned());
    World::new(&open, &assumptions)
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

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Safe => "safe",
            Self::Cuts => "cuts",
            Self::CannotProve => "cannot-prove",
        })
    }
}

impl fmt::Display for Cni {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Calico => "Calico",
            Self::Cilium => "Cilium",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Egress => "leaving",
            Self::Ingress => "arriving",
        })
    }
}
