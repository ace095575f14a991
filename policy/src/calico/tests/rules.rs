//! What rules match.

use serde_json::{Value, json};

use super::lab::{Lab, icmp, inward, ip, other, tcp, udp, with_ports};
use crate::calico::question::{Conntrack, Question};
use crate::calico::settings::Dataplane;
use crate::snapshot::{EndpointPort, EndpointSlice, NamedPort, Namespace, Pod};

/// Whether a lab with one ingress rule accepts TCP to port 80 from 10.9.0.7.
fn allows(lab: &Lab, rule: Value) -> bool {
    with_rule(lab, rule).arrives(80)
}

fn with_rule(lab: &Lab, mut rule: Value) -> Lab {
    rule["action"] = json!("Allow");
    lab.clone().policy("p", json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [rule]}))
}

fn set(lab: Lab, name: &str, label: &str, nets: &[&str]) -> Lab {
    lab.labelled("GlobalNetworkSet", name, json!({label: "1"}), json!({"nets": nets}))
}

/// projectcalico/calico:felix/calc/rule_scanner.go.
#[test]
fn trap_01_all_means_known_endpoints_and_an_empty_selector_means_the_world() {
    let lab = Lab::new().on_eth0();
    assert!(allows(&lab, json!({})) && allows(&lab, json!({"source": {"selector": ""}})));
    assert!(!allows(&lab, json!({"source": {"selector": "all()"}})));
    assert!(!allows(&lab, json!({"source": {"selector": " "}})), "a blank is all()");
    let known = set(lab, "s", "x", &["10.9.0.0/24"]);
    assert!(allows(&known, json!({"source": {"selector": "all()"}})));
    assert!(allows(&known, json!({"source": {"namespaceSelector": "global()"}})));
    assert!(!allows(&known, json!({"source": {"namespaceSelector": "all()"}})), "the set is in no namespace");
}

/// projectcalico/calico:felix/calc/rule_scanner.go combineMatchesIfPossible.
#[test]
fn trap_22_not_selector_is_per_endpoint_beside_a_selector_and_per_address_alone() {
    let lab = set(set(Lab::new().on_eth0(), "s", "x", &["10.9.0.7"]), "t", "y", &["10.9.0.7"]);
    assert!(allows(&lab, json!({"source": {"selector": "has(x)", "notSelector": "has(y)"}})), "another owner has y");
    assert!(!allows(&lab, json!({"source": {"notSelector": "has(y)"}})));
    assert!(allows(&lab, json!({"source": {"notSelector": "has(z)"}})), "matches the Internet");
    assert!(!allows(&lab, json!({"source": {"selector": "has(x)", "notSelector": "has(x)"}})));
}

/// projectcalico/calico:felix/calc/rule_scanner.go namedPortsToIPSets.
#[test]
fn trap_23_named_ports() {
    let port = |name: &str, port: u16| json!({"name": name, "protocol": "TCP", "port": port});
    let spec = json!({"node": "n", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"], "ports": [port("web", 80)]});
    let lab = Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), spec);
    let to = |ports: Value| json!({"protocol": "TCP", "destination": {"ports": ports}});
    let not = |ports: Value| json!({"protocol": "TCP", "destination": {"notPorts": ports}});
    assert!(allows(&lab, to(json!(["web"]))) && !with_rule(&lab, to(json!(["web"]))).arrives(81));
    let elsewhere = tcp("10.9.0.7", "10.0.0.2", 80);
    assert!(!with_rule(&lab, to(json!(["web"]))).passes(&inward(), &elsewhere), "not an expected address");
    assert!(!allows(&lab, to(json!(["gone"]))) && allows(&lab, to(json!(["gone", 80]))));
    assert!(allows(&lab, not(json!(["gone"]))) && !allows(&lab, not(json!(["web"]))));
    // With named ports alone the selector is inside the set of ports.
    let folded = json!({"protocol": "TCP", "destination": {"selector": "has(b)", "ports": ["web"]}});
    assert!(!allows(&lab, folded));
    let folded = json!({"protocol": "TCP", "destination": {"selector": "has(a)", "ports": ["web"]}});
    assert!(allows(&lab, folded));
    let excluded = json!({"protocol": "TCP", "destination": {"selector": "has(a)", "notPorts": ["web"]}});
    assert!(!allows(&lab, excluded));
    // A range with a dash is a name, which the API refuses and which makes Felix leave the policy out.
    assert_eq!(with_rule(&lab, to(json!(["30000-32767"]))).refused(crate::calico::state::Stage::Api), ["p"]);
}

