//! What becomes of objects that are not valid, by the way they were written.

use serde_json::{Value, json};

use super::lab::{Lab, inward, tcp};
use crate::calico::state::{Hazard, Stage};

fn open_endpoint(lab: Lab) -> Lab {
    let spec = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    lab.labelled("HostEndpoint", "h", json!({"a": "1"}), spec)
}

fn denying(rule: Value) -> Value {
    let mut rule = rule;
    rule["action"] = json!("Deny");
    json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [rule]})
}

/// The paths of what is dangerous about a policy of an endpoint, and what it does.
fn hazards(lab: Lab, policy: Value) -> Vec<(String, Hazard)> {
    let dangers = lab.on_eth0().policy("p", policy).state().dangers;
    dangers.into_iter().map(|danger| (danger.path, danger.hazard)).collect()
}

/// projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go, felix/calc/validation_filter.go,
/// felix/config/param_types.go.
#[test]
fn trap_25_invalid_content_is_not_refused_on_the_raw_path() {
    // Unreadable prefixes are left out, and what is left of the rule matches more.
    let lab = Lab::raw().on_eth0();
    let allow = |nets: Value| json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow", "source": {"nets": nets}}]});
    let all_bad = lab.clone().policy("p", allow(json!(["10.8.0.0-10.8.0.9"])));
    assert!(all_bad.arrives(80));
    assert_eq!(all_bad.state().dangers.len(), 1);
    assert!(lab.clone().policy("p", allow(json!(["banana", "10.9.0.0/24"]))).arrives(80));
    assert!(!lab.policy("p", allow(json!(["banana", "10.8.0.0/24"]))).arrives(80));
    // A selector that does not parse makes the policy absent; in a policy's namespaceSelector it is left out.
    let absent = |rule: Value| {
        let lab = open_endpoint(Lab::raw()).policy("p", denying(rule));
        lab.refused(Stage::Felix) == ["p"] && lab.arrives(80)
    };
    for rule in [
        json!({"source": {"selector": "a = 'x'"}}),
        json!({"source": {"namespaceSelector": "a = 'x'"}}),
        json!({"source": {"serviceAccounts": {"selector": "a = 'x'"}}}),
        json!({"source": {"namespaceSelector": "global()", "selector": "x == '1') || (all()"}}),
        json!({"protocol": "TCP", "destination": {"ports": ["30000-32767"]}}),
        json!({"destination": {"ports": [81]}}),
        json!({"protocol": "FOO"}),
        json!({"protocol": 0}),
        json!({"ipVersion": 5}),
        json!({"icmp": {"type": 255}}),
    ] {
        assert!(absent(rule.clone()), "{rule}");
    }
    let policy = |spec: Value| {
        let mut spec = spec;
        spec["types"] = json!(["Ingress"]);
        spec["ingress"] = json!([{"action": "Deny"}]);
        open_endpoint(Lab::raw()).policy("p", spec).arrives(80)
    };
    assert!(policy(json!({"selector": "a = 'x'"})));
    assert!(!policy(json!({"selector": "has(a)", "namespaceSelector": "a = 'x'"})), "broader");
    assert!(
        policy(json!({"selector": "all()", "namespaceSelector": "a = 'x'"})),
        "and all() is rewritten all the same"
    );
    assert!(!policy(json!({"selector": "has(a)) || (a == '9'", "namespaceSelector": "has(q)"})), "whole when joined");
    // An address with a length is no address.
    let endpoint = json!({"node": "n", "expectedIPs": ["10.0.0.1/32"]});
    assert!(Lab::raw().with("HostEndpoint", "h", endpoint.clone()).arrives(80));
    assert_eq!(Lab::new().with("HostEndpoint", "h", endpoint).refused(Stage::Api), ["h"]);
}

