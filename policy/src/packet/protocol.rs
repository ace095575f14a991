//! IP protocol numbers, and which of them have ports.

use std::fmt;

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

/// A set of protocol numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolSet([u64; 4]);

impl ProtocolSet {
    /// No protocol.
    pub const EMPTY: Self = Self([0; 4]);
    /// Those that have ports.
    pub const WITH_PORTS: Self = {
        let mut words = [0; 4];
        let mut next = 0;
        while next < WITH_PORTS.len() {
            words[WITH_PORTS[next] as usize / 64] |= 1 << (WITH_PORTS[next] % 64);
            next += 1;
        }
        Self(words)
    };
    /// All 256.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// Whether a protocol is in it.
    pub fn contains(self, protocol: u8) -> bool {
        self.0[usize::from(protocol >> 6)] & (1 << (protocol & 63)) != 0
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        self.intersection(other.complement())
    }

    /// Every other protocol.
    #[must_use]
    pub fn complement(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    /// Whether no protocol is in it.
    pub fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    /// Whether every protocol is in it.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// How many are in it.
    pub fn len(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The protocols, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |protocol| self.contains(*protocol))
    }

    /// The protocol, if it is exactly one.
    pub(super) fn single(self) -> Option<u8> {
        let [a, b, c, d] = self.0;
        match (a, b, c, d) {
            (word, 0, 0, 0) if word.is_power_of_two() => u8::try_from(word.trailing_zeros()).ok(),
            (0, word, 0, 0) if word.is_power_of_two() => u8::try_from(64 + word.trailing_zeros()).ok(),
            (0, 0, word, 0) if word.is_power_of_two() => u8::try_from(128 + word.trailing_zeros()).ok(),
            (0, 0, 0, word) if word.is_power_of_two() => u8::try_from(192 + word.trailing_zeros()).ok(),
            _ => None,
        }
    }
}

impl From<u8> for ProtocolSet {
    fn from(protocol: u8) -> Self {
        Self::from_iter([protocol])
    }
}

impl FromIterator<u8> for ProtocolSet {
    fn from_iter<I: IntoIterator<Item = u8>>(protocols: I) -> Self {
        let mut words = [0; 4];
        for protocol in protocols {
            words[usize::from(protocol >> 6)] |= 1 << (protocol & 63);
        }
        Self(words)
    }
}

/// `TCP,UDP`; `every protocol` and `none` for the two ends; `every protocol but TCP,UDP` for a large set.
impl fmt::Display for ProtocolSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("none");
        }
        if self.is_all() {
            return formatter.write_str("every protocol");
        }
        let shown = if self.len() > 128 {
            formatter.write_str("every protocol but ")?;
            self.complement()
        } else {
            *self
        };
        for (index, protocol) in shown.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            formatter.write_str(&label(protocol))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_named_where_they_have_a_name() {
        assert_eq!(ProtocolSet::from_iter([TCP, 200, ICMP]).to_string(), "ICMP,TCP,protocol 200");
        assert_eq!(ProtocolSet::from(TCP).complement().to_string(), "every protocol but TCP");
        assert_eq!(ProtocolSet::ALL.to_string(), "every protocol");
        assert_eq!(ProtocolSet::EMPTY.to_string(), "none");
        assert_eq!(ProtocolSet::WITH_PORTS, ProtocolSet::from_iter(WITH_PORTS));
    }

    #[test]
    fn one_protocol_is_told_from_more() {
        for protocol in 0..=u8::MAX {
            assert_eq!(ProtocolSet::from(protocol).single(), Some(protocol));
            assert_eq!(ProtocolSet::from(protocol).complement().single(), None);
        }
        assert_eq!(ProtocolSet::EMPTY.single(), None);
        assert_eq!(ProtocolSet::from_iter([63, 64]).single(), None);
    }
}
