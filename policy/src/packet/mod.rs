//! Packets, and exact sets of them.
//!
//! A packet is what a host policy can tell apart: addresses, protocol number, and ports or ICMP type and code. Whether
//! it belongs to a known connection is not part of it: everything is judged as the first packet of its flow.
//!
//! A rule is a [`Cube`]. Rules come together in a [`Space`], where the first that matches decides; what is kept, compared,
//! listed or asked for a sample is a [`PacketSet`].
//!
//! ```
//! use policy::packet::{Cube, IpSet, PacketSet, Preference, Space, protocol};
//!
//! let (allow, deny) = (1, 2);
//! let ssh = Cube { protocols: protocol::TCP.into(), destination_ports: 22.into(), ..Cube::any() };
//! let nodes: IpSet = ["10.0.0.7", "10.0.0.8"].iter().flat_map(|text| text.parse::<std::net::IpAddr>()).collect();
//!
//! let mut space = Space::new();
//! let rules = [
//!     space.cube(&Cube { source: nodes, ..ssh.clone() }, allow),
//!     space.cube(&ssh, deny),
//!     Space::everywhere(allow),
//! ];
//! let decided = space.first_match(&rules);
//! let denied = space.labelled(decided, deny);
//! let denied: PacketSet = space.store(denied)?;
//! assert_eq!(denied.cubes(1)[0].to_string(), "TCP 22 from 0.0.0.0-10.0.0.6,10.0.0.9-255.255.255.255 to any IPv4");
//!
//! let lost = denied.sample(&Preference::default()).map(|packet| packet.to_string());
//! assert_eq!(lost.as_deref(), Some("TCP 203.0.113.1:40000 -> 203.0.113.2:22"));
//! # Ok::<(), policy::packet::Exhausted>(())
//! ```

mod address;
mod cube;
mod held;
mod interval;
mod join;
mod listing;
mod ports;
pub mod protocol;
mod sample;
mod set;
mod space;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::net::Family;
use protocol::Shape;

pub use address::IpSet;
pub use cube::Cube;
pub use held::{Held, SharedSpace};
pub(crate) use held::{Loaded, Place};
pub(crate) use join::Joins;
pub use ports::{IcmpSet, PortSet};
pub use protocol::ProtocolSet;
pub use sample::Preference;
pub use set::PacketSet;
pub use space::{Exhausted, Label, Region, Space};

/// Which way a packet passes a host. Not part of a packet: the same packet leaves one host and enters another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// For an address of the host.
    Ingress,
    /// From the host itself.
    Egress,
    /// Through the host, routed from one interface to another. Only Calico's `applyOnForward` judges it.
    Forward,
}

/// One packet, the first of its flow.
///
/// Both addresses are of one family, and [`Transport`] fits protocol and family, so that one packet has one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Packet {
    source: IpAddr,
    destination: IpAddr,
    transport: Transport,
}

/// Protocol, and what a policy can match beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A protocol of [`protocol::WITH_PORTS`].
    Ports {
        /// Protocol number.
        protocol: u8,
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Any other protocol number. 1 in IPv6 and 58 in IPv4 are such: no engine reads a type or code there.
    Other(u8),
}

/// Why fields do not make a [`Packet`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// One address is IPv4, the other IPv6.
    #[error("{0} and {1} are of different families")]
    Families(IpAddr, IpAddr),
    /// Ports given for a protocol without, or absent for one with them.
    #[error("{} {}", protocol::label(*.0), if protocol::has_ports(*.0) { "has ports" } else { "has no ports" })]
    Ports(u8),
    /// Type and code given for a protocol without, or absent for one with them.
    #[error("type and code belong to ICMP in IPv4 and ICMPv6 in IPv6, and to nothing else (protocol {0})")]
    Icmp(u8),
}

impl Packet {
    /// A packet.
    ///
    /// # Errors
    ///
    /// The addresses are of two families, or `transport` is a second way to write, or no way to write, the protocol.
    pub fn new(source: IpAddr, destination: IpAddr, transport: Transport) -> Result<Self, PacketError> {
        let packet = Self { source, destination, transport };
        let family = packet.family();
        if family != Family::of(destination) {
            return Err(PacketError::Families(source, destination));
        }
        let number = packet.protocol();
        match (Shape::of(family, number), transport) {
            (Shape::Ports, Transport::Ports { .. })
            | (Shape::Icmp, Transport::Icmp { .. })
            | (Shape::Bare, Transport::Other(_)) => Ok(packet),
            (Shape::Icmp, _) => Err(PacketError::Icmp(number)),
            (Shape::Ports | Shape::Bare, _) => Err(PacketError::Ports(number)),
        }
    }

    /// Source address.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Destination address.
    pub fn destination(&self) -> IpAddr {
        self.destination
    }

    /// What follows the addresses.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Family of both addresses.
    pub fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// Protocol number.
    pub fn protocol(&self) -> u8 {
        match self.transport {
            Transport::Ports { protocol, .. } | Transport::Other(protocol) => protocol,
            Transport::Icmp { .. } => protocol::icmp(self.family()),
        }
    }

    /// Source port, where the protocol has ports.
    pub fn source_port(&self) -> Option<u16> {
        match self.transport {
            Transport::Ports { source, .. } => Some(source),
            Transport::Icmp { .. } | Transport::Other(_) => None,
        }
    }

    /// Destination port, where the protocol has ports.
    pub fn destination_port(&self) -> Option<u16> {
        match self.transport {
            Transport::Ports { destination, .. } => Some(destination),
            Transport::Icmp { .. } | Transport::Other(_) => None,
        }
    }

