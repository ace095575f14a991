//! Which packets of lifelines pass in one state and not in another.
//!
//! A packet passes if the CNIs of the node that sends it and of the node that receives it let it by, both of them where a
//! node has two. What one node loses is looked for once for all others: nodes and interfaces that the engines answer alike
//! share the answer, and only for packets that are lost somewhere is the other end asked.

use std::collections::HashMap;
use std::rc::Rc;

use super::ends::{
    End, Other, Place as On, Role, apart, ends, every_way, inside, itself, own_addresses, party, stays, ways,
};
use super::ground::Ground;
use super::hosts::Hosts;
use super::loss::{Ends, Found, Loss};
use super::pairs::{MOST_CUBES, Pairs, groups, other};
use super::sieve::Sieve;
use super::traffic::{loopback, regions_of, tunnels};
use super::world::{Answer, Asker, Way, World};
use crate::calico::question::{ICMP_NEW, ICMPV6_NEW, ICMPV6_UNTRACKED};
use crate::lifeline::model::{Flow, Lifeline, Party};
use crate::net::Family;
use crate::packet::{
    Cube, Direction, Exhausted, Held, IcmpSet, IpSet, Loaded, PacketSet, Place, Region, Space, protocol,
};

/// Steps that one comparison may take.
const BUDGET: u64 = 1 << 32;

/// Lines that are read to count the pairs in them.
const MOST_LINES: usize = 100_000;

/// What a comparison finds.
pub(super) struct Compared {
    pub(super) losses: Vec<Loss>,
    /// Whether no packet at all is lost on any way past any node, where that was asked for.
    pub(super) nothing_lost: bool,
}

/// Compares two states. `whole` asks whether anything at all is lost.
pub(super) fn compare(
    before: &World,
    after: &World,
    ground: &Ground,
    lifelines: &[Lifeline],
    whole: bool,
) -> Result<Compared, Exhausted> {
    let hosts = &ground.hosts;
    let (mut space, mut loaded) = (Space::with_budget(BUDGET), Loaded::default());
    let free = free(&mut space);
    let sieve = if hosts.fresh.is_empty() {
        Some(Sieve::new(&mut space, &mut loaded, free, before, after, ground)?)
    } else {
        // Addresses that are new count as having passed wherever they go.
        None
    };
    if sieve.as_ref().is_some_and(Sieve::is_empty) {
        return Ok(Compared { losses: Vec::new(), nothing_lost: true });
    }
    let fresh =
        [Cube { source: hosts.fresh.clone(), ..Cube::any() }, Cube { destination: hosts.fresh.clone(), ..Cube::any() }];
    let fresh = fresh.map(|cube| space.cube(&cube, 1));
    let fresh = space.first_match(&fresh);
    let (before, after) = (Asker::new(before), Asker::new(after));
    let passes = HashMap::new();
    let mut comparison = Comparison { before, after, hosts, sieve, space, loaded, free, fresh, passes };
    let mut losses = Vec::new();
    for (index, lifeline) in lifelines.iter().enumerate() {
        let mut found = Found::default();
        for (number, flow) in lifeline.flows.iter().enumerate() {
            if let Some(sieve) = &comparison.sieve
                && !sieve.holds(&mut comparison.space, flow, (index, number))?
            {
                continue;
            }
            comparison.flow(flow, &mut found)?;
        }
        losses.extend(found.into_losses(index));
    }
    let nothing_lost = whole && losses.is_empty() && comparison.loses_nothing()?;
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

struct Comparison<'c> {
    before: Asker<'c>,
    after: Asker<'c>,
    hosts: &'c Hosts,
    sieve: Option<Sieve<'c>>,
    space: Space,
    loaded: Loaded,
    free: Region,
    fresh: Region,
    /// The askers hold every answer until the comparison ends, so its place stands for nothing else.
    passes: HashMap<[Option<Place>; 4], Passes>,
}

