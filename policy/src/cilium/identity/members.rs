//! What the agents of a cluster know: nodes, pods and API servers.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::cilium::label::{CLUSTER, K8S, Label, Labels, NAMESPACE, NAMESPACE_LABELS, NODE, SERVICE_ACCOUNT};
use crate::cilium::label_filter::KeptKeys;
use crate::cilium::settings::Settings;
use crate::net::Family;
use crate::object;
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Cluster, Node, Pod, Snapshot};

/// Nodes, pods and API servers, as far as agents tell them apart.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Member>,
    /// Labels and own-cluster mark of each pod address.
    pub pods: BTreeMap<IpAddr, PodMember>,
    /// Addresses behind the service `default/kubernetes`.
    pub api_servers: BTreeSet<IpAddr>,
    /// Fields of CiliumNodes that nothing here reads, and CiliumNodes that cannot be read.
    pub unknown: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Every address of the node, which on the node itself are all the host.
    pub own: BTreeSet<IpAddr>,
    /// Addresses that agents publish: the first of each type and family, and Cilium's own.
    pub published: Vec<IpAddr>,
    /// Whether other agents know the node yet.
    pub known: bool,
    /// Health endpoints.
    pub health: Vec<IpAddr>,
    /// Ingress addresses.
    pub ingress: Vec<IpAddr>,
    /// Labels that peers may select it by, with those of its cluster.
    pub labels: Labels,
    /// Labels by which host policies select it.
    pub host_labels: Labels,
}

/// A pod address.
#[derive(Clone, Debug)]
pub struct PodMember {
    /// Labels that take part in policies. Pods with equal ones share them.
    pub labels: Arc<Labels>,
    /// Whether it is of the cluster at hand.
    pub own_cluster: bool,
    /// Whether Cilium does not manage it.
    pub unmanaged: bool,
    /// Named ports by name and protocol.
    pub ports: Vec<(String, String, u16)>,
}

/// The part of a CiliumNode that is read.
#[derive(Debug, Default, Deserialize)]
struct CiliumNodeSpec {
    #[serde(default)]
    addresses: Vec<NodeAddress>,
    #[serde(default)]
    health: Option<Pair>,
    #[serde(default)]
    ingress: Option<Pair>,
}

#[derive(Debug, Deserialize)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
struct Pair {
    #[serde(default)]
    ipv4: String,
    #[serde(default)]
    ipv6: String,
}

impl Pair {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [&self.ipv4, &self.ipv6].into_iter().filter_map(|text| text.parse().ok())
    }
}

impl Members {
    /// Reads them from a snapshot.
    ///
    /// Agents learn of each other through CiliumNodes: where there are any, a Node without one is not known to others
    /// yet, and its addresses are to them what they would be without it. Where there are none, Nodes stand in.
    pub fn read(snapshot: &Snapshot, settings: &Settings) -> Self {
        let mut members = Self::default();
        let mut published = BTreeMap::new();
        for manifest in snapshot.of(CILIUM, "CiliumNode") {
            let spec = manifest.value.get("spec").cloned().unwrap_or_else(|| serde_json::json!({}));
            match object::parse::<CiliumNodeSpec>(&spec) {
                Ok(parsed) => {
                    published.insert(manifest.key.name.clone(), parsed.object);
                }
                Err(error) => members.unknown.push(format!("{}: spec.{error}", manifest.key)),
            }
        }
        let mut peers = KeptKeys::new(settings.peer_node_labels(), NODE);
        let mut hosts = KeptKeys::new(settings.host_labels(), K8S);
        for node in &snapshot.cluster.nodes {
            let spec = published.get(&node.name);
            let known = spec.is_some() || published.is_empty() || !node.cluster.is_empty();
            members.nodes.insert(node.name.clone(), Member::new(node, spec, known, settings, &mut peers, &mut hosts));
        }
        members.add_pods(&snapshot.cluster, settings);
        members.api_servers = snapshot
            .cluster
            .slices
            .iter()
            .filter(|slice| slice.namespace == "default" && slice.service == "kubernetes")
            .flat_map(|slice| slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().copied()))
            .collect();
        members
    }

    fn add_pods(&mut self, cluster: &Cluster, settings: &Settings) {
        let mut filter = KeptKeys::new(settings.pod_labels(), K8S);
        let namespaces: BTreeMap<&str, &BTreeMap<String, String>> =
            cluster.namespaces.iter().map(|namespace| (namespace.name.as_str(), &namespace.labels)).collect();
        let mut known: HashSet<Arc<Labels>> = HashSet::new();
        for pod in cluster.pods.iter().filter(|pod| !pod.host_network) {
            let labels = pod_labels(pod, namespaces.get(pod.namespace.as_str()).copied(), settings, &mut filter);
            let labels = known.get(&labels).cloned().unwrap_or_else(|| Arc::new(labels));
            known.insert(Arc::clone(&labels));
            let member = PodMember {
                labels,
                own_cluster: pod.cluster.is_empty() || pod.cluster == settings.cluster.value,
                unmanaged: pod.unmanaged,
                ports: pod
                    .ports
                    .iter()
                    .map(|port| (port.name.to_ascii_lowercase(), port.protocol.clone(), port.port))
                    .collect(),
            };
            for address in &pod.addresses {
                self.pods.insert(*address, member.clone());
            }
        }
    }
}

