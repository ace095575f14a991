//! Peers as selectors and prefixes.

use super::*;

const NODES: &str =
    "!has(projectcalico.org/namespace) && (has(kubernetes.io/hostname) || lifeline.dev/set == 'test-nodes')";

#[test]
fn nodes_match_by_label_and_by_network() {
    let matrix = matrix(vec![ingress(tcp(10250), vec![Peer::Nodes])]);
    let rendered = rendered(&matrix);
    assert_eq!(lines(worker_rules(&rendered)), [format!("Allow TCP from [{NODES}] to ports 10250")]);
    assert_eq!(nets(&rendered, "test-nodes"), ["10.0.0.0/24"]);
    assert_eq!(fate(&rendered, 0), Fate::Exact);
}

#[test]
fn given_nodes_add_the_addresses_that_the_network_does_not_cover() {
    let matrix = matrix(vec![ingress(tcp(10250), vec![Peer::Nodes])]);
    let rendered = render(&matrix, Some(&nodes()), &Options::new("test"));
    assert_eq!(nets(&rendered, "test-nodes"), ["10.0.0.0/24", "10.42.7.0/32", "203.0.113.9/32"]);
}

#[test]
fn a_role_without_a_node_list_also_matches_what_nobody_else_claims() {
    let rendered = rendered(&matrix(vec![ingress(tcp(10257), vec![Peer::Role(CONTROL_PLANE)])]));
    assert_eq!(
        lines(worker_rules(&rendered)),
        [
            "Allow TCP from [!has(projectcalico.org/namespace) && has(kubernetes.io/hostname) && \
             has(node-role.kubernetes.io/control-plane)] to ports 10257",
            "Allow v4 TCP from nets 10.0.0.0/24 not [!has(projectcalico.org/namespace) && (has(kubernetes.io/hostname) && \
             !(has(node-role.kubernetes.io/control-plane)))] to ports 10257",
        ]
    );
    assert_eq!(fate(&rendered, 0), Fate::Wider);
    assert!(codes(&rendered).contains(&"role-peer-wider"));
}

#[test]
fn a_role_with_a_node_list_is_exact() {
    let matrix = matrix(vec![ingress(tcp(10257), vec![Peer::Role(CONTROL_PLANE)])]);
    let rendered = render(&matrix, Some(&nodes()), &Options::new("test"));
    assert_eq!(
        lines(worker_rules(&rendered)),
        ["Allow TCP from [!has(projectcalico.org/namespace) && ((has(kubernetes.io/hostname) && \
          has(node-role.kubernetes.io/control-plane)) || lifeline.dev/set == 'test-role-control-plane')] to ports 10257"]
    );
    assert_eq!(nets(&rendered, "test-role-control-plane"), ["10.0.0.1/32", "10.0.0.2/32"]);
    assert_eq!(fate(&rendered, 0), Fate::Exact);
}

#[test]
fn what_a_joining_node_needs_is_open_to_the_node_network_even_with_a_node_list() {
    for flow in ["supervisor", "etcd-peer", "kube-apiserver"] {
        let row = Row { flow: Some(flow.to_owned()), ..ingress(tcp(9345), vec![Peer::Role(CONTROL_PLANE)]) };
        let rendered = render(&matrix(vec![row]), Some(&nodes()), &Options::new("test"));
        let rules = lines(worker_rules(&rendered));
        assert_eq!(
            rules[1],
            "Allow v4 TCP from nets 10.0.0.0/24 not [!has(projectcalico.org/namespace) && ((has(kubernetes.io/hostname) && \
             !(has(node-role.kubernetes.io/control-plane))) || lifeline.dev/set == 'test-role-worker')] to ports 9345"
        );
        assert_eq!(fate(&rendered, 0), Fate::Wider, "{flow}");
    }
}

#[test]
fn a_deny_never_spreads_to_the_node_network() {
    let row = Row { action: Action::Deny, ..ingress(tcp(9345), vec![Peer::Role(WORKER)]) };
    let rendered = rendered(&matrix(vec![row]));
    assert_eq!(policy(&rendered, "lifeline.test-worker-ingress-deny").spec.ingress.as_ref().map(Vec::len), Some(1));
    assert_eq!(fate(&rendered, 0), Fate::Exact);
}

