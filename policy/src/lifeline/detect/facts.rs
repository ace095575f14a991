//! What several detectors ask about a cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Find;
use super::api::Api;
use super::etcd::Etcd;
use crate::lifeline::config::{Distribution, Parameters};
use crate::lifeline::model::{Origin, Party};
use crate::net::Family;
use crate::snapshot::{Cluster, EndpointSlice, Key, Node, Pod, Snapshot};

/// Nodes by name.
pub(super) type Names = Arc<BTreeSet<String>>;

pub(super) struct Facts<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) cluster: &'s Cluster,
    pub(super) parameters: &'s Parameters,
    /// Every node of this cluster.
    pub(super) all: Names,
    pub(super) distribution: Option<(Distribution, Origin)>,
    pub(super) api: Api,
    pub(super) etcd: Etcd,
    by_address: HashMap<IpAddr, &'s str>,
    slices: BTreeMap<(&'s str, &'s str), Vec<&'s EndpointSlice>>,
}

impl<'s> Facts<'s> {
    pub(super) fn of(snapshot: &'s Snapshot, parameters: &'s Parameters) -> Self {
        let cluster = &*snapshot.cluster;
        let mut slices: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for slice in &cluster.slices {
            slices.entry((slice.namespace.as_str(), slice.service.as_str())).or_default().push(slice);
        }
        let nodes = || cluster.nodes.iter().filter(|node| node.cluster.is_empty());
        let addresses = nodes()
            .flat_map(|node| node.internal.iter().chain(&node.external).map(|address| (*address, node.name.as_str())));
        let mut facts = Self {
            snapshot,
            cluster,
            parameters,
            all: Arc::new(nodes().map(|node| node.name.clone()).collect()),
            distribution: distribution(snapshot, parameters),
            api: Api::default(),
            etcd: Etcd::default(),
            by_address: addresses.collect(),
            slices,
        };
        facts.api = Api::of(&facts);
        facts.etcd = Etcd::of(&facts);
        facts
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &'s Node> {
        self.cluster.nodes.iter().filter(|node| node.cluster.is_empty())
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &'s Pod> {
        self.cluster.pods.iter().filter(|pod| pod.cluster.is_empty())
    }

    pub(super) fn every_node(&self) -> Party {
        Party::Nodes(self.all.clone())
    }

    pub(super) fn is(&self, distribution: Distribution) -> bool {
        self.distribution.as_ref().is_some_and(|(it, _)| *it == distribution)
    }

