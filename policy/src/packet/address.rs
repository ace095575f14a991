//! Sets of addresses of both families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::interval::{Bound, Intervals};
use super::ports::list;
use crate::net::{Cidr, Family};

/// A set of addresses. Cheap to clone; two equal sets are equal structures.
///
/// Give rules that mean the same set clones of one `IpSet` where it is easy: a diagram then builds it once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpSet {
    pub(super) v4: Intervals<u32>,
    pub(super) v6: Intervals<u128>,
}

impl IpSet {
    /// No address.
    pub fn empty() -> Self {
        Self { v4: Intervals::empty(), v6: Intervals::empty() }
    }

    /// Every address of both families.
    pub fn all() -> Self {
        Self { v4: Intervals::full(), v6: Intervals::full() }
    }

    /// Every address of a family.
    pub fn family(family: Family) -> Self {
        match family {
            Family::IPv4 => Self { v4: Intervals::full(), v6: Intervals::empty() },
            Family::IPv6 => Self { v4: Intervals::empty(), v6: Intervals::full() },
        }
    }

    /// Every address from the first to the last; none if they are of two families or the wrong way round.
    pub fn between(first: IpAddr, last: IpAddr) -> Self {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Self { v4: Intervals::of([(first.to_bits(), last.to_bits())]), v6: Intervals::empty() }
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Self { v4: Intervals::empty(), v6: Intervals::of([(first.to_bits(), last.to_bits())]) }
            }
            _ => Self::empty(),
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self { v4: self.v4.difference(&other.v4), v6: self.v6.difference(&other.v6) }
    }

    /// Every other address, of both families.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self { v4: self.v4.complement(), v6: self.v6.complement() }
    }

    /// Whether no address is in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether every address of both families is in it.
    pub fn is_all(&self) -> bool {
        self.v4.is_full() && self.v6.is_full()
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.contains(address.to_bits()),
            IpAddr::V6(address) => self.v6.contains(address.to_bits()),
        }
    }

    /// What is in any of several.
    pub(crate) fn union_of<'s>(sets: impl IntoIterator<Item = &'s Self>) -> Self {
        let sets: Vec<&Self> = sets.into_iter().collect();
        if let [one] = sets[..] {
            return one.clone();
        }
        let v4 = Intervals::of(sets.iter().flat_map(|set| set.v4.ranges().iter().copied()));
        Self { v4, v6: Intervals::of(sets.iter().flat_map(|set| set.v6.ranges().iter().copied())) }
    }

    /// How many addresses are in it, as far as that can be counted.
    pub(crate) fn size(&self) -> u128 {
        self.v4.size().saturating_add(self.v6.size())
    }

    /// Whether an address is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.v4.meets(&other.v4) || self.v6.meets(&other.v6)
    }

    /// Whether every address of it is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.v4.is_subset(&other.v4) && self.v6.is_subset(&other.v6)
    }

    /// The ranges, first and last address, ascending, IPv4 first.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> + '_ {
        let v4 = self.v4.ranges().iter().map(|(first, last)| (v4(*first), v4(*last)));
        v4.chain(self.v6.ranges().iter().map(|(first, last)| (v6(*first), v6(*last))))
    }

    /// Whether a range is given as one prefix, and then its length.
    fn prefix_length<T: Bound>(first: T, last: T, bits: u32) -> Option<u32> {
        let (first, span) = (first.wide(), last.wide() - first.wide());
        (span & span.wrapping_add(1) == 0 && first & span == 0).then(|| bits - span.count_ones())
    }
}

pub(super) fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

pub(super) fn v6(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).into()
}

impl From<IpAddr> for IpSet {
    fn from(address: IpAddr) -> Self {
        Self::from(IpNet::from(address))
    }
}

impl From<IpNet> for IpSet {
    fn from(net: IpNet) -> Self {
        match ends(net) {
            Ends::V4(range) => Self { v4: Intervals::of([range]), v6: Intervals::empty() },
            Ends::V6(range) => Self { v4: Intervals::empty(), v6: Intervals::of([range]) },
        }
    }
}

impl From<Cidr> for IpSet {
    fn from(cidr: Cidr) -> Self {
        Self::from(cidr.net())
    }
}

