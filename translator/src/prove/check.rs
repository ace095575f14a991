//! Holding what a CNI admits to what the rows mean, with the losses that the rendering reports.

use std::collections::HashMap;

use policy::packet::{Cube, IpSet, PacketSet, Preference, Region, Space};

use super::facts::{Member, loopback};
use super::intent::{Bound, Intent, number};
use super::own::Own;
use crate::matrix::{Direction, Row};
use crate::render::loss::{Change, Packets};
use crate::render::{Fate, Rendered};

/// Steps that the comparisons of one proof may take.
const BUDGET: u64 = 1 << 30;

/// The comparisons of one proof.
pub(super) struct Checker<'c> {
    pub(super) intent: &'c Intent<'c>,
    rendered: &'c Rendered,
    pub(super) space: Space,
    bounds: HashMap<Subject, Bounds>,
}

/// What the rows depend on.
type Subject = (Vec<usize>, Direction, Option<String>);

/// Sets that what a CNI admits lies between.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) least: Region,
    /// The least while no other node has a host endpoint.
    pub(super) alone: Region,
    pub(super) most: Region,
}

impl Bounds {
    /// Everything passes.
    pub(super) const OPEN: Self = Self { least: Space::ALL, alone: Space::ALL, most: Space::ALL };
}

/// Packets that are admitted and should not be, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The rows admit them, and the CNI does not.
    pub(super) missing: bool,
    pub(super) packets: PacketSet,
}

impl<'c> Checker<'c> {
    pub(super) fn new(intent: &'c Intent<'c>, rendered: &'c Rendered) -> Self {
        Self { intent, rendered, space: Space::with_budget(BUDGET), bounds: HashMap::new() }
    }

    /// What the rows mean for a node, with what the findings report. `interface` is where it matters.
    pub(super) fn bounds(&mut self, node: &Member, direction: Direction, interface: Option<&str>) -> Bounds {
        // Nobody's rows are for a node without a role, and nothing closes it.
        if node.roles.is_empty() || interface.is_some_and(|name| !self.intent.polices(name) || self.is_lost(name)) {
            return Bounds::OPEN;
        }
        let subject = (node.roles.clone(), direction, interface.map(str::to_owned));
        if let Some(known) = self.bounds.get(&subject) {
            return *known;
        }
        let rows = self.rows(&node.roles, direction, interface);
        let intent = self.intent;
        let [least, alone, most] = [Bound::Least, Bound::Alone, Bound::Most]
            .map(|bound| intent.admitted(&mut self.space, &rows, direction, bound));
        let failsafes = self.failsafes(&node.roles, direction);
        let bounds = Bounds { least, alone, most: self.space.or_else(most, failsafes) };
        self.bounds.insert(subject, bounds);
        bounds
    }

    /// The rows that are written, each with what changes it.
    pub(super) fn rows(
        &self,
        roles: &[usize],
        direction: Direction,
        interface: Option<&str>,
    ) -> Vec<(&'c Row, Vec<&'c Change>)> {
        let rendered = self.rendered;
        let refused = |row: &Row| {
            let mut outcomes = rendered.outcomes.iter();
            outcomes.any(|outcome| {
                (outcome.row, outcome.direction) == (row.origin, row.direction) && outcome.fate == Fate::Refused
            })
        };
        let changes = |of: &Row| -> Vec<&'c Change> {
            let changes = rendered.losses.iter().filter_map(|loss| match &loss.packets {
                Packets::Row { row, direction, change } => Some((row, direction, change)),
                Packets::Failsafe { .. } | Packets::Interface { .. } => None,
            });
            let own = changes.filter(|(row, direction, _)| (**row, **direction) == (of.origin, of.direction));
            own.map(|(_, _, change)| change).collect()
        };
        let rows = self.intent.rows(roles, direction, interface).into_iter();
        rows.filter(|row| !refused(row)).map(|row| (row, changes(row))).collect()
    }

    /// Compares, within `domain`; what the CNI does on its own is nobody's mistake.
    pub(super) fn compare(
        &mut self,
        bounds: Bounds,
        domain: Region,
        own: Own,
        actual: &PacketSet,
        ways: Ways,
    ) -> Result<Option<Difference>, policy::packet::Exhausted> {
        let space = &mut self.space;
        let actual = space.load(actual);
        let least = if ways == Ways::Alone { bounds.alone } else { bounds.least };
        let wanted = space.within(least, domain);
        let wanted = space.without(wanted, own.drops);
        let missing = space.without(wanted, actual);
        if missing != Space::EMPTY {
            return Ok(Some(Difference { missing: true, packets: space.store(missing)? }));
        }
        if ways == Ways::Both {
            let admitted = space.within(actual, domain);
            let extra = space.without(admitted, bounds.most);
            let extra = space.without(extra, own.passes);
            if extra != Space::EMPTY {
                return Ok(Some(Difference { missing: false, packets: space.store(extra)? }));
            }
        }
        space.check()?;
        Ok(None)
    }

    /// Packets that travel between hosts, of peers that the facts of the matrix hold for.
    pub(super) fn between_hosts(&mut self, direction: Direction, strays: &IpSet) -> Region {
        let travels = loopback().complement();
        let peers = travels.difference(strays);
        let cube = match direction {
            Direction::Ingress => Cube { source: peers, destination: travels, ..Cube::any() },
            Direction::Egress => Cube { source: travels, destination: peers, ..Cube::any() },
        };
        self.space.cube(&cube, 1)
    }

    /// One packet of a difference, from or to a node if there is one.
    pub(super) fn sample(&self, difference: &Difference, node: &Member) -> Option<policy::packet::Packet> {
        let others = self.intent.facts.nodes.iter().filter(|other| other.name != node.name);
        let others: Vec<_> = others.flat_map(|other| other.addresses.iter().copied()).take(64).collect();
        let both = [node.addresses.clone(), others.clone()].concat();
        let preference = Preference { sources: [others, node.addresses.clone()].concat(), destinations: both };
        difference.packets.sample(&preference)
    }

    fn is_lost(&self, interface: &str) -> bool {
        let mut losses = self.rendered.losses.iter();
        losses.any(|loss| matches!(&loss.packets, Packets::Interface { name } if name == interface))
    }

    fn failsafes(&mut self, roles: &[usize], direction: Direction) -> Region {
        let mut regions = Vec::new();
        for loss in &self.rendered.losses {
            let Packets::Failsafe { roles: of, direction: way, transport, port, net } = &loss.packets else { continue };
            if *way != direction || !of.iter().any(|role| roles.contains(role)) {
                continue;
            }
            let cube = Cube { protocols: number(*transport).into(), destination_ports: (*port).into(), ..Cube::any() };
            let peers = net.map_or_else(IpSet::all, IpSet::from);
            let cube = match direction {
                Direction::Ingress => Cube { source: peers, ..cube },
                Direction::Egress => Cube { destination: peers, ..cube },
            };
            regions.push(self.space.cube(&cube, 1));
        }
        self.space.first_match(&regions)
    }
}

/// Which differences count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    /// Nothing missing and nothing extra.
    Both,
    /// Nothing missing: on the way to the whole, more may be admitted.
    NothingMissing,
    /// Nothing missing while no other node has a host endpoint.
    Alone,
}