/// projectcalico/calico:felix/rules/policy.go: the rest of a side holds for its named ports too.
#[test]
fn named_ports_are_held_to_the_prefixes_and_ports_beside_them() {
    let web = json!([{"name": "web", "protocol": "TCP", "port": 80}, {"name": "web", "protocol": "UDP", "port": 81}]);
    let spec = json!({"node": "n", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"], "ports": web});
    let lab = Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), spec);
    let to = |more: Value| {
        let mut to = json!({"ports": ["web"]});
        to.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"protocol": "TCP", "destination": to})
    };
    assert!(allows(&lab, to(json!({"nets": ["10.0.0.0/31"]}))) && !allows(&lab, to(json!({"nets": ["10.0.0.2/32"]}))));
    assert!(!allows(&lab, to(json!({"notNets": ["10.0.0.0/31"]}))));
    assert!(allows(&lab, to(json!({"notPorts": [81]}))) && !allows(&lab, to(json!({"notPorts": [80]}))));
    assert!(!with_rule(&lab, to(json!({}))).arrives(81), "that is the port of another protocol");
    assert!(!with_rule(&lab, to(json!({}))).passes(&inward(), &udp("10.9.0.7", "10.0.0.1", 80)));
}

/// A rule whose ports and prefixes are of these, for packets from 10.9.0.7 to port 80 of 10.0.0.1.
pub(super) fn lists(ports: &Value, from: &[&str], to: &[&str]) -> Value {
    json!({"protocol": "TCP", "source": {"nets": from}, "destination": {"ports": ports, "nets": to}})
}

const NEAR: &[&str] = &["10.9.0.0/24", "10.0.0.1/32"];
pub(super) const AWAY: &[&str] = &["10.50.0.0/24", "10.51.0.0/24"];

/// projectcalico/calico:felix/rules/policy.go finishPositiveBlock: the scratch mark of a list is not taken back before the next
/// one, and so whatever matches the second of a rule's longer lists matches those after it.
#[test]
fn the_third_of_a_rule_s_longer_lists_is_overlooked() {
    let names = json!([80, "gone"]);
    for dataplane in [Dataplane::Nftables, Dataplane::Iptables] {
        let lab = Lab::new().dataplane(dataplane).on_eth0();
        assert!(allows(&lab, lists(&names, NEAR, AWAY)));
        assert!(!allows(&lab, lists(&names, AWAY, NEAR)), "the second is looked at");
        assert!(!allows(&lab, lists(&json!([81, "gone"]), NEAR, AWAY)), "so is the first");
        assert!(!allows(&lab, lists(&json!([80]), NEAR, AWAY)) && !allows(&lab, lists(&names, &NEAR[..1], AWAY)));
        assert!(!allows(&lab, lists(&names, NEAR, &AWAY[..1])), "one prefix is no list");
        let mut excluded = lists(&names, NEAR, AWAY);
        excluded["destination"]["notNets"] = json!(["10.0.0.1/32", "10.0.0.2/32"]);
        assert!(!allows(&lab, excluded));
    }
    let lab = Lab::new().on_eth0();
    let trace = with_rule(&lab, lists(&names, NEAR, AWAY)).traced(&inward(), &tcp("10.9.0.7", "10.0.0.1", 80));
    assert!(trace.to_string().contains("Felix overlooks destination nets behind two other lists"), "{trace}");
    let trace = with_rule(&lab, lists(&names, NEAR, NEAR)).traced(&inward(), &tcp("10.9.0.7", "10.0.0.1", 80));
    assert!(!trace.to_string().contains("overlooks"), "{trace}");
    // Ports on both sides are two lists.
    let mut ports = lists(&names, AWAY, &[]);
    ports["source"]["ports"] = names;
    let numbered = with_ports(6, "10.9.0.7", 80, "10.0.0.1", 80);
    assert!(with_rule(&lab, ports).passes(&inward(), &numbered));
}

