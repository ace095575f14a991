//! Objects of the API server into the lean ones of [`Cluster`].

use std::net::IpAddr;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::object::IntOrString;
use crate::snapshot::cluster::Map;
use crate::snapshot::{
    Cluster, ConfigMap, Container, DaemonSet, Endpoint, EndpointPort, EndpointSlice, Key, NamedPort, Namespace, Node,
    Pod, Service, ServicePort,
};

/// ConfigMaps that say how a cluster or an agent is set up, by the beginning of their names.
const CONFIG_MAPS: [&str; 8] = [
    "calico-config",
    "canal-config",
    "cilium-config",
    "kube-flannel-cfg",
    "kube-proxy",
    "kubeadm-config",
    "kubelet-config",
    "rke2-canal-config",
];

/// A field that is not what the API server makes of it.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) path: String,
    pub(super) message: String,
}

type Read<T> = Result<T, Mistake>;

/// Adds an object to the cluster, unless it is of a kind that no verdict reads.
pub(super) fn take(cluster: &mut Cluster, key: &Key, value: &Value) -> Read<bool> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Node") => cluster.nodes.push(node(key, typed(value)?)?),
        ("", "Pod") => {
            let raw: RawPod = typed(value)?;
            // What has ended has no address any more.
            if !matches!(raw.status.phase.as_str(), "Succeeded" | "Failed") {
                cluster.pods.push(pod(key, raw)?);
            }
        }
        ("", "Namespace") => {
            let raw: RawMeta = typed(value)?;
            cluster.namespaces.push(Namespace { name: key.name.clone(), labels: raw.metadata.labels });
        }
        ("", "Service") => cluster.services.push(service(key, typed(value)?)?),
        ("", "ConfigMap") if CONFIG_MAPS.iter().any(|name| key.name.starts_with(name)) => {
            let raw: RawConfigMap = typed(value)?;
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            cluster.config_maps.push(ConfigMap { namespace, name, data: raw.data });
        }
        ("discovery.k8s.io", "EndpointSlice") => cluster.slices.push(slice(key, typed(value)?)?),
        ("apps", "DaemonSet") => cluster.daemon_sets.push(daemon_set(key, typed(value)?)),
        _ => return Ok(false),
    }
    Ok(true)
}

fn typed<T: DeserializeOwned>(value: &Value) -> Read<T> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| Mistake { path: error.path().to_string(), message: error.inner().to_string() })
}

impl Cluster {
    /// Takes out what was read of an object before.
    pub(in crate::snapshot) fn forget(&mut self, key: &Key) {
        let this = |namespace: &str, name: &str| namespace == key.namespace && name == key.name;
        match (key.group.as_str(), key.kind.as_str()) {
            ("", "Node") => self.nodes.retain(|node| node.name != key.name),
            ("", "Pod") => self.pods.retain(|pod| !this(&pod.namespace, &pod.name)),
            ("", "Namespace") => self.namespaces.retain(|namespace| namespace.name != key.name),
            ("", "Service") => self.services.retain(|service| !this(&service.namespace, &service.name)),
            ("", "ConfigMap") => self.config_maps.retain(|map| !this(&map.namespace, &map.name)),
            ("discovery.k8s.io", "EndpointSlice") => self.slices.retain(|slice| !this(&slice.namespace, &slice.name)),
            ("apps", "DaemonSet") => self.daemon_sets.retain(|set| !this(&set.namespace, &set.name)),
            _ => {}
        }
    }

    pub(in crate::snapshot) fn sort(&mut self) {
        self.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        self.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.services.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.slices.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.config_maps.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.daemon_sets.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    }
}

/// What `null` and an absent field have in common.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(deserialize_with = "or_default")]
    labels: Map,
    #[serde(deserialize_with = "or_default")]
    annotations: Map,
}

#[derive(Deserialize)]
struct RawMeta {
    metadata: Meta,
}

