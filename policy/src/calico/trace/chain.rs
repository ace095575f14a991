//! The chain of one host endpoint (projectcalico/calico:felix/rules/endpoints.go endpointIptablesChain).

use std::net::IpAddr;

use super::matching::{Mismatch, compare};
use super::step::{Hook, Outcome, Stage, Step};
use super::walk::Walk;
use crate::calico::question::Conntrack;
use crate::calico::settings::FailsafePort;
use crate::calico::state::{Action, Class, HostEndpoint, Policy, Profile, Rule, Side, Tier};
use crate::snapshot::Key;

/// Kind of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Untracked,
    PreDnat,
    Normal,
    Forward,
}

impl Kind {
    /// Whether policies of a class are in it.
    fn takes(self, class: Class) -> bool {
        match self {
            Self::Untracked => class == Class::Untracked,
            Self::PreDnat => class == Class::PreDnat,
            Self::Normal => matches!(class, Class::Normal | Class::Forward),
            Self::Forward => class == Class::Forward,
        }
    }

    /// Whether what no policy of a tier decided is dropped at its end.
    fn ends_tiers(self) -> bool {
        matches!(self, Self::Normal | Self::Forward)
    }
}

/// How a packet leaves a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Accepted, and marked so for the chains that follow.
    Accepted,
    /// Accepted in this table only, without a mark.
    Failsafe,
    /// Dropped.
    Dropped,
    /// Neither.
    Undecided,
}

/// What rules decide.
enum Decision {
    Accept,
    Drop,
    Pass,
}

impl<'s> Walk<'s> {
    /// Whether a chain of a kind exists for an endpoint: it has such a policy, in whatever direction.
    pub(super) fn has_policies(&self, endpoint: &HostEndpoint, kind: Kind) -> bool {
        self.state.tiers.iter().any(|tier| self.policies(tier, endpoint, kind).next().is_some())
    }

    /// How many tiers have policies for a chain of a kind.
    pub(super) fn count_tiers(&self, endpoint: &HostEndpoint, kind: Kind) -> usize {
        self.state.tiers.iter().filter(|tier| self.policies(tier, endpoint, kind).next().is_some()).count()
    }