/// The union. Host bits of a net do not matter.
impl FromIterator<IpNet> for IpSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match ends(net) {
                Ends::V4(range) => v4.push(range),
                Ends::V6(range) => v6.push(range),
            }
        }
        Self { v4: Intervals::of(v4), v6: Intervals::of(v6) }
    }
}

impl FromIterator<IpAddr> for IpSet {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        addresses.into_iter().map(IpNet::from).collect()
    }
}

impl FromIterator<Cidr> for IpSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(cidrs: I) -> Self {
        cidrs.into_iter().map(Cidr::net).collect()
    }
}

enum Ends {
    V4((u32, u32)),
    V6((u128, u128)),
}

fn ends(net: IpNet) -> Ends {
    match net {
        IpNet::V4(net) => Ends::V4((net.network().to_bits(), net.broadcast().to_bits())),
        IpNet::V6(net) => Ends::V6((net.network().to_bits(), net.broadcast().to_bits())),
    }
}

/// `10.0.0.0/8,192.168.1.5,192.168.1.7-192.168.1.9`; `any`, `any IPv4`, `none`.
impl fmt::Display for IpSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return formatter.write_str("any");
        }
        if self.v6.is_empty() {
            return family(formatter, &self.v4, Family::IPv4, 32, v4);
        }
        if !self.v4.is_empty() {
            family(formatter, &self.v4, Family::IPv4, 32, v4)?;
            formatter.write_str(",")?;
        }
        family(formatter, &self.v6, Family::IPv6, 128, v6)
    }
}

fn family<T: Bound>(
    formatter: &mut fmt::Formatter<'_>,
    intervals: &Intervals<T>,
    family: Family,
    bits: u32,
    address: impl Fn(T) -> IpAddr,
) -> fmt::Result {
    if intervals.is_full() {
        return write!(formatter, "any {family}");
    }
    list(formatter, intervals.ranges(), |formatter, first, last| match IpSet::prefix_length(first, last, bits) {
        Some(length) if length == bits => write!(formatter, "{}", address(first)),
        Some(length) => write!(formatter, "{}/{length}", address(first)),
        None => write!(formatter, "{}-{}", address(first), address(last)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nets: &[&str]) -> IpSet {
        nets.iter().map(|net| net.parse::<IpNet>().expect(net)).collect()
    }

    #[test]
    fn ranges_that_are_prefixes_are_written_as_such() {
        let some =
            set(&["192.168.1.5/32", "10.0.0.0/9", "10.128.0.0/9", "192.168.1.7/32", "192.168.1.8/31", "fd00::/8"]);
        assert_eq!(some.to_string(), "10.0.0.0/8,192.168.1.5,192.168.1.7-192.168.1.9,fd00::/8");
        assert_eq!(IpSet::all().to_string(), "any");
        assert_eq!(IpSet::empty().to_string(), "none");
        assert_eq!(set(&["::/1", "8000::/1"]).to_string(), "any IPv6");
        assert_eq!(set(&["0.0.0.0/0", "::/1"]).to_string(), "any IPv4,::/1");
        assert_eq!(set(&["0.0.0.0/1"]).complement().to_string(), "128.0.0.0/1,any IPv6");
    }

    #[test]
    fn the_ends_of_the_families_are_no_trap() {
        let ends = set(&["0.0.0.0/32", "255.255.255.255/32", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]);
        assert!(ends.complement().union(&ends).is_all());
        assert!(ends.complement().intersection(&ends).is_empty());
        assert_eq!(ends.complement().complement(), ends);
        assert!(ends.contains(v4(u32::MAX)) && ends.contains(v6(0)) && !ends.contains(v6(1)));
        assert_eq!(set(&["10.1.2.3/8"]), set(&["10.0.0.0/8"]));
        assert_eq!(IpSet::between(v4(0), v4(u32::MAX)), IpSet::family(Family::IPv4));
        assert_eq!(IpSet::between(v6(0), v6(7)), set(&["::/125"]));
        assert!(IpSet::between(v4(1), v4(0)).is_empty() && IpSet::between(v4(0), v6(0)).is_empty());
    }
}
