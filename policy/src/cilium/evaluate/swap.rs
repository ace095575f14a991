//! What may be lost when the rules of one policy are put in the place of others, without a look at the other policies.
//!
//! A rule adds to what is allowed and to what is denied at the nodes that it selects, and denials go first. So where what
//! nothing allows was denied already, a packet can be lost in two ways only: a rule denies it now and did not before, or a
//! rule allowed it, did not deny it too, and does not allow it now. Rules that select the same nodes stand for each other.

use std::sync::Arc;

use super::universe::Universe;
use super::{Kept, Place};
use crate::cilium::compile::{Rule, State, Swap};
use crate::cilium::question::Layer;
use crate::packet::{Direction, Region, Space};

/// All packets that may be lost on some node, and maybe more.
pub(in crate::cilium) fn lost(
    state: &State,
    universe: &Universe,
    swap: &Swap,
    space: &mut Space,
    kept: &mut Kept,
) -> Region {
    let mut regions = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        let before = Place::of(state, universe, direction, Layer::Host);
        let after = Place { new_prefixes: !swap.same_prefixes, ..Place::of(state, universe, direction, Layer::Host) };
        let mut subjects: Vec<_> = swap.old.iter().chain(&swap.new).map(|rule| &rule.subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        for subject in subjects {
            let of = |rule: &&Arc<Rule>| rule.subject == *subject;
            let (mut allowed, mut denied) = (Vec::new(), Vec::new());
            for rule in swap.old.iter().filter(of) {
                let said = before.rule(rule, space, kept);
                allowed.extend([said.allowed, said.conditional]);
                denied.push(said.denied);
            }
            let (allowed, denied) = (space.first_match(&allowed), space.first_match(&denied));
            let (mut still, mut closed) = (vec![denied], Vec::new());
            for rule in swap.new.iter().filter(of) {
                let said = after.say(rule, space);
                still.extend([said.allowed, said.conditional]);
                closed.push(said.denied);
            }
            let (still, closed) = (space.first_match(&still), space.first_match(&closed));
            regions.push(space.without(allowed, still));
            regions.push(space.without(closed, denied));
        }
    }
    space.first_match(&regions)
}
