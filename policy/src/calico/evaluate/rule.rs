//! The packets that a rule matches.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::calico::question::Translation;
use crate::calico::state::{Members, Peer, Rule, SetId, State};
use crate::net::Family;
use crate::packet::{Cube, IcmpSet, IpSet, Label, PortSet, ProtocolSet, Region, Space, protocol};

/// A space in which the rules of one state are put together.
pub(super) struct Builder<'s> {
    pub(super) space: Space,
    /// What NAT has done to the packets that the chains now see. Regions are always of packets before NAT.
    pub(super) translated: Option<&'s Translation>,
    state: &'s State,
    addresses: HashMap<SetId, IpSet>,
}

/// One way to satisfy a side of a rule.
struct Choice {
    addresses: IpSet,
    protocols: ProtocolSet,
    ports: PortSet,
}

impl<'s> Builder<'s> {
    pub(super) fn new(state: &'s State, space: Space) -> Self {
        Self { space, translated: None, state, addresses: HashMap::new() }
    }

    /// The packets of a rule, with a label.
    pub(super) fn rule(&mut self, rule: &Rule, label: Label) -> Region {
        let families = [(rule.families.v4, Family::IPv4), (rule.families.v6, Family::IPv6)];
        let families = families.into_iter().filter(|(exists, _)| *exists).map(|(_, family)| IpSet::family(family));
        let families = families.fold(IpSet::empty(), |all, family| all.union(&family));
        let protocols = rule.protocol.map_or(ProtocolSet::ALL, ProtocolSet::from);
        let protocols = rule.not_protocol.map_or(protocols, |not| protocols.difference(not.into()));
        let kinds =
            |(kind, code): (u8, Option<u8>)| code.map_or_else(|| IcmpSet::kind(kind), |code| IcmpSet::code(kind, code));
        let icmp = rule.icmp.map_or_else(IcmpSet::all, kinds);
        let icmp = rule.not_icmp.map_or_else(|| icmp.clone(), |not| icmp.difference(&kinds(not)));
        let sources = self.choices(&rule.source, &families);
        let destinations = self.choices(&rule.destination, &families);
        let mut cubes = Vec::new();
        for source in &sources {
            for destination in &destinations {
                let cube = Cube {
                    source: source.addresses.clone(),
                    destination: destination.addresses.clone(),
                    protocols: protocols.intersection(source.protocols).intersection(destination.protocols),
                    source_ports: source.ports.clone(),
                    destination_ports: destination.ports.clone(),
                    icmp: icmp.clone(),
                };
                cubes.push(self.cube(&cube, label));
            }
        }
        let mut region = self.space.first_match(&cubes);
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
        let Some(translation) = self.translated else {
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
            let with_ports = protocol::WITH_PORTS.into_iter().collect();
            touched.protocols = touched.protocols.intersection(with_ports);
            let all = cube.destination_ports.contains(port);
            touched.destination_ports = if all { PortSet::all() } else { PortSet::empty() };
        }
        let parts = [self.space.cube(&untouched, label), self.space.cube(&touched, label)];
        self.space.first_match(&parts)
    }

    /// Ways to satisfy a side: by a port's number, or by one of the members of a named port.
    fn choices(&mut self, peer: &Peer, families: &IpSet) -> Vec<Choice> {
        let mut addresses = families.clone();
        if !peer.nets.is_empty() {
            addresses = addresses.intersection(&peer.nets.iter().copied().collect());
        }
        if !peer.not_nets.is_empty() {
            addresses = addresses.difference(&peer.not_nets.iter().copied().collect());
        }
        for id in &peer.sets {
            addresses = addresses.intersection(&self.members(*id));
        }
        for id in &peer.not_sets {
            addresses = addresses.difference(&self.members(*id));
        }
        let excluded = ports(&peer.not_ports);
        let mut choices = Vec::new();
        if !peer.ports.is_empty() || peer.named.is_empty() {
            let ports = if peer.ports.is_empty() { PortSet::all() } else { ports(&peer.ports) };
            let (addresses, protocols) = (addresses.clone(), ProtocolSet::ALL);
            choices.push(Choice { addresses, protocols, ports: ports.difference(&excluded) });
        }
        let members: Vec<_> = peer.named.iter().flat_map(|id| listed(self.state, *id)).copied().collect();
        for (address, protocol, port) in members {
            let addresses = addresses.intersection(&IpSet::from_iter([address]));
            let ports = PortSet::from(port).difference(&excluded);
            choices.push(Choice { addresses, protocols: protocol.into(), ports });
        }
        choices
    }

    /// Addresses of a set, the same list each time.
    fn members(&mut self, id: SetId) -> IpSet {
        let state = self.state;
        let addresses = self.addresses.entry(id).or_insert_with(|| match &state.set(id).members {
            Members::Nets(nets) => nets.iter().copied().collect(),
            Members::Ports(_) => IpSet::empty(),
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