/// projectcalico/calico:felix/rules/policy.go CombineMatchAndActionsForProtoRule: a pass is a rule that sets the mark and one that
/// returns where it is set. The mark of the last tier is there still when profiles are asked. Recorded in `calico-profiles`.
#[test]
fn what_a_tier_has_passed_on_leaves_a_profile_at_its_first_pass() {
    let elsewhere = json!({"action": "Pass", "source": {"nets": ["192.0.2.0/24"]}});
    let endpoint = |profiles: Value| {
        let spec = json!({"node": "n", "interfaceName": "eth0", "profiles": profiles});
        Lab::new().labelled("HostEndpoint", "h", json!({"a": "1"}), spec)
    };
    let profiles = json!(["mine", "open"]);
    let lab = |rules: Value| {
        let lab = endpoint(profiles.clone()).with("Profile", "mine", json!({"ingress": rules}));
        lab.with("Profile", "open", json!({"ingress": [elsewhere, {"action": "Allow"}]}))
    };
    let tier = |name: &str, action: &str, staged: bool| {
        let kind = if staged { "StagedGlobalNetworkPolicy" } else { "GlobalNetworkPolicy" };
        let spec = json!({"tier": name, "selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": action}]});
        (kind, format!("{name}.p"), spec)
    };
    let with = |lab: Lab, tiers: &[(&str, &str, bool)]| {
        tiers.iter().enumerate().fold(lab, |lab, (order, (name, action, staged))| {
            let (kind, policy, spec) = tier(name, action, *staged);
            lab.with("Tier", name, json!({"order": order, "defaultAction": "Pass"})).with(kind, &policy, spec)
        })
    };
    let open = || lab(json!([elsewhere, {"action": "Allow"}]));
    assert!(open().arrives(80));
    assert!(!with(open(), &[("t", "Pass", false)]).arrives(80));
    assert!(with(open(), &[("t", "Log", false)]).arrives(80), "the default of a tier sets no mark");
    assert!(with(open(), &[("t", "Pass", false), ("u", "Log", false)]).arrives(80), "the next tier takes it back");
    assert!(with(open(), &[("t", "Pass", false), ("u", "Log", true)]).arrives(80), "one with staged policies too");
    let bpf = with(open(), &[("t", "Pass", false)]).dataplane(Dataplane::Bpf);
    assert!(bpf.arrives(80), "programs have no mark");
    assert!(with(lab(json!([{"action": "Allow"}])), &[("t", "Pass", false)]).arrives(80));
    assert!(!lab(json!([{"action": "Pass"}])).arrives(80), "one profile's mark is there in the next");
    let other = json!({"action": "Pass", "ipVersion": 6});
    assert!(
        with(lab(json!([other, {"action": "Allow"}])), &[("t", "Pass", false)]).arrives(80),
        "no rule of the family"
    );
}

/// The same: SplitPortList puts 15 numbers into one match, a range being two.
#[test]
fn ports_by_number_are_a_longer_list_from_sixteen_on() {
    let lab = Lab::new().on_eth0();
    let takes = |ports: Vec<Value>| allows(&lab, lists(&json!(ports), NEAR, AWAY));
    let numbers = |count: u16| (80..80 + count).map(|port| json!(port));
    let ranges = |count: u16| (0..count).map(|index| json!(format!("{}:{}", 80 + 2 * index, 81 + 2 * index)));
    assert!(!takes(numbers(15).collect()) && takes(numbers(16).collect()));
    assert!(!takes(ranges(7).collect()) && takes(ranges(8).collect()));
    assert!(
        !takes(ranges(7).chain([json!(100)]).collect()) && takes(ranges(7).chain([json!(100), json!(101)]).collect())
    );
}

/// The same, family by family.
#[test]
fn prefixes_of_another_family_make_no_list_longer() {
    let mixed = &["10.50.0.0/24", "10.51.0.0/24", "fd50::/64"];
    let from = &["10.9.0.0/24", "10.0.0.1/32", "fd09::/64", "fd08::/64"];
    let lab = with_rule(&Lab::raw().on_eth0(), lists(&json!([80, "gone"]), from, mixed));
    assert!(lab.arrives(80));
    assert!(!lab.passes(&inward(), &tcp("fd09::7", "fd00::1", 80)));
    let mut fourth = lists(&json!([80, "gone"]), from, AWAY);
    fourth["ipVersion"] = json!(6);
    assert!(!with_rule(&Lab::raw().on_eth0(), fourth).arrives(80));
}

