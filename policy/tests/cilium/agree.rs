//! `trace` and `evaluate` agree about every packet, over random policies, settings and clusters.

use std::sync::atomic::{AtomicUsize, Ordering};

use policy::cilium::evaluate::evaluate;
use policy::cilium::question::{Layer, Path, Question, Verdict};
use policy::cilium::trace::{Step, trace};
use policy::cilium::version::Version;
use policy::packet::{Direction, Packet, Transport};
use policy::snapshot::{Node, Pod};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::cluster::{NODE, World, icmp, ip, pod, tcp, udp};

const PREFIXES: &[&str] = &[
    "0.0.0.0/0",
    "0.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.2/32",
    "10.0.0.0/24",
    "10.244.0.0/16",
    "10.244.1.5/32",
    "192.0.2.0/24",
    "192.0.2.0/25",
    "192.0.2.7/32",
    "::/0",
    "fd00::/8",
    "fd00::2/128",
    "2001:db8::/32",
];
pub(crate) const PEERS: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.1.2",
    "10.9.0.1",
    "10.244.1.5",
    "10.244.3.5",
    "10.244.9.9",
    "10.244.7.7",
    "10.244.1.2",
    "10.1.2.3",
    "192.0.2.7",
    "192.0.2.70",
    "192.0.2.200",
    "8.8.8.8",
    "198.51.100.9",
    "fd00::2",
    "fd00::3",
    "fd00::99",
    "2001:db8::1",
    "2a00::1",
];
const KEYS: &[&str] = &[
    "app",
    "k8s:app",
    "k8s-app",
    "rack",
    "reserved:host",
    "reserved:remote-node",
    "reserved:kube-apiserver",
    "reserved:world",
    "reserved:aggregate-world",
    "remote-node",
    "team",
    "cidrgroup:team",
    "cidr:10.0.0.0/8",
    "10.0.0.0/8",
    "k8s:io.kubernetes.pod.namespace",
    "io.cilium.k8s.policy.cluster",
    "kubernetes.io/hostname",
];
const VALUES: &[&str] = &["", "prom", "metrics-server", "r1", "net", "monitoring", "default", "other", NODE];

fn selector() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map(select(KEYS), select(VALUES), 0..2);
    let expression = (select(KEYS), 0..4_usize, subsequence(VALUES, 1..3)).prop_map(|(key, operator, values)| {
        let name = ["In", "NotIn", "Exists", "DoesNotExist"][operator];
        let values = if operator < 2 { values } else { Vec::new() };
        json!({"key": key, "operator": name, "values": values})
    });
    (labels, prop::collection::vec(expression, 0..3))
        .prop_map(|(labels, expressions)| json!({"matchLabels": labels, "matchExpressions": expressions}))
}

fn cidr_rule() -> impl Strategy<Value = Value> {
    let except = subsequence(&["192.0.2.128/25", "192.0.2.7/32", "192.0.2.0/26"][..], 0..3);
    prop_oneof![
        3 => except.prop_map(|except| json!({"cidr": "192.0.2.0/24", "except": except})),
        1 => select(PREFIXES).prop_map(|cidr| json!({"cidr": cidr})),
        1 => select(&["office", "lab", "missing"][..]).prop_map(|name| json!({"cidrGroupRef": name})),
        1 => selector().prop_map(|selector| json!({"cidrGroupSelector": selector})),
    ]
}

/// Mostly one or two, at times none.
fn filled(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(of, 0..8).prop_map(|mut list| {
        list.truncate(2);
        list
    })
}

fn peers() -> impl Strategy<Value = Option<(&'static str, Value)>> {
    let entities = &[
        "all",
        "world",
        "cluster",
        "cluster-mesh",
        "host",
        "remote-node",
        "kube-apiserver",
        "health",
        "unmanaged",
        "ingress",
        "none",
    ][..];
    prop_oneof![
        4 => Just(None),
        12 => subsequence(entities, 1..3).prop_map(|list| Some(("Entities", json!(list)))),
        6 => filled(selector()).prop_map(|list| Some(("Endpoints", json!(list)))),
        6 => subsequence(PREFIXES, 1..4).prop_map(|list| Some(("CIDR", json!(list)))),
        6 => filled(cidr_rule()).prop_map(|list| Some(("CIDRSet", json!(list)))),
        1 => prop::collection::vec(selector(), 0..2).prop_map(|list| Some(("Nodes", json!(list)))),
        1 => Just(Some(("Groups", json!([])))),
        1 => select(&["Entities", "CIDR", "Endpoints"][..]).prop_map(|kind| Some((kind, json!([])))),
    ]
}

