//! Where the API server is, and who needs it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::Find;
use super::facts::{Facts, Names, addresses, built_in, flag, host_and_port, key, of_pod, of_slice, origin, stated_by};
use super::overlay::of_set;
use crate::lifeline::config::Distribution;
use crate::lifeline::model::{Origin, Party, Traffic};
use crate::snapshot::Node;

/// Where the API server is.
#[derive(Debug, Default)]
pub(super) struct Api {
    /// Nodes that run it.
    pub(super) nodes: Names,
    /// Its ports on these nodes.
    pub(super) ports: BTreeSet<u16>,
    /// Load balancers, virtual addresses, a hosted control plane.
    pub(super) outside: BTreeSet<(IpNet, u16)>,
    /// Names that stand for such, which a snapshot cannot resolve.
    pub(super) names: BTreeSet<String>,
    /// Whether it runs on no node of the cluster.
    pub(super) hosted: bool,
    /// What tells so.
    pub(super) origins: Vec<Origin>,
    /// What tells which nodes run it.
    pub(super) roles: Vec<Origin>,
}

/// Labels of nodes that run an API server; the last is MicroK8s's
/// (canonical/microk8s:microk8s-resources/default-args/kubelet).
const ROLES: [&str; 3] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
    "node.kubernetes.io/microk8s-controlplane",
];

impl Api {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let mut api = Self::default();
        let mut nodes = BTreeSet::new();
        api.slices(facts, &mut nodes);
        api.pods(facts, &mut nodes);
        let (labelled, role) = facts.nodes_where(role);
        api.roles.extend(role);
        nodes.extend(labelled);
        api.kubeconfigs(facts, &mut nodes);
        api.kube_vip(facts, &mut nodes);
        if let Some(stated) = facts.parameters.addresses("apiServerAddresses") {
            let port = api.ports.first().copied().or_else(|| api.outside.first().map(|(_, port)| *port));
            api.outside.extend(stated.iter().map(|cidr| (cidr.net(), port.unwrap_or(6443))));
            api.origins.push(stated_by("apiServerAddresses"));
        }
        if api.ports.is_empty() && !nodes.is_empty() {
            let (port, whose) = match &facts.distribution {
                Some((Distribution::Microk8s, _)) => (16443, "MicroK8s"),
                Some((Distribution::Kops, _)) => (443, "kOps"),
                _ => (6443, "kube-apiserver"),
            };
            api.ports.insert(port);
            api.origins.push(built_in(format!("{whose} listens on {port}")));
        }
        use Distribution::{Aks, Eks, Gke, Lke};
        let service = facts.distribution.as_ref().is_some_and(|(it, _)| matches!(it, Aks | Eks | Gke | Lke));
        api.hosted = nodes.is_empty() && (service || !api.outside.is_empty());
        api.nodes = Arc::new(nodes);
        api
    }

    /// Endpoints that API servers register for themselves (kubernetes/kubernetes:pkg/controlplane/reconcilers).
    fn slices(&mut self, facts: &Facts<'_>, nodes: &mut BTreeSet<String>) {
        for slice in facts.slices("default", "kubernetes") {
            for address in slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
                for port in slice.ports.iter().filter_map(|port| port.port) {
                    self.at(facts, nodes, *address, port);
                }
            }
            self.origins.push(of_slice(slice, "endpoints"));
            self.origins.push(of_slice(slice, "ports"));
        }
    }

    /// Static pods.
    fn pods(&mut self, facts: &Facts<'_>, nodes: &mut BTreeSet<String>) {
        let servers = facts.pods().filter(|pod| pod.host_network && pod.name.starts_with("kube-apiserver-"));
        for (index, pod) in servers.enumerate() {
            nodes.extend(Some(pod.node.clone()).filter(|node| facts.all.contains(node)));
            if index == 0 {
                self.roles.push(of_pod(pod, "spec.nodeName"));
            }
            let Some(port) = flag(&pod.args, "--secure-port").and_then(|port| port.parse().ok()) else { continue };
            if self.ports.insert(port) {
                self.origins.push(of_pod(pod, "spec.containers[].command --secure-port"));
            }
        }
    }

    /// Where kubelets and joining nodes dial, as kubeadm notes it.
    fn kubeconfigs(&mut self, facts: &Facts<'_>, nodes: &mut BTreeSet<String>) {
        for map in &facts.cluster.config_maps {
            let place = |path: &str| origin(key("", "ConfigMap", &map.namespace, &map.name), path);
            match map.name.as_str() {
                "kubeadm-config" => {
                    let yaml = yaml(map.data.get("ClusterConfiguration"));
                    let endpoint = yaml["controlPlaneEndpoint"].as_str().filter(|endpoint| !endpoint.is_empty());
                    let Some(endpoint) = endpoint else { continue };
                    self.dial(facts, nodes, endpoint, place("data.ClusterConfiguration controlPlaneEndpoint"));
                }
                "cluster-info" => {
                    let yaml = yaml(map.data.get("kubeconfig"));
                    for cluster in yaml["clusters"].as_array().into_iter().flatten() {
                        let Some(server) = cluster["cluster"]["server"].as_str() else { continue };
                        self.dial(facts, nodes, server, place("data.kubeconfig clusters[].cluster.server"));
                    }
                }
                _ => {}
            }
        }
    }

    /// The virtual address that kube-vip keeps for the control plane (https://kube-vip.io/docs/installation/daemonset/).
    fn kube_vip(&mut self, facts: &Facts<'_>, nodes: &mut BTreeSet<String>) {
        let sets = facts.cluster.daemon_sets.iter().filter(|set| set.name.starts_with("kube-vip"));
        for (set, env) in sets.flat_map(|set| set.containers.iter().map(move |container| (set, &container.env))) {
            let on = env.get("cp_enable").is_some_and(|value| value == "true");
            let Some(address) = env.get("address").or_else(|| env.get("vip_address")).filter(|_| on) else { continue };
            let Ok(address) = address.parse::<IpAddr>() else { continue };
            let port = env.get("port").and_then(|port| port.parse().ok()).unwrap_or(6443);
            self.at(facts, nodes, address, port);
            self.origins.push(of_set(set, "env address"));
        }
    }

    fn dial(&mut self, facts: &Facts<'_>, nodes: &mut BTreeSet<String>, text: &str, place: Origin) {
        let (host, port) = host_and_port(text);
        match host.parse() {
            Ok(address) => self.at(facts, nodes, address, port.unwrap_or(6443)),
            Err(_) => {
                self.names.insert(host.to_owned());
            }
        }
        self.origins.push(place);
    }

    fn at(&mut self, facts: &Facts<'_>, nodes: &mut BTreeSet<String>, address: IpAddr, port: u16) {
        match facts.owner(address) {
            Some(node) => {
                nodes.insert(node.to_owned());
                self.ports.insert(port);
            }
            None => {
                self.outside.insert((IpNet::from(address), port));
            }
        }
    }

    /// Packets to the nodes that run it.
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        self.ports.iter().map(|port| Traffic::tcp(*port)).collect()
    }
}