    fn policies(&self, tier: &'s Tier, endpoint: &HostEndpoint, kind: Kind) -> impl Iterator<Item = &'s Policy> {
        tier.policies.iter().map(AsRef::as_ref).filter(move |policy| {
            let some_direction = policy.ingress.is_some() || policy.egress.is_some();
            kind.takes(policy.class) && some_direction && policy.selector.matches(&endpoint.labels)
        })
    }

    /// Sends the packet through the chain of an endpoint.
    pub(super) fn chain(&mut self, hook: Hook, kind: Kind, side: Side, endpoint: &'s HostEndpoint) -> End {
        self.step(hook, Stage::Endpoint, Some(&endpoint.key), Outcome::Continue, "governs the interface");
        if kind != Kind::Untracked && self.conntrack == Conntrack::Invalid && self.settings.drop_invalid.value {
            self.step(
                hook,
                Stage::Conntrack,
                None,
                Outcome::Drop,
                "the packet belongs to no connection and begins none",
            );
            return End::Dropped;
        }
        if kind != Kind::Forward && self.is_failsafe(hook, kind, side) {
            return End::Failsafe;
        }
        if let Some(end) = self.tiers(hook, kind, side, endpoint) {
            return end;
        }
        match kind {
            Kind::Forward if !self.has_policies(endpoint, Kind::Forward) => {
                self.step(
                    hook,
                    Stage::End,
                    None,
                    Outcome::Accept,
                    "no policy of the endpoint applies to forwarded packets",
                );
                End::Accepted
            }
            Kind::Normal => self.profiles(hook, side, endpoint),
            Kind::Untracked | Kind::PreDnat | Kind::Forward => End::Undecided,
        }
    }

    /// Policies of the endpoint, tier by tier.
    pub(super) fn tiers(&mut self, hook: Hook, kind: Kind, side: Side, endpoint: &HostEndpoint) -> Option<End> {
        let state = self.state;
        self.passed = false;
        state.tiers.iter().find_map(|tier| self.tier(hook, kind, side, endpoint, tier))
    }

    fn tier(&mut self, hook: Hook, kind: Kind, side: Side, endpoint: &HostEndpoint, tier: &'s Tier) -> Option<End> {
        let stage = Stage::Tier(tier.name.clone());
        let policies: Vec<&'s Policy> = self.policies(tier, endpoint, kind).collect();
        if policies.iter().any(|policy| policy.rules(side).is_some()) {
            self.passed = false;
        }
        let mut enforced = false;
        for policy in policies {
            let Some(rules) = policy.rules(side).filter(|_| !policy.staged) else {
                continue;
            };
            enforced = true;
            match self.rules(hook, &stage, Some(&policy.key), rules) {
                Some(Decision::Accept) => return Some(End::Accepted),
                Some(Decision::Drop) => return Some(End::Dropped),
                Some(Decision::Pass) => {
                    self.passed = true;
                    return None;
                }
                None => {}
            }
        }
        if !enforced || !kind.ends_tiers() {
            return None;
        }
        let end = Stage::EndOfTier(tier.name.clone());
        if tier.passes {
            self.step(hook, end, None, Outcome::Pass, "no rule matched, and the tier's defaultAction is Pass");
            return None;
        }
        let reason = if tier.exists { "no rule matched" } else { "no rule matched, and the tier does not exist" };
        self.step(hook, end, None, Outcome::Drop, reason);
        Some(End::Dropped)
    }

    fn rules(&mut self, hook: Hook, stage: &Stage, object: Option<&Key>, rules: &[Rule]) -> Option<Decision> {
        let in_chain = !hook.is_program();
        for rule in rules {
            let (outcome, reason, decision) = match compare(self.state, rule, &self.packet, in_chain) {
                // A pass is two rules, one that sets the mark and one that returns where it is set; in the chains of
                // policies it never is before (projectcalico/calico:felix/rules/policy.go
                // CombineMatchAndActionsForProtoRule).
                Err(mismatch)
                    if self.passed && rule.action == Action::Pass && in_chain && mismatch != Mismatch::Family =>
                {
                    (
                        Outcome::Pass,
                        format!("the packet has Calico's pass mark already; {mismatch}"),
                        Some(Decision::Pass),
                    )
                }
                Err(mismatch) => (Outcome::NoMatch, mismatch.to_string(), None),
                Ok(remark) => match rule.action {
                    Action::Allow => (Outcome::Accept, remark, Some(Decision::Accept)),
                    Action::Deny => (Outcome::Drop, remark, Some(Decision::Drop)),
                    Action::Pass => (Outcome::Pass, remark, Some(Decision::Pass)),
                    Action::Log => (Outcome::Log, remark, None),
                },
            };
            let (stage, object, index) = (stage.clone(), object.cloned(), Some(rule.index));
            self.steps.push(Step { hook, stage, object, rule: index, outcome, reason });
            if decision.is_some() {
                return decision;
            }
        }
        None
    }

    /// Profiles in order, then a drop. One that does not exist drops (projectcalico/calico:felix/calc/active_rules_calculator.go).
    pub(super) fn profiles(&mut self, hook: Hook, side: Side, endpoint: &HostEndpoint) -> End {
        for name in &endpoint.profiles {
            let stage = Stage::Profile(name.clone());
            let Some(profile) = self.state.profiles.get(name) else {
                self.step(hook, stage, None, Outcome::Drop, "the profile does not exist");
                return End::Dropped;
            };
            let Profile { key, ingress, egress, .. } = &**profile;
            let rules = match side {
                Side::Ingress => ingress,
                Side::Egress => egress,
            };
            match self.rules(hook, &stage, key.as_ref(), rules) {
                Some(Decision::Accept) => return End::Accepted,
                Some(Decision::Drop) => return End::Dropped,
                Some(Decision::Pass) => self.passed = true,
                None => {}
            }
        }
        self.step(hook, Stage::End, None, Outcome::Drop, "no profile accepted the packet");
        End::Dropped
    }

    /// Whether a failsafe port accepts the packet.
    pub(super) fn is_failsafe(&mut self, hook: Hook, kind: Kind, side: Side) -> bool {
        let Some((port, outbound, source)) = self.failsafe(kind, side) else {
            return false;
        };
        let list = if outbound { "outbound" } else { "inbound" };
        let which = if source { "an answer from" } else { "to" };
        self.step(hook, Stage::Failsafe, None, Outcome::Accept, &format!("{which} {list} failsafe port {port}"));
        true
    }

    /// A failsafe port that accepts the packet, whether it is of the outbound list, and whether by its source port.
    ///
    /// Before connection tracking the chain has the other list too, by source port: answers of failsafe connections
    /// (projectcalico/calico:felix/rules/static.go failsafeInChain, failsafeOutChain).
    fn failsafe(&self, kind: Kind, side: Side) -> Option<(FailsafePort, bool, bool)> {
        let (inbound, outbound) = (&self.settings.failsafe_inbound.value, &self.settings.failsafe_outbound.value);
        let (forth, back, outward) = match side {
            Side::Ingress => (inbound, outbound, false),
            Side::Egress => (outbound, inbound, true),
        };
        let other: IpAddr = if outward { self.packet.destination() } else { self.packet.source() };
        let fits = |port: &&FailsafePort, number: Option<u16>| {
            port.transport.number() == self.packet.protocol()
                && number == Some(port.port)
                && port.net.is_none_or(|net| net.contains(&other))
        };
        let to = forth.iter().find(|port| fits(port, self.packet.destination_port()));
        if let Some(port) = to {
            return Some((*port, outward, false));
        }
        if kind != Kind::Untracked {
            return None;
        }
        let from = back.iter().find(|port| fits(port, self.packet.source_port()));
        from.map(|port| (*port, !outward, true))
    }
}
