//! One policy object put in or taken away, beside a compiled snapshot that stays as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::model::{Rule, index};
use super::parts::Parts;
use super::take::Part;
use super::{State, names};
use crate::packet::Direction;

/// Rules for hosts of an object in the place of others. Either may be none.
pub(in crate::cilium) struct Swap {
    pub(in crate::cilium) old: Vec<Arc<Rule>>,
    pub(in crate::cilium) new: Vec<Arc<Rule>>,
    /// Whether the ipcache stays as it is. Otherwise what every rule means depends on no prefixes but its own.
    pub(in crate::cilium) same_prefixes: bool,
}

impl Swap {
    /// `None` where other rules may mean something else after it, or where there is more to be said about it.
    pub(super) fn of(parts: &Parts, state: &State, old: Option<&Part>, new: Option<&Part>) -> Option<Self> {
        // Of what is refused agents may go on with an earlier version.
        let rules = |part: Option<&Part>| Some(part.map_or(Some(&[][..]), Part::rules)?.to_vec());
        let swap = Self { old: rules(old)?, new: rules(new)?, same_prefixes: names_same(parts, old, new) };
        if old.is_none() && new.is_none() {
            return None;
        }
        let is_settled = || parts.is_settled() && new.is_none_or(Part::is_settled);
        if !swap.same_prefixes && !is_settled() {
            return None;
        }
        // The first rule for hosts, and the last one: with them goes what is taken for granted about the agents.
        let others = state.rules.len() - swap.old.len();
        if state.rules.is_empty() != (others + swap.new.len() == 0) {
            return None;
        }
        // Without the host firewall nothing that is not known matters.
        let known = !state.settings.host_firewall.value
            || is_told(state, old, new)
                && new.is_none_or(|new| new.is_plain_after(old))
                && state.ambiguous_names(&swap.new).is_empty()
                && names::unknown(&swap.new).is_empty();
        known.then_some(swap)
    }

    /// Whether, at some node, what nothing allows may be denied from now on.
    pub(in crate::cilium) fn closes(&self, state: &State, direction: Direction) -> bool {
        let closing = |rule: &&Arc<Rule>| rule.default_deny[index(direction)];
        self.new.iter().filter(closing).any(|rule| {
            let was = self.old.iter().filter(closing).any(|old| old.subject == rule.subject);
            !was && !state.denies_by_default(&rule.subject, direction)
        })
    }
}

/// Whether nothing that is not known before and after bears on the difference. What rules leave open that stay adds to what
/// is allowed before and after, or takes from it, alike.
fn is_told(state: &State, old: Option<&Part>, new: Option<&Part>) -> bool {
    state.unknown.is_empty()
        || state.unknown.iter().all(|unknown| unknown.is_open)
            && old.is_none_or(Part::is_told)
            && new.is_none_or(Part::is_settled)
}

/// Whether the prefixes that all policies together name are known to be the same after a swap.
fn names_same(parts: &Parts, old: Option<&Part>, new: Option<&Part>) -> bool {
    let named = |part: Option<&Part>| -> BTreeSet<IpNet> {
        part.into_iter().flat_map(|part| part.prefixes().iter().copied()).collect()
    };
    let (old, new) = (named(old), named(new));
    old == new || (old.is_subset(&new) && new.iter().all(|prefix| parts.names(prefix)))
}
