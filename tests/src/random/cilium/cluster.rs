//! Settings, nodes, API servers, pods and CIDR groups.

use serde_json::{Map, Value, json};

use super::Dice;

/// Values of labels.
pub(super) const VALUES: &[&str] = &["", "r1", "r0", "gold", "web", "prom", "metrics-server", "sec", "net", "true"];
/// Names of CIDR groups; the last is never there.
pub(super) const GROUPS: &[&str] = &["office", "vpn", "lab", "empty", "missing"];
/// Prefixes of policies and groups. They nest, meet at their ends, and cover nodes, pods and API servers.
pub(super) const PREFIXES: &[&str] = &[
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "10.0.0.5/8",
    "10.0.0.0/24",
    "10.0.0.0/30",
    "10.0.0.1/32",
    "10.0.0.2/32",
    "10.0.0.3/32",
    "10.0.1.0/24",
    "10.244.0.0/16",
    "10.244.1.0/24",
    "10.244.2.0/24",
    "10.244.1.5/32",
    "10.244.2.5/32",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.0.2.0/25",
    "192.0.2.128/25",
    "192.0.2.64/26",
    "192.0.2.6/31",
    "192.0.2.7/32",
    "198.51.100.0/24",
    "198.51.100.9/32",
    "203.0.113.0/24",
    "203.0.113.1/32",
    "255.255.255.255/32",
    "::/0",
    "::/1",
    "8000::/1",
    "fd00::/8",
    "fd00::/64",
    "fd00::2/128",
    "fd00:10::/32",
    "fd00:10::5/128",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8::1/128",
];

pub(super) fn config(dice: &mut Dice) -> Value {
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
    set("enable-policy", json!(dice.weighted(&[(88, "default"), (8, "always"), (4, "never")])));
    set("policy-cidr-match-mode", json!(dice.weighted(&[(55, ""), (25, "nodes"), (10, "pods"), (10, "nodes,pods")])));
    set("enable-node-selector-labels", json!(dice.chance(40)));
    set("enable-extended-ip-protocols", json!(dice.chance(40)));
    set("policy-default-local-cluster", json!(!dice.chance(12)));
    set("enable-non-default-deny-policies", json!(!dice.chance(7)));
    set("enable-icmp-rules", json!(!dice.chance(4)));
    set("cluster-name", json!(dice.weighted(&[(70, "default"), (30, "c1")])));
    let (four, six) = dice.weighted(&[(76, (true, true)), (18, (true, false)), (6, (false, true))]);
    set("enable-ipv4", json!(four));
    set("enable-ipv6", json!(six));
    if dice.chance(3) {
        set("enable-host-firewall", json!(false));
    }
    if dice.chance(3) {
        set("enable-l7-proxy", json!(false));
    }
    if dice.chance(5) {
        set("cluster-id", json!(3));
    }
    if dice.chance(6) {
        let patterns = ["!rack", "k8s:!node-role", "k8s:rack", "k8s:app k8s:io.kubernetes.pod.namespace", "tier rack"];
        set("labels", json!(dice.pick(&patterns)));
    }
    if dice.chance(6) {
        set("node-labels", json!(dice.pick(&["rack", "!rack", "!kubernetes.io", "node:tier"])));
    }
    if dice.chance(5) {
        set("exclude-node-label-patterns", json!(dice.pick(&["^rack$", "^node-role", "zone tier"])));
    }
    Value::Object(config)
}

/// Nodes of the cluster at hand first, at times one of another cluster last.
pub(super) fn nodes(dice: &mut Dice) -> Vec<Value> {
    let count = dice.number(1..=4);
    let mut nodes: Vec<Value> = (1..=count).map(|number| node(dice, number)).collect();
    if dice.chance(15) {
        nodes.push(json!({
            "name": "far", "labels": {"rack": "r1"}, "internalIPs": ["10.9.0.1", "fd00:9::1"],
            "ciliumInternalIP": "10.244.9.1", "healthIP": "10.244.9.2", "podCIDRs": ["10.244.9.0/24"],
            "cluster": dice.pick(&["other", "default"]),
        }));
    }
    nodes
}

