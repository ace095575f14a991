//! What a change loses whoever the peers are that Cilium's rules leave open: those that a DNS name, a group of a provider or a
//! service stands for.
//!
//! A packet with one of them may be meant or not, by each rule by itself. What two states leave open alike is the same in
//! both. So a packet may be lost in two ways: nothing allows it any more, most easily where nobody is meant that both states
//! leave open; or something denies it now, most easily where an open rule of both allows it. What only the state before
//! leaves open is lost most easily where it allowed, and what only the state after leaves open where it denies. A packet that
//! a deny of both meant did not pass before. That is all there is to try, for each direction, as what leaves one end and
//! what arrives at the other is meant by different rules.

use std::collections::BTreeSet;

use super::compare::{Compared, compare};
use super::ground::Ground;
use super::world::World;
use crate::cilium::compile::Open;
use crate::lifeline::model::Lifeline;
use crate::packet::{Direction, Exhausted};

/// Compares two states in each way of reading what they leave open, until something is lost. Arguments are those of
/// [`compare`].
pub(super) fn compare_all(
    before: &World,
    after: &World,
    ground: &Ground,
    lifelines: &[Lifeline],
    whole: bool,
) -> Result<Compared, Exhausted> {
    let mut all = Compared { losses: Vec::new(), nothing_lost: true };
    for (before, after) in readings(before, after) {
        let Compared { losses, nothing_lost } = compare(&before, &after, ground, lifelines, whole)?;
        all.nothing_lost &= nothing_lost;
        if !losses.is_empty() {
            return Ok(Compared { losses, ..all });
        }
    }
    Ok(all)
}

/// Both states, each way of reading them that differs from how they were compiled.
fn readings(before: &World, after: &World) -> Vec<(World, World)> {
    let (then, now) = (before.cilium.open(), after.cilium.open());
    let both: BTreeSet<&Open> =
        if after.cilium.has_open_of(&before.cilium) { then.intersection(&now).collect() } else { BTreeSet::new() };
    let allows = |direction| both.iter().any(|open| !open.deny && open.direction == direction);
    let extremes = |direction| if allows(direction) { &[false, true][..] } else { &[false] };
    let mut readings = Vec::new();
    for ingress in extremes(Direction::Ingress) {
        for egress in extremes(Direction::Egress) {
            let in_both =
                |open: &Open| !open.deny && if open.direction == Direction::Egress { *egress } else { *ingress };
            let first = before.read(&|open| if both.contains(open) { in_both(open) } else { !open.deny });
            let second = after.read(&|open| if both.contains(open) { in_both(open) } else { open.deny });
            if first.is_some() || second.is_some() {
                readings.push((first.unwrap_or_else(|| before.clone()), second.unwrap_or_else(|| after.clone())));
            }
        }
    }
    readings
}
