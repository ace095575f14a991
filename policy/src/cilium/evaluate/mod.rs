//! The exact set of packets that pass a host.
//!
//! Peers are taken by identity: the addresses of each identity are one set, each selector is a set of identities, each
//! element the packets between the host and those addresses on its ports. Written apart from `trace`: the two share the
//! compiled rules and the ipcache, nothing else.

mod datapath;
mod swap;
mod universe;

use std::collections::HashMap;
use std::sync::Arc;

use super::compile::{Element, Enforced, Peers, Port, Ports, Rule, State};
use super::identity::{Identity, NamedPorts, View};
use super::question::{Layer, Question};

use crate::packet::{
    Cube, Direction, Exhausted, IcmpSet, IpSet, Joins, PacketSet, PortSet, ProtocolSet, Region, Space, protocol,
};
pub(super) use swap::lost;
use universe::Mask;
pub(super) use universe::Universe;

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
    let universe = Universe::of_peers(state);
    let mut space = Space::with_budget(BUDGET);
    let regions = regions(state, &universe, question, &mut space, &mut Kept::default());
    Ok(Admitted {
        packets: space.store(regions.packets)?,
        not_judged: space.store(regions.not_judged)?,
        conditional: space.store(regions.conditional)?,
    })
}

/// An [`Admitted`] in the space it was worked out in.
pub(super) struct Regions {
    pub(super) packets: Region,
    pub(super) not_judged: Region,
    pub(super) conditional: Region,
}

/// What was worked out before in a space: good for other questions, and for other states with the same settings. Each
/// entry keeps what it is known by, so that its place stands for nothing else.
#[derive(Default)]
pub(super) struct Kept {
    /// What single rules say, by their place.
    rules: HashMap<(usize, Reading), (Arc<Rule>, Said)>,
    /// What all rules of a node say, the same way.
    all: HashMap<(Vec<usize>, Reading), Said>,
    /// Universes of a host alone, by the labels of its identity.
    hosts: HashMap<Identity, Universe>,
    joins: Joins,
}

/// How rules are read: in which direction, in which universe, and whether ports of SCTP are not.
type Reading = (Direction, u64, bool);

/// What rules say about packets.
#[derive(Clone, Copy)]
struct Said {
    allowed: Region,
    conditional: Region,
    denied: Region,
}

impl Kept {
    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.rules.len() + self.all.len() + self.hosts.len() + self.joins.len()
    }
}

/// The packets that pass. `universe` is that of the state's peers, and `kept` belongs to the space.
pub(super) fn regions(
    state: &State,
    universe: &Universe,
    question: &Question<'_>,
    space: &mut Space,
    kept: &mut Kept,
) -> Regions {
    let view = state.view(question.node);
    let host = question.layer == Layer::Host;
    let datapath = if host { datapath::regions(state, &view, question, space) } else { datapath::Regions::default() };
    let audited = host && state.settings.audit.value;
    judged(&datapath, audited, space, |space| policy(state, &view, universe, question, space, kept))
}

/// What passes the host layer between the addresses of a node, whichever these are, and those of others.
pub(super) fn with_others(
    state: &State,
    universe: &Universe,
    question: &Question<'_>,
    space: &mut Space,
    kept: &mut Kept,
) -> Region {
    let datapath = datapath::with_others(state, &state.view(question.node), question, space);
    let judge = |space: &mut Space| judge(state, universe, question, space, kept);
    judged(&datapath, state.settings.audit.value, space, judge).packets
}

/// What passes once policy has been asked about all that the datapath leaves to it, if there is any.
fn judged(
    datapath: &datapath::Regions,
    audited: bool,
    space: &mut Space,
    policy: impl FnOnce(&mut Space) -> Judgement,
) -> Regions {
    let judged = {
        let other = space.or_else(datapath.passed, datapath.dropped);
        space.complement(other)
    };
    let judgement = if judged == Space::EMPTY {
        Judgement { allowed: Space::EMPTY, conditional: Space::EMPTY }
    } else {
        policy(space)
    };
    let allowed = if audited { judged } else { space.within(judgement.allowed, judged) };
    Regions {
        packets: space.or_else(allowed, datapath.passed),
        not_judged: datapath.passed,
        conditional: space.within(judgement.conditional, allowed),
    }
}

struct Judgement {
    allowed: Region,
    conditional: Region,
}

/// What policy says: to peers as every agent sees them, and to the addresses of the node itself, which it alone sees as
/// the host.
fn policy(
    state: &State,
    view: &View<'_>,
    universe: &Universe,
    question: &Question<'_>,
    space: &mut Space,
    kept: &mut Kept,
) -> Judgement {
    let of_peers = judge(state, universe, question, space, kept);
    // Between its own addresses packets do not leave a host, and are judged by policy alone.
    let own: IpSet = view.own().collect();
    if own.is_empty() || question.layer == Layer::Host {
        return of_peers;
    }
    let host = kept.hosts.remove(view.host()).unwrap_or_else(|| Universe::of_host(state, view));
    let of_host = judge(state, &host, question, space, kept);
    kept.hosts.insert(view.host().clone(), host);
    let own = match question.direction {
        Direction::Egress => Cube { destination: own, ..Cube::any() },
        Direction::Ingress | Direction::Forward => Cube { source: own, ..Cube::any() },
    };
    let own = space.cube(&own, 1);
    let mut both = |host: Region, peers: Region| {
        let (host, peers) = (space.within(host, own), space.without(peers, own));
        space.or_else(host, peers)
    };
    Judgement {
        allowed: both(of_host.allowed, of_peers.allowed),
        conditional: both(of_host.conditional, of_peers.conditional),
    }
}

