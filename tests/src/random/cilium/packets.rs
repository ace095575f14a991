//! Packets: at the first and last address of every prefix and the first and last port of every range that policies name, just
//! outside of them, and from everybody that the cluster knows.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::Dice;
use super::element::is_named;

/// Addresses that nothing in a cluster has.
const STRANGERS: &[&str] = &[
    "8.8.8.8",
    "10.9.9.9",
    "10.244.2.99",
    "172.20.1.1",
    "192.0.2.70",
    "10.0.0.99",
    "2a00::1",
    "fd00::99",
    "fd00:10:2::99",
    "2001:db8:1::7",
];
const EXTENDED: &[&str] = &["VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"];
const COUNT: usize = 32;

/// The packets of a case.
pub(super) fn packets(dice: &mut Dice, case: &Value) -> Value {
    let known = known(case);
    let elements = elements(case);
    let named = named_ports(case);
    let list = dice.list(COUNT..=COUNT, |dice| {
        let of = (!elements.is_empty()).then(|| dice.pick(&elements));
        let ingress = of.map_or_else(|| dice.chance(50), |(ingress, _)| ingress);
        let edges: Vec<IpAddr> = of.map(|(_, element)| edges(element)).unwrap_or_default();
        let stranger = |dice: &mut Dice| address(dice.pick(STRANGERS));
        let peer = match dice.number(..10) {
            0..=4 if !edges.is_empty() => dice.pick(&edges),
            0..=7 if !known.is_empty() => dice.pick(&known),
            _ => stranger(dice),
        };
        let called = of.filter(|(ingress, element)| !ingress && has_name(element) && !named.is_empty());
        if called.is_some() && dice.chance(50) {
            let (peer, protocol, port) = dice.pick(&named);
            return json!({"dir": "egress", "peer": peer, "proto": protocol, "dport": port});
        }
        let mut packet = json!({"dir": if ingress { "ingress" } else { "egress" }, "peer": peer});
        let near = of.filter(|_| dice.chance(80)).and_then(|(_, element)| transport(dice, element));
        let (protocol, number) = near.unwrap_or_else(|| any_transport(dice));
        packet["proto"] = json!(protocol);
        match protocol {
            "TCP" | "UDP" | "SCTP" => packet["dport"] = json!(number),
            // Only one of the two is of the address's family.
            "ICMP" | "ICMPv6" => {
                packet["proto"] = json!(if peer.is_ipv4() { "ICMP" } else { "ICMPv6" });
                packet["icmpType"] = json!(number.min(255));
            }
            _ => {}
        }
        packet
    });
    Value::Array(list)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("a constant address")
}

/// Addresses of nodes, pods and API servers, and the ends of the prefixes of groups.
fn known(case: &Value) -> Vec<IpAddr> {
    let mut texts = Vec::new();
    for node in case["nodes"].as_array().into_iter().flatten() {
        texts.extend(node["internalIPs"].as_array().into_iter().flatten());
        texts.extend(node["externalIPs"].as_array().into_iter().flatten());
        texts.extend([&node["ciliumInternalIP"], &node["healthIP"], &node["ingressIP"]]);
    }
    texts.extend(case["kubeAPIServers"].as_array().into_iter().flatten());
    texts.extend(case["pods"].as_array().into_iter().flatten().map(|pod| &pod["ip"]));
    let mut all: BTreeSet<IpAddr> = texts.into_iter().filter_map(|text| text.as_str()?.parse().ok()).collect();
    all.extend(edges(&case["cidrGroups"]));
    all.into_iter().collect()
}

/// Every named port of every pod.
fn named_ports(case: &Value) -> Vec<(&Value, &Value, &Value)> {
    let pods = case["pods"].as_array().into_iter().flatten();
    pods.flat_map(|pod| {
        let ports = pod["namedPorts"].as_array().into_iter().flatten();
        ports.map(|port| (&pod["ip"], &port["protocol"], &port["port"]))
    })
    .collect()
}

/// Whether an element has a port by name.
fn has_name(element: &Value) -> bool {
    let rules = element["toPorts"].as_array().into_iter().flatten();
    let mut ports = rules.flat_map(|rule| rule["ports"].as_array().into_iter().flatten());
    ports.any(|port| port["port"].as_str().is_some_and(is_named))
}

/// Every element of every rule, and whether it is for ingress. An element without ports and peers is one too.
fn elements(case: &Value) -> Vec<(bool, &Value)> {
    let mut all = Vec::new();
    for list in ["policies", "previous"] {
        for object in case[list].as_array().into_iter().flatten() {
            let rules = object["specs"].as_array().into_iter().flatten().chain([&object["spec"]]);
            for rule in rules {
                for (name, ingress) in
                    [("ingress", true), ("ingressDeny", true), ("egress", false), ("egressDeny", false)]
                {
                    all.extend(rule[name].as_array().into_iter().flatten().map(|element| (ingress, element)));
                }
            }
        }
    }
    all
}

