//! Tiers and the policies in them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::api::Faults;
use super::decode::{Decoded, PolicySpec, Rule, TierSpec};
use super::{Compiler, Read, api, felix, names};
use crate::calico::state::{Class, Policy, Stage, Tier};
use crate::snapshot::Key;

/// Order of a tier that has none, and of the default tier (projectcalico/calico:libcalico-go/lib/resources/tier.go).
const TIER_ORDER: f64 = 1_000_000.0;

impl Compiler<'_> {
    /// Tiers in order, each with its policies in order.
    pub(super) fn tiers(&mut self) -> Vec<Tier> {
        let mut tiers = self.tier_objects();
        let mut policies: BTreeMap<String, Vec<(String, Policy)>> = BTreeMap::new();
        for (kind, staged) in [("GlobalNetworkPolicy", false), ("StagedGlobalNetworkPolicy", true)] {
            for read in self.read::<PolicySpec>(kind) {
                if let Some((tier, tie, policy)) = self.policy(read, staged, &tiers) {
                    policies.entry(tier).or_default().push((tie, policy));
                }
            }
        }
        for (tier, mut policies) in policies {
            policies.sort_by(|(left_tie, left), (right_tie, right)| {
                compare(left.order, right.order).then_with(|| left_tie.cmp(right_tie))
            });
            // A policy of a tier without an object is enforced all the same, and its tier ends with a drop.
            let entry = tiers.entry(tier.clone()).or_insert_with(|| missing(&tier));
            entry.policies = policies.into_iter().map(|(_, policy)| policy).collect();
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

    /// A policy, its tier, and what breaks a tie with others of the same order.
    fn policy(
        &mut self,
        Read { key, mut object, raw }: Read<PolicySpec>,
        staged: bool,
        tiers: &BTreeMap<String, Tier>,
    ) -> Option<(String, String, Policy)> {
        if !raw {
            self.default_types(&mut object.spec);
            if !self.accept(&key, Stage::Api, api::policy(&object, !self.version.plain_names())) {
                return None;
            }
        }
        let (tier, tie) = self.place(&key, &object.spec, raw);
        if !raw && !tiers.contains_key(&tier) {
            let mut faults = Faults::default();
            faults.add("spec.tier", format!("the tier `{tier}` does not exist"));
            self.accept(&key, Stage::Api, faults.into_result());
            return None;
        }
        let spec = object.spec;
        let mut faults = Faults::default();
        let selector = felix::policy_selector(&mut faults, &spec);
        let written = |rules: &Option<Vec<Rule>>| rules.clone().unwrap_or_default();
        let ingress = felix::rules(&mut faults, &mut self.sets, &written(&spec.ingress), "spec.ingress");
        let egress = felix::rules(&mut faults, &mut self.sets, &written(&spec.egress), "spec.egress");
        self.selector_dangers(&key, &spec);
        if !self.accept(&key, Stage::Felix, faults.into_result()) {
            return None;
        }
        self.policy_dangers(&key, &spec);
        let types = spec.types.unwrap_or_default();
        let is_of = |name: &str| types.is_empty() || types.iter().any(|kind| kind.eq_ignore_ascii_case(name));
        let class = match (spec.do_not_track, spec.pre_dnat, spec.apply_on_forward) {
            (true, ..) => Class::Untracked,
            (_, true, _) => Class::PreDnat,
            (_, _, true) => Class::Forward,
            _ => Class::Normal,
        };
        let policy = Policy {
            key,
            order: spec.order.unwrap_or(f64::INFINITY),
            selector: selector?,
            class,
            staged,
            ingress: is_of("Ingress").then_some(ingress),
            egress: (is_of("Egress") && class != Class::PreDnat).then_some(egress),
        };
        Some((tier, tie, policy))
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
        let stored = if raw { key.name.clone() } else { names::tiered(&key.name) };
        (names::tier_of(&stored).to_owned(), stored)
    }

    fn policy_dangers(&mut self, key: &Key, spec: &PolicySpec) {
        // projectcalico/calico:felix/dataplane/linux/xdp_state.go.
        let first = spec.ingress.iter().flatten().next();
        if spec.do_not_track && first.is_some_and(|rule| rule.action == "Deny" && !rule.source.selector.is_empty()) {
            let effect = "where Felix offloads this rule to XDP, answers of failsafe ports are dropped with the rest";
            self.danger(key, "spec.ingress[0]".to_owned(), effect);
        }
        let directions = [("ingress", &spec.ingress), ("egress", &spec.egress)];
        for (direction, rules) in directions {
            for (index, rule) in rules.iter().flatten().enumerate() {
                self.rule_dangers(key, rule, &format!("spec.{direction}[{index}]"));
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
                        self.danger(key, format!("spec.{direction}[{index}].{side}.notSelector"), effect);
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
                self.danger(key, format!("{path}.{field}"), effect);
            }
        }
        for (side, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
            for (field, nets) in [("nets", &entity.nets), ("notNets", &entity.not_nets)] {
                if nets.iter().any(|net| crate::calico::address::prefix_or_address(net).is_none()) {
                    let effect = "Felix leaves the unreadable prefix out; if none is left, every address matches";
                    self.danger(key, format!("{path}.{side}.{field}"), effect);
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
