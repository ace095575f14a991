//! The ways in which Cilium surprises, one test each.

use policy::cilium::compile::Stage;
use policy::cilium::question::{Layer, Path, Question, Verdict};
use policy::cilium::version::Version;
use policy::packet::{Direction, Packet, Transport};
use policy::snapshot::{Service, ServicePort};
use serde_json::json;

use crate::cluster::{API, METRICS, NODE, OTHER, PROMETHEUS, SELF, WORLD, World, icmp, ip, packet, tcp, udp};

fn ingress(element: impl Into<serde_json::Value>) -> World {
    let element = element.into();
    World::new().with(json!({"nodeSelector": {}, "ingress": [element]}))
}

fn egress(element: impl Into<serde_json::Value>) -> World {
    let element = element.into();
    World::new().with(json!({"nodeSelector": {}, "egress": [element]}))
}

/// Trap 1: cilium/cilium:pkg/policy/rule.go, `mergeL4Filter`: without peers and ports there is no filter to merge.
#[test]
fn an_empty_element_denies_everyone() {
    let world = ingress(json!({}));
    for peer in [OTHER, WORLD, METRICS, SELF] {
        assert!(!world.admits(peer, 22), "{peer}");
    }
    assert!(world.emits(WORLD, 22), "the other direction is left alone");
}

/// Trap 2: cilium/cilium:pkg/k8s/apis/cilium.io/utils/utils.go, `getEndpointSelector`.
#[test]
fn an_empty_endpoint_selector_is_pods_of_this_cluster() {
    let world = ingress(json!({"fromEndpoints": [{}]})).change(|cluster| {
        cluster.pods.push(policy::snapshot::Pod {
            cluster: "other".to_owned(),
            ..crate::cluster::pod("default", "10.244.9.9", "a", "b")
        });
    });
    assert!(world.admits(METRICS, 22));
    for peer in [OTHER, SELF, WORLD, "10.244.9.9"] {
        assert!(!world.admits(peer, 22), "{peer}");
    }
}

/// Trap 3: cilium/cilium:pkg/labels/cidr.go, `IPStringToLabel`: a prefix of length 0 is the world label, which nodes lack.
#[test]
fn everything_as_a_prefix_excludes_nodes_and_pods() {
    for mode in ["", "nodes"] {
        let world = ingress(json!({"fromCIDR": ["0.0.0.0/0"]})).set("policy-cidr-match-mode", mode);
        assert!(world.admits(WORLD, 22));
        for peer in [OTHER, METRICS] {
            assert!(!world.admits(peer, 22), "{peer} in mode `{mode}`");
        }
    }
    let half = ingress(json!({"fromCIDR": ["0.0.0.0/1"]})).set("policy-cidr-match-mode", "nodes");
    assert!(half.admits(OTHER, 22));
}

/// Trap 4: cilium/cilium:pkg/ipcache/metadata.go, `resolveLabels`: nodes lose their labels of prefixes.
#[test]
fn the_prefix_of_a_node_works_until_the_node_joins() {
    let known = ingress(json!({"fromCIDR": ["10.0.0.2/32"]}));
    assert!(!known.admits(OTHER, 22));
    let unknown = known.change(|cluster| cluster.nodes.retain(|node| node.name != "node-b"));
    assert!(unknown.admits(OTHER, 22));
}

/// Trap 5: cilium/cilium:pkg/policy/api/rule_validation.go; pkg/policy/k8s/cilium_network_policy.go: an update that does not
/// parse leaves the rules of before.
#[test]
fn two_kinds_of_peers_are_an_invalid_object_and_an_invalid_update_keeps_the_old_one() {
    let bad = json!({"metadata": {"name": "p"}, "spec": {"nodeSelector": {}, "ingress": [
        {"fromEntities": ["all"], "fromCIDR": ["10.0.0.0/8"]}]}});
    let good =
        json!({"metadata": {"name": "p"}, "spec": {"nodeSelector": {}, "ingress": [{"fromEntities": ["host"]}]}});
    let created = World::new().object(bad.clone());
    let state = created.compile();
    assert_eq!(state.refused[0].stage, Stage::Sanitize);
    assert!(!state.refused[0].keeps_previous);
    assert!(created.admits(WORLD, 22), "nothing of it is applied");

    let before = World::new().object(good);
    let after = before.clone().object(bad);
    let options = policy::cilium::compile::Options {
        previous: Some(&before.snapshot),
        version: Some(Version::V1_20),
        stated: &after.stated,
        ..Default::default()
    };
    let state = policy::cilium::compile::State::compile(&after.snapshot, options);
    assert!(state.refused[0].keeps_previous);
    let question =
        Question { node: NODE, direction: Direction::Ingress, layer: Layer::Policy, path: Path::Device(None) };
    let verdict = policy::cilium::trace::trace(&state, &question, &packet(Direction::Ingress, WORLD, tcp(22)));
    assert_eq!(verdict.verdict, Verdict::Deny, "the old version is enforced: {verdict}");
}

