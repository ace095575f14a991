//! Who has which labels and addresses: host endpoints, pods and network sets.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::calico::state::{HostEndpoint, Profile};
use crate::snapshot::{Cluster, Pod};

/// Something that selectors of rules select.
#[derive(Clone, Debug, Default)]
pub(super) struct Owner {
    /// Own labels, and below them inherited ones.
    pub(super) labels: BTreeMap<String, String>,
    /// Addresses.
    pub(super) nets: Vec<IpNet>,
    /// Named ports: name, protocol number, port.
    pub(super) ports: Vec<(String, u8, u16)>,
}

impl Owner {
    /// Every host endpoint gives its expected addresses, active or not, whatever its node
    /// (projectcalico/calico:felix/labelindex/named_port_index.go).
    pub(super) fn of_endpoint(endpoint: &HostEndpoint) -> Self {
        Self {
            labels: endpoint.labels.clone(),
            nets: endpoint.addresses.iter().copied().map(IpNet::from).collect(),
            ports: endpoint.ports.clone(),
        }
    }

    /// Pods with addresses of their own, those of a kind as one owner; one in the host's network is no endpoint
    /// (projectcalico/calico:libcalico-go/lib/backend/k8s/conversion).
    pub(super) fn of_pods(
        pods: &[Pod],
        profiles: &BTreeMap<String, Arc<Profile>>,
    ) -> impl Iterator<Item = Self> + use<> {
        let mut kinds: HashMap<Kind, Vec<IpNet>> = HashMap::new();
        for pod in pods.iter().filter(|pod| !pod.host_network && !pod.addresses.is_empty()) {
            let nets = kinds.entry(kind(pod, profiles)).or_default();
            nets.extend(pod.addresses.iter().copied().map(IpNet::from));
        }
        kinds.into_iter().map(|((labels, ports), mut nets)| {
            nets.shrink_to_fit();
            Self { labels, nets, ports }
        })
    }
}

/// All of a pod that is common to many: labels and named ports.
type Kind = (BTreeMap<String, String>, Vec<(String, u8, u16)>);

fn kind(pod: &Pod, profiles: &BTreeMap<String, Arc<Profile>>) -> Kind {
    let account = if pod.service_account.is_empty() { "default" } else { &pod.service_account };
    let mut labels = (*pod.labels).clone();
    labels.insert("projectcalico.org/orchestrator".to_owned(), "k8s".to_owned());
    labels.insert("projectcalico.org/namespace".to_owned(), pod.namespace.clone());
    labels.insert("projectcalico.org/serviceaccount".to_owned(), account.to_owned());
    let parents = [format!("kns.{}", pod.namespace), format!("ksa.{}.{account}", pod.namespace)];
    inherit(&mut labels, &parents, profiles);
    let ports = pod.ports.iter().filter_map(|port| {
        let protocol = match port.protocol.as_str() {
            "" | "TCP" => 6,
            "UDP" => 17,
            "SCTP" => 132,
            _ => return None,
        };
        Some((port.name.clone(), protocol, port.port))
    });
    (labels, ports.collect())
}

/// Adds labels of profiles, where nothing stronger has the label: own labels first, then the first profile.
pub(super) fn inherit(
    labels: &mut BTreeMap<String, String>,
    parents: &[String],
    profiles: &BTreeMap<String, Arc<Profile>>,
) {
    for profile in parents.iter().filter_map(|name| profiles.get(name)) {
        for (name, value) in &profile.labels {
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Addresses that Calico knows a node by: its BGP address where an annotation gives one, else its first InternalIP
/// (projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/felixnodeprocessor.go).
pub(super) fn node_address(cluster: &Cluster, node: usize, v4: bool) -> Option<IpAddr> {
    let node = cluster.nodes.get(node)?;
    let annotation = if v4 { "projectcalico.org/IPv4Address" } else { "projectcalico.org/IPv6Address" };
    let text = node.annotations.get(annotation).map(|text| text.split_once('/').map_or(text.as_str(), |(ip, _)| ip));
    let annotated = text.and_then(|text| text.parse::<IpAddr>().ok());
    annotated.or_else(|| node.internal.iter().copied().find(|address| address.is_ipv4() == v4))
}
