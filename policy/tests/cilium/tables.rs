//! Upstream's test tables as facts, as far as they are about what a host can have: who and which port is asked, and
//! whether it passes.

use policy::cilium::question::Verdict;
use policy::packet::{Direction, Transport};
use serde_json::{Value, json};

use crate::cluster::{METRICS, NODE, OTHER, SELF, WORLD, World, icmp, tcp, udp};

/// cilium/cilium:pkg/policy/distillery_test.go, `TestEgressPortRangePrecedence`.
#[test]
fn port_ranges_of_allows_and_denies_overlap_by_precedence_not_by_order() {
    type Range = (u16, u16, bool);
    let tables: &[(&[Range], &[Range])] = &[
        (&[(80, 0, true), (1, 1024, false)], &[(79, 81, false), (1023, 1025, false)]),
        (
            &[(80, 0, false), (1, 1024, true)],
            &[(1, 2, true), (79, 79, true), (80, 80, false), (81, 81, true), (1023, 1024, true), (1025, 1026, false)],
        ),
        (&[(0, 0, false), (1, 1024, true)], &[(1, 2, false), (1023, 1025, false)]),
        (
            &[(0, 0, true), (1, 1024, false)],
            &[(1, 2, false), (1023, 1024, false), (1025, 1026, true), (65_534, 65_534, true)],
        ),
        (
            &[(80, 90, true), (85, 95, false), (90, 100, true)],
            &[(79, 79, false), (80, 84, true), (85, 95, false), (96, 100, true), (101, 101, false)],
        ),
    ];
    for (rules, asked) in tables {
        let of = |allow: bool| -> Value {
            let chosen = rules.iter().filter(|(.., verdict)| *verdict == allow);
            let element = |(first, last, _): &Range| {
                json!({"toEndpoints": [{"matchLabels": {"k8s-app": "metrics-server"}}],
                    "toPorts": [{"ports": [{"port": first.to_string(), "endPort": last, "protocol": "TCP"}]}]})
            };
            chosen.map(element).collect()
        };
        let world = World::new().with(json!({"nodeSelector": {}, "egress": of(true), "egressDeny": of(false)}));
        for (first, last, allowed) in *asked {
            for port in *first..=*last {
                assert_eq!(world.emits(METRICS, port), *allowed, "port {port} under {rules:?}");
            }
        }
    }
}

/// cilium/cilium:pkg/policy/distillery_test.go, `Test_EnsureDeniesPrecedeAllows`, without its rules for named ports, which
/// pods alone have.
#[test]
fn denies_precede_allows_whatever_their_prefixes() {
    let subnet = "192.0.2.0/24";
    let one = "192.0.2.3/32";
    let eighty = json!([{"ports": [{"port": "8080", "protocol": "ANY"}]}]);
    // Allowed, denied, and then which peer on which port is let through.
    let table = [
        (
            json!([{"fromCIDR": [one]}]),
            json!([{"fromEntities": ["world"]}]),
            [("192.0.2.3", 80, false), (WORLD, 80, false)],
        ),
        (json!([{"fromCIDR": [one]}]), json!([{"fromCIDR": [subnet]}]), [("192.0.2.3", 80, false), (WORLD, 80, true)]),
        (
            json!([{"fromCIDR": [subnet]}]),
            json!([{"fromCIDR": [one]}]),
            [("192.0.2.3", 80, false), ("192.0.2.4", 80, true)],
        ),
        (
            json!([{"fromCIDR": [one]}]),
            json!([{"fromEntities": ["world"], "toPorts": eighty}]),
            [("192.0.2.3", 8080, false), ("192.0.2.3", 80, true)],
        ),
        (
            json!([{"fromCIDR": [subnet], "toPorts": eighty}]),
            json!([{"fromCIDR": [one]}]),
            [("192.0.2.3", 8080, false), ("192.0.2.4", 8080, true)],
        ),
    ];
    for (allow, deny, asked) in table {
        let world = World::new()
            .with(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}]}))
            .with(json!({"nodeSelector": {}, "ingress": allow, "ingressDeny": deny}));
        for (peer, port, allowed) in asked {
            assert_eq!(world.admits(peer, port), allowed, "{peer}:{port}, {allow} and {deny}");
        }
    }
}

/// cilium/cilium:pkg/policy/distillery_test.go, `Test_Allowception`: an allow in a deny in an allow.
#[test]
fn an_exception_of_a_deny_is_allowed_by_what_is_around() {
    let world = World::new().with(json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["0.0.0.0/0"]}],
        "ingressDeny": [{"fromCIDRSet": [{"cidr": "1.0.0.0/8", "except": ["1.1.1.1/32"]}]}]}));
    assert!(world.admits(WORLD, 22) && world.admits("1.1.1.1", 22) && !world.admits("1.1.1.2", 22));
}

/// cilium/cilium:pkg/policy/distillery_test.go, `Test_EnsureEntitiesSelectableByCIDR`.
#[test]
fn the_host_is_selected_by_its_prefix_where_prefixes_match_nodes() {
    let world = World::new()
        .set("policy-cidr-match-mode", "nodes")
        .with(json!({"nodeSelector": {}, "egress": [{"toCIDR": ["10.0.0.3/32"]}]}));
    assert!(world.emits(SELF, 22) && !world.emits(OTHER, 22));
}

