//! Where each field of a packet stands in a diagram, and into which digits it is cut.
//!
//! Order: family, protocol, destination port (or ICMP type and code), source port, destination, source. Addresses come
//! last because a policy names few ports and, by selectors, thousands of addresses: rules that share an address set then
//! share its nodes, whatever their ports.
//!
//! Addresses and ports are cut into digits of four bits. One level per field would copy its whole list of ranges at every
//! change; one level per bit makes long chains. Nested and interleaved ranges share all digits but those at their ends.

use crate::net::Family;

/// Level of the two families.
pub(in crate::packet) const FAMILY: u8 = 0;
/// Level of the 256 protocols.
pub(in crate::packet) const PROTOCOL: u8 = 1;
const UPPER_PORT: u8 = 2;
const LOWER_PORT: u8 = UPPER_PORT + 16 / WIDTH;
const SOURCE: u8 = LOWER_PORT + 16 / WIDTH;
const DESTINATION: u8 = SOURCE + 128 / WIDTH;
/// Level of what is no node: after all others.
pub(super) const TERMINAL: u8 = DESTINATION + 128 / WIDTH;

/// Bits of a digit.
const WIDTH: u8 = 4;

/// A field: its first level, and how many bits it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::packet) struct Field {
    first: u8,
    bits: u8,
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
        (self.first..self.first + self.bits / WIDTH).contains(&level)
    }

    /// How far the digit of a level is from the right end.
    pub(in crate::packet) fn shift(self, level: u8) -> u32 {
        u32::from(self.bits) - u32::from(WIDTH) * (u32::from(level - self.first) + 1)
    }

    /// The digit of a number at a level.
    pub(in crate::packet) fn digit(self, level: u8, number: u128) -> u8 {
        // The mask leaves WIDTH bits, at most eight.
        (number >> self.shift(level)) as u8 & Self::LAST_DIGIT
    }

    /// The same, if the number has this prefix before the level.
    pub(super) fn digit_within(self, level: u8, prefix: u128, number: u128) -> Option<u8> {
        // Nothing stands before the leading digit, and a shift by all 128 bits would be too far.
        let same = level == self.first || (number ^ prefix) >> (self.shift(level) + u32::from(WIDTH)) == 0;
        same.then(|| self.digit(level, number))
    }

    /// The greatest digit.
    pub(in crate::packet) const LAST_DIGIT: u8 = u8::MAX >> (8 - WIDTH);

    /// The greatest number of the digits from a level on.
    pub(in crate::packet) fn block(self, level: u8) -> u128 {
        // The last level of a field is the end: a shift by all 128 bits is not one for the operator.
        let before = 128 - u32::from(self.bits) + u32::from(WIDTH) * u32::from(level - self.first);
        u128::MAX.checked_shr(before).unwrap_or(0)
    }
}

fn bits(family: Family) -> u8 {
    match family {
        Family::IPv4 => 32,
        Family::IPv6 => 128,
    }
}
