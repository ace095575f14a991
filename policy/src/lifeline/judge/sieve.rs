//! Which flows may lose packets at all: asked of one node of each class, before any pair of ends is looked at.

use std::collections::HashMap;

use super::ends::{Role, every_way, reach};
use super::hosts::Hosts;
use super::traffic::regions_of;
use super::world::World;
use crate::calico::engine::NodeClass;
use crate::cilium::question::{Layer, Path, Question};
use crate::lifeline::model::{Flow, Party};
use crate::packet::{Cube, Direction, Exhausted, Held, Region, Space};

/// Nodes that no policy tells apart, by their indices.
#[derive(Debug)]
pub(super) struct Classes(Vec<Vec<usize>>);

/// All of a node that what passes it can depend on, before a change and after it.
#[derive(PartialEq, Eq, Hash)]
struct Likeness {
    calico: [Option<NodeClass>; 2],
    links: usize,
    /// Groups in Cilium, where that has to do with hosts.
    cilium: Option<[Option<usize>; 2]>,
    /// The node itself, where Cilium's datapath may have changed.
    alone: Option<usize>,
}

impl Classes {
    pub(super) fn new(before: &World, after: &World, hosts: &Hosts) -> Self {
        let same = after.calico.has_nodes_of(&before.calico) && after.calico.has_groups_of(&before.calico);
        let cilium = firewall(before) || firewall(after);
        let alone = cilium && !after.cilium.has_datapath_of(&before.cilium);
        let mut classes: HashMap<Likeness, Vec<usize>> = HashMap::new();
        for (index, host) in hosts.all.iter().enumerate() {
            let class = |world: &World| world.calico.node_class(&host.name, host.interfaces.all());
            let likeness = Likeness {
                calico: [Some(class(before)), (!same).then(|| class(after))],
                links: host.interfaces.out.len(),
                cilium: cilium.then(|| [before, after].map(|world| world.cilium.group(&host.name))),
                alone: alone.then_some(index),
            };
            classes.entry(likeness).or_default().push(index);
        }
        let mut classes: Vec<Vec<usize>> = classes.into_values().collect();
        classes.sort_unstable();
        Self(classes)
    }

    /// Whether nodes of a class are alike after a change too, given that they are in the state itself.
    pub(super) fn hold(before: &World, after: &World) -> bool {
        let cilium = !(firewall(before) || firewall(after))
            || (after.cilium.has_groups_of(&before.cilium) && after.cilium.has_datapath_of(&before.cilium));
        cilium && after.calico.has_groups_of(&before.calico)
    }
}

/// What is lost on any node. More than that where Cilium is told apart by class only, and never less.
pub(super) struct Sieve<'h> {
    hosts: &'h Hosts,
    lost: Region,
    /// Whether a node loses anything.
    losing: Vec<bool>,
}

impl<'h> Sieve<'h> {
    pub(super) fn new(
        space: &mut Space,
        free: Region,
        before: &World,
        after: &World,
        hosts: &'h Hosts,
        classes: &Classes,
    ) -> Result<Self, Exhausted> {
        let mut losing = vec![false; hosts.all.len()];
        let mut found: HashMap<_, Region> = HashMap::new();
        let mut all = Vec::new();
        let mut lose = |space: &mut Space, then: &Held, now: &Held, calico: bool| -> Result<bool, Exhausted> {
            if then == now {
                return Ok(false);
            }
            let key = (then.place(), now.place());
            if let Some(known) = found.get(&key) {
                return Ok(*known != Space::EMPTY);
            }
            let region = space.load(&then.difference(now)?.set());
            let region = if calico { space.without(region, free) } else { region };
            found.insert(key, region);
            all.push((region, then.clone(), now.clone()));
            Ok(region != Space::EMPTY)
        };
        for class in &classes.0 {
            let Some(host) = class.first().map(|index| &hosts.all[*index]) else { continue };
            let mut loses = false;
            for way in every_way(host) {
                let question = way.question();
                let (then, now) = (before.calico.evaluate(&question)?, after.calico.evaluate(&question)?);
                loses |= lose(space, &then, &now, true)?;
            }
            if firewall(after) {
                let alike = after.cilium.has_datapath_of(&before.cilium);
                for direction in [Direction::Ingress, Direction::Egress] {
                    for path in [Path::Device(None), Path::Cilium] {
                        let question = Question { node: &host.name, direction, layer: Layer::Host, path };
                        let (then, now) = if alike {
                            (before.cilium.policy(&question)?, after.cilium.policy(&question)?)
                        } else {
                            (before.cilium.evaluate(&question)?.packets, after.cilium.evaluate(&question)?.packets)
                        };
                        loses |= lose(space, &then, &now, false)?;
                    }
                }
            }
            if loses {
                class.iter().for_each(|index| losing[*index] = true);
            }
        }
        let regions: Vec<Region> = all.iter().map(|(region, _, _)| *region).collect();
        let lost = space.first_match(&regions);
        Ok(Self { hosts, lost, losing })
    }

    /// Whether nothing is lost anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.lost == Space::EMPTY
    }

    /// Whether a node, by its index, may lose anything.
    pub(super) fn loses(&self, index: usize) -> bool {
        self.losing[index]
    }

    /// Whether a flow may lose packets.
    pub(super) fn holds(&self, space: &mut Space, flow: &Flow) -> bool {
        let traffic = regions_of(space, &flow.traffic);
        let lost = space.within(self.lost, traffic);
        if lost == Space::EMPTY || flow.from == Party::Itself || flow.to == Party::Itself {
            return lost != Space::EMPTY;
        }
        let [source, destination] = [Role::From, Role::To].map(|role| reach(self.hosts, flow, role));
        let pairs = space.cube(&Cube { source, destination, ..Cube::any() }, 1);
        space.within(pairs, lost) != Space::EMPTY
    }
}

fn firewall(world: &World) -> bool {
    world.cilium.state().settings.host_firewall.value
}
