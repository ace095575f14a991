//! Sets of addresses as prefixes.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use crate::net::Family;
use crate::packet::IpSet;

/// The fewest prefixes that together are the addresses of one family.
pub(super) fn nets(set: &IpSet, family: Family) -> Vec<IpNet> {
    let ranges = set.ranges().filter(|(first, _)| Family::of(*first) == family);
    ranges
        .flat_map(|(first, last)| match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => IpSubnets::from(Ipv4Subnets::new(first, last, 0)).collect(),
            (IpAddr::V6(first), IpAddr::V6(last)) => IpSubnets::from(Ipv6Subnets::new(first, last, 0)).collect(),
            _ => Vec::new(),
        })
        .collect()
}