/// What the rules of a node say about packets to or from a universe.
fn judge(state: &State, universe: &Universe, question: &Question<'_>, space: &mut Space, kept: &mut Kept) -> Judgement {
    let direction = question.direction;
    let Enforced { enforced, default_deny } = state.enforcement(question.node, direction);
    if !enforced {
        return Judgement { allowed: Space::ALL, conditional: Space::EMPTY };
    }
    let place = Place::of(state, universe, direction, question.layer);
    let Said { allowed, conditional, denied } = place.all(state.rules_of(question.node, direction), space, kept);
    let allowed = if default_deny { space.or_else(allowed, conditional) } else { Space::ALL };
    Judgement { allowed: space.without(allowed, denied), conditional: space.without(conditional, denied) }
}

struct Place<'p> {
    universe: &'p Universe,
    ports: &'p NamedPorts,
    direction: Direction,
    without_sctp: bool,
    /// Whether rules may name prefixes that nobody in the universe has an identity by.
    new_prefixes: bool,
}

impl<'p> Place<'p> {
    fn of(state: &'p State, universe: &'p Universe, direction: Direction, layer: Layer) -> Self {
        Self {
            universe,
            ports: state.ipcache().ports(),
            direction,
            // The datapath reads no ports of a protocol that it does not track.
            without_sctp: layer == Layer::Host && !state.settings.sctp.value,
            new_prefixes: false,
        }
    }

    fn reading(&self) -> Reading {
        (self.direction, self.universe.id(), self.without_sctp)
    }

    fn all(&self, rules: &[Arc<Rule>], space: &mut Space, kept: &mut Kept) -> Said {
        let places = rules.iter().map(|rule| Arc::as_ptr(rule).addr()).collect();
        let key = (places, self.reading());
        if let Some(known) = kept.all.get(&key) {
            return *known;
        }
        let said: Vec<(u64, Said)> = rules
            .iter()
            .map(|rule| {
                let chance = Joins::chance(&rule.key.name) ^ Joins::chance(&rule.path).rotate_left(32);
                (chance, self.rule(rule, space, kept))
            })
            .collect();
        let mut union = |of: fn(&Said) -> Region| {
            let some: Vec<(u64, Region)> = said.iter().map(|(chance, said)| (*chance, of(said))).collect();
            kept.joins.first_match(space, &some)
        };
        let all = Said {
            allowed: union(|said| said.allowed),
            conditional: union(|said| said.conditional),
            denied: union(|said| said.denied),
        };
        kept.all.insert(key, all);
        all
    }

    fn rule(&self, rule: &Arc<Rule>, space: &mut Space, kept: &mut Kept) -> Said {
        let key = (Arc::as_ptr(rule).addr(), self.reading());
        if let Some((_, known)) = kept.rules.get(&key) {
            return *known;
        }
        let said = self.say(rule, space);
        kept.rules.insert(key, (Arc::clone(rule), said));
        said
    }

    /// What a rule says that is not kept.
    fn say(&self, rule: &Rule, space: &mut Space) -> Said {
        let (mut allows, mut denies, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
        for element in rule.of(self.direction) {
            let list = match (element.deny, element.condition) {
                (true, _) => &mut denies,
                (false, Some(_)) => &mut conditions,
                (false, None) => &mut allows,
            };
            list.extend(self.cubes(element).iter().map(|cube| space.cube(cube, 1)));
        }
        let allowed = space.first_match(&allows);
        Said { allowed, conditional: space.first_match(&conditions), denied: space.first_match(&denies) }
    }

    /// The packets that an element matches, as cubes.
    fn cubes(&self, element: &Element) -> Vec<Cube> {
        let Peers::Some(selectors) = &element.peers else { return Vec::new() };
        let (named, addresses) =
            if self.new_prefixes { self.universe.meant(selectors) } else { self.universe.selected(selectors) };
        let Some(ports) = &element.ports else {
            return vec![self.with(Cube::any(), addresses)];
        };
        ports.iter().flat_map(|port| self.port(port, &named, &addresses)).collect()
    }

    fn with(&self, cube: Cube, peers: IpSet) -> Cube {
        if self.direction == Direction::Egress {
            Cube { destination: peers, ..cube }
        } else {
            Cube { source: peers, ..cube }
        }
    }

    fn port(&self, port: &Port, named: &Mask, addresses: &IpSet) -> Vec<Cube> {
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
                .iter(named)
                .filter_map(|(identity, addresses)| {
                    let number = self.ports.get(identity, name, port.protocol)?;
                    let cube = Cube { protocols, destination_ports: PortSet::from(number), ..Cube::any() };
                    Some(self.with(cube, addresses.clone()))
                })
                .collect(),
            Ports::Named(_) => Vec::new(),
        }
    }
}
