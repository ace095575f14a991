//! The same sets as binary decision diagrams of a library, one variable per bit of a packet.

use std::net::IpAddr;

use biodivine_lib_bdd::{Bdd, BddVariable, BddVariableSet};
use ipnet::IpNet;
use policy::packet::{Cube, protocol};
use proptest::prelude::*;

use crate::rule::{Expression, Rule, expression};

struct Oracle {
    variables: BddVariableSet,
    bits: Vec<BddVariable>,
}

/// First bit and length of a field. IPv4 uses the first 32 bits of an address; ICMP has type and code in the
/// destination port.
type Field = (usize, usize);
const VERSION: Field = (0, 1);
const PROTOCOL: Field = (1, 8);
const DESTINATION_PORT: Field = (9, 16);
const SOURCE_PORT: Field = (25, 16);
const DESTINATION: usize = 41;
const SOURCE: usize = 169;

impl Oracle {
    fn new() -> Self {
        let variables = BddVariableSet::new_anonymous(297);
        let bits = variables.variables();
        Self { variables, bits }
    }

    /// Numbers between two, both included.
    fn range(&self, (start, length): Field, first: u128, last: u128) -> Bdd {
        let (mut least, mut most) = (self.variables.mk_true(), self.variables.mk_true());
        for bit in 0..length {
            let variable = self.variables.mk_var(self.bits[start + length - 1 - bit]);
            let is_set = |number: u128| number >> bit & 1 == 1;
            least = if is_set(first) { variable.and(&least) } else { variable.or(&least) };
            most = if is_set(last) { variable.not().or(&most) } else { variable.not().and(&most) };
        }
        least.and(&most)
    }

    fn any_of(&self, sets: impl IntoIterator<Item = Bdd>) -> Bdd {
        sets.into_iter().fold(self.variables.mk_false(), |all, set| all.or(&set))
    }

    fn version(&self, v6: bool) -> Bdd {
        self.range(VERSION, v6.into(), v6.into())
    }

    fn protocol(&self, number: u8) -> Bdd {
        self.range(PROTOCOL, number.into(), number.into())
    }