#[test]
fn without_a_node_network_joining_nodes_are_reported() {
    let mut matrix = matrix(vec![
        Row { flow: Some("supervisor".to_owned()), ..ingress(tcp(9345), vec![Peer::Nodes]) },
        ingress(tcp(10250), vec![Peer::Role(CONTROL_PLANE)]),
    ]);
    matrix.cluster.node_cidrs.clear();
    let options = Options { failsafe: super::super::Failsafe::Keep, ..Options::new("test") };
    let without = render(&matrix, None, &options);
    assert_eq!((fate(&without, 0), fate(&without, 1)), (Fate::Narrower, Fate::Exact));
    assert!(codes(&without).contains(&"joining-nodes-unknown"));
    assert!(codes(&without).contains(&"node-peers-by-endpoint-only"));
    let with = render(&matrix, Some(&nodes()), &options);
    assert!(codes(&with).contains(&"joining-nodes-unknown"));
    assert!(!codes(&with).contains(&"node-peers-by-endpoint-only"));
    // A failsafe port that is open to everyone lets them in.
    let computed = rendered(&matrix);
    assert!(!codes(&computed).contains(&"joining-nodes-unknown"));
    assert_eq!(fate(&computed, 0), Fate::Wider);
    assert!(codes(&computed).contains(&"failsafe-defeats-row"));
}

#[test]
fn pods_are_a_set_or_every_endpoint_that_is_a_pod() {
    let mut matrix = matrix(vec![ingress(tcp(10250), vec![Peer::Pods])]);
    assert_eq!(nets(&rendered(&matrix), "test-pods"), ["10.42.0.0/16"]);
    matrix.cluster.pod_cidrs.clear();
    assert_eq!(
        lines(worker_rules(&rendered(&matrix))),
        ["Allow TCP from [has(projectcalico.org/namespace) && has(projectcalico.org/orchestrator)] to ports 10250"]
    );
}

#[test]
fn pods_by_label_are_never_sets() {
    let peer = Peer::PodSelector {
        name: "prometheus".to_owned(),
        namespaces: Some(selecting(requirement("tenant", Operator::DoesNotExist))),
        pods: selecting(requirement("app", Operator::Exists)),
    };
    assert_eq!(
        lines(worker_rules(&rendered(&matrix(vec![ingress(tcp(9100), vec![peer])])))),
        [
            "Allow TCP from ns [!has(tenant)] [has(projectcalico.org/namespace) && has(projectcalico.org/orchestrator) && \
          has(app)] to ports 9100"
        ]
    );
}

#[test]
fn named_prefixes_are_one_set_however_often_they_are_used() {
    let admins = named("adminCIDRs", &["192.168.0.0/24", "fd00::/64"]);
    let rendered = rendered(&matrix(vec![ingress(tcp(22), vec![admins.clone()]), ingress(tcp(443), vec![admins])]));
    assert_eq!(sets(&rendered).keys().copied().collect::<Vec<_>>(), ["test-admin-cidrs"]);
    assert_eq!(
        lines(worker_rules(&rendered))[0],
        "Allow TCP from [!has(projectcalico.org/namespace) && lifeline.dev/set == 'test-admin-cidrs'] to ports 22"
    );
}

#[test]
fn sets_of_one_name_and_different_prefixes_stay_apart() {
    let rendered = rendered(&matrix(vec![
        ingress(tcp(22), vec![named("a_b", &["192.168.0.0/24"])]),
        ingress(tcp(23), vec![named("a-b", &["192.168.1.0/24"])]),
        ingress(tcp(24), vec![named(&"long".repeat(40), &["192.168.2.0/24"])]),
    ]));
    assert_eq!(sets(&rendered).len(), 3);
    for (name, set) in sets(&rendered) {
        assert!(name.len() <= 63, "{name}");
        assert_eq!(set.metadata.labels["lifeline.dev/set"], name);
    }
}

