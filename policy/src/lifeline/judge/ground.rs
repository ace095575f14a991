//! The nodes of a state, which of them are alike, and where flows go between them.

use std::sync::Arc;

use super::hosts::{self, Hosts};
use super::sieve::{Classes, Reach};
use super::world::World;
use crate::lifeline::model::Lifeline;

/// The nodes between which packets go, before a change and after it.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) hosts: Arc<Hosts>,
    pub(super) classes: Arc<Classes>,
    pub(super) reach: Arc<Reach>,
}

impl Ground {
    pub(super) fn new(before: &World, after: &World, lifelines: &[Lifeline]) -> Self {
        let hosts = Arc::new(hosts::hosts(before, after));
        let classes = Arc::new(Classes::new(before, after, &hosts));
        let reach = Arc::new(Reach::new(&hosts, lifelines));
        Self { hosts, classes, reach }
    }

    /// The nodes before and after a change, given those of the state before. What did not change is taken over; `same` says
    /// that the lifelines did not.
    pub(super) fn after(&self, before: &World, after: &World, lifelines: &[Lifeline], same: bool) -> Self {
        if !after.has_nodes_of(before) {
            return Self::new(before, after, lifelines);
        }
        let hosts = Arc::clone(&self.hosts);
        let classes = if Classes::hold(before, after) {
            Arc::clone(&self.classes)
        } else {
            Arc::new(Classes::new(before, after, &hosts))
        };
        let reach = if same { Arc::clone(&self.reach) } else { Arc::new(Reach::new(&hosts, lifelines)) };
        Self { hosts, classes, reach }
    }

    /// Whether these are also the nodes of a state after a change, and alike there.
    pub(super) fn stays(before: &World, after: &World) -> bool {
        after.has_nodes_of(before) && Classes::hold(before, after)
    }
}
