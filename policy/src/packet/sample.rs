//! One packet of a set: one that a person would send.

use std::net::IpAddr;

use ipnet::IpNet;

use super::address::{v4, v6};
use super::protocol::{self, ProtocolSet, Shape};
use super::{Cube, IcmpSet, IpSet, Packet, PacketSet, PortSet, Space, Transport};
use crate::net::Family;

/// What a sample should look like, where the set leaves a choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preference {
    /// Source addresses, the best first.
    pub sources: Vec<IpAddr>,
    /// Destination addresses, the best first.
    pub destinations: Vec<IpAddr>,
}

/// Ports of the Linux client side (`net.ipv4.ip_local_port_range`).
const CLIENT_PORTS: std::ops::RangeInclusive<u16> = 32768..=60999;

/// Server ports that a reader of a message knows, the best first.
const SERVER_PORTS: [u16; 15] = [22, 443, 80, 53, 6443, 10250, 2379, 2380, 179, 123, 67, 68, 5473, 4789, 8472];

/// Addresses that stand for somebody out there (RFC 5737, RFC 3849).
const DOCUMENTATION: [&str; 2] = ["203.0.113.0/24", "2001:db8::/32"];

/// Addresses that do not travel between hosts: unspecified, loopback, link-local, multicast, reserved.
const NOT_ROUTED: [&str; 8] =
    ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "fec0::/10", "ff00::/8"];

impl PacketSet {
    /// A packet of the set; `None` if it is empty.
    ///
    /// Preferred addresses win over everything else, both over one. Then come addresses that travel, TCP before UDP before
    /// ICMP echo before the rest, a port that clients use, and a server port that readers know. The same set and
    /// preference always give the same packet.
    pub fn sample(&self, preference: &Preference) -> Option<Packet> {
        let mut space = Space::new();
        let mut region = space.load(self);
        for wish in wishes(preference) {
            let cube = space.cube(&wish, 1);
            let narrowed = space.within(region, cube);
            if narrowed != Space::EMPTY {
                region = narrowed;
            }
        }
        space.unbounded(region).cubes(1).first().and_then(|cube| pick(cube, preference))
    }
}

/// What is asked for in turn, each kept where something is left.
fn wishes(preference: &Preference) -> impl Iterator<Item = Cube> {
    let sources: IpSet = preference.sources.iter().copied().collect();
    let destinations: IpSet = preference.destinations.iter().copied().collect();
    let documentation = nets(&DOCUMENTATION);
    let routed = nets(&NOT_ROUTED).complement();
    let from = |source: &IpSet| Cube { source: source.clone(), ..Cube::any() };
    let to = |destination: &IpSet| Cube { destination: destination.clone(), ..Cube::any() };
    let of = |protocols: ProtocolSet| Cube { protocols, ..Cube::any() };
    let addresses =
        [from(&sources), to(&destinations), from(&documentation), to(&documentation), from(&routed), to(&routed)];
    let echo = |family, kind| Cube { icmp: IcmpSet::code(kind, 0), ..of(protocol::icmp(family).into()) };
    let transports = [
        of(protocol::TCP.into()),
        of(protocol::UDP.into()),
        echo(Family::IPv4, 8),
        echo(Family::IPv6, 128),
        of([protocol::SCTP, protocol::ICMP, protocol::ICMPV6].into_iter().collect()),
        Cube { source_ports: CLIENT_PORTS.into(), ..Cube::any() },
    ];
    let servers = SERVER_PORTS.map(|port| Cube { destination_ports: port.into(), ..Cube::any() });
    let others = Cube { destination_ports: PortSet::from(1..=*CLIENT_PORTS.start()), ..Cube::any() };
    addresses.into_iter().chain(transports).chain(servers).chain([others])
}

fn nets(texts: &[&str]) -> IpSet {
    texts.iter().filter_map(|text| text.parse::<IpNet>().ok()).collect()
}

fn pick(cube: &Cube, preference: &Preference) -> Option<Packet> {
    // A line of a listing is of one family, or of all addresses of both; and its protocols are of one shape.
    let family = if cube.source.v4.is_empty() { Family::IPv6 } else { Family::IPv4 };
    let source = address(&cube.source, &preference.sources, family, None)?;
    let destination = address(&cube.destination, &preference.destinations, family, Some(source))?;
    let number = cube.protocols.iter().next()?;
    let transport = match Shape::of(family, number) {
        Shape::Ports => Transport::Ports {
            protocol: number,
            source: port(&cube.source_ports, &[40000])?,
            destination: port(&cube.destination_ports, &SERVER_PORTS)?,
        },
        Shape::Icmp => {
            let [kind, code] = cube.icmp.intervals().ranges().first()?.0.to_be_bytes();
            Transport::Icmp { kind, code }
        }
        Shape::Bare => Transport::Other(number),
    };
    Packet::new(source, destination, transport).ok()
}

