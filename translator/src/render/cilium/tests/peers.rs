use policy::net::Family;
use policy::object::LabelSelector;

use super::super::CidrMatchMode;
use super::*;

const BY_LABEL: &str = r#"{"fromNodes":[{"matchExpressions":[{"key":"node:node-role.kubernetes.io/control-plane","operator":"Exists"}]}]}"#;
const NETWORK: &str = r#"{"fromCIDRSet":[{"cidr":"10.1.0.0/24"}]}"#;
const NODES: &str = r#"{"fromEntities":["remote-node"]}"#;
const PODS: &str = r#"{"fromEndpoints":[{}]}"#;

fn by_label() -> AgentConfig {
    AgentConfig { enable_node_selector_labels: Some(true), ..config() }
}

fn matching_nodes() -> AgentConfig {
    AgentConfig { policy_cidr_match_mode: Some(CidrMatchMode { nodes: true, pods: false }), ..config() }
}

fn with_flow(row: Row, flow: &str) -> Row {
    Row { flow: Some(flow.to_owned()), ..row }
}

#[test]
fn everyone_is_the_entity_all() {
    let outcome = one(row(tcp(22), vec![Peer::Any]), config());
    assert_eq!(outcome.admitted(), [r#"{"fromEntities":["all"]}"#]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
}

#[test]
fn nodes_are_remote_nodes_and_the_node_network() {
    let outcome = one(row(tcp(22), vec![Peer::Nodes]), config());
    assert_eq!(outcome.admitted(), [NODES, NETWORK]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
}

#[test]
fn probes_of_the_nodes_also_go_to_the_health_endpoints() {
    let row = with_flow(row(tcp(4240), vec![Peer::Nodes]), "cni-control");
    let mut matrix = matrix(vec![row.clone(), Row { direction: Direction::Egress, ..row }]);
    matrix.frame.egress.deny = true;
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!(outcome.admitted()[0], NODES);
    let entities = outcome.egress()[0].to_entities.clone().expect("entities");
    assert_eq!(entities, ["remote-node", "health"]);
}

#[test]
fn without_a_node_network_joining_nodes_are_reported_where_they_matter() {
    for (flow, codes) in [
        ("kube-apiserver", vec!["cilium-joining-nodes-unknown"]),
        ("supervisor", vec!["cilium-joining-nodes-unknown"]),
        ("etcd-peer", vec!["cilium-joining-nodes-unknown"]),
        ("kubelet-api", vec![]),
    ] {
        let mut matrix = matrix(vec![with_flow(row(tcp(6443), vec![Peer::Nodes]), flow)]);
        matrix.cluster.node_cidrs.clear();
        let outcome = Outcome::of(&matrix, None, &options(config()));
        assert_eq!((outcome.admitted(), outcome.codes()), (vec![NODES.to_owned()], codes), "{flow}");
    }
    let everywhere = row(tcp(6443), vec![Peer::Nodes, Peer::Cidrs { name: None, cidrs: cidrs(&["0.0.0.0/0"]) }]);
    let mut matrix = matrix(vec![with_flow(everywhere, "kube-apiserver")]);
    matrix.cluster.node_cidrs.clear();
    assert_eq!(Outcome::of(&matrix, None, &options(config())).codes(), [""; 0], "the whole world is admitted");
}

#[test]
fn a_role_is_selected_by_label_where_the_agent_can() {
    let outcome = one(row(tcp(2379), vec![Peer::Role(0)]), by_label());
    assert_eq!(outcome.admitted(), [BY_LABEL]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
}

#[test]
fn a_role_is_the_addresses_of_its_nodes_where_ranges_match_nodes() {
    let nodes = [node("a", true, "10.1.0.1"), node("b", false, "10.1.0.2"), node("c", true, "10.1.0.3")];
    let matrix = matrix(vec![row(tcp(2379), vec![Peer::Role(0)])]);
    let outcome = Outcome::of(&matrix, Some(&nodes), &options(matching_nodes()));
    assert_eq!(outcome.admitted(), [r#"{"fromCIDRSet":[{"cidr":"10.1.0.1/32"},{"cidr":"10.1.0.3/32"}]}"#]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec!["cilium-node-addresses-frozen"]));
}

#[test]
fn otherwise_a_role_is_every_node_and_the_others_are_named() {
    for (config, nodes) in [(config(), Some([node("a", true, "10.1.0.1")])), (matching_nodes(), None)] {
        let matrix = matrix(vec![row(tcp(2379), vec![Peer::Role(0)])]);
        let outcome = Outcome::of(&matrix, nodes.as_ref().map(<[_; 1]>::as_slice), &options(config));
        assert_eq!(outcome.admitted(), [NODES]);
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["role-peer-wider"]));
        let lost = outcome.finding("role-peer-wider").lost.as_deref();
        assert_eq!(lost, Some("admitted: TCP 2379 from nodes of `worker`"));
    }
}

#[test]
fn all_roles_together_are_the_nodes() {
    let outcome = one(row(tcp(22), vec![Peer::Role(0), Peer::Role(1)]), config());
    assert_eq!(outcome.admitted(), [NODES]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
}

#[test]
fn a_role_that_joins_brings_the_node_network_in() {
    let outcome = one(with_flow(row(tcp(9345), vec![Peer::Role(0)]), "supervisor"), by_label());
    assert_eq!(outcome.admitted(), [BY_LABEL, NETWORK]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["cilium-joining-nodes-wider"]));
}

#[test]
fn all_roles_that_join_bring_the_node_network_in_and_say_so() {
    let outcome = one(with_flow(row(tcp(9345), vec![Peer::Role(0), Peer::Role(1)]), "supervisor"), config());
    assert_eq!(outcome.admitted(), [NODES, NETWORK]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["cilium-joining-nodes-wider"]));
}

#[test]
fn a_node_label_that_is_dropped_for_peers_refuses_the_row() {
    let config = AgentConfig { node_labels: Some(vec!["example.com".to_owned()]), ..by_label() };
    let outcome = one(row(tcp(2379), vec![Peer::Role(0)]), config);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Refused, vec!["row-not-expressible"]));
    assert!(outcome.0.objects.is_empty());
}

#[test]
fn in_a_mesh_nodes_and_pods_mean_this_cluster() {
    let mesh = AgentConfig { cluster_id: Some(3), ..config() };
    assert_eq!(one(row(tcp(22), vec![Peer::Nodes]), mesh.clone()).codes(), ["cilium-mesh-peers-wider"]);
    let by_label = AgentConfig { enable_node_selector_labels: Some(true), ..mesh.clone() };
    let outcome = one(row(tcp(22), vec![Peer::Nodes]), by_label);
    assert_eq!(outcome.admitted(), [r#"{"fromNodes":[{}]}"#, NETWORK]);
    let open = AgentConfig { policy_default_local_cluster: Some(false), ..mesh };
    assert_eq!(one(row(tcp(22), vec![Peer::Pods]), open.clone()).codes(), ["cilium-mesh-peers-wider"]);
    let named = AgentConfig { cluster_name: Some("west".to_owned()), ..open };
    let outcome = one(row(tcp(22), vec![Peer::Pods]), named);
    let pods = r#"{"fromEndpoints":[{"matchLabels":{"k8s:io.cilium.k8s.policy.cluster":"west"}}]}"#;
    assert_eq!((outcome.admitted(), outcome.codes()), (vec![pods.to_owned()], vec![]));
}

#[test]
fn pods_by_label_carry_their_namespace() {
    let peer = Peer::PodSelector {
        name: "metrics".to_owned(),
        namespaces: Some(labels(&[("kubernetes.io/metadata.name", "kube-system"), ("team", "a")])),
        pods: labels(&[("app", "metrics-server")]),
    };
    let outcome = one(row(tcp(10250), vec![peer]), config());
    let selector = outcome.ingress()[0].from_endpoints.as_ref().expect("endpoints")[0].clone();
    let expected = labels(&[
        ("k8s:app", "metrics-server"),
        ("k8s:io.kubernetes.pod.namespace", "kube-system"),
        ("k8s:io.cilium.k8s.namespace.labels.team", "a"),
    ]);
    assert_eq!((selector, outcome.fate()), (expected, Fate::Exact));
}

#[test]
fn a_namespace_name_in_the_negative_is_a_namespace_label() {
    let requirement = Requirement {
        key: "kubernetes.io/metadata.name".to_owned(),
        operator: Operator::NotIn,
        values: vec!["kube-system".to_owned()],
    };
    let namespaces = LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() };
    let peer = Peer::PodSelector { name: "p".to_owned(), namespaces: Some(namespaces), pods: LabelSelector::default() };
    let outcome = one(row(tcp(22), vec![peer]), config());
    assert!(outcome.admitted()[0].contains("k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name"));
}

#[test]
fn a_pod_label_that_is_dropped_refuses_the_row() {
    let pods = labels(&[("pod-template-hash", "abc")]);
    let peer = Peer::PodSelector { name: "p".to_owned(), namespaces: None, pods };
    assert_eq!(one(row(tcp(22), vec![peer]), config()).codes(), ["row-not-expressible"]);
}

#[test]
fn ranges_that_hold_all_nodes_or_pods_bring_them_in() {
    let outcome = one(row(tcp(22), vec![list(&["10.0.0.0/8"])]), config());
    assert_eq!(outcome.admitted(), [NODES, PODS, r#"{"fromCIDRSet":[{"cidr":"10.0.0.0/8"}]}"#]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
    let outcome = one(row(tcp(22), vec![list(&["10.244.0.0/16"])]), config());
    assert_eq!(outcome.admitted(), [PODS, r#"{"fromCIDRSet":[{"cidr":"10.244.0.0/16"}]}"#]);
}

#[test]
fn ranges_that_hold_some_nodes_are_reported() {
    let outcome = one(row(tcp(22), vec![list(&["10.1.0.0/28"])]), config());
    assert_eq!(outcome.admitted(), [r#"{"fromCIDRSet":[{"cidr":"10.1.0.0/28"}]}"#]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Narrower, vec!["cidr-misses-nodes"]));
}

#[test]
fn ranges_outside_the_cluster_lose_nothing() {
    for range in ["192.168.7.0/24", "203.0.113.0/24"] {
        let outcome = one(row(tcp(22), vec![list(&[range])]), config());
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]), "{range}");
    }
}

#[test]
fn without_prefixes_private_ranges_are_reported_and_public_ones_are_not() {
    for (range, codes) in [("192.168.7.0/24", vec!["cidr-misses-nodes"]), ("203.0.113.0/24", vec![])] {
        let mut matrix = matrix(vec![row(tcp(22), vec![list(&[range])])]);
        matrix.cluster.node_cidrs.clear();
        matrix.cluster.pod_cidrs.clear();
        assert_eq!(Outcome::of(&matrix, None, &options(config())).codes(), codes, "{range}");
    }
}

#[test]
fn given_nodes_tell_what_the_matrix_does_not() {
    let nodes = [node("a", true, "10.1.0.1"), node("b", false, "10.1.0.2")];
    for (range, admitted) in [("10.1.0.0/30", 2), ("10.9.0.0/16", 1)] {
        let mut matrix = matrix(vec![row(tcp(22), vec![list(&[range])])]);
        matrix.cluster.node_cidrs.clear();
        let outcome = Outcome::of(&matrix, Some(&nodes), &options(config()));
        assert_eq!((outcome.admitted().len(), outcome.codes()), (admitted, vec![]), "{range}");
    }
}

#[test]
fn ranges_that_match_nodes_lose_nothing_but_a_whole_family_does() {
    let outcome = one(row(tcp(22), vec![list(&["10.1.0.0/28"])]), matching_nodes());
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
    let outcome = one(row(tcp(22), vec![list(&["0.0.0.0/0"])]), matching_nodes());
    assert_eq!(outcome.admitted(), [NODES, PODS, r#"{"fromCIDRSet":[{"cidr":"0.0.0.0/0"}]}"#]);
}

#[test]
fn one_family_of_the_world_is_wider_only_by_the_clusters_own() {
    let both = AgentConfig { enable_ipv6: None, ..config() };
    let mut matrix = matrix(vec![Row { family: Some(Family::IPv4), ..row(tcp(22), vec![Peer::Any]) }]);
    let exact = Outcome::of(&matrix, None, &options(both.clone()));
    assert_eq!((exact.fate(), exact.codes()), (Fate::Exact, vec![]), "nodes and pods have IPv4 prefixes only");
    matrix.cluster.node_cidrs.clear();
    matrix.cluster.pod_cidrs.clear();
    let wider = Outcome::of(&matrix, None, &options(both));
    let family = "cilium-family-not-expressible";
    assert_eq!((wider.fate(), wider.codes()), (Fate::Wider, vec![family, family]));
    assert!(wider.admitted().contains(&r#"{"fromCIDRSet":[{"cidr":"0.0.0.0/0"}]}"#.to_owned()));
    let single = Outcome::of(&matrix, None, &options(config()));
    assert_eq!(single.admitted(), [r#"{"fromEntities":["all"]}"#], "IPv6 is not in use");
}

#[test]
fn exceptions_are_carved_out_of_the_world() {
    let excepting = Row { except: cidrs(&["203.0.113.0/24"]), ..row(tcp(443), vec![Peer::Any]) };
    let outcome = one(excepting, config());
    assert_eq!(
        outcome.admitted(),
        [
            r#"{"fromEntities":["remote-node","health","ingress","init","unmanaged"]}"#,
            PODS,
            r#"{"fromCIDRSet":[{"cidr":"0.0.0.0/0","except":["203.0.113.0/24"]},{"cidr":"::/0"}]}"#,
        ]
    );
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
}

#[test]
fn exceptions_that_hold_all_nodes_leave_them_out_and_some_cannot() {
    let all = Row { except: cidrs(&["10.1.0.0/16"]), ..row(tcp(443), vec![Peer::Any]) };
    let outcome = one(all, config());
    assert_eq!(outcome.fate(), Fate::Exact);
    assert!(!outcome.admitted().iter().any(|peer| peer.contains("remote-node")));
    let some = Row { except: cidrs(&["10.1.0.7/32"]), ..row(tcp(443), vec![Peer::Any]) };
    let outcome = one(some, config());
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["cilium-except-not-applied"]));
}

#[test]
fn exceptions_stay_inside_the_prefix_they_are_carved_out_of() {
    let peers = vec![list(&["192.168.0.0/16", "172.20.0.0/16", "192.168.4.0/24"])];
    let outcome = one(Row { except: cidrs(&["192.168.4.0/24"]), ..row(tcp(443), peers) }, config());
    assert_eq!(
        outcome.admitted(),
        [r#"{"fromCIDRSet":[{"cidr":"192.168.0.0/16","except":["192.168.4.0/24"]},{"cidr":"172.20.0.0/16"}]}"#]
    );
}

#[test]
fn loopback_is_implied_and_vanishes_beside_others() {
    let outcome = one(row(Traffic::Any, vec![Peer::Localhost]), config());
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Implied, vec![]));
    assert_eq!(outcome.policies().len(), 1, "the closing policy");
    let outcome = one(row(tcp(22), vec![Peer::Localhost, Peer::Pods]), config());
    assert_eq!(outcome.admitted(), [PODS]);
}

#[test]
fn services_and_names_are_refused() {
    let names = Peer::Fqdns { name: "registry".to_owned(), names: vec!["example.com".to_owned()] };
    for peer in [Peer::Services, names] {
        let outcome = one(row(tcp(443), vec![peer.clone()]), config());
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Refused, vec!["row-not-expressible"]));
        let optional = Row { optional: true, ..row(tcp(443), vec![peer]) };
        let outcome = one(optional, config());
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Refused, vec!["optional-row-left-out"]));
        assert_eq!(outcome.policies().len(), 1);
    }
}
