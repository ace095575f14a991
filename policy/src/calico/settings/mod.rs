//! What Felix is configured to do on a node, and where each value comes from.
//!
//! Sources, strongest first (projectcalico/calico:felix/config): environment of the calico-node DaemonSet, the
//! FelixConfiguration `node.NAME`, the FelixConfiguration `default`, the built-in value. In one object an annotation
//! `config.projectcalico.org/PARAMETER` beats the field.

mod check;
mod failsafe;
mod pattern;
mod read;
mod sources;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(super) use check::faults;
pub use failsafe::{FailsafeError, FailsafePort, INBOUND, OUTBOUND, Transport};
pub use pattern::Pattern;
pub use read::read;

pub(crate) use sources::{CONTAINER, agent, nodes_with_their_own};

use crate::snapshot::Key;

/// What moves packets on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataplane {
    /// iptables.
    Iptables,
    /// nftables.
    Nftables,
    /// eBPF.
    Bpf,
}

/// What happens to a packet from a pod to its own node when the pod's own policy admitted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ToHost {
    /// Dropped.
    Drop,
    /// Accepted; no host endpoint sees it.
    Accept,
    /// Left to whatever follows Calico in the INPUT chain.
    Return,
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub from: Provenance,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Provenance {
    /// Calico's built-in value, taken because nothing says otherwise.
    Default,
    /// The caller said so.
    Given,
    /// An environment variable of the calico-node DaemonSet.
    Environment(String),
    /// A field, or an annotation, of an object.
    Object(String),
    /// Worked out from other facts, as Calico does.
    Derived(String),
}

impl fmt::Display for Provenance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("built in"),
            Self::Given => formatter.write_str("given"),
            Self::Environment(variable) => write!(formatter, "environment variable {variable} of calico-node"),
            Self::Object(place) => formatter.write_str(place),
            Self::Derived(reason) => formatter.write_str(reason),
        }
    }
}

/// Settings of one node that change a verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// What moves packets.
    pub dataplane: Sourced<Dataplane>,
    /// Ports that host endpoints always accept.
    pub failsafe_inbound: Sourced<Vec<FailsafePort>>,
    /// Ports that hosts may always reach.
    pub failsafe_outbound: Sourced<Vec<FailsafePort>>,
    /// Pod to own node.
    pub to_host: Sourced<ToHost>,
    /// Prefixes of the names of interfaces that lead to pods.
    pub workload_prefixes: Sourced<Vec<String>>,
    /// Interfaces that no host endpoint can own.
    pub excluded: Sourced<Vec<Pattern>>,
    /// Whether packets that conntrack calls invalid are dropped.
    pub drop_invalid: Sourced<bool>,
    /// IP in IP.
    pub ipip: Sourced<bool>,
    /// VXLAN over IPv4.
    pub vxlan: Sourced<bool>,
    /// VXLAN over IPv6.
    pub vxlan_v6: Sourced<bool>,
    /// UDP port of VXLAN, both families.
    pub vxlan_port: Sourced<u16>,
    /// WireGuard over IPv4.
    pub wireguard: Sourced<bool>,
    /// UDP port of WireGuard over IPv4.
    pub wireguard_port: Sourced<u16>,
    /// WireGuard over IPv6.
    pub wireguard_v6: Sourced<bool>,
    /// UDP port of WireGuard over IPv6.
    pub wireguard_port_v6: Sourced<u16>,
    /// Prefixes of hosts outside the cluster whose tunnels are accepted.
    pub external_nodes: Sourced<Vec<String>>,
    /// Interfaces that the eBPF programs are attached to.
    pub bpf_data_interfaces: Sourced<Pattern>,
    /// Further such interfaces, without a link layer.
    pub bpf_l3_interfaces: Sourced<Option<Pattern>>,
    /// Why Felix does not start with these settings, or never gets in sync. It then enforces nothing new.
    pub fatal: Vec<String>,
    /// Settings that this engine does not understand, with their place: a verdict that rests on them proves nothing.
    pub unknown: Vec<String>,
}

/// The key of an object and a path in it, as one text.
pub(super) fn place(key: &Key, path: &str) -> Provenance {
    Provenance::Object(format!("{key} {path}"))
}

impl Settings {
    /// Whether an interface leads to a pod.
    pub fn is_workload(&self, interface: &str) -> bool {
        self.workload_prefixes.value.iter().any(|prefix| interface.starts_with(prefix.as_str()))
    }

    /// Whether eBPF programs are attached to an interface of the host
    /// (projectcalico/calico:felix/dataplane/linux/bpf_ep_mgr.go isDataIface, isL3Iface).
    pub fn has_programs(&self, interface: &str) -> bool {
        self.bpf_data_interfaces.value.matches(interface)
            || self.bpf_l3_interfaces.value.as_ref().is_some_and(|pattern| pattern.matches(interface))
    }

    /// Whether a host endpoint can own an interface.
    pub fn can_be_owned(&self, interface: &str) -> bool {
        !self.is_workload(interface) && !self.excluded.value.iter().any(|pattern| pattern.matches(interface))
    }
}
