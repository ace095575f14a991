//! The packets that one rule can name.

use std::fmt;

use super::protocol::{ProtocolSet, Shape};
use super::{IcmpSet, IpSet, Packet, PortSet, Transport};

/// A packet for every choice of one value per field: what a rule matches, and one line of a listing.
///
/// Ports narrow to protocols that have them, and `icmp` to ICMP of the packet's family: a packet without a field is in
/// the cube only if the cube leaves that field open. A family is chosen by addresses ([`IpSet::family`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cube {
    /// Source addresses.
    pub source: IpSet,
    /// Destination addresses.
    pub destination: IpSet,
    /// Protocols.
    pub protocols: ProtocolSet,
    /// Source ports; all of them says nothing about whether there is one.
    pub source_ports: PortSet,
    /// Destination ports; all of them says nothing about whether there is one.
    pub destination_ports: PortSet,
    /// ICMP types with codes; all of them says nothing about whether the packet is ICMP.
    pub icmp: IcmpSet,
}

impl Cube {
    /// Every packet; narrow it with `Cube { protocols: 6.into(), ..Cube::any() }`.
    pub fn any() -> Self {
        Self {
            source: IpSet::all(),
            destination: IpSet::all(),
            protocols: ProtocolSet::ALL,
            source_ports: PortSet::all(),
            destination_ports: PortSet::all(),
            icmp: IcmpSet::all(),
        }
    }

    /// Whether a packet is in it.
    pub fn contains(&self, packet: &Packet) -> bool {
        self.source.contains(packet.source())
            && self.destination.contains(packet.destination())
            && self.protocols.contains(packet.protocol())
            && match packet.transport() {
                Transport::Ports { source, destination, .. } => {
                    self.admits(Shape::Ports)
                        && self.source_ports.contains(source)
                        && self.destination_ports.contains(destination)
                }
                Transport::Icmp { kind, code } => self.admits(Shape::Icmp) && self.icmp.contains(kind, code),
                Transport::Other(_) => self.admits(Shape::Bare),
            }
    }

    /// Whether packets of a shape are in it, as far as the fields go that the shape lacks.
    pub(super) fn admits(&self, shape: Shape) -> bool {
        let ports_open = || self.source_ports.is_all() && self.destination_ports.is_all();
        match shape {
            Shape::Ports => self.icmp.is_all(),
            Shape::Icmp => ports_open(),
            Shape::Bare => ports_open() && self.icmp.is_all(),
        }
    }
}

/// `TCP 22,6443 from 10.0.0.0/8 to any`. `{:.20}` shows at most 20 entries of each list.
impl fmt::Display for Cube {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.protocols.fmt(formatter)?;
        if !self.icmp.is_all() {
            formatter.write_str(" ")?;
            self.icmp.fmt(formatter)?;
        }
        if !self.destination_ports.is_all() {
            formatter.write_str(" ")?;
            self.destination_ports.fmt(formatter)?;
        }
        if !self.source_ports.is_all() {
            formatter.write_str(" source port ")?;
            self.source_ports.fmt(formatter)?;
        }
        formatter.write_str(" from ")?;
        self.source.fmt(formatter)?;
        formatter.write_str(" to ")?;
        self.destination.fmt(formatter)
    }
}
