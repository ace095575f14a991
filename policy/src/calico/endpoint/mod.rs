//! Which host endpoint governs an interface.

mod automatic;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(super) use automatic::automatic;

use super::settings::Settings;
use super::state::{HostEndpoint, Interfaces, State};

/// Annotations that hold tunnel addresses of nodes
/// (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/node.go).
pub(crate) const TUNNELS: [&str; 5] = [
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
];

/// An interface of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Addresses on it.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

impl Interface {
    /// An interface.
    pub fn new(name: impl Into<String>, addresses: impl Into<Vec<IpAddr>>) -> Self {
        Self { name: name.into(), addresses: addresses.into() }
    }
}

/// The host endpoints of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners<'s> {
    /// The one that names the interface, or expects an address on it: the first by name. Replaces the wildcard, except
    /// before DNAT when it has nothing to say there.
    pub own: Option<&'s HostEndpoint>,
    /// The node's `*`: the first by name.
    pub wildcard: Option<&'s HostEndpoint>,
}

impl<'s> Owners<'s> {
    /// The endpoint whose policies for tracked traffic count.
    pub fn main(&self) -> Option<&'s HostEndpoint> {
        self.own.or(self.wildcard)
    }
}

/// Finds the host endpoints of an interface
/// (projectcalico/calico:felix/dataplane/linux/endpoint_mgr.go resolveHostEndpoints).
///
/// One that names another interface is never found by address. Interfaces that lead to pods, and excluded ones, have no
/// endpoint of their own.
pub fn owners<'s>(state: &'s State, settings: &Settings, node: &str, interface: &Interface) -> Owners<'s> {
    // Sorted by name, so the first that fits wins.
    let mut local = state.endpoints.of(node).map(|(_, endpoint)| endpoint);
    let wildcard = local.clone().find(|endpoint| endpoint.interfaces == Interfaces::All);
    let own = local.find(|endpoint| match &endpoint.interfaces {
        Interfaces::All => false,
        Interfaces::Named(name) => *name == interface.name,
        Interfaces::ByAddress => endpoint.addresses.iter().any(|address| interface.addresses.contains(address)),
    });
    Owners { own: own.filter(|_| settings.can_be_owned(&interface.name)), wildcard }
}
