//! The facts of an agent's configuration that decide how a row can be written.

mod read;

pub use read::ConfigError;

use policy::cilium::label_filter::{LabelFilter, PatternError};
pub use policy::cilium::settings::{CidrMatchMode, Enforcement, RoutingMode, TunnelProtocol};

use super::Version;

/// What `cilium-config` says. `None` is "not stated"; what is then assumed stands at each field.
///
/// Keys, values and defaults: cilium/cilium:pkg/option/config.go, pkg/defaults/defaults.go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentConfig {
    /// Whether host policies are enforced at all. Assumed: false, with a note.
    pub enable_host_firewall: Option<bool>,
    /// When policies are enforced. Assumed: `default`.
    pub enable_policy: Option<Enforcement>,
    /// Whether cluster-wide policies are read. Assumed: true.
    pub enable_cilium_clusterwide_network_policy: Option<bool>,
    /// Whether drops are only reported. Assumed: false.
    pub policy_audit_mode: Option<bool>,
    /// Whether peers may be nodes by label. Assumed: false.
    pub enable_node_selector_labels: Option<bool>,
    /// Patterns of the node labels that peers may be selected by. Assumed: none, which is every label.
    pub node_labels: Option<Vec<String>>,
    /// What CIDR peers match besides the outside world. Assumed: nothing.
    pub policy_cidr_match_mode: Option<CidrMatchMode>,
    /// Whether Cilium translates node ports, before the host firewall sees the packet. Assumed: unknown.
    pub kube_proxy_replacement: Option<bool>,
    /// Whether protocols such as VRRP or ESP may be named. Assumed: false.
    pub enable_extended_ip_protocols: Option<bool>,
    /// Whether ICMP may be named. Assumed: true.
    pub enable_icmp_rules: Option<bool>,
    /// Whether a policy may leave the default of a direction alone. Assumed: true.
    pub enable_non_default_deny_policies: Option<bool>,
    /// Patterns of the labels that take part in policies. Assumed: none, which is the built-in filter.
    pub labels: Option<Vec<String>>,
    /// A file on the nodes that replaces the built-in label filter. Assumed: none.
    pub label_prefix_file: Option<String>,
    /// Patterns of node labels that are dropped. Assumed: none.
    pub exclude_node_label_patterns: Option<Vec<String>>,
    /// Interfaces that are policed. Empty or assumed: those that Cilium detects.
    pub devices: Option<Vec<String>>,
    /// Whether SCTP is tracked. Assumed: false.
    pub enable_sctp: Option<bool>,
    /// Whether IPv4 is in use. Assumed: true.
    pub enable_ipv4: Option<bool>,
    /// Whether IPv6 is in use. Assumed: true.
    pub enable_ipv6: Option<bool>,
    /// Whether IPsec is on, which excludes the host firewall. Assumed: false.
    pub enable_ipsec: Option<bool>,
    /// How pods reach other nodes. Assumed: `tunnel` when a tunnel protocol or port is stated, else unknown.
    pub routing_mode: Option<RoutingMode>,
    /// The tunnel's protocol. Assumed: `vxlan`.
    pub tunnel_protocol: Option<TunnelProtocol>,
    /// The tunnel's port, 0 for the protocol's own. Assumed: 0.
    pub tunnel_port: Option<u16>,
    /// Whether traffic between nodes is encrypted with WireGuard. Assumed: false.
    pub enable_wireguard: Option<bool>,
    /// Name of the cluster. Assumed: unknown.
    pub cluster_name: Option<String>,
    /// Number of the cluster; other than 0 in a mesh of clusters. Assumed: 0.
    pub cluster_id: Option<u32>,
    /// Whether a pod selector means pods of this cluster only. Assumed: true from 1.19 on, false before.
    pub policy_default_local_cluster: Option<bool>,
    /// Entries of an endpoint's policy map. Assumed: 16384.
    pub bpf_policy_map_max: Option<usize>,
}

impl AgentConfig {
    /// What CIDR peers match in this version; `pods` came with 1.20.
    pub(super) fn match_mode(&self, version: Version) -> CidrMatchMode {
        let mode = self.policy_cidr_match_mode.unwrap_or_default();
        CidrMatchMode { pods: mode.pods && version >= Version::new(1, 20), ..mode }
    }

    /// Whether a pod selector means pods of this cluster only.
    pub(super) fn local_cluster_only(&self, version: Version) -> bool {
        self.policy_default_local_cluster.unwrap_or_else(|| version >= Version::new(1, 19))
    }

    /// Port that pod traffic between nodes is encapsulated to, where the configuration says that it is.
    pub(super) fn tunnel(&self) -> Option<u16> {
        let stated = self.tunnel_protocol.is_some() || self.tunnel_port.is_some();
        if self.routing_mode.map_or(!stated, |mode| mode == RoutingMode::Native) {
            return None;
        }
        let default = match self.tunnel_protocol.unwrap_or(TunnelProtocol::Vxlan) {
            TunnelProtocol::Vxlan => 8472,
            TunnelProtocol::Geneve => 6081,
        };
        Some(self.tunnel_port.filter(|port| *port != 0).unwrap_or(default))
    }

    /// The filter that decides which labels of pods take part in policies.
    pub(super) fn pod_labels(&self, version: Version) -> LabelFilter {
        let mut filter = LabelFilter::with_defaults(version >= Version::new(1, 19));
        add(&mut filter, LabelFilter::add, &self.labels);
        filter
    }

    /// The filter that decides which labels of a node its own policies may select it by.
    pub(super) fn host_labels(&self, version: Version) -> LabelFilter {
        let mut filter = self.pod_labels(version);
        add(&mut filter, LabelFilter::exclude, &self.exclude_node_label_patterns);
        filter
    }

    /// The filter that decides which labels of other nodes peers may be selected by.
    pub(super) fn peer_node_labels(&self) -> LabelFilter {
        let mut filter = LabelFilter::default();
        add(&mut filter, LabelFilter::add, &self.node_labels);
        add(&mut filter, LabelFilter::exclude, &self.exclude_node_label_patterns);
        filter
    }
}

/// Adds patterns that were checked when they were stated; one that is not a pattern cannot match, so it is left out.
fn add(
    filter: &mut LabelFilter,
    adder: fn(&mut LabelFilter, &str) -> Result<(), PatternError>,
    patterns: &Option<Vec<String>>,
) {
    for pattern in patterns.iter().flatten() {
        let _ = adder(filter, pattern);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_known_only_where_something_says_so() {
        let mut config = AgentConfig::default();
        assert_eq!(config.tunnel(), None);
        config.tunnel_port = Some(0);
        assert_eq!(config.tunnel(), Some(8472));
        config.tunnel_port = Some(4789);
        assert_eq!(config.tunnel(), Some(4789));
        config.routing_mode = Some(RoutingMode::Native);
        assert_eq!(config.tunnel(), None);
    }
}
