//! The other ends of those that lose packets.

use std::collections::HashMap;
use std::rc::Rc;

use super::ends::{End, Other, PeerKind, Role};
use crate::lifeline::model::Flow;
use crate::packet::{Cube, IpSet, Region};

/// Lines of what is lost that are held against ends one by one.
pub(super) const MOST_CUBES: usize = 64;

/// The other ends of some, and what was found out about them.
pub(super) struct Pairs<'e> {
    pub(super) flow: &'e Flow,
    /// What of their packets passed at their place.
    pub(super) passed: Region,
    pub(super) others: &'e [&'e End],
    here: bool,
    /// Which end it is that they are the others of.
    pub(super) role: Role,
    /// Their addresses by the node that they are on.
    by_node: HashMap<usize, IpSet>,
    /// Packets as lines, up to [`MOST_CUBES`].
    pub(super) cubes: HashMap<Region, Rc<[Cube]>>,
    /// Which of them have one of some addresses.
    hits: HashMap<IpSet, Rc<[usize]>>,
}

impl<'e> Pairs<'e> {
    pub(super) fn new(flow: &'e Flow, passed: Region, others: &'e [&'e End], here: bool, role: Role) -> Self {
        let mut by_node: HashMap<usize, Vec<&IpSet>> = HashMap::new();
        for end in others {
            if let Some(node) = end.place.on() {
                by_node.entry(node).or_default().push(end.addresses(role.other()));
            }
        }
        let by_node = by_node.into_iter().map(|(node, all)| (node, IpSet::union_of(all))).collect();
        Self { flow, passed, others, here, role, by_node, cubes: HashMap::new(), hits: HashMap::new() }
    }

    /// Addresses of those on the node of an end, with which it has nothing to do.
    pub(super) fn near(&self, end: &End) -> Option<&IpSet> {
        if self.here { None } else { self.by_node.get(&end.place.on()?) }
    }

    /// The side of a line that is theirs.
    pub(super) fn peer<'c>(&self, cube: &'c Cube) -> &'c IpSet {
        if self.role == Role::From { &cube.destination } else { &cube.source }
    }

    /// Those that have one of some addresses, without those on the node of an end.
    pub(super) fn hits(&mut self, end: &End, peers: &IpSet) -> Vec<usize> {
        let Self { others, hits, role, here, .. } = self;
        let hits = hits.entry(peers.clone()).or_insert_with(|| {
            let hit = |(_, other): &(usize, &&End)| other.addresses(role.other()).meets(peers);
            others.iter().enumerate().filter(hit).map(|(index, _)| index).collect()
        });
        let away = |index: &&usize| {
            let on = others[**index].place.on();
            *here || on.is_none() || on != end.place.on()
        };
        hits.iter().filter(away).copied().collect()
    }
}

pub(super) fn other(others: &[&End], here: bool) -> Other {
    Other { pods: others.first().is_some_and(|end| end.place.kind() == PeerKind::Pods), here }
}

/// Ends by what they are.
pub(super) fn groups(ends: &[End]) -> Vec<Vec<&End>> {
    let mut groups: Vec<Vec<&End>> = Vec::new();
    for end in ends {
        let same = |group: &&mut Vec<&End>| {
            group.first().is_some_and(|one| std::mem::discriminant(&one.place) == std::mem::discriminant(&end.place))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(end),
            None => groups.push(vec![end]),
        }
    }
    groups
}
