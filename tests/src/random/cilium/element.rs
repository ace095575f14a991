//! Elements of rules: peers, ports and ICMP types, in every form that they have.

use serde_json::{Map, Value, json};

use super::Dice;
use super::cluster::{GROUPS, PREFIXES, VALUES};

/// Which list an element is for.
#[derive(Clone, Copy)]
pub(super) struct Side {
    /// `ingress` and `ingressDeny`, whose peers are in `from...`.
    pub(super) from: bool,
    /// It denies.
    pub(super) deny: bool,
}

pub(super) const ENTITIES: &[&str] = &[
    "all",
    "world",
    "cluster",
    "cluster-mesh",
    "host",
    "init",
    "ingress",
    "unmanaged",
    "remote-node",
    "health",
    "none",
    "kube-apiserver",
];
const KEYS: &[&str] = &[
    "app",
    "k8s:app",
    "k8s-app",
    "rack",
    "any:rack",
    "node:rack",
    "node:tier",
    "node:kubernetes.io/hostname",
    "k8s:io.kubernetes.pod.namespace",
    "io.kubernetes.pod.namespace",
    "k8s:io.cilium.k8s.policy.cluster",
    "io.cilium.k8s.policy.cluster",
    "io.cilium.k8s.policy.serviceaccount",
    "io.cilium.k8s.namespace.labels.team",
    "app.kubernetes.io/name",
    "kubernetes.io/hostname",
    "reserved:host",
    "reserved:remote-node",
    "reserved:kube-apiserver",
    "reserved:world",
    "reserved:world-ipv4",
    "reserved:health",
    "reserved:ingress",
    "reserved:unmanaged",
    "reserved:aggregate-world",
    "remote-node",
    "kube-apiserver",
    "world-ipv6",
    "cidrgroup:team",
    "cidr:10.0.0.0/8",
    "cidr:192.0.2.0/24",
];
const NAMESPACES: &[&str] = &["default", "kube-system", "monitoring", "other", "c1", "far", "node-1", "node-2"];

pub(super) fn element(dice: &mut Dice, side: Side) -> Value {
    if !side.from && dice.chance(6) {
        return by_name(dice);
    }
    let mut element = Map::new();
    peers(dice, side, &mut element);
    match dice.weighted(&[(30, 0), (50, 1), (14, 2), (3, 3), (3, 4)]) {
        1 => {
            let rules = dice.list(1..=2, |dice| port_rule(dice, side, element.is_empty()));
            element.insert("toPorts".to_owned(), Value::Array(rules));
        }
        2 => {
            let rules = dice.list(1..=2, icmps);
            element.insert("icmps".to_owned(), Value::Array(rules));
        }
        3 => {
            element.insert("toPorts".to_owned(), json!([]));
        }
        4 => {
            element.insert("icmps".to_owned(), json!([]));
        }
        _ => {}
    }
    if !side.deny && dice.chance(3) {
        // One mode only: where two differ about a peer and port, the agent cannot make a policy at all.
        element.insert("authentication".to_owned(), json!({"mode": "required"}));
    }
    Value::Object(element)
}

/// Ports that peers call by a name, of peers who seldom get there otherwise: by all that there are, and by what they lack, as
/// aggregates do.
fn by_name(dice: &mut Dice) -> Value {
    let lacks = |dice: &mut Dice| {
        let key = dice.pick(&["app", "k8s:app", "k8s-app", "k8s:io.kubernetes.pod.namespace"]);
        let missing = if dice.chance(50) {
            json!({"key": key, "operator": "DoesNotExist"})
        } else {
            json!({"key": key, "operator": "NotIn", "values": [dice.pick(VALUES), dice.pick(NAMESPACES)]})
        };
        json!({"matchExpressions": [missing, {"key": "reserved:host", "operator": "DoesNotExist"}]})
    };
    let mut element = match dice.number(..5) {
        0 => json!({}),
        1 => json!({"toEntities": dice.several(ENTITIES, 1..=2)}),
        2 => json!({"toCIDRSet": [{"cidrGroupSelector": {}}]}),
        3 => json!({"toEndpoints": dice.list(1..=1, lacks)}),
        _ => {
            let other = selector(dice, KEYS);
            json!({"toEndpoints": [lacks(dice), other]})
        }
    };
    let ports =
        dice.list(1..=2, |dice| json!({"port": dice.pick(NAMES), "protocol": dice.pick(&["TCP", "UDP", "ANY"])}));
    element["toPorts"] = json!([{"ports": ports}]);
    element
}

