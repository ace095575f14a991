//! `evaluate` against `trace`, on random clusters and packets.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::lab::{Lab, icmp, ip, other, with_ports};
use crate::calico::endpoint::Interface;
use crate::calico::evaluate::Evaluator;
use crate::calico::question::{Conntrack, Path, Question, Translation, Workloads};
use crate::calico::settings::Dataplane;
use crate::calico::trace::trace;
use crate::packet::Packet;
use crate::snapshot::{Endpoint, EndpointPort, EndpointSlice, NamedPort, Node, Pod};

const QUESTIONS: usize = 6;
const PACKETS: usize = 60;

/// Numbers to choose by; when they run out, the first choice is taken.
pub(super) struct Dice(pub(super) std::vec::IntoIter<u16>);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % sides
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.roll(items.len())]
    }

    pub(super) fn chance(&mut self, sides: usize) -> bool {
        self.roll(sides) == sides - 1
    }

    fn some<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.roll(most + 1);
        (0..count).map(|_| make(self)).collect()
    }
}

const V4: [&str; 6] = ["10.0.0.1", "10.9.0.7", "10.9.0.8", "10.2.0.5", "192.0.2.9", "10.0.0.2"];
const V6: [&str; 4] = ["fd00::1", "fd09::7", "fd09::8", "2001:db8::9"];
const NETS4: [&str; 5] = ["10.9.0.0/24", "10.9.0.7/32", "10.0.0.0/8", "0.0.0.0/0", "10.9.0.8/31"];
const NETS6: [&str; 3] = ["fd09::/64", "fd00::/8", "fd09::7/128"];
const PORTS: [u16; 8] = [80, 22, 53, 443, 4789, 51820, 6443, 81];
const PROTOCOLS: [u8; 7] = [6, 17, 132, 136, 4, 47, 112];
const SELECTORS: [&str; 8] = [
    "has(a)",
    "all()",
    "b == '1'",
    "!has(a)",
    "a in {'1', '2'} || has(b)",
    "b != '1' && has(a)",
    "a starts with ''",
    "projectcalico.org/namespace == 'apps'",
];

fn labels(dice: &mut Dice) -> Value {
    let mut labels = serde_json::Map::new();
    for name in ["a", "b"] {
        if dice.roll(3) < 2 {
            labels.insert(name.to_owned(), json!(dice.pick(&["1", "2"])));
        }
    }
    Value::Object(labels)
}

fn entity(dice: &mut Dice, nets: &[&str], ports: bool, egress_side: bool) -> Value {
    let mut entity = json!({});
    for (field, odds) in [("nets", 3), ("notNets", 6)] {
        if dice.chance(odds) {
            // A catch-all may not be excluded.
            let net = |dice: &mut Dice| match dice.pick(nets) {
                "0.0.0.0/0" if field == "notNets" => "10.0.0.0/8",
                net => net,
            };
            entity[field] = json!([net(dice), net(dice)]);
        }
    }
    for (field, odds) in [("selector", 3), ("notSelector", 6)] {
        if dice.chance(odds) {
            entity[field] = json!(dice.pick(&SELECTORS));
        }
    }
    if dice.chance(8) {
        entity["namespaceSelector"] = json!(dice.pick(&["all()", "global()", "has(x)"]));
    }
    for (field, odds) in [("ports", 2), ("notPorts", 6)] {
        if ports && dice.chance(odds) {
            let port = dice.pick(&PORTS);
            entity[field] = match dice.roll(4) {
                0 => json!([port]),
                1 => json!([port, "web"]),
                2 => json!(["web"]),
                _ => json!([format!("{port}:{}", port + 10), 443]),
            };
        }
    }
    if egress_side && dice.chance(12) {
        entity = json!({"services": {"name": "api", "namespace": "default"}});
    }
    entity
}

fn rule(dice: &mut Dice, ingress: bool) -> Value {
    let mut rule = json!({"action": dice.pick(&["Allow", "Deny", "Pass", "Log", "Allow"])});
    let v6 = dice.chance(3);
    let nets: &[&str] = if v6 { &NETS6 } else { &NETS4 };
    let mut ports = false;
    match dice.roll(8) {
        0..=3 => {
            rule["protocol"] = json!(dice.pick(&["TCP", "UDP", "SCTP", "TCP"]));
            ports = true;
        }
        4 => rule["protocol"] = json!(dice.pick(&PROTOCOLS)),
        5 => {
            rule["protocol"] = json!(if v6 { "ICMPv6" } else { "ICMP" });
            let kind = if v6 { 128 } else { 8 };
            rule[dice.pick(&["icmp", "notICMP"])] = match dice.roll(2) {
                0 => json!({"type": kind}),
                _ => json!({"type": kind, "code": 0}),
            };
        }
        6 => rule["notProtocol"] = json!(dice.pick(&PROTOCOLS)),
        _ => {}
    }
    rule["source"] = entity(dice, nets, ports, ingress);
    rule["destination"] = entity(dice, nets, ports, !ingress);
    // The ports of a service are its own.
    if rule["destination"].get("services").is_some() {
        rule["destination"] = json!({"services": rule["destination"]["services"]});
    }
    rule
}

