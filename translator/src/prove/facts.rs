//! Who is who in the cluster that the proof is made in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy::net::{Cidr, Family};
use policy::object::LabelSelector;
use policy::packet::IpSet;
use policy::snapshot::{Cluster, Node};

use crate::matrix::Expanded;

/// Annotations in which Calico notes addresses of a node (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/node.go).
const ADDRESSES: &str = "projectcalico.org/IPv";

/// Nodes and pods, with the labels and addresses that rows speak of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) nodes: Vec<Member>,
    pods: Vec<Pod>,
    services: IpSet,
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
    pub(super) fn of(matrix: &Expanded, cluster: &Cluster) -> Self {
        let nodes = cluster.nodes.iter().map(|node| member(matrix, node)).collect();
        let namespaces: BTreeMap<&str, &BTreeMap<String, String>> =
            cluster.namespaces.iter().map(|namespace| (namespace.name.as_str(), &namespace.labels)).collect();
        let own = cluster.pods.iter().filter(|pod| !pod.host_network);
        let pods = own.map(|pod| Pod {
            labels: pod.labels.clone(),
            namespace: namespaces.get(pod.namespace.as_str()).map(|labels| (*labels).clone()).unwrap_or_default(),
            addresses: pod.addresses.clone(),
        });
        let services = cluster.services.iter().flat_map(|service| service.cluster_addresses.iter().copied());
        Self { nodes, pods: pods.collect(), services: services.collect() }
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
        if matrix.cluster.service_cidrs.is_empty() { self.services.clone() } else { prefixes(&matrix.cluster.service_cidrs) }
    }

    /// Addresses of nodes and pods that the facts of the matrix leave out, so that nothing holds for them for sure: external
    /// ones, and those outside the stated prefixes.
    pub(super) fn strays(&self, matrix: &Expanded) -> IpSet {
        let outside = |known: &[Cidr], address: &IpAddr| {
            let host = Cidr::host(*address);
            if known.is_empty() { !is_private(host) } else { !known.iter().any(|cidr| cidr.contains(host)) }
        };
        let cluster = &matrix.cluster;
        let nodes = self.nodes.iter().flat_map(|node| {
            let known = node.addresses.iter().filter(|address| outside(&cluster.node_cidrs, address));
            known.chain(&node.external)
        });
        let pods = self.pods.iter().flat_map(|pod| &pod.addresses);
        nodes.chain(pods.filter(|address| outside(&cluster.pod_cidrs, address))).copied().collect()
    }
}

fn member(matrix: &Expanded, node: &Node) -> Member {
    let noted = node.annotations.iter().filter(|(name, _)| name.starts_with(ADDRESSES));
    let noted = noted.filter_map(|(_, text)| text.split('/').next()?.parse::<IpAddr>().ok());
    let mut addresses = node.internal.clone();
    addresses.extend(noted);
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

/// Ranges that clusters take their own addresses from (RFC 1918, RFC 6598, RFC 4193).
fn is_private(cidr: Cidr) -> bool {
    const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];
    PRIVATE.iter().filter_map(|text| text.parse::<Cidr>().ok()).any(|private| private.contains(cidr))
}

/// The addresses of prefixes.
pub(super) fn prefixes(cidrs: &[Cidr]) -> IpSet {
    cidrs.iter().copied().collect()
}

/// The addresses that never leave a host.
pub(super) fn loopback() -> IpSet {
    [Family::IPv4, Family::IPv6].into_iter().map(Cidr::loopback).collect()
}