fn peers(dice: &mut Dice, side: Side, element: &mut Map<String, Value>) {
    let kind = dice.weighted(&[
        (14, ""),
        (26, "Entities"),
        (14, "Endpoints"),
        (16, "CIDR"),
        (18, "CIDRSet"),
        (5, "Nodes"),
        (2, "Groups"),
        (1, "Services"),
        (1, "FQDNs"),
        (3, "empty"),
    ]);
    let mut put = |kind: &str, list: Value| {
        element.insert(format!("{}{kind}", if side.from { "from" } else { "to" }), list);
    };
    match kind {
        "" => {}
        "Entities" => put(kind, json!(dice.several(ENTITIES, 1..=2))),
        "Endpoints" => put(kind, Value::Array(dice.list(1..=2, |dice| selector(dice, KEYS)))),
        "Nodes" => put(kind, Value::Array(dice.list(1..=2, |dice| selector(dice, &NODE_KEYS)))),
        "CIDR" => {
            let mut list = dice.several(PREFIXES, 1..=3);
            if dice.chance(2) {
                // A bare address: the agent takes it, the schema does not.
                list.push("192.0.2.7");
            }
            put(kind, json!(list));
        }
        "CIDRSet" => put(kind, Value::Array(dice.list(1..=2, cidr_rule))),
        "Groups" => put(kind, json!([])),
        "Services" | "FQDNs" if side.from => {}
        "Services" => put(kind, json!([{"k8sService": {"serviceName": "none", "namespace": "default"}}])),
        "FQDNs" if side.deny => {}
        "FQDNs" => put(kind, json!([dice.pick(&[json!({"matchName": "a.test"}), json!({"matchPattern": "*.test"})])])),
        _ => {
            // An empty list, at times beside a filled one.
            put(dice.pick(&["Entities", "Endpoints", "CIDR", "CIDRSet"]), json!([]));
            if dice.chance(40) {
                put("Entities", json!(dice.several(ENTITIES, 0..=2)));
            }
        }
    }
}

const NODE_KEYS: [&str; 8] = [
    "rack",
    "node:rack",
    "node:tier",
    "tier",
    "node:node-role.kubernetes.io/control-plane",
    "kubernetes.io/hostname",
    "reserved:kube-apiserver",
    "io.cilium.k8s.policy.cluster",
];

