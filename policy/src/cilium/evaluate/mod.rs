//! The exact set of packets that pass a host.
//!
//! Peers are taken by identity: the addresses of each identity are one set, each selector is a set of identities, each
//! element the packets between the host and those addresses on its ports. Written apart from `trace`: the two share the
//! compiled rules and the ipcache, nothing else.

mod datapath;
mod universe;

use super::compile::{Element, Enforced, Peers, Port, Ports, State};
use super::identity::View;
use super::question::{Layer, Question};

use crate::packet::{
    Cube, Direction, Exhausted, IcmpSet, IpSet, PacketSet, PortSet, ProtocolSet, Region, Space, protocol,
};
use universe::{Mask, Universe};

/// Steps that one evaluation may take, which bounds its memory too; see [`Space::with_budget`].
pub const BUDGET: u64 = 10_000_000;

/// The packets that pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Everything that passes, judged or not.
    pub packets: PacketSet,
    /// The part that passes without policy having been asked.
    pub not_judged: PacketSet,
    /// The part that an allow lets by on a condition: mutual authentication, or the agent's proxy.
    pub conditional: PacketSet,
}

/// Computes which packets pass a node in a direction.
///
/// # Errors
///
/// The policies are too large for the budget of one evaluation.
pub fn evaluate(state: &State, question: &Question<'_>) -> Result<Admitted, Exhausted> {
    let view = state.view(question.node);
    let mut space = Space::with_budget(BUDGET);
    let host = question.layer == Layer::Host;
    let datapath =
        if host { datapath::regions(state, &view, question, &mut space) } else { datapath::Regions::default() };
    let judged = {
        let other = space.or_else(datapath.passed, datapath.dropped);
        space.complement(other)
    };
    let judgement = if judged == Space::EMPTY {
        Judgement { allowed: Space::EMPTY, conditional: Space::EMPTY }
    } else {
        policy(state, &view, question, &mut space)
    };
    let audited = host && state.settings.audit.value;
    let allowed = if audited { judged } else { space.within(judgement.allowed, judged) };
    let packets = space.or_else(allowed, datapath.passed);
    let conditional = space.within(judgement.conditional, allowed);
    Ok(Admitted {
        packets: space.store(packets)?,
        not_judged: space.store(datapath.passed)?,
        conditional: space.store(conditional)?,
    })
}

struct Judgement {
    allowed: Region,
    conditional: Region,
}

fn policy(state: &State, view: &View<'_>, question: &Question<'_>, space: &mut Space) -> Judgement {
    let direction = question.direction;
    let Enforced { enforced, default_deny } = state.enforcement(question.node, direction);
    if !enforced {
        return Judgement { allowed: Space::ALL, conditional: Space::EMPTY };
    }
    let universe = Universe::new(state, view);
    let mut place = Place {
        universe: &universe,
        view,
        direction,
        // The datapath reads no ports of a protocol that it does not track.
        without_sctp: question.layer == Layer::Host && !state.settings.sctp.value,
    };
    let (mut allows, mut denies, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
    for rule in state.rules_of(question.node, direction) {
        for element in rule.of(direction) {
            let cubes = place.cubes(element);
            let list = match (element.deny, element.condition) {
                (true, _) => &mut denies,
                (false, Some(_)) => &mut conditions,
                (false, None) => &mut allows,
            };
            list.extend(cubes.iter().map(|cube| space.cube(cube, 1)));
        }
    }
    let conditional = space.first_match(&conditions);
    let allowed = if default_deny {
        let allowed = space.first_match(&allows);
        space.or_else(allowed, conditional)
    } else {
        Space::ALL
    };
    let denied = space.first_match(&denies);
    Judgement { allowed: space.without(allowed, denied), conditional: space.without(conditional, denied) }
}

struct Place<'p> {
    universe: &'p Universe<'p>,
    view: &'p View<'p>,
    direction: Direction,
    without_sctp: bool,
}

impl Place<'_> {
    /// The packets that an element matches, as cubes.
    fn cubes(&mut self, element: &Element) -> Vec<Cube> {
        let Peers::Some(selectors) = &element.peers else { return Vec::new() };
        let mut peers = Mask::default();
        for selector in selectors {
            peers.add(&self.universe.select(selector));
        }
        let addresses = self.universe.addresses(&peers);
        let Some(ports) = &element.ports else {
            return vec![self.with(Cube::any(), addresses)];
        };
        ports.iter().flat_map(|port| self.port(port, &peers, &addresses)).collect()
    }

    fn with(&self, cube: Cube, peers: IpSet) -> Cube {
        if self.direction == Direction::Egress {
            Cube { destination: peers, ..cube }
        } else {
            Cube { source: peers, ..cube }
        }
    }

    fn port(&self, port: &Port, peers: &Mask, addresses: &IpSet) -> Vec<Cube> {
        let protocols = ProtocolSet::from(port.protocol);
        let blind = self.without_sctp && port.protocol == protocol::SCTP;
        match &port.ports {
            Ports::All => vec![self.with(Cube { protocols, ..Cube::any() }, addresses.clone())],
            Ports::Range(..) | Ports::Named(_) if blind => Vec::new(),
            Ports::Range(first, last) => {
                let cube = match port.protocol {
                    protocol::ICMP | protocol::ICMPV6 => {
                        let kinds = (*first..=*last).filter_map(|kind| u8::try_from(kind).ok());
                        let icmp = kinds.fold(IcmpSet::empty(), |set, kind| set.union(&IcmpSet::kind(kind)));
                        if icmp.is_empty() {
                            return Vec::new();
                        }
                        Cube { protocols, icmp, ..Cube::any() }
                    }
                    protocol::TCP | protocol::UDP | protocol::SCTP => {
                        Cube { protocols, destination_ports: PortSet::from(*first..=*last), ..Cube::any() }
                    }
                    // No packet of another protocol has a port.
                    _ => return Vec::new(),
                };
                vec![self.with(cube, addresses.clone())]
            }
            Ports::Named(name) if self.direction == Direction::Egress => self
                .universe
                .iter(peers)
                .filter_map(|(identity, addresses)| {
                    let number = self.view.ports().get(identity, name, port.protocol)?;
                    let cube = Cube { protocols, destination_ports: PortSet::from(number), ..Cube::any() };
                    Some(self.with(cube, addresses.clone()))
                })
                .collect(),
            Ports::Named(_) => Vec::new(),
        }
    }
}

impl State {
    /// Nodes in groups that the same rules select and whose verdicts therefore differ in nothing but which addresses are
    /// their own. In the order of names.
    pub fn classes(&self) -> Vec<Vec<&str>> {
        let mut classes: std::collections::BTreeMap<[Vec<usize>; 2], Vec<&str>> = std::collections::BTreeMap::new();
        for node in self.nodes() {
            let rules = [Direction::Ingress, Direction::Egress].map(|direction| {
                let own = self.rules_of(node, direction);
                let is_own = |rule: &&super::compile::Rule| own.iter().any(|one| std::ptr::eq(*one, *rule));
                self.rules.iter().enumerate().filter(|(_, rule)| is_own(rule)).map(|(at, _)| at).collect()
            });
            classes.entry(rules).or_default().push(node);
        }
        classes.into_values().collect()
    }
}
