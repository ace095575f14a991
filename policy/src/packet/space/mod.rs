//! Where rules are put together: an ordered decision diagram over the fields of a packet.
//!
//! Firewall decision diagrams (Gouda and Liu, ICDCS 2004) with nodes made once each, as binary decision diagrams have
//! them (Bryant 1986): a region is a root, equal regions are equal numbers, and what two regions have in common is stored
//! and worked on once.

mod apply;
mod build;
mod freeze;
pub(super) mod layout;
pub(super) mod table;

use std::collections::HashMap;
use std::sync::Arc;

use super::{Cube, Packet, PacketSet};
use apply::Operation;
use table::{Edge, Memo, Table};

/// What a region says about a packet; 0 is nothing.
pub type Label = u16;

/// A label for each packet, [`Space::EMPTY`] where none.
///
/// Belongs to the [`Space`] that made it, until that is cleared, and means nothing to another; there, equal regions are
/// equal values. A region of one label is a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(u32);

/// A working place for regions. Rules of one question go into one space; what lasts is a [`PacketSet`].
pub struct Space {
    table: Table,
    memo: Memo,
    /// Edges of the nodes under construction, innermost last.
    scratch: Vec<Edge>,
    /// Nodes of long address lists, by the place of the list, first level, and what lies below.
    lists: HashMap<(usize, u8, u32), u32>,
    /// Keeps those places from being used again.
    kept_v4: Vec<Arc<[(u32, u32)]>>,
    kept_v6: Vec<Arc<[(u128, u128)]>>,
    budget: u64,
    exhausted: bool,
}

