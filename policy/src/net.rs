//! Addresses and prefixes, read strictly.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::IPv4,
            IpAddr::V6(_) => Self::IPv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        })
    }
}

/// A prefix in canonical form: no host bits, no leading zeros, length within the family's range.
///
/// `ipnet` alone reads `010.0.0.0/8` as `10.0.0.0/8` and takes `/08`; other readers disagree about both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Cidr(IpNet);

/// Why a text is not a [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// No `/length`.
    #[error("a prefix length is missing; write {0}/{1}")]
    MissingLength(IpAddr, u8),
    /// The address is not one.
    #[error("`{0}` is not an IPv4 or IPv6 address")]
    Address(String),
    /// The address has an octet with a leading zero, which some readers take as octal.
    #[error("`{0}` has a leading zero, which some readers take as octal; write it without")]
    LeadingZero(String),
    /// The length is not a number within 0 to 32, or 0 to 128.
    #[error("`/{length}` is not a prefix length; {family} takes 0 to {max}")]
    Length {
        /// What was written after the slash.
        length: String,
        /// Family of the address.
        family: Family,
        /// Greatest length of the family.
        max: u8,
    },
    /// Bits are set to the right of the prefix.
    #[error("bits are set outside the prefix; write {0} for the network, or {1} for the one address")]
    HostBits(IpNet, IpNet),
    /// An IPv4 address written as IPv6 (`::ffff:10.0.0.0/104`), which no CNI matches against IPv4 packets.
    #[error("`{0}` is an IPv4 address written as IPv6; write it as IPv4")]
    Mapped(String),
}

impl Cidr {
    /// Every address of a family.
    pub fn all(family: Family) -> Self {
        Self(match family {
            Family::IPv4 => IpNet::V4(ipnet::Ipv4Net::default()),
            Family::IPv6 => IpNet::V6(ipnet::Ipv6Net::default()),
        })
    }

    /// The addresses that never leave a host.
    pub fn loopback(family: Family) -> Self {
        Self(match family {
            Family::IPv4 => IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
            Family::IPv6 => IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
        })
    }

    /// One address.
    pub fn host(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// The family.
    pub fn family(self) -> Family {
        match self.0 {
            IpNet::V4(_) => Family::IPv4,
            IpNet::V6(_) => Family::IPv6,
        }
    }

    /// Whether every address of its family is in it.
    pub fn is_all(self) -> bool {
        self.0.prefix_len() == 0
    }

    /// Whether every address of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether some address is in both. Prefixes overlap only by containment.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The prefix.
    pub fn net(self) -> IpNet {
        self.0
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            let octal = address.split('.').count() == 4
                && address.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
                && address.split('.').any(|part| part.len() > 1 && part.starts_with('0'));
            if octal { CidrError::LeadingZero(address.to_owned()) } else { CidrError::Address(address.to_owned()) }
        })?;
        let (family, max) = match address {
            IpAddr::V4(_) => (Family::IPv4, 32),
            IpAddr::V6(_) => (Family::IPv6, 128),
        };
        if let IpAddr::V6(address) = address
            && address.to_ipv4_mapped().is_some()
        {
            return Err(CidrError::Mapped(text.to_owned()));
        }
        let Some(length) = length else {
            return Err(CidrError::MissingLength(address, max));
        };
        let plain = !length.is_empty()
            && length.bytes().all(|byte| byte.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let bits = match length.parse::<u8>() {
            Ok(bits) if plain && bits <= max => bits,
            _ => {
                return Err(CidrError::Length { length: length.to_owned(), family, max });
            }
        };
        let net = IpNet::new_assert(address, bits);
        if net.trunc() != net {
            return Err(CidrError::HostBits(net.trunc(), IpNet::from(address)));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> CidrError {
        text.parse::<Cidr>().expect_err(text)
    }

    #[test]
    fn canonical_prefixes_are_read_and_written_alike() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.168.1.7/32", "::/0", "fd00:1::/64", "::1/128"] {
            assert_eq!(text.parse::<Cidr>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        assert_eq!(error("010.0.0.0/8"), CidrError::LeadingZero("010.0.0.0".to_owned()));
        assert!(matches!(error("10.0.0.0/08"), CidrError::Length { .. }));
        assert!(matches!(error("10.0.0.0/+8"), CidrError::Length { .. }));
        assert!(matches!(error("10.0.0.0/33"), CidrError::Length { .. }));
        assert!(matches!(error("fd00::/129"), CidrError::Length { .. }));
        assert!(matches!(error("10.0.0.0"), CidrError::MissingLength(..)));
        assert!(matches!(error("10.0.0.5/24"), CidrError::HostBits(..)));
        assert!(matches!(error("10.0.0/24"), CidrError::Address(_)));
        assert!(matches!(error("::ffff:10.0.0.0/104"), CidrError::Mapped(_)));
        assert!(matches!(error(""), CidrError::Address(_)));
    }

    #[test]
    fn prefixes_overlap_by_containment_within_a_family() {
        let wide: Cidr = "10.0.0.0/8".parse().expect("valid");
        let narrow: Cidr = "10.1.0.0/16".parse().expect("valid");
        assert!(wide.overlaps(narrow) && narrow.overlaps(wide) && wide.contains(narrow) && !narrow.contains(wide));
        assert!(!wide.overlaps(Cidr::all(Family::IPv6)));
    }
}
