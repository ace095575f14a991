//! Who peers are.

use policy::cilium::identity::Number;
use policy::cilium::question::Verdict;
use policy::object::Operator;
use policy::packet::Direction;
use policy::snapshot::NamedPort;
use serde_json::{Value, json};

use crate::cluster::{API, METRICS, NODE, OTHER, PROMETHEUS, SELF, WORLD, World, ip, tcp};

fn identity(world: &World, address: &str) -> String {
    world.compile().view(NODE).identity(ip(address)).to_string()
}

/// cilium/cilium:pkg/ipcache/metadata.go, pkg/identity/identity.go.
#[test]
fn addresses_are_known_by_what_they_belong_to() {
    let world = World::new();
    assert_eq!(identity(&world, SELF), "1 [reserved:host]");
    assert_eq!(identity(&world, OTHER), "6 [reserved:remote-node]");
    assert_eq!(identity(&world, API), "7 [reserved:kube-apiserver reserved:remote-node]");
    assert_eq!(identity(&world, WORLD), "9 [reserved:world-ipv4]");
    assert_eq!(identity(&world, "2001:db8::1"), "10 [reserved:world-ipv6]");
    assert_eq!(identity(&world.clone().set("enable-ipv6", "false"), WORLD), "2 [reserved:world]");
    assert_eq!(
        identity(&world, METRICS),
        "pod [k8s:io.cilium.k8s.policy.cluster=default k8s:io.kubernetes.pod.namespace=kube-system \
         k8s:k8s-app=metrics-server]"
    );
    let outside = world.change(|cluster| cluster.slices[0].endpoints[0].addresses = vec![ip("198.51.100.9")]);
    assert_eq!(identity(&outside, "198.51.100.9"), "local [reserved:kube-apiserver reserved:world-ipv4]");
    assert_eq!(identity(&outside, API), "6 [reserved:remote-node]");
}

/// cilium/cilium:pkg/ipcache/metadata.go, `mergeLabels`: labels of longer prefixes first, and one prefix.
#[test]
fn labels_come_from_every_prefix_around_an_address_but_only_one_is_a_prefix() {
    let world = World::new()
        .with(json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["192.0.2.0/24", "192.0.0.0/8"]}]}))
        .group("office", "net", &["192.0.2.0/28"])
        .group("lab", "sec", &["192.0.0.0/16"]);
    assert_eq!(
        identity(&world, "192.0.2.7"),
        "local [cidr:192.0.2.0/24 cidrgroup:io.cilium.policy.cidrgroupname/lab \
         cidrgroup:io.cilium.policy.cidrgroupname/office cidrgroup:team+net cidrgroup:team+sec cidrgroup:team=net \
         reserved:world-ipv4]"
    );
}

/// cilium/cilium:pkg/node/manager/manager.go: with prefixes or labels selecting nodes, each node has its own identity.
#[test]
fn nodes_keep_their_prefix_and_labels_where_these_select_them() {
    let world = World::new().set("policy-cidr-match-mode", "nodes");
    assert_eq!(identity(&world, OTHER), "remote-node-scope [cidr:10.0.0.2/32 reserved:remote-node]");
    let world = World::new().set("enable-node-selector-labels", "true").set("node-labels", "rack");
    assert_eq!(
        identity(&world, OTHER),
        "remote-node-scope [k8s:io.cilium.k8s.policy.cluster=default node:rack=r1 reserved:remote-node]"
    );
}

/// cilium/cilium:pkg/ipcache/metadata.go, `updateReservedHostLabels`: all addresses of the host are one identity, so a
/// prefix that matches one matches all.
#[test]
fn the_host_is_one_identity() {
    let world = World::new()
        .set("policy-cidr-match-mode", "nodes")
        .change(|cluster| cluster.nodes[2].external.push(ip("203.0.113.3")))
        .with(json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["203.0.113.0/24"]}]}));
    assert!(world.admits(SELF, 22));
}

/// cilium/cilium:daemon/cmd/hostips-sync.go: a further address of a family that is off adds no label to the host, while
/// those that the node publishes do.
#[test]
fn a_further_address_of_a_family_that_is_off_adds_nothing_to_the_host() {
    let world = World::new()
        .set("policy-cidr-match-mode", "nodes")
        .set("enable-ipv4", "false")
        .change(|cluster| cluster.nodes[2].internal.extend([ip("10.0.1.3"), ip("fd00::3")]))
        .with(json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["10.0.0.0/16"]}]}));
    let host = identity(&world, "fd00::3");
    assert_eq!(host, "1 [cidr:10.0.0.3/32 cidr:fd00--3/128 reserved:host]");
}

