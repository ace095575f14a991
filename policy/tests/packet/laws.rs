//! What holds for packet sets whatever they are made of.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use policy::packet::{Cube, IpSet, PacketSet, Preference, Region, Space};
use proptest::prelude::*;

use crate::rule::{Expression, expression, packet, rule};

fn hash(set: &PacketSet) -> u64 {
    let mut hasher = DefaultHasher::new();
    set.hash(&mut hasher);
    hasher.finish()
}

fn same(left: &PacketSet, right: &PacketSet) -> Result<(), TestCaseError> {
    prop_assert_eq!(left, right);
    prop_assert_eq!(hash(left), hash(right));
    Ok(())
}

proptest! {
    #[test]
    fn sets_are_a_boolean_algebra(a in expression(), b in expression(), c in expression()) {
        let (a, b, c) = (a.set(), b.set(), c.set());
        let (none, all) = (PacketSet::empty(), PacketSet::all());
        same(&(&a | &b), &(&b | &a))?;
        same(&(&a & &b), &(&b & &a))?;
        same(&(&(&a | &b) | &c), &(&a | &(&b | &c)))?;
        same(&(&(&a & &b) & &c), &(&a & &(&b & &c)))?;
        same(&(&a & &(&b | &c)), &(&(&a & &b) | &(&a & &c)))?;
        same(&(&a | &(&b & &c)), &(&(&a | &b) & &(&a | &c)))?;
        same(&(&a | &(&a & &b)), &a)?;
        same(&(&a & &(&a | &b)), &a)?;
        same(&!&(&a | &b), &(&!&a & &!&b))?;
        same(&!&(&a & &b), &(&!&a | &!&b))?;
        same(&!&!&a, &a)?;
        same(&(&a | &!&a), &all)?;
        same(&(&a & &!&a), &none)?;
        same(&(&a - &b), &(&a & &!&b))?;
        same(&(&a | &none), &a)?;
        same(&(&a & &all), &a)?;
        prop_assert_eq!(a.is_subset(&b), &a | &b == b);
        prop_assert_eq!(a == b, a.is_subset(&b) && b.is_subset(&a));
        prop_assert!((&a & &b).is_subset(&a) && a.is_subset(&(&a | &c)));
    }

    #[test]
    fn membership_is_what_the_rules_say(expression in expression(), packets in prop::collection::vec(packet(), 200)) {
        let set = expression.set();
        for packet in &packets {
            prop_assert_eq!(set.contains(packet), expression.admits(packet), "{}", packet);
        }
    }

    #[test]
    fn a_cube_contains_what_its_set_contains(rule in rule(), packets in prop::collection::vec(packet(), 100)) {
        let cube = rule.cube();
        let set = PacketSet::from(&cube);
        for packet in &packets {
            prop_assert_eq!(set.contains(packet), cube.contains(packet), "{}", packet);
        }
    }

    #[test]
    fn a_listing_is_the_set_and_names_no_packet_twice(expression in expression()) {
        let set = expression.set();
        let cubes = set.cubes(usize::MAX);
        same(&cubes.iter().collect(), &set)?;
        prop_assert_eq!(cubes.is_empty(), set.is_empty());
        let mut before = PacketSet::empty();
        for cube in cubes.iter().take(30).map(PacketSet::from) {
            prop_assert!((&before & &cube).is_empty());
            before = &before | &cube;
        }
        prop_assert_eq!(set.cubes(3), &cubes[..cubes.len().min(3)]);
    }

    #[test]
    fn a_sample_is_a_member(expression in expression(), wanted in prop::collection::vec(packet(), 0..4)) {
        let set = expression.set();
        let preference = Preference {
            sources: wanted.iter().map(|packet| packet.source()).collect(),
            destinations: wanted.iter().map(|packet| packet.destination()).collect(),
        };
        match set.sample(&preference) {
            None => prop_assert!(set.is_empty()),
            Some(sample) => {
                prop_assert!(set.contains(&sample), "{}", sample);
                for packet in wanted.iter().filter(|packet| set.contains(packet)) {
                    prop_assert!(preference.sources.contains(&sample.source()), "{} for {}", sample, packet);
                    prop_assert!(preference.destinations.contains(&sample.destination()), "{} for {}", sample, packet);
                }
            }
        }
    }

    #[test]
    fn the_first_rule_decides(
        rules in prop::collection::vec((rule(), 1..4_u16), 0..12),
        packets in prop::collection::vec(packet(), 50),
    ) {
        let mut space = Space::new();
        let cubes: Vec<Cube> = rules.iter().map(|(rule, _)| rule.cube()).collect();
        let regions: Vec<Region> =
            cubes.iter().zip(&rules).map(|(cube, (_, label))| space.cube(cube, *label)).collect();
        let decided = space.first_match(&regions);

        // The same one rule at a time, as a walk does it.
        let (mut rest, mut walked) = (Space::ALL, Space::EMPTY);
        for (cube, (_, label)) in cubes.iter().zip(&rules) {
            let rule = space.cube(cube, 1);
            let matched = space.within(rest, rule);
            rest = space.without(rest, rule);
            let matched = space.relabel(matched, *label);
            walked = space.or_else(matched, walked);
        }
        prop_assert_eq!(decided, walked);
        prop_assert_eq!(space.complement(decided), rest);

        same(&space.store(decided).expect("no budget"), &cubes.iter().collect())?;
        let labels = [1, 2, 3].map(|label| {
            let region = space.labelled(decided, label);
            space.store(region).expect("no budget")
        });
        for packet in &packets {
            let first = rules.iter().find(|(rule, _)| rule.admits(packet)).map(|(_, label)| *label);
            for (set, label) in labels.iter().zip(1..) {
                prop_assert_eq!(set.contains(packet), first == Some(label), "{} {}", packet, label);
            }
        }
    }

    #[test]
    fn a_space_gives_back_what_it_took(a in expression(), b in expression()) {
        let (a, b) = (a.set(), b.set());
        let mut space = Space::new();
        let (first, second) = (space.load(&a), space.load(&b));
        prop_assert_eq!(space.load(&a), first);
        prop_assert_eq!(first == second, a == b);
        prop_assert_eq!(space.is_subset(first, second), a.is_subset(&b));
        same(&space.store(first).expect("no budget"), &a)?;
        same(&space.store(second).expect("no budget"), &b)?;
    }

    #[test]
    fn a_budget_is_kept_or_nothing_is_said(rules in prop::collection::vec(rule(), 1..12), steps in 0..3000_u64) {
        let fold = |mut space: Space| {
            let regions: Vec<Region> = rules.iter().map(|rule| space.cube(&rule.cube(), 1)).collect();
            let union = space.first_match(&regions);
            (space.store(union), space.size())
        };
        let (free, _) = fold(Space::new());
        let (bound, size) = fold(Space::with_budget(steps));
        prop_assert!(size as u64 <= steps);
        if let Ok(set) = &bound {
            same(set, &free.expect("no budget"))?;
        }
        prop_assert_eq!(bound, fold(Space::with_budget(steps)).0);
    }
}

