//! What may be lost when one policy is put in the place of another, without a look at the others.
//!
//! Only normal policies are looked at (neither `doNotTrack`, `preDNAT` nor `applyOnForward`): they are asked in one chain
//! alone, that for packets to and from the host itself. All that follows of its answer is whether a packet is dropped
//! there. Every tier, and so the chain, answers a packet by what each of its policies says about that packet: allow, deny,
//! pass, or nothing. So for a packet of which the policy says the same as before, and at the same point, the answer stays.
//! For the others:
//!
//! - it is allowed now: it is not dropped, as nothing that comes later is asked;
//! - it was denied: it was dropped, and cannot fare worse;
//! - all others may be lost.
//!
//! A policy that comes says something where nothing was said, one that goes the other way round, and one that moves, or
//! selects other endpoints, does one after the other, in the order that suits: what is lost in both steps together is lost
//! in one of them.
//!
//! Where policies are asked before connection tracking, answers to what these allow are asked about like first packets, and
//! what is not lost itself may lose its answers: nothing is said then.
//!
//! One thing does not follow from what policies say of a packet: a tier whose default is to deny drops what nobody decided,
//! but only from endpoints with a policy of the tier for the direction. A policy that goes may only end that. One that comes
//! begins it where it is the first, and then all packets may be lost; unless every endpoint that it selects has another one.

use std::sync::Arc;

use super::chain::{ACCEPTED, DROPPED, PASSED};
use super::rule::{Builder, By, Rules};
use super::selected::Selected;
use crate::calico::compile::{Placed, Swap};
use crate::calico::state::{Action, Class, Families, Policy, Profile, Side, State};
use crate::packet::{Region, Space};

/// What one direction of a swap does.
enum Step<'s> {
    Comes(&'s Arc<Policy>),
    Goes(&'s Arc<Policy>),
    Changes(&'s Arc<Policy>, &'s Arc<Policy>),
}

/// The steps of a swap with the direction of each, such as may lose packets. `None` where that cannot be told here.
pub(in crate::calico) struct Steps<'s>(Vec<(Side, Step<'s>)>);

impl<'s> Steps<'s> {
    pub(in crate::calico) fn of(state: &State, selected: &Selected, swap: &'s Swap) -> Option<Self> {
        let [old, new] = [&swap.old, &swap.new].map(|placed| placed.as_ref().and_then(|placed| placed.policy.as_ref()));
        let is_normal = |policy: &&Arc<Policy>| policy.class == Class::Normal;
        if ![old, new].iter().flatten().all(is_normal) || state.has_untracked() {
            return None;
        }
        // Which tier passed a packet on last tells what such profiles say.
        if state.profiles.values().any(|profile| has_pass(profile)) {
            return None;
        }
        // Nodes may differ in what looks at rules.
        if [old, new].iter().flatten().any(|policy| has_overlooked(policy)) {
            return None;
        }
        let mut steps = Vec::new();
        for side in [Side::Ingress, Side::Egress] {
            let [before, after] = [old, new].map(|policy| policy.filter(|policy| policy.rules(side).is_some()));
            if let (Some(before), Some(after)) = (before, after)
                && swap.stays()
            {
                steps.push((side, Step::Changes(before, after)));
                continue;
            }
            if let Some(after) = after {
                let placed = swap.new.as_ref()?;
                if !is_decided(state, selected, placed, after, side) {
                    return None;
                }
                steps.push((side, Step::Comes(after)));
            }
            steps.extend(before.map(|before| (side, Step::Goes(before))));
        }
        let harmless = |(side, step): &(Side, Step<'_>)| match step {
            Step::Comes(new) => only_allows(new, *side),
            Step::Goes(_) | Step::Changes(..) => false,
        };
        steps.retain(|step| !harmless(step));
        Some(Self(steps))
    }

    /// Whether nothing can be lost.
    pub(in crate::calico) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All packets that may be lost, and maybe more.
    pub(super) fn region(&self, builder: &mut Builder<'_>) -> Region {
        let mut regions = Vec::new();
        // Both read these rules alike; what most nodes have is built already.
        let by = By::of(&builder.state.settings);
        for (side, step) in &self.0 {
            let mut known = |policy: &Arc<Policy>| builder.decided(&Rules::Policy(Arc::clone(policy)), *side, by);
            let (before, after) = match step {
                Step::Comes(new) => (Space::EMPTY, builder.decide(new.rules(*side).unwrap_or_default(), by)),
                Step::Goes(old) => (known(old), Space::EMPTY),
                Step::Changes(old, new) => (known(old), builder.decide(new.rules(*side).unwrap_or_default(), by)),
            };
            let space = &mut *builder.space;
            let (denied, allowed) = (space.labelled(before, DROPPED), space.labelled(after, ACCEPTED));
            let passed = [before, after].map(|said| space.labelled(said, PASSED));
            let passed = space.within(passed[0], passed[1]);
            let said = space.first_match(&[before, after]);
            let as_good = space.first_match(&[denied, allowed, passed]);
            regions.push(space.without(said, as_good));
        }
        builder.space.first_match(&regions)
    }
}

/// Whether what nobody decides in the tier of a policy that comes has the same fate without it, at every endpoint that it
/// selects. One that it takes the place of counts too: it may as well go last.
fn is_decided(state: &State, selected: &Selected, placed: &Placed, policy: &Policy, side: Side) -> bool {
    let Some(index) = state.tiers.iter().position(|tier| *tier.name == *placed.tier) else { return false };
    if state.tiers[index].passes {
        return true;
    }
    let counts = |other: &Arc<Policy>| {
        let local = matches!(other.class, Class::Normal | Class::Forward);
        local && !other.staged && other.rules(side).is_some()
    };
    // One endpoint of each group tells of all of them, as long as the selector does not tell these apart.
    selected.covers(&policy.selector)
        && selected.one_of_each().iter().all(|position| {
            !policy.selector.matches(&state.endpoints[*position].labels)
                || selected.of_position(state, *position).tiers[index].iter().any(counts)
        })
}

/// Whether chains and eBPF programs read some rule differently.
fn has_overlooked(policy: &Policy) -> bool {
    let rules = [Side::Ingress, Side::Egress].into_iter().flat_map(|side| policy.rules(side).unwrap_or_default());
    let mut peers = rules.flat_map(|rule| [&rule.source, &rule.destination]);
    peers.any(|peer| peer.overlooked != Families::default())
}

fn has_pass(profile: &Profile) -> bool {
    profile.ingress.iter().chain(&profile.egress).any(|rule| rule.action == Action::Pass)
}

fn only_allows(policy: &Policy, side: Side) -> bool {
    let mut rules = policy.rules(side).unwrap_or_default().iter();
    rules.all(|rule| matches!(rule.action, Action::Allow | Action::Log))
}