/// cilium/cilium:daemon/cmd/hostips-sync.go: the world is the agent's own entry, to which a group adds nothing.
#[test]
fn a_group_of_everything_selects_nobody() {
    let world = World::new()
        .group("all", "net", &["0.0.0.0/0"])
        .with(json!({"nodeSelector": {}, "ingress": [{"fromCIDRSet": [{"cidrGroupRef": "all"}]}]}));
    assert!(!world.admits(WORLD, 22));
}

/// cilium/cilium:daemon/cmd/hostips-sync.go: it is that for the families in use. The host's addresses of another one are
/// labelled by a group of everything, and with them the host.
#[test]
fn a_group_of_everything_of_a_family_that_is_off_selects_the_host() {
    let world = World::new()
        .set("enable-ipv6", "false")
        .set("policy-cidr-match-mode", "nodes")
        .group("all", "net", &["::/0"])
        .change(|cluster| cluster.nodes[2].internal.push(ip("fd00::3")))
        .with(json!({"nodeSelector": {}, "ingress": [{"fromCIDRSet": [{"cidrGroupRef": "all"}]}]}));
    assert!(world.admits(SELF, 22));
    assert!(!world.admits(OTHER, 22));
}

/// cilium/cilium:pkg/policy/aggregate.go, bpf/lib/policy.h: the aggregate identities have no labels but their names, and
/// are looked up whatever the specific identity says.
#[test]
fn a_selector_of_negations_selects_more_than_its_labels_say() {
    let not_api = json!({"nodeSelector": {}, "ingress": [{"fromEndpoints": [
        {"matchExpressions": [{"key": "reserved:kube-apiserver", "operator": Operator::DoesNotExist}]}]}]});
    let world = World::new().with(not_api).change(|cluster| {
        cluster.slices[0].endpoints[0].addresses = vec![ip("198.51.100.9")];
    });
    let trace = world.trace(Direction::Ingress, "198.51.100.9", tcp(22));
    assert!(trace.to_string().contains("by way of aggregate-world"), "{trace}");
    let old = world.version(policy::cilium::version::Version::V1_19);
    assert!(!old.admits("198.51.100.9", 22), "1.19 has no aggregates");
}

/// cilium/cilium:pkg/policy/selectorcache.go: selectors are kept by their text, and an empty one has that of everyone.
#[test]
fn an_empty_group_selector_is_everyone() {
    let world =
        World::new().with(json!({"nodeSelector": {}, "ingress": [{"fromCIDRSet": [{"cidrGroupSelector": {}}]}]}));
    for peer in [OTHER, METRICS, WORLD] {
        assert!(world.admits(peer, 22), "{peer}");
    }
}

