//! The facts that decide how rows are written.

use std::net::IpAddr;

use policy::cilium::label_filter::LabelFilter;
use policy::net::{Cidr, Family};
use policy::object::LabelSelector;

use super::config::{AgentConfig, CidrMatchMode};
use super::reach::{FAMILIES, Inside};
use super::{Options, Version};
use crate::matrix::Expanded;
use crate::render::Node;

/// Everything that the parts of the renderer look at.
pub(super) struct Context<'a> {
    pub(super) matrix: &'a Expanded,
    pub(super) nodes: Option<&'a [Node]>,
    pub(super) options: &'a Options,
    /// What CIDR peers match.
    pub(super) mode: CidrMatchMode,
    /// Addresses of registered nodes.
    pub(super) node_addresses: Inside,
    /// Addresses of pods.
    pub(super) pod_addresses: Inside,
    pub(super) host_labels: LabelFilter,
    pub(super) pod_labels: LabelFilter,
    pub(super) peer_node_labels: LabelFilter,
}

impl<'a> Context<'a> {
    pub(super) fn new(matrix: &'a Expanded, nodes: Option<&'a [Node]>, options: &'a Options) -> Self {
        let config = &options.config;
        let used = |family| uses(config, family);
        let known_nodes = if matrix.cluster.node_cidrs.is_empty() {
            nodes.into_iter().flatten().flat_map(addresses).map(Cidr::host).collect()
        } else {
            matrix.cluster.node_cidrs.clone()
        };
        Self {
            matrix,
            nodes,
            options,
            mode: config.match_mode(options.version),
            node_addresses: Inside::new(known_nodes, used),
            pod_addresses: Inside::new(matrix.cluster.pod_cidrs.clone(), used),
            host_labels: config.host_labels(options.version),
            pod_labels: config.pod_labels(options.version),
            peer_node_labels: config.peer_node_labels(),
        }
    }

    pub(super) fn version(&self) -> Version {
        self.options.version
    }

    /// Whether the other family is, or may be, in use.
    pub(super) fn uses_other_than(&self, family: Family) -> bool {
        FAMILIES.into_iter().any(|other| other != family && uses(&self.options.config, other))
    }

    /// Whether peers may be nodes by label.
    pub(super) fn selects_nodes_by_label(&self) -> bool {
        self.options.config.enable_node_selector_labels == Some(true)
    }

    /// Whether the cluster is one of several in a mesh.
    pub(super) fn in_mesh(&self) -> bool {
        self.options.config.cluster_id.is_some_and(|id| id != 0)
    }

    /// Whether selectors of nodes and pods mean this cluster: the agent adds that itself, or its name is known.
    pub(super) fn can_mean_this_cluster(&self) -> bool {
        let config = &self.options.config;
        config.local_cluster_only(self.version()) || config.cluster_name.is_some()
    }

    /// The cluster's name, where a selector must carry it to mean this cluster.
    pub(super) fn cluster_to_name(&self) -> Option<&str> {
        let config = &self.options.config;
        config.cluster_name.as_deref().filter(|_| !config.local_cluster_only(self.version()))
    }

    /// Addresses of the given nodes that a selector matches, each as a prefix, sorted; `None` when no nodes were given
    /// or none matches.
    pub(super) fn addresses_of(&self, selectors: &[&LabelSelector]) -> Option<Vec<Cidr>> {
        let selected = |node: &&Node| selectors.iter().any(|selector| selector.matches(&node.labels));
        let mut cidrs: Vec<Cidr> = self.nodes?.iter().filter(selected).flat_map(addresses).map(Cidr::host).collect();
        cidrs.sort_unstable();
        cidrs.dedup();
        (!cidrs.is_empty()).then_some(cidrs)
    }
}

fn uses(config: &AgentConfig, family: Family) -> bool {
    let stated = match family {
        Family::IPv4 => config.enable_ipv4,
        Family::IPv6 => config.enable_ipv6,
    };
    stated != Some(false)
}

/// Addresses that other nodes see this one by.
fn addresses(node: &Node) -> impl Iterator<Item = IpAddr> {
    node.internal.iter().chain(&node.external).copied()
}