/// projectcalico/calico:felix/rules/policy.go FilterRuleToIPVersion.
#[test]
fn trap_24_prefixes_of_one_family_make_the_rule_vanish_for_the_other() {
    let lab = Lab::new().on_eth0();
    let v6 = tcp("fd09::7", "fd00::1", 80);
    let takes_v6 = |rule: Value| with_rule(&lab, rule).passes(&inward(), &v6);
    assert!(takes_v6(json!({})));
    assert!(!takes_v6(json!({"source": {"notNets": ["10.0.0.0/8"]}})));
    assert!(!takes_v6(json!({"source": {"nets": ["10.0.0.0/8"]}})));
    assert!(!takes_v6(json!({"ipVersion": 4})) && takes_v6(json!({"ipVersion": 6})));
    // What the API refuses, Felix reads as far as it fits.
    let mixed = |version: u8| json!({"ipVersion": version, "source": {"nets": ["10.9.0.0/24", "fd09::/64"]}});
    let stored = Lab::raw().on_eth0();
    for (version, takes_v4) in [(4, true), (6, false)] {
        let lab = with_rule(&stored, mixed(version));
        assert_eq!((lab.arrives(80), lab.passes(&inward(), &v6)), (takes_v4, !takes_v4), "{version}");
    }
    let neither = with_rule(&stored, json!({"ipVersion": 4, "source": {"notNets": ["0.0.0.0/0"]}}));
    assert!(!neither.arrives(80) && !neither.passes(&inward(), &v6));
    // HTTP matches are Calico's proxy's business.
    assert!(allows(&lab, json!({"protocol": "TCP", "http": {"methods": ["GET"]}})));
    // Nobody lets neighbour discovery in.
    let solicitation = icmp("fd00::7", "fd00::1", 135, 0);
    assert!(!lab.passes(&inward(), &solicitation));
    assert!(with_rule(&lab, json!({"protocol": "ICMPv6"})).passes(&inward(), &solicitation));
}

/// projectcalico/calico:felix/rules/policy.go: a catch-all in `notNets` leaves the rule out.
#[test]
fn a_rule_that_excludes_every_address_is_left_out() {
    let lab = Lab::raw().on_eth0();
    assert!(!allows(&lab, json!({"source": {"notNets": ["0.0.0.0/0"]}})));
}

/// projectcalico/calico:felix/rules/policy.go; the kernel reads a type from ICMP only.
#[test]
fn icmp_types_and_codes() {
    let lab = Lab::new().on_eth0();
    let echo = |code| icmp("10.9.0.7", "10.0.0.1", 8, code);
    let takes = |rule: Value, packet| with_rule(&lab, rule).passes(&inward(), &packet);
    let not = json!({"protocol": "ICMP", "notICMP": {"type": 8, "code": 0}});
    assert!(!takes(not.clone(), echo(0)) && takes(not, echo(1)));
    let exactly = json!({"protocol": "ICMP", "icmp": {"type": 8, "code": 0}});
    assert!(takes(exactly.clone(), echo(0)) && !takes(exactly, echo(1)));
    let both = json!({"protocol": "ICMP", "icmp": {"type": 8}, "notICMP": {"type": 8, "code": 0}});
    assert!(takes(both.clone(), echo(1)) && !takes(both.clone(), echo(0)));
    assert!(!takes(both, icmp("10.9.0.7", "10.0.0.1", 13, 0)), "both count");
    assert!(!takes(json!({"notICMP": {"type": 13}}), tcp("10.9.0.7", "10.0.0.1", 80)));
    assert!(takes(json!({"notICMP": {"type": 13}}), echo(0)));
    // A protocol by number does not fix the family.
    assert!(takes(json!({"protocol": 1}), other("fd09::7", "fd00::1", 1)));
    assert!(!takes(json!({"protocol": "ICMP"}), other("fd09::7", "fd00::1", 1)));
}

#[test]
fn protocols_and_ports() {
    let lab = Lab::new().on_eth0();
    let takes = |rule: Value, packet| with_rule(&lab, rule).passes(&inward(), &packet);
    assert!(takes(json!({"notProtocol": "TCP"}), udp("10.9.0.7", "10.0.0.1", 80)));
    assert!(!takes(json!({"notProtocol": 17}), udp("10.9.0.7", "10.0.0.1", 80)));
    let range = json!({"protocol": "SCTP", "source": {"ports": ["100:200"], "notPorts": [150]}});
    for (port, expected) in [(99, false), (100, true), (150, false), (200, true), (201, false)] {
        assert_eq!(takes(range.clone(), with_ports(132, "10.9.0.7", port, "10.0.0.1", 1)), expected, "{port}");
    }
    assert!(takes(json!({"protocol": 112}), other("10.9.0.7", "10.0.0.1", 112)));
}

