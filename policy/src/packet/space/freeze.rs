//! A region as a value of its own.

use std::collections::HashMap;

use super::table::{self, Edge, Table};
use crate::packet::PacketSet;
use crate::packet::set::Node;

impl Table {
    /// The nodes below a root, numbered in the order in which a walk leaves them: one numbering for one diagram.
    pub(super) fn collect(&self, root: u32) -> PacketSet {
        let mut frozen = Frozen { table: self, numbers: HashMap::new(), nodes: Vec::new(), edges: Vec::new() };
        let root = frozen.visit(root);
        PacketSet::new(frozen.nodes, frozen.edges, root)
    }
}

struct Frozen<'a> {
    table: &'a Table,
    numbers: HashMap<u32, u32>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl Frozen<'_> {
    /// No deeper than a diagram has levels.
    fn visit(&mut self, child: u32) -> u32 {
        if table::index(child).is_none() {
            return child;
        }
        if let Some(number) = self.numbers.get(&child) {
            return *number;
        }
        let edges: Vec<Edge> = (self.table.edges(child).iter())
            .map(|edge| Edge { child: self.visit(edge.child), last: edge.last })
            .collect();
        self.edges.extend(edges);
        // Neither has more entries than the table, whose own indices are of this width.
        let end = self.edges.len() as u32;
        let number = table::reference(self.nodes.len()).unwrap_or(0);
        self.nodes.push(Node { end, level: self.table.level(child) });
        self.numbers.insert(child, number);
        number
    }
}
