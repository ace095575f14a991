//! What a snapshot of a live cluster is made of: the kinds that a verdict reads, as an API server serves them.
//!
//! Whoever captures a snapshot, watches a cluster or grants rights to do so goes by this table. No Secret is in it.

use super::Key;

/// A kind that a verdict reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group, empty for the core group. Which version serves it differs by cluster: any does.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Name in the paths of the API server.
    pub plural: &'static str,
    /// Where its objects are.
    pub namespaces: Namespaces,
    /// What a verdict reads them for.
    pub why: &'static str,
}

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// In none: the kind is cluster-scoped.
    None,
    /// In all of them.
    All,
    /// In these, and in those where the network's agents run ([`is_agent`]). Other namespaces may keep what is nobody
    /// else's business in objects of this kind.
    OfAgents(&'static [&'static str]),
}

/// The group of Cilium's objects.
pub const CILIUM: &str = "cilium.io";
/// The group of Calico's objects as they are stored.
pub const STORED: &str = "crd.projectcalico.org";
/// The groups of Calico's objects: as stored, and as its API server or a cluster without one serves them.
pub const CALICO: [&str; 2] = [STORED, "projectcalico.org"];

/// Every kind that a verdict reads. A cluster serves those of the CNI it has.
pub fn resources() -> impl Iterator<Item = Resource> {
    let calico = |(kind, plural, namespaces, why)| {
        CALICO.into_iter().map(move |group| Resource { group, kind, plural, namespaces, why })
    };
    OTHERS.into_iter().chain(OF_CALICO.into_iter().flat_map(calico))
}

/// Whether a verdict reads an object. Of ConfigMaps it reads those that configure the cluster or an agent.
pub fn reads(key: &Key) -> bool {
    let named = (key.group.as_str(), key.kind.as_str()) != ("", "ConfigMap") || is_configuration(&key.name);
    named && resources().any(|resource| (resource.group, resource.kind) == (key.group.as_str(), key.kind.as_str()))
}

/// Whether a container of this name, in a DaemonSet, is an agent of the network that a ConfigMap beside it configures.
pub fn is_agent(container: &str) -> bool {
    ["antrea-agent", "calico-node", "cilium-agent", "kube-flannel", "kube-proxy"].contains(&container)
}

/// Whether a ConfigMap of this name says how a cluster or an agent is set up.
pub(super) fn is_configuration(name: &str) -> bool {
    CONFIG_MAPS.iter().any(|beginning| name.starts_with(beginning))
}

/// Beginnings of names: some have the name of a version or a hash behind them.
const CONFIG_MAPS: [&str; 10] = [
    "antrea-config",
    "calico-config",
    "canal-config",
    "cilium-config",
    "cluster-info",
    "kube-flannel-cfg",
    "kube-proxy",
    "kubeadm-config",
    "kubelet-config",
    "rke2-canal-config",
];

const OTHERS: [Resource; 22] = [
    resource(
        "",
        "ConfigMap",
        "configmaps",
        Namespaces::OfAgents(&["kube-public", "kube-system"]),
        "settings of agents and of kubeadm",
    ),
    resource("", "Namespace", "namespaces", Namespaces::None, "labels that selectors read"),
    resource("", "Node", "nodes", Namespaces::None, "labels, addresses and ports of the hosts themselves"),
    resource("", "PersistentVolume", "persistentvolumes", Namespaces::None, "storage servers that nodes mount from"),
    resource("", "Pod", "pods", Namespaces::All, "addresses and labels that rules name; what listens on hosts"),
    resource("", "Service", "services", Namespaces::All, "node ports, and what webhooks and API services call"),
    resource("", "ServiceAccount", "serviceaccounts", Namespaces::All, "labels that selectors read"),
    resource(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        Namespaces::None,
        "what the API server calls",
    ),
    resource(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        Namespaces::None,
        "what the API server calls",
    ),
    resource("apiregistration.k8s.io", "APIService", "apiservices", Namespaces::None, "what the API server calls"),
    resource("apps", "DaemonSet", "daemonsets", Namespaces::All, "versions, environment and arguments of agents"),
    resource("apps", "Deployment", "deployments", Namespaces::All, "agents that hold connections to the outside"),
    resource(CILIUM, "CiliumBGPClusterConfig", "ciliumbgpclusterconfigs", Namespaces::None, "BGP peers of nodes"),
    resource(CILIUM, "CiliumBGPPeerConfig", "ciliumbgppeerconfigs", Namespaces::None, "ports of BGP peers"),
    resource(CILIUM, "CiliumBGPPeeringPolicy", "ciliumbgppeeringpolicies", Namespaces::None, "BGP peers of nodes"),
    resource(CILIUM, "CiliumCIDRGroup", "ciliumcidrgroups", Namespaces::None, "prefixes that policies name"),
    resource(
        CILIUM,
        "CiliumClusterwideNetworkPolicy",
        "ciliumclusterwidenetworkpolicies",
        Namespaces::None,
        "host policies",
    ),
    resource(
        CILIUM,
        "CiliumNetworkPolicy",
        "ciliumnetworkpolicies",
        Namespaces::All,
        "prefixes that become identities",
    ),
    resource(CILIUM, "CiliumNode", "ciliumnodes", Namespaces::None, "further addresses of nodes"),
    resource(CILIUM, "CiliumNodeConfig", "ciliumnodeconfigs", Namespaces::All, "settings of single nodes"),
    resource(
        "discovery.k8s.io",
        "EndpointSlice",
        "endpointslices",
        Namespaces::All,
        "the API server's addresses, and what is behind services",
    ),
    resource("metallb.io", "BGPPeer", "bgppeers", Namespaces::All, "BGP peers of nodes"),
];

