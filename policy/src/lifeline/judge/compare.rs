//! Which packets of lifelines pass in one state and not in another.
//!
//! A packet passes if the CNIs of the node that sends it and of the node that receives it let it by, both of them where a
//! node has two. What one node loses is looked for once for all others: nodes and interfaces that the engines answer alike
//! share the answer, and only for packets that are lost somewhere is the other end asked.

use std::collections::HashMap;

use super::ends::{End, Other, PeerKind, Place, Role, ends, every_way, itself, ways};
use super::hosts::Hosts;
use super::loss::{Ends, Found, Loss};
use super::traffic::{loopback, regions_of};
use super::world::{Answer, Asker, Way};
use crate::calico::question::{ICMP_NEW, ICMPV6_NEW, ICMPV6_UNTRACKED};
use crate::lifeline::model::{Flow, Lifeline, Party};
use crate::net::Family;
use crate::packet::{Cube, Exhausted, IcmpSet, IpSet, PacketSet, Region, Space, protocol};

/// Steps that one comparison may take.
const BUDGET: u64 = 1 << 32;

/// What a comparison finds.
pub(super) struct Compared {
    pub(super) losses: Vec<Loss>,
    /// Whether no packet at all is lost on any way past any node.
    pub(super) nothing_lost: bool,
}

/// Compares two states.
pub(super) fn compare(
    before: &mut Asker<'_>,
    after: &mut Asker<'_>,
    hosts: &Hosts,
    lifelines: &[Lifeline],
    masquerade: bool,
) -> Result<Compared, Exhausted> {
    let mut space = Space::with_budget(BUDGET);
    let free = free(&mut space);
    let fresh =
        [Cube { source: hosts.fresh.clone(), ..Cube::any() }, Cube { destination: hosts.fresh.clone(), ..Cube::any() }];
    let fresh = fresh.map(|cube| space.cube(&cube, 1));
    let fresh = space.first_match(&fresh);
    let (passes, loaded) = (HashMap::new(), HashMap::new());
    let mut comparison = Comparison { before, after, hosts, masquerade, space, free, fresh, passes, loaded };
    let mut losses = Vec::new();
    for (index, lifeline) in lifelines.iter().enumerate() {
        let mut found = Found::default();
        for flow in &lifeline.flows {
            comparison.flow(flow, &mut found)?;
        }
        losses.extend(found.into_losses(index));
    }
    let nothing_lost = losses.is_empty() && comparison.loses_nothing()?;
    comparison.space.check()?;
    Ok(Compared { losses, nothing_lost })
}

/// Answers and errors of ICMP, which connection tracking knows by the flow that they belong to: no policy of Calico is
/// asked about them then, and alone they never pass.
fn free(space: &mut Space) -> Region {
    let regions = free_cubes().map(|cube| space.cube(&cube, 1));
    space.first_match(&regions)
}

/// The same as a set.
pub(super) fn free_of_policy() -> PacketSet {
    free_cubes().iter().collect()
}

fn free_cubes() -> [Cube; 2] {
    let all = |kinds: &[u8]| kinds.iter().fold(IcmpSet::empty(), |all, kind| all.union(&IcmpSet::kind(*kind)));
    let judged_v6 = all(&ICMPV6_NEW).union(&all(&ICMPV6_UNTRACKED));
    [(Family::IPv4, all(&ICMP_NEW)), (Family::IPv6, judged_v6)].map(|(family, judged)| Cube {
        source: IpSet::family(family),
        protocols: protocol::icmp(family).into(),
        icmp: judged.complement(),
        ..Cube::any()
    })
}

/// What passes a way before, and what of it not after.
#[derive(Clone, Copy)]
struct Passes {
    before: Region,
    lost: Region,
}

struct Comparison<'c, 'b, 'a> {
    before: &'c mut Asker<'b>,
    after: &'c mut Asker<'a>,
    hosts: &'c Hosts,
    /// Whether pods may be behind the address of their node.
    masquerade: bool,
    space: Space,
    free: Region,
    fresh: Region,
    passes: HashMap<[Answer; 4], Passes>,
    loaded: HashMap<(Answer, bool), Region>,
}

/// A way that loses packets.
struct Lost {
    end: usize,
    way: Way,
    region: Region,
}

