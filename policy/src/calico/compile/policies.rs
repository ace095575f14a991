//! Tiers and the policies in them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::Faults;
use super::decode::{Decoded, PolicySpec, Rule, TierSpec};
use super::{Compiler, Notes, Read, api, felix, names};
use crate::calico::state::{Class, Hazard, Policy, Stage, Tier};
use crate::snapshot::{Key, Manifest};

/// Order of a tier that has none, and of the default tier (projectcalico/calico:libcalico-go/lib/resources/tier.go).
const TIER_ORDER: f64 = 1_000_000.0;

/// Kinds of policies, and whether they are staged.
pub(super) const POLICIES: [(&str, bool); 2] = [("GlobalNetworkPolicy", false), ("StagedGlobalNetworkPolicy", true)];

/// Protocols whose header nft knows, 1.0.4 as well as 1.1.6 (netfilter nftables:src/proto.c proto_inet_service). GRE, which only
/// newer ones know, is none of them: Calico's own image brings an older one (projectcalico/calico:node/Dockerfile.amd64).
const HEADERS: [u8; 11] = [1, 2, 6, 17, 33, 50, 51, 58, 108, 132, 136];

/// What is made of one policy object, whatever else there is.
#[derive(Debug)]
pub(super) struct Part {
    notes: Notes,
    /// Absent where decoding or the API refuses it.
    placed: Option<Placed>,
}

/// A policy, and where it belongs.
#[derive(Clone, Debug)]
pub(in crate::calico) struct Placed {
    pub(in crate::calico) tier: Arc<str>,
    /// What breaks a tie with others of the same order.
    pub(in crate::calico) tie: Arc<str>,
    pub(in crate::calico) order: f64,
    /// Whether the API refuses it when the tier does not exist.
    needs_tier: bool,
    notes: Arc<Notes>,
    /// Absent where Felix refuses it.
    pub(in crate::calico) policy: Option<Arc<Policy>>,
}

impl Part {
    /// The policy, where nothing else is to be said about the object.
    pub(super) fn flawless(self) -> Option<Placed> {
        let placed = self.placed.filter(|placed| placed.notes.is_empty())?;
        self.notes.is_empty().then_some(placed)
    }

    /// The policy, if it was not refused before it got one.
    pub(super) fn placed(&self) -> Option<&Placed> {
        self.placed.as_ref()
    }
}

