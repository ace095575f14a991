//! Which endpoint governs an interface, and where policies, failsafe ports and profiles act.

use serde_json::json;

use super::lab::{Lab, eth0, eth1, icmp, inward, ip, outward, tcp, through, udp, with_ports};
use crate::calico::endpoint::Interface;
use crate::calico::question::{Conntrack, Path, Question, Workloads};
use crate::calico::settings::Dataplane;
use crate::calico::trace::{Stage, Verdict};
use crate::snapshot::Node;

fn pre_dnat(action: &str, selector: &str) -> serde_json::Value {
    json!({"order": 1, "selector": selector, "preDNAT": true, "applyOnForward": true, "ingress": [{"action": action}]})
}

/// projectcalico/calico:felix/rules/static.go failsafeInChain, felix/rules/endpoints.go.
#[test]
fn trap_10_where_failsafe_ports_act() {
    let lab = Lab::new().on_eth0();
    assert!(lab.arrives(22) && !lab.arrives(80) && lab.leaves(6443) && !lab.leaves(22));
    // Before DNAT, on the port as it arrives, also when the packet is routed on.
    let early = lab.clone().policy("p", pre_dnat("Deny", "has(a)"));
    assert!(early.arrives(22) && early.routed(22) && !early.routed(80));
    // Before connection tracking, in both senses: the connection stays tracked and is accepted later.
    let deny = json!({"selector": "has(a)", "doNotTrack": true, "applyOnForward": true,
        "ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}]});
    let untracked = lab.clone().policy("p", deny);
    assert!(untracked.arrives(22) && !untracked.arrives(80));
    let answer = with_ports(6, "10.9.0.7", 6443, "10.0.0.1", 50_000);
    let trace = untracked.traced(&inward(), &answer);
    assert!(trace.steps.iter().any(|step| step.stage == Stage::Failsafe), "{trace}");
    // There also what comes from such a port of the other direction, whoever began.
    let allow = json!({"selector": "has(a)", "types": ["Ingress", "Egress"],
        "ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]});
    let open = untracked.policy("q", allow);
    for (port, arrives, leaves) in [(6443, true, true), (22, false, true), (80, false, false)] {
        assert_eq!(open.passes(&inward(), &with_ports(6, "10.9.0.7", port, "10.0.0.1", 50_000)), arrives, "{port}");
        assert_eq!(open.passes(&outward(), &with_ports(6, "10.0.0.1", port, "10.9.0.7", 50_000)), leaves, "{port}");
    }
    // Never for what is routed.
    let aof = json!({"selector": "has(a)", "applyOnForward": true, "ingress": [{"action": "Deny"}]});
    assert!(!lab.policy("p", aof).routed(22));
}

/// projectcalico/calico:felix/rules/endpoints.go appendConntrackRules.
#[test]
fn trap_11_invalid_packets_are_dropped_before_failsafes_and_policy() {
    let lab = Lab::new().on_eth0().policy("p", json!({"selector": "has(a)", "ingress": [{"action": "Allow"}]}));
    let reply = icmp("10.9.0.7", "10.0.0.1", 0, 0);
    assert!(!lab.passes(&inward(), &reply));
    let ssh = Question { conntrack: Some(Conntrack::Invalid), ..inward() };
    assert!(!lab.passes(&ssh, &tcp("10.9.0.7", "10.0.0.1", 22)));
    let off = lab.with("FelixConfiguration", "default", json!({"disableConntrackInvalidCheck": true}));
    assert!(off.passes(&inward(), &reply) && off.passes(&ssh, &tcp("10.9.0.7", "10.0.0.1", 22)));
}

/// projectcalico/calico:felix/rules/dispatch.go hostDispatchChains: the wildcard's chain is the default for every interface.
#[test]
fn trap_14_a_wildcard_owns_loopback_and_host_to_self_is_judged_twice() {
    let lo = || Interface::new("lo", [ip("127.0.0.1")]);
    let local = Question::new("n", Path::Local(lo()));
    let packet = tcp("127.0.0.1", "127.0.0.1", 9099);
    let denying = |direction: &str| {
        let deny = json!({"selector": "has(w)", "types": [direction], direction.to_lowercase(): [{"action": "Deny"}]});
        Lab::new().on_all().policy("p", deny)
    };
    assert!(Lab::new().on_all().passes(&local, &packet));
    assert!(!denying("Ingress").passes(&local, &packet) && !denying("Egress").passes(&local, &packet));
    assert!(denying("Ingress").passes(&Question::new("n", Path::Egress(lo())), &packet));
    assert!(
        !denying("Ingress").passes(&Question::new("n", Path::Ingress(Interface::new("vxlan.calico", []))), &packet)
    );
    assert!(Lab::new().on_eth0().passes(&local, &packet), "an endpoint of eth0 does not own it");
}

/// projectcalico/calico:felix/rules/static.go filterInputChain, filterWorkloadToHostChain.
#[test]
fn trap_16_a_pod_to_its_own_node_bypasses_normal_policy() {
    let cali = || Question::new("n", Path::Ingress(Interface::new("cali0", [])));
    let packet = tcp("10.2.0.5", "10.0.0.1", 22);
    let denying = || Lab::new().on_all().policy("p", json!({"selector": "has(w)", "ingress": [{"action": "Deny"}]}));
    assert!(!denying().passes(&cali(), &packet), "DROP is built in, failsafe ports do not help");
    let open = denying().env("DefaultEndpointToHostAction", "ACCEPT");
    assert!(open.passes(&cali(), &packet));
    let unknown = Question { workloads: Workloads::Unknown, ..cali() };
    assert!(!open.passes(&unknown, &packet));
    assert!(denying().passes(&cali(), &icmp("fd02::5", "fd00::1", 135, 0)), "neighbour discovery");
    let elsewhere = tcp("10.2.0.5", "10.0.0.1", 80);
    assert!(!open.passes(&inward(), &elsewhere), "from another node it is ordinary traffic");
    let to_pod = Question::new("n", Path::Egress(Interface::new("cali0", [])));
    let deny = json!({"selector": "has(w)", "egress": [{"action": "Deny"}]});
    assert!(Lab::new().on_all().policy("p", deny).passes(&to_pod, &packet));
}

/// projectcalico/calico:felix/dataplane/linux/endpoint_mgr.go updateHostEndpoints: only endpoints with such policies are
/// dispatched to before DNAT.
#[test]
fn trap_17_pre_dnat_policy_of_a_wildcard_takes_pods_and_leaks_onto_named_endpoints() {
    let lab = Lab::new().on_eth0().on_all().policy("p", pre_dnat("Deny", "has(w)"));
    let trace = lab.traced(&inward(), &tcp("10.9.0.7", "10.0.0.1", 80));
    assert_eq!((trace.verdict, trace.steps.len()), (Verdict::Deny, 2), "{trace}");
    let from_pod = Question::new("n", Path::Ingress(Interface::new("cali0", [])));
    let lab = lab.env("DefaultEndpointToHostAction", "ACCEPT");
    assert!(!lab.passes(&from_pod, &tcp("10.2.0.5", "10.0.0.1", 80)));
    // One pre-DNAT policy of its own keeps the wildcard's away.
    let own = lab
        .policy("q", pre_dnat("Log", "has(a)"))
        .policy("r", json!({"selector": "has(a)", "ingress": [{"action": "Allow"}]}));
    assert!(own.arrives(80));
}

/// projectcalico/calico:felix/rules/static.go StaticFilterForwardChains.
#[test]
fn trap_18_an_early_allow_skips_ingress_only() {
    let aof = |direction: &str| {
        json!({"order": 2, "selector": "has(a)", "applyOnForward": true, "types": [direction],
            direction.to_lowercase(): [{"action": "Deny"}]})
    };
    let out = json!({"node": "n", "interfaceName": "eth1"});
    let lab = Lab::new().on_eth0().labelled("HostEndpoint", "o", json!({"a": "1"}), out);
    let early = lab.policy("p", pre_dnat("Allow", "has(a)"));
    assert!(early.clone().policy("q", aof("Ingress")).routed(80));
    assert!(!early.policy("q", aof("Egress")).routed(80));
    let untracked = json!({"order": 1, "selector": "has(a)", "doNotTrack": true, "applyOnForward": true,
        "ingress": [{"action": "Allow"}]});
    assert!(Lab::new().on_eth0().policy("p", untracked.clone()).policy("q", aof("Ingress")).routed(80));
    let normal = json!({"selector": "has(a)", "ingress": [{"action": "Deny"}]});
    assert!(Lab::new().on_eth0().policy("p", untracked).policy("q", normal).arrives(80));
}

/// projectcalico/calico:felix/rules/endpoints.go: chainTypeForward.
#[test]
fn trap_19_forwarded_traffic_without_a_tier_for_its_direction() {
    let lab = Lab::new().on_eth0();
    assert!(lab.routed(80), "no policy for forwarded packets accepts");
    let egress =
        json!({"selector": "has(a)", "applyOnForward": true, "types": ["Egress"], "egress": [{"action": "Deny"}]});
    assert!(lab.clone().policy("p", egress).routed(80), "the other direction's policies decide nothing");
    let pass = json!({"selector": "has(a)", "applyOnForward": true, "ingress": [{"action": "Pass"}]});
    assert!(lab.clone().policy("p", pass).routed(80), "there is no profile stage");
    let some = json!({"selector": "has(a)", "applyOnForward": true, "ingress": [
        {"action": "Allow", "protocol": "TCP", "destination": {"ports": [81]}}]});
    let some = lab.policy("p", some);
    assert!(some.routed(81) && !some.routed(80), "but the end of a tier drops");
}

/// projectcalico/calico:felix/dataplane/linux/endpoint_mgr.go: "DoNotTrack policy is not supported for a HEP with
/// `interfaceName: *`; ignoring it".
#[test]
fn trap_20_untracked_policy_needs_both_directions_and_no_wildcard() {
    let deny =
        json!({"selector": "has(w)", "doNotTrack": true, "applyOnForward": true, "ingress": [{"action": "Deny"}]});
    assert!(Lab::new().on_all().policy("p", deny).arrives(80));
    let one_way = json!({"selector": "has(a)", "doNotTrack": true, "applyOnForward": true,
        "ingress": [{"action": "Allow"}]});
    let lab = Lab::new().on_eth0().policy("p", one_way);
    assert!(lab.arrives(80));
    // The answer of an untracked request belongs to no connection.
    let answer = Question { conntrack: Some(Conntrack::Invalid), ..outward() };
    let answered = |lab: &Lab| lab.passes(&answer, &tcp("10.0.0.1", "10.9.0.7", 40_000));
    assert!(!answered(&lab.clone().dataplane(Dataplane::Iptables)));
    assert!(answered(&lab), "on nftables nothing asks about a packet without a connection");
}

/// projectcalico/calico:felix/dataplane/linux/endpoint_mgr.go resolveHostEndpoints, felix/labelindex/named_port_index.go.
#[test]
fn trap_21_the_first_name_wins_and_losers_still_feed_selectors() {
    let open = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    let loser = json!({"node": "n", "interfaceName": "eth0", "expectedIPs": ["10.9.0.7"]});
    let lab = Lab::new().labelled("HostEndpoint", "h0", json!({"b": "1"}), open).labelled(
        "HostEndpoint",
        "h1",
        json!({"c": "1"}),
        loser,
    );
    assert!(lab.arrives(80));
    let allow = json!({"selector": "has(b)", "ingress": [{"action": "Allow", "source": {"selector": "has(c)"}}]});
    assert!(lab.policy("p", allow).arrives(80));
    let by_address = json!({"node": "n", "expectedIPs": ["10.0.0.1"]});
    assert!(!Lab::new().with("HostEndpoint", "h", by_address).arrives(80));
    let elsewhere = json!({"node": "n", "interfaceName": "eth7", "expectedIPs": ["10.0.0.1"]});
    assert!(Lab::new().with("HostEndpoint", "h", elsewhere).arrives(80), "it names another interface");
}

/// projectcalico/calico:kube-controllers/pkg/controllers/node/hostendpoints.go.
#[test]
fn trap_21_automatic_endpoints_expect_internal_addresses_and_carry_node_labels() {
    let config = json!({"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled"}}}});
    let node = |name: &str, internal: &str| Node {
        name: name.to_owned(),
        labels: [("role".to_owned(), "cp".to_owned())].into(),
        internal: vec![ip(internal)],
        external: vec![ip("192.0.2.7")],
        ..Node::default()
    };
    let lab = Lab::new().with("KubeControllersConfiguration", "default", config).cluster(|cluster| {
        cluster.nodes = vec![node("n", "10.0.0.1"), node("m", "10.9.0.7")];
    });
    assert!(lab.arrives(80), "the profile allows");
    let allow =
        json!({"selector": "role == 'cp'", "ingress": [{"action": "Allow", "source": {"selector": "role == 'cp'"}}]});
    let lab = lab.policy("p", allow);
    assert!(lab.arrives(80) && !lab.passes(&inward(), &tcp("192.0.2.7", "10.0.0.1", 80)));
    assert!(lab.state().endpoints.iter().all(|endpoint| endpoint.expected));
    // An endpoint that is there is taken as it is.
    let present = lab.with("HostEndpoint", "m-auto-hep", json!({"node": "m", "interfaceName": "*"}));
    assert!(!present.arrives(80));
}

#[test]
fn templates_make_endpoints_of_the_addresses_within_their_prefixes() {
    let config = json!({"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled",
        "createDefaultHostEndpoint": "Disabled", "templates": [
            {"generateName": "inner", "interfaceCIDRs": ["10.0.0.0/24"], "labels": {"t": "1"}, "nodeSelector": "has(x)"}]}}}});
    let node = |label: &str| Node {
        name: "n".to_owned(),
        labels: [(label.to_owned(), String::new())].into(),
        internal: vec![ip("10.0.0.1"), ip("10.1.0.1")],
        ..Node::default()
    };
    let lab = |label: &str| {
        let deny = json!({"selector": "has(t)", "ingress": [{"action": "Deny"}]});
        let lab = Lab::new().with("KubeControllersConfiguration", "default", config.clone()).policy("p", deny);
        lab.cluster(|cluster| cluster.nodes = vec![node(label)])
    };
    assert!(!lab("x").arrives(80) && lab("y").arrives(80));
    let on_eth1 = Question::new("n", Path::Ingress(eth1()));
    assert!(lab("x").passes(&on_eth1, &tcp("10.9.0.7", "10.1.0.1", 80)));
    let names: Vec<_> = lab("x").state().endpoints.iter().map(|endpoint| endpoint.key.name.clone()).collect();
    assert_eq!(names, ["n-inner-auto-hep"]);
}