fn node(dice: &mut Dice, number: usize) -> Value {
    let name = format!("node-{number}");
    let mut labels = Map::new();
    let mut put = |key: &str, value: &str| labels.insert(key.to_owned(), json!(value));
    put("kubernetes.io/hostname", &name);
    put("topology.kubernetes.io/zone", dice.pick(&["z0", "z1"]));
    put("rack", dice.pick(&["r0", "r1"]));
    match dice.number(..4) {
        0 => put("node-role.kubernetes.io/control-plane", ""),
        1 => put("node-role.kubernetes.io/control-plane", "true"),
        _ => put("node-role.kubernetes.io/worker", ""),
    };
    if dice.chance(40) {
        put("tier", dice.pick(&["gold", "silver", ""]));
    }
    let mut internal = vec![format!("10.0.0.{number}")];
    if dice.chance(25) {
        internal.push(format!("10.0.1.{number}"));
    }
    if dice.chance(60) {
        internal.push(format!("fd00::{number}"));
    }
    if dice.chance(10) {
        internal.push(format!("fd00:1::{number}"));
    }
    let mut external = Vec::new();
    if dice.chance(30) {
        external.push(format!("203.0.113.{number}"));
    }
    let mut node = json!({
        "name": name, "labels": labels, "internalIPs": internal, "externalIPs": external,
        "ciliumInternalIP": format!("10.244.{number}.1"),
        "healthIP": format!("10.244.{number}.2"),
        "podCIDRs": [format!("10.244.{number}.0/24")],
    });
    if dice.chance(30) {
        node["ingressIP"] = json!(format!("10.244.{number}.3"));
    }
    if dice.chance(15) {
        node["healthIP"] = json!(format!("fd00:10:{number}::2"));
        node["ingressIP"] = json!(format!("fd00:10:{number}::3"));
        node["ciliumInternalIP"] = json!(format!("fd00:10:{number}::1"));
    }
    node
}

pub(super) fn api_servers(dice: &mut Dice) -> Vec<&'static str> {
    let all = ["10.0.0.1", "10.0.0.2", "198.51.100.9", "fd00::1", "192.0.2.7", "2001:db8::1", "10.0.1.1"];
    dice.several(&all, 0..=3)
}

pub(super) fn pods(dice: &mut Dice) -> Vec<Value> {
    let mut pods = vec![
        json!({"ip": "10.244.1.5", "namespace": "kube-system", "labels": {"k8s-app": "metrics-server"}, "node": "node-1"}),
        json!({"ip": "10.244.2.5", "namespace": "default", "labels": {"app": "web", "rack": "r1"}, "node": "node-2"}),
        json!({"ip": "10.244.3.5", "namespace": "monitoring", "labels": {"app": "prom"}, "node": "node-3",
               "namespaceLabels": {"team": "obs"}, "serviceAccount": "prom"}),
        json!({"ip": "fd00:10::5", "namespace": "default", "labels": {"app": "web"}, "node": "node-2"}),
        json!({"ip": "10.244.4.5", "namespace": "default", "labels": {"app": "web", "rack": "r1"}, "node": "node-4"}),
        json!({"ip": "10.244.1.6", "namespace": "default", "labels": {"io.cilium.k8s.policy.cluster": "fake",
               "kubernetes.io/hostname": "h", "app.kubernetes.io/name": "web"}, "node": "node-1"}),
    ];
    pods.retain(|_| dice.chance(70));
    for pod in &mut pods {
        let ports =
            [("web", 443, "TCP"), ("web", 80, "UDP"), ("https", 443, "TCP"), ("dns", 53, "UDP"), ("web", 80, "TCP")];
        let named: Vec<Value> = dice
            .several(&ports, 0..=2)
            .into_iter()
            .map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol}))
            .collect();
        // Two ports with one name and protocol are no pod.
        let clash =
            named.len() == 2 && named[0]["name"] == named[1]["name"] && named[0]["protocol"] == named[1]["protocol"];
        if dice.chance(45) && !clash {
            pod["namedPorts"] = json!(named);
        }
        match dice.number(..20) {
            0 | 1 => pod["cluster"] = json!(dice.pick(&["other", "far"])),
            2 => pod["unmanaged"] = json!(true),
            _ => {}
        }
    }
    pods
}

pub(super) fn groups(dice: &mut Dice) -> Vec<Value> {
    let names = dice.several(&GROUPS[..GROUPS.len() - 1], 0..=3);
    let mut groups = Vec::new();
    for name in names {
        let mut labels = Map::new();
        // No key that nodes have as well: of two labels with one key and different sources on the addresses of the host,
        // the agent keeps one at random.
        for key in dice.several(&["team", "env", "io.cilium.k8s.policy.cluster"], 0..=3) {
            labels.insert(key.to_owned(), json!(dice.pick(VALUES)));
        }
        let prefixes = if name == "empty" { Vec::new() } else { dice.several(PREFIXES, 1..=3) };
        groups.push(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
            "metadata": {"name": name, "labels": labels}, "spec": {"externalCIDRs": prefixes},
        }));
    }
    groups
}
