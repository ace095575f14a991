//! Which policies apply, and in what order they are asked.

use serde_json::json;

use super::lab::{Lab, eth0, inward, tcp};
use crate::calico::question::{Path, Question};
use crate::calico::state::Stage;

/// projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/globalnetworkpolicyprocessor.go.
#[test]
fn trap_02_an_empty_selector_takes_host_endpoints_and_a_namespace_selector_leaves_them_out() {
    let profile = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    let lab = Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), profile);
    let denies = |mut spec: serde_json::Value| {
        spec["ingress"] = json!([{"action": "Deny"}]);
        !lab.clone().policy("p", spec).arrives(80)
    };
    assert!(denies(json!({})) && denies(json!({"selector": ""})) && denies(json!({"selector": "all()"})));
    assert!(!denies(json!({"selector": "has(a)", "namespaceSelector": "all()"})));
    assert!(!denies(json!({"selector": "has(a)", "namespaceSelector": "has(b)"})));
    assert!(!denies(json!({"selector": "has(a)", "serviceAccountSelector": "all()"})));
}

/// projectcalico/calico:api/pkg/defaults/networkpolicy.go, api/admission/networkpolicy.mutatingadmissionpolicy.yaml,
/// felix/calc/policy_sorter.go ExtractPolicyMetadata.
#[test]
fn trap_03_absent_types_have_three_defaults() {
    let spec = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    let policy = json!({"selector": "has(a)", "ingress": [{"action": "Allow"}], "egress": []});
    let egress_stays = |lab: Lab| {
        lab.labelled("HostEndpoint", "h", json!({"a": "1"}), spec.clone()).policy("p", policy.clone()).leaves(80)
    };
    assert!(egress_stays(Lab::new()), "by length");
    assert!(!egress_stays(Lab::new().native()), "by presence");
    assert!(!egress_stays(Lab::raw()), "both");
}

/// projectcalico/calico:felix/rules/endpoints.go endpointIptablesChain.
#[test]
fn trap_04_the_first_egress_policy_turns_all_of_egress_around() {
    let profile = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    let lab = Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), profile);
    let ingress =
        lab.policy("p", json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]}));
    assert!(ingress.leaves(80), "the tier has nothing to say about egress");
    let egress = json!({"selector": "has(a)", "types": ["Egress"], "egress": [
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}]});
    let both = ingress.policy("q", egress);
    assert!(both.leaves(443) && !both.leaves(80) && both.arrives(80));
}

/// projectcalico/calico:felix/calc/policy_resolver.go: the policy is not skipped.
#[test]
fn trap_05_policies_of_a_missing_tier_are_enforced_after_all_others() {
    let allow = json!([{"action": "Allow", "protocol": "TCP", "destination": {"ports": [81, 82]}}]);
    let early = json!([{"action": "Deny", "protocol": "TCP", "destination": {"ports": [82]}}, {"action": "Pass"}]);
    let lab = Lab::raw()
        .on_eth0()
        .policy("gone.p", json!({"order": 1, "selector": "has(a)", "types": ["Ingress"], "ingress": allow}))
        .policy("q", json!({"order": 9, "selector": "has(a)", "types": ["Ingress"], "ingress": early}));
    assert!(lab.arrives(81) && !lab.arrives(82) && !lab.arrives(80));
    let trace = lab.traced(&inward(), &tcp("10.9.0.7", "10.0.0.1", 80));
    assert!(trace.to_string().contains("the tier does not exist"), "{trace}");
    // Through the API such a policy is refused.
    let lab = Lab::new().on_eth0().policy("gone.p", json!({"tier": "gone", "ingress": []}));
    assert_eq!(lab.refused(Stage::Api), ["gone.p"]);
}

/// projectcalico/calico:felix/rules/endpoints.go: `endOfTierDrop` counts policies that are not staged.
#[test]
fn trap_06_a_tier_of_staged_policies_passes_and_a_mixed_one_drops() {
    let profile = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    let deny = json!({"selector": "has(a)", "ingress": [{"action": "Deny"}]});
    let lab = Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), profile).with(
        "StagedGlobalNetworkPolicy",
        "s",
        deny,
    );
    assert!(lab.arrives(80));
    assert!(!lab.policy("p", json!({"selector": "has(a)", "types": ["Ingress"]})).arrives(80));
}