/// Trap 6: cilium/cilium:pkg/policy/utils/parserules.go: denies carry the default deny of their rule as allows do.
#[test]
fn a_rule_with_denies_only_turns_on_default_deny() {
    let deny = json!({"nodeSelector": {}, "ingressDeny": [{"fromCIDR": ["192.0.2.0/24"]}]});
    assert!(!World::new().with(deny.clone()).admits(WORLD, 22));
    let mut off = deny;
    off["enableDefaultDeny"] = json!({"ingress": false});
    let world = World::new().with(off);
    assert!(world.admits(WORLD, 22));
    assert!(!world.admits("192.0.2.7", 22));
}

/// Trap 7: cilium/cilium:pkg/policy/repository.go, `computePolicyEnforcementAndRules`: only rules with entries are looked at.
#[test]
fn default_deny_without_entries_does_nothing_and_any_other_rule_can_turn_it_on() {
    let world = World::new().with(json!({"nodeSelector": {}, "egress": [{"toEntities": ["all"]}],
        "enableDefaultDeny": {"ingress": true}}));
    assert!(world.admits(WORLD, 22));
    let world = World::new().with(
        json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["host"]}], "enableDefaultDeny": {"ingress": false}}),
    );
    assert!(world.admits(WORLD, 22));
    let world = world.with(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["remote-node"]}]}));
    assert!(!world.admits(WORLD, 22));
}

/// Trap 8: cilium/cilium:pkg/policy/types/entry.go: a deny precedes every allow, whatever their specificity.
#[test]
fn a_deny_beats_a_narrower_allow() {
    let world = World::new().with(json!({"nodeSelector": {},
        "ingress": [{"fromCIDR": ["10.9.9.9/32"], "toPorts": [{"ports": [{"port": "22", "protocol": "TCP"}]}]}],
        "ingressDeny": [{"fromCIDR": ["10.0.0.0/8"]}]}));
    assert!(!world.admits("10.9.9.9", 22));
    let world = World::new().with(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}],
        "ingressDeny": [{"fromEntities": ["cluster"]}]}));
    for peer in [OTHER, API, METRICS] {
        assert!(!world.admits(peer, 10250), "{peer}");
    }
    assert!(world.admits(WORLD, 22));
}

/// Trap 9: cilium/cilium:pkg/policy/api/entity.go.
#[test]
fn the_cluster_has_nodes_of_other_clusters_and_an_outside_api_server_but_not_their_pods() {
    let with = |entity: &str| {
        ingress(json!({"fromEntities": [entity]})).change(|cluster| {
            cluster.nodes.push(policy::snapshot::Node {
                name: "far".to_owned(),
                internal: vec![ip("10.9.0.1")],
                cluster: "other".to_owned(),
                ..Default::default()
            });
            let far = crate::cluster::pod("default", "10.244.9.9", "a", "b");
            cluster.pods.push(policy::snapshot::Pod { cluster: "other".to_owned(), ..far });
            cluster.slices[0].endpoints[0].addresses = vec![ip("198.51.100.9")];
        })
    };
    let world = with("cluster");
    assert!(world.admits("10.9.0.1", 22));
    assert!(world.admits("198.51.100.9", 22));
    assert!(!world.admits("10.244.9.9", 22));
    assert!(with("cluster-mesh").admits("10.244.9.9", 22));
}

/// Trap 10: cilium/cilium:pkg/identity/identity.go, `LookupReservedIdentityByLabels`: identity 7 has both labels.
#[test]
fn remote_node_takes_in_api_servers_but_kube_apiserver_no_virtual_address() {
    assert!(ingress(json!({"fromEntities": ["remote-node"]})).admits(API, 22));
    let world = egress(json!({"toEntities": ["kube-apiserver"]}));
    assert!(world.emits(API, 6443));
    assert!(!world.emits("10.0.0.100", 6443));
}

/// Trap 11: cilium/cilium:pkg/ipcache/metadata.go: a pod is known by its own address.
#[test]
fn pods_such_as_metrics_server_are_no_remote_nodes() {
    let world = ingress(json!({"fromEntities": ["remote-node", "kube-apiserver"],
        "toPorts": [{"ports": [{"port": "10250", "protocol": "TCP"}]}]}));
    assert!(world.admits(OTHER, 10250));
    assert!(!world.admits(METRICS, 10250));
}

