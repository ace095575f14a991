//! What a comparison finds.

use std::collections::BTreeSet;

use super::ends::{End, PeerKind, Role};
use super::world::Way;
use crate::calico::question::Path;
use crate::lifeline::model::{Flow, Traffic};
use crate::packet::{Cube, IpSet, Packet, PacketSet, Preference};

/// Lines of a set that are read to count the pairs in it.
const MOST_LINES: usize = 100_000;

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

/// An end, and those that it exchanges packets with.
#[derive(Clone, Copy)]
pub(super) struct Ends<'e> {
    pub(super) end: &'e End,
    pub(super) others: &'e [&'e End],
    /// Whether both are on one node.
    pub(super) here: bool,
    /// Which of the two the end is.
    pub(super) role: Role,
}

/// What is found for one lifeline, leaving and arriving.
#[derive(Default)]
pub(super) struct Found {
    sides: [Option<Side>; 2],
}

struct Side {
    pairs: BTreeSet<(String, String)>,
    packet: Packet,
    way: Way,
    example: (String, String),
    needs: Vec<Need>,
}

impl Found {
    /// Adds the packets that an end loses on a way.
    pub(super) fn add(&mut self, ends: &Ends<'_>, way: &Way, set: &PacketSet, flow: &Flow) {
        let Ends { end, others, here, role } = *ends;
        let cubes = set.cubes(MOST_LINES);
        let peers = cubes.iter().map(|cube| if role == Role::From { &cube.destination } else { &cube.source });
        let peers = peers.fold(IpSet::empty(), |all, one| all.union(one));
        let away = |other: &&&End| here || other.place.on().is_none() || other.place.on() != end.place.on();
        let hit = |other: &&&End| !other.addresses(role.other()).intersection(&peers).is_empty();
        let passage = match way.calico {
            Path::Forward { .. } => Passage::Through,
            Path::Local(_) => Passage::Inside,
            Path::Ingress(_) | Path::Egress(_) => Passage::End,
        };
        let hit: Vec<&End> =
            others.iter().filter(away).filter(|other| passage == Passage::Inside || hit(other)).copied().collect();
        let pair = |other: &End| match role {
            Role::From => (end.name.clone(), other.name.clone()),
            Role::To => (other.name.clone(), end.name.clone()),
        };
        let Some(side) = self.side(end, &hit, role, way, set, pair) else {
            return;
        };
        side.pairs.extend(hit.iter().map(|other| pair(other)));
        let of = hit.first().map_or(PeerKind::Outside, |other| other.place.kind());
        let leaving = role == Role::From;
        let same = |need: &&mut Need| {
            (need.leaving, need.passage, need.of) == (leaving, passage, of) && need.traffic == flow.traffic
        };
        match side.needs.iter_mut().find(same) {
            Some(need) => {
                need.nodes.insert(way.node.to_string());
                need.peers = need.peers.union(&peers);
            }
            None => side.needs.push(Need {
                nodes: [way.node.to_string()].into(),
                leaving,
                passage,
                peers,
                of,
                traffic: flow.traffic.clone(),
            }),
        }
    }

    /// The entry of a side; made with a sample of the packets where it is the first.
    fn side(
        &mut self,
        end: &End,
        hit: &[&End],
        role: Role,
        way: &Way,
        set: &PacketSet,
        pair: impl Fn(&End) -> (String, String),
    ) -> Option<&mut Side> {
        let side = &mut self.sides[usize::from(role == Role::To)];
        if side.is_none() {
            let known: Vec<_> = hit.iter().flat_map(|other| other.known.iter().copied()).take(16).collect();
            let (sources, destinations) =
                if role == Role::From { (end.known.clone(), known) } else { (known, end.known.clone()) };
            let packet = set.sample(&Preference { sources, destinations })?;
            let peer = if role == Role::From { packet.destination() } else { packet.source() };
            let example = hit.iter().find(|other| other.addresses(role.other()).contains(peer)).or_else(|| hit.first());
            let example = example.map_or_else(|| pair(end), |other| pair(other));
            *side = Some(Side { pairs: BTreeSet::new(), packet, way: way.clone(), example, needs: Vec::new() });
        }
        side.as_mut()
    }

    pub(super) fn into_losses(self, lifeline: usize) -> impl Iterator<Item = Loss> {
        self.sides.into_iter().zip([true, false]).filter_map(move |(side, leaving)| {
            let Side { pairs, packet, way, example: (source, destination), needs } = side?;
            Some(Loss { lifeline, pairs: pairs.len(), source, destination, packet, way, leaving, needs })
        })
    }
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
