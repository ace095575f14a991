//! Whether policy is enforced on a node at all.

use std::sync::Arc;

use super::model::index;
use super::{Rule, State};
use crate::cilium::selector::Requirement;
use crate::cilium::settings::Enforcement;
use crate::packet::Direction;

/// Enforcement of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// Whether packets are judged.
    pub enforced: bool,
    /// Whether what nothing allows is denied.
    pub default_deny: bool,
}

impl State {
    /// The rules that select a node and have entries for a direction, in the order of their objects.
    pub fn rules_of(&self, node: &str, direction: Direction) -> &[Arc<Rule>] {
        if direction == Direction::Forward {
            return &[];
        }
        self.selected.of(node).map_or(&[], |rules| &rules[index(direction)])
    }

    /// Nodes in groups that the same rules select and whose verdicts therefore differ in nothing but which addresses are
    /// their own. In the order of names.
    pub fn classes(&self) -> Vec<Vec<&str>> {
        self.selected.classes()
    }

    /// Whether what nothing allows is denied at every node that a selector may select.
    pub(super) fn denies_by_default(&self, subject: &[Requirement], direction: Direction) -> bool {
        self.settings.enforcement.value == Enforcement::Always || self.selected.denies_by_default(subject, direction)
    }

    /// Whether policy is enforced on a node (cilium/cilium:pkg/policy/repository.go,
    /// `computePolicyEnforcementAndRules`).
    pub fn enforcement(&self, node: &str, direction: Direction) -> Enforced {
        let mode = self.settings.enforcement.value;
        if !self.settings.host_firewall.value || mode == Enforcement::Never {
            return Enforced { enforced: false, default_deny: false };
        }
        let rules = self.rules_of(node, direction);
        let always = mode == Enforcement::Always;
        Enforced {
            enforced: always || !rules.is_empty(),
            default_deny: always || rules.iter().any(|rule| rule.default_deny[index(direction)]),
        }
    }
}
