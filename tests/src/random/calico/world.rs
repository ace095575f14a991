//! Everything but policies: the node, its endpoints, sets, services, tiers and the configuration of Felix.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::selector;
use crate::random::Dice;
use crate::verdicts::calico::CaseInterface;

/// The node.
pub(super) const NODE: &str = "node-a";
/// Interfaces with their addresses. The last one is one of Felix' workload interfaces.
pub(super) const INTERFACES: [(&str, &[&str]); 4] = [
    ("eth0", &["10.0.0.1", "10.0.0.2", "fd00::1"]),
    ("eth1", &["10.1.0.1", "fd01::1"]),
    ("eth2", &["10.3.0.1", "fd03::1"]),
    ("cali0", &["10.2.0.1"]),
];
/// Addresses elsewhere, at the ends of the prefixes below.
pub(super) const PEERS_V4: [&str; 8] =
    ["10.9.0.7", "10.9.0.8", "10.9.0.127", "10.9.0.128", "10.9.1.7", "192.0.2.5", "10.0.0.3", "10.0.0.4"];
/// As [`PEERS_V4`].
pub(super) const PEERS_V6: [&str; 5] = ["fd09::7", "fd09::8", "fd09:1::7", "2001:db8::5", "fd00::3"];
/// Where forwarded packets go.
pub(super) const BEYOND_V4: [&str; 2] = ["10.50.0.1", "10.51.0.1"];
/// As [`BEYOND_V4`].
pub(super) const BEYOND_V6: [&str; 2] = ["fd50::1", "fd51::1"];
/// Prefixes of rules and sets.
pub(super) const NETS_V4: [&str; 12] = [
    "10.9.0.7/32",
    "10.9.0.0/25",
    "10.9.0.0/24",
    "10.9.0.0/16",
    "10.0.0.0/30",
    "10.0.0.0/8",
    "10.0.0.1/32",
    "10.1.0.1/32",
    "10.50.0.0/15",
    "10.50.0.1/32",
    "192.0.2.0/24",
    "0.0.0.0/0",
];
/// As [`NETS_V4`].
pub(super) const NETS_V6: [&str; 7] =
    ["fd09::7/128", "fd09::/64", "fd09::/16", "fd00::/8", "2001:db8::/32", "fd50::1/128", "::/0"];
/// Names of ports, one of which nothing has.
pub(super) const PORT_NAMES: [&str; 3] = ["http", "etcd", "nosuch"];
/// Numbers of ports.
pub(super) const PORTS: [u16; 13] = [1, 22, 53, 67, 68, 80, 443, 2379, 6443, 8080, 10250, 30000, 65535];
/// The service that there is, and one that there is not.
pub(super) const SERVICES: [&str; 2] = ["web", "gone"];

pub(super) fn interfaces() -> Vec<CaseInterface> {
    let parsed = |text: &&str| text.parse::<IpAddr>().ok();
    INTERFACES
        .iter()
        .map(|(name, addresses)| CaseInterface {
            name: (*name).to_owned(),
            addrs: addresses.iter().filter_map(parsed).collect(),
        })
        .collect()
}

fn object(kind: &str, name: &str, labels: Value, spec: Value) -> Value {
    let mut object = json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}});
    object["metadata"]["labels"] = labels;
    object["spec"] = spec;
    object
}

pub(super) fn tiers(dice: &mut Dice, index: u64) -> Vec<Value> {
    let names = dice.several(&["aa", "sec", "zz"], ..=3);
    names
        .into_iter()
        .map(|name| {
            let mut spec = json!({});
            if dice.chance(80) {
                spec["order"] = dice.pick(&[json!(10), json!(10.5), json!(20), json!(1_000_000), json!(2_000_000)]);
            }
            if dice.chance(60) {
                spec["defaultAction"] = json!(dice.pick(&["Pass", "Deny"]));
            }
            object("Tier", &format!("{name}-{index}"), json!({}), spec)
        })
        .collect()
}

pub(super) fn sets(dice: &mut Dice) -> Vec<Value> {
    let mut sets = Vec::new();
    for number in 0..dice.number(..=3) {
        let nets = nets(dice, true);
        sets.push(object("GlobalNetworkSet", &format!("s{number}"), selector::labels(dice), json!({"nets": nets})));
    }
    if dice.chance(20) {
        let nets = nets(dice, true);
        let mut set = object("NetworkSet", "ns", selector::labels(dice), json!({"nets": nets}));
        set["metadata"]["namespace"] = json!("default");
        sets.push(set);
    }
    sets
}

/// Prefixes of either family, or of both.
pub(super) fn nets(dice: &mut Dice, mixed: bool) -> Vec<String> {
    let own = |list: &[&str]| list.iter().map(|net| (*net).to_owned()).collect::<Vec<_>>();
    let pool = match dice.number(..3) {
        0 if mixed => [own(&NETS_V4), own(&NETS_V6)].concat(),
        0 | 1 => own(&NETS_V4),
        _ => own(&NETS_V6),
    };
    dice.several(&pool, 1..=3)
}