/// cilium/cilium:pkg/policy/selectorcache.go, `addSelectorLocked`: of everyone and an empty group selector the one that is
/// added first, from rules to the host and then from it, gives both its peers, and named ports are looked up for these.
#[test]
fn an_empty_group_selector_before_everyone_takes_named_ports_from_pods() {
    let named = || json!([{"toPorts": [{"ports": [{"port": "WEB"}]}]}]);
    let group = |more: Value| {
        let mut element = json!({"fromCIDRSet": [{"cidrGroupSelector": {"matchLabels": {}}}]});
        element.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        json!([element])
    };
    let reaches = |spec: Value| World::new().with(spec).emits(PROMETHEUS, 9090);
    assert!(reaches(json!({"nodeSelector": {}, "egress": named()})));
    assert!(!reaches(json!({"nodeSelector": {}, "egress": named(), "ingressDeny": group(json!({}))})));
    // No filter is made of a list of ports without any.
    assert!(reaches(json!({"nodeSelector": {}, "egress": named(), "ingressDeny": group(json!({"toPorts": [{}]}))})));
    // Without default deny the agent adds a rule for everyone after those of the direction.
    let ports = json!({"toPorts": [{"ports": [{"port": "1"}]}]});
    let mut egress = json!([{"toCIDRSet": [{"cidrGroupSelector": {}}], "toPorts": ports["toPorts"]}]);
    egress.as_array_mut().expect("a list").extend(named().as_array().cloned().unwrap_or_default());
    for (default_deny, reached) in [(true, false), (false, true)] {
        let spec = json!({"nodeSelector": {}, "enableDefaultDeny": {"ingress": default_deny},
            "ingress": [{"fromEntities": ["world"]}], "egress": egress});
        assert_eq!(reaches(spec), reached, "default deny {default_deny}");
    }
    let everyone = json!([{"fromEntities": ["all"]}]);
    assert!(reaches(
        json!({"nodeSelector": {}, "egress": named(), "ingress": everyone, "ingressDeny": group(json!({}))})
    ));
    // The rules of another node are not met here.
    let elsewhere = json!({"nodeSelector": {"matchLabels": {"rack": "r2"}}, "ingress": group(json!({}))});
    let world = World::new().with(elsewhere).with(json!({"nodeSelector": {}, "egress": named()}));
    assert!(world.emits(PROMETHEUS, 9090));
    let pods = World::new()
        .with(json!({"nodeSelector": {}, "egress": named(), "ingressDeny": group(json!({}))}))
        .set("policy-cidr-match-mode", "pods");
    assert!(pods.emits(PROMETHEUS, 9090), "groups may select pods");
}

/// The same from the other side: a deny of a named port misses pods after an allow for an empty group selector.
#[test]
fn an_empty_group_selector_before_everyone_takes_named_ports_from_denies() {
    let spec = json!({"nodeSelector": {}, "egress": [{"toCIDRSet": [{"cidrGroupSelector": {}}]}],
        "egressDeny": [{"toPorts": [{"ports": [{"port": "web", "protocol": "TCP"}]}]}]});
    let trace = World::new().with(spec).trace(Direction::Egress, PROMETHEUS, tcp(9090));
    assert_eq!(trace.verdict, Verdict::Allow, "{trace}");
    assert!(trace.to_string().contains("is for other peers: whoever a CIDR group may select"), "{trace}");
}

/// cilium/cilium:pkg/policy/l4.go, `selectorCoveredByWildcard`: what a rule for everyone says of a port is not said again for
/// others, even where it is of a name and everyone has become whom groups may select.
#[test]
fn a_named_port_of_everyone_covers_that_of_others() {
    let web = json!([{"ports": [{"port": "web"}]}]);
    let pods = json!({"toEndpoints": [{}], "toPorts": web});
    let groups = json!({"toCIDRSet": [{"cidrGroupSelector": {}}], "toPorts": web});
    let reaches = |spec: Value| World::new().with(spec).emits(PROMETHEUS, 9090);
    assert!(reaches(json!({"nodeSelector": {}, "egress": [pods]})));
    assert!(!reaches(json!({"nodeSelector": {}, "egress": [pods, groups]})));
    let numbers = json!({"toEntities": ["all"], "toPorts": [{"ports": [{"port": "9090"}]}]});
    let denies = |list: Value| json!({"nodeSelector": {}, "egress": [groups, numbers], "egressDeny": list});
    assert!(!reaches(denies(json!([pods]))));
    assert!(reaches(denies(json!([pods, {"toPorts": web}]))));
}

/// cilium/cilium:pkg/policy/l4.go, `toMapState`: named ports are looked up for the identities that a selector selects, and an
/// aggregate, which stands for pods that are not selected themselves, has none.
#[test]
fn who_is_selected_by_way_of_an_aggregate_has_no_named_ports() {
    let others = json!([{"matchExpressions": [
        {"key": "k8s:app", "operator": "DoesNotExist"}, {"key": "reserved:host", "operator": "DoesNotExist"}]}]);
    let to = |port: &str| {
        let ports = json!([{"ports": [{"port": port, "protocol": "TCP"}]}]);
        World::new().with(json!({"nodeSelector": {}, "egress": [{"toEndpoints": others, "toPorts": ports}]}))
    };
    let by_number = to("9090").trace(Direction::Egress, PROMETHEUS, tcp(9090));
    assert!(by_number.to_string().contains("by way of aggregate-cluster"), "{by_number}");
    let by_name = to("web").trace(Direction::Egress, PROMETHEUS, tcp(9090));
    assert_eq!(by_name.verdict, Verdict::Deny, "{by_name}");
    let told = "means TCP port named web only of those whom it selects by their own labels";
    assert!(by_name.to_string().contains(told), "{by_name}");
}