/// A preferred address, or the least one; neither the number of a network nor the address of the other end, if it can be.
fn address(set: &IpSet, preferred: &[IpAddr], family: Family, other: Option<IpAddr>) -> Option<IpAddr> {
    let fits = |address: &IpAddr| Family::of(*address) == family && set.contains(*address) && Some(*address) != other;
    if let Some(address) = preferred.iter().copied().find(fits) {
        return Some(address);
    }
    let ranges: Vec<(u128, u128)> = match family {
        Family::IPv4 => set.v4.ranges().iter().map(|(first, last)| (u128::from(*first), u128::from(*last))).collect(),
        Family::IPv6 => set.v6.ranges().to_vec(),
    };
    let (mask, written): (u128, fn(u128) -> IpAddr) = match family {
        Family::IPv4 => (0xff, |bits| v4(bits as u32)),
        Family::IPv6 => (0xffff, v6),
    };
    // Each range offers its first three: of those at most one is the other end, and one the number of a network.
    let offers = || ranges.iter().flat_map(|(first, last)| *first..=(*last).min(first.saturating_add(2)));
    let fits = |bits: &u128| bits & mask != 0 && Some(written(*bits)) != other;
    offers().find(fits).or_else(|| offers().next()).map(written)
}

fn port(ports: &PortSet, preferred: &[u16]) -> Option<u16> {
    let first = || ports.intervals().ranges().first().map(|(first, _)| *first);
    preferred.iter().copied().find(|port| ports.contains(*port)).or_else(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cube(source: &str, destination: &str, protocols: &[u8], ports: PortSet) -> Cube {
        let set = |text: &str| IpSet::from(text.parse::<IpNet>().expect(text));
        Cube {
            source: set(source),
            destination: set(destination),
            protocols: protocols.iter().copied().collect(),
            destination_ports: ports,
            ..Cube::any()
        }
    }

    fn sample(set: &PacketSet, sources: &[&str], destinations: &[&str]) -> String {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().expect(text)).collect();
        let preference = Preference { sources: parse(sources), destinations: parse(destinations) };
        let packet = set.sample(&preference).expect("not empty");
        assert!(set.contains(&packet), "{packet}");
        packet.to_string()
    }

    #[test]
    fn a_sample_is_a_packet_that_somebody_would_send() {
        let kubelet = PacketSet::from(&cube("10.0.0.0/8", "10.0.0.0/16", &[6], (10000..=11000).into()));
        assert_eq!(
            sample(&kubelet, &["192.168.0.1", "10.0.0.9"], &["10.0.0.9", "10.0.0.7"]),
            "TCP 10.0.0.9:40000 -> 10.0.0.7:10250"
        );
        assert_eq!(sample(&kubelet, &[], &[]), "TCP 10.0.0.1:40000 -> 10.0.0.2:10250");
        assert_eq!(sample(&PacketSet::all(), &[], &[]), "TCP 203.0.113.1:40000 -> 203.0.113.2:22");
        assert_eq!(sample(&PacketSet::all(), &["fd00::1"], &["10.0.0.1"]), "TCP [fd00::1]:40000 -> [2001:db8::1]:22");
        assert_eq!(
            sample(&PacketSet::all(), &["fd00::1"], &["10.0.0.1", "fd00::2"]),
            "TCP [fd00::1]:40000 -> [fd00::2]:22"
        );
        let one = PacketSet::from(&cube("10.0.0.0/32", "10.0.0.0/32", &[47, 50], PortSet::all()));
        assert_eq!(sample(&one, &[], &[]), "GRE 10.0.0.0 -> 10.0.0.0");
    }

    #[test]
    fn an_address_wins_over_a_protocol() {
        let everybody = PacketSet::from(&cube("0.0.0.0/0", "10.0.0.1/32", &[6], PortSet::all()));
        let node = PacketSet::from(&cube("10.0.0.2/32", "10.0.0.1/32", &[1], PortSet::all()));
        assert_eq!(sample(&(&everybody | &node), &["10.0.0.2"], &[]), "TCP 10.0.0.2:40000 -> 10.0.0.1:22",);
        let set = &(&everybody - &PacketSet::from(&cube("10.0.0.2/32", "0.0.0.0/0", &[6], PortSet::all()))) | &node;
        assert_eq!(sample(&set, &["10.0.0.2"], &[]), "ICMP type 8 code 0 10.0.0.2 -> 10.0.0.1");
    }

    #[test]
    fn nothing_has_no_sample() {
        assert_eq!(PacketSet::empty().sample(&Preference::default()), None);
    }
}
