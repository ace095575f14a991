//! The chain of one host endpoint, as a region over all packets.

use std::sync::Arc;

use super::rule::{Builder, By, Rules};
use super::selected::Lists;
use crate::calico::settings::{FailsafePort, Settings};
use crate::calico::state::{Action, Class, HostEndpoint, Peer, Policy, Rule, Side, State};
use crate::packet::{Cube, IpSet, Joins, Label, PortSet, Region, Space, protocol};

/// Accepted, and marked so for the chains that follow.
pub(super) const ACCEPTED: Label = 1;
/// Accepted in this table only.
pub(super) const FAILSAFE: Label = 2;
/// Dropped.
pub(super) const DROPPED: Label = 3;
/// Left to what follows the tier or the profile; never in the region of a whole chain.
pub(super) const PASSED: Label = 4;

/// A chain to fold.
#[derive(Clone)]
pub(super) struct Chain<'s> {
    pub(super) state: &'s State,
    pub(super) settings: &'s Settings,
    pub(super) endpoint: &'s HostEndpoint,
    pub(super) side: Side,
    pub(super) kind: Kind,
    /// Policies of the endpoint.
    pub(super) lists: Arc<Lists>,
}

/// What a chain is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::calico) enum Kind {
    BeforeTracking,
    BeforeNat,
    Local,
    Routed,
}

impl<'s> Chain<'s> {
    /// Whether any policy of the endpoint belongs here, whatever its direction. Without, the chain is not there.
    pub(super) fn is_present(&self) -> bool {
        self.lists.tiers.iter().flatten().any(|policy| self.concerns(policy))
    }

    /// How many tiers have policies that belong here.
    pub(super) fn count_tiers(&self) -> usize {
        self.lists.tiers.iter().filter(|policies| policies.iter().any(|policy| self.concerns(policy))).count()
    }

    /// What looks at its rules. With the eBPF dataplane too, untracked policies for packets from the host are chains.
    fn by(&self) -> By {
        let is_chain = self.kind == Kind::BeforeTracking && self.side == Side::Egress;
        if is_chain { By::Chain } else { By::of(self.settings) }
    }

    /// Whether a policy that selects the endpoint belongs here.
    fn concerns(&self, policy: &Policy) -> bool {
        let here = match self.kind {
            Kind::BeforeTracking => policy.class == Class::Untracked,
            Kind::BeforeNat => policy.class == Class::PreDnat,
            Kind::Local => policy.class == Class::Normal || policy.class == Class::Forward,
            Kind::Routed => policy.class == Class::Forward,
        };
        here && (policy.ingress.is_some() || policy.egress.is_some())
    }

    /// How each packet leaves the chain; unlabelled where it decides nothing. `invalid` are the packets that connection
    /// tracking calls so.
    pub(super) fn region(&self, builder: &mut Builder<'s>, invalid: Region) -> Region {
        if builder.translated.is_some() {
            return self.whole(builder, invalid);
        }
        let settings = std::ptr::from_ref(self.settings).addr();
        let key = (builder.frame, self.lists.id, self.side, self.kind, settings, invalid);
        if let Some(known) = builder.kept.chains.get(&key) {
            return *known;
        }
        let region = self.whole(builder, invalid);
        builder.kept.chains.insert(key, region);
        region
    }

    fn whole(&self, builder: &mut Builder<'s>, invalid: Region) -> Region {
        let rest = self.tiers(builder);
        let mut first = Vec::new();
        if self.settings.drop_invalid.value {
            first.push(builder.space.relabel(invalid, DROPPED));
        }
        if self.kind != Kind::Routed {
            first.extend(self.failsafe(builder));
        }
        first.push(rest);
        builder.space.first_match(&first)
    }

    /// The tiers, with what follows them.
    pub(super) fn tiers(&self, builder: &mut Builder<'s>) -> Region {
        let end = Space::EMPTY;
        let Rest { mut rest, mut marked } = match self.kind {
            Kind::Local => self.profiles(builder),
            Kind::BeforeTracking | Kind::BeforeNat | Kind::Routed => Rest { rest: end, marked: end },
        };
        for (tier, policies) in self.state.tiers.iter().zip(&self.lists.tiers).rev() {
            let is_asked = |policy: &&Arc<Policy>| self.concerns(policy) && policy.rules(self.side).is_some();
            let mut asked = policies.iter().filter(is_asked).peekable();
            if asked.peek().is_none() {
                continue;
            }
            let mut regions = Vec::new();
            for policy in asked.filter(|policy| !policy.staged) {
                let decided = builder.decided(&Rules::Policy(Arc::clone(policy)), self.side, self.by());
                regions.push((Joins::chance(&policy.key.name), decided));
            }
            if regions.is_empty() {
                marked = rest;
                continue;
            }
            let drops = matches!(self.kind, Kind::Local | Kind::Routed) && !tier.passes;
            let unmatched = if drops { Space::everywhere(DROPPED) } else { rest };
            let matched = builder.kept.joins.first_match(builder.space, &regions);
            rest = follow(builder, matched, marked, unmatched);
            // Each tier takes back the mark of those before it, even one with staged policies only.
            marked = rest;
        }
        rest
    }

