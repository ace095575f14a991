//! Where each field of a packet stands in a diagram, and into which digits it is cut.
//!
//! Order: family, protocol, destination port (or ICMP type and code), source port, source, destination. Addresses come
//! last because a policy names few ports and, by selectors, thousands of addresses: rules that share an address set then
//! share its nodes, whatever their ports. The source is before the destination because rules of host ingress, the larger
//! part, nearly all name sources and few name destinations: where both are mixed, the field that is often open is
//! cheaper below the other.
//!
//! Addresses and ports are cut into digits of four bits. One level per field would copy its whole list of ranges at every
//! change; one level per bit makes long chains. Nested and interleaved ranges share all digits but those at their ends.

use std::net::IpAddr;

use super::table::{self, Edge};
use crate::net::Family;
use crate::packet::interval::Bound;
use crate::packet::{Packet, Transport, ports};

/// Level of the two families.
pub(in crate::packet) const FAMILY: u8 = 0;
/// Level of the 256 protocols.
pub(in crate::packet) const PROTOCOL: u8 = 1;
const UPPER_PORT: u8 = 2;
const LOWER_PORT: u8 = UPPER_PORT + digits(16);
const SOURCE: u8 = LOWER_PORT + digits(16);
const DESTINATION: u8 = SOURCE + digits(128);
/// Level of what is no node: after all others.
pub(super) const TERMINAL: u8 = DESTINATION + digits(128);

/// Bits of a digit.
pub(super) const WIDTH: u32 = 4;

const fn digits(bits: u32) -> u8 {
    (bits / WIDTH) as u8
}

/// A field: its first level, and how many bits it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::packet) struct Field {
    first: u8,
    bits: u32,
}

impl Field {
    /// Destination port; of ICMP, type and code as one number.
    pub(in crate::packet) const UPPER_PORT: Self = Self { first: UPPER_PORT, bits: 16 };
    /// Source port.
    pub(in crate::packet) const LOWER_PORT: Self = Self { first: LOWER_PORT, bits: 16 };

    /// Destination address.
    pub(in crate::packet) fn destination(family: Family) -> Self {
        Self { first: DESTINATION, bits: bits(family) }
    }

    /// Source address.
    pub(in crate::packet) fn source(family: Family) -> Self {
        Self { first: SOURCE, bits: bits(family) }
    }

    /// The level of its leading digit.
    pub(in crate::packet) fn first(self) -> u8 {
        self.first
    }

    /// Whether a level is one of its own.
    pub(in crate::packet) fn has(self, level: u8) -> bool {
        (self.first..self.first + digits(self.bits)).contains(&level)
    }

    /// How far the digit of a level is from the right end.
    pub(in crate::packet) fn shift(self, level: u8) -> u32 {
        self.bits - WIDTH * (u32::from(level - self.first) + 1)
    }

    /// The digit of a number at a level.
    pub(in crate::packet) fn digit(self, level: u8, number: u128) -> u8 {
        digit(number, self.shift(level))
    }

    /// The greatest digit.
    pub(in crate::packet) const LAST_DIGIT: u8 = u8::MAX >> (8 - WIDTH);

    /// The greatest number of the digits from a level on.
    pub(in crate::packet) fn block(self, level: u8) -> u128 {
        u128::ones(self.bits - WIDTH * u32::from(level - self.first))
    }
}

/// The label of a packet below a node, of which `node` tells level and edges.
pub(in crate::packet) fn walk<'t>(root: u32, packet: &Packet, node: impl Fn(usize) -> (u8, &'t [Edge])) -> u32 {
    let family = packet.family();
    let upper = match packet.transport() {
        Transport::Ports { destination, .. } => destination,
        Transport::Icmp { kind, code } => ports::pair(kind, code),
        Transport::Other(_) => 0,
    };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let fields = [
        (Field::UPPER_PORT, u128::from(upper)),
        (Field::LOWER_PORT, u128::from(packet.source_port().unwrap_or(0))),
        (Field::destination(family), bits(packet.destination())),
        (Field::source(family), bits(packet.source())),
    ];
    let mut at = root;
    while let Some(index) = table::index(at) {
        let (level, edges) = node(index);
        let digit = match level {
            FAMILY => family as u8,
            PROTOCOL => packet.protocol(),
            _ => fields
                .iter()
                .find(|(field, _)| field.has(level))
                .map_or(0, |(field, number)| field.digit(level, *number)),
        };
        at = edges[edges.partition_point(|edge| edge.last < digit)].child;
    }
    at
}

/// The digit of a number so far from the right end.
pub(super) fn digit<T: Bound>(number: T, shift: u32) -> u8 {
    (number >> shift).low() & Field::LAST_DIGIT
}

fn bits(family: Family) -> u32 {
    match family {
        Family::IPv4 => 32,
        Family::IPv6 => 128,
    }
}
