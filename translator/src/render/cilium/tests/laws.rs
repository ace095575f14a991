//! What holds for every matrix.

use std::collections::BTreeMap;

use policy::cilium::api::{CidrRule, EndpointSelector, IcmpRule, PortRule};
use policy::net::Family;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::CidrMatchMode;
use super::*;
use crate::finding::has_errors;
use crate::matrix::IcmpMatch;

const PREFIXES: [&str; 12] = [
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.0.0/24",
    "10.1.0.1/32",
    "10.244.0.0/16",
    "192.168.0.0/16",
    "203.0.113.0/24",
    "203.0.113.128/25",
    "fd00::/8",
    "2001:db8::/32",
];

fn prefixes(most: usize) -> impl Strategy<Value = Vec<Cidr>> {
    subsequence(PREFIXES.to_vec(), 0..=most).prop_map(|texts| {
        let mut cidrs = cidrs(&texts);
        cidrs.sort_unstable();
        cidrs
    })
}

fn ranges(most: usize) -> impl Strategy<Value = Vec<PortRange>> {
    btree_set(1..6000_u16, 0..most).prop_map(|starts| {
        // Every tenth port, so that ranges stay apart.
        starts.into_iter().map(|start| range(start * 10, start * 10 + start % 3 * 3)).collect()
    })
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let transport = select(vec![Transport::Tcp, Transport::Udp, Transport::Sctp]);
    let family = select(vec![Family::IPv4, Family::IPv6]);
    let types = btree_set((any::<u8>(), option::weighted(0.1, any::<u8>())), 0..60);
    prop_oneof![
        1 => Just(Traffic::Any),
        6 => (transport, ranges(90), prop_oneof![4 => Just(Vec::new()), 1 => ranges(3)])
            .prop_map(|(transport, ports, source_ports)| Traffic::Ports { transport, ports, source_ports }),
        2 => (family, types).prop_map(|(family, types)| Traffic::Icmp {
            family,
            types: types.into_iter().map(|(icmp_type, code)| IcmpMatch { icmp_type, code }).collect(),
        }),
        1 => select(vec![2_u8, 4, 41, 47, 50, 51, 88, 112]).prop_map(Traffic::Number),
    ]
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    select(vec![
        LabelSelector::default(),
        labels(&[("example.com/pool", "a")]),
        labels(&[("app", "x"), ("tier", "y")]),
        labels(&[("kubernetes.io/hostname", "a")]),
    ])
}