    /// What profiles say. What carries the pass mark leaves the chain of a profile at its first `Pass`, matched or not, as that
    /// is two rules there: one that sets the mark, and one that returns where it is set
    /// (projectcalico/calico:felix/rules/policy.go CombineMatchAndActionsForProtoRule).
    fn profiles(&self, builder: &mut Builder<'s>) -> Rest {
        let dropped = Space::everywhere(DROPPED);
        let (mut rest, mut marked) = (dropped, dropped);
        for name in self.endpoint.profiles.iter().rev() {
            let Some(profile) = self.state.profiles.get(name) else {
                (rest, marked) = (dropped, dropped);
                continue;
            };
            let rules = Rules::Profile(Arc::clone(profile));
            let matched = builder.decided(&rules, self.side, self.by());
            let unmarked = follow(builder, matched, marked, rest);
            let passes = rules.of(self.side).iter().any(|rule| rule.action == Action::Pass);
            marked = if self.by() == By::Chain && (passes || marked != rest) {
                let returning: Vec<Rule> = rules.of(self.side).iter().map(returning).collect();
                let matched = builder.decide(&returning, self.by());
                follow(builder, matched, marked, marked)
            } else {
                unmarked
            };
            rest = unmarked;
        }
        Rest { rest, marked }
    }

    /// Failsafe ports of this direction; before connection tracking also answers of those of the other.
    pub(super) fn failsafe(&self, builder: &mut Builder<'s>) -> Vec<Region> {
        let settings = self.settings;
        let (there, back) = match self.side {
            Side::Ingress => (&settings.failsafe_inbound.value, &settings.failsafe_outbound.value),
            Side::Egress => (&settings.failsafe_outbound.value, &settings.failsafe_inbound.value),
        };
        let answers = back.iter().filter(|_| self.kind == Kind::BeforeTracking).map(|port| (port, true));
        let ports = there.iter().map(|port| (port, false)).chain(answers);
        ports.map(|(port, answer)| builder.cube(&self.failsafe_cube(port, answer), FAILSAFE)).collect()
    }

    fn failsafe_cube(&self, port: &FailsafePort, answer: bool) -> Cube {
        let mut cube = Cube { protocols: port.transport.number().into(), ..Cube::any() };
        let number = PortSet::from(port.port);
        if answer {
            cube.source_ports = number;
        } else {
            cube.destination_ports = number;
        }
        let other = port.net.map_or_else(IpSet::all, IpSet::from);
        match self.side {
            Side::Ingress => cube.source = other,
            Side::Egress => cube.destination = other,
        }
        cube
    }
}

/// What becomes of packets after tiers, and of those with the pass mark.
struct Rest {
    rest: Region,
    marked: Region,
}

/// What a rule is to packets with the pass mark.
fn returning(rule: &Rule) -> Rule {
    match rule.action {
        Action::Pass => Rule {
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: Peer::default(),
            destination: Peer::default(),
            ..*rule
        },
        Action::Allow | Action::Deny | Action::Log => rule.clone(),
    }
}

/// What rules have decided, with what follows them: `Pass` leads to `passed`, no match to `unmatched`.
fn follow(builder: &mut Builder<'_>, matched: Region, passed: Region, unmatched: Region) -> Region {
    let space = &mut builder.space;
    let pass = space.labelled(matched, PASSED);
    let decided = space.without(matched, pass);
    let passed = space.within(passed, pass);
    let unmatched = space.without(unmatched, matched);
    space.first_match(&[decided, passed, unmatched])
}

/// Packets of UDP to a port.
pub(super) fn udp_to(port: u16, source: IpSet, destination: IpSet) -> Cube {
    let destination_ports = PortSet::from(port);
    Cube { source, destination, protocols: protocol::UDP.into(), destination_ports, ..Cube::any() }
}