/// An ICMP type beside another protocol ends Felix, whose iptables-restore or nft refuses the rule that it writes, for each
/// family that the rule is written for; `notICMP` passes the API so (projectcalico/calico:felix/rules/policy.go; found as a
/// random state). Without a protocol it ends iptables mode alone: nft asks for ICMP by itself.
#[test]
fn icmp_types_without_their_protocol_stop_felix() {
    let hazards = |lab: Lab, rule: Value| hazards(lab, denying(rule));
    let stops = |field: &str| {
        [Hazard::StopsIptables, Hazard::StopsNftables].map(|hazard| (format!("spec.ingress[0].{field}"), hazard))
    };
    for rule in [
        json!({"protocol": "TCP", "notICMP": {"type": 15}}),
        json!({"protocol": 47, "notICMP": {"type": 8}}),
        json!({"protocol": 1, "notICMP": {"type": 8}}),
    ] {
        assert_eq!(hazards(Lab::new(), rule.clone()), stops("notICMP"), "{rule}");
    }
    assert_eq!(hazards(Lab::new(), json!({"notICMP": {"type": 8}})), stops("notICMP")[..1]);
    for rule in [
        json!({"protocol": "tcp", "icmp": {"type": 8}}),
        json!({"protocol": "ICMP", "ipVersion": 6, "icmp": {"type": 8}}),
    ] {
        assert_eq!(hazards(Lab::raw(), rule.clone()), stops("icmp"), "{rule}");
    }
    for rule in [
        json!({"protocol": "ICMP", "icmp": {"type": 8}}),
        json!({"protocol": "ICMPv6", "notICMP": {"type": 128}}),
        json!({"protocol": 1, "ipVersion": 4, "notICMP": {"type": 8}}),
        json!({"protocol": 1, "source": {"nets": ["10.0.0.0/8"]}, "notICMP": {"type": 8}}),
    ] {
        assert_eq!(hazards(Lab::new(), rule.clone()), [], "{rule}");
    }
}

/// `protocol` beside `notProtocol` passes the API, and ends Felix in iptables mode: it writes `-p` for each, and
/// iptables-restore refuses the second (projectcalico/calico:felix/rules/policy.go CalculateRuleMatch; netfilter
/// iptables:libxtables/xtables.c, "multiple -p flags not allowed"; found as a random state, with iptables 1.8.9). nft takes both.
#[test]
fn a_protocol_beside_an_excluded_one_stops_felix_with_iptables() {
    for lab in [Lab::new, Lab::raw] {
        let hazards = |rule: Value| hazards(lab(), denying(rule));
        for (protocol, other) in [(json!("TCP"), json!("SCTP")), (json!(6), json!(6)), (json!("UDP"), json!(47))] {
            let rule = json!({"protocol": protocol, "notProtocol": other});
            assert_eq!(hazards(rule), [("spec.ingress[0].notProtocol".to_owned(), Hazard::StopsIptables)]);
            assert_eq!(hazards(json!({"protocol": protocol})), []);
            assert_eq!(hazards(json!({"notProtocol": other})), []);
        }
    }
}

/// A rule for a protocol whose header nft does not know, to a service, ends Felix in nftables mode: the match of the service
/// reads ports, and nft aborts when Felix has it list the rule, which was written without complaint
/// (projectcalico/calico:felix/nftables/table.go getHashesAndRulesFromDataplane panics after retries; netfilter
/// nftables:src/payload.c payload_expr_complete; found as a random state, with nft 1.0.6).
#[test]
fn a_service_behind_a_protocol_without_ports_stops_felix_with_nftables() {
    let hazards = |lab: Lab, side: &str, rule: Value| -> Vec<(String, Hazard)> {
        let types = if side == "egress" { "Egress" } else { "Ingress" };
        let mut rule = rule;
        rule["action"] = json!("Deny");
        let mut spec = json!({"selector": "has(a)", "types": [types]});
        spec[side] = json!([{"action": "Log"}, rule]);
        hazards(lab, spec)
    };
    let services = json!({"services": {"name": "web", "namespace": "default"}});
    for protocol in [json!(47), json!(112), json!(4), json!(255)] {
        let rule = json!({"protocol": protocol, "destination": services});
        for lab in [Lab::new(), Lab::raw()] {
            let found = hazards(lab, "egress", rule.clone());
            assert_eq!(found, [("spec.egress[1].protocol".to_owned(), Hazard::StopsNftables)], "{rule}");
        }
    }
    for rule in [
        json!({"protocol": "TCP", "destination": services}),
        json!({"protocol": "UDPLite", "destination": services}),
        json!({"protocol": 1, "destination": services}),
        json!({"protocol": 50, "destination": services}),
        json!({"notProtocol": 47, "destination": services}),
        json!({"destination": services}),
        json!({"protocol": 47}),
    ] {
        assert_eq!(hazards(Lab::new(), "egress", rule.clone()), [], "{rule}");
    }
    // Of the senders of a service only the addresses are matched.
    assert_eq!(hazards(Lab::new(), "ingress", json!({"protocol": 47, "source": services})), []);
}

