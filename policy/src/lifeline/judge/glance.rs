//! Changes of one policy that need no state after them to be judged.

use std::sync::{Mutex, PoisonError};

use super::warm::Judge;
use super::world::World;
use super::{Change, Judgement, Verdict, doubt};
use crate::lifeline::detect;
use crate::packet::{Exhausted, Held, PacketSet, SharedSpace};
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Key, Manifest};
use crate::warm::Lost;

/// Steps that one look at the packets of lifelines may take.
const BUDGET: u64 = 1 << 28;
/// Nodes of diagrams that looks may add to those of the lifelines.
const SLACK: usize = 100_000;

/// The packets of all lifelines, kept where others are held against them. Absent where they are too many.
#[derive(Debug, Default)]
pub(super) struct Packets(Mutex<Option<Result<(Held, usize), Exhausted>>>);

impl Packets {
    /// Whether any of some packets is one of them.
    fn meet(&self, others: &Held, all: impl FnOnce() -> PacketSet) -> Result<bool, Exhausted> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_large = |(held, size): &(Held, usize)| held.space().size() > size + SLACK;
        if kept.as_ref().is_none_or(|kept| kept.as_ref().is_ok_and(is_large)) {
            let held = SharedSpace::new(BUDGET).hold(&all());
            *kept = Some(held.map(|held| {
                let size = held.space().size();
                (held, size)
            }));
        }
        match &*kept {
            Some(Ok((held, _))) => Ok(!held.intersection(others)?.is_empty()),
            Some(Err(_)) | None => Err(Exhausted),
        }
    }
}

impl Judge<'_> {
    /// The judgement about one change, where a look at what its policy said and says tells that no lifeline loses
    /// anything: at a cost that does not grow with nodes and policies. `None` where more has to be looked at.
    ///
    /// It is that of [`decide`](Self::decide), which takes this look first.
    pub fn glance(&self, change: &Change) -> Option<Judgement> {
        let policy = match change {
            Change::Put(manifest) => Some(manifest),
            Change::Delete(_) => None,
        };
        if detect::reads(change.key()) {
            return None;
        }
        match self.may_lose(change.key(), policy).ok()? {
            Lost::Nothing => {}
            // Who is at the ends of some lifelines is not known: then all packets count.
            Lost::AtMost(_) if doubt::missing(&self.detected.missing).next().is_some() => return None,
            Lost::AtMost(lost) => {
                let reach = &self.ground().reach;
                let whole = change.key().group != CILIUM;
                let all = || reach.packets(&self.detected.lifelines, whole);
                let packets = if whole { &reach.packets } else { &reach.between };
                if packets.meet(&lost, all).ok()? {
                    return None;
                }
            }
            Lost::Unknown => return None,
        }
        Some(Judgement {
            verdict: Verdict::Safe,
            cuts: Vec::new(),
            stops: Vec::new(),
            doubts: Vec::new(),
            broken: Vec::new(),
            missing: self.detected.missing.clone(),
            assumed: doubt::assumed(&self.world),
            order: None,
            repair: None,
        })
    }

    fn may_lose(&self, key: &Key, policy: Option<&Manifest>) -> Result<Lost, Exhausted> {
        let World { calico, cilium, .. } = &self.world;
        if key.group != CILIUM {
            return calico.may_lose(key, policy);
        }
        if doubt::is_unread(&self.world, &self.assumptions) { Ok(Lost::Unknown) } else { cilium.may_lose(key, policy) }
    }
}
