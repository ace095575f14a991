//! What clusters have thousands of, without what no verdict reads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

/// Labels or annotations.
pub(super) type Map = BTreeMap<String, String>;

/// Facts about a cluster other than policy. Every list is sorted by namespace and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Pods, without those that have ended.
    pub pods: Vec<Pod>,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Service accounts.
    pub service_accounts: Vec<ServiceAccount>,
    /// Services.
    pub services: Vec<Service>,
    /// Endpoint slices.
    pub slices: Vec<EndpointSlice>,
    /// ConfigMaps that are kept (`cilium-config`, kubelet, kubeadm and kube-proxy configuration, ...).
    pub config_maps: Vec<ConfigMap>,
    /// DaemonSets: the agents, for their environment and arguments.
    pub daemon_sets: Vec<DaemonSet>,
    /// Deployments, for the same reason.
    pub deployments: Vec<Deployment>,
    /// What pods mount from outside the cluster, sorted by name.
    pub volumes: Vec<Volume>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Map,
    /// Annotations.
    pub annotations: Map,
    /// `status.addresses` of type InternalIP, in the order listed.
    pub internal: Vec<IpAddr>,
    /// Of type ExternalIP.
    pub external: Vec<IpAddr>,
    /// `spec.podCIDRs`, as written.
    pub pod_cidrs: Vec<String>,
    /// `status.daemonEndpoints.kubeletEndpoint.Port`.
    pub kubelet_port: Option<u16>,
    /// `spec.providerID`; tells managed clusters.
    pub provider_id: String,
    /// `status.nodeInfo.kubeletVersion`; tells distributions.
    pub kubelet_version: String,
    /// `status.nodeInfo.osImage`; tells distributions too.
    pub os_image: String,
    /// Name of the cluster it belongs to, where clusters are meshed; empty for the one at hand.
    pub cluster: String,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: PodLabels,
    /// Annotations that a verdict reads (Calico's and Cilium's own).
    pub annotations: Map,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// `spec.nodeName`.
    pub node: String,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `spec.serviceAccountName`.
    pub service_account: String,
    /// Ports of its containers that have a name.
    pub ports: Vec<NamedPort>,
    /// Ports that it takes on its node's addresses: with `hostNetwork` all that its containers declare, otherwise their
    /// `hostPort`. The name may be empty.
    pub host_ports: Vec<NamedPort>,
    /// Commands and arguments of its containers, one after another, where they tell how the cluster is set up: static
    /// pods of the control plane, and agents of its tunnels.
    pub args: Vec<String>,
    /// Name of the cluster it belongs to, where clusters are meshed; empty for the one at hand.
    pub cluster: String,
    /// Whether it is known to have no CiliumEndpoint, as one that was started before the agent.
    pub unmanaged: bool,
}

/// Labels of a pod. There are many pods, and those of one workload mostly have the same labels: they share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodLabels(Arc<Map>);

impl Deref for PodLabels {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<L: Into<BTreeMap<String, String>>> From<L> for PodLabels {
    fn from(labels: L) -> Self {
        Self(Arc::new(labels.into()))
    }
}

/// A port with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    /// Name.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Number.
    pub port: u16,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Map,
}

/// A service account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Map,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `spec.type`.
    pub kind: String,
    /// `spec.clusterIPs`, without `None`.
    pub cluster_addresses: Vec<IpAddr>,
    /// Load balancer and external addresses.
    pub external_addresses: Vec<IpAddr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`.
    pub selector: Option<Map>,
    /// `spec.healthCheckNodePort`, if it has one.
    pub health_check_port: Option<u16>,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, may be empty.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Number.
    pub port: u16,
    /// Node port, if it has one.
    pub node_port: Option<u16>,
    /// Number or name.
    pub target_port: String,
}

/// Addresses behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Label `kubernetes.io/service-name`.
    pub service: String,
    /// Addresses.
    pub endpoints: Vec<Endpoint>,
    /// Ports.
    pub ports: Vec<EndpointPort>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready`; absent counts as ready.
    pub ready: bool,
    /// `nodeName`.
    pub node: String,
}

/// One port of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPort {
    /// Name, may be empty.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Number; absent means every port.
    pub port: Option<u16>,
}

/// A ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `data`.
    pub data: Map,
}

/// A DaemonSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonSet {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Containers, init containers left out.
    pub containers: Vec<Container>,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Containers, init containers left out.
    pub containers: Vec<Container>,
}

/// A persistent volume that nodes reach over the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Path of the field that names the server, such as `spec.nfs.server`.
    pub field: String,
    /// Address or name of the server, with its port if one is written.
    pub server: String,
}

/// A container of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image; tells the version.
    pub image: String,
    /// Environment with a literal value.
    pub env: Map,
    /// Names of variables whose value comes from elsewhere (`valueFrom`), which a snapshot does not see.
    pub env_from_elsewhere: Vec<String>,
    /// Command and arguments.
    pub args: Vec<String>,
}