/// UDP-Lite is no kind of UDP to a rule. The kernel verifies the checksum of what arrives as that of UDP, so that the right one is
/// invalid (torvalds/linux:net/netfilter/nf_conntrack_proto_udp.c udplite_error); Felix 3.31.0 then lets it in only without
/// its check.
#[test]
fn udp_lite_is_a_protocol_of_its_own_and_invalid_where_it_arrives() {
    let lab = Lab::new().on_eth0();
    let lite = || with_ports(136, "10.9.0.7", 40_000, "10.0.0.1", 80);
    let takes = |rule: Value, packet| with_rule(&lab, rule).passes(&inward(), &packet);
    for protocol in [json!("UDPLite"), json!(136)] {
        assert!(takes(json!({"protocol": protocol}), lite()), "{protocol}");
        assert!(!takes(json!({"protocol": protocol}), udp("10.9.0.7", "10.0.0.1", 80)), "{protocol}");
        assert!(!takes(json!({"notProtocol": protocol}), lite()), "{protocol}");
    }
    assert!(!takes(json!({"protocol": "UDP", "destination": {"ports": [80]}}), lite()));
    assert!(takes(json!({"notProtocol": "UDP"}), lite()));
    let allowing = with_rule(&lab, json!({"protocol": "UDPLite"}));
    let arrives = Question { conntrack: Some(Conntrack::Invalid), ..inward() };
    assert!(!allowing.passes(&arrives, &lite()));
    let unchecked = allowing.with("FelixConfiguration", "default", json!({"disableConntrackInvalidCheck": true}));
    assert!(unchecked.passes(&arrives, &lite()));
    assert!(!unchecked.dataplane(Dataplane::Iptables).passes(&arrives, &udp("10.9.0.7", "10.0.0.1", 80)));
}

/// projectcalico/calico:felix/serviceindex/serviceindex.go: ports count on the destination's side only, readiness never.
#[test]
fn services_stand_for_the_addresses_of_their_endpoints() {
    let endpoints = |address: &str| {
        vec![crate::snapshot::Endpoint { addresses: vec![ip(address)], ready: false, node: String::new() }]
    };
    let slice = EndpointSlice {
        namespace: "default".to_owned(),
        name: "kubernetes-x".to_owned(),
        service: "kubernetes".to_owned(),
        endpoints: endpoints("10.9.0.7"),
        ports: vec![EndpointPort { name: "https".to_owned(), protocol: "TCP".to_owned(), port: Some(6444) }],
    };
    let lab = Lab::new().on_eth0().cluster(|cluster| cluster.slices.push(slice));
    let service = json!({"services": {"name": "kubernetes", "namespace": "default"}});
    assert!(allows(&lab, json!({"source": service})));
    let egress =
        json!({"selector": "has(a)", "types": ["Egress"], "egress": [{"action": "Allow", "destination": service}]});
    let lab = lab.policy("p", egress);
    assert!(lab.leaves(6444) && !lab.leaves(6445));
    let emptied = lab.cluster(|cluster| cluster.slices.clear());
    assert!(!emptied.leaves(6444));
}

/// projectcalico/calico:libcalico-go/lib/backend/k8s/conversion: pods have the labels of their namespace under a prefix.
#[test]
fn pods_are_selected_by_their_own_labels_and_those_of_their_namespace() {
    let pod = |name: &str, address: &str, host_network| Pod {
        namespace: "apps".to_owned(),
        name: name.to_owned(),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        addresses: vec![ip(address)],
        host_network,
        service_account: "runner".to_owned(),
        ports: vec![NamedPort { name: "web".to_owned(), protocol: "TCP".to_owned(), port: 80 }],
        ..Pod::default()
    };
    let lab = Lab::new().on_eth0().cluster(|cluster| {
        cluster.pods = vec![pod("a", "10.9.0.7", false), pod("b", "10.9.0.8", true)];
        let labels = [("team".to_owned(), "x".to_owned())].into();
        cluster.namespaces = vec![Namespace { name: "apps".to_owned(), labels }];
    });
    for rule in [
        json!({"selector": "app == 'web'"}),
        json!({"namespaceSelector": "team == 'x'"}),
        json!({"namespaceSelector": "projectcalico.org/name == 'apps'"}),
        json!({"selector": "app == 'web'", "namespaceSelector": "all()"}),
        json!({"serviceAccounts": {"names": ["runner"]}}),
    ] {
        assert!(allows(&lab, json!({"source": rule})), "{rule}");
    }
    assert!(!allows(&lab, json!({"source": {"namespaceSelector": "team == 'y'"}})));
    assert!(!allows(&lab, json!({"source": {"selector": "app == 'web'", "namespaceSelector": "global()"}})));
    let host = tcp("10.9.0.8", "10.0.0.1", 80);
    let rule = json!({"source": {"selector": "app == 'web'"}});
    assert!(!with_rule(&lab, rule).passes(&inward(), &host), "a pod in the host's network is no endpoint");
}