const OF_CALICO: [(&str, &str, Namespaces, &str); 12] = [
    ("BGPConfiguration", "bgpconfigurations", Namespaces::None, "whether nodes are BGP peers, and their port"),
    ("BGPPeer", "bgppeers", Namespaces::None, "BGP peers of nodes"),
    ("FelixConfiguration", "felixconfigurations", Namespaces::None, "failsafe ports, dataplane, overlay"),
    ("GlobalNetworkPolicy", "globalnetworkpolicies", Namespaces::None, "host policies"),
    ("GlobalNetworkSet", "globalnetworksets", Namespaces::None, "prefixes that selectors name"),
    ("HostEndpoint", "hostendpoints", Namespaces::None, "which interfaces policies govern"),
    ("IPPool", "ippools", Namespaces::None, "overlay and pod prefixes"),
    (
        "KubeControllersConfiguration",
        "kubecontrollersconfigurations",
        Namespaces::None,
        "host endpoints that are made of nodes",
    ),
    ("NetworkSet", "networksets", Namespaces::All, "prefixes that selectors name"),
    ("Profile", "profiles", Namespaces::None, "what endpoints inherit"),
    (
        "StagedGlobalNetworkPolicy",
        "stagedglobalnetworkpolicies",
        Namespaces::None,
        "tiers that hold policies, though these decide nothing",
    ),
    ("Tier", "tiers", Namespaces::None, "order and default action of policies"),
];

const fn resource(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaces: Namespaces,
    why: &'static str,
) -> Resource {
    Resource { group, kind, plural, namespaces, why }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::snapshot::{Loader, Manifest};

    /// An object of a kind, with what the loader asks of it.
    fn object(resource: &Resource) -> Value {
        let name = if resource.kind == "ConfigMap" { "cilium-config" } else { "x" };
        let separator = if resource.group.is_empty() { "" } else { "/" };
        let spec = match resource.kind {
            "DaemonSet" | "Deployment" => json!({"template": {"spec": {"containers": []}}}),
            "PersistentVolume" => json!({"nfs": {"server": "10.0.0.1"}}),
            _ => json!({}),
        };
        let version = format!("{}{separator}v1", resource.group);
        json!({"apiVersion": version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec})
    }

    #[test]
    fn the_loader_keeps_every_kind_of_the_table() {
        let mut loader = Loader::default();
        for resource in resources() {
            loader.read("table.json", &object(&resource).to_string()).unwrap();
        }
        let loaded = loader.finish();
        assert_eq!(loaded.ignored, [].into(), "in the table, and yet no verdict reads them");
        assert_eq!(loaded.read.len(), resources().count(), "a kind is twice in the table");
    }

    #[test]
    fn every_group_that_is_kept_is_in_the_table() {
        let groups: BTreeSet<&str> = resources().map(|resource| resource.group).collect();
        let missing: Vec<_> =
            crate::snapshot::load::KEPT_GROUPS.iter().filter(|group| !groups.contains(**group)).collect();
        assert_eq!(missing, [&""; 0]);
    }

    #[test]
    fn names_of_resources_are_lower_case_plurals_of_their_kinds() {
        for Resource { kind, plural, .. } in resources() {
            let kind = kind.to_lowercase();
            let stem = kind.strip_suffix('y').unwrap_or(&kind);
            assert!(plural.starts_with(stem) && plural.ends_with('s'), "{kind}: {plural}");
        }
    }

    #[test]
    fn of_config_maps_only_those_that_configure_the_network_are_read() {
        let map = |name: &str| {
            let text =
                format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: kube-system}}}}");
            let manifests = crate::snapshot::manifests("-", &text).unwrap();
            manifests.into_iter().map(|Manifest { key, .. }| reads(&key)).collect::<Vec<_>>()
        };
        assert_eq!(map("cilium-config"), [true]);
        assert_eq!(map("kubelet-config-1.31"), [true]);
        assert_eq!(map("passwords"), [false]);
    }

    #[test]
    fn secrets_are_never_read() {
        assert!(resources().all(|resource| resource.kind != "Secret"));
    }
}