/// The API stores failsafe ports of any protocol and network, and Felix does not start with them: the running validator of
/// v3.31.0 has nothing against them (projectcalico/calico:libcalico-go/lib/validator/v3/validator.go validateProtoPort is not
/// reached), and what `FailsafeInboundHostPorts` does with them is in felix/config/param_types.go.
#[test]
fn failsafe_ports_that_felix_cannot_read_are_stored() {
    for port in [
        json!({"protocol": "SCTP", "port": 80}),
        json!({"protocol": "jolly-UDP", "port": 0}),
        json!({"port": 80}),
        json!({"protocol": "TCP", "port": 80, "net": "x"}),
    ] {
        for lab in [Lab::raw(), Lab::new()] {
            let lab = lab.with("FelixConfiguration", "default", json!({"failsafeInboundHostPorts": [port]}));
            assert_eq!(lab.state().settings("n").fatal.len(), 1, "{port}");
            assert!(lab.state().unknown.iter().any(|unknown| unknown.path == "failsafe"));
            assert!(lab.refused(Stage::Api).is_empty());
        }
    }
    for port in [json!({"protocol": "TCP", "port": 70_000}), json!({"protocol": 6, "port": 80})] {
        let lab = Lab::new().with("FelixConfiguration", "default", json!({"failsafeInboundHostPorts": [port]}));
        assert_eq!(lab.refused(Stage::Api), ["default"], "{port}");
    }
}

