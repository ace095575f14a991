//! IP protocol numbers, and which of them have ports.

use crate::net::Family;

/// ICMP. Has a type and a code in IPv4; over IPv6 it is a number like any other.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// DCCP.
pub const DCCP: u8 = 33;
/// ICMP for IPv6. Has a type and a code in IPv6; over IPv4 it is a number like any other.
pub const ICMPV6: u8 = 58;
/// SCTP.
pub const SCTP: u8 = 132;
/// UDP-Lite.
pub const UDPLITE: u8 = 136;

/// The protocols that have a source and a destination port.
pub const WITH_PORTS: [u8; 5] = [TCP, UDP, DCCP, SCTP, UDPLITE];

/// What follows the addresses in a packet of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Two ports.
    Ports,
    /// A type and a code.
    Icmp,
    /// Nothing that a host policy reads.
    Bare,
}

impl Shape {
    pub(super) fn of(family: Family, protocol: u8) -> Self {
        match (protocol, family) {
            (ICMP, Family::IPv4) | (ICMPV6, Family::IPv6) => Self::Icmp,
            _ if has_ports(protocol) => Self::Ports,
            _ => Self::Bare,
        }
    }
}

/// Whether packets of a protocol have ports.
pub fn has_ports(protocol: u8) -> bool {
    WITH_PORTS.contains(&protocol)
}

/// The ICMP of a family.
pub fn icmp(family: Family) -> u8 {
    match family {
        Family::IPv4 => ICMP,
        Family::IPv6 => ICMPV6,
    }
}

/// The name that people use for a protocol, where it has one that both CNIs or every administrator know.
pub fn name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        ICMP => "ICMP",
        2 => "IGMP",
        4 => "IPIP",
        TCP => "TCP",
        UDP => "UDP",
        DCCP => "DCCP",
        41 => "IPv6-in-IP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        ICMPV6 => "ICMPv6",
        89 => "OSPF",
        103 => "PIM",
        112 => "VRRP",
        SCTP => "SCTP",
        UDPLITE => "UDPLite",
        _ => return None,
    })
}

/// The name of a protocol, or `protocol N`.
pub fn label(protocol: u8) -> String {
    name(protocol).map_or_else(|| format!("protocol {protocol}"), str::to_owned)
}