fn policy(dice: &mut Dice, tier: &str) -> Value {
    let mut policy = json!({"tier": tier, "selector": dice.pick(&["has(a)", "all()", "b == '1'", "has(b)"])});
    if dice.roll(3) > 0 {
        policy["order"] = json!(dice.roll(3));
    }
    match dice.roll(8) {
        0 => (policy["doNotTrack"], policy["applyOnForward"]) = (json!(true), json!(true)),
        1 => (policy["preDNAT"], policy["applyOnForward"]) = (json!(true), json!(true)),
        2 | 3 => policy["applyOnForward"] = json!(true),
        _ => {}
    }
    policy["ingress"] = json!(dice.some(4, |dice| rule(dice, true)));
    if policy.get("preDNAT").is_none() {
        policy["egress"] = json!(dice.some(4, |dice| rule(dice, false)));
        policy["types"] = dice.pick(&[0, 1, 2]).eq(&0).then(|| json!(["Ingress", "Egress"])).into();
    }
    policy
}

pub(super) fn cluster(dice: &mut Dice) -> Lab {
    let mut lab = Lab::new().dataplane(dice.pick(&[Dataplane::Nftables, Dataplane::Iptables, Dataplane::Bpf]));
    for (index, interface) in ["eth0", "*", "", "eth1"].into_iter().enumerate() {
        if dice.roll(3) == 0 && index > 0 {
            continue;
        }
        let port = json!([{"name": "web", "protocol": "TCP", "port": dice.pick(&PORTS)}]);
        let mut spec = json!({"node": dice.pick(&["n", "n", "n", "m"]), "ports": port});
        spec["expectedIPs"] = json!([dice.pick(&V4), dice.pick(&V6)]);
        if !interface.is_empty() {
            spec["interfaceName"] = json!(interface);
        }
        spec["profiles"] =
            json!(dice.some(2, |dice| dice.pick(&["projectcalico-default-allow", "mine", "gone", "mine"])));
        lab = lab.labelled("HostEndpoint", &format!("h{index}"), labels(dice), spec);
    }
    let rules = |dice: &mut Dice, ingress| dice.some(2, |dice| rule(dice, ingress));
    let mine = json!({"ingress": rules(dice, true), "egress": rules(dice, false), "labelsToApply": labels(dice)});
    lab = lab.with("Profile", "mine", mine);
    for (name, order) in [("t1", 1), ("t2", 2_000_000)] {
        let action = dice.pick(&["Deny", "Pass"]);
        lab = lab.with("Tier", name, json!({"order": order, "defaultAction": action}));
    }
    for index in 0..dice.roll(7) {
        let tier = dice.pick(&["default", "t1", "t2"]);
        let staged = dice.chance(10);
        let kind = if staged { "StagedGlobalNetworkPolicy" } else { "GlobalNetworkPolicy" };
        lab = lab.with(kind, &format!("{tier}.p{index}"), policy(dice, tier));
    }
    let nets = json!({"nets": [dice.pick(&NETS4), dice.pick(&NETS6)]});
    lab = lab.labelled("GlobalNetworkSet", "s", labels(dice), nets);
    let mut settings = json!({"disableConntrackInvalidCheck": dice.chance(4)});
    for switch in ["vxlanEnabled", "ipipEnabled", "wireguardEnabled", "wireguardEnabledV6"] {
        settings[switch] = json!(dice.chance(3));
    }
    if dice.chance(3) {
        settings["failsafeInboundHostPorts"] = json!([{"protocol": "TCP", "port": 80, "net": dice.pick(&NETS4)}]);
    }
    settings["defaultEndpointToHostAction"] = json!(dice.pick(&["Drop", "Accept", "Return"]));
    lab.with("FelixConfiguration", "default", settings).cluster(|cluster| {
        let node =
            |name: &str, address: &str| Node { name: name.to_owned(), internal: vec![ip(address)], ..Node::default() };
        cluster.nodes = vec![node("n", "10.0.0.1"), node("m", "10.9.0.7")];
        let port = NamedPort { name: "web".to_owned(), protocol: "TCP".to_owned(), port: 80 };
        let labels = [("a".to_owned(), "2".to_owned())].into();
        let (namespace, name) = ("apps".to_owned(), "web".to_owned());
        let addresses = vec![ip("10.2.0.5")];
        cluster.pods = vec![Pod { namespace, name, labels, addresses, ports: vec![port], ..Pod::default() }];
        cluster.slices = vec![EndpointSlice {
            namespace: "default".to_owned(),
            name: "api-1".to_owned(),
            service: "api".to_owned(),
            endpoints: vec![Endpoint { addresses: vec![ip("10.9.0.8")], ..Endpoint::default() }],
            ports: vec![EndpointPort { name: String::new(), protocol: "TCP".to_owned(), port: Some(443) }],
        }];
    })
}