/// Trap 12: cilium/cilium:pkg/k8s/node.go, `ParseNode`: the first address of a type and family only.
#[test]
fn a_second_address_of_a_node_is_the_world_to_others_and_the_host_to_itself() {
    let world = ingress(json!({"fromEntities": ["remote-node", "host"]})).change(|cluster| {
        cluster.nodes[1].internal.push(ip("10.0.1.2"));
        cluster.nodes[2].internal.push(ip("10.0.1.3"));
    });
    assert!(!world.admits("10.0.1.2", 22));
    assert!(world.admits("10.0.1.3", 22));
}

/// Trap 13: cilium/cilium:bpf/bpf_host.c: what the host sends to pods is egress of the host.
#[test]
fn default_deny_egress_cuts_probes_and_webhooks() {
    let world = egress(json!({"toEntities": ["remote-node", "kube-apiserver"]}));
    assert!(!world.emits(PROMETHEUS, 9090));
    let question = Question { node: NODE, direction: Direction::Egress, layer: Layer::Host, path: Path::Cilium };
    let trace = world.ask(&question, &packet(Direction::Egress, PROMETHEUS, tcp(9090)));
    assert_eq!(trace.verdict, Verdict::Deny, "judged on the way to a pod as well: {trace}");
}

/// Trap 14: cilium/cilium:bpf/lib/host_firewall.h: outer packets are the host's own, in both directions.
#[test]
fn the_overlay_is_judged_both_ways() {
    let world = World::new().with(json!({"nodeSelector": {},
        "ingress": [{"fromEntities": ["remote-node"], "toPorts": [{"ports": [{"port": "8472", "protocol": "UDP"}]}]}],
        "egress": [{"toEntities": ["host"]}]}));
    let state = world.compile();
    assert_eq!(state.settings.tunnel(), Some(8472));
    assert!(world.takes(OTHER, udp(8472)));
    let outer = packet(Direction::Egress, OTHER, udp(8472));
    let question = Question { node: NODE, direction: Direction::Egress, layer: Layer::Host, path: Path::Device(None) };
    assert_eq!(world.ask(&question, &outer).verdict, Verdict::Deny);
}

/// Trap 15: cilium/cilium:bpf/lib/host_firewall.h: an established flow is judged packet by packet, so a verdict does not ask
/// whether the packet is the first of its flow; only a reply is let by, and a reply is no packet of the other direction's
/// rules.
#[test]
fn a_new_deny_cuts_what_was_admitted_before() {
    let allow = ingress(json!({"fromEntities": ["world"]}));
    assert!(allow.admits(WORLD, 22));
    assert!(!allow.with(json!({"nodeSelector": {}, "ingressDeny": [{"fromEntities": ["world"]}]})).admits(WORLD, 22));
}

/// Trap 16: cilium/cilium:bpf/bpf_host.c: node ports are translated before the host firewall looks.
#[test]
fn node_ports_bypass_host_policy_under_kube_proxy_replacement() {
    let world = ingress(json!({})).change(|cluster| {
        cluster.services.push(Service {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            ports: vec![ServicePort {
                protocol: "TCP".to_owned(),
                port: 80,
                node_port: Some(30_080),
                ..ServicePort::default()
            }],
            ..Service::default()
        });
    });
    let question = Question { node: NODE, direction: Direction::Ingress, layer: Layer::Host, path: Path::Device(None) };
    let knock = packet(Direction::Ingress, WORLD, tcp(30_080));
    assert_eq!(world.ask(&question, &knock).verdict, Verdict::Deny);
    let replaced = world.set("kube-proxy-replacement", "true");
    assert_eq!(replaced.ask(&question, &knock).verdict, Verdict::NotJudged);
    for other in [tcp(30_081), udp(30_080)] {
        assert_eq!(replaced.ask(&question, &packet(Direction::Ingress, WORLD, other)).verdict, Verdict::Deny);
    }
}

/// Trap 17: cilium/cilium:pkg/labelsfilter/filter.go.
#[test]
fn hostname_and_zone_select_no_node_and_their_negation_selects_every_node() {
    for key in ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "kubernetes.io/os"] {
        let world = World::new()
            .with(json!({"nodeSelector": {"matchExpressions": [{"key": key, "operator": "Exists"}]},
            "ingress": [{}]}));
        assert!(world.admits(WORLD, 22), "{key}");
        let world = World::new().with(json!({"nodeSelector": {"matchExpressions": [
            {"key": key, "operator": "NotIn", "values": [NODE, "z1", "linux"]}]}, "ingress": [{}]}));
        assert!(!world.admits(WORLD, 22), "{key}");
    }
    let zone = json!({"nodeSelector": {"matchLabels": {"topology.kubernetes.io/zone": "z1"}}, "ingress": [{}]});
    assert!(!World::new().version(Version::OLDEST).with(zone).admits(WORLD, 22), "1.18 keeps the zone");
}