fn peer() -> impl Strategy<Value = Peer> {
    let listed = (option::of(select(vec!["adminCIDRs", "admin-cidrs", "nodes"])), prefixes(5))
        .prop_filter("a list is never empty", |(_, cidrs)| !cidrs.is_empty())
        .prop_map(|(name, cidrs)| Peer::Cidrs { name: name.map(str::to_owned), cidrs });
    let pods = (option::of(selector()), selector()).prop_map(|(namespaces, pods)| Peer::PodSelector {
        name: "pods".to_owned(),
        namespaces,
        pods,
    });
    prop_oneof![
        2 => select(vec![Peer::Any, Peer::Nodes, Peer::Pods, Peer::Localhost]),
        1 => select(vec![
            Peer::Services,
            Peer::Fqdns { name: "names".to_owned(), names: vec!["example.com".to_owned()] },
        ]),
        2 => (0..2_usize).prop_map(Peer::Role),
        1 => selector().prop_map(|selector| Peer::NodeSelector { name: "some".to_owned(), selector }),
        1 => pods,
        4 => listed,
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    let flows = vec!["kube-apiserver", "etcd-peer", "kubelet-api", "nodeport", "image-pull"];
    let shape = (
        subsequence(vec![0, 1], 1..=2),
        prop_oneof![2 => Just(Direction::Ingress), 1 => Just(Direction::Egress)],
        prop_oneof![4 => Just(Action::Allow), 1 => Just(Action::Deny)],
        option::weighted(0.2, select(vec![Family::IPv4, Family::IPv6])),
        option::weighted(0.05, Just(vec!["eth0".to_owned()])),
        option::of(select(flows)),
        prop_oneof![1 => Just(false), 3 => Just(true)],
    );
    let packets = (vec(traffic(), 1..4), vec(peer(), 1..4), prop_oneof![2 => Just(Vec::new()), 1 => prefixes(3)]);
    (shape, packets).prop_map(
        |((roles, direction, action, family, interfaces, flow, optional), (traffic, peers, except))| Row {
            roles,
            direction,
            traffic,
            peers,
            except,
            action,
            family,
            interfaces,
            flow: flow.map(str::to_owned),
            optional,
            ..row(Traffic::Any, vec![Peer::Any])
        },
    )
}

fn any_config() -> impl Strategy<Value = AgentConfig> {
    let fact = || option::of(any::<bool>());
    let mode = option::of((any::<bool>(), any::<bool>()).prop_map(|(nodes, pods)| CidrMatchMode { nodes, pods }));
    (fact(), fact(), fact(), fact(), fact(), mode, option::of(0..3_u32)).prop_map(
        |(labels, replaced, extended, sctp, ipv6, mode, cluster_id)| AgentConfig {
            enable_node_selector_labels: labels,
            kube_proxy_replacement: replaced,
            enable_extended_ip_protocols: extended,
            enable_sctp: sctp,
            enable_ipv6: ipv6,
            policy_cidr_match_mode: mode,
            cluster_id,
            // Large enough that size is not what these laws are about.
            bpf_policy_map_max: Some(1 << 40),
            ..AgentConfig::default()
        },
    )
}

prop_compose! {
    pub(super) fn any_case()(
        rows in vec(any_row(), 0..8),
        config in any_config(),
        minor in 18..=20_u16,
        (ingress, egress) in any::<(bool, bool)>(),
        (known_nodes, known_pods, given_nodes) in any::<(bool, bool, bool)>(),
    ) -> (Expanded, Option<Vec<Node>>, Options) {
        let mut matrix = matrix(rows);
        matrix.frame.ingress.deny = ingress;
        matrix.frame.egress.deny = egress;
        if !known_nodes {
            matrix.cluster.node_cidrs.clear();
        }
        if !known_pods {
            matrix.cluster.pod_cidrs.clear();
        }
        let frame = Row { origin: Origin::Frame("loopback"), ..row(Traffic::Any, vec![Peer::Localhost]) };
        matrix.frame_rows = vec![frame];
        let nodes = given_nodes.then(|| vec![node("a", true, "10.1.0.1"), node("b", false, "fd00::2")]);
        (matrix, nodes, Options { version: Version::new(1, minor), ..options(config) })
    }
}

/// The parts of an element that the laws are about, the same for both directions.
struct Parts<'a> {
    sides: [bool; 4],
    cidrs: &'a [CidrRule],
    nodes: &'a [EndpointSelector],
    ports: Option<&'a [PortRule]>,
    icmps: Option<&'a [IcmpRule]>,
}

fn parts(rule: &Rule) -> Vec<Parts<'_>> {
    let ingress = rule.ingress.iter().chain(&rule.ingress_deny).flatten().map(|element| Parts {
        sides: [
            element.from_entities.is_some(),
            element.from_nodes.is_some(),
            element.from_endpoints.is_some(),
            element.from_cidr_set.is_some(),
        ],
        cidrs: element.from_cidr_set.as_deref().unwrap_or_default(),
        nodes: element.from_nodes.as_deref().unwrap_or_default(),
        ports: element.to_ports.as_deref(),
        icmps: element.icmps.as_deref(),
    });
    let egress = rule.egress.iter().chain(&rule.egress_deny).flatten().map(|element| Parts {
        sides: [
            element.to_entities.is_some(),
            element.to_nodes.is_some(),
            element.to_endpoints.is_some(),
            element.to_cidr_set.is_some(),
        ],
        cidrs: element.to_cidr_set.as_deref().unwrap_or_default(),
        nodes: element.to_nodes.as_deref().unwrap_or_default(),
        ports: element.to_ports.as_deref(),
        icmps: element.icmps.as_deref(),
    });
    ingress.chain(egress).collect()
}

