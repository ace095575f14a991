//! A packet set as lines that a person can check.

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;

use super::interval::{Bound, Intervals};
use super::protocol::{ProtocolSet, Shape};
use super::space::layout::{self, Field};
use super::space::table;
use super::{Cube, IcmpSet, IpSet, PacketSet, PortSet};
use crate::net::Family;

impl PacketSet {
    /// Cubes that have no packet in common and together are the set; at most `limit` of them.
    ///
    /// Values that lead to the same further conditions are in one cube. The order is that of the first value of each:
    /// family, protocol, destination port, source port, source, destination.
    pub fn cubes(&self, limit: usize) -> Vec<Cube> {
        let mut cubes = Vec::new();
        let _ = self.visit(&mut |cube| {
            if cubes.len() == limit {
                return ControlFlow::Break(());
            }
            cubes.push(cube);
            ControlFlow::Continue(())
        });
        cubes
    }

    fn visit(&self, found: &mut dyn FnMut(Cube) -> ControlFlow<()>) -> ControlFlow<()> {
        for family in [Family::IPv4, Family::IPv6] {
            let child = self.follow(self.root(), layout::FAMILY, family as u8);
            // Where the family makes no difference, a cube over all addresses is one of both families.
            let joint = child == self.root();
            let addresses = IpSet::family(family);
            let mut found = |mut cube: Cube| {
                if joint && cube.source == addresses && cube.destination == addresses {
                    if family == Family::IPv6 {
                        return ControlFlow::Continue(());
                    }
                    (cube.source, cube.destination) = (IpSet::all(), IpSet::all());
                }
                found(cube)
            };
            for (protocols, shape, child) in self.protocols(family, child) {
                self.ports(family, &Cube { protocols, ..Cube::any() }, shape, child, &mut found)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Protocols by what they lead to; and by shape, if ports or type and code matter.
    fn protocols(&self, family: Family, node: u32) -> Vec<(ProtocolSet, Shape, u32)> {
        let mut groups: Vec<(ProtocolSet, Shape, u32)> = Vec::new();
        for protocol in 0..=u8::MAX {
            let child = self.follow(node, layout::PROTOCOL, protocol);
            if child == 0 {
                continue;
            }
            let ports_matter = self.looks_at(child, Field::UPPER_PORT) || self.looks_at(child, Field::LOWER_PORT);
            let shape = if ports_matter { Shape::of(family, protocol) } else { Shape::Bare };
            match groups.iter_mut().find(|group| (group.1, group.2) == (shape, child)) {
                Some(group) => group.0 = group.0.union(protocol.into()),
                None => groups.push((protocol.into(), shape, child)),
            }
        }
        groups
    }

    fn ports(
        &self,
        family: Family,
        cube: &Cube,
        shape: Shape,
        node: u32,
        found: &mut dyn FnMut(Cube) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match shape {
            Shape::Bare => self.addresses(family, cube, node, found)?,
            Shape::Icmp => {
                for (icmp, child) in self.groups(Field::UPPER_PORT, node) {
                    let cube = Cube { icmp: IcmpSet::from_intervals(icmp), ..cube.clone() };
                    self.addresses(family, &cube, child, found)?;
                }
            }
            Shape::Ports => {
                for (destination, child) in self.groups(Field::UPPER_PORT, node) {
                    for (source, child) in self.groups(Field::LOWER_PORT, child) {
                        let destination_ports = PortSet::from_intervals(destination.clone());
                        let source_ports = PortSet::from_intervals(source);
                        let cube = Cube { source_ports, destination_ports, ..cube.clone() };
                        self.addresses(family, &cube, child, found)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn addresses(
        &self,
        family: Family,
        cube: &Cube,
        node: u32,
        found: &mut dyn FnMut(Cube) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (source, child) in self.address_groups(family, Field::source(family), node) {
            for (destination, _) in self.address_groups(family, Field::destination(family), child) {
                found(Cube { source: source.clone(), destination, ..cube.clone() })?;
            }
        }
        ControlFlow::Continue(())
    }

    fn address_groups(&self, family: Family, field: Field, node: u32) -> Vec<(IpSet, u32)> {
        let empty = IpSet::empty();
        match family {
            Family::IPv4 => (self.groups(field, node).into_iter())
                .map(|(v4, child)| (IpSet { v4, v6: empty.v6.clone() }, child))
                .collect(),
            Family::IPv6 => (self.groups(field, node).into_iter())
                .map(|(v6, child)| (IpSet { v4: empty.v4.clone(), v6 }, child))
                .collect(),
        }
    }

    /// The values of a field by what they lead to, without those that lead nowhere.
    fn groups<T: Bound>(&self, field: Field, node: u32) -> Vec<(Intervals<T>, u32)> {
        let mut runs = Vec::new();
        self.runs(field, field.first(), node, 0, &mut runs);
        // In the order of first values, which is also a canonical one.
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut groups: Vec<(Vec<(T, T)>, u32)> = Vec::new();
        for (first, last, child) in runs {
            let place = *places.entry(child).or_insert(groups.len());
            if place == groups.len() {
                groups.push((Vec::new(), child));
            }
            groups[place].0.push((T::narrow(first), T::narrow(last)));
        }
        groups.into_iter().map(|(ranges, child)| (Intervals::of(ranges), child)).collect()
    }

    /// The numbers that start with `prefix` before a level, ascending, with what they lead to. There are at most twice as
    /// many runs as the cubes have ranges of which the set was made.
    fn runs(&self, field: Field, level: u8, node: u32, prefix: u128, runs: &mut Vec<(u128, u128, u32)>) {
        if node == 0 {
            return;
        }
        if self.looks_at(node, field) {
            for digit in 0..=Field::LAST_DIGIT {
                let child = self.follow(node, level, digit);
                self.runs(field, level + 1, child, prefix | u128::from(digit) << field.shift(level), runs);
            }
            return;
        }
        let last = prefix | field.block(level);
        match runs.last_mut() {
            Some(run) if run.2 == node && run.1.checked_add(1) == Some(prefix) => run.1 = last,
            _ => runs.push((prefix, last, node)),
        }
    }

    /// Where a value of a level leads; to the node itself if that looks at a later level only.
    fn follow(&self, node: u32, level: u8, value: u8) -> u32 {
        match table::index(node) {
            Some(index) if self.level(index) == level => {
                let edges = self.edges(index);
                edges[edges.partition_point(|edge| edge.last < value)].child
            }
            _ => node,
        }
    }

    fn looks_at(&self, node: u32, field: Field) -> bool {
        table::index(node).is_some_and(|index| field.has(self.level(index)))
    }
}

/// One line for each cube. `{:.20}` shows at most 20 lines, and 20 entries of each list in them.
impl fmt::Display for PacketSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("no packet");
        }
        let mut lines = 0;
        let mut result = Ok(());
        let limit = formatter.precision().unwrap_or(usize::MAX);
        let _ = self.visit(&mut |cube| {
            if lines > 0 {
                result = result.and_then(|()| formatter.write_str("\n"));
            }
            if lines == limit {
                result = result.and_then(|()| formatter.write_str("..."));
                return ControlFlow::Break(());
            }
            lines += 1;
            result = result.and_then(|()| cube.fmt(formatter));
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Space;

    fn addresses(texts: &[&str]) -> IpSet {
        texts.iter().map(|text| text.parse::<ipnet::IpNet>().expect(text)).collect()
    }

    #[test]
    fn a_listing_can_be_checked_by_eye() {
        let tcp = |ports: &[u16], source: &[&str]| Cube {
            source: addresses(source),
            protocols: 6.into(),
            destination_ports: ports.iter().copied().collect(),
            ..Cube::any()
        };
        let rules = [
            tcp(&[22, 6443], &["10.0.0.0/8"]),
            tcp(&[179], &["10.0.0.1/32", "10.0.0.2/32", "fd00::/64"]),
            Cube { protocols: 1.into(), icmp: IcmpSet::kind(8), ..Cube::any() },
            Cube { protocols: 58.into(), ..Cube::any() },
            Cube { protocols: [47, 112].into_iter().collect(), source: addresses(&["10.0.0.0/8"]), ..Cube::any() },
        ];
        let set: PacketSet = rules.iter().collect();
        assert_eq!(
            set.to_string(),
            "ICMP type 8 from any IPv4 to any IPv4\n\
             TCP 22,6443 from 10.0.0.0/8 to any IPv4\n\
             TCP 179 from 10.0.0.1-10.0.0.2 to any IPv4\n\
             GRE,VRRP from 10.0.0.0/8 to any IPv4\n\
             ICMPv6 from any IPv4 to any IPv4\n\
             TCP 179 from fd00::/64 to any IPv6\n\
             ICMPv6 from any IPv6 to any IPv6"
        );
        assert_eq!(format!("{set:.1}"), "ICMP type 8 from any IPv4 to any IPv4\n...");
    }

    #[test]
    fn both_families_share_a_line_where_addresses_do_not_matter() {
        let web = Cube { protocols: 6.into(), destination_ports: [80, 443].into_iter().collect(), ..Cube::any() };
        let web = PacketSet::from(&web);
        assert_eq!(web.to_string(), "TCP 80,443 from any to any");
        assert_eq!(
            web.complement().to_string(),
            "every protocol but TCP from any to any\nTCP 0-79,81-442,444-65535 from any to any"
        );
        assert_eq!(PacketSet::all().to_string(), "every protocol from any to any");
        assert_eq!(PacketSet::empty().to_string(), "no packet");
    }

    #[test]
    fn prefixes_of_two_families_that_share_their_digits_are_told_apart() {
        // 16.0.0.0/4 and 1000::/4 begin with the same digit, so their diagrams are one.
        let mut space = Space::new();
        let cube = space.cube(&Cube { source: addresses(&["16.0.0.0/4", "1000::/4"]), ..Cube::any() }, 1);
        let set = space.store(cube).expect("no budget");
        assert_eq!(set.size(), 1);
        assert_eq!(
            set.to_string(),
            "every protocol from 16.0.0.0/4 to any IPv4\nevery protocol from 1000::/4 to any IPv6"
        );
    }

    #[test]
    fn ports_and_types_that_share_their_digits_are_told_apart() {
        // Type 8 of any code is the number of the ports 2048 to 2303, so both protocols lead to one node.
        let ping = Cube { protocols: 1.into(), icmp: IcmpSet::kind(8), ..Cube::any() };
        let ports = Cube { protocols: 6.into(), destination_ports: (2048..=2303).into(), ..Cube::any() };
        let v4 = Cube { source: IpSet::family(Family::IPv4), ..Cube::any() };
        let set = &[&ping, &ports].into_iter().collect::<PacketSet>() & &PacketSet::from(&v4);
        assert_eq!(set.to_string(), "ICMP type 8 from any IPv4 to any IPv4\nTCP 2048-2303 from any IPv4 to any IPv4");
    }
}
