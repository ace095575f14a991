//! One policy object put in or taken away, beside a compiled snapshot that stays as it is.

use std::sync::Arc;

use super::policies::Placed;
use super::{Memory, Parts, stored_name};
use crate::calico::state::Policy;
use crate::snapshot::sources::{CALICO, STORED};
use crate::snapshot::{Key, Manifest};

/// Objects that are policies enforced on hosts.
const KIND: &str = "GlobalNetworkPolicy";

/// A policy that is put in the place of another one. Either may be absent.
pub(in crate::calico) struct Swap {
    pub(in crate::calico) old: Option<Placed>,
    pub(in crate::calico) new: Option<Placed>,
}

impl Parts {
    /// What an object put in or taken away does to the policies of the snapshot. `None` where it may do more than that, or
    /// where there is something to be said about the object besides.
    pub(in crate::calico) fn swap(&self, key: &Key, new: Option<&Manifest>, memory: &mut Memory) -> Option<Swap> {
        let is_policy = CALICO.contains(&key.group.as_str()) && key.kind == KIND && key.namespace.is_empty();
        if !is_policy || self.has_twin(key) {
            return None;
        }
        let raw = key.group == STORED;
        let mut compiler = self.compiler(memory);
        let old = self.snapshot.objects.get(key).map(|manifest| compiler.policy_part(manifest, raw, false));
        if old.is_none() && new.is_none() {
            return None;
        }
        let new = match new {
            Some(manifest) => Some(compiler.make_policy(manifest, raw, false).flawless()?),
            None => None,
        };
        let old = old.and_then(|part| part.placed().cloned()).filter(|placed| placed.policy.is_some());
        let is_known = |policy: &Policy| {
            let rules = policy.ingress.iter().chain(&policy.egress).flatten();
            let mut sets = rules.flat_map(|rule| rule.source.all_sets().chain(rule.destination.all_sets()));
            sets.all(|id| id.0 < self.sets.len())
        };
        let is_plain = |placed: &Placed| self.has_tier(&placed.tier) && placed.policy.as_deref().is_none_or(is_known);
        let plain = [&old, &new].into_iter().flatten().all(is_plain);
        plain.then_some(Swap { old, new })
    }

    /// Whether there is an object beside that of a key that may be the same one under another name.
    fn has_twin(&self, key: &Key) -> bool {
        let stored = stored_name(&key.kind, &key.name);
        let plain = key.name.strip_prefix("default.").unwrap_or(&key.name);
        let names = [key.name.as_str(), &*stored, plain];
        CALICO.iter().flat_map(|group| names.map(|name| (*group, name))).any(|(group, name)| {
            let other = (group, name) != (key.group.as_str(), key.name.as_str());
            let twin = || Key { group: group.to_owned(), name: name.to_owned(), ..key.clone() };
            other && self.snapshot.objects.contains_key(&twin())
        })
    }
}

impl Swap {
    /// Whether the new policy is where the old one was: asked at the same point, about packets of the same endpoints.
    pub(in crate::calico) fn stays(&self) -> bool {
        let [Some(old), Some(new)] = [&self.old, &self.new] else { return false };
        let same = |old: &Arc<Policy>, new: &Arc<Policy>| old.selector == new.selector;
        let place = |placed: &Placed| (Arc::clone(&placed.tier), Arc::clone(&placed.tie), placed.order.to_bits());
        place(old) == place(new)
            && old.policy.as_ref().zip(new.policy.as_ref()).is_some_and(|(old, new)| same(old, new))
    }
}
