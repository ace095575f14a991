//! Which flows may lose packets at all: asked of one node of each class, before any pair of ends is looked at.

use std::collections::{BTreeSet, HashMap};

use super::ends::{Role, every_way, inside, party, reach};
use super::glance::Packets;
use super::ground::Ground;
use super::hosts::Hosts;
use super::pairs::MOST_CUBES;
use super::traffic::{cube, regions_of};
use super::world::World;
use crate::calico::engine::NodeClass;
use crate::calico::question::Path as CalicoPath;
use crate::cilium::engine::NodeClass as CiliumClass;
use crate::cilium::question::{Layer, Path, Question};
use crate::lifeline::model::{Flow, Lifeline, Party};
use crate::packet::{Cube, Direction, Exhausted, Held, IpSet, Loaded, PacketSet, Place, Region, Space};

/// Nodes that no policy tells apart, by their indices.
#[derive(Debug)]
pub(super) struct Classes(Vec<Vec<usize>>);

/// All of a node that what passes it can depend on, before a change and after it.
#[derive(PartialEq, Eq, Hash)]
struct Likeness {
    calico: [Option<NodeClass>; 2],
    links: usize,
    /// Classes in Cilium, where that has to do with hosts.
    cilium: Option<[CiliumClass; 2]>,
    /// The node itself, where Cilium tells it apart from others of its class.
    alone: Option<usize>,
}

impl Classes {
    pub(super) fn new(before: &World, after: &World, hosts: &Hosts) -> Self {
        let same = after.calico.has_nodes_of(&before.calico) && after.calico.has_groups_of(&before.calico);
        let cilium = before.has_host_firewall() || after.has_host_firewall();
        let mut classes: HashMap<Likeness, Vec<usize>> = HashMap::new();
        for (index, host) in hosts.all.iter().enumerate() {
            let class = |world: &World| world.calico.node_class(&host.name, host.interfaces.all());
            let likeness = Likeness {
                calico: [Some(class(before)), (!same).then(|| class(after))],
                links: host.interfaces.out.len(),
                cilium: cilium.then(|| [before, after].map(|world| world.cilium.class(&host.name))),
                alone: (cilium && host.own.is_none()).then_some(index),
            };
            classes.entry(likeness).or_default().push(index);
        }
        let mut classes: Vec<Vec<usize>> = classes.into_values().collect();
        classes.sort_unstable();
        Self(classes)
    }

    /// Whether nodes of a class are alike after a change too, given that they are in the state itself.
    pub(super) fn hold(before: &World, after: &World) -> bool {
        let cilium = !(before.has_host_firewall() || after.has_host_firewall())
            || (after.cilium.has_groups_of(&before.cilium) && after.cilium.has_datapath_of(&before.cilium));
        cilium && after.calico.has_groups_of(&before.calico)
    }
}

/// Every address that the ends of flows may have, and maybe more: of those that send, and of those that get it. In the order
/// of lifelines and their flows.
#[derive(Debug)]
pub(super) struct Reach {
    all: Vec<Vec<[IpSet; 2]>>,
    /// Packets between them.
    pub(super) packets: Packets,
    /// The same without what nodes have to themselves, which Cilium never judges.
    pub(super) between: Packets,
}

impl Reach {
    pub(super) fn new(hosts: &Hosts, lifelines: &[Lifeline]) -> Self {
        let mut nodes: HashMap<&BTreeSet<String>, IpSet> = HashMap::new();
        let mut of = |flow, role| match party(flow, role) {
            Party::Nodes(names) => nodes.entry(names).or_insert_with(|| reach(hosts, flow, role)).clone(),
            Party::Addresses { .. } | Party::OwnPods(_) | Party::Itself | Party::Loopback => reach(hosts, flow, role),
        };
        let mut all = Vec::new();
        for lifeline in lifelines {
            let flows = lifeline.flows.iter().map(|flow| [Role::From, Role::To].map(|role| of(flow, role)));
            all.push(flows.collect());
        }
        Self { all, packets: Packets::default(), between: Packets::default() }
    }

    /// Every packet of the lifelines that these are the ends of, and maybe more. `whole` with what nodes have to themselves.
    pub(super) fn packets(&self, lifelines: &[Lifeline], whole: bool) -> PacketSet {
        let flows = lifelines.iter().zip(&self.all).flat_map(|(lifeline, ends)| lifeline.flows.iter().zip(ends));
        let flows = flows.filter(|(flow, _)| whole || inside(flow).is_none());
        let cubes = flows.flat_map(|(flow, [source, destination])| {
            flow.traffic.iter().map(cube).map(move |cube| Cube {
                source: cube.source.intersection(source),
                destination: cube.destination.intersection(destination),
                ..cube
            })
        });
        cubes.collect::<Vec<_>>().iter().collect()
    }
}