/// Every packet over a few addresses, ports and protocols.
#[test]
fn membership_is_exact_on_a_small_universe() {
    use policy::packet::{Packet, Transport};
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let addresses = |texts: [&str; 6]| texts.map(|text| text.parse().expect(text));
    let v4 = addresses(["0.0.0.0", "9.255.255.255", "10.0.0.0", "10.0.0.7", "10.0.0.255", "255.255.255.255"]);
    let v6 = addresses(["::", "a00::", "fd00::", "fd00::7", "fd00:0:0:1::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
    let ports = [0, 16, 22, 443, 65535];
    let transports: Vec<Transport> = [6, 17, 136]
        .iter()
        .flat_map(|protocol| {
            ports.iter().flat_map(move |source| ports.map(|destination| (*protocol, *source, destination)))
        })
        .map(|(protocol, source, destination)| Transport::Ports { protocol, source, destination })
        .chain([(0, 0), (3, 1), (8, 0), (8, 255), (255, 255)].map(|(kind, code)| Transport::Icmp { kind, code }))
        .chain([0, 1, 47, 58, 255].map(Transport::Other))
        .collect();
    let pairs = [v4, v6].into_iter().flat_map(|list| list.into_iter().flat_map(move |a| list.map(|b| (a, b))));
    let universe: Vec<Packet> = pairs
        .flat_map(|(a, b)| transports.iter().filter_map(move |transport| Packet::new(a, b, *transport).ok()))
        .collect();
    assert_eq!(universe.len(), 72 * (75 + 5 + 4));

    let mut runner = TestRunner::deterministic();
    let mut members = 0;
    for _ in 0..40 {
        let expression: Expression = expression().new_tree(&mut runner).expect("generates").current();
        let set = expression.set();
        for packet in &universe {
            assert_eq!(set.contains(packet), expression.admits(packet), "{packet} in {expression:?}");
            members += usize::from(set.contains(packet));
        }
    }
    let share = members * 100 / (40 * universe.len());
    assert!((10..90).contains(&share), "{share} % of the packets are members: too few on one side to prove anything");
}

/// Looking costs, not only making: two sets that have nothing in common are as much work as two that have.
#[test]
fn a_budget_counts_what_is_looked_at() {
    let ports =
        |parity: u16| Cube { destination_ports: (0..1000).map(|number| number * 2 + parity).collect(), ..Cube::any() };
    let enough = |meet: bool, steps: u64| {
        let mut space = Space::with_budget(steps);
        let (even, odd) = (space.cube(&ports(0), 1), space.cube(&ports(1), 1));
        let common = if meet { space.within(even, odd) } else { Space::EMPTY };
        assert!(space.check().is_err() || common == Space::EMPTY);
        space.check().is_ok()
    };
    let steps: Vec<u64> = (0..1 << 16).collect();
    let least = |meet: bool| steps.partition_point(|steps| !enough(meet, *steps));
    let (apart, together) = (least(false), least(true));
    assert!(together > apart + 16, "{apart} steps to make both, {together} to find that they do not meet");
}

/// A space remembers long lists by where they are; another list may come to be there.
#[test]
fn a_list_that_is_gone_is_not_taken_for_the_next() {
    let mut space = Space::new();
    for round in 0..50_u8 {
        let source: IpSet = (0..20).map(|number| IpAddr::from([10, round, 0, number * 2])).collect();
        let cube = Cube { source, ..Cube::any() };
        let region = space.cube(&cube, 1);
        assert_eq!(space.store(region), Ok(PacketSet::from(&cube)), "round {round}");
        assert_eq!(space.cube(&cube, 2), space.relabel(region, 2), "another label, so another region");
    }
}
