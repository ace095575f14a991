//! The packets that a rule matches.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;

use super::chain::{ACCEPTED, DROPPED, Kind, PASSED};
use super::selected::Selected;

use crate::calico::question::Translation;
use crate::calico::settings::{Dataplane, Settings};
use crate::calico::state::{Action, AddressSet, Families, Members, Peer, Policy, Profile, Rule, SetId, Side, State};
use crate::net::Family;
use crate::packet::{Cube, IcmpSet, IpSet, Joins, Label, PortSet, ProtocolSet, Region, Space};

/// A space in which the rules of one state are put together.
pub(super) struct Builder<'s> {
    pub(super) space: &'s mut Space,
    pub(super) kept: &'s mut Kept,
    pub(super) selected: &'s Selected,
    /// What NAT has done to the packets that the chains now see. Regions are always of packets before NAT.
    pub(super) translated: Option<Translation>,
    pub(super) state: &'s State,
    /// A number for all of the state but its policies.
    pub(super) frame: usize,
}

/// What was built before in a space: good for other questions, and for other states as far as they share policies and
/// sets. Each entry keeps what it is known by, so that its place stands for nothing else.
#[derive(Default)]
pub(in crate::calico) struct Kept {
    /// What lists of rules decide, by their place, direction and who looks at them; not those built for a translation.
    decided: HashMap<(usize, Side, By), Decided>,
    /// Members of sets within the families of a rule. Equal lists are one list, which the space then builds once.
    addresses: HashMap<(usize, Families), (Arc<AddressSet>, IpSet)>,
    /// Whole chains, not those built for a translation.
    pub(super) chains: HashMap<ChainKey, Region>,
    pub(super) joins: Joins,
}

/// The frame of a state, a number of policies and profiles there, what the chain is, the place of its settings, which live
/// as long as the frame does, and the packets that are invalid.
type ChainKey = (usize, usize, Side, Kind, usize, Region);

struct Decided {
    _rules: Rules,
    /// Sets that the rules refer to, as they were.
    sets: Vec<(SetId, Arc<AddressSet>)>,
    region: Region,
}

/// What of Felix's looks at rules.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum By {
    Chain,
    /// An eBPF program.
    Program,
}

impl By {
    /// What looks at most rules.
    pub(super) fn of(settings: &Settings) -> Self {
        if settings.dataplane.value == Dataplane::Bpf { Self::Program } else { Self::Chain }
    }
}

/// Who has a list of rules for each direction.
#[derive(Clone)]
pub(super) enum Rules {
    Policy(Arc<Policy>),
    Profile(Arc<Profile>),
}

impl Rules {
    fn place(&self) -> usize {
        match self {
            Self::Policy(policy) => Arc::as_ptr(policy).addr(),
            Self::Profile(profile) => Arc::as_ptr(profile).addr(),
        }
    }

    pub(super) fn of(&self, side: Side) -> &[Rule] {
        match (self, side) {
            (Self::Policy(policy), _) => policy.rules(side).unwrap_or_default(),
            (Self::Profile(profile), Side::Ingress) => &profile.ingress,
            (Self::Profile(profile), Side::Egress) => &profile.egress,
        }
    }
}

impl Kept {
    /// How many entries it has.
    pub(in crate::calico) fn len(&self) -> usize {
        self.decided.len() + self.addresses.len() + self.chains.len() + self.joins.len()
    }
}

/// One way to satisfy a side of a rule.
struct Choice {
    addresses: IpSet,
    ports: PortSet,
}

