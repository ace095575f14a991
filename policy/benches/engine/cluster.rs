//! Clusters of any size, for both CNIs: three roles, some policies for one of them and most for all.

use std::sync::Arc;

use policy::snapshot::{Cluster, Key, Manifest, Node, Objects, Snapshot};
use serde_json::{Value, json};

/// How large a cluster is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) policies: usize,
    pub(crate) rules: usize,
}

pub(crate) const ROLES: usize = 3;
/// Rules of a policy.
pub(crate) const RULES: usize = 10;

/// One rule: TCP to a port of the host, from a prefix or from a role.
pub(crate) struct Rule {
    pub(crate) port: u16,
    pub(crate) from: From,
}

pub(crate) enum From {
    Prefix([u8; 4], u8),
    Role(usize),
}

/// The rule of a place in a policy. `salt` makes it another one.
pub(crate) fn rule(policy: usize, index: usize, salt: usize) -> Rule {
    let number = policy * 131 + index * 7 + salt * 977;
    let port = 1024 + (number * 37 % 30_000) as u16;
    if index % 5 == 4 {
        return Rule { port, from: From::Role(number % ROLES) };
    }
    Rule { port, from: From::Prefix([10, 64 + (number / 256 % 64) as u8, (number % 256) as u8, 0], 24) }
}

/// Whom a policy is for: one in ten for one role, the others for all.
fn subject(policy: usize) -> Option<usize> {
    policy.is_multiple_of(10).then_some(policy / 10 % ROLES)
}

/// Whether a policy is for the nodes of a role.
pub(crate) fn concerns(policy: usize, role: usize) -> bool {
    subject(policy).is_none_or(|subject| subject == role)
}

pub(crate) fn address(node: usize) -> [u8; 4] {
    [10, 0, (node / 250) as u8, (node % 250 + 1) as u8]
}

fn text([a, b, c, d]: [u8; 4]) -> String {
    format!("{a}.{b}.{c}.{d}")
}

pub(crate) fn node_name(index: usize) -> String {
    format!("n{index:05}")
}

fn nodes(size: Size) -> Vec<Node> {
    (0..size.nodes)
        .map(|index| Node {
            name: node_name(index),
            labels: [
                ("role".to_owned(), format!("r{}", index % ROLES)),
                ("kubernetes.io/hostname".to_owned(), node_name(index)),
                ("kubernetes.io/os".to_owned(), "linux".to_owned()),
                ("topology.kubernetes.io/zone".to_owned(), format!("z{}", index % 4)),
            ]
            .into(),
            internal: vec![text(address(index)).parse().expect("an address")],
            ..Node::default()
        })
        .collect()
}

fn snapshot(size: Size, objects: impl Iterator<Item = Manifest>) -> Snapshot {
    let cluster = Cluster { nodes: nodes(size), ..Cluster::default() };
    Snapshot { objects: Arc::new(objects.map(Arc::new).collect::<Objects>()), cluster: Arc::new(cluster) }
}

fn manifest(group: &str, version: &str, kind: &str, name: &str, labels: &Value, spec: &Value) -> Manifest {
    let key = Key { group: group.to_owned(), kind: kind.to_owned(), namespace: String::new(), name: name.to_owned() };
    let value = json!({
        "apiVersion": format!("{group}/{version}"), "kind": kind,
        "metadata": {"name": name, "labels": labels}, "spec": spec,
    });
    Manifest { key, version: version.to_owned(), value, source: None }
}

pub(crate) mod calico {
    use super::*;

    fn object(kind: &str, name: &str, labels: &Value, spec: &Value) -> Manifest {
        manifest("projectcalico.org", "v3", kind, name, labels, spec)
    }

    /// A policy whose first rule depends on `salt`.
    pub(crate) fn policy(index: usize, rules: usize, salt: usize) -> Manifest {
        let entity = |from: From| match from {
            From::Prefix(address, length) => json!({"nets": [format!("{}/{length}", text(address))]}),
            From::Role(role) => json!({"selector": format!("role == 'r{role}'")}),
        };
        let rules = (0..rules).map(|place| {
            let Rule { port, from } = rule(index, place, if place == 0 { salt } else { 0 });
            json!({"action": "Allow", "protocol": "TCP", "source": entity(from), "destination": {"ports": [port]}})
        });
        let selector = subject(index).map_or_else(|| "has(role)".to_owned(), |role| format!("role == 'r{role}'"));
        let spec = json!({
            "tier": "default", "order": index, "selector": selector, "types": ["Ingress"],
            "ingress": rules.collect::<Vec<_>>(),
        });
        object("GlobalNetworkPolicy", &format!("default.p{index:05}"), &json!({}), &spec)
    }

    pub(crate) fn cluster(size: Size) -> Snapshot {
        let endpoints = nodes(size).into_iter().map(|node| {
            let spec = json!({"node": node.name, "interfaceName": "*", "expectedIPs": [node.internal[0]]});
            object("HostEndpoint", &node.name, &json!(node.labels), &spec)
        });
        snapshot(size, endpoints.chain((0..size.policies).map(|index| policy(index, size.rules, 0))))
    }
}

pub(crate) mod cilium {
    use super::*;

    /// A policy whose first rule depends on `salt`: its port, and with `prefix` its prefix too.
    pub(crate) fn policy(index: usize, rules: usize, salt: usize, prefix: bool) -> Manifest {
        let rules = (0..rules).map(|place| {
            let changed = if place == 0 { salt } else { 0 };
            let Rule { port, .. } = rule(index, place, changed);
            let Rule { from, .. } = rule(index, place, if prefix { changed } else { 0 });
            let ports = json!([{"ports": [{"port": port.to_string(), "protocol": "TCP"}]}]);
            match from {
                From::Prefix(address, length) => {
                    json!({"fromCIDR": [format!("{}/{length}", text(address))], "toPorts": ports})
                }
                From::Role(_) => json!({"fromEntities": ["remote-node"], "toPorts": ports}),
            }
        });
        let selector = match subject(index) {
            None => json!({"matchExpressions": [{"key": "role", "operator": "Exists"}]}),
            Some(role) => json!({"matchLabels": {"role": format!("r{role}")}}),
        };
        let spec = json!({"nodeSelector": selector, "ingress": rules.collect::<Vec<_>>()});
        let (kind, name) = ("CiliumClusterwideNetworkPolicy", format!("p{index:05}"));
        manifest("cilium.io", "v2", kind, &name, &json!({}), &spec)
    }

    pub(crate) fn cluster(size: Size) -> Snapshot {
        snapshot(size, (0..size.policies).map(|index| policy(index, size.rules, 0, false)))
    }

    /// What the host firewall needs to be on.
    pub(crate) fn settings() -> std::collections::BTreeMap<String, String> {
        [("enable-host-firewall".to_owned(), "true".to_owned())].into()
    }
}
