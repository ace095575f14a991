//! Rules as a person writes them, expressions over them, and what they mean for one packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use policy::packet::{Cube, IcmpSet, IpSet, Packet, PacketSet, PortSet, ProtocolSet, Transport, protocol};
use proptest::prelude::*;
use proptest::sample::select;

/// A rule; an empty list says nothing.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) sources: Vec<IpNet>,
    pub(crate) not_sources: Vec<IpNet>,
    pub(crate) destinations: Vec<IpNet>,
    pub(crate) protocols: Vec<u8>,
    pub(crate) source_ports: Vec<(u16, u16)>,
    pub(crate) destination_ports: Vec<(u16, u16)>,
    pub(crate) icmp: Vec<(u8, Option<u8>)>,
}

impl Rule {
    pub(crate) fn cube(&self) -> Cube {
        let addresses = |nets: &[IpNet]| if nets.is_empty() { IpSet::all() } else { nets.iter().copied().collect() };
        let ports = |ranges: &[(u16, u16)]| match ranges {
            [] => PortSet::all(),
            _ => ranges.iter().map(|(first, last)| *first..=*last).collect(),
        };
        let icmp = |(kind, code): &(u8, Option<u8>)| {
            code.map_or_else(|| IcmpSet::kind(*kind), |code| IcmpSet::code(*kind, code))
        };
        Cube {
            source: addresses(&self.sources).difference(&self.not_sources.iter().copied().collect()),
            destination: addresses(&self.destinations),
            protocols: match &*self.protocols {
                [] => ProtocolSet::ALL,
                some => some.iter().copied().collect(),
            },
            source_ports: ports(&self.source_ports),
            destination_ports: ports(&self.destination_ports),
            icmp: match &*self.icmp {
                [] => IcmpSet::all(),
                some => some.iter().map(icmp).fold(IcmpSet::empty(), |all, one| all.union(&one)),
            },
        }
    }

    /// The meaning, field by field.
    pub(crate) fn admits(&self, packet: &Packet) -> bool {
        let within = |nets: &[IpNet], address| nets.iter().any(|net| net.contains(&address));
        let ports = |ranges: &[(u16, u16)], port: Option<u16>| {
            ranges.is_empty()
                || port.is_some_and(|port| ranges.iter().any(|(first, last)| (*first..=*last).contains(&port)))
                // Every port there is: says nothing, as an empty list.
                || PortSet::from_iter(ranges.iter().map(|(first, last)| *first..=*last)).is_all()
        };
        (self.sources.is_empty() || within(&self.sources, packet.source()))
            && !within(&self.not_sources, packet.source())
            && (self.destinations.is_empty() || within(&self.destinations, packet.destination()))
            && (self.protocols.is_empty() || self.protocols.contains(&packet.protocol()))
            && ports(&self.source_ports, packet.source_port())
            && ports(&self.destination_ports, packet.destination_port())
            && (self.icmp.is_empty()
                || packet.icmp().is_some_and(|(kind, code)| {
                    self.icmp.iter().any(|(wanted, only)| *wanted == kind && only.is_none_or(|only| only == code))
                }))
    }
}

/// A set made of rules.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Rule(Rule),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Minus(Box<Self>, Box<Self>),
}

impl Expression {
    pub(crate) fn set(&self) -> PacketSet {
        match self {
            Self::Rule(rule) => PacketSet::from(&rule.cube()),
            Self::Not(a) => !&a.set(),
            Self::And(a, b) => &a.set() & &b.set(),
            Self::Or(a, b) => &a.set() | &b.set(),
            Self::Minus(a, b) => &a.set() - &b.set(),
        }
    }

    pub(crate) fn admits(&self, packet: &Packet) -> bool {
        match self {
            Self::Rule(rule) => rule.admits(packet),
            Self::Not(a) => !a.admits(packet),
            Self::And(a, b) => a.admits(packet) && b.admits(packet),
            Self::Or(a, b) => a.admits(packet) || b.admits(packet),
            Self::Minus(a, b) => a.admits(packet) && !b.admits(packet),
        }
    }
}