    /// Type and code, where the packet is ICMP of its own family.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        match self.transport {
            Transport::Icmp { kind, code } => Some((kind, code)),
            Transport::Ports { .. } | Transport::Other(_) => None,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, transport } = *self;
        let name = protocol::label(self.protocol());
        match transport {
            Transport::Ports { source: from, destination: to, .. } => {
                let (source, destination) = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
                write!(formatter, "{name} {source} -> {destination}")
            }
            Transport::Icmp { kind, code } => {
                write!(formatter, "{name} type {kind} code {code} {source} -> {destination}")
            }
            Transport::Other(_) => write!(formatter, "{name} {source} -> {destination}"),
        }
    }
}

/// A packet as JSON has it: flat, and without what the protocol lacks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
}

impl From<Packet> for Written {
    fn from(packet: Packet) -> Self {
        Self {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol(),
            source_port: packet.source_port(),
            destination_port: packet.destination_port(),
            icmp_type: packet.icmp().map(|(kind, _)| kind),
            icmp_code: packet.icmp().map(|(_, code)| code),
        }
    }
}

impl TryFrom<Written> for Packet {
    type Error = PacketError;

    fn try_from(written: Written) -> Result<Self, PacketError> {
        let Written { source, destination, protocol, source_port, destination_port, icmp_type, icmp_code } = written;
        let transport = match (source_port, destination_port, icmp_type, icmp_code) {
            (Some(source), Some(destination), None, None) => Transport::Ports { protocol, source, destination },
            (None, None, Some(kind), Some(code)) if protocol == protocol::icmp(Family::of(source)) => {
                Transport::Icmp { kind, code }
            }
            (None, None, None, None) => Transport::Other(protocol),
            (_, _, None, None) => return Err(PacketError::Ports(protocol)),
            _ => return Err(PacketError::Icmp(protocol)),
        };
        Self::new(source, destination, transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn packet(source: &str, destination: &str, transport: Transport) -> Result<Packet, PacketError> {
        Packet::new(address(source), address(destination), transport)
    }

    const SSH: Transport = Transport::Ports { protocol: protocol::TCP, source: 40000, destination: 22 };
    const PING: Transport = Transport::Icmp { kind: 8, code: 0 };

    #[test]
    fn a_packet_reads_like_a_line_of_a_log() {
        let text = |source, destination, transport| packet(source, destination, transport).expect(source).to_string();
        assert_eq!(text("10.0.0.1", "10.0.0.2", SSH), "TCP 10.0.0.1:40000 -> 10.0.0.2:22");
        assert_eq!(text("fd00::1", "fd00::2", SSH), "TCP [fd00::1]:40000 -> [fd00::2]:22");
        assert_eq!(text("10.0.0.1", "10.0.0.2", PING), "ICMP type 8 code 0 10.0.0.1 -> 10.0.0.2");
        assert_eq!(text("fd00::1", "fd00::2", PING), "ICMPv6 type 8 code 0 fd00::1 -> fd00::2");
        assert_eq!(text("10.0.0.1", "10.0.0.2", Transport::Other(47)), "GRE 10.0.0.1 -> 10.0.0.2");
        assert_eq!(text("10.0.0.1", "10.0.0.2", Transport::Other(200)), "protocol 200 10.0.0.1 -> 10.0.0.2");
    }

    #[test]
    fn a_packet_has_one_way_to_be_written() {
        let families = PacketError::Families(address("10.0.0.1"), address("fd00::1"));
        assert_eq!(packet("10.0.0.1", "fd00::1", SSH), Err(families));
        assert_eq!(packet("10.0.0.1", "10.0.0.2", Transport::Other(6)), Err(PacketError::Ports(6)));
        assert_eq!(packet("10.0.0.1", "10.0.0.2", Transport::Other(1)), Err(PacketError::Icmp(1)));
        assert_eq!(packet("fd00::1", "fd00::2", Transport::Other(58)), Err(PacketError::Icmp(58)));
        let gre = Transport::Ports { protocol: 47, source: 1, destination: 1 };
        assert_eq!(packet("10.0.0.1", "10.0.0.2", gre), Err(PacketError::Ports(47)));
        assert!(packet("fd00::1", "fd00::2", Transport::Other(1)).is_ok());
        assert!(packet("10.0.0.1", "10.0.0.2", Transport::Other(58)).is_ok());
    }

    #[test]
    fn json_is_flat_and_read_back() {
        for (source, destination, transport, text) in [
            (
                "10.0.0.1",
                "10.0.0.2",
                SSH,
                r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":6,"sourcePort":40000,"destinationPort":22}"#,
            ),
            (
                "fd00::1",
                "fd00::2",
                PING,
                r#"{"source":"fd00::1","destination":"fd00::2","protocol":58,"icmpType":8,"icmpCode":0}"#,
            ),
            (
                "10.0.0.1",
                "10.0.0.2",
                Transport::Other(47),
                r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":47}"#,
            ),
        ] {
            let packet = packet(source, destination, transport).expect(source);
            assert_eq!(serde_json::to_string(&packet).expect("serialises"), text);
            assert_eq!(serde_json::from_str::<Packet>(text).expect(text), packet);
        }
        for text in [
            r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":6}"#,
            r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":6,"sourcePort":1}"#,
            r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":58,"icmpType":8,"icmpCode":0}"#,
            r#"{"source":"10.0.0.1","destination":"10.0.0.2","protocol":47,"ttl":1}"#,
        ] {
            assert!(serde_json::from_str::<Packet>(text).is_err(), "{text}");
        }
    }
}
