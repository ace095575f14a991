//! What a comparison finds.

use std::collections::{BTreeSet, HashMap};

use super::ends::{End, PeerKind, Role};
use super::world::Way;
use crate::calico::question::Path;
use crate::lifeline::model::{Flow, Traffic};
use crate::packet::{Cube, Exhausted, IpSet, Packet, PacketSet, Preference};

/// Packets of a lifeline that are lost where they leave, or where they arrive.
#[derive(Clone, Debug)]
pub(in crate::lifeline) struct Loss {
    /// Index of the lifeline.
    pub(in crate::lifeline) lifeline: usize,
    /// Pairs of ends that lose packets.
    pub(in crate::lifeline) pairs: usize,
    pub(in crate::lifeline) source: String,
    pub(in crate::lifeline) destination: String,
    pub(in crate::lifeline) packet: Packet,
    /// The way that the packet does not pass.
    pub(in crate::lifeline) way: Way,
    /// Whether it leaves there, or arrives.
    pub(in crate::lifeline) leaving: bool,
    /// Everything that is lost there: what a repair must bring back.
    pub(in crate::lifeline) needs: Vec<Need>,
}

/// Traffic that nodes must let by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::lifeline) struct Need {
    pub(in crate::lifeline) nodes: BTreeSet<String>,
    pub(in crate::lifeline) leaving: bool,
    pub(in crate::lifeline) passage: Passage,
    /// The other ends.
    pub(in crate::lifeline) peers: IpSet,
    pub(in crate::lifeline) of: PeerKind,
    pub(in crate::lifeline) traffic: Vec<Traffic>,
}

/// How packets pass a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lifeline) enum Passage {
    /// To it or from it.
    End,
    /// Through it.
    Through,
    /// Inside it.
    Inside,
}

/// An end, and those whose packets it loses.
#[derive(Clone, Copy)]
pub(super) struct Ends<'e> {
    pub(super) end: &'e End,
    pub(super) others: &'e [&'e End],
    /// Which of the two the end is.
    pub(super) role: Role,
}

/// What is found for one lifeline, leaving and arriving.
#[derive(Default)]
pub(super) struct Found {
    sides: [Option<Side>; 2],
    /// Numbers of ends by name.
    numbers: HashMap<String, usize>,
}

struct Side {
    pairs: Pairs,
    packet: Packet,
    way: Way,
    example: (String, String),
    needs: Vec<Need>,
}

/// Pairs of ends, by their numbers: for each of the first, a bit for each of the second.
#[derive(Default)]
struct Pairs(Vec<Vec<u64>>);

impl Pairs {
    fn insert(&mut self, from: usize, to: usize) {
        if self.0.len() <= from {
            self.0.resize(from + 1, Vec::new());
        }
        let row = &mut self.0[from];
        if row.len() <= to / 64 {
            row.resize(to / 64 + 1, 0);
        }
        row[to / 64] |= 1 << (to % 64);
    }

    fn count(&self) -> usize {
        self.0.iter().flatten().map(|bits| bits.count_ones() as usize).sum()
    }
}

impl Found {
    /// Adds the packets that an end loses on a way, to or from some addresses. The packets themselves are asked for only
    /// where one of them is to be shown.
    pub(super) fn add(
        &mut self,
        ends: &Ends<'_>,
        way: &Way,
        peers: &IpSet,
        set: &mut dyn FnMut() -> Result<PacketSet, Exhausted>,
        flow: &Flow,
    ) -> Result<(), Exhausted> {
        let Ends { end, others, role } = *ends;
        let own = self.number(end);
        let numbers: Vec<usize> = others.iter().map(|other| self.number(other)).collect();
        let side = &mut self.sides[usize::from(role == Role::To)];
        let side = match side {
            Some(side) => side,
            None => match first(ends, way, &set()?) {
                Some(new) => side.insert(new),
                None => return Ok(()),
            },
        };
        for other in numbers {
            let (from, to) = if role == Role::From { (own, other) } else { (other, own) };
            side.pairs.insert(from, to);
        }
        let passage = match way.calico {
            Path::Forward { .. } => Passage::Through,
            Path::Local(_) => Passage::Inside,
            Path::Ingress(_) | Path::Egress(_) => Passage::End,
        };
        let of = others.first().map_or(PeerKind::Outside, |other| other.place.kind());
        let leaving = role == Role::From;
        let same = |need: &&mut Need| {
            (need.leaving, need.passage, need.of) == (leaving, passage, of) && need.traffic == flow.traffic
        };
        match side.needs.iter_mut().find(same) {
            Some(need) => {
                need.nodes.insert(way.node.to_string());
                if !peers.is_subset(&need.peers) {
                    need.peers = need.peers.union(peers);
                }
            }
            None => side.needs.push(Need {
                nodes: [way.node.to_string()].into(),
                leaving,
                passage,
                peers: peers.clone(),
                of,
                traffic: flow.traffic.clone(),
            }),
        }
        Ok(())
    }

    fn number(&mut self, end: &End) -> usize {
        if let Some(number) = self.numbers.get(&end.name) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(end.name.clone(), number);
        number
    }

    pub(super) fn into_losses(self, lifeline: usize) -> impl Iterator<Item = Loss> {
        self.sides.into_iter().zip([true, false]).filter_map(move |(side, leaving)| {
            let Side { pairs, packet, way, example: (source, destination), needs } = side?;
            Some(Loss { lifeline, pairs: pairs.count(), source, destination, packet, way, leaving, needs })
        })
    }
}

/// A side with a sample of the packets that are lost there first.
fn first(ends: &Ends<'_>, way: &Way, set: &PacketSet) -> Option<Side> {
    let Ends { end, others, role } = *ends;
    let known: Vec<_> = others.iter().flat_map(|other| other.known.iter().copied()).take(16).collect();
    let (sources, destinations) =
        if role == Role::From { (end.known.clone(), known) } else { (known, end.known.clone()) };
    let packet = set.sample(&Preference { sources, destinations })?;
    let peer = if role == Role::From { packet.destination() } else { packet.source() };
    let example = others.iter().find(|other| other.addresses(role.other()).contains(peer)).or_else(|| others.first());
    let other = example.map_or_else(|| end.name.clone(), |other| other.name.clone());
    let example = if role == Role::From { (end.name.clone(), other) } else { (other, end.name.clone()) };
    Some(Side { pairs: Pairs::default(), packet, way: way.clone(), example, needs: Vec::new() })
}

/// The first lines of a set, for a person.
pub(in crate::lifeline) fn lines(set: &PacketSet, most: usize) -> Vec<String> {
    let cubes: Vec<Cube> = set.cubes(most + 1);
    let mut lines: Vec<String> = cubes.iter().take(most).map(|cube| format!("{cube:.8}")).collect();
    if cubes.len() > most {
        lines.push("...".to_owned());
    }
    lines
}