impl Builder<'_> {
    /// What a list of rules decides, the first match counting. Log decides nothing.
    pub(super) fn decided(&mut self, rules: &Rules, side: Side, by: By) -> Region {
        if self.translated.is_some() {
            return self.decide(rules.of(side), by);
        }
        let place = (rules.place(), side, by);
        if let Some(known) = self.kept.decided.get(&place)
            && known.sets.iter().all(|(id, set)| Arc::ptr_eq(self.state.set(*id), set))
        {
            return known.region;
        }
        let region = self.decide(rules.of(side), by);
        let sets = rules.of(side).iter().flat_map(|rule| rule.source.all_sets().chain(rule.destination.all_sets()));
        let sets = sets.map(|id| (id, Arc::clone(self.state.set(id)))).collect();
        self.kept.decided.insert(place, Decided { _rules: rules.clone(), sets, region });
        region
    }

    /// The same of rules that are not looked at again.
    pub(super) fn decide(&mut self, rules: &[Rule], by: By) -> Region {
        let mut regions = Vec::with_capacity(rules.len());
        for rule in rules {
            let label = match rule.action {
                Action::Allow => ACCEPTED,
                Action::Deny => DROPPED,
                Action::Pass => PASSED,
                Action::Log => continue,
            };
            regions.push(self.build(rule, label, by));
        }
        self.space.first_match(&regions)
    }

    fn build(&mut self, rule: &Rule, label: Label, by: By) -> Region {
        let protocols = rule.protocol.map_or(ProtocolSet::ALL, ProtocolSet::from);
        let protocols = rule.not_protocol.map_or(protocols, |not| protocols.difference(not.into()));
        let kinds =
            |(kind, code): (u8, Option<u8>)| code.map_or_else(|| IcmpSet::kind(kind), |code| IcmpSet::code(kind, code));
        let icmp = rule.icmp.map_or_else(IcmpSet::all, kinds);
        let icmp = rule.not_icmp.map_or_else(|| icmp.clone(), |not| icmp.difference(&kinds(not)));
        let sources = self.choices(&rule.source, rule.families, by);
        let destinations = self.choices(&rule.destination, rule.families, by);
        let any = [Choice { addresses: IpSet::all(), ports: PortSet::all() }];
        let mut packets = |sources: &[Choice], destinations: &[Choice]| {
            let pairs =
                sources.iter().flat_map(|source| destinations.iter().map(move |destination| (source, destination)));
            let cubes: Vec<Region> = pairs
                .map(|(source, destination)| {
                    let cube = Cube {
                        source: source.addresses.clone(),
                        destination: destination.addresses.clone(),
                        protocols,
                        source_ports: source.ports.clone(),
                        destination_ports: destination.ports.clone(),
                        icmp: icmp.clone(),
                    };
                    self.cube(&cube, label)
                })
                .collect();
            self.space.first_match(&cubes)
        };
        let mut region = if sources.len() > 1 && destinations.len() > 1 {
            // Named ports on both sides: not every pair of their members.
            let (from, to) = (packets(&sources, &any), packets(&any, &destinations));
            self.space.within(from, to)
        } else {
            packets(&sources, &destinations)
        };
        for (peer, destination) in [(&rule.source, false), (&rule.destination, true)] {
            for id in peer.service.into_iter() {
                let service = self.pairs(id, destination);
                region = self.space.within(region, service);
            }
            for id in &peer.not_named {
                let named = self.pairs(*id, destination);
                region = self.space.without(region, named);
            }
        }
        region
    }

    /// The packets of a cube as the chains see them, with a label.
    pub(super) fn cube(&mut self, cube: &Cube, label: Label) -> Region {
        let Some(translation) = &self.translated else {
            return self.space.cube(cube, label);
        };
        // NAT gives every packet of its family one destination; what is asked of that one holds for all or none.
        let family = IpSet::family(Family::of(translation.destination));
        let untouched = Cube { source: cube.source.difference(&family), ..cube.clone() };
        let mut touched = Cube { source: cube.source.intersection(&family), ..cube.clone() };
        touched.destination = if cube.destination.contains(translation.destination) { family } else { IpSet::empty() };
        if let Some(port) = translation.port
            && !cube.destination_ports.is_all()
        {
            // Whoever asks for ports asks for a protocol that has them.
            let all = cube.destination_ports.contains(port);
            touched.destination_ports = if all { PortSet::all() } else { PortSet::empty() };
        }
        let parts = [self.space.cube(&untouched, label), self.space.cube(&touched, label)];
        self.space.first_match(&parts)
    }

    /// Ways to satisfy a side: by a port's number, or by one of the members of a named port.
    fn choices(&mut self, peer: &Peer, families: Families, by: By) -> Vec<Choice> {
        let mut addresses: Option<IpSet> = None;
        let mut narrow = |set: IpSet| {
            addresses = Some(match &addresses {
                Some(addresses) => addresses.intersection(&set),
                None => set,
            });
        };
        for id in &peer.sets {
            narrow(self.members(*id, families));
        }
        if !peer.nets.is_empty() {
            let within: IpSet = peer.nets.iter().filter(|net| families.has(family(net))).copied().collect();
            narrow(if by == By::Chain { within.union(&whole(peer.overlooked)) } else { within });
        }
        let mut addresses = addresses.unwrap_or_else(|| whole(families));
        if !peer.not_nets.is_empty() {
            addresses = addresses.difference(&peer.not_nets.iter().copied().collect());
        }
        for id in &peer.not_sets {
            addresses = addresses.difference(&self.members(*id, families));
        }
        let excluded = ports(&peer.not_ports);
        let mut choices = Vec::new();
        if !peer.ports.is_empty() || peer.named.is_empty() {
            let ports = if peer.ports.is_empty() { PortSet::all() } else { ports(&peer.ports) };
            choices.push(Choice { addresses: addresses.clone(), ports: ports.difference(&excluded) });
        }
        let members: Vec<_> = peer.named.iter().flat_map(|id| listed(self.state, *id)).copied().collect();
        // Members have the protocol of the rule, which every rule with ports has.
        for (address, _, port) in members {
            let addresses = addresses.intersection(&IpSet::from_iter([address]));
            let ports = PortSet::from(port).difference(&excluded);
            choices.push(Choice { addresses, ports });
        }
        choices
    }

    /// Addresses of a set that are of some families, the same list each time.
    fn members(&mut self, id: SetId, families: Families) -> IpSet {
        let set = self.state.set(id);
        let place = (Arc::as_ptr(set).addr(), families);
        let (_, addresses) = self.kept.addresses.entry(place).or_insert_with(|| {
            let addresses = match &set.members {
                Members::Nets(nets) => nets.iter().filter(|net| families.has(family(net))).copied().collect(),
                Members::Ports(_) => IpSet::empty(),
            };
            (Arc::clone(set), addresses)
        });
        addresses.clone()
    }

    /// Packets to, or from, the addresses and ports of a set.
    fn pairs(&mut self, id: SetId, destination: bool) -> Region {
        let mut regions = Vec::new();
        for (address, protocol, port) in listed(self.state, id) {
            let (addresses, ports) = (IpSet::from_iter([*address]), PortSet::from(*port));
            let cube = if destination {
                Cube { destination: addresses, destination_ports: ports, ..Cube::any() }
            } else {
                Cube { source: addresses, source_ports: ports, ..Cube::any() }
            };
            let cube = Cube { protocols: (*protocol).into(), ..cube };
            regions.push(self.cube(&cube, 1));
        }
        self.space.first_match(&regions)
    }
}

fn listed(state: &State, id: SetId) -> &[(IpAddr, u8, u16)] {
    match &state.set(id).members {
        Members::Ports(ports) => ports,
        Members::Nets(_) => &[],
    }
}

fn ports(ranges: &[(u16, u16)]) -> PortSet {
    ranges.iter().map(|(from, to)| RangeInclusive::new(*from, *to)).collect()
}

fn family(net: &IpNet) -> Family {
    Family::of(net.addr())
}

/// Every address of some families.
fn whole(families: Families) -> IpSet {
    match families {
        Families { v4: true, v6: true } => IpSet::all(),
        Families { v4: true, v6: false } => IpSet::family(Family::IPv4),
        Families { v4: false, v6: true } => IpSet::family(Family::IPv6),
        Families { v4: false, v6: false } => IpSet::empty(),
    }
}