/// More work than a [`Space`] was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policies are too large to judge exactly: more work than the limit allows")]
pub struct Exhausted;

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Space {
    /// No packet.
    pub const EMPTY: Region = Region(0);
    /// Every packet, label 1.
    pub const ALL: Region = Region(1);

    /// A space whose work is bounded by memory alone.
    pub fn new() -> Self {
        Self::with_budget(u64::MAX)
    }

    /// A space that gives up after a number of steps. A step is an edge looked at or made; a space takes some 60 bytes for
    /// each edge made. The same rules in the same order always take the same steps, on every machine.
    ///
    /// Once exhausted, every region made is wrong, and [`store`](Self::store) and [`check`](Self::check) say so.
    pub fn with_budget(steps: u64) -> Self {
        Self {
            table: Table::new(),
            memo: Memo::new(),
            scratch: Vec::new(),
            lists: HashMap::new(),
            kept_v4: Vec::new(),
            kept_v6: Vec::new(),
            budget: steps,
            exhausted: false,
        }
    }

    /// Forgets every region, keeps the memory, and takes a new budget. To evaluate one state after another this is cheaper
    /// than a new space.
    pub fn clear(&mut self, steps: u64) {
        self.table.clear();
        self.memo.clear();
        self.lists.clear();
        self.kept_v4.clear();
        self.kept_v6.clear();
        self.budget = steps;
        self.exhausted = false;
    }

    /// Every packet, with a label.
    pub fn everywhere(label: Label) -> Region {
        Region(u32::from(label))
    }

    /// The packets of a cube, with a label.
    pub fn cube(&mut self, cube: &Cube, label: Label) -> Region {
        Region(self.build(cube, u32::from(label)))
    }

    /// `first`, and where it has no label, `second`. For sets of one label, the union.
    pub fn or_else(&mut self, first: Region, second: Region) -> Region {
        Region(self.apply(Operation::OrElse, first.0, second.0))
    }

    /// The same over many, in order: the first that has a label for a packet gives it.
    ///
    /// Halves are merged, which keeps the cost near linear where every rule touches what all rules before it made: nested
    /// and interleaved ranges, or rules of every protocol between rules of one port. One rule at a time
    /// ([`within`](Self::within), [`without`](Self::without)) costs the square of their number there.
    pub fn first_match(&mut self, rules: &[Region]) -> Region {
        match rules {
            [] => Self::EMPTY,
            [rule] => *rule,
            _ => {
                let (front, back) = rules.split_at(rules.len() / 2);
                let (front, back) = (self.first_match(front), self.first_match(back));
                self.or_else(front, back)
            }
        }
    }

    /// `region` where `other` has any label. For sets, the intersection.
    pub fn within(&mut self, region: Region, other: Region) -> Region {
        Region(self.apply(Operation::Within, region.0, other.0))
    }

    /// `region` where `other` has no label. For sets, the difference.
    pub fn without(&mut self, region: Region, other: Region) -> Region {
        Region(self.apply(Operation::Without, region.0, other.0))
    }

    /// Where the region has no label, with label 1.
    pub fn complement(&mut self, region: Region) -> Region {
        self.without(Self::ALL, region)
    }

    /// Where the region has this label, with label 1.
    pub fn labelled(&mut self, region: Region, label: Label) -> Region {
        Region(self.apply(Operation::Labelled, region.0, u32::from(label)))
    }

    /// Where the region has any label, with this one.
    pub fn relabel(&mut self, region: Region, label: Label) -> Region {
        self.within(Self::everywhere(label), region)
    }

    /// Whether every packet with a label in `region` has one in `other`.
    pub fn is_subset(&mut self, region: Region, other: Region) -> bool {
        self.without(region, other) == Self::EMPTY
    }

    /// Takes a set in, with label 1.
    pub fn load(&mut self, set: &PacketSet) -> Region {
        let mut roots = Vec::with_capacity(set.nodes().len());
        let resolve = |roots: &[u32], child: u32| table::index(child).map_or(child, |index| roots[index]);
        for (level, edges) in set.nodes() {
            let start = self.scratch.len();
            self.scratch.extend(edges.iter().map(|edge| Edge { child: resolve(&roots, edge.child), last: edge.last }));
            let root = self.finish(level, start);
            roots.push(root);
        }
        Region(resolve(&roots, set.root()))
    }

    /// Takes a region of another space in. `copies` holds what each of its nodes is here, as far as they were taken in before.
    pub(super) fn copy(&mut self, from: &Self, region: Region, copies: &mut Vec<u32>) -> Region {
        if copies.len() < from.size() {
            copies.resize(from.size(), 0);
        }
        Region(self.copied(&from.table, region.0, copies))
    }

    /// No deeper than a diagram has levels.
    fn copied(&mut self, from: &Table, child: u32, copies: &mut [u32]) -> u32 {
        let Some(index) = table::index(child) else { return child };
        // No node is a label.
        if copies[index] != 0 {
            return copies[index];
        }
        let (level, edges) = from.node(index);
        let start = self.scratch.len();
        for edge in edges {
            let child = self.copied(from, edge.child, copies);
            self.scratch.push(Edge { child, last: edge.last });
        }
        copies[index] = self.finish(level, start);
        copies[index]
    }

    /// The packets that have a label.
    ///
    /// # Errors
    ///
    /// The budget was exceeded at some time.
    pub fn store(&mut self, region: Region) -> Result<PacketSet, Exhausted> {
        let set = self.relabel(region, 1);
        self.check()?;
        Ok(self.table.collect(set.0))
    }

    /// The packets of a set, which is a region of label 1.
    pub(super) fn collect(&self, set: Region) -> PacketSet {
        self.table.collect(set.0)
    }

    /// The label of a packet, if it has one.
    pub(super) fn label(&self, region: Region, packet: &Packet) -> Option<Label> {
        let node = |index| self.table.node(index);
        let label = layout::walk(region.0, packet, node);
        // Labels go in as this width.
        (label != 0).then_some(label as Label)
    }

    /// A new budget for what comes. What was exhausted is forgotten: regions made then are wrong, all others right.
    pub(super) fn refill(&mut self, steps: u64) {
        self.budget = steps;
        self.exhausted = false;
    }

    /// The same for a space without a budget.
    pub(super) fn unbounded(&mut self, region: Region) -> PacketSet {
        self.store(region).expect("2^31 nodes and 2^32 edges do not fit into memory")
    }

    /// Whether all regions made so far are right.
    ///
    /// # Errors
    ///
    /// The budget was exceeded at some time.
    pub fn check(&self) -> Result<(), Exhausted> {
        if self.exhausted { Err(Exhausted) } else { Ok(()) }
    }

    /// How many nodes all regions together have; what a space costs in memory.
    pub fn size(&self) -> usize {
        self.table.len()
    }
}