/// projectcalico/calico:libcalico-go/lib/resources/tier.go, felix/calc/policy_sorter.go TierLess.
#[test]
fn trap_07_a_tier_without_an_order_ties_with_the_default_tier_by_name() {
    let with_tier = |name: &str| {
        let allow = json!({"tier": name, "selector": "has(a)", "ingress": [{"action": "Allow"}]});
        Lab::new()
            .on_eth0()
            .with("Tier", name, json!({}))
            .policy(&format!("{name}.p"), allow)
            .policy("q", json!({"selector": "has(a)", "ingress": [{"action": "Deny"}]}))
    };
    assert!(with_tier("aaa").arrives(80) && !with_tier("zzz").arrives(80));
    // Calico's own last tier comes after the default one, and passes.
    let baseline = json!({"tier": "kube-baseline", "selector": "has(a)", "ingress": [{"action": "Allow"}]});
    let lab = Lab::new().version(32).on_eth0().policy("p", baseline);
    assert!(lab.arrives(80));
    assert!(!lab.policy("q", json!({"selector": "has(a)", "types": ["Ingress"]})).arrives(80));
}

/// projectcalico/calico:felix/calc/policy_sorter.go PolKVLess at v3.31.0 and from 790c866c9d on.
#[test]
fn trap_08_ties_are_broken_by_other_text_from_3_32_on() {
    let lab = |minor| {
        let rules = |action: &str| json!({"selector": "has(a)", "ingress": [{"action": action}]});
        Lab::new().version(minor).on_eth0().policy("a", rules("Deny")).policy("a-b", rules("Allow"))
    };
    // `default.a` is before `default.a-b`, and `a-b//...` before `a//...`.
    assert!(!lab(31).arrives(80) && lab(32).arrives(80));
    // What is stored without the tier in front sorts as it is stored.
    let raw = Lab::raw().on_eth0();
    let rules = |action: &str| json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": action}]});
    assert!(raw.policy("default.eef", rules("Allow")).policy("eee", rules("Deny")).arrives(80));
}

/// projectcalico/calico:libcalico-go/lib/names/policy.go TierFromPolicyName at v3.31.0.
#[test]
fn trap_09_up_to_3_31_the_tier_is_in_the_name() {
    let lab = |minor| {
        let allow = json!({"tier": "t", "selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
        Lab::raw()
            .version(minor)
            .on_eth0()
            .with("Tier", "t", json!({"order": 1}))
            .policy("web", allow)
            .policy("deny", json!({"order": 1, "selector": "has(a)", "ingress": [{"action": "Deny"}]}))
    };
    assert!(!lab(31).arrives(80), "in the default tier, after the denial");
    assert!(lab(32).arrives(80), "in its own tier");
    let named = json!({"tier": "t", "selector": "has(a)", "ingress": []});
    let lab = Lab::new().on_eth0().with("Tier", "t", json!({"order": 1})).policy("web", named);
    assert_eq!(lab.refused(Stage::Api), ["web"]);
}

/// projectcalico/calico:felix/calc/policy_sorter.go: an absent order is infinite.
#[test]
fn a_policy_without_an_order_comes_last() {
    let rules = |action: &str, order: serde_json::Value| json!({"order": order, "selector": "has(a)", "ingress": [{"action": action}]});
    let lab = Lab::new().on_eth0().policy("a", rules("Deny", json!(null))).policy("z", rules("Allow", json!(1e9)));
    assert!(lab.arrives(80));
}

/// projectcalico/calico:felix/rules/policy.go: `Pass` leaves the tier, `Log` goes on; rules after a decision are not seen.
#[test]
fn pass_leaves_the_tier_and_log_goes_on() {
    let lab = |rules: serde_json::Value| {
        let profile = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
        let lab = Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), profile);
        lab.policy("p", json!({"selector": "has(a)", "ingress": rules}))
    };
    assert!(lab(json!([{"action": "Pass"}, {"action": "Deny"}])).arrives(80));
    assert!(!lab(json!([{"action": "Log"}, {"action": "Deny"}])).arrives(80));
    assert!(!lab(json!([{"action": "Log"}])).arrives(80));
}

/// A question about a node without a host endpoint is answered, and not judged.
#[test]
fn another_node_is_not_judged() {
    let lab = Lab::new().on_eth0();
    let question = Question::new("m", Path::Ingress(eth0()));
    let trace = lab.traced(&question, &tcp("10.9.0.7", "10.0.0.1", 80));
    assert_eq!(trace.verdict, crate::calico::trace::Verdict::NotJudged);
}
