//! Sets of addresses, ports and protocols, value by value.

use std::net::IpAddr;

use ipnet::IpNet;
use policy::packet::{IcmpSet, IpSet, PortSet, ProtocolSet};
use proptest::prelude::*;

use crate::rule::{net, port_range};

/// First and last address of each net, and their neighbours.
fn ends(nets: &[IpNet]) -> impl Iterator<Item = IpAddr> + '_ {
    nets.iter().flat_map(|net| match net {
        IpNet::V4(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| IpAddr::V4(bits.into()))
        }
        IpNet::V6(net) => {
            let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)].map(|bits| IpAddr::V6(bits.into()))
        }
    })
}

proptest! {
    #[test]
    fn addresses(a in prop::collection::vec(net(), 0..8), b in prop::collection::vec(net(), 0..8)) {
        let [left, right] = [&a, &b].map(|nets| nets.iter().copied().collect::<IpSet>());
        let (union, common, rest) = (left.union(&right), left.intersection(&right), left.difference(&right));
        let outside = left.complement();
        for address in ends(&a).chain(ends(&b)) {
            let [in_a, in_b] = [&a, &b].map(|nets| nets.iter().any(|net| net.contains(&address)));
            prop_assert_eq!(left.contains(address), in_a, "{}", address);
            prop_assert_eq!(union.contains(address), in_a || in_b, "{}", address);
            prop_assert_eq!(common.contains(address), in_a && in_b, "{}", address);
            prop_assert_eq!(rest.contains(address), in_a && !in_b, "{}", address);
            prop_assert_eq!(outside.contains(address), !in_a, "{}", address);
        }
        prop_assert_eq!(&a.iter().chain(&b).copied().collect::<IpSet>(), &union);
        prop_assert_eq!(&rest.union(&common), &left);
        prop_assert_eq!(&outside.complement(), &left);
        prop_assert_eq!(left.is_subset(&right), union == right);
        prop_assert_eq!(common.is_empty(), left.is_subset(&right.complement()));
        for pair in union.ranges().collect::<Vec<_>>().windows(2) {
            prop_assert!(pair[0].1 < pair[1].0);
        }
    }

    #[test]
    fn protocols(a in prop::collection::vec(any::<u8>(), 0..200), b in prop::collection::vec(any::<u8>(), 0..200)) {
        let [left, right] = [&a, &b].map(|list| list.iter().copied().collect::<ProtocolSet>());
        for protocol in 0..=u8::MAX {
            let [in_a, in_b] = [&a, &b].map(|list| list.contains(&protocol));
            prop_assert_eq!(left.contains(protocol), in_a);
            prop_assert_eq!(left.union(right).contains(protocol), in_a || in_b);
            prop_assert_eq!(left.intersection(right).contains(protocol), in_a && in_b);
            prop_assert_eq!(left.difference(right).contains(protocol), in_a && !in_b);
            prop_assert_eq!(left.complement().contains(protocol), !in_a);
        }
        prop_assert_eq!(left.iter().collect::<ProtocolSet>(), left);
        prop_assert_eq!(left.len(), left.iter().count());
    }
}

proptest! {
    // Every port in every case.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn ports(a in prop::collection::vec(port_range(), 0..6), b in prop::collection::vec(port_range(), 0..6)) {
        let [left, right] = [&a, &b].map(|list| list.iter().map(|(first, last)| *first..=*last).collect::<PortSet>());
        let (union, common, rest) = (left.union(&right), left.intersection(&right), left.difference(&right));
        let outside = left.complement();
        for port in 0..=u16::MAX {
            let [in_a, in_b] = [&a, &b].map(|list| list.iter().any(|(first, last)| (*first..=*last).contains(&port)));
            prop_assert_eq!(left.contains(port), in_a);
            prop_assert_eq!(union.contains(port), in_a || in_b);
            prop_assert_eq!(common.contains(port), in_a && in_b);
            prop_assert_eq!(rest.contains(port), in_a && !in_b);
            prop_assert_eq!(outside.contains(port), !in_a);
        }
        prop_assert_eq!(left.is_subset(&right), rest.is_empty());
        prop_assert_eq!(union.is_all(), outside.is_subset(&right));
    }
}

#[test]
fn a_type_without_a_code_has_all_of_them() {
    for kind in [0, 3, 255] {
        let all = (0..=u8::MAX).map(|code| IcmpSet::code(kind, code));
        assert_eq!(all.fold(IcmpSet::empty(), |all, one| all.union(&one)), IcmpSet::kind(kind));
        assert!(IcmpSet::kind(kind).contains(kind, 0) && !IcmpSet::kind(kind).contains(kind ^ 1, 0));
    }
}