#[derive(Deserialize)]
struct RawNode {
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: RawNodeSpec,
    #[serde(default, deserialize_with = "or_default")]
    status: RawNodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeSpec {
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pod_cidrs: Vec<String>,
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeStatus {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<RawNodeAddress>,
    daemon_endpoints: RawDaemonEndpoints,
    node_info: RawNodeInfo,
}

#[derive(Deserialize)]
struct RawNodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawDaemonEndpoints {
    kubelet_endpoint: RawDaemonEndpoint,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawDaemonEndpoint {
    #[serde(rename = "Port")]
    port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeInfo {
    kubelet_version: String,
}

fn node(key: &Key, raw: RawNode) -> Read<Node> {
    let mut node = Node {
        name: key.name.clone(),
        labels: raw.metadata.labels,
        annotations: raw.metadata.annotations,
        pod_cidrs: raw.spec.pod_cidrs,
        // The API server writes 0 where a kubelet has not told.
        kubelet_port: raw.status.daemon_endpoints.kubelet_endpoint.port.filter(|port| *port != 0),
        provider_id: raw.spec.provider_id,
        kubelet_version: raw.status.node_info.kubelet_version,
        ..Node::default()
    };
    for address in raw.status.addresses {
        let list = match address.kind.as_str() {
            "InternalIP" => &mut node.internal,
            "ExternalIP" => &mut node.external,
            _ => continue,
        };
        list.push(self::address(&address.address, "status.addresses")?);
    }
    Ok(node)
}

#[derive(Deserialize)]
struct RawPod {
    metadata: Meta,
    #[serde(default)]
    spec: RawPodSpec,
    #[serde(default)]
    status: RawPodStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodSpec {
    node_name: String,
    host_network: bool,
    service_account_name: String,
    containers: Vec<RawPodContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPodContainer {
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawContainerPort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainerPort {
    #[serde(default)]
    name: String,
    container_port: u16,
    #[serde(default = "tcp")]
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<RawPodIp>,
}

#[derive(Deserialize)]
struct RawPodIp {
    ip: String,
}

/// What the API server fills in for a port without a protocol.
fn tcp() -> String {
    "TCP".to_owned()
}

fn pod(key: &Key, raw: RawPod) -> Read<Pod> {
    let mut addresses: Vec<String> = raw.status.pod_ips.into_iter().map(|address| address.ip).collect();
    if addresses.is_empty() {
        addresses.extend(raw.status.pod_ip.filter(|address| !address.is_empty()));
    }
    let named = raw.spec.containers.into_iter().flat_map(|container| container.ports);
    // Felix and cilium-agent note a pod's address and wiring under their own names.
    let own = |name: &String| name.contains("projectcalico.org/") || name.contains("cilium.io/");
    Ok(Pod {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        labels: raw.metadata.labels,
        annotations: raw.metadata.annotations.into_iter().filter(|(name, _)| own(name)).collect(),
        addresses: all(&addresses, "status.podIPs")?,
        node: raw.spec.node_name,
        host_network: raw.spec.host_network,
        service_account: raw.spec.service_account_name,
        ports: named
            .filter(|port| !port.name.is_empty())
            .map(|port| NamedPort { name: port.name, protocol: port.protocol, port: port.container_port })
            .collect(),
        ..Pod::default()
    })
}

#[derive(Deserialize)]
struct RawService {
    #[serde(default)]
    spec: RawServiceSpec,
    #[serde(default)]
    status: RawServiceStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    external_ips: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawServicePort>,
    selector: Option<Map>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawServicePort {
    #[serde(default)]
    name: String,
    #[serde(default = "tcp")]
    protocol: String,
    port: u16,
    node_port: Option<u16>,
    target_port: Option<IntOrString>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawServiceStatus {
    load_balancer: RawLoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancer {
    #[serde(deserialize_with = "or_default")]
    ingress: Vec<RawLoadBalancerIngress>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancerIngress {
    ip: Option<String>,
}

fn service(key: &Key, raw: RawService) -> Read<Service> {
    let mut cluster = raw.spec.cluster_ips;
    if cluster.is_empty() {
        cluster.extend(raw.spec.cluster_ip);
    }
    // Headless services have the word `None`, external names nothing.
    cluster.retain(|address| !address.is_empty() && address != "None");
    let mut external = raw.spec.external_ips;
    external.extend(raw.status.load_balancer.ingress.into_iter().filter_map(|ingress| ingress.ip));
    let port = |port: RawServicePort| ServicePort {
        target_port: match port.target_port {
            None => port.port.to_string(),
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(name)) => name,
        },
        name: port.name,
        protocol: port.protocol,
        port: port.port,
        node_port: port.node_port.filter(|port| *port != 0),
    };
    Ok(Service {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        kind: raw.spec.kind,
        cluster_addresses: all(&cluster, "spec.clusterIPs")?,
        external_addresses: all(&external, "status.loadBalancer.ingress")?,
        ports: raw.spec.ports.into_iter().map(port).collect(),
        selector: raw.spec.selector,
    })
}

#[derive(Deserialize)]
struct RawSlice {
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    endpoints: Vec<RawEndpoint>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<RawEndpointPort>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawEndpoint {
    addresses: Vec<String>,
    conditions: RawConditions,
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct RawEndpointPort {
    name: Option<String>,
    #[serde(default = "tcp")]
    protocol: String,
    port: Option<u16>,
}

fn slice(key: &Key, raw: RawSlice) -> Read<EndpointSlice> {
    let endpoint = |raw: RawEndpoint| {
        Ok(Endpoint {
            addresses: all(&raw.addresses, "endpoints.addresses")?,
            // Unknown counts as ready (kubernetes/api:discovery/v1/types.go).
            ready: raw.conditions.ready.unwrap_or(true),
            node: raw.node_name.unwrap_or_default(),
        })
    };
    let port = |raw: RawEndpointPort| EndpointPort {
        name: raw.name.unwrap_or_default(),
        protocol: raw.protocol,
        port: raw.port,
    };
    Ok(EndpointSlice {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        service: raw.metadata.labels.get("kubernetes.io/service-name").cloned().unwrap_or_default(),
        endpoints: raw.endpoints.into_iter().map(endpoint).collect::<Read<_>>()?,
        ports: raw.ports.into_iter().map(port).collect(),
    })
}

#[derive(Deserialize)]
struct RawConfigMap {
    #[serde(default, deserialize_with = "or_default")]
    data: Map,
}

#[derive(Deserialize)]
struct RawDaemonSet {
    spec: RawDaemonSetSpec,
}

#[derive(Deserialize)]
struct RawDaemonSetSpec {
    template: RawTemplate,
}

#[derive(Deserialize)]
struct RawTemplate {
    spec: RawTemplateSpec,
}

#[derive(Deserialize)]
struct RawTemplateSpec {
    containers: Vec<RawContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    name: String,
    image: String,
    #[serde(deserialize_with = "or_default")]
    env: Vec<RawVariable>,
    #[serde(deserialize_with = "or_default")]
    command: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVariable {
    name: String,
    value: Option<String>,
    value_from: Option<IgnoredAny>,
}

fn daemon_set(key: &Key, raw: RawDaemonSet) -> DaemonSet {
    let container = |raw: RawContainer| {
        let mut container = Container { name: raw.name, image: raw.image, ..Container::default() };
        container.args = raw.command.into_iter().chain(raw.args).collect();
        for variable in raw.env {
            match variable.value_from {
                Some(_) => container.env_from_elsewhere.push(variable.name),
                None => {
                    container.env.insert(variable.name, variable.value.unwrap_or_default());
                }
            }
        }
        container
    };
    DaemonSet {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        containers: raw.spec.template.spec.containers.into_iter().map(container).collect(),
    }
}

fn all(texts: &[String], path: &str) -> Read<Vec<IpAddr>> {
    texts.iter().map(|text| address(text, path)).collect()
}

fn address(text: &str, path: &str) -> Read<IpAddr> {
    text.parse().map_err(|_| Mistake { path: path.to_owned(), message: format!("`{text}` is not an address") })
}
