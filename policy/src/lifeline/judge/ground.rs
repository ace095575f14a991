//! The nodes of a state, and which of them are alike.

use std::sync::Arc;

use super::hosts::{self, Hosts};
use super::sieve::Classes;
use super::world::World;

/// The nodes between which packets go, before a change and after it.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) hosts: Arc<Hosts>,
    pub(super) classes: Arc<Classes>,
}

impl Ground {
    pub(super) fn new(before: &World, after: &World) -> Self {
        let hosts = Arc::new(hosts::hosts(before, after));
        let classes = Arc::new(Classes::new(before, after, &hosts));
        Self { hosts, classes }
    }

    /// The nodes before and after a change, given those of the state before. What did not change is taken over.
    pub(super) fn after(&self, before: &World, after: &World) -> Self {
        if !after.has_nodes_of(before) {
            return Self::new(before, after);
        }
        let hosts = Arc::clone(&self.hosts);
        let classes = if Classes::hold(before, after) {
            Arc::clone(&self.classes)
        } else {
            Arc::new(Classes::new(before, after, &hosts))
        };
        Self { hosts, classes }
    }

    /// The nodes of a state after a change, given those of the state before.
    pub(super) fn next(&self, before: &World, after: &World) -> Option<Self> {
        (after.has_nodes_of(before) && Classes::hold(before, after)).then(|| self.clone())
    }
}
