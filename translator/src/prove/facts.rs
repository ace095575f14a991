//! Who is who in the cluster that the proof is made in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy::net::{Cidr, Family};
use policy::object::LabelSelector;
use policy::packet::IpSet;
use policy::snapshot::{Node, Snapshot};
use serde_json::Value;

use crate::matrix::Expanded;

/// Annotations in which Calico notes addresses of a node (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/node.go).
const ADDRESSES: &str = "projectcalico.org/IPv";

/// Nodes and pods, with the labels and addresses that rows speak of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) nodes: Vec<Member>,
    pods: Vec<Pod>,
    services: IpSet,
    /// What Cilium's agents have besides: endpoints for health checks and ingress.
    others: IpSet,
}

/// A node.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Roles that it is in; one, in a matrix whose roles are what they should be.
    pub(super) roles: Vec<usize>,
    /// Addresses that it sends from to other nodes.
    pub(super) addresses: Vec<IpAddr>,
    /// Further addresses, which are not sure to be known as the node's.
    pub(super) external: Vec<IpAddr>,
}

#[derive(Debug)]
struct Pod {
    labels: BTreeMap<String, String>,
    namespace: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
}

impl Facts {
    pub(super) fn of(matrix: &Expanded, snapshot: &Snapshot) -> Self {
        let cluster = &snapshot.cluster;
        let published = published(snapshot);
        let nodes = cluster.nodes.iter().map(|node| member(matrix, node, published.get(&node.name))).collect();
        let namespaces: BTreeMap<&str, &BTreeMap<String, String>> =
            cluster.namespaces.iter().map(|namespace| (namespace.name.as_str(), &namespace.labels)).collect();
        let own = cluster.pods.iter().filter(|pod| !pod.host_network);
        let pods = own.map(|pod| Pod {
            labels: (*pod.labels).clone(),
            namespace: namespaces.get(pod.namespace.as_str()).map(|labels| (*labels).clone()).unwrap_or_default(),
            addresses: pod.addresses.clone(),
        });
        let services = cluster.services.iter().flat_map(|service| service.cluster_addresses.iter().copied());
        let others = ["health", "ingress"].map(|list| addresses_of(snapshot, list)).concat();
        Self { nodes, pods: pods.collect(), services: services.collect(), others: others.into_iter().collect() }
    }

    /// Addresses of nodes.
    pub(super) fn nodes(&self, selected: impl Fn(&Member) -> bool) -> IpSet {
        self.nodes.iter().filter(|node| selected(node)).flat_map(|node| node.addresses.iter().copied()).collect()
    }

    /// Addresses of every pod.
    pub(super) fn pods(&self) -> IpSet {
        self.pods.iter().flat_map(|pod| pod.addresses.iter().copied()).collect()
    }

    /// Addresses of pods by label.
    pub(super) fn pods_of(&self, namespaces: Option<&LabelSelector>, pods: &LabelSelector) -> IpSet {
        let selected = self.pods.iter().filter(|pod| {
            pods.matches(&pod.labels) && namespaces.is_none_or(|namespaces| namespaces.matches(&pod.namespace))
        });
        selected.flat_map(|pod| pod.addresses.iter().copied()).collect()
    }

    /// Addresses of services.
    pub(super) fn services(&self, matrix: &Expanded) -> IpSet {
        if matrix.cluster.service_cidrs.is_empty() {
            self.services.clone()
        } else {
            prefixes(&matrix.cluster.service_cidrs)
        }
    }

    /// External addresses of nodes: whether a packet from there is the node's depends on how it comes in.
    pub(super) fn external(&self) -> IpSet {
        self.nodes.iter().flat_map(|node| node.external.iter().copied()).collect()
    }

    /// Addresses of nodes outside prefixes.
    pub(super) fn outside(&self, known: &[Cidr]) -> IpSet {
        self.nodes(|_| true).difference(&prefixes(known))
    }

    /// Addresses that the facts of the matrix leave out, so that whoever is known by identity may or may not be meant: those of
    /// nodes and pods outside the stated prefixes, and what is neither.
    pub(super) fn strays(&self, matrix: &Expanded) -> IpSet {
        let outside = |addresses: IpSet, known: &[Cidr]| {
            let known = if known.is_empty() { private() } else { prefixes(known) };
            addresses.difference(&known)
        };
        let nodes = outside(self.nodes(|_| true), &matrix.cluster.node_cidrs);
        nodes.union(&outside(self.pods(), &matrix.cluster.pod_cidrs)).union(&self.others)
    }
}

fn member(matrix: &Expanded, node: &Node, published: Option<&Vec<IpAddr>>) -> Member {
    let noted = node.annotations.iter().filter(|(name, _)| name.starts_with(ADDRESSES));
    let noted = noted.filter_map(|(_, text)| text.split('/').next()?.parse::<IpAddr>().ok());
    let mut addresses = node.internal.clone();
    addresses.extend(noted);
    addresses.extend(published.into_iter().flatten().filter(|address| !node.external.contains(address)));
    addresses.sort_unstable();
    addresses.dedup();
    Member {
        name: node.name.clone(),
        roles: (0..matrix.roles.len()).filter(|role| matrix.roles[*role].selector.matches(&node.labels)).collect(),
        labels: node.labels.clone(),
        external: node.external.iter().copied().filter(|address| !addresses.contains(address)).collect(),
        addresses,
    }
}

/// Addresses that Cilium's agents publish of each node.
fn published(snapshot: &Snapshot) -> BTreeMap<String, Vec<IpAddr>> {
    let of = |value: &Value| -> Vec<IpAddr> {
        let listed = value.pointer("/spec/addresses").and_then(Value::as_array).into_iter().flatten();
        let internal = listed.filter(|address| address["type"] != "ExternalIP");
        internal.filter_map(|address| address["ip"].as_str()?.parse().ok()).collect()
    };
    let nodes = snapshot.of("cilium.io", "CiliumNode");
    nodes.map(|manifest| (manifest.key.name.clone(), of(&manifest.value))).collect()
}

fn addresses_of(snapshot: &Snapshot, list: &str) -> Vec<IpAddr> {
    let nodes = snapshot.of("cilium.io", "CiliumNode");
    let texts = nodes.flat_map(|manifest| {
        ["ipv4", "ipv6"].map(|family| manifest.value.pointer(&format!("/spec/{list}/{family}")).and_then(Value::as_str))
    });
    texts.flatten().filter_map(|text| text.parse().ok()).collect()
}

/// Ranges that clusters take their own addresses from (RFC 1918, RFC 6598, RFC 4193).
fn private() -> IpSet {
    const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];
    PRIVATE.iter().filter_map(|text| text.parse::<Cidr>().ok()).collect()
}

/// The addresses of prefixes.
pub(super) fn prefixes(cidrs: &[Cidr]) -> IpSet {
    cidrs.iter().copied().collect()
}

/// The addresses that never leave a host.
pub(super) fn loopback() -> IpSet {
    [Family::IPv4, Family::IPv6].into_iter().map(Cidr::loopback).collect()
}
