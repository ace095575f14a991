//! Whether policy is enforced on a node at all.

use super::model::index;
use super::{Rule, State};
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
    pub fn rules_of(&self, node: &str, direction: Direction) -> Vec<&Rule> {
        let view = self.view(node);
        let Some(labels) = view.subject() else { return Vec::new() };
        let selected = self.rules.iter().filter(|rule| rule.subject.iter().all(|one| one.matches(labels)));
        selected.filter(|rule| rule.of(direction).next().is_some()).collect()
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
