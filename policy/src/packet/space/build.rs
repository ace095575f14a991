//! A cube as a region, from the last field to the first.

use std::sync::Arc;

use super::Space;
use super::layout::{self, Field};
use crate::net::Family;
use crate::packet::Cube;
use crate::packet::interval::{Bound, Intervals};
use crate::packet::protocol::{self, ProtocolSet, Shape};

/// Lists of more ranges than this are remembered: to look up is then cheaper than to build again.
const LONG: usize = 4;

impl Space {
    pub(super) fn build(&mut self, cube: &Cube, label: u32) -> u32 {
        let v4 = self.family(cube, Family::IPv4, label);
        let v6 = self.family(cube, Family::IPv6, label);
        let start = self.scratch.len();
        self.push(start, 0, v4);
        self.push(start, 1, v6);
        self.finish(layout::FAMILY, start)
    }

    fn family(&mut self, cube: &Cube, family: Family, label: u32) -> u32 {
        let addresses = self.addresses(cube, family, label);
        if addresses == 0 {
            return 0;
        }
        let with_ports = cube.protocols.intersection(ProtocolSet::WITH_PORTS);
        let ports = if cube.admits(Shape::Ports) && !with_ports.is_empty() {
            let lower = self.list(Field::LOWER_PORT, cube.source_ports.intervals(), addresses);
            self.list(Field::UPPER_PORT, cube.destination_ports.intervals(), lower)
        } else {
            0
        };
        let icmp = if cube.admits(Shape::Icmp) && cube.protocols.contains(protocol::icmp(family)) {
            self.list(Field::UPPER_PORT, cube.icmp.intervals(), addresses)
        } else {
            0
        };
        let bare = if cube.admits(Shape::Bare) { addresses } else { 0 };
        let child = |protocol| match Shape::of(family, protocol) {
            Shape::Ports => ports,
            Shape::Icmp => icmp,
            Shape::Bare => bare,
        };
        let start = self.scratch.len();
        if let Some(protocol) = cube.protocols.single() {
            if let Some(before) = protocol.checked_sub(1) {
                self.push(start, before, 0);
            }
            self.push(start, protocol, child(protocol));
            if protocol < u8::MAX {
                self.push(start, u8::MAX, 0);
            }
        } else {
            for protocol in 0..=u8::MAX {
                self.push(start, protocol, if cube.protocols.contains(protocol) { child(protocol) } else { 0 });
            }
        }
        self.finish(layout::PROTOCOL, start)
    }

    fn addresses(&mut self, cube: &Cube, family: Family, label: u32) -> u32 {
        let (source, destination) = (Field::source(family), Field::destination(family));
        match family {
            Family::IPv4 => {
                let below = self.remembered(destination, &cube.destination.v4, label, |space| &mut space.kept_v4);
                self.remembered(source, &cube.source.v4, below, |space| &mut space.kept_v4)
            }
            Family::IPv6 => {
                let below = self.remembered(destination, &cube.destination.v6, label, |space| &mut space.kept_v6);
                self.remembered(source, &cube.source.v6, below, |space| &mut space.kept_v6)
            }
        }
    }

    fn remembered<T: Bound>(
        &mut self,
        field: Field,
        values: &Intervals<T>,
        below: u32,
        kept: impl Fn(&mut Self) -> &mut Vec<Arc<[(T, T)]>>,
    ) -> u32 {
        let list = values.shared();
        if list.len() <= LONG {
            return self.list(field, values, below);
        }
        let key = (Arc::as_ptr(list).addr(), field.first(), below);
        if let Some(known) = self.lists.get(&key) {
            return *known;
        }
        let built = self.list(field, values, below);
        if self.exhausted {
            return built;
        }
        self.lists.insert(key, built);
        kept(self).push(Arc::clone(list));
        built
    }

    /// `below` for the values of a set, nothing for all others.
    fn list<T: Bound>(&mut self, field: Field, values: &Intervals<T>, below: u32) -> u32 {
        if below == 0 || values.is_empty() {
            return 0;
        }
        if values.is_full() {
            return below;
        }
        let block = Block { level: field.first(), shift: field.shift(field.first()), prefix: T::MIN };
        self.digit(block, values.ranges(), below)
    }

    /// The node of a block. All ranges meet it, and they do not cover it.
    fn digit<T: Bound>(&mut self, block: Block<T>, ranges: &[(T, T)], below: u32) -> u32 {
        let Block { level, shift, prefix } = block;
        let end = prefix | T::ones(shift + layout::WIDTH);
        let start = self.scratch.len();
        let mut ranges = ranges;
        let mut digit = 0;
        while digit <= Field::LAST_DIGIT {
            let first = prefix | T::from(digit) << shift;
            let last = first | T::ones(shift);
            while let [range, rest @ ..] = ranges
                && range.1 < first
            {
                ranges = rest;
            }
            let (through, child) = match ranges {
                // A gap up to the digit in which the next range begins.
                [range, ..] if range.0 > last && range.0 <= end => (layout::digit(range.0, shift) - 1, 0),
                [] => (Field::LAST_DIGIT, 0),
                [range, ..] if range.0 > last => (Field::LAST_DIGIT, 0),
                // All digits that the range covers.
                [range, ..] if range.0 <= first && range.1 >= last => {
                    let through = match range.1.next() {
                        Some(after) if after <= end => layout::digit(after, shift) - 1,
                        _ => Field::LAST_DIGIT,
                    };
                    (through, below)
                }
                _ => {
                    let inside = ranges.iter().take_while(|range| range.0 <= last).count();
                    let inner = Block { level: level + 1, shift: shift - layout::WIDTH, prefix: first };
                    (digit, self.digit(inner, &ranges[..inside], below))
                }
            };
            self.push(start, through, child);
            digit = through + 1;
        }
        self.finish(level, start)
    }
}

/// The numbers that start with `prefix` and then have any digits, from that of `level` on.
#[derive(Clone, Copy)]
struct Block<T> {
    level: u8,
    shift: u32,
    prefix: T,
}