fn port() -> impl Strategy<Value = Value> {
    let number = select(&["22", "80", "443", "0", "1", "30000", "65535", "010", "web", "dns"][..]);
    let end = prop::option::weighted(0.3, select(&[0_u16, 17, 90, 443, 32_767, 65_535][..]));
    let protocol = prop_oneof![8 => select(&["TCP", "UDP", "SCTP", "ANY"][..]), 1 => select(&["VRRP", "ESP"][..])];
    (number, end, protocol).prop_map(|(number, end, protocol)| match (protocol, end) {
        ("VRRP" | "ESP", _) => json!({"port": "0", "protocol": protocol}),
        (_, Some(end)) => json!({"port": number, "endPort": end, "protocol": protocol}),
        (_, None) => json!({"port": number, "protocol": protocol}),
    })
}

fn ports() -> impl Strategy<Value = Option<(&'static str, Value)>> {
    let icmp = (select(&["IPv4", "IPv6"][..]), select(&[0, 3, 8, 128, 129, 135, 255][..]))
        .prop_map(|(family, kind)| json!({"family": family, "type": kind}));
    prop_oneof![
        6 => Just(None),
        8 => filled(port()).prop_map(|ports| Some(("toPorts", json!([{"ports": ports}])))),
        1 => Just(Some(("toPorts", json!([])))),
        3 => filled(icmp).prop_map(|fields| Some(("icmps", json!([{"fields": fields}])))),
    ]
}

fn elements(side: &'static str) -> impl Strategy<Value = Value> {
    let one = (peers(), ports()).prop_map(move |(peers, ports)| {
        let mut element = serde_json::Map::new();
        element.extend(peers.map(|(kind, list)| (format!("{side}{kind}"), list)));
        element.extend(ports.map(|(kind, list)| (kind.to_owned(), list)));
        Value::Object(element)
    });
    prop::collection::vec(one, 0..2).prop_map(Value::Array)
}