/// cilium/cilium:pkg/policy/types/requirements.go, `matchesEncodedRequirement`: a prefix in two groups has the values of
/// both.
#[test]
fn a_prefix_in_two_groups_is_selected_by_either_value() {
    let select = |team: &str| {
        World::new()
            .group("office", "net", &["192.0.2.0/24"])
            .group("lab", "sec", &["192.0.2.0/25"])
            .with(json!({"nodeSelector": {}, "ingress": [{"fromCIDRSet": [
                {"cidrGroupSelector": {"matchLabels": {"team": team}}}]}]}))
    };
    assert!(select("net").admits("192.0.2.7", 22) && select("sec").admits("192.0.2.7", 22));
    assert!(!select("sec").admits("192.0.2.200", 22));
}

/// cilium/cilium:pkg/types/portmap.go: a name that one identity has with two numbers is no name.
#[test]
fn a_named_port_with_two_numbers_is_not_usable() {
    let world = World::new()
        .with(json!({"nodeSelector": {}, "egress": [{"toPorts": [{"ports": [{"port": "web", "protocol": "TCP"}]}]}]}));
    assert!(world.emits(crate::cluster::PROMETHEUS, 9090));
    let twice = world.change(|cluster| {
        let mut second = cluster.pods[1].clone();
        second.addresses = vec![ip("10.244.3.6")];
        second.ports[0].port = 9091;
        cluster.pods.push(second);
    });
    assert!(!twice.emits(crate::cluster::PROMETHEUS, 9090));
    let state = twice.compile();
    assert_eq!(state.unknown[0].path, "spec.egress[0]", "newer endpoints tell such pods apart");
}

/// cilium/cilium:pkg/k8s/watchers/cilium_node.go: agents learn of each other through CiliumNodes.
#[test]
fn a_node_without_a_cilium_node_is_not_known_to_others_yet() {
    let published = |name: &str| {
        json!({"kind": "CiliumNode", "metadata": {"name": name}, "spec": {
        "addresses": [{"type": "CiliumInternalIP", "ip": "10.244.1.1"}], "health": {"ipv4": "10.244.1.2"}}})
    };
    let world = World::new().object(published("node-a"));
    assert_eq!(identity(&world, OTHER), "9 [reserved:world-ipv4]");
    assert_eq!(identity(&world, "10.244.1.1"), "6 [reserved:remote-node]");
    assert_eq!(identity(&world, "10.244.1.2"), "4 [reserved:health]");
    assert!(world.compile().view(NODE).host().is_host());
    assert_eq!(world.compile().view("node-b").identity(ip(OTHER)).number, Number::Reserved(1));
}

/// Nodes that the same rules select are one class.
#[test]
fn nodes_that_rules_do_not_tell_apart_are_one_class() {
    let world = World::new().with(json!({"nodeSelector": {"matchExpressions": [
        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]}, "ingress": [{}]}));
    assert_eq!(world.compile().classes(), [vec!["node-a", "node-b"], vec![NODE]]);
}

/// cilium/cilium:pkg/types/portmap.go, `AddPort`: names are kept without protocols, so the last port of a name counts.
#[test]
fn a_pod_has_one_port_of_a_name() {
    let port = |protocol: &str, port| NamedPort { name: "web".to_owned(), protocol: protocol.to_owned(), port };
    let egress =
        json!({"nodeSelector": {}, "egress": [{"toPorts": [{"ports": [{"port": "web", "protocol": "ANY"}]}]}]});
    let world = |ports: Vec<NamedPort>| {
        World::new()
            .with(egress.clone())
            .change(|cluster| cluster.pods.iter_mut().for_each(|pod| pod.ports = ports.clone()))
    };
    assert!(world(vec![port("TCP", 443)]).emits(METRICS, 443));
    assert!(!world(vec![port("TCP", 443), port("UDP", 80)]).emits(METRICS, 443));
    assert!(world(vec![port("UDP", 80), port("TCP", 443)]).emits(METRICS, 443));
    assert!(world(vec![port("TCP", 443), port("UDP", 0)]).emits(METRICS, 443), "a port 0 is none");
}