pub(crate) fn expression() -> impl Strategy<Value = Expression> {
    rule().prop_map(Expression::Rule).prop_recursive(4, 12, 2, |inner| {
        let pair = (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            1 => inner.prop_map(|a| Expression::Not(Box::new(a))),
            2 => pair.clone().prop_map(|(a, b)| Expression::And(a, b)),
            3 => pair.clone().prop_map(|(a, b)| Expression::Or(a, b)),
            2 => pair.prop_map(|(a, b)| Expression::Minus(a, b)),
        ]
    })
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let nets = |most| prop::collection::vec(net(), 0..=most);
    let ports = || prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(port_range(), 1..4)];
    let icmp = prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::collection::vec((select(vec![0, 3, 8, 128, 255]), prop::option::of(select(vec![0, 1, 255]))), 1..3),
    ];
    let protocols = prop_oneof![
        2 => Just(Vec::new()),
        4 => select(protocols()).prop_map(|protocol| vec![protocol]),
        2 => prop::collection::vec(select(protocols()), 1..4),
        1 => prop::collection::vec(any::<u8>(), 1..300),
    ];
    (prop_oneof![4 => nets(3), 1 => nets(16)], nets(1), nets(2), protocols, ports(), ports(), icmp).prop_map(
        |(sources, not_sources, destinations, protocols, source_ports, destination_ports, icmp)| Rule {
            sources,
            not_sources,
            destinations,
            protocols,
            source_ports,
            destination_ports,
            icmp,
        },
    )
}

/// Packets near the ends of what [`rule`] makes.
pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    let addresses = prop_oneof![
        2 => (v4(), v4()).prop_map(|(source, destination)| (IpAddr::V4(source), IpAddr::V4(destination))),
        1 => (v6(), v6()).prop_map(|(source, destination)| (IpAddr::V6(source), IpAddr::V6(destination))),
    ];
    let protocol = prop_oneof![6 => select(protocols()), 1 => any::<u8>()];
    (addresses, protocol, port(), port()).prop_map(|((from, to), protocol, source, destination)| {
        let [kind, code] = [source, destination].map(|port| port as u8);
        let transport = match protocol {
            _ if protocol::has_ports(protocol) => Transport::Ports { protocol, source, destination },
            protocol::ICMP if from.is_ipv4() => Transport::Icmp { kind, code },
            protocol::ICMPV6 if from.is_ipv6() => Transport::Icmp { kind, code },
            _ => Transport::Other(protocol),
        };
        Packet::new(from, to, transport).expect("one family, and a transport that fits it")
    })
}

fn protocols() -> Vec<u8> {
    vec![0, protocol::ICMP, 2, protocol::TCP, protocol::UDP, 33, 47, protocol::ICMPV6, 132, 136, 255]
}

pub(crate) fn net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        2 => (v4(), select(vec![0, 1, 8, 15, 16, 17, 24, 28, 29, 30, 31, 32]))
            .prop_map(|(address, length)| IpNet::new(address.into(), length).expect("at most 32").trunc()),
        1 => (v6(), select(vec![0, 1, 8, 63, 64, 65, 112, 124, 126, 127, 128]))
            .prop_map(|(address, length)| IpNet::new(address.into(), length).expect("at most 128").trunc()),
    ]
}

fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let base = select(vec![0x0a00_0000_u32, 0x0a00_00f8, 0x0a01_0000, 0xc0a8_0000, 0, 0xffff_fff8]);
    prop_oneof![9 => (base, 0..8_u32).prop_map(|(base, low)| (base | low).into()), 1 => any::<u32>().prop_map(Into::into)]
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let base = select(vec![0xfd00_u128 << 112, 0xfd00_u128 << 112 | 1 << 64, 0x0a00_u128 << 112, 0, u128::MAX - 7]);
    prop_oneof![9 => (base, 0..8_u128).prop_map(|(base, low)| (base | low).into()), 1 => any::<u128>().prop_map(Into::into)]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        6 => select(vec![0, 1, 3, 8, 15, 16, 22, 128, 255, 256, 443, 4095, 4096, 32767, 32768, 65534, 65535]),
        1 => any::<u16>(),
    ]
}

pub(crate) fn port_range() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![port().prop_map(|port| (port, port)), (port(), port()).prop_map(|(a, b)| (a.min(b), a.max(b))),]
}