impl Comparison<'_, '_, '_> {
    fn flow(&mut self, flow: &Flow, found: &mut Found) -> Result<(), Exhausted> {
        let traffic = regions_of(&mut self.space, &flow.traffic);
        if flow.to == Party::Itself || flow.from == Party::Itself {
            return self.itself(flow, traffic, found);
        }
        let froms = ends(self.hosts, flow, Role::From, self.masquerade);
        let tos = ends(self.hosts, flow, Role::To, self.masquerade);
        for from in groups(&froms) {
            for to in groups(&tos) {
                self.between(&from, &to, false, flow, traffic, found)?;
            }
        }
        for from in &froms {
            let here = |to: &&End| to.place.on().is_some() && to.place.on() == from.place.on();
            for to in tos.iter().filter(here) {
                let pods = matches!(from.place, Place::Pods(_)) || matches!(to.place, Place::Pods(_));
                if pods && !matches!(from.place, Place::Masqueraded(_)) {
                    self.between(&[from], &[to], true, flow, traffic, found)?;
                }
            }
        }
        Ok(())
    }

    /// From each of some ends to each of others; all of a list are of one kind. Either both are alone and on one node
    /// (`here`), or ends on one node have nothing to do with each other.
    fn between(
        &mut self,
        froms: &[&End],
        tos: &[&End],
        here: bool,
        flow: &Flow,
        traffic: Region,
        found: &mut Found,
    ) -> Result<(), Exhausted> {
        for (role, own, others) in [(Role::From, froms, tos), (Role::To, tos, froms)] {
            let lost = self.lost(own, others, here, traffic, role)?;
            if lost.is_empty() {
                continue;
            }
            let passed = self.passed(others, own, here, role.other())?;
            for Lost { end, way, region } in lost {
                let region = self.space.within(region, passed);
                if region != Space::EMPTY {
                    let set = self.space.store(region)?;
                    found.add(&Ends { end: own[end], others, here, role }, &way, &set, flow);
                }
            }
        }
        Ok(())
    }

    /// Ways of each end that lose packets to or from the others.
    fn lost(
        &mut self,
        own: &[&End],
        others: &[&End],
        here: bool,
        traffic: Region,
        role: Role,
    ) -> Result<Vec<Lost>, Exhausted> {
        let mut peers: Option<Peers> = None;
        let mut all = Vec::new();
        for (index, end) in own.iter().enumerate() {
            for (way, side) in ways(self.hosts, end, other(others, here), role) {
                let passes = self.passes(&way)?;
                let lost = self.space.within(passes.lost, traffic);
                if lost == Space::EMPTY {
                    continue;
                }
                let peers = peers.get_or_insert_with(|| Peers::new(others, role.other()));
                let mine = end.addresses(role);
                let mine = side.map_or_else(|| mine.clone(), |side| mine.intersection(&side));
                let peers = if here { peers.everybody.clone() } else { peers.away_from(end) };
                let (source, destination) = if role == Role::From { (mine, peers) } else { (peers, mine) };
                let pairs = self.space.cube(&Cube { source, destination, ..Cube::any() }, 1);
                let region = self.space.within(pairs, lost);
                if region != Space::EMPTY {
                    all.push(Lost { end: index, way, region });
                }
            }
        }
        Ok(all)
    }

    /// What passed at the ends, each with its own addresses.
    fn passed(&mut self, ends: &[&End], others: &[&End], here: bool, role: Role) -> Result<Region, Exhausted> {
        let mut all = Vec::new();
        for end in ends {
            let ways = ways(self.hosts, end, other(others, here), role);
            let with = |space: &mut Space, side: Option<IpSet>| {
                let own = end.addresses(role);
                let own = side.map_or_else(|| own.clone(), |side| own.intersection(&side));
                let cube = match role {
                    Role::From => Cube { source: own, ..Cube::any() },
                    Role::To => Cube { destination: own, ..Cube::any() },
                };
                space.cube(&cube, 1)
            };
            if ways.is_empty() {
                let region = with(&mut self.space, None);
                all.push(region);
            }
            for (way, side) in ways {
                let passes = self.passes(&way)?;
                let own = with(&mut self.space, side);
                let region = self.space.within(own, passes.before);
                all.push(region);
            }
        }
        Ok(self.space.first_match(&all))
    }

    /// A node to itself.
    fn itself(&mut self, flow: &Flow, traffic: Region, found: &mut Found) -> Result<(), Exhausted> {
        let role = if flow.to == Party::Itself { Role::From } else { Role::To };
        for end in ends(self.hosts, flow, role, false) {
            let Place::Node(index) = end.place else { continue };
            let host = &self.hosts.all[index];
            let way = itself(host);
            let passes = self.passes(&way)?;
            let lost = self.space.within(passes.lost, traffic);
            if lost == Space::EMPTY {
                continue;
            }
            let families = [Family::IPv4, Family::IPv6].into_iter().filter(|family| host.has(*family));
            let mut own: Vec<IpSet> = families.map(loopback).collect();
            own.push(host.addresses.iter().copied().collect());
            let cubes = own.into_iter().map(|own| Cube { source: own.clone(), destination: own, ..Cube::any() });
            let cubes: Vec<Region> = cubes.map(|cube| self.space.cube(&cube, 1)).collect();
            let own = self.space.first_match(&cubes);
            let region = self.space.within(own, lost);
            if region != Space::EMPTY {
                let set = self.space.store(region)?;
                let known = host.interfaces.loopback.addresses.iter().chain(&host.addresses).copied().collect();
                let end = End { known, ..end };
                let ends = Ends { end: &end, others: &[&end], here: true, role: Role::From };
                found.add(&ends, &way, &set, flow);
            }
        }
        Ok(())
    }

    /// Whether no packet is lost on any way past any node.
    fn loses_nothing(&mut self) -> Result<bool, Exhausted> {
        for host in &self.hosts.all {
            for way in every_way(host) {
                if self.passes(&way)?.lost != Space::EMPTY {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn passes(&mut self, way: &Way) -> Result<Passes, Exhausted> {
        let after = [self.after.calico(way)?, self.after.cilium(way)?];
        let before = [self.before.calico(way)?, self.before.cilium(way)?];
        let key = [before[0], before[1], after[0], after[1]];
        if let Some(passes) = self.passes.get(&key) {
            return Ok(*passes);
        }
        let (now, then) = (self.both(after, true), self.both(before, false));
        let then = self.space.first_match(&[then, self.fresh]);
        let passes = Passes { before: then, lost: self.space.without(then, now) };
        self.passes.insert(key, passes);
        Ok(passes)
    }

    /// What both CNIs let by.
    fn both(&mut self, answers: [Answer; 2], now: bool) -> Region {
        let calico = self.load(answers[0], now);
        let calico = self.space.first_match(&[calico, self.free]);
        let cilium = self.load(answers[1], now);
        self.space.within(calico, cilium)
    }

    fn load(&mut self, answer: Answer, now: bool) -> Region {
        if let Some(region) = self.loaded.get(&(answer, now)) {
            return *region;
        }
        let set = if now { self.after.set(answer) } else { self.before.set(answer) };
        let region = self.space.load(set);
        self.loaded.insert((answer, now), region);
        region
    }
}

/// Addresses of the other ends.
struct Peers {
    everybody: IpSet,
    by_node: HashMap<usize, IpSet>,
}

impl Peers {
    fn new(others: &[&End], role: Role) -> Self {
        let mut by_node: HashMap<usize, IpSet> = HashMap::new();
        for end in others {
            if let Some(node) = end.place.on() {
                let own = by_node.entry(node).or_insert_with(IpSet::empty);
                *own = own.union(end.addresses(role));
            }
        }
        let everybody = others.iter().fold(IpSet::empty(), |all, end| all.union(end.addresses(role)));
        Self { everybody, by_node }
    }

    /// Without those on the node of an end.
    fn away_from(&self, end: &End) -> IpSet {
        let near = end.place.on().and_then(|node| self.by_node.get(&node));
        near.map_or_else(|| self.everybody.clone(), |near| self.everybody.difference(near))
    }
}

fn other(others: &[&End], here: bool) -> Other {
    Other { pods: others.first().is_some_and(|end| end.place.kind() == PeerKind::Pods), here }
}

/// Ends by what they are.
fn groups(ends: &[End]) -> Vec<Vec<&End>> {
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
