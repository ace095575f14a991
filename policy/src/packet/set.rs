//! Exact sets of packets, as values.

use std::ops::{BitAnd, BitOr, Not, Sub};
use std::sync::Arc;

use super::space::layout;
use super::space::table::Edge;
use super::space::{Region, Space};
use super::{Cube, Packet};

/// An exact set of packets of both families.
///
/// Canonical: two equal sets are equal structures, and compare and hash as such. Cheap to clone, and without any tie to
/// where it was made. To put many rules together, use a [`Space`] and take the set from there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PacketSet {
    /// Each after its children, in the order in which a walk from the root leaves them.
    nodes: Arc<[Node]>,
    edges: Arc<[Edge]>,
    root: u32,
}

/// Where the edges of a node end; they begin where those of the node before end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) end: u32,
    pub(super) level: u8,
}

impl PacketSet {
    /// No packet.
    pub fn empty() -> Self {
        Self::new(Vec::new(), Vec::new(), 0)
    }

    /// Every packet of both families.
    pub fn all() -> Self {
        Self::new(Vec::new(), Vec::new(), 1)
    }

    pub(super) fn new(nodes: Vec<Node>, edges: Vec<Edge>, root: u32) -> Self {
        Self { nodes: nodes.into(), edges: edges.into(), root }
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.with(other, Space::or_else)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.with(other, Space::within)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.with(other, Space::without)
    }

    /// Every other packet.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self::all().difference(self)
    }

    /// Whether no packet is in it.
    pub fn is_empty(&self) -> bool {
        self.root == 0
    }

    /// Whether every packet is in it.
    pub fn is_all(&self) -> bool {
        self.root == 1
    }

    /// Whether every packet of it is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// Whether a packet is in it.
    pub fn contains(&self, packet: &Packet) -> bool {
        layout::walk(self.root, packet, |index| (self.nodes[index].level, self.edges(index))) != 0
    }

    /// How many nodes its diagram has; what it costs in memory.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn root(&self) -> u32 {
        self.root
    }

    pub(super) fn level(&self, index: usize) -> u8 {
        self.nodes[index].level
    }

    pub(super) fn edges(&self, index: usize) -> &[Edge] {
        let start = index.checked_sub(1).map_or(0, |before| self.nodes[before].end);
        &self.edges[start as usize..self.nodes[index].end as usize]
    }

    /// Level and edges of each node, children first.
    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = (u8, &[Edge])> {
        (0..self.nodes.len()).map(|index| (self.level(index), self.edges(index)))
    }

    fn with(&self, other: &Self, operation: impl FnOnce(&mut Space, Region, Region) -> Region) -> Self {
        let mut space = Space::new();
        let (left, right) = (space.load(self), space.load(other));
        let result = operation(&mut space, left, right);
        space.unbounded(result)
    }
}

impl From<&Cube> for PacketSet {
    fn from(cube: &Cube) -> Self {
        let mut space = Space::new();
        let region = space.cube(cube, 1);
        space.unbounded(region)
    }
}

/// The union.
impl<'a> FromIterator<&'a Cube> for PacketSet {
    fn from_iter<I: IntoIterator<Item = &'a Cube>>(cubes: I) -> Self {
        let mut space = Space::new();
        let regions: Vec<Region> = cubes.into_iter().map(|cube| space.cube(cube, 1)).collect();
        let union = space.first_match(&regions);
        space.unbounded(union)
    }
}

impl BitOr for &PacketSet {
    type Output = PacketSet;

    fn bitor(self, other: Self) -> PacketSet {
        self.union(other)
    }
}

impl BitAnd for &PacketSet {
    type Output = PacketSet;

    fn bitand(self, other: Self) -> PacketSet {
        self.intersection(other)
    }
}

impl Sub for &PacketSet {
    type Output = PacketSet;

    fn sub(self, other: Self) -> PacketSet {
        self.difference(other)
    }
}

impl Not for &PacketSet {
    type Output = PacketSet;

    fn not(self) -> PacketSet {
        self.complement()
    }
}