    fn addresses(&self, start: usize, first: IpAddr, last: IpAddr) -> Bdd {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let range = self.range((start, 32), first.to_bits().into(), last.to_bits().into());
                self.version(false).and(&range)
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                self.version(true).and(&self.range((start, 128), first.to_bits(), last.to_bits()))
            }
            _ => self.variables.mk_false(),
        }
    }

    fn nets(&self, start: usize, nets: &[IpNet]) -> Bdd {
        self.any_of(nets.iter().map(|net| self.addresses(start, net.network(), net.broadcast())))
    }

    fn with_ports(&self) -> Bdd {
        self.any_of(protocol::WITH_PORTS.map(|number| self.protocol(number)))
    }

    fn icmp(&self) -> Bdd {
        let v4 = self.version(false).and(&self.protocol(1));
        v4.or(&self.version(true).and(&self.protocol(58)))
    }

    fn ports(&self, field: Field, ranges: &[(u16, u16)]) -> Bdd {
        self.any_of(ranges.iter().map(|(first, last)| self.range(field, (*first).into(), (*last).into())))
    }

    /// A condition on a field that only some packets have; the whole field is no condition.
    fn narrowed(&self, holders: &Bdd, field: &Bdd) -> Bdd {
        if field.is_true() { self.variables.mk_true() } else { holders.and(field) }
    }

    fn rule(&self, rule: &Rule) -> Bdd {
        let open = |empty: bool, set: Bdd| if empty { self.variables.mk_true() } else { set };
        let icmp = self.any_of(rule.icmp.iter().map(|(kind, code)| {
            let (least, most) = (code.unwrap_or(0), code.unwrap_or(u8::MAX));
            let number = |code: u8| u128::from(*kind) << 8 | u128::from(code);
            self.range(DESTINATION_PORT, number(least), number(most))
        }));
        let ports = |field, ranges: &[(u16, u16)]| {
            self.narrowed(&self.with_ports(), &open(ranges.is_empty(), self.ports(field, ranges)))
        };
        open(rule.sources.is_empty(), self.nets(SOURCE, &rule.sources))
            .and_not(&self.nets(SOURCE, &rule.not_sources))
            .and(&open(rule.destinations.is_empty(), self.nets(DESTINATION, &rule.destinations)))
            .and(&open(rule.protocols.is_empty(), self.any_of(rule.protocols.iter().map(|one| self.protocol(*one)))))
            .and(&ports(SOURCE_PORT, &rule.source_ports))
            .and(&ports(DESTINATION_PORT, &rule.destination_ports))
            .and(&self.narrowed(&self.icmp(), &open(rule.icmp.is_empty(), icmp)))
    }

    fn expression(&self, expression: &Expression) -> Bdd {
        match expression {
            Expression::Rule(rule) => self.rule(rule),
            Expression::Not(a) => self.expression(a).not(),
            Expression::And(a, b) => self.expression(a).and(&self.expression(b)),
            Expression::Or(a, b) => self.expression(a).or(&self.expression(b)),
            Expression::Minus(a, b) => self.expression(a).and_not(&self.expression(b)),
        }
    }

    /// What a line of a listing says.
    fn line(&self, cube: &Cube) -> Bdd {
        let addresses = |start, set: &policy::packet::IpSet| {
            self.any_of(set.ranges().map(|(first, last)| self.addresses(start, first, last)))
        };
        let ports = |field, set: &policy::packet::PortSet| {
            let ranges: Vec<(u16, u16)> = set.ranges().map(std::ops::RangeInclusive::into_inner).collect();
            self.narrowed(&self.with_ports(), &self.ports(field, &ranges))
        };
        let types = (0..=u8::MAX).flat_map(|kind| {
            let codes = move |wanted: bool| (0..=u8::MAX).filter(move |code| cube.icmp.contains(kind, *code) == wanted);
            let number = move |code: u8| u16::from_be_bytes([kind, code]);
            match codes(false).next() {
                None => vec![(number(0), number(u8::MAX))],
                Some(_) => codes(true).map(|code| (number(code), number(code))).collect(),
            }
        });
        let types: Vec<(u16, u16)> = types.collect();
        addresses(SOURCE, &cube.source)
            .and(&addresses(DESTINATION, &cube.destination))
            .and(&self.any_of(cube.protocols.iter().map(|number| self.protocol(number))))
            .and(&ports(SOURCE_PORT, &cube.source_ports))
            .and(&ports(DESTINATION_PORT, &cube.destination_ports))
            .and(&self.narrowed(&self.icmp(), &self.ports(DESTINATION_PORT, &types)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_set_is_what_the_library_says(expression in expression()) {
        let oracle = Oracle::new();
        let (set, expected) = (expression.set(), oracle.expression(&expression));
        let listed = oracle.any_of(set.cubes(usize::MAX).iter().map(|cube| oracle.line(cube)));
        prop_assert!(listed == expected, "{:.20}", set);
        prop_assert_eq!(set.is_empty(), expected.is_false());
        prop_assert_eq!(set.is_all(), expected.is_true());
    }

    #[test]
    fn two_sets_are_equal_when_the_library_says_so(a in expression(), b in expression()) {
        let oracle = Oracle::new();
        let (left, right) = (oracle.expression(&a), oracle.expression(&b));
        prop_assert_eq!(a.set() == b.set(), left == right);
        prop_assert_eq!(a.set().is_subset(&b.set()), left.and_not(&right).is_false());
        let (one, other) = (Expression::Or(a.clone().into(), b.clone().into()), Expression::Or(b.into(), a.into()));
        prop_assert_eq!(one.set(), other.set());
    }
}