    /// The node that has an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&'s str> {
        self.by_address.get(&address).copied()
    }

    /// Slices behind a service.
    pub(super) fn slices<'f>(&'f self, namespace: &'f str, service: &'f str) -> &'f [&'s EndpointSlice] {
        self.slices.get(&(namespace, service)).map_or(&[], Vec::as_slice)
    }

    /// Nodes that satisfy something, and where the first of them says so.
    pub(super) fn nodes_where(&self, test: fn(&Node) -> Option<String>) -> (BTreeSet<String>, Option<Origin>) {
        let mut origin = None;
        let named = self.nodes().filter_map(|node| {
            let field = test(node)?;
            origin.get_or_insert_with(|| of_node(node, field));
            Some(node.name.clone())
        });
        (named.collect(), origin)
    }

    /// Pods that have addresses of their own, as one party. Where no pod was captured, the prefixes they get theirs from.
    pub(super) fn pod_network(&self) -> (Party, Vec<Origin>) {
        let own = |pod: &&Pod| !pod.host_network;
        let mut nets: Vec<IpNet> =
            self.pods().filter(own).flat_map(|pod| pod.addresses.iter().copied().map(IpNet::from)).collect();
        let mut origins = Vec::new();
        if let Some(pod) = self.pods().find(|pod| own(pod) && !pod.addresses.is_empty()) {
            origins.push(of_pod(pod, "status.podIPs"));
        } else if let Some(stated) = self.parameters.addresses("podCIDRs") {
            nets.extend(stated.iter().map(|cidr| cidr.net()));
            origins.push(stated_by("podCIDRs"));
        } else {
            for node in self.nodes() {
                nets.extend(node.pod_cidrs.iter().filter_map(|text| text.parse::<IpNet>().ok()));
                if !node.pod_cidrs.is_empty() && origins.is_empty() {
                    origins.push(of_node(node, "spec.podCIDRs"));
                }
            }
        }
        (addresses("pods", nets), origins)
    }

    /// Whether nodes have IPv4 addresses, or none that is known.
    pub(super) fn v4(&self) -> bool {
        self.first_with(Family::IPv4).is_some() || self.v6().is_none()
    }

    /// A node with an IPv6 address.
    pub(super) fn v6(&self) -> Option<&'s Node> {
        self.first_with(Family::IPv6)
    }

    fn first_with(&self, family: Family) -> Option<&'s Node> {
        self.nodes().find(|node| node.internal.iter().any(|address| Family::of(*address) == family))
    }

    /// Prefixes that a parameter states. If it does not, that is noted.
    pub(super) fn stated(&self, find: &mut Find, parameter: &'static str, name: &str, what: &str) -> Option<Party> {
        let party = self.said(find, parameter, name);
        if party.is_none() {
            find.missing(parameter, what);
        }
        party
    }

    /// The same for a flow that the cluster certainly lives on.
    pub(super) fn stated_or_blocked(
        &self,
        find: &mut Find,
        parameter: &'static str,
        name: &str,
        what: &str,
    ) -> Option<Party> {
        let party = self.said(find, parameter, name);
        if party.is_none() {
            find.blocked(parameter, what);
        }
        party
    }

    fn said(&self, find: &mut Find, parameter: &str, name: &str) -> Option<Party> {
        let cidrs = self.parameters.addresses(parameter)?;
        if !cidrs.is_empty() {
            find.because([stated_by(parameter)]);
        }
        Some(addresses(name, cidrs.iter().map(|cidr| cidr.net()).collect()))
    }
}

/// Addresses as a party, prefixes joined.
pub(super) fn addresses(name: &str, mut nets: Vec<IpNet>) -> Party {
    nets.sort_unstable();
    nets.dedup();
    Party::Addresses { name: name.to_owned(), nets: IpNet::aggregate(&nets) }
}

/// Pods as ends of a flow: nodes for those on the host network, addresses for the others.
pub(super) fn parties(facts: &Facts<'_>, name: &str, pods: &[&Pod]) -> Vec<Party> {
    let own = pods.iter().filter(|pod| !pod.host_network);
    let nets = own.flat_map(|pod| pod.addresses.iter().copied().map(IpNet::from)).collect();
    let hosts = pods.iter().filter(|pod| pod.host_network && facts.all.contains(&pod.node));
    let nodes: BTreeSet<String> = hosts.map(|pod| pod.node.clone()).collect();
    vec![Party::Nodes(Arc::new(nodes)), addresses(name, nets)]
}

pub(super) fn key(group: &str, kind: &str, namespace: &str, name: &str) -> Key {
    Key { group: group.to_owned(), kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

pub(super) fn origin(key: Key, field: impl Into<String>) -> Origin {
    Origin { object: Some(key), field: field.into() }
}

pub(super) fn of_node(node: &Node, field: impl Into<String>) -> Origin {
    origin(key("", "Node", "", &node.name), field)
}

pub(super) fn of_pod(pod: &Pod, field: impl Into<String>) -> Origin {
    origin(key("", "Pod", &pod.namespace, &pod.name), field)
}

pub(super) fn of_slice(slice: &EndpointSlice, field: impl Into<String>) -> Origin {
    origin(key("discovery.k8s.io", "EndpointSlice", &slice.namespace, &slice.name), field)
}

/// A fact of the distribution or the CNI that no object tells.
pub(super) fn built_in(what: impl Into<String>) -> Origin {
    Origin { object: None, field: format!("built in: {}", what.into()) }
}

pub(super) fn stated_by(parameter: &str) -> Origin {
    Origin { object: None, field: format!("spec.parameters.{parameter}") }
}

/// The value of a flag among arguments: `--flag=value` or `--flag value`.
pub(super) fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(index, arg)| match arg.strip_prefix(name)? {
        "" => args.get(index + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    })
}

/// Host and port of a URL or of `host:port`. IPv6 addresses stand in brackets.
pub(super) fn host_and_port(text: &str) -> (&str, Option<u16>) {
    let (default, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Some(443), rest),
        Some(("http", rest)) => (Some(80), rest),
        Some((_, rest)) => (None, rest),
        None => (None, text),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((address, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()).or(default));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok().or(default)),
        _ => (authority, default),
    }
}