fn rule() -> impl Strategy<Value = Value> {
    let subject = select(&["{}", r#"{"matchLabels":{"rack":"r1"}}"#, r#"{"matchLabels":{"rack":"none"}}"#][..]);
    let default_deny = (any::<Option<bool>>(), any::<Option<bool>>());
    let lists = (elements("from"), elements("from"), elements("to"), elements("to"));
    (subject, default_deny, lists).prop_map(|(subject, (to, from), (ingress, ingress_deny, egress, egress_deny))| {
        let mut rule = json!({
            "nodeSelector": serde_json::from_str::<Value>(subject).expect("a constant"),
            "ingress": ingress, "ingressDeny": ingress_deny, "egress": egress, "egressDeny": egress_deny,
        });
        let stated = [("ingress", to), ("egress", from)]
            .into_iter()
            .filter_map(|(key, one)| Some((key.to_owned(), json!(one?))));
        rule["enableDefaultDeny"] = Value::Object(stated.collect());
        rule
    })
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let versions = prop_oneof![1 => Just(Version::OLDEST), 1 => Just(Version::V1_19), 4 => Just(Version::V1_20)];
    let settings = (
        select(&["default", "default", "default", "always"][..]),
        select(&["", "nodes", "pods", "nodes,pods"][..]),
        prop::array::uniform5(any::<bool>()),
    );
    (prop::collection::vec(rule(), 1..9), versions, settings).prop_map(|(rules, version, (mode, prefixes, flags))| {
        let mut world = World::new()
            .version(version)
            .group("office", "net", &["192.0.2.0/24", "10.244.1.0/24"])
            .group("lab", "sec", &["192.0.2.0/25", "fd00::/16"])
            .set("enable-policy", mode)
            .set("policy-cidr-match-mode", prefixes)
            .set("enable-extended-ip-protocols", if flags[0] { "true" } else { "false" })
            .set("enable-node-selector-labels", if flags[1] { "true" } else { "false" })
            .set("policy-default-local-cluster", if flags[2] { "true" } else { "false" })
            .set("enable-sctp", if flags[3] { "true" } else { "false" })
            .set("enable-ipv6", if flags[4] { "true" } else { "false" })
            .change(|cluster| {
                cluster.nodes[1].internal.extend([ip("fd00::2"), ip("10.0.1.2")]);
                cluster.nodes[2].internal.push(ip("fd00::3"));
                cluster.nodes.push(Node {
                    name: "far".to_owned(),
                    internal: vec![ip("10.9.0.1")],
                    cluster: "other".to_owned(),
                    ..Node::default()
                });
                cluster.pods.push(Pod { cluster: "other".to_owned(), ..pod("default", "10.244.9.9", "app", "prom") });
                cluster.pods.push(Pod { unmanaged: true, ..pod("default", "10.244.7.7", "app", "prom") });
                cluster.slices[0].endpoints[0].addresses.push(ip("198.51.100.9"));
            });
        for rule in rules {
            world = world.with(rule);
        }
        world
    })
}

fn transports(peer: &str) -> Vec<Transport> {
    let mut all = vec![
        tcp(0),
        tcp(8),
        tcp(22),
        tcp(80),
        tcp(443),
        tcp(444),
        tcp(9090),
        tcp(30_000),
        tcp(65_535),
        udp(22),
        udp(53),
        udp(80),
        Transport::Ports { protocol: 132, source: 1, destination: 80 },
        Transport::Ports { protocol: 136, source: 1, destination: 80 },
        Transport::Other(112),
        Transport::Other(50),
        Transport::Other(2),
        Transport::Icmp { kind: 3, code: 4 },
    ];
    all.extend([0, 3, 8, 128, 129, 135, 138].map(icmp));
    all.push(Transport::Other(if ip(peer).is_ipv4() { 58 } else { 1 }));
    all
}

/// How many packets were allowed by an element, denied by one, denied by default, and not judged.
static DECIDED: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static PACKETS: AtomicUsize = AtomicUsize::new(0);

/// 50 cases, or what `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let stated = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if stated { default.cases } else { 50 }, ..default }
}

proptest! {
    #![proptest_config(config())]

    /// Checked for every peer and transport, in both directions and layers: about 2,000 packets a case.
    fn trace_and_evaluate_agree(world in world(), cilium_path in any::<bool>()) {
        let state = world.compile();
        for direction in [Direction::Ingress, Direction::Egress] {
            for layer in [Layer::Policy, Layer::Host] {
                let path = if cilium_path { Path::Cilium } else { Path::Device(None) };
                let question = Question { node: NODE, direction, layer, path };
                let admitted = evaluate(&state, &question).expect("small");
                for peer in PEERS {
                    let host = ip(if ip(peer).is_ipv4() { "10.0.0.3" } else { "fd00::3" });
                    for transport in transports(peer) {
                        let (source, destination) =
                            if direction == Direction::Egress { (host, ip(peer)) } else { (ip(peer), host) };
                        let packet = Packet::new(source, destination, transport).expect("one family");
                        let traced = trace(&state, &question, &packet);
                        prop_assert_eq!(admitted.packets.contains(&packet), traced.verdict != Verdict::Deny,
                            "{:?}: {}\n{:?}", packet, traced, world.snapshot.objects);
                        prop_assert_eq!(admitted.not_judged.contains(&packet), traced.verdict == Verdict::NotJudged,
                            "{:?}: {}", packet, traced);
                        PACKETS.fetch_add(1, Ordering::Relaxed);
                        let kind = match traced.steps.last() {
                            Some(Step::Element { deny: false, .. }) => 0,
                            Some(Step::Element { deny: true, .. }) => 1,
                            Some(Step::DefaultDeny { .. } | Step::AlwaysDeny) => 2,
                            Some(Step::Datapath { .. }) => 3,
                            _ => continue,
                        };
                        DECIDED[kind].fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

/// The agreement is over enough packets, and every way to decide decides some of them.
#[test]
fn trace_and_evaluate_agree_about_a_hundred_thousand_packets() {
    trace_and_evaluate_agree();
    let [packets, decided @ ..] =
        [&PACKETS, &DECIDED[0], &DECIDED[1], &DECIDED[2], &DECIDED[3]].map(|count| count.load(Ordering::Relaxed));
    assert!(packets >= 100_000, "{packets}");
    assert!(decided.iter().all(|count| *count >= 2_000), "{decided:?}");
}