fn check_element(element: &Parts<'_>, config: &AgentConfig) {
    assert_eq!(element.sides.iter().filter(|side| **side).count(), 1, "one kind of peer");
    assert!(element.ports.is_none() || element.icmps.is_none(), "ICMP excludes ports");
    assert!(element.nodes.is_empty() || config.enable_node_selector_labels == Some(true));
    for rule in element.cidrs {
        assert!(rule.cidr.is_some() != rule.cidr_group_ref.is_some());
        let cidr: Option<Cidr> = rule.cidr.as_ref().map(|cidr| cidr.parse().expect("a prefix"));
        for hole in rule.except.iter().flatten() {
            let hole: Cidr = hole.parse().expect("a prefix");
            assert!(cidr.is_some_and(|cidr| cidr.contains(hole) && cidr != hole));
        }
    }
    for rule in element.ports.unwrap_or_default() {
        let ports = rule.ports.as_deref().unwrap_or_default();
        assert!((1..=40).contains(&ports.len()));
        for port in ports {
            let first: i64 = port.port.as_deref().and_then(|text| text.parse().ok()).expect("a number");
            assert!(port.end_port.is_none_or(|last| last > first && first > 0 && last <= 65535));
            assert!(port.protocol.as_deref().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        }
    }
    for rule in element.icmps.unwrap_or_default() {
        assert!((1..=40).contains(&rule.fields.as_ref().map_or(0, Vec::len)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn objects_keep_ciliums_limits((matrix, nodes, options) in any_case()) {
        let outcome = Outcome::of(&matrix, nodes.as_deref(), &options);
        let mut names = BTreeMap::new();
        for manifest in &outcome.0.objects {
            *names.entry(manifest.object.title()).or_insert(0) += 1;
        }
        prop_assert!(names.values().all(|count| *count == 1), "{names:?}");
        prop_assert!(outcome.0.objects.is_sorted_by_key(|manifest| manifest.wave));
        let groups: Vec<&str> = outcome.groups().iter().map(|group| group.metadata.name.as_str()).collect();
        for policy in outcome.policies() {
            let rules: Vec<&Rule> = policy.spec.iter().chain(policy.specs.iter().flatten()).collect();
            prop_assert!(!rules.is_empty());
            let closing = policy.metadata.name == "t-close";
            for rule in rules {
                prop_assert!(rule.node_selector.is_some() && rule.endpoint_selector.is_none());
                let deny = rule.enable_default_deny.expect("explicit");
                prop_assert_eq!(closing, deny.ingress == Some(true) || deny.egress == Some(true));
                prop_assert!(deny.ingress.is_some() && deny.egress.is_some());
                if closing {
                    continue;
                }
                for element in parts(rule) {
                    check_element(&element, &options.config);
                    let references = element.cidrs.iter().filter_map(|rule| rule.cidr_group_ref.as_deref());
                    prop_assert!(references.into_iter().all(|name| groups.contains(&name)));
                }
            }
        }
    }

    #[test]
    fn every_row_has_an_outcome_and_every_loss_a_finding((matrix, nodes, options) in any_case()) {
        let outcome = Outcome::of(&matrix, nodes.as_deref(), &options);
        let rows: Vec<&Row> = matrix.rows.iter().chain(&matrix.frame_rows).collect();
        let origins: Vec<Origin> = rows.iter().map(|row| row.origin).collect();
        prop_assert_eq!(outcome.0.outcomes.iter().map(|outcome| outcome.row).collect::<Vec<_>>(), origins);
        for (row, of_row) in rows.iter().zip(&outcome.0.outcomes) {
            let findings = outcome.0.findings.iter().filter(|finding| finding.path == row.path());
            if matches!(of_row.fate, Fate::Wider | Fate::Narrower) {
                prop_assert!(findings.clone().any(|finding| finding.lost.is_some()), "{:?}", of_row);
            }
            if of_row.fate == Fate::Refused {
                prop_assert!(findings.clone().any(|finding| finding.code.id.contains("row")), "{:?}", of_row);
            }
        }
        prop_assert!(!has_errors(&outcome.0.findings) || outcome.0.objects.is_empty());
    }

    #[test]
    fn the_output_depends_on_the_input_only((matrix, nodes, options) in any_case()) {
        let text = |outcome: &Outcome| format!("{:?} {:?}", outcome.0.objects, outcome.0.findings);
        let once = Outcome::of(&matrix, nodes.as_deref(), &options);
        let twice = Outcome::of(&matrix, nodes.as_deref(), &options);
        prop_assert_eq!(text(&once), text(&twice));
    }

    #[test]
    fn a_deny_never_admits_and_is_never_wider_than_its_row((matrix, nodes, options) in any_case()) {
        let outcome = Outcome::of(&matrix, nodes.as_deref(), &options);
        for (row, of_row) in matrix.rows.iter().zip(&outcome.0.outcomes) {
            if row.action == Action::Deny {
                prop_assert_ne!(of_row.fate, Fate::Narrower);
            }
        }
    }
}