pub(super) fn question(dice: &mut Dice) -> Question {
    let mut interface = || match dice.roll(5) {
        0 | 1 => Interface::new("eth0", [ip("10.0.0.1"), ip("fd00::1")]),
        2 => Interface::new("eth1", [ip("10.0.0.2")]),
        3 => Interface::new("cali0", []),
        _ => Interface::new("eth9", []),
    };
    let (first, second) = (interface(), interface());
    let path = match dice.roll(5) {
        0 | 1 => Path::Ingress(first),
        2 => Path::Egress(first),
        3 => Path::Forward { from: first, to: second },
        _ => Path::Local(Interface::new("lo", [ip("127.0.0.1")])),
    };
    let mut question = Question::new("n", path);
    if dice.chance(3) {
        let interface = dice.chance(2).then(|| Interface::new("eth1", [ip("10.0.0.2")]));
        let port = dice.chance(2).then(|| dice.pick(&PORTS));
        question.translation = Some(Translation { destination: ip(dice.pick(&V4)), port, interface });
    }
    if dice.chance(5) {
        question.conntrack = Some(dice.pick(&[Conntrack::New, Conntrack::Invalid, Conntrack::Untracked]));
    }
    question.workloads = dice.pick(&[Workloads::Admitting, Workloads::Unknown]);
    question
}

fn packet(dice: &mut Dice) -> Packet {
    let v6 = dice.chance(3);
    let addresses: &[&str] = if v6 { &V6 } else { &V4 };
    let (source, destination) = (dice.pick(addresses), dice.pick(addresses));
    match dice.roll(6) {
        0 => {
            let kinds = if v6 { [128, 129, 135, 1, 134] } else { [8, 0, 3, 13, 8] };
            icmp(source, destination, dice.pick(&kinds), dice.pick(&[0, 1]))
        }
        1 => match dice.pick(&PROTOCOLS) {
            protocol @ (6 | 17 | 132 | 136) => with_ports(protocol, source, 1, destination, dice.pick(&PORTS)),
            protocol => other(source, destination, protocol),
        },
        _ => {
            let from = dice.pick(&[40_000, 6443, 80]);
            match dice.roll(12) {
                0 => with_ports(17, source, 51820, destination, 51820),
                _ => with_ports(dice.pick(&[6, 6, 17, 132]), source, from, destination, dice.pick(&PORTS)),
            }
        }
    }
}

proptest! {
    // 320 clusters, 6 questions and 60 packets each: 115,200 packets. PROPTEST_CASES=2800 makes a million.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(320),
        max_shrink_iters: 200_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn evaluate_and_trace_agree(
        objects in proptest::collection::vec(any::<u16>(), 0..2400),
        ways in proptest::collection::vec(any::<u16>(), QUESTIONS * 16),
        packets in proptest::collection::vec(any::<u16>(), PACKETS * 8),
    ) {
        let lab = cluster(&mut Dice(objects.into_iter()));
        let state = lab.state();
        prop_assert!(state.unknown.is_empty(), "{:?}", state.unknown);
        let (mut ways, mut dice) = (Dice(ways.into_iter()), Dice(packets.into_iter()));
        let packets: Vec<Packet> = (0..PACKETS).map(|_| packet(&mut dice)).collect();
        let mut evaluator = Evaluator::new(&state);
        for _ in 0..QUESTIONS {
            let question = question(&mut ways);
            let set = evaluator.evaluate(&question).expect("small");
            for packet in &packets {
                let trace = trace(&state, &question, packet);
                prop_assert_eq!(set.contains(packet), trace.verdict.passes(), "{:?} {:?}\n{}", question, packet, trace);
            }
        }
    }
}
