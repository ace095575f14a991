//! Which objects are refused, by whom, and what is not known about others.

use policy::cilium::compile::Stage;
use serde_json::{Value, json};

use crate::cluster::{NODE, WORLD, World};

fn refused(world: World, spec: Value) -> Option<Stage> {
    world.with(spec).compile().refused.first().map(|refusal| refusal.stage)
}

fn raw() -> World {
    World { schema: false, ..World::new() }
}

fn element(element: impl Into<Value>) -> Value {
    let element = element.into();
    json!({"nodeSelector": {}, "ingress": [element]})
}

/// cilium/cilium:pkg/policy/api/rule_validation_test.go, as facts, as far as it is about hosts.
#[test]
fn the_agent_refuses_what_its_table_says() {
    let ports = |ports: Value| element(json!({"toPorts": [{"ports": ports}]}));
    let http = json!([{"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [{}]}}]);
    let dns = json!([{"ports": [{"port": "53", "protocol": "ANY"}], "rules": {"dns": [{"matchPattern": "*"}]}}]);
    let many: Vec<Value> = (1..=41).map(|port: u16| json!({"port": port.to_string()})).collect();
    let bad = [
        json!({"nodeSelector": {}}),
        json!({"nodeSelector": {}, "ingress": []}),
        json!({"nodeSelector": {}, "endpointSelector": {}, "ingress": [{}]}),
        json!({"ingress": [{}]}),
        json!({"nodeSelector": {"matchLabels": {"a:b:c": ""}}, "ingress": [{}]}),
        element(json!({"fromEntities": ["host"], "fromCIDR": ["10.0.0.0/8"]})),
        element(json!({"fromEntities": ["node"]})),
        element(json!({"fromCIDR": ["10.0.0.0/33"]})),
        element(json!({"fromCIDRSet": [{"cidr": "10.0.0.1"}]})),
        element(json!({"fromCIDRSet": [{}]})),
        element(json!({"fromCIDRSet": [{"cidr": "10.0.0.0/8", "cidrGroupRef": "x"}]})),
        element(json!({"fromCIDRSet": [{"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}]})),
        element(json!({"fromNodes": [{}]})),
        element(json!({"icmps": [{"fields": [{"type": 8}]}], "toPorts": [{"ports": [{"port": "22"}]}]})),
        element(json!({"icmps": [{"fields": [{"type": 8, "family": "IPv5"}]}]})),
        ports(json!(many)),
        ports(json!([{"port": ""}])),
        ports(json!([{"protocol": "VRRP"}])),
        ports(json!([{"port": "99999"}])),
        ports(json!([{"port": "-1"}])),
        ports(json!([{"port": "22", "protocol": "ICMP"}])),
        element(json!({"toPorts": http})),
        json!({"nodeSelector": {}, "egress": [{"toPorts": http}]}),
        element(json!({"toPorts": dns})),
        json!({"nodeSelector": {}, "egress": [{"toFQDNs": [{"matchName": "a b"}]}]}),
    ];
    for rule in bad {
        assert_eq!(refused(raw(), rule.clone()), Some(Stage::Sanitize), "{rule}");
    }
    let good = [
        element(json!({"fromCIDR": ["10.0.0.1"]})),
        element(json!({"fromEntities": ["world-ipv4"]})),
        ports(json!([{"port": "22", "protocol": "tcp"}])),
        json!({"nodeSelector": {}, "egress": [{"toPorts": dns}]}),
        json!({"nodeSelector": {}, "egress": [{"toFQDNs": [{"matchName": "a.example"}]}]}),
        element(json!({"fromEntities": ["host"], "fromCIDR": []})),
        json!({"nodeSelector": null, "ingress": [{}]}),
    ];
    for rule in good {
        assert_eq!(refused(raw(), rule.clone()), None, "{rule}");
    }
}

/// cilium/cilium:pkg/policy/api/icmp.go, `UnmarshalJSON`.
#[test]
fn names_of_icmp_types_are_checked_when_the_object_is_decoded() {
    for field in [json!({"type": "NoSuch"}), json!({"type": "Redirect", "family": "IPv6"}), json!({"type": 1.5})] {
        let rule = element(json!({"icmps": [{"fields": [field]}]}));
        assert_eq!(refused(raw(), rule.clone()), Some(Stage::Decode), "{rule}");
    }
    assert_eq!(refused(raw(), element(json!({"toPorts": [{"ports": [{"port": 22}]}]}))), Some(Stage::Decode));
}

/// cilium/cilium:pkg/k8s/apis/cilium.io/client/crds/v2/ciliumclusterwidenetworkpolicies.yaml.
#[test]
fn the_schema_goes_first() {
    assert_eq!(refused(World::new(), element(json!({"fromCIDR": ["10.0.0.1"]}))), Some(Stage::Schema));
    assert_eq!(refused(World::new(), element(json!({"fromEntities": ["world-ipv4"]}))), Some(Stage::Schema));
    let upper = |protocol: &str| element(json!({"toPorts": [{"ports": [{"port": "22", "protocol": protocol}]}]}));
    assert_eq!(refused(World::new(), upper("tcp")), Some(Stage::Schema));
    assert_eq!(refused(World::new(), upper("TCP")), None);
    assert_eq!(refused(World::new(), json!({"nodeSelector": null, "ingress": [{}]})), Some(Stage::Schema));
}

/// cilium/cilium:pkg/k8s/apis/cilium.io/v2/ccnp_types.go, `Parse`.
#[test]
fn one_bad_rule_spoils_its_object() {
    let world = raw().object(json!({"metadata": {"name": "p"},
        "spec": {"nodeSelector": {}, "ingress": [{}]}, "specs": [{"nodeSelector": {}, "ingress": []}]}));
    let state = world.compile();
    assert_eq!(state.refused[0].path, "specs[0]");
    assert!(world.admits(WORLD, 22));
}

/// cilium/cilium:pkg/k8s/apis/cilium.io/v2/cnp_types.go, `Parse`.
#[test]
fn a_namespaced_policy_has_no_hosts() {
    let world = World::new().object(json!({"kind": "CiliumNetworkPolicy", "metadata": {"name": "p", "namespace": "x"},
        "spec": {"nodeSelector": {}, "ingress": [{}]}}));
    assert_eq!(world.compile().refused[0].stage, Stage::Sanitize);
}

#[test]
fn spec_and_specs_are_pooled() {
    let world = World::new().object(json!({"metadata": {"name": "p"},
        "spec": {"nodeSelector": {}, "ingress": [{"fromEntities": ["host"]}]},
        "specs": [{"nodeSelector": {}, "ingress": [{"fromCIDR": ["192.0.2.0/24"]}]}]}));
    assert!(world.admits("192.0.2.7", 22) && !world.admits(WORLD, 22));
}

/// cilium/cilium:pkg/policy/rule.go, `matchesSubject`.
#[test]
fn rules_for_pods_never_apply_to_hosts() {
    let world = World::new()
        .with(json!({"endpointSelector": {"matchLabels": {"reserved:host": ""}}, "ingress": [{}]}))
        .with(json!({"nodeSelector": {"matchLabels": {"host": ""}}, "egress": [{}]}));
    assert!(world.admits(WORLD, 22));
    assert!(!world.emits(WORLD, 22), "a bare key takes the reserved label");
}

#[test]
fn what_is_not_known_is_listed_with_its_path() {
    let unknown = |world: World| -> Vec<String> {
        world.compile().unknown.iter().map(|one| format!("{} {}", one.object, one.path)).collect()
    };
    let key = "CiliumClusterwideNetworkPolicy/p0";
    for (spec, path) in [
        (json!({"nodeSelector": {}, "ingress": [{"fromEntitys": []}]}), "spec.ingress[0].fromEntitys"),
        (json!({"nodeSelector": {}, "egress": [{"toFQDNs": [{"matchName": "a.example"}]}]}), "spec.egress[0]"),
        (json!({"nodeSelector": {}, "ingress": [{"fromGroups": [{"aws": {}}]}]}), "spec.ingress[0]"),
    ] {
        assert_eq!(unknown(World::new().with(spec)), [format!("{key} {path}")]);
    }
    // For pods the same is no secret that a host has a part in, unless nothing tells what it is.
    let names = json!([{"toFQDNs": [{"matchName": "a.example"}]}, {"toGroups": [{"aws": {}}]}]);
    assert_eq!(unknown(World::new().with(json!({"endpointSelector": {}, "egress": names}))), [""; 0]);
    let odd = json!({"endpointSelector": {}, "egress": names, "ingress": [{"fromEntitys": []}]});
    assert_eq!(unknown(World::new().with(odd.clone())), [format!("{key} spec.ingress[0].fromEntitys")]);
    let namespaced = json!({"kind": "CiliumNetworkPolicy", "metadata": {"name": "p", "namespace": "n"}, "spec": odd});
    assert_eq!(unknown(World::new().object(namespaced)), [""; 0]);
    assert_eq!(unknown(World::new().set("label-prefix-file", "/x")), ["cilium-config label-prefix-file"]);
    let config = World::new().object(json!({"kind": "CiliumNodeConfig", "metadata": {"name": "c", "namespace": "n"}}));
    assert_eq!(unknown(config), ["CiliumNodeConfig/n/c spec"]);
    assert_eq!(unknown(World::new()), [""; 0]);
}

#[test]
fn what_is_too_large_to_read_is_named_and_decides_nothing() {
    let entries = |count: u32| {
        let address = |index: u32| std::net::Ipv4Addr::from(0x0b00_0000 + index);
        (0..count).map(|index| format!("{}/32", address(index))).collect::<Vec<_>>()
    };
    let others = |count: u32| {
        let values: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let values = json!({"matchExpressions": [{"key": "rack", "operator": "NotIn", "values": values}]});
        json!({"nodeSelector": values, "ingressDeny": [{}]})
    };
    let from = |prefixes: &[String]| json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["host"]}, {"fromCIDR": prefixes}]});
    let deny =
        |count: usize| json!({"nodeSelector": {}, "ingressDeny": vec![json!({"fromEntities": ["world"]}); count]});
    let policy = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
    let several = json!({"metadata": {"name": "p"}, "specs": [deny(1), from(&entries(100_001))]});
    let group =
        json!({"kind": "CiliumCIDRGroup", "metadata": {"name": "p"}, "spec": {"externalCIDRs": entries(100_001)}});
    let rules = "10001 entries, and this engine reads no more than 10000";
    let list = "100001 entries, and this engine reads no more than 100000";
    let clusterwide = "CiliumClusterwideNetworkPolicy/p";
    for (object, unknown) in [
        (policy(deny(10_001)), format!("{clusterwide}: spec.ingressDeny: {rules}")),
        (several, format!("{clusterwide}: specs[1].ingress[1].fromCIDR: {list}")),
        (policy(others(100_001)), format!("{clusterwide}: spec.nodeSelector.matchExpressions[0].values: {list}")),
        (group, format!("CiliumCIDRGroup/p: spec.externalCIDRs: {list}")),
    ] {
        let state = raw().object(object).compile();
        let found: Vec<String> = state.unknown.iter().map(ToString::to_string).collect();
        assert_eq!(found, [unknown]);
        assert!(state.rules.is_empty() && state.refused.is_empty(), "{found:?}");
    }
    for spec in [deny(10_000), others(100_000)] {
        let state = raw().with(spec).compile();
        assert!(state.unknown.is_empty() && state.rules.len() == 1, "{:?}", state.unknown);
    }
}

#[test]
fn a_trace_names_object_rule_and_reason_as_text_and_as_json() {
    let world = World::new().with(json!({"nodeSelector": {}, "ingress": [
        {"fromEntities": ["host"]},
        {"fromEntities": ["world"], "toPorts": [{"ports": [{"port": "443", "protocol": "TCP"}]}]}]}));
    let trace = world.trace(policy::packet::Direction::Ingress, WORLD, crate::cluster::tcp(22));
    let text = trace.to_string();
    for line in [
        "peer 8.8.8.8 is 9 [reserved:world-ipv4]",
        "CiliumClusterwideNetworkPolicy/p0 spec.ingress[0] is for other peers: reserved:host=",
        "CiliumClusterwideNetworkPolicy/p0 spec.ingress[1] is for other ports: TCP 443",
        "nothing allows it, and CiliumClusterwideNetworkPolicy/p0 spec turns on default deny",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.ends_with("deny"), "{text}");
    let json = serde_json::to_value(&trace).expect("plain data");
    assert_eq!(json["verdict"], "deny");
    assert_eq!(json["steps"][1]["path"], "spec.ingress[0]");
    assert_eq!(json["steps"][3]["step"], "default-deny");
    assert!(world.compile().view(NODE).subject().is_some());
}

#[test]
fn a_trace_names_the_place_in_a_users_file() {
    let mut world = World::new().with(element(json!({"fromEntities": ["host"]})));
    let manifest = world.snapshot.of("cilium.io", "CiliumClusterwideNetworkPolicy").next().cloned().expect("one");
    let source = policy::snapshot::Source { file: "host.yaml".to_owned(), document: 0, item: None, line: 7 };
    let manifest = policy::snapshot::Manifest { source: Some(source.into()), ..(*manifest).clone() };
    world.snapshot = world.snapshot.with(manifest);
    let trace = world.trace(policy::packet::Direction::Ingress, WORLD, crate::cluster::tcp(22));
    assert!(trace.to_string().contains("/p0 spec.ingress[0] (host.yaml:7) is for other peers"), "{trace}");
    assert_eq!(serde_json::to_value(&trace).expect("plain data")["steps"][2]["source"], "host.yaml:7");
}

/// cilium/cilium:pkg/policy/rule.go, `mergePortProto`: the agent cannot merge them, and keeps the policy that it had.
#[test]
fn modes_of_authentication_that_differ_are_not_understood() {
    let mode = |mode: &str| element(json!({"fromEntities": ["world"], "authentication": {"mode": mode}}));
    let paths = |world: World| -> Vec<String> { world.compile().unknown.into_iter().map(|one| one.path).collect() };
    assert_eq!(paths(World::new().with(mode("required")).with(mode("required"))), [""; 0]);
    assert_eq!(paths(World::new().with(mode("required")).with(mode("disabled"))), ["spec.ingress[0].authentication"]);
}

/// cilium/cilium:pkg/policy/api/icmp.go, `UnmarshalJSON`: all of an object is decoded before any of it is checked.
#[test]
fn decoding_goes_before_checking() {
    let icmps = json!([{"fields": [{"type": "Redirect", "family": "IPv6"}]}]);
    let both = element(json!({"toPorts": [{}], "icmps": icmps}));
    assert_eq!(refused(raw(), both.clone()), Some(Stage::Decode));
    let later = json!({"metadata": {"name": "p"}, "spec": {"ingress": []}, "specs": [both]});
    assert_eq!(raw().object(later).compile().refused[0].stage, Stage::Decode);
    let wide = element(json!({"toPorts": [{"ports": [{"port": "x y", "endPort": 1_u64 << 33}]}]}));
    assert_eq!(refused(raw(), wide), Some(Stage::Decode));
}

/// cilium/cilium:pkg/policy/api/l4.go, `PortDenyRule`: it has no such field.
#[test]
fn application_layer_rules_of_denies_are_not_read() {
    let dns = json!([{"ports": [{"port": "53", "endPort": 60, "protocol": "UDP"}], "rules": {"dns": [{"matchPattern": "*"}]}}]);
    let rule = |list: &str| json!({"nodeSelector": {}, list: [{"toPorts": dns}]});
    assert_eq!(refused(World::new(), rule("egressDeny")), None);
    assert_eq!(refused(World::new(), rule("egress")), Some(Stage::Sanitize));
}

/// cilium/cilium:pkg/policy/selectorcache.go, `addSelectorLocked`: selectors with equal keys are one.
#[test]
fn named_ports_of_everyone_beside_an_empty_group_selector_are_not_understood() {
    let group = element(json!({"fromCIDRSet": [{"cidrGroupSelector": {}}]}));
    let named = |peers: &str, list: Value| {
        let ports = json!([{"ports": [{"port": "web", "protocol": "TCP"}]}]);
        json!({"nodeSelector": {}, "egress": [{peers: list, "toPorts": ports}]})
    };
    let paths = |world: World| -> Vec<String> { world.compile().unknown.into_iter().map(|one| one.path).collect() };
    let all = named("toEntities", json!(["all"]));
    assert_eq!(paths(World::new().with(group.clone()).with(all.clone())), ["spec.egress[0]"]);
    assert_eq!(paths(World::new().with(all)), [""; 0]);
    assert_eq!(paths(World::new().with(group).with(named("toEndpoints", json!([{}])))), [""; 0]);
}

/// The same: `fromEntities: [world]` behind a group selector by the label of `world-ipv4` admits no IPv4 address.
#[test]
fn a_group_selector_by_labels_of_others_is_not_understood() {
    let unknown = |selector: Value, except: Value| {
        let element = json!([{"fromCIDRSet": [{"cidrGroupSelector": selector, "except": except}]}]);
        let pods = World::new().with(json!({"endpointSelector": {}, "ingress": element}));
        let hosts = World::new().with(json!({"nodeSelector": {}, "ingress": element}));
        let paths = [pods, hosts].map(|world| world.compile().unknown.len());
        assert_eq!(paths[0], paths[1], "rules for pods have the same cache");
        paths[0] > 0
    };
    let world = json!({"matchLabels": {"reserved:world-ipv4": ""}});
    assert!(unknown(world.clone(), json!([])));
    assert!(!unknown(world, json!(["192.0.2.0/24"])), "with exceptions the key is another");
    for key in ["team", "any:team", "cidrgroup:team"] {
        assert!(!unknown(json!({"matchLabels": {key: "net"}}), json!([])), "{key}");
    }
}

/// kubernetes/utils:internal/third_party/forked/golang/net/ip.go, `ParseCIDR`, behind the format of the schema.
#[test]
fn the_schema_takes_leading_zeros_in_prefixes() {
    for (prefix, stage) in [
        ("10.0.0.0/08", Stage::Sanitize),
        ("010.0.0.0/8", Stage::Sanitize),
        ("10.0.0.00/008", Stage::Sanitize),
        ("10.0.0.0/033", Stage::Schema),
        ("10.0.0.0/", Stage::Schema),
        ("10..0.0/8", Stage::Schema),
        ("10.0.0.0/+8", Stage::Schema),
    ] {
        assert_eq!(refused(World::new(), element(json!({"fromCIDR": [prefix]}))), Some(stage), "{prefix}");
    }
}

/// cilium/cilium:pkg/policy/types/auth.go, pkg/policy/l4.go: an allow may ask for more.
#[test]
fn allows_on_a_condition_are_told_apart() {
    use policy::cilium::compile::Condition;
    let world = World::new().with(element(json!({"fromEntities": ["world"], "authentication": {"mode": "required"}})));
    let trace = world.trace(policy::packet::Direction::Ingress, WORLD, crate::cluster::tcp(22));
    assert_eq!(trace.condition, Some(Condition::Authentication));
    let dns = json!([{"ports": [{"port": "53", "protocol": "UDP"}], "rules": {"dns": [{"matchPattern": "*"}]}}]);
    let world = World::new().with(json!({"nodeSelector": {}, "egress": [{"toPorts": dns}]}));
    let trace = world.trace(policy::packet::Direction::Egress, WORLD, crate::cluster::udp(53));
    assert_eq!(trace.condition, Some(Condition::Proxy));
}