pub(super) fn services(dice: &mut Dice) -> Vec<Value> {
    if !dice.chance(25) {
        return Vec::new();
    }
    let six = dice.chance(30);
    let peers: &[&str] = if six { &PEERS_V6 } else { &PEERS_V4 };
    let addresses = dice.several(peers, 1..=3);
    let port = dice.pick(&PORTS);
    let mut ports = vec![json!({"name": "a", "port": port, "protocol": dice.pick(&["TCP", "UDP"])})];
    if dice.chance(30) {
        ports.push(json!({"name": "b", "port": 8080}));
    }
    vec![json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": if six { "IPv6" } else { "IPv4" },
        "metadata": {
            "name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": SERVICES[0]},
        },
        "ports": ports,
        "endpoints": addresses.iter().map(|address| json!({
            "addresses": [address], "conditions": {"ready": dice.chance(70)},
        })).collect::<Vec<_>>(),
    })]
}

/// Host endpoints: of an interface, of all, by address, as kube-controllers makes them, and of another node.
pub(super) fn endpoints(dice: &mut Dice) -> Vec<Value> {
    let mut endpoints = Vec::new();
    for number in 0..dice.number(1..=4) {
        let mut spec = json!({"node": NODE});
        let mut labels = selector::labels(dice);
        let mut name = format!("h{number}");
        match dice.number(..11) {
            0..4 => spec["interfaceName"] = json!(dice.pick(&["eth0", "eth0", "eth1", "eth2"])),
            4 | 5 => spec["interfaceName"] = json!("*"),
            6 | 7 => {
                let (_, addresses) = dice.pick(&INTERFACES);
                spec["expectedIPs"] = json!([dice.pick(addresses)]);
            }
            8 => {
                NODE.clone_into(&mut name);
                name.push_str("-auto-hep");
                spec["interfaceName"] = json!("*");
                spec["expectedIPs"] = json!(["10.0.0.1", "fd00::1"]);
                spec["profiles"] = json!(["projectcalico-default-allow"]);
                labels["projectcalico.org/created-by"] = json!("calico-kube-controllers");
            }
            9 => spec["interfaceName"] = json!("lo"),
            _ => {
                spec["node"] = json!("node-b");
                spec["interfaceName"] = json!(dice.pick(&["eth0", "*"]));
            }
        }
        if spec["expectedIPs"].is_null() && dice.chance(50) {
            let addresses =
                [PEERS_V4.as_slice(), &PEERS_V6, &["10.0.0.1", "10.0.0.2", "fd00::1", "10.50.0.1"]].concat();
            spec["expectedIPs"] = json!(dice.several(&addresses, 1..=3));
        }
        if spec["profiles"].is_null() {
            match dice.number(..10) {
                0..4 => spec["profiles"] = json!(["projectcalico-default-allow"]),
                4 => spec["profiles"] = json!(["missing"]),
                5 => spec["profiles"] = json!(["missing", "projectcalico-default-allow"]),
                _ => {}
            }
        }
        if dice.chance(40) {
            spec["ports"] = json!([
                {"name": "http", "protocol": "TCP", "port": dice.pick(&PORTS)},
                {"name": "etcd", "protocol": dice.pick(&["TCP", "UDP"]), "port": dice.pick(&PORTS)},
            ]);
        }
        if endpoints.iter().all(|other: &Value| other["metadata"]["name"] != json!(name)) {
            endpoints.push(object("HostEndpoint", &name, labels, spec));
        }
    }
    endpoints
}

/// Settings of Felix in objects.
pub(super) fn configuration(dice: &mut Dice) -> Vec<Value> {
    let mut objects = Vec::new();
    for name in ["default", "node.node-a"] {
        if !dice.chance(40) {
            continue;
        }
        let mut spec = json!({});
        for field in ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] {
            if dice.chance(50) {
                spec[field] = dice.list(..=3, failsafe).into();
            }
        }
        if dice.chance(20) {
            spec["disableConntrackInvalidCheck"] = json!(true);
        }
        if dice.chance(30) {
            spec["defaultEndpointToHostAction"] = json!(dice.pick(&["Drop", "Accept", "Return"]));
        }
        if dice.chance(15) {
            spec["ipipEnabled"] = json!(true);
        }
        if dice.chance(15) {
            spec["vxlanEnabled"] = json!(true);
        }
        if dice.chance(20) {
            spec["interfaceExclude"] = json!(dice.pick(&["eth2", "kube-ipvs0,/^eth[12]$/"]));
        }
        objects.push(object("FelixConfiguration", name, json!({}), spec));
    }
    objects
}

fn failsafe(dice: &mut Dice) -> Value {
    let mut entry = json!({"protocol": dice.pick(&["TCP", "UDP"]), "port": dice.pick(&PORTS)});
    if dice.chance(40) {
        entry["net"] = json!(dice.pick(&["10.9.0.0/24", "fd09::/64", "0.0.0.0/0", "10.9.0.7/32"]));
    }
    entry
}

/// Settings of Felix in its environment, which beat those in objects.
pub(super) fn environment(dice: &mut Dice) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if dice.chance(30) {
        let action = dice.pick(&["ACCEPT", "RETURN", "DROP"]);
        env.insert("DEFAULTENDPOINTTOHOSTACTION".to_owned(), action.to_owned());
    }
    if dice.chance(10) {
        let ports = dice.pick(&["none", "tcp:22,udp:10.0.0.0/8:68", "tcp:[fd00::/8]:80"]);
        env.insert("FAILSAFEINBOUNDHOSTPORTS".to_owned(), ports.to_owned());
    }
    env
}