/// projectcalico/calico:felix/calc/active_rules_calculator.go.
#[test]
fn a_profile_that_does_not_exist_drops_before_the_next_one_is_asked() {
    let lab = |profiles: &[&str]| {
        let spec = json!({"node": "n", "interfaceName": "eth0", "profiles": profiles});
        Lab::new().with("HostEndpoint", "h", spec)
    };
    assert!(lab(&["projectcalico-default-allow"]).arrives(80));
    assert!(!lab(&["gone", "projectcalico-default-allow"]).arrives(80));
}

/// Every step and the whole trace are there for a person and for a program.
#[test]
fn a_trace_names_stage_object_and_rule() {
    let rules = json!([{"action": "Log"}, {"action": "Deny", "source": {"nets": ["10.9.0.0/16"]}}]);
    let lab = Lab::new().on_eth0().policy("p", json!({"selector": "has(a)", "ingress": rules}));
    let trace = lab.traced(&inward(), &udp("10.9.0.7", "10.0.0.1", 80));
    let decision = trace.decision().expect("a step");
    assert_eq!(decision.object.as_ref().map(ToString::to_string).as_deref(), Some("GlobalNetworkPolicy/p"));
    assert_eq!((decision.rule, &decision.stage), (Some(1), &Stage::Tier("default".to_owned())));
    assert!(trace.to_string().ends_with("filter INPUT, tier default, GlobalNetworkPolicy/p rule 1: drop\ndeny"));
    let json = serde_json::to_value(&trace).expect("JSON");
    assert_eq!(json["steps"][2]["object"], "GlobalNetworkPolicy/p");
    assert_eq!(json["verdict"], "deny");
    let passing = lab.traced(&through(), &udp("10.9.0.7", "10.50.0.1", 80));
    assert!(passing.verdict.passes() && eth0() != eth1());
}