fn role(node: &Node) -> Option<String> {
    ROLES.into_iter().find(|label| node.labels.contains_key(*label)).map(|label| format!("metadata.labels[{label}]"))
}

/// YAML in a ConfigMap. What cannot be read tells nothing.
fn yaml(text: Option<&String>) -> Value {
    text.and_then(|text| serde_saphyr::from_str(text).ok()).unwrap_or_default()
}

pub(super) fn kube_apiserver(facts: &Facts<'_>, find: &mut Find) {
    let api = &facts.api;
    let (servers, traffic) = (Party::Nodes(api.nodes.clone()), api.traffic());
    find.because(api.origins.iter().chain(&api.roles).cloned());
    find.flow(facts.every_node(), servers.clone(), &traffic);
    find.flow(servers.clone(), Party::Itself, &traffic);
    let ports: BTreeSet<u16> = api.outside.iter().map(|(_, port)| *port).collect();
    for port in ports {
        let nets = api.outside.iter().filter(|(_, it)| *it == port).map(|(net, _)| *net).collect();
        find.flow(facts.every_node(), addresses("API server", nets), &[Traffic::tcp(port)]);
    }
    let (pods, origins) = facts.pod_network();
    if find.flow(pods, servers.clone(), &traffic) {
        find.because(origins);
    }
    if let Some(name) = api.names.first()
        && facts.parameters.addresses("apiServerAddresses").is_none()
    {
        let what = format!("nodes reach the API server as `{name}`, whose addresses no object tells");
        find.missing("apiServerAddresses", what);
    }
    if api.nodes.is_empty() && api.outside.is_empty() {
        find.blocked("apiServerAddresses", "no object tells where the API server is");
    }
    if !api.nodes.is_empty() {
        let what = "no object tells where administrators reach the API server from";
        if let Some(admins) = facts.stated(find, "adminCIDRs", "administrators", what) {
            find.flow(admins, servers, &traffic);
        }
    }
}
