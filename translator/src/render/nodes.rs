//! Nodes as `kubectl get nodes -o json` lists them.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// One node: what host endpoints and address peers are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Addresses of type InternalIP, in the order listed.
    pub internal: Vec<IpAddr>,
    /// Addresses of type ExternalIP, in the order listed.
    pub external: Vec<IpAddr>,
    /// Addresses that Calico notes in annotations: BGP, IP-in-IP, VXLAN and WireGuard tunnel addresses, without prefix length.
    pub tunnel: Vec<IpAddr>,
}
