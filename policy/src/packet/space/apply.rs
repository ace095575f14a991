//! Operations on two regions, node by node.

use super::table::Edge;
use super::{Space, table};

/// What is done with the labels `a` and `b` of a packet.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    /// `a`, or `b` where that is 0.
    OrElse,
    /// `a` where `b` is not 0.
    Within,
    /// `a` where `b` is 0.
    Without,
    /// 1 where `a` is `b`, which is one label for all packets.
    Labelled,
}

impl Operation {
    /// The result, where it needs no look below.
    fn short(self, a: u32, b: u32) -> Option<u32> {
        let (a_label, b_label) = (table::index(a).is_none(), table::index(b).is_none());
        match self {
            Self::OrElse => match (a, b) {
                (0, other) | (other, 0) => Some(other),
                _ => (a_label || a == b).then_some(a),
            },
            Self::Within => match (a, b) {
                (0, _) | (_, 0) => Some(0),
                _ => (b_label || a == b).then_some(a),
            },
            Self::Without => match (a, b) {
                (0, _) => Some(0),
                (_, 0) => Some(a),
                _ => (b_label || a == b).then_some(0),
            },
            Self::Labelled => a_label.then_some(u32::from(a == b)),
        }
    }
}

impl Space {
    pub(super) fn apply(&mut self, operation: Operation, a: u32, b: u32) -> u32 {
        if let Some(result) = operation.short(a, b) {
            return result;
        }
        if let Some(result) = self.memo.get(operation as u8, a, b) {
            return result;
        }
        if self.exhausted {
            return 0;
        }
        let (a_level, b_level) = (self.table.level(a), self.table.level(b));
        let level = a_level.min(b_level);
        let start = self.scratch.len();
        // The cursor over one side; a side that does not look at this level is one edge over all its values.
        let mut left = Cursor::new(self, a, a_level == level);
        let mut right = Cursor::new(self, b, b_level == level);
        loop {
            let child = self.apply(operation, left.edge.child, right.edge.child);
            let last = left.edge.last.min(right.edge.last);
            self.push(start, last, child);
            self.budget = self.budget.saturating_sub(1);
            let (left_ends, right_ends) = (left.edge.last == last, right.edge.last == last);
            let more = (left_ends && left.advance(self)) | (right_ends && right.advance(self));
            if !more {
                break;
            }
        }
        let result = self.finish(level, start);
        // What comes after exhaustion is wrong, and must not be found when a new budget is given.
        if !self.exhausted {
            self.memo.put(operation as u8, a, b, result);
        }
        result
    }

    /// Adds an edge to the node under construction that starts at `start` of the scratch list.
    pub(super) fn push(&mut self, start: usize, last: u8, child: u32) {
        match self.scratch[start..].last_mut() {
            Some(edge) if edge.child == child => edge.last = last,
            _ => self.scratch.push(Edge { child, last }),
        }
    }

    /// Makes the node of the edges from `start` of the scratch list on.
    pub(super) fn finish(&mut self, level: u8, start: usize) -> u32 {
        let made = (self.scratch.len() - start) as u64;
        self.budget = self.budget.saturating_sub(made);
        let result = match &self.scratch[start..] {
            _ if self.budget == 0 => None,
            [only] => Some(only.child),
            edges => self.table.intern(level, edges),
        };
        self.scratch.truncate(start);
        self.memo.fit(self.table.len());
        result.unwrap_or_else(|| {
            self.exhausted = true;
            0
        })
    }
}

/// A place in the edges of a node.
struct Cursor {
    edge: Edge,
    next: usize,
    end: usize,
}

impl Cursor {
    fn new(space: &Space, child: u32, looks: bool) -> Self {
        let (start, length) = if looks { space.table.span(child) } else { (0, 0) };
        match length {
            0 => Self { edge: Edge { child, last: u8::MAX }, next: 0, end: 0 },
            _ => Self { edge: space.table.edge(start), next: start + 1, end: start + length },
        }
    }

    fn advance(&mut self, space: &Space) -> bool {
        let more = self.next < self.end;
        if more {
            self.edge = space.table.edge(self.next);
            self.next += 1;
        }
        more
    }
}