/// What is lost on any node. More than that where Cilium is told apart by class only, and never less.
pub(super) struct Sieve<'h> {
    reach: &'h Reach,
    /// On the ways between nodes and others.
    lost: Region,
    /// On the way of a node to itself.
    inside: Region,
    /// Whether a node loses anything.
    losing: Vec<bool>,
}

impl<'h> Sieve<'h> {
    pub(super) fn new(
        space: &mut Space,
        loaded: &mut Loaded,
        free: Region,
        before: &World,
        after: &World,
        ground: &'h Ground,
    ) -> Result<Self, Exhausted> {
        let Ground { hosts, classes, reach } = ground;
        let mut losing = vec![false; hosts.all.len()];
        let mut differences = Differences { loaded, known: HashMap::new(), held: Vec::new() };
        let (mut lost, mut inside) = (Vec::new(), Vec::new());
        for class in &classes.0 {
            let Some(host) = class.first().map(|index| &hosts.all[*index]) else { continue };
            let mut loses = false;
            for way in every_way(host) {
                let (then, now) = (before.passes_calico(&way)?, after.passes_calico(&way)?);
                let region = differences.of(space, then, now)?;
                let region = space.without(region, free);
                loses |= region != Space::EMPTY;
                let all = if matches!(way.calico, CalicoPath::Local(_)) { &mut inside } else { &mut lost };
                all.push(region);
            }
            if after.has_host_firewall() {
                for direction in [Direction::Ingress, Direction::Egress] {
                    for path in [Path::Device(None), Path::Cilium] {
                        let question = Question { node: &host.name, direction, layer: Layer::Host, path };
                        let (then, now) = if host.own.is_some() {
                            (before.cilium.with_others(&question)?, after.cilium.with_others(&question)?)
                        } else {
                            (before.cilium.evaluate(&question)?.packets, after.cilium.evaluate(&question)?.packets)
                        };
                        let region = differences.of(space, then, now)?;
                        loses |= region != Space::EMPTY;
                        lost.push(region);
                    }
                }
            }
            if loses {
                class.iter().for_each(|index| losing[*index] = true);
            }
        }
        let [lost, inside] = [lost, inside].map(|mut regions| {
            regions.sort_unstable();
            regions.dedup();
            space.first_match(&regions)
        });
        Ok(Self { reach, lost, inside, losing })
    }

    /// Whether nothing is lost anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.lost == Space::EMPTY && self.inside == Space::EMPTY
    }

    /// Whether a node, by its index, may lose anything.
    pub(super) fn loses(&self, index: usize) -> bool {
        self.losing[index]
    }

    /// Whether a flow may lose packets, given its place among the lifelines.
    pub(super) fn holds(&self, space: &mut Space, flow: &Flow, place: (usize, usize)) -> Result<bool, Exhausted> {
        let traffic = regions_of(space, &flow.traffic);
        let lost = space.within(if inside(flow).is_some() { self.inside } else { self.lost }, traffic);
        if lost == Space::EMPTY {
            return Ok(false);
        }
        let [source, destination] = &self.reach.all[place.0][place.1];
        let cubes = space.store(lost)?.cubes(MOST_CUBES);
        if cubes.len() < MOST_CUBES {
            return Ok(cubes.iter().any(|cube| cube.source.meets(source) && cube.destination.meets(destination)));
        }
        let pairs = Cube { source: source.clone(), destination: destination.clone(), ..Cube::any() };
        let pairs = space.cube(&pairs, 1);
        Ok(space.within(pairs, lost) != Space::EMPTY)
    }
}

/// What passed before and does not after, each pair of answers once.
struct Differences<'l> {
    loaded: &'l mut Loaded,
    known: HashMap<(Place, Place), Region>,
    /// Keeps the places of answers from being used again.
    held: Vec<[Held; 2]>,
}

impl Differences<'_> {
    fn of(&mut self, space: &mut Space, then: Held, now: Held) -> Result<Region, Exhausted> {
        if then.place() == now.place() {
            return Ok(Space::EMPTY);
        }
        let key = (then.place(), now.place());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let region = if then.space().is(now.space()) {
            // Found by what is known there, and mostly small.
            self.loaded.load(space, &then.difference(&now)?)
        } else {
            let (then, now) = (self.loaded.load(space, &then), self.loaded.load(space, &now));
            space.without(then, now)
        };
        self.known.insert(key, region);
        self.held.push([then, now]);
        Ok(region)
    }
}
