//! Matrices, nodes and options at random.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{Api, Dataplane, Failsafe, HostEndpoints, Version};
use super::*;
use crate::matrix::Log;

/// Everything that a rendering depends on.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) matrix: Expanded,
    pub(super) nodes: Option<Vec<Node>>,
    pub(super) options: Options,
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    (matrices(), option::of(fleets()), options()).prop_map(|(matrix, nodes, options)| Case { matrix, nodes, options })
}

fn matrices() -> impl Strategy<Value = Expanded> {
    let log =
        || option::of(option::of(Just("DROP_".to_owned())).prop_map(|prefix| Log { prefix, rate: None, level: None }));
    let default = move || (any::<bool>(), log()).prop_map(|(deny, log)| Default { deny, log });
    let interfaces = prop_oneof![
        3 => Just(Interfaces::All),
        1 => Just(Interfaces::Named(vec!["eth0".to_owned()])),
        1 => Just(Interfaces::Named(vec!["eth0".to_owned(), "eth1.5".to_owned()])),
    ];
    let forward = select(vec![Forward::Ignore, Forward::Enforce]);
    let networks = (any::<bool>(), any::<bool>(), any::<bool>());
    (prop::collection::vec(rows(), 0..7), interfaces, default(), default(), forward, networks, frame()).prop_map(
        |(rows, interfaces, ingress, egress, forward, (node, pod, service), frame_rows)| {
            let mut matrix = matrix(rows);
            matrix.frame = Frame { interfaces, ingress, egress, forward };
            let mut keep = |known: bool, list: fn(&mut Cluster) -> &mut Vec<Cidr>| {
                if !known {
                    list(&mut matrix.cluster).clear();
                }
            };
            keep(node, |cluster| &mut cluster.node_cidrs);
            keep(pod, |cluster| &mut cluster.pod_cidrs);
            keep(service, |cluster| &mut cluster.service_cidrs);
            let denied = |row: &Row| match row.direction {
                Direction::Ingress => matrix.frame.ingress.deny,
                Direction::Egress => matrix.frame.egress.deny,
            };
            matrix.frame_rows = frame_rows.into_iter().filter(denied).collect();
            matrix
        },
    )
}

fn frame() -> impl Strategy<Value = Vec<Row>> {
    let part = |part: &'static str, row: Row| Row { origin: Origin::Frame(part), ..row };
    let both = |name, traffic: Traffic, peers: Vec<Peer>| {
        [Direction::Ingress, Direction::Egress]
            .map(|direction| part(name, row(direction, traffic.clone(), peers.clone())))
    };
    let all = [
        both("loopback", Traffic::Any, vec![Peer::Localhost]),
        both("icmp-errors", icmp(Family::IPv4, &[(3, None), (11, None)]), vec![Peer::Any]),
        both("neighbour-discovery", icmp(Family::IPv6, &[(135, None), (136, None)]), vec![Peer::Any]),
        both("dhcp", udp(68), vec![Peer::Any]),
    ]
    .concat();
    any::<bool>().prop_map(move |there| if there { all.clone() } else { Vec::new() })
}

