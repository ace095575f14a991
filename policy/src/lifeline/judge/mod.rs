//! What a change does to the flows that a cluster lives on.
//!
//! A cut is a packet of a lifeline that passed before and does not after. Only that is held against a change: what did not
//! pass before is reported as broken, and a change that mends it is never in the way. Packets are judged as the first of
//! their flow; connections that are open are nobody's excuse.
//!
//! Packets from and to addresses that no node had before count as having passed: a node that joins or moves must be let
//! in. A state without a change is held against the same cluster without host policies.

mod answers;
mod change;
mod compare;
mod doubt;
mod ends;
mod explain;
mod glance;
mod ground;
mod hosts;
mod interfaces;
mod loss;
mod open;
mod order;
mod outcome;
mod pairs;
pub mod probe;
pub mod reach;
mod sieve;
mod traffic;
mod warm;
mod world;

use std::fmt;

use serde::Serialize;

use super::detect::{Detected, Missing};
use super::model::Severity;
use super::repair::Repair;
use crate::packet::Packet;
use crate::snapshot::Snapshot;

pub use change::{Change, ChangeError, is_same};
pub use doubt::{Doubt, DoubtKind, Stop};
pub use explain::Deciding;
pub use warm::Judge;
pub use world::Assumptions;

pub(in crate::lifeline) use answers::{ICMP, ICMPV6};
pub(in crate::lifeline) use change::apply;
pub(in crate::lifeline) use ends::PeerKind;
pub(in crate::lifeline) use loss::{Loss, Need, Passage, lines};
pub(in crate::lifeline) use outcome::Outcome;
pub(in crate::lifeline) use world::{Asker, World};

/// Finds the lifelines of a state, such as [`detect`](super::detect::detect) with a configuration.
pub type Detect<'d> = &'d (dyn Fn(&Snapshot) -> Detected + Send + Sync);

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

/// Judges changes, applied in their order, as a whole and step by step, and looks for a repair. Whoever judges more than
/// once keeps a [`Judge`].
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
    Judge::new(before, detect, assumptions).judge(changes)
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
    Judge::new(before, detect, assumptions).decide(changes)
}

/// Judges a state by itself: every packet of a lifeline that does not pass is cut.
pub fn judge_state(state: &Snapshot, detect: Detect<'_>, assumptions: &Assumptions) -> Judgement {
    Judge::new(state, detect, assumptions).state()
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