/// Trap 18: cilium/cilium:pkg/labelsfilter/filter.go: one inclusive pattern drops what none includes.
#[test]
fn a_list_of_labels_to_keep_drops_the_roles_of_nodes() {
    let world = World::new().with(json!({"nodeSelector": {"matchLabels": {"node-role.kubernetes.io/worker": ""}},
        "ingress": [{}]}));
    assert!(!world.admits(WORLD, 22));
    assert!(world.set("labels", "k8s:app").admits(WORLD, 22));
}

/// Trap 19: cilium/cilium:pkg/policy/types/requirements.go: an empty value is a value.
#[test]
fn an_empty_value_is_not_true() {
    let select = |selector: serde_json::Value| {
        let world = World::new().with(json!({"nodeSelector": selector, "ingress": [{}]}));
        let state = world.compile();
        ["node-a", "node-b"].map(|node| state.enforcement(node, Direction::Ingress).enforced)
    };
    let key = "node-role.kubernetes.io/control-plane";
    assert_eq!(select(json!({"matchLabels": {key: ""}})), [true, false]);
    assert_eq!(select(json!({"matchLabels": {key: "true"}})), [false, true]);
    assert_eq!(select(json!({"matchExpressions": [{"key": key, "operator": "Exists"}]})), [true, true]);
}

/// Trap 20: cilium/cilium:pkg/policy/l4.go, `keysForRange`; rule.go, `mergeL4Filter`.
#[test]
fn icmp_type_0_is_every_type_and_any_is_no_icmp() {
    let zero = ingress(json!({"icmps": [{"fields": [{"type": 0}]}]}));
    assert!(zero.takes(WORLD, icmp(8)) && zero.takes(WORLD, icmp(13)));
    assert!(!ingress(json!({"icmps": [{"fields": [{"type": 8}]}]})).takes(WORLD, icmp(13)));
    let any = ingress(json!({"toPorts": [{"ports": [{"port": "0", "protocol": "ANY"}]}]}));
    assert!(any.admits(WORLD, 22) && any.takes(WORLD, udp(53)));
    assert!(!any.takes(WORLD, icmp(8)) && !any.takes(WORLD, Transport::Other(50)));
    let peer = ingress(json!({"fromEntities": ["world"]}));
    assert!(peer.takes(WORLD, icmp(8)) && peer.takes(WORLD, Transport::Other(50)));
}

/// Trap 21: cilium/cilium:pkg/policy/l4.go, `keysForRange`; api/rule_validation.go; pkg/endpoint/policy.go,
/// `GetIngressNamedPort`.
#[test]
fn ports_are_not_what_they_seem() {
    let port = |port: serde_json::Value| ingress(json!({"toPorts": [{"ports": [port]}]}));
    let zero = port(json!({"port": "0", "endPort": 1023, "protocol": "TCP"}));
    assert!(zero.admits(WORLD, 22) && zero.admits(WORLD, 30_000));
    let below = port(json!({"port": "22", "endPort": 17, "protocol": "TCP"}));
    assert!(below.admits(WORLD, 22) && !below.admits(WORLD, 20));
    let octal = port(json!({"port": "010", "protocol": "TCP"}));
    assert!(octal.admits(WORLD, 8) && !octal.admits(WORLD, 10));
    let named = port(json!({"port": "web", "protocol": "TCP"}));
    assert!(!named.admits(WORLD, 9090) && !named.admits(PROMETHEUS, 9090));
    let outward = egress(json!({"toPorts": [{"ports": [{"port": "WEB", "protocol": "TCP"}]}]}));
    assert!(outward.emits(PROMETHEUS, 9090) && !outward.emits(METRICS, 9090) && !outward.emits(PROMETHEUS, 9091));
    assert_eq!(outward.trace(Direction::Egress, PROMETHEUS, udp(9090)).verdict, Verdict::Deny, "a name of TCP");
}