/// What tells a distribution, the more telling first. Labels: harvester/harvester:pkg/util/constants.go,
/// openshift/machine-config-operator, Azure/AKS, linode/linode-cloud-controller-manager, kubernetes/kops.
fn distribution(snapshot: &Snapshot, parameters: &Parameters) -> Option<(Distribution, Origin)> {
    use Distribution::{Aks, Eks, Gke, Harvester, K0s, K3s, Kops, Kubeadm, Lke, Microk8s, Openshift, Rke2, Talos};
    if let Some(stated) = parameters.distribution {
        return Some((stated, stated_by("distribution")));
    }
    let os = |node: &Node, beginning: &str| {
        node.os_image.starts_with(beginning).then(|| "status.nodeInfo.osImage".to_owned())
    };
    let version = |node: &Node, part: &str| {
        node.kubelet_version.contains(part).then(|| "status.nodeInfo.kubeletVersion".to_owned())
    };
    let label = |node: &Node, beginning: &str| {
        let label = node.labels.keys().find(|label| label.starts_with(beginning))?;
        Some(format!("metadata.labels[{label}]"))
    };
    let tell = |node: &Node| {
        let first = [
            (Harvester, os(node, "Harvester").or_else(|| label(node, "node-role.harvesterhci.io/"))),
            (Talos, os(node, "Talos")),
            (Openshift, label(node, "node.openshift.io/os_id")),
            (K3s, version(node, "+k3s")),
            (Rke2, version(node, "+rke2")),
            (K0s, version(node, "+k0s")),
            (Eks, version(node, "-eks-")),
            (Gke, version(node, "-gke.")),
            (Aks, label(node, "kubernetes.azure.com/cluster")),
            (Lke, label(node, "lke.linode.com/pool-id")),
            (Microk8s, label(node, "microk8s.io/cluster")),
            (Kops, label(node, "kops.k8s.io/instancegroup")),
        ];
        let (distribution, field) = first.into_iter().find_map(|(it, field)| Some((it, field?)))?;
        Some((distribution, of_node(node, field)))
    };
    let nodes = snapshot.cluster.nodes.iter().filter(|node| node.cluster.is_empty());
    // A mark of Harvester on one node tells more than the version that all have.
    nodes.filter_map(tell).min_by_key(|(distribution, _)| *distribution != Harvester).or_else(|| {
        let map = snapshot.cluster.config_maps.iter().find(|map| map.name == "kubeadm-config")?;
        Some((Kubeadm, origin(key("", "ConfigMap", &map.namespace, &map.name), "data")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_taken_apart() {
        assert_eq!(host_and_port("https://10.0.0.1:6443/readyz"), ("10.0.0.1", Some(6443)));
        assert_eq!(host_and_port("https://api.example.com"), ("api.example.com", Some(443)));
        assert_eq!(host_and_port("http://[fd00::1]:80"), ("fd00::1", Some(80)));
        assert_eq!(host_and_port("10.0.0.1:6443"), ("10.0.0.1", Some(6443)));
        assert_eq!(host_and_port("fd00::1"), ("fd00::1", None));
        assert_eq!(host_and_port(""), ("", None));
    }

    #[test]
    fn flags_are_found_in_both_forms() {
        let args: Vec<String> = ["kube-apiserver", "--secure-port=7443", "--etcd", "x"].map(str::to_owned).into();
        assert_eq!((flag(&args, "--secure-port"), flag(&args, "--etcd")), (Some("7443"), Some("x")));
        assert_eq!((flag(&args, "--secure"), flag(&args, "--none")), (None, None));
    }
}