/// cilium/cilium:pkg/policy/repository_test.go, `TestDefaultAllow` and `TestComputePolicyEnforcementAndRules`.
#[test]
fn directions_are_enforced_by_their_own_rules() {
    let rule = |side: &str, deny: bool| {
        let element =
            if side == "ingress" { json!([{"fromEntities": ["host"]}]) } else { json!([{"toEntities": ["host"]}]) };
        json!({"nodeSelector": {}, side: element, "enableDefaultDeny": {side: deny}})
    };
    // Which rules there are, and then: enforced, default deny.
    let table: [(&[bool], bool, bool); 4] =
        [(&[], false, false), (&[true], true, true), (&[false], true, false), (&[true, false], true, true)];
    for (to, to_enforced, to_deny) in table {
        for (from, from_enforced, from_deny) in table {
            let mut world = World::new();
            for deny in to {
                world = world.with(rule("ingress", *deny));
            }
            for deny in from {
                world = world.with(rule("egress", *deny));
            }
            let state = world.compile();
            let found = [Direction::Ingress, Direction::Egress].map(|direction| state.enforcement(NODE, direction));
            assert_eq!([found[0].enforced, found[1].enforced], [to_enforced, from_enforced], "{to:?} {from:?}");
            assert_eq!([found[0].default_deny, found[1].default_deny], [to_deny, from_deny], "{to:?} {from:?}");
            assert_eq!(world.admits(WORLD, 22), !to_deny, "{to:?}");
            assert_eq!(world.emits(WORLD, 22), !from_deny, "{from:?}");
        }
    }
}

/// cilium/cilium:pkg/policy/rule_test.go, `TestICMPPolicy`.
#[test]
fn icmp_is_matched_by_type_and_family() {
    let world = World::new().with(json!({"nodeSelector": {}, "ingress": [{"icmps": [{"fields": [
        {"type": 8}, {"family": "IPv6", "type": "EchoRequest"}]}]}]}));
    assert!(world.takes(WORLD, icmp(8)) && !world.takes(WORLD, icmp(9)));
    assert!(world.takes("2001:db8::1", icmp(128)) && !world.takes("2001:db8::1", icmp(8)));
    assert!(!world.takes(WORLD, Transport::Other(58)), "ICMPv6 over IPv4 is no echo request");
    assert!(!world.admits(WORLD, 8), "and a port is no type");
}

/// cilium/cilium:pkg/policy/rule_test.go, `TestIPProtocolsWithNoTransportPorts` and `TestTunnelProtocolsWithNoTransportPorts`.
#[test]
fn protocols_without_ports_are_matched_by_number() {
    let protocols = [("VRRP", 112), ("IGMP", 2), ("GRE", 47), ("IPIP", 4), ("IPV6", 41), ("ESP", 50), ("AH", 51)];
    for (name, number) in protocols {
        let world = World::new()
            .set("enable-extended-ip-protocols", "true")
            .with(json!({"nodeSelector": {}, "ingress": [{"toPorts": [{"ports": [{"protocol": name}]}]}]}));
        for (other, asked) in protocols {
            assert_eq!(world.takes(WORLD, Transport::Other(asked)), asked == number, "{other} under {name}");
        }
        assert!(!world.admits(WORLD, 22) && !world.takes(WORLD, icmp(8)));
    }
}

/// cilium/cilium:pkg/policy/resolve_deny_test.go, `TestMapStateWithIngressDeny`: denies by peer and by port beside
/// allows.
#[test]
fn denies_by_port_leave_the_other_ports_of_a_peer() {
    let world = World::new().with(json!({"nodeSelector": {},
        "ingress": [{"fromEntities": ["all"]}],
        "ingressDeny": [{"fromEndpoints": [{"matchLabels": {"k8s-app": "metrics-server"}}],
            "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}, {"port": "53", "protocol": "UDP"}]}]}]}));
    assert!(!world.admits(METRICS, 80) && world.admits(METRICS, 81) && world.admits(OTHER, 80));
    assert!(!world.takes(METRICS, udp(53)) && world.takes(METRICS, icmp(8)));
}

/// cilium/cilium:pkg/policy/repository_test.go, `TestWildcardL3RulesIngressFromEntities`, and repository_deny_test.go,
/// `TestWildcardL3RulesIngressDenyFromEntities`.
#[test]
fn an_entity_without_ports_is_every_protocol() {
    for (list, allowed) in [("ingress", true), ("ingressDeny", false)] {
        let world = World::new().with(json!({"nodeSelector": {}, list: [{"fromEntities": ["world"]}],
            "enableDefaultDeny": {"ingress": allowed}}));
        for transport in [tcp(80), udp(80), icmp(8), Transport::Other(89)] {
            let verdict = world.trace(Direction::Ingress, WORLD, transport).verdict;
            assert_eq!(verdict == Verdict::Allow, allowed, "{transport:?}");
        }
    }
}