impl Member {
    fn new(
        node: &Node,
        spec: Option<&CiliumNodeSpec>,
        known: bool,
        settings: &Settings,
        peers: &mut KeptKeys,
        hosts: &mut KeptKeys,
    ) -> Self {
        let listed: Vec<IpAddr> =
            spec.iter().flat_map(|spec| &spec.addresses).filter_map(|address| address.ip.parse().ok()).collect();
        let mut first: Vec<IpAddr> = Vec::new();
        for list in [&node.internal, &node.external] {
            for family in [Family::IPv4, Family::IPv6] {
                first.extend(list.iter().find(|address| Family::of(**address) == family));
            }
        }
        first.extend(spec.iter().flat_map(|spec| &spec.addresses).filter_map(|address| {
            // Host names are listed among the addresses, with a type of their own.
            (address.kind != "Hostname").then(|| address.ip.parse::<IpAddr>().ok()).flatten()
        }));
        let pair = |get: fn(&CiliumNodeSpec) -> Option<&Pair>| -> Vec<IpAddr> {
            spec.and_then(get).map(|pair| pair.addresses().collect()).unwrap_or_default()
        };
        Self {
            own: node.internal.iter().chain(&node.external).chain(&listed).copied().collect(),
            published: first,
            known,
            health: pair(|spec| spec.health.as_ref()),
            ingress: pair(|spec| spec.ingress.as_ref()),
            labels: peer_labels(node, settings, peers),
            host_labels: host_labels(node, hosts),
        }
    }
}

/// Labels of a node as peers see them (cilium/cilium:pkg/node/manager/manager.go, `nodeIdentityLabels`).
fn peer_labels(node: &Node, settings: &Settings, filter: &mut KeptKeys) -> Labels {
    if !settings.node_selectors.value {
        return Labels::default();
    }
    let kept = node.labels.iter().filter(|(key, _)| filter.keep(key));
    let mut labels: Labels = kept.map(|(key, value)| Label::new(NODE, key, value)).collect();
    let cluster = if node.cluster.is_empty() { &settings.cluster.value } else { &node.cluster };
    labels.insert(Label::new(K8S, CLUSTER, cluster));
    labels
}

/// Labels of a node's own endpoint (cilium/cilium:pkg/endpoint/endpoint.go, `InitWithNodeLabels`).
fn host_labels(node: &Node, filter: &mut KeptKeys) -> Labels {
    let kept = node.labels.iter().filter(|(key, _)| filter.keep(key));
    let mut labels: Labels = kept.map(|(key, value)| Label::new(K8S, key, value)).collect();
    labels.insert(Label::reserved("host"));
    labels
}

/// Labels of a pod (cilium/cilium:pkg/k8s/utils/utils.go, `SanitizePodLabels`).
fn pod_labels(
    pod: &Pod,
    namespace: Option<&BTreeMap<String, String>>,
    settings: &Settings,
    filter: &mut KeptKeys,
) -> Labels {
    let mut all: BTreeMap<String, &str> = pod
        .labels
        .iter()
        .filter(|(key, _)| !is_ciliums(key))
        .map(|(key, value)| (key.clone(), value.as_str()))
        .collect();
    for (key, value) in namespace.into_iter().flatten() {
        all.insert(format!("{NAMESPACE_LABELS}.{key}"), value);
    }
    all.insert(NAMESPACE.to_owned(), &pod.namespace);
    if !pod.service_account.is_empty() {
        all.insert(SERVICE_ACCOUNT.to_owned(), &pod.service_account);
    }
    let cluster = if pod.cluster.is_empty() { &settings.cluster.value } else { &pod.cluster };
    all.insert(CLUSTER.to_owned(), cluster);
    let kept = all.into_iter().filter(|(key, _)| filter.keep(key));
    kept.map(|(key, value)| Label::new(K8S, &key, value)).collect()
}

/// Whether a label key is Cilium's own, which users cannot set.
pub(super) fn is_ciliums(key: &str) -> bool {
    key.starts_with("io.cilium.k8s")
}
