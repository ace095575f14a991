//! What an agent is configured to do, and where that is said (cilium/cilium:pkg/option/config.go, pkg/defaults).
//!
//! The agent takes a setting from its arguments, else its environment, else the ConfigMap `cilium-config`, else a
//! default of its version. Every [`Setting`] says which it was.

mod read;
mod value;

pub use read::SettingError;
pub(crate) use read::{CONFIG_MAP, CONTAINER};
pub use value::{CidrMatchMode, Enforcement, RoutingMode, TunnelProtocol};

use std::fmt;

use super::label_filter::LabelFilter;
use super::version::Version;

/// A value and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in effect.
    pub value: T,
    /// Where it was found.
    pub origin: Origin,
}

/// Where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the default of the version.
    Default,
    /// The ConfigMap, by namespace and name.
    ConfigMap(String),
    /// An argument or environment variable of the agent's container, by the name of the DaemonSet.
    Container(String),
    /// The image of the agent's container.
    Image(String),
    /// Whoever asks.
    Stated,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::ConfigMap(name) => write!(formatter, "ConfigMap/{name}"),
            Self::Container(name) => write!(formatter, "DaemonSet/{name}"),
            Self::Image(image) => write!(formatter, "image {image}"),
            Self::Stated => formatter.write_str("stated"),
        }
    }
}

/// The settings that a verdict depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version of the agent.
    pub version: Setting<Version>,
    /// `enable-host-firewall`: whether host policies are enforced at all.
    pub host_firewall: Setting<bool>,
    /// `enable-policy`: when policies are enforced.
    pub enforcement: Setting<Enforcement>,
    /// `enable-cilium-clusterwide-network-policy`: whether cluster-wide policies are read.
    pub clusterwide: Setting<bool>,
    /// `policy-audit-mode`: whether what policy denies is only reported.
    pub audit: Setting<bool>,
    /// `enable-ipv4`.
    pub ipv4: Setting<bool>,
    /// `enable-ipv6`.
    pub ipv6: Setting<bool>,
    /// `cluster-name`.
    pub cluster: Setting<String>,
    /// `policy-default-local-cluster`: whether pod and node selectors mean those of this cluster.
    pub local_cluster: Setting<bool>,
    /// `policy-cidr-match-mode`: what prefixes match besides the world outside.
    pub match_mode: Setting<CidrMatchMode>,
    /// `enable-node-selector-labels`: whether peers may be nodes by label.
    pub node_selectors: Setting<bool>,
    /// `enable-non-default-deny-policies`: whether a rule may leave the default of a direction alone.
    pub non_default_deny: Setting<bool>,
    /// `enable-icmp-rules`.
    pub icmp_rules: Setting<bool>,
    /// `enable-extended-ip-protocols`: whether protocols without ports may be named, and are tracked.
    pub extended_protocols: Setting<bool>,
    /// `enable-sctp`: whether SCTP is tracked and its ports are read.
    pub sctp: Setting<bool>,
    /// `enable-l7-proxy`.
    pub l7_proxy: Setting<bool>,
    /// `allow-icmp-frag-needed`.
    pub icmp_frag_needed: Setting<bool>,
    /// `kube-proxy-replacement`: whether Cilium translates node ports, before the host firewall sees the packet.
    pub kube_proxy_replacement: Setting<bool>,
    /// `devices`: interfaces that are policed. Empty is those that the agent detects.
    pub devices: Setting<Vec<String>>,
    /// `routing-mode`.
    pub routing: Setting<RoutingMode>,
    /// `tunnel-protocol`.
    pub tunnel_protocol: Setting<TunnelProtocol>,
    /// `tunnel-port`, 0 for the protocol's own.
    pub tunnel_port: Setting<u16>,
    /// `enable-wireguard`.
    pub wireguard: Setting<bool>,
    /// `enable-ipsec`, which excludes the host firewall.
    pub ipsec: Setting<bool>,
    /// `bpf-policy-map-max`: entries of an endpoint's policy map.
    pub policy_map_max: Setting<usize>,
    /// `labels`: patterns of the labels that take part in policies.
    pub labels: Setting<Vec<String>>,
    /// `label-prefix-file`: a file on the nodes that replaces the built-in filter.
    pub label_prefix_file: Setting<String>,
    /// `node-labels`: patterns of the labels that other nodes may be selected by; empty is all.
    pub node_labels: Setting<Vec<String>>,
    /// `exclude-node-label-patterns`: node labels that are dropped before anything else.
    pub excluded_node_labels: Setting<Vec<String>>,
    /// `static-cnp-path`: policies on the nodes' disks that no snapshot sees.
    pub static_policies: Setting<String>,
}

impl Settings {
    /// The filter that decides which labels of pods take part in policies.
    pub fn pod_labels(&self) -> LabelFilter {
        let mut filter = LabelFilter::with_defaults(self.version.value >= Version::V1_19);
        add(&mut filter, LabelFilter::add, &self.labels.value);
        filter
    }

    /// The filter that decides which labels of a node its own policies may select it by.
    pub fn host_labels(&self) -> LabelFilter {
        let mut filter = self.pod_labels();
        add(&mut filter, LabelFilter::exclude, &self.excluded_node_labels.value);
        filter
    }

    /// The filter that decides which labels of nodes peers may be selected by.
    pub fn peer_node_labels(&self) -> LabelFilter {
        let mut filter = LabelFilter::default();
        add(&mut filter, LabelFilter::add, &self.node_labels.value);
        add(&mut filter, LabelFilter::exclude, &self.excluded_node_labels.value);
        filter
    }

    /// The cluster that selectors are limited to, if they are.
    pub fn selected_cluster(&self) -> Option<&str> {
        self.local_cluster.value.then_some(self.cluster.value.as_str())
    }

    /// What prefixes match besides the world outside; pods came with 1.20.
    pub fn cidr_matches(&self) -> CidrMatchMode {
        let mode = self.match_mode.value;
        CidrMatchMode { pods: mode.pods && self.version.value >= Version::V1_20, ..mode }
    }

    /// Port that traffic of pods between nodes is encapsulated to, if it is.
    pub fn tunnel(&self) -> Option<u16> {
        let own = match self.tunnel_protocol.value {
            TunnelProtocol::Vxlan => 8472,
            TunnelProtocol::Geneve => 6081,
        };
        let port = if self.tunnel_port.value == 0 { own } else { self.tunnel_port.value };
        (self.routing.value == RoutingMode::Tunnel).then_some(port)
    }
}

/// Adds patterns that were checked when they were read; one that is not a pattern was reported then.
fn add(
    filter: &mut LabelFilter,
    adder: fn(&mut LabelFilter, &str) -> Result<(), super::label_filter::PatternError>,
    patterns: &[String],
) {
    for pattern in patterns {
        let _ = adder(filter, pattern);
    }
}