#[test]
fn large_sets_are_split_and_keep_their_label() {
    let many: Vec<String> = (0..4100_u32).map(|index| format!("100.64.{}.{}/32", index / 256, index % 256)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rendered = rendered(&matrix(vec![ingress(tcp(22), vec![inline(&many)])]));
    let sets = sets(&rendered);
    assert_eq!(sets.keys().copied().collect::<Vec<_>>(), ["test-row-0", "test-row-0-2", "test-row-0-3"]);
    assert!(sets.values().all(|set| set.metadata.labels["lifeline.dev/set"] == "test-row-0"));
    let counts: Vec<usize> = sets.values().map(|set| set.spec.nets.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [2000, 2000, 100]);
}

#[test]
fn prefixes_stay_in_the_rule_while_they_fit() {
    let some: Vec<String> = (0..256_u32).map(|index| format!("100.64.0.{index}/32")).collect();
    let some: Vec<&str> = some.iter().map(String::as_str).collect();
    let rendered = rendered(&matrix(vec![ingress(tcp(22), vec![inline(&some)])]));
    assert!(sets(&rendered).is_empty());
    assert_eq!(worker_rules(&rendered)[0].source.nets.as_ref().map(Vec::len), Some(256));
}

#[test]
fn localhost_is_on_both_sides() {
    let rendered = rendered(&matrix(vec![ingress(Traffic::Any, vec![Peer::Localhost])]));
    assert_eq!(
        lines(worker_rules(&rendered)),
        ["Allow v4 from nets 127.0.0.0/8 to nets 127.0.0.0/8", "Allow v6 from nets ::1/128 to nets ::1/128"]
    );
}

#[test]
fn exceptions_hold_on_loopback_too() {
    let row = Row { except: cidrs(&["127.0.0.2/32", "10.0.0.0/8", "::/0"]), ..ingress(tcp(22), vec![Peer::Localhost]) };
    assert_eq!(
        lines(worker_rules(&rendered(&matrix(vec![row])))),
        ["Allow v4 TCP from nets 127.0.0.0/8 notNets 127.0.0.2/32 to nets 127.0.0.0/8 ports 22"]
    );
}

#[test]
fn loopback_is_implied_where_it_is_not_policed() {
    let mut matrix = matrix(vec![ingress(Traffic::Any, vec![Peer::Localhost])]);
    matrix.frame.interfaces = Interfaces::Named(vec!["eth0".to_owned()]);
    assert_eq!(fate(&rendered(&matrix), 0), Fate::Implied);
}

#[test]
fn services_and_dns_names_are_refused_with_an_error() {
    let fqdns = Peer::Fqdns { name: "registries".to_owned(), names: vec!["example.org".to_owned()] };
    for peer in [Peer::Services, fqdns] {
        let rendered = rendered(&matrix(vec![ingress(tcp(22), vec![peer.clone()])]));
        assert!(codes(&rendered).contains(&"row-not-expressible"));
        assert!(rendered.objects.is_empty());
        // Everyone includes them.
        let rendered = super::rendered(&matrix(vec![ingress(tcp(22), vec![peer, Peer::Any])]));
        assert_eq!(fate(&rendered, 0), Fate::Exact);
    }
}

#[test]
fn a_selector_that_is_too_long_is_refused() {
    let long = LabelSelector {
        match_labels: BTreeMap::new(),
        match_expressions: vec![Requirement {
            key: "pool".to_owned(),
            operator: Operator::In,
            values: (0..200).map(|index| format!("pool-{index}")).collect(),
        }],
    };
    let peer = Peer::NodeSelector { name: "pools".to_owned(), selector: long.clone() };
    let rendered = rendered(&matrix(vec![ingress(tcp(22), vec![peer])]));
    assert!(codes(&rendered).contains(&"selector-refused"));
    let mut matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    matrix.roles[WORKER].selector = long;
    assert!(codes(&super::rendered(&matrix)).contains(&"selector-refused"));
}