/// The first and last addresses of all prefixes that stand somewhere in a value, and those next to them.
fn edges(value: &Value) -> Vec<IpAddr> {
    let mut all = Vec::new();
    each_text(value, |text| {
        let Ok(prefix) = text.parse::<IpNet>() else { return };
        let (first, last) = (prefix.network(), prefix.broadcast());
        all.extend([first, last]);
        all.extend(step(first, false));
        all.extend(step(last, true));
    });
    all
}

fn step(address: IpAddr, up: bool) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(four) => {
            let bits = four.to_bits();
            IpAddr::V4(Ipv4Addr::from_bits(if up { bits.checked_add(1)? } else { bits.checked_sub(1)? }))
        }
        IpAddr::V6(six) => {
            let bits = six.to_bits();
            IpAddr::V6(Ipv6Addr::from_bits(if up { bits.checked_add(1)? } else { bits.checked_sub(1)? }))
        }
    })
}

fn each_text(value: &Value, mut visit: impl FnMut(&str)) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => visit(text),
            Value::Array(items) => left.extend(items),
            Value::Object(members) => left.extend(members.values()),
            _ => {}
        }
    }
}

/// A protocol and a port at an end of what an element names, if it names any.
fn transport(dice: &mut Dice, element: &Value) -> Option<(&'static str, u16)> {
    let mut all: Vec<(&'static str, u16)> = Vec::new();
    for rule in element["toPorts"].as_array().into_iter().flatten() {
        for port in rule["ports"].as_array().into_iter().flatten() {
            let protocols: &[&'static str] = match port["protocol"].as_str().unwrap_or("ANY") {
                "TCP" => &["TCP"],
                "UDP" => &["UDP"],
                "SCTP" => &["SCTP"],
                "ANY" => &["TCP", "UDP", "SCTP", "ICMP"],
                other => {
                    all.extend(EXTENDED.iter().find(|known| **known == other).map(|known| (*known, 0)));
                    continue;
                }
            };
            for protocol in protocols {
                all.extend(port_edges(port).into_iter().map(|number| (*protocol, number)));
            }
        }
    }
    for rule in element["icmps"].as_array().into_iter().flatten() {
        for field in rule["fields"].as_array().into_iter().flatten() {
            let kinds = match &field["type"] {
                Value::String(name) => icmp(name).to_vec(),
                number => vec![number.as_u64().map_or(0, |kind| kind.min(255) as u16)],
            };
            for kind in kinds {
                all.extend([kind.saturating_sub(1), kind, kind, kind + 1].map(|kind| ("ICMP", kind)));
            }
        }
    }
    (!all.is_empty()).then(|| dice.pick(&all))
}

/// Ends of a port or a range, whichever way it is written, and what pods call by its name.
fn port_edges(port: &Value) -> Vec<u16> {
    let text = port["port"].as_str().unwrap_or("0");
    let first = match text {
        name if is_named(name) => return vec![443, 80, 53],
        "010" => 8,
        "0x16" => 22,
        "0b101" => 5,
        other => other.replace('_', "").parse().unwrap_or(0_u16),
    };
    let end = port["endPort"].as_u64().and_then(|end| u16::try_from(end).ok()).unwrap_or(first);
    let middle = first.midpoint(end.max(first));
    vec![
        first.saturating_sub(1),
        first,
        first.saturating_add(1),
        middle,
        end.saturating_sub(1),
        end,
        end.saturating_add(1),
    ]
}

/// Numbers of the ICMP types that policies here name, of either family.
fn icmp(name: &str) -> &'static [u16] {
    match name {
        "EchoRequest" => &[8, 128],
        "TimeExceeded" => &[11],
        "PacketTooBig" => &[2],
        "NeighborSolicitation" => &[135],
        _ => &[0],
    }
}

fn any_transport(dice: &mut Dice) -> (&'static str, u16) {
    let ports = [0, 1, 8, 22, 53, 80, 81, 443, 2379, 6443, 10_250, 30_000, 32_767, 65_535];
    let kinds = [0, 3, 8, 11, 128, 129, 135, 255];
    match dice.weighted(&[(50, 0), (18, 1), (8, 2), (14, 3), (10, 4)]) {
        0 => ("TCP", dice.pick(&ports)),
        1 => ("UDP", dice.pick(&ports)),
        2 => ("SCTP", dice.pick(&ports)),
        3 => ("ICMP", dice.pick(&kinds)),
        _ => (dice.pick(EXTENDED), 0),
    }
}