/// Trap 22: cilium/cilium:pkg/policy/utils/parserules.go, `mergeEndpointSelectors`; rule.go, `mergeL4Filter`.
#[test]
fn empty_ports_match_nothing_while_some_empty_peers_match_everyone() {
    for ports in [json!([{}]), json!([{"ports": []}])] {
        assert!(!ingress(json!({"fromEntities": ["all"], "toPorts": ports})).admits(WORLD, 22));
    }
    let ssh = json!([{"ports": [{"port": "22", "protocol": "TCP"}]}]);
    assert!(ingress(json!({"fromGroups": [], "toPorts": ssh})).admits(WORLD, 22));
    assert!(egress(json!({"toFQDNs": [], "toPorts": ssh})).emits(WORLD, 22));
    let service = json!([{"k8sService": {"serviceName": "x", "namespace": "y"}}]);
    let unmatched = egress(json!({"toServices": service, "toPorts": ssh}));
    assert!(unmatched.emits(WORLD, 22));
    assert!(!unmatched.version(Version::OLDEST).emits(WORLD, 22), "before 1.19 it was nobody");
    assert!(!egress(json!({"toServices": service})).emits(WORLD, 22));
    for list in ["fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities"] {
        assert!(!ingress(json!({list: [], "toPorts": ssh})).admits(WORLD, 22), "{list}");
    }
    assert!(
        !ingress(json!({"fromCIDR": ["8.8.8.8/32"], "fromEntities": []})).admits(WORLD, 22),
        "it empties its neighbour"
    );
}

/// Trap 23: cilium/cilium:pkg/policy/repository.go, `computePolicyEnforcementAndRules`.
#[test]
fn modes_deny_everything_or_ignore_everything() {
    let always = World::new().set("enable-policy", "always");
    assert!(!always.admits(OTHER, 10250) && !always.emits(OTHER, 10250));
    assert!(always.set("enable-host-firewall", "false").admits(OTHER, 10250));
    let denied = ingress(json!({}));
    assert!(denied.clone().set("enable-policy", "never").admits(WORLD, 22));
    let question = Question { node: NODE, direction: Direction::Ingress, layer: Layer::Host, path: Path::Device(None) };
    let audited = denied.set("policy-audit-mode", "true");
    let trace = audited.ask(&question, &packet(Direction::Ingress, WORLD, tcp(22)));
    assert_eq!(trace.verdict, Verdict::Allow, "{trace}");
}

/// Trap 24: cilium/cilium:bpf/lib/host_firewall.h: protocols that are not tracked are dropped up to 1.19 and judged from 1.20
/// on; multicast to the host is let by.
#[test]
fn untracked_protocols_are_dropped_by_old_versions_and_multicast_is_let_by() {
    let world = ingress(json!({"fromEntities": ["all"]}));
    let question = Question { node: NODE, direction: Direction::Ingress, layer: Layer::Host, path: Path::Device(None) };
    let esp = packet(Direction::Ingress, OTHER, Transport::Other(50));
    assert_eq!(world.ask(&question, &esp).verdict, Verdict::Allow);
    let old = world.version(Version::V1_19);
    assert_eq!(old.ask(&question, &esp).verdict, Verdict::Deny);
    assert_eq!(old.set("enable-extended-ip-protocols", "true").ask(&question, &esp).verdict, Verdict::Allow);
    let vrrp = Packet::new(ip(OTHER), ip("224.0.0.18"), Transport::Other(112)).expect("IPv4");
    assert_eq!(ingress(json!({})).ask(&question, &vrrp).verdict, Verdict::NotJudged);
}

/// Trap 25: cilium/cilium:pkg/policy/types/selector.go, `newCIDRSelectorFromRequirements`; api/rule_validation.go.
#[test]
fn exceptions_are_of_one_entry_and_a_missing_group_is_empty() {
    let set = json!({"fromCIDRSet": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}]});
    let world = ingress(set);
    assert!(world.admits("192.0.2.7", 22) && !world.admits("192.0.2.200", 22));
    let again = world.with(json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["192.0.2.200/32"]}]}));
    assert!(again.admits("192.0.2.200", 22));

    let wide = ingress(json!({"fromCIDRSet": [{"cidr": "192.0.2.0/25", "except": ["192.0.2.0/24"]}]}));
    assert_eq!(wide.compile().refused[0].stage, Stage::Sanitize);
    let old = wide.version(Version::V1_19);
    assert_eq!(old.compile().refused, []);
    assert!(!old.admits("192.0.2.7", 22), "a wider exception leaves nothing");

    let missing = ingress(json!({"fromCIDRSet": [{"cidrGroupRef": "office"}]}));
    assert!(!missing.admits("192.0.2.7", 22));
    assert!(missing.group("office", "net", &["192.0.2.0/24"]).admits("192.0.2.7", 22));
    let deny = World::new().with(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}],
        "ingressDeny": [{"fromCIDRSet": [{"cidrGroupRef": "office"}]}]}));
    assert!(deny.admits("192.0.2.7", 22), "a deny of a missing group denies nobody");
}