/// projectcalico/calico:libcalico-go/lib/backend/k8s/resources/resources.go.
#[test]
fn trap_25_labels_of_a_stored_endpoint_are_in_an_annotation() {
    let mut lab = Lab::raw();
    let metadata = json!({"name": "h", "labels": {"a": "1"}}).to_string();
    lab.put(
        "HostEndpoint",
        json!({"metadata": {"name": "h", "annotations": {"projectcalico.org/metadata": metadata}},
            "spec": {"node": "n", "interfaceName": "eth0"}}),
    );
    let allow = json!({"selector": "a == '1'", "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
    assert!(lab.policy("p", allow).arrives(80));
}

/// projectcalico/calico:libcalico-go/lib/validator/v3/validator.go.
#[test]
fn the_api_refuses_what_felix_would_take_differently() {
    let refused = |spec: Value| Lab::new().on_eth0().policy("p", spec).refused(Stage::Api) == ["p"];
    let rule = |rule: Value| refused(denying(rule));
    for spec in [
        json!({"preDNAT": true, "ingress": [{"action": "Allow"}]}),
        json!({"preDNAT": true, "applyOnForward": true, "egress": [{"action": "Allow"}]}),
        json!({"preDNAT": true, "doNotTrack": true, "applyOnForward": true}),
        json!({"types": ["Ingress", "Ingress"]}),
        json!({"types": ["ingress"]}),
        json!({"selector": "global()"}),
        json!({"performanceHints": ["Faster"]}),
    ] {
        assert!(refused(spec.clone()), "{spec}");
    }
    for bad in [
        json!({"protocol": "tcp"}),
        json!({"protocol": "UDPLite", "destination": {"ports": [80]}}),
        json!({"source": {"nets": ["10.9.0.7"]}}),
        json!({"source": {"nets": ["10.9.0.7/24"]}}),
        json!({"source": {"notNets": ["0.0.0.0/0"]}}),
        json!({"source": {"nets": ["10.0.0.0/8"]}, "destination": {"nets": ["fd00::/8"]}}),
        json!({"ipVersion": 6, "source": {"nets": ["10.0.0.0/8"]}}),
        json!({"notProtocol": "ICMP", "ipVersion": 6}),
        json!({"icmp": {"type": 8}}),
        json!({"protocol": "ICMP", "icmp": {"code": 0}}),
        json!({"http": {"methods": ["GET"]}}),
        json!({"destination": {"services": {"name": "s", "namespace": "n"}}}),
        json!({"source": {"services": {"name": "s"}}}),
        json!({"source": {"namespaceSelector": "global() || has(a)"}}),
        json!({"protocol": "TCP", "destination": {"ports": [0]}}),
    ] {
        assert!(rule(bad.clone()), "{bad}");
    }
    assert!(!rule(json!({"source": {"namespaceSelector": "global( )"}})));
}

/// A port that is none is an error of decoding; written raw, it stops the whole list from being read.
#[test]
fn a_port_beyond_65535_is_no_port() {
    let spec = || denying(json!({"protocol": "TCP", "destination": {"ports": [70000]}}));
    assert_eq!(Lab::new().policy("p", spec()).refused(Stage::Decode), ["p"]);
    let raw = Lab::raw().policy("p", spec()).state();
    assert!(raw.unknown.iter().any(|unknown| unknown.reason.contains("no longer read")), "{:?}", raw.unknown);
}

/// What no type knows is listed with its path, so that nothing is proved with it.
#[test]
fn unknown_fields_and_versions_are_listed() {
    let lab = Lab::new().version(40).policy("p", json!({"ingress": [{"action": "Allow", "souce": {}}], "shape": 1}));
    let paths: Vec<_> = lab.state().unknown.into_iter().map(|unknown| unknown.path).collect();
    assert_eq!(paths, ["version", "spec.ingress[0].souce", "spec.shape"]);
}

/// Both groups at once: what is stored counts, and a difference is told.
#[test]
fn the_stored_form_counts_where_both_are_given() {
    let deny = Lab::raw().on_eth0().policy("default.p", denying(json!({})));
    let mut both = Lab::new();
    both.snapshot = deny.snapshot;
    let allow = json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
    let both = both.policy("p", allow);
    assert!(!both.passes(&inward(), &tcp("10.9.0.7", "10.0.0.1", 80)));
    assert_eq!(both.state().unknown.len(), 1);
}

/// No text makes the reader run away.
#[test]
fn limits_of_selectors_are_named() {
    let deep = format!("{}all(){}", "(".repeat(300), ")".repeat(300));
    let lab = Lab::new().policy("p", json!({"selector": deep, "ingress": []}));
    assert_eq!(lab.refused(Stage::Api), ["p"]);
    assert!(lab.state().unknown.iter().any(|unknown| unknown.path == "spec.selector"));
}

#[test]
fn what_is_too_large_to_read_is_named() {
    let rule = json!({"action": "Allow"});
    let lab =
        open_endpoint(Lab::new()).policy("default.p", json!({"selector": "has(a)", "ingress": vec![rule; 10_001]}));
    let nets: Vec<String> =
        (0..100_001).map(|index| format!("10.{}.{}.{}", index >> 16, index >> 8 & 255, index & 255)).collect();
    let lab = lab.with("GlobalNetworkSet", "s", json!({"nets": nets}));
    let state = lab.state();
    let unknown: Vec<String> = state
        .unknown
        .iter()
        .map(|unknown| format!("{} {}: {}", unknown.key.as_ref().expect("an object"), unknown.path, unknown.reason))
        .collect();
    assert_eq!(
        unknown,
        [
            "GlobalNetworkPolicy/default.p spec.ingress: 10001 entries, and this engine reads no more than 10000",
            "GlobalNetworkSet/s spec.nets: 100001 entries, and this engine reads no more than 100000",
        ]
    );
    assert_eq!(lab.refused(Stage::Felix), ["default.p", "s"]);
}

/// Felix 3.31.0 ends with a panic when a policy with such a rule applies to an endpoint of its node: it joins the selectors of a
/// rule after they were validated, and a blank text between parentheses is none
/// (projectcalico/calico:felix/calc/rule_scanner.go extractSelectors).
#[test]
fn a_blank_selector_beside_a_negated_one_is_a_danger() {
    let dangers = |source: Value| {
        let lab = open_endpoint(Lab::raw()).policy("p", denying(json!({"source": source})));
        lab.state().dangers.iter().map(|danger| danger.path.clone()).collect::<Vec<_>>()
    };
    for source in
        [json!({"selector": " ", "notSelector": "has(x)"}), json!({"selector": "has(x)", "notSelector": "\t"})]
    {
        assert_eq!(dangers(source.clone()), ["spec.ingress[0].source.notSelector"], "{source}");
    }
    for source in [
        json!({"selector": " "}),
        json!({"notSelector": " "}),
        json!({"selector": "", "notSelector": "has(x)"}),
        json!({"selector": "has(x)", "notSelector": "has(y)"}),
    ] {
        assert_eq!(dangers(source.clone()), Vec::<String>::new(), "{source}");
    }
}