impl Comparison<'_> {
    fn flow(&mut self, flow: &Flow, found: &mut Found) -> Result<(), Exhausted> {
        let traffic = regions_of(&mut self.space, &flow.traffic);
        if let Some(role) = inside(flow) {
            return self.itself(flow, role, traffic, found);
        }
        let froms = ends(self.hosts, flow, Role::From, self.hosts.masquerade);
        let tos = ends(self.hosts, flow, Role::To, self.hosts.masquerade);
        if !stays(flow) {
            for from in groups(&froms) {
                for to in groups(&tos) {
                    self.between(&from, &to, false, flow, traffic, found)?;
                }
            }
        }
        for from in &froms {
            let here = |to: &&End| to.place.on().is_some() && to.place.on() == from.place.on();
            for to in tos.iter().filter(here) {
                let pods = matches!(from.place, On::Pods(_)) || matches!(to.place, On::Pods(_));
                if pods && !matches!(from.place, On::Masqueraded(_)) {
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
            let mut pairs: Option<Pairs<'_>> = None;
            for end in own {
                if !end.place.on().is_some_and(|node| self.may_lose(node)) {
                    continue;
                }
                for (way, mine) in self.ways(end, other(others, here), role) {
                    let passes = self.passes(&way)?;
                    let lost = self.space.within(passes.lost, traffic);
                    if lost == Space::EMPTY {
                        continue;
                    }
                    let pairs = match &mut pairs {
                        Some(pairs) => pairs,
                        None => {
                            let passed = self.passed(others, own, here, role.other())?;
                            pairs.insert(Pairs::new(flow, passed, others, here, role))
                        }
                    };
                    self.lost(pairs, end, &way, lost, &mine, found)?;
                }
            }
        }
        Ok(())
    }

    /// What an end loses on a way of what went to or came from the others.
    fn lost(
        &mut self,
        pairs: &mut Pairs<'_>,
        end: &End,
        way: &Way,
        lost: Region,
        mine: &IpSet,
        found: &mut Found,
    ) -> Result<(), Exhausted> {
        let lost = self.space.within(lost, pairs.passed);
        if lost == Space::EMPTY {
            return Ok(());
        }
        let cubes = match pairs.cubes.get(&lost) {
            Some(cubes) => Rc::clone(cubes),
            None => {
                let cubes: Rc<[Cube]> = self.space.store(lost)?.cubes(MOST_CUBES).into();
                pairs.cubes.insert(lost, Rc::clone(&cubes));
                cubes
            }
        };
        let (space, role) = (&mut self.space, pairs.role);
        let with = |peers: IpSet| {
            let mine = mine.clone();
            let (source, destination) = if role == Role::From { (mine, peers) } else { (peers, mine) };
            Cube { source, destination, ..Cube::any() }
        };
        // Between its own addresses a node loses nothing in Cilium.
        let own = end.place.on().filter(|_| way.others).and_then(|node| self.hosts.all[node].own.as_ref());
        let near = match (pairs.near(end), own) {
            (Some(near), Some(own)) => Some(near.union(own)),
            (near, own) => near.or(own).cloned(),
        };
        let region = |space: &mut Space| {
            let everybody = space.cube(&with(IpSet::all()), 1);
            let region = space.within(lost, everybody);
            let near = near.clone().map_or(Space::EMPTY, |near| space.cube(&with(near), 1));
            space.without(region, near)
        };
        // Peers line by line, as long as there are few lines; what all ends lose alike is taken apart once.
        let peers = if cubes.len() < MOST_CUBES {
            let own = |cube: &&Cube| (if role == Role::From { &cube.source } else { &cube.destination }).meets(mine);
            IpSet::union_of(cubes.iter().filter(own).map(|cube| pairs.peer(cube)))
        } else {
            let region = region(space);
            IpSet::union_of(space.store(region)?.cubes(MOST_LINES).iter().map(|cube| pairs.peer(cube)))
        };
        let peers = near.as_ref().map_or_else(|| peers.clone(), |near| peers.difference(near));
        let hits = pairs.hits(end, &peers);
        if !peers.is_empty() && !hits.is_empty() {
            let others: Vec<&End> = hits.iter().map(|index| pairs.others[*index]).collect();
            let mut set = || {
                let region = region(space);
                space.store(region)
            };
            found.add(&Ends { end, others: &others, role }, way, &peers, &mut set, pairs.flow)?;
        }
        Ok(())
    }

    /// What passed at the ends, each with its own addresses, and between theirs and the others'.
    fn passed(&mut self, ends: &[&End], others: &[&End], here: bool, role: Role) -> Result<Region, Exhausted> {
        let mut sides: Vec<(Region, Vec<IpSet>)> = Vec::new();
        let mut places: HashMap<Region, usize> = HashMap::new();
        let mut add = |before: Region, own: IpSet| {
            let place = *places.entry(before).or_insert_with(|| {
                sides.push((before, Vec::new()));
                sides.len() - 1
            });
            sides[place].1.push(own);
        };
        for end in ends {
            let own = end.addresses(role);
            if ways(self.hosts, end, other(others, here), role).is_empty() {
                add(Space::ALL, own.clone());
            }
            for (way, own) in self.ways(end, other(others, here), role) {
                add(self.passes(&way)?.before, own);
            }
        }
        let mut all = Vec::new();
        for (before, own) in sides {
            let own = IpSet::union_of(&own);
            let cube = match role {
                Role::From => Cube { source: own, ..Cube::any() },
                Role::To => Cube { destination: own, ..Cube::any() },
            };
            let own = self.space.cube(&cube, 1);
            all.push(self.space.within(own, before));
        }
        Ok(self.space.first_match(&all))
    }

    /// A node to itself.
    fn itself(&mut self, flow: &Flow, role: Role, traffic: Region, found: &mut Found) -> Result<(), Exhausted> {
        for end in ends(self.hosts, flow, role, false) {
            let On::Node(index) = end.place else { continue };
            if !self.may_lose(index) {
                continue;
            }
            let host = &self.hosts.all[index];
            let way = itself(host);
            let passes = self.passes(&way)?;
            let loopback_only = *party(flow, role.other()) == Party::Loopback;
            let mut lost = self.space.within(passes.lost, traffic);
            if loopback_only {
                let tunnels = tunnels(&mut self.space, self.after.world, &host.name);
                lost = self.space.without(lost, tunnels);
            }
            if lost == Space::EMPTY {
                continue;
            }
            let families = [Family::IPv4, Family::IPv6].into_iter().filter(|family| host.has(*family));
            let mut own: Vec<IpSet> = families.map(loopback).collect();
            if !loopback_only {
                own.push(host.addresses.iter().copied().collect());
            }
            let cubes = own.into_iter().map(|own| Cube { source: own.clone(), destination: own, ..Cube::any() });
            let cubes: Vec<Region> = cubes.map(|cube| self.space.cube(&cube, 1)).collect();
            let own = self.space.first_match(&cubes);
            let region = self.space.within(own, lost);
            if region != Space::EMPTY {
                let set = self.space.store(region)?;
                let known = own_addresses(host, flow, role);
                let end = End { known, ..end };
                let ends = Ends { end: &end, others: &[&end], role: Role::From };
                let cubes = set.cubes(MOST_LINES);
                let peers = IpSet::union_of(cubes.iter().map(|cube| &cube.destination));
                found.add(&ends, &way, &peers, &mut || Ok(set.clone()), flow)?;
            }
        }
        Ok(())
    }

    /// Whether no packet is lost on any way past any node.
    fn loses_nothing(&mut self) -> Result<bool, Exhausted> {
        for (index, host) in self.hosts.all.iter().enumerate() {
            if !self.may_lose(index) {
                continue;
            }
            for way in every_way(host) {
                let direction = way.cilium.map(|(direction, _)| direction);
                for (way, _) in apart(host, way, IpSet::all()) {
                    let lost = self.passes(&way)?.lost;
                    let lost = match (&host.own, direction) {
                        (Some(own), Some(direction)) => self.part(lost, own, direction, way.others),
                        _ => lost,
                    };
                    if lost != Space::EMPTY {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// The packets of some between a node's own addresses and those of others, or all but these.
    fn part(&mut self, lost: Region, own: &IpSet, direction: Direction, with_others: bool) -> Region {
        let (near, far) = (own.clone(), own.complement());
        let (source, destination) = if direction == Direction::Egress { (near, far) } else { (far, near) };
        let between = self.space.cube(&Cube { source, destination, ..Cube::any() }, 1);
        if with_others { self.space.within(lost, between) } else { self.space.without(lost, between) }
    }

    /// The ways of packets between an end on a node and others, each with the end's addresses on it.
    fn ways(&self, end: &End, other: Other, role: Role) -> Vec<(Way, IpSet)> {
        let mine = end.addresses(role);
        let Some(host) = end.place.on().map(|node| &self.hosts.all[node]) else { return Vec::new() };
        let mut all = Vec::new();
        for (way, side) in ways(self.hosts, end, other, role) {
            let side = side.map_or_else(|| mine.clone(), |side| mine.intersection(&side));
            all.extend(apart(host, way, side).into_iter().filter(|(_, side)| !side.is_empty()));
        }
        all
    }

    /// Whether a node may lose anything.
    fn may_lose(&self, node: usize) -> bool {
        self.sieve.as_ref().is_none_or(|sieve| sieve.loses(node))
    }

    fn passes(&mut self, way: &Way) -> Result<Passes, Exhausted> {
        let (now, then) = (self.after.ask(way)?, self.before.ask(way)?);
        let place = |cilium: &Option<Held>| cilium.as_ref().map(Held::place);
        let key = [Some(then.0.place()), place(&then.1), Some(now.0.place()), place(&now.1)];
        if let Some(passes) = self.passes.get(&key) {
            return Ok(*passes);
        }
        let (now, then) = (self.both(&now), self.both(&then));
        let then = self.space.first_match(&[then, self.fresh]);
        let passes = Passes { before: then, lost: self.space.without(then, now) };
        self.passes.insert(key, passes);
        Ok(passes)
    }

    /// What both CNIs let by.
    fn both(&mut self, (calico, cilium): &Answer) -> Region {
        let calico = self.loaded.load(&mut self.space, calico);
        let calico = self.space.first_match(&[calico, self.free]);
        let cilium = cilium.as_ref().map(|cilium| self.loaded.load(&mut self.space, cilium));
        cilium.map_or(calico, |cilium| self.space.within(calico, cilium))
    }
}