/// A label selector over some of the keys, at times an empty one.
pub(super) fn selector(dice: &mut Dice, keys: &[&str]) -> Value {
    let value = |dice: &mut Dice, key: &str| {
        let own = key.contains("namespace") || key.contains("cluster") || key.contains("hostname");
        let empty = key.starts_with("reserved:") || (!key.contains(':') && key.starts_with("world"));
        if empty && dice.chance(90) {
            json!("")
        } else if own && dice.chance(80) {
            json!(dice.pick(NAMESPACES))
        } else {
            json!(dice.pick(VALUES))
        }
    };
    let mut selector = Map::new();
    let mut labels = Map::new();
    for key in dice.several(keys, 0..=1) {
        labels.insert(key.to_owned(), value(dice, key));
    }
    if !labels.is_empty() || dice.chance(5) {
        selector.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if dice.chance(45) {
        let expressions = dice.list(1..=2, |dice| {
            let key = dice.pick(keys);
            let operator = dice.pick(&["In", "NotIn", "Exists", "DoesNotExist"]);
            if operator.ends_with("In") {
                let values = dice.list(1..=2, |dice| value(dice, key));
                json!({"key": key, "operator": operator, "values": values})
            } else {
                json!({"key": key, "operator": operator})
            }
        });
        selector.insert("matchExpressions".to_owned(), Value::Array(expressions));
    }
    Value::Object(selector)
}

fn cidr_rule(dice: &mut Dice) -> Value {
    // Mostly those with room for exceptions.
    let wide = ["10.0.0.0/8", "192.0.2.0/24", "10.0.0.0/24", "0.0.0.0/0", "fd00::/8", "2001:db8::/32", "10.244.0.0/16"];
    match dice.weighted(&[(45, 0), (20, 1), (20, 2), (15, 3)]) {
        0 => {
            let cidr = dice.pick(&wide);
            let parsed: ipnet::IpNet = cidr.parse().expect("a constant prefix");
            let inner: Vec<&str> = PREFIXES
                .iter()
                .copied()
                .filter(|text| text.parse::<ipnet::IpNet>().is_ok_and(|inner| parsed.contains(&inner)))
                .collect();
            json!({"cidr": cidr, "except": dice.several(&inner, 0..=3)})
        }
        1 => json!({"cidr": dice.pick(PREFIXES)}),
        2 => {
            let name = dice.pick(GROUPS);
            with_exceptions(dice, json!({"cidrGroupRef": name}))
        }
        _ => {
            let selector =
                selector(dice, &["team", "env", "rack", "cidrgroup:team", "io.cilium.policy.cidrgroupname/office"]);
            with_exceptions(dice, json!({"cidrGroupSelector": selector}))
        }
    }
}

fn with_exceptions(dice: &mut Dice, mut rule: Value) -> Value {
    if dice.chance(30) {
        rule["except"] = json!(dice.several(PREFIXES, 1..=2));
    }
    rule
}

fn port_rule(dice: &mut Dice, side: Side, alone: bool) -> Value {
    if dice.chance(4) {
        return dice.pick(&[json!({}), json!({"ports": []})]);
    }
    let mut rule = json!({"ports": dice.list(1..=3, port)});
    if !side.deny && !side.from && dice.chance(3) {
        rule = json!({"ports": [{"port": "53", "protocol": dice.pick(&["UDP", "ANY"])}],
                      "rules": {"dns": [{"matchPattern": "*"}]}});
    } else if !side.deny && !alone && dice.chance(2) {
        rule = json!({"ports": [{"port": "443", "protocol": "TCP"}], "serverNames": ["a.test"]});
    }
    rule
}

/// Names of ports; the last is no pod's.
const NAMES: &[&str] = &["web", "https", "dns", "WEB", "none"];

/// Whether a port is a name.
pub(super) fn is_named(port: &str) -> bool {
    NAMES.contains(&port)
}

fn port(dice: &mut Dice) -> Value {
    let protocol = dice.weighted(&[(48, "TCP"), (16, "UDP"), (8, "SCTP"), (14, "ANY"), (6, ""), (8, "extended")]);
    if protocol == "extended" {
        let name = dice.pick(&["VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"]);
        return match dice.weighted(&[(60, 0), (38, 1), (2, 2)]) {
            0 => json!({"protocol": name}),
            1 => json!({"protocol": name, "port": "0"}),
            _ => json!({"protocol": name, "port": ""}),
        };
    }
    let numbers = ["22", "53", "80", "443", "2379", "6443", "10250", "30000", "1", "65535", "32768", "1023"];
    let odd = ["0", "010", "0x16", "1_000", "00", "0b101"];
    let mut port = match dice.weighted(&[(80, 0), (9, 1), (10, 2), (1, 3)]) {
        0 => json!({"port": dice.pick(&numbers)}),
        1 => json!({"port": dice.pick(&odd)}),
        2 => json!({"port": dice.pick(NAMES)}),
        _ => json!({}),
    };
    if !protocol.is_empty() {
        port["protocol"] = json!(protocol);
    }
    if dice.chance(28) {
        port["endPort"] = json!(dice.pick(&[0, 17, 23, 80, 443, 1023, 2380, 32_767, 32_768, 65_535]));
    }
    port
}

fn icmps(dice: &mut Dice) -> Value {
    if dice.chance(6) {
        return dice.pick(&[json!({}), json!({"fields": []})]);
    }
    let fields = dice.list(1..=3, |dice| {
        let six = dice.chance(40);
        let kinds: &[Value] = &if six {
            [
                json!(128),
                json!("EchoRequest"),
                json!(0),
                json!("PacketTooBig"),
                json!(135),
                json!("NeighborSolicitation"),
            ]
        } else {
            [json!(8), json!("EchoRequest"), json!(0), json!("EchoReply"), json!(3), json!("TimeExceeded")]
        };
        let mut field = json!({"type": dice.pick(kinds)});
        if dice.chance(8) {
            field["type"] = json!(dice.pick(&[1, 3, 127, 200, 254, 255]));
        }
        if six {
            field["family"] = json!("IPv6");
        } else if dice.chance(60) {
            field["family"] = json!("IPv4");
        }
        field
    });
    json!({"fields": fields})
}