fn rows() -> impl Strategy<Value = Row> {
    let roles = select(vec![vec![CONTROL_PLANE], vec![WORKER], vec![CONTROL_PLANE, WORKER]]);
    let flows = ["kube-apiserver", "supervisor", "etcd-peer", "admin-ssh", "dns", "bgp", "nodeport", "kubelet-api"];
    let flow = option::of(select(flows.to_vec()).prop_map(str::to_owned));
    let except = prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(cidrs(&["10.0.0.8/29"])),
        1 => Just(cidrs(&["192.168.0.0/16", "fd00::/8"])),
        1 => Just(cidrs(&["::/0"])),
    ];
    let family = prop_oneof![4 => Just(None), 1 => Just(Some(Family::IPv4)), 1 => Just(Some(Family::IPv6))];
    let on = prop_oneof![
        6 => Just(None),
        1 => Just(Some(vec!["eth0".to_owned()])),
        1 => Just(Some(vec!["eth0".to_owned(), "eth9".to_owned()])),
    ];
    let action = prop_oneof![4 => Just(Action::Allow), 1 => Just(Action::Deny)];
    let direction = select(vec![Direction::Ingress, Direction::Egress]);
    let traffic = prop::collection::vec(traffic(), 1..3);
    let shape = (roles, direction, traffic, prop::collection::vec(peer(), 1..3));
    (shape, except, family, on, action, flow, any::<bool>()).prop_map(
        |((roles, direction, traffic, peers), except, family, interfaces, action, flow, optional)| Row {
            roles,
            traffic,
            except,
            family,
            interfaces,
            action,
            flow,
            optional,
            ..row(direction, Traffic::Any, peers)
        },
    )
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let lists = vec![
        Vec::new(),
        vec![PortRange { first: 22, last: 22 }],
        vec![PortRange { first: 10250, last: 10250 }],
        vec![PortRange { first: 10250, last: 10250 }],
        vec![PortRange { first: 53, last: 53 }, PortRange { first: 6443, last: 6443 }],
        vec![PortRange { first: 2379, last: 2380 }],
        vec![PortRange { first: 9345, last: 9345 }],
        vec![PortRange { first: 80, last: 80 }, PortRange { first: 30000, last: 32767 }],
        (1..=60).map(|port| PortRange { first: port * 7, last: port * 7 }).collect(),
    ];
    let transport = select(vec![Transport::Tcp, Transport::Tcp, Transport::Tcp, Transport::Udp, Transport::Sctp]);
    let sources = prop_oneof![5 => Just(Vec::new()), 1 => Just(vec![PortRange { first: 67, last: 67 }])];
    prop_oneof![
        1 => Just(Traffic::Any),
        8 => (transport, select(lists), sources)
            .prop_map(|(transport, ports, source_ports)| Traffic::Ports { transport, ports, source_ports }),
        1 => Just(icmp(Family::IPv4, &[(3, Some(4)), (8, None)])),
        1 => Just(icmp(Family::IPv6, &[])),
        1 => Just(icmp(Family::IPv4, &[(255, None)])),
        1 => select(vec![0_u8, 4, 112]).prop_map(Traffic::Number),
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    let fqdns = Peer::Fqdns { name: "names".to_owned(), names: vec!["example.org".to_owned()] };
    let storage = Peer::NodeSelector {
        name: "storage".to_owned(),
        selector: selecting(requirement("example.org/storage", Operator::Exists)),
    };
    let prometheus = |namespaces| Peer::PodSelector {
        name: "prometheus".to_owned(),
        namespaces,
        pods: selecting(requirement("app", Operator::DoesNotExist)),
    };
    prop_oneof![
        1 => Just(Peer::Any),
        4 => Just(Peer::Nodes),
        2 => Just(Peer::Pods),
        1 => Just(Peer::Localhost),
        4 => select(vec![Peer::Role(CONTROL_PLANE), Peer::Role(WORKER)]),
        2 => Just(storage),
        1 => Just(prometheus(None)),
        1 => Just(prometheus(Some(selecting(requirement("tenant", Operator::DoesNotExist))))),
        2 => Just(named("adminCIDRs", &["192.168.0.0/24", "fd00::/64"])),
        2 => Just(inline(&["10.0.0.0/28", "fd00:1::/64"])),
        1 => Just(inline(&["0.0.0.0/0"])),
        1 => select(vec![Peer::Services, fqdns]),
    ]
}

fn fleets() -> impl Strategy<Value = Vec<Node>> {
    any::<bool>().prop_map(|tunnels| {
        let mut nodes = nodes();
        nodes.push(node("w-2", false, "10.0.0.12"));
        nodes[3].labels.insert("example.org/storage".to_owned(), String::new());
        nodes[0].internal.push(ip("fd00::1"));
        if !tunnels {
            nodes[2].tunnel.clear();
        }
        nodes
    })
}

fn options() -> impl Strategy<Value = Options> {
    let failsafe = select(vec![Failsafe::Matrix, Failsafe::Default, Failsafe::Keep, Failsafe::None]);
    let dataplane = select(vec![None, Some(Dataplane::Iptables), Some(Dataplane::Nftables), Some(Dataplane::Ebpf)]);
    let endpoints = select(vec![HostEndpoints::Auto, HostEndpoints::Written, HostEndpoints::None]);
    (failsafe, dataplane, endpoints, 29..=32_u32, any::<bool>()).prop_map(
        |(failsafe, dataplane, host_endpoints, minor, v1)| Options {
            api: if v1 { Api::V1 } else { Api::V3 },
            version: Version { major: 3, minor },
            failsafe,
            dataplane,
            host_endpoints,
            admin_path: failsafe != Failsafe::None,
            ..Options::new("test")
        },
    )
}
