//! The nodes of a diagram, each once, and the results of operations.

use super::layout;

/// Bit that tells a node from a label.
const NODE: u32 = 1 << 31;

/// The values up to and including `last`, after those of the edge before, lead to `child`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::packet) struct Edge {
    /// A label, or the index of a node with the highest bit set.
    pub(in crate::packet) child: u32,
    pub(in crate::packet) last: u8,
}

/// One digit of one field: which values lead where. At least two edges, and no two neighbours to the same child.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: u32,
    hash: u32,
    length: u16,
    level: u8,
}

/// Nodes, where equal ones have one index: so equal sets have equal roots.
pub(super) struct Table {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Open addressing; index of a node plus one, 0 where free. A power of two long and at most half full.
    slots: Vec<u32>,
}

/// Where a node is, or what leads to a label.
pub(in crate::packet) fn index(child: u32) -> Option<usize> {
    (child & NODE != 0).then_some((child & !NODE) as usize)
}

/// The reference to a node.
pub(in crate::packet) fn reference(index: usize) -> Option<u32> {
    u32::try_from(index).ok().filter(|index| index & NODE == 0).map(|index| index | NODE)
}

impl Table {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), edges: Vec::new(), slots: vec![0; 64] }
    }

    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.edges.clear();
        self.slots.fill(0);
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn level(&self, child: u32) -> u8 {
        index(child).map_or(layout::TERMINAL, |index| self.nodes[index].level)
    }

    /// How many edges the node has, and where they start. A label has none.
    pub(super) fn span(&self, child: u32) -> (usize, usize) {
        index(child).map_or((0, 0), |index| {
            let node = self.nodes[index];
            (node.start as usize, usize::from(node.length))
        })
    }

    pub(super) fn edge(&self, at: usize) -> Edge {
        self.edges[at]
    }

    pub(super) fn edges(&self, child: u32) -> &[Edge] {
        let (start, length) = self.span(child);
        &self.edges[start..start + length]
    }

    /// Level and edges of a node.
    pub(super) fn node(&self, index: usize) -> (u8, &[Edge]) {
        let Node { start, length, level, .. } = self.nodes[index];
        (level, &self.edges[start as usize..start as usize + usize::from(length)])
    }

    /// The node of a level with these edges (at least two, neighbours distinct). `None` when there is no index left.
    pub(super) fn intern(&mut self, level: u8, edges: &[Edge]) -> Option<u32> {
        let hash = hash(level, edges);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while let Some(found) = (self.slots[slot] as usize).checked_sub(1) {
            let node = self.nodes[found];
            if node.hash == hash && node.level == level {
                let start = node.start as usize;
                if self.edges[start..start + usize::from(node.length)] == *edges {
                    return reference(found);
                }
            }
            slot = (slot + 1) & mask;
        }
        let created = reference(self.nodes.len())?;
        let start = u32::try_from(self.edges.len()).ok()?;
        let length = u16::try_from(edges.len()).ok()?;
        self.nodes.push(Node { start, hash, length, level });
        self.edges.extend_from_slice(edges);
        self.slots[slot] = (created & !NODE) + 1;
        if self.nodes.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(created)
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 4 - 1;
        let mut slots = vec![0; mask + 1];
        for (node, number) in self.nodes.iter().zip(1..) {
            let mut slot = node.hash as usize & mask;
            while slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            slots[slot] = number;
        }
        self.slots = slots;
    }
}

fn hash(level: u8, edges: &[Edge]) -> u32 {
    let mut state = u64::from(level) ^ 0x9e37_79b9_7f4a_7c15;
    for edge in edges {
        state = (state ^ (u64::from(edge.child) | u64::from(edge.last) << 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        state ^= state >> 32;
    }
    // The upper half is the better mixed one; it was folded in above.
    state as u32
}

/// Results of operations, direct mapped: a later one takes the place of an earlier one.
pub(super) struct Memo {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    left: u32,
    right: u32,
    /// Operation plus one; 0 where free.
    operation: u32,
    result: u32,
}

impl Memo {
    pub(super) fn new() -> Self {
        Self { entries: vec![Entry::default(); 64] }
    }

    pub(super) fn clear(&mut self) {
        self.entries.fill(Entry::default());
    }

    pub(super) fn get(&self, operation: u8, left: u32, right: u32) -> Option<u32> {
        let entry = self.entries[self.slot(operation, left, right)];
        (entry.left == left && entry.right == right && entry.operation == u32::from(operation) + 1)
            .then_some(entry.result)
    }

    pub(super) fn put(&mut self, operation: u8, left: u32, right: u32, result: u32) {
        let slot = self.slot(operation, left, right);
        self.entries[slot] = Entry { left, right, operation: u32::from(operation) + 1, result };
    }

    /// Keeps as many places as there are nodes, at least.
    pub(super) fn fit(&mut self, nodes: usize) {
        if nodes <= self.entries.len() * 2 {
            return;
        }
        let old = std::mem::take(&mut self.entries);
        self.entries = vec![Entry::default(); old.len() * 4];
        for entry in old {
            if let Some(operation) = entry.operation.checked_sub(1) {
                self.put(operation as u8, entry.left, entry.right, entry.result);
            }
        }
    }

    fn slot(&self, operation: u8, left: u32, right: u32) -> usize {
        let key = (u64::from(left) | u64::from(right) << 32) ^ u64::from(operation) << 29;
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) as usize >> 20 & (self.entries.len() - 1)
    }
}