impl Compiler<'_> {
    /// Tiers in order, each with its policies in order.
    pub(super) fn tiers(&mut self) -> Vec<Tier> {
        let mut tiers = self.tier_objects();
        let mut policies: BTreeMap<Arc<str>, Vec<Placed>> = BTreeMap::new();
        for (kind, staged) in POLICIES {
            for (manifest, raw) in self.manifests(kind) {
                let part = self.policy_part(manifest, raw, staged);
                self.notes.extend(&part.notes);
                let Some(placed) = &part.placed else { continue };
                if placed.needs_tier && !tiers.contains_key(&*placed.tier) {
                    let mut faults = Faults::default();
                    faults.add("spec.tier", format_args!("the tier `{}` does not exist", placed.tier));
                    self.accept(&manifest.key, Stage::Api, faults.into_result());
                    continue;
                }
                self.notes.extend(&placed.notes);
                if placed.policy.is_some() {
                    policies.entry(Arc::clone(&placed.tier)).or_default().push(placed.clone());
                }
            }
        }
        for (tier, mut policies) in policies {
            policies.sort_by(|left, right| compare(left.order, right.order).then_with(|| left.tie.cmp(&right.tie)));
            // A policy of a tier without an object is enforced all the same, and its tier ends with a drop.
            let entry = tiers.entry((*tier).to_owned()).or_insert_with(|| missing(&tier));
            entry.policies = policies.into_iter().filter_map(|placed| placed.policy).collect();
        }
        let mut tiers: Vec<Tier> = tiers.into_values().collect();
        tiers.sort_by(before);
        tiers
    }

    fn tier_objects(&mut self) -> BTreeMap<String, Tier> {
        let mut tiers: BTreeMap<String, Tier> =
            self.built_in().into_iter().map(|tier| (tier.name.clone(), tier)).collect();
        for Read { key, object, raw } in self.read::<TierSpec>("Tier") {
            if !raw && !self.accept(&key, Stage::Api, api::tier(&object)) {
                continue;
            }
            let Decoded { spec, .. } = object;
            let order = Some(spec.order.unwrap_or(TIER_ORDER));
            // Anything but Pass is Deny (projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/tierprocessor.go).
            let passes = spec.default_action.as_deref() == Some("Pass");
            let name = key.name.clone();
            tiers.insert(name.clone(), Tier { name, exists: true, order, passes, policies: Vec::new() });
        }
        tiers
    }

    /// Tiers that Calico itself creates.
    fn built_in(&self) -> [Tier; 3] {
        let (first, last) = if self.version.plain_names() {
            ("kube-admin", "kube-baseline")
        } else {
            ("adminnetworkpolicy", "baselineadminnetworkpolicy")
        };
        [(first, 1_000.0, true), ("default", TIER_ORDER, false), (last, 10_000_000.0, true)].map(
            |(name, order, passes)| Tier {
                name: name.to_owned(),
                exists: true,
                order: Some(order),
                passes,
                policies: Vec::new(),
            },
        )
    }

    /// What is made of one object.
    pub(super) fn make_policy(&mut self, manifest: &Manifest, raw: bool, staged: bool) -> Part {
        let others = std::mem::take(&mut self.notes);
        let placed = self.decode(manifest, raw).and_then(|read| self.policy(read, staged));
        let notes = std::mem::replace(&mut self.notes, others);
        Part { notes, placed }
    }

    /// The same, made once.
    pub(super) fn policy_part(&mut self, manifest: &Arc<Manifest>, raw: bool, staged: bool) -> Arc<Part> {
        let place = Arc::as_ptr(manifest).addr();
        if let Some((_, part)) = self.memory.policies.get(&place) {
            return Arc::clone(part);
        }
        let part = Arc::new(self.make_policy(manifest, raw, staged));
        // The manifest is kept with it, so that its place stands for nothing else.
        self.memory.policies.insert(place, (Arc::clone(manifest), Arc::clone(&part)));
        part
    }

    fn policy(&mut self, Read { key, mut object, raw }: Read<PolicySpec>, staged: bool) -> Option<Placed> {
        if !raw {
            self.default_types(&mut object.spec);
            if !self.accept(&key, Stage::Api, api::policy(&object, !self.version.plain_names())) {
                return None;
            }
        }
        let (tier, tie) = self.place(&key, &object.spec, raw);
        let order = object.spec.order.unwrap_or(f64::INFINITY);
        let others = std::mem::take(&mut self.notes);
        let policy = self.policy_for_felix(key, object.spec, staged).map(Arc::new);
        let notes = Arc::new(std::mem::replace(&mut self.notes, others));
        Some(Placed { tier: tier.into(), tie: tie.into(), order, needs_tier: !raw, notes, policy })
    }

    fn policy_for_felix(&mut self, key: Key, spec: PolicySpec, staged: bool) -> Option<Policy> {
        let mut faults = Faults::default();
        let selector = felix::policy_selector(&mut faults, &spec);
        let written = |rules| Option::<&Vec<Rule>>::map_or(rules, &[][..], Vec::as_slice);
        let sets = &mut self.memory.sets;
        let ingress = felix::rules(&mut faults, sets, written(spec.ingress.as_ref()), "spec.ingress");
        let egress = felix::rules(&mut faults, sets, written(spec.egress.as_ref()), "spec.egress");
        self.selector_dangers(&key, &spec);
        if !self.accept(&key, Stage::Felix, faults.into_result()) {
            return None;
        }
        self.policy_dangers(&key, &spec);
        self.rules_dangers(&key, &ingress, "spec.ingress");
        self.rules_dangers(&key, &egress, "spec.egress");
        let types = spec.types.unwrap_or_default();
        let is_of = |name: &str| types.is_empty() || types.iter().any(|kind| kind.eq_ignore_ascii_case(name));
        let class = match (spec.do_not_track, spec.pre_dnat, spec.apply_on_forward) {
            (true, ..) => Class::Untracked,
            (_, true, _) => Class::PreDnat,
            (_, _, true) => Class::Forward,
            _ => Class::Normal,
        };
        Some(Policy {
            key,
            order: spec.order.unwrap_or(f64::INFINITY),
            selector: selector?,
            class,
            staged,
            ingress: is_of("Ingress").then_some(ingress),
            egress: (is_of("Egress") && class != Class::PreDnat).then_some(egress),
        })
    }

    /// `types` where it is absent: by length through calico-apiserver and calicoctl, by presence through CRDs of
    /// `projectcalico.org/v3` (projectcalico/calico:api/pkg/defaults/networkpolicy.go,
    /// api/admission/networkpolicy.mutatingadmissionpolicy.yaml).
    fn default_types(&self, spec: &mut PolicySpec) {
        let given = if self.native { spec.types.is_some() } else { spec.types.iter().flatten().next().is_some() };
        if given {
            return;
        }
        let counts = |rules: &Option<Vec<Rule>>| match rules {
            Some(rules) => self.native || !rules.is_empty(),
            None => false,
        };
        let types: &[&str] = match (counts(&spec.ingress), counts(&spec.egress)) {
            (true, true) => &["Ingress", "Egress"],
            (false, true) => &["Egress"],
            (_, false) => &["Ingress"],
        };
        spec.types = Some(types.iter().map(|&kind| kind.to_owned()).collect());
    }

    /// Tier and tie-break. Up to 3.31 both come from the name that the policy is stored under.
    fn place(&self, key: &Key, spec: &PolicySpec, raw: bool) -> (String, String) {
        if self.version.plain_names() {
            let tier = if spec.tier.is_empty() { "default" } else { &spec.tier };
            return (tier.to_owned(), format!("{}/{}/{}", key.name, key.namespace, key.kind));
        }
        let stored = if raw { key.name.clone() } else { names::tiered(&key.name).into_owned() };
        (names::tier_of(&stored).to_owned(), stored)
    }

    fn policy_dangers(&mut self, key: &Key, spec: &PolicySpec) {
        // projectcalico/calico:felix/dataplane/linux/xdp_state.go.
        let first = spec.ingress.iter().flatten().next();
        if spec.do_not_track && first.is_some_and(|rule| rule.action == "Deny" && !rule.source.selector.is_empty()) {
            let effect = "where Felix offloads this rule to XDP, answers of failsafe ports are dropped with the rest";
            self.danger(key, "spec.ingress[0]".to_owned(), effect, Hazard::Misleads);
        }
        let directions = [("ingress", &spec.ingress), ("egress", &spec.egress)];
        for (direction, rules) in directions {
            for (index, rule) in rules.iter().flatten().enumerate() {
                self.rule_dangers(key, rule, &format!("spec.{direction}[{index}]"));
            }
        }
    }

    /// What a packet filter does not take.
    pub(super) fn rules_dangers(&mut self, key: &Key, rules: &[crate::calico::state::Rule], path: &str) {
        for rule in rules {
            // Felix appends the type whatever the protocol is (projectcalico/calico:felix/rules/policy.go), and the API asks
            // for the protocol beside `icmp` alone.
            let typed = rule.icmp.is_some() || rule.not_icmp.is_some();
            let misfit = |exists: bool, number: u8| exists && rule.protocol != Some(number);
            if typed && (misfit(rule.families.v4, 1) || misfit(rule.families.v6, 58)) {
                let field = if rule.icmp.is_some() { "icmp" } else { "notICMP" };
                let path = format!("{path}[{}].{field}", rule.index);
                let effect = "iptables takes a type only with ICMP, or ICMPv6 in IPv6, as the protocol, and Felix gives up on its nodes";
                self.danger(key, path.clone(), effect, Hazard::StopsIptables);
                // Where there is no protocol, nft adds the right one (netfilter nftables:src/evaluate.c conflict_resolution_gen_dependency).
                if rule.protocol.is_some() {
                    let effect =
                        "nft takes no type with a protocol that has none, and Felix gives up on nftables nodes";
                    self.danger(key, path, effect, Hazard::StopsNftables);
                }
            }
            // Felix writes `-p` for each of the two (projectcalico/calico:felix/rules/policy.go CalculateRuleMatch,
            // felix/iptables/match_builder.go NotProtocol), and iptables takes one (netfilter iptables:libxtables/xtables.c
            // do_parse). A rule that is left out in a family is not written there.
            let both = rule.protocol.is_some() && rule.not_protocol.is_some();
            if both && (rule.families.v4 || rule.families.v6) {
                let effect = "iptables takes no second protocol in a rule, and Felix gives up on its nodes";
                self.danger(key, format!("{path}[{}].notProtocol", rule.index), effect, Hazard::StopsIptables);
            }
            // A service is matched by address, protocol and port behind the protocol of the rule (projectcalico/calico:
            // felix/nftables/match_builder.go DestIPPortSet). nft aborts when it is to list that behind a protocol whose header it
            // does not know (netfilter nftables:src/payload.c payload_expr_complete), and Felix has it list its table at every
            // start and every three minutes (projectcalico/calico:felix/nftables/table.go getHashesAndRulesFromDataplane).
            let headless = rule.protocol.is_some_and(|number| !HEADERS.contains(&number));
            if headless && rule.destination.service.is_some() && (rule.families.v4 || rule.families.v6) {
                let effect = "nft cannot list a rule with this protocol beside a service, and Felix, which has it do so, gives up on nftables nodes";
                self.danger(key, format!("{path}[{}].protocol", rule.index), effect, Hazard::StopsNftables);
            }
        }
    }

    /// Selectors that Felix takes for valid and then ends of.
    fn selector_dangers(&mut self, key: &Key, spec: &PolicySpec) {
        for (direction, rules) in [("ingress", &spec.ingress), ("egress", &spec.egress)] {
            for (index, rule) in rules.iter().flatten().enumerate() {
                for (side, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
                    if felix::selectors_end_felix(entity) {
                        let effect = "Felix cannot read a blank selector beside another, and ends again and again where the policy applies";
                        self.danger(
                            key,
                            format!("spec.{direction}[{index}].{side}.notSelector"),
                            effect,
                            Hazard::Stops,
                        );
                    }
                }
            }
        }
    }

    /// Text that is accepted and then means something else, or breaks the agent.
    pub(super) fn rule_dangers(&mut self, key: &Key, rule: &Rule, path: &str) {
        for (field, icmp) in [("icmp", rule.icmp), ("notICMP", rule.not_icmp)] {
            if icmp.is_some_and(|icmp| icmp.kind.is_some() && icmp.code.is_some()) {
                let effect = "nft refuses the type with a code that Felix writes, and Felix gives up on nftables nodes";
                self.danger(key, format!("{path}.{field}"), effect, Hazard::StopsNftables);
            }
        }
        for (side, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
            for (field, nets) in [("nets", &entity.nets), ("notNets", &entity.not_nets)] {
                if nets.iter().any(|net| crate::calico::address::prefix_or_address(net).is_none()) {
                    let effect = "Felix leaves the unreadable prefix out; if none is left, every address matches";
                    self.danger(key, format!("{path}.{side}.{field}"), effect, Hazard::Misleads);
                }
            }
        }
    }
}

/// Existing tiers first, then by order, then by name (projectcalico/calico:felix/calc/policy_sorter.go TierLess).
fn before(left: &Tier, right: &Tier) -> Ordering {
    right
        .exists
        .cmp(&left.exists)
        .then_with(|| compare(left.order.unwrap_or(f64::INFINITY), right.order.unwrap_or(f64::INFINITY)))
        .then_with(|| left.name.cmp(&right.name))
}

/// Orders come from JSON and are never NaN.
fn compare(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

fn missing(name: &str) -> Tier {
    Tier { name: name.to_owned(), exists: false, order: None, passes: false, policies: Vec::new() }
}
