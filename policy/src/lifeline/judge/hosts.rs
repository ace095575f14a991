//! Nodes as ends of a flow: the addresses that their packets carry, and the pods behind them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::interfaces::{Interfaces, interfaces};
use super::world::World;
use crate::calico::endpoint::TUNNELS;
use crate::net::Family;
use crate::packet::IpSet;
use crate::snapshot::{Node, Snapshot};

/// A node that exists after the change.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    /// Where others reach it: its InternalIPs, and an ExternalIP for a family that has none.
    pub(super) addresses: Vec<IpAddr>,
    /// ExternalIPs besides.
    pub(super) external: Vec<IpAddr>,
    /// Addresses of its tunnel devices, which its own packets into the overlay carry.
    pub(super) tunnels: Vec<IpAddr>,
    /// Addresses of its pods, as far as they are known.
    pub(super) pods: IpSet,
    pub(super) interfaces: Interfaces,
}

impl Host {
    /// Whether it has an address of a family.
    pub(super) fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|address| Family::of(*address) == family)
    }
}

/// The nodes of the state after a change, with the addresses that no node had before it.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) all: Vec<Host>,
    /// Addresses that are new to the cluster's nodes. What they need counts as having passed: a node that comes or moves
    /// must be let in.
    pub(super) fresh: IpSet,
}

pub(super) fn hosts(before: &World, after: &World) -> Hosts {
    let all: Vec<Host> = after
        .snapshot
        .cluster
        .nodes
        .iter()
        .filter(|node| node.cluster.is_empty())
        .map(|node| host(node, before, after))
        .collect();
    let fresh = every_address(&after.snapshot).difference(&every_address(&before.snapshot)).copied().collect();
    Hosts { all, fresh }
}

fn host(node: &Node, before: &World, after: &World) -> Host {
    let mut addresses = node.internal.clone();
    for family in [Family::IPv4, Family::IPv6] {
        if !addresses.iter().any(|address| Family::of(*address) == family) {
            addresses.extend(node.external.iter().filter(|address| Family::of(**address) == family));
        }
    }
    let external = node.external.iter().filter(|address| !addresses.contains(address)).copied().collect();
    let mut tunnels: Vec<IpAddr> =
        TUNNELS.iter().filter_map(|name| node.annotations.get(*name)?.parse().ok()).collect();
    tunnels.extend(cilium_addresses(&after.snapshot, &node.name));
    tunnels.retain(|address| !addresses.contains(address));
    tunnels.dedup();
    let ranges = node.pod_cidrs.iter().filter_map(|text| text.parse::<IpNet>().ok());
    let own = after.snapshot.cluster.pods.iter().filter(|pod| pod.node == node.name && !pod.host_network);
    let pods = ranges.chain(own.flat_map(|pod| &pod.addresses).copied().map(IpNet::from)).collect::<IpSet>();
    let reachable: IpSet = addresses.iter().chain(&external).chain(&tunnels).copied().collect();
    let interfaces = interfaces(node, &addresses, &tunnels, before, after);
    Host {
        name: node.name.as_str().into(),
        addresses,
        external,
        tunnels,
        pods: pods.difference(&reachable),
        interfaces,
    }
}

/// Addresses that Cilium itself gives a node (CiliumNode `spec.addresses`, type CiliumInternalIP).
fn cilium_addresses<'s>(snapshot: &'s Snapshot, node: &'s str) -> impl Iterator<Item = IpAddr> + 's {
    let own = snapshot.of("cilium.io", "CiliumNode").filter(move |manifest| manifest.key.name == node);
    let listed = own.filter_map(|manifest| manifest.value.pointer("/spec/addresses")?.as_array()).flatten();
    listed.filter_map(|entry| {
        let own = entry.get("type")?.as_str()? == "CiliumInternalIP";
        entry.get("ip")?.as_str()?.parse().ok().filter(|_| own)
    })
}

fn every_address(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let nodes = &snapshot.cluster.nodes;
    let published = nodes.iter().flat_map(|node| {
        let annotated = TUNNELS.iter().filter_map(|name| node.annotations.get(*name)?.parse().ok());
        node.internal.iter().chain(&node.external).copied().chain(annotated)
    });
    published.collect()
}

/// Whether pods may reach others behind the address of their node. They do unless every IP pool says otherwise.
pub(super) fn masquerades(snapshot: &Snapshot) -> bool {
    let groups = ["crd.projectcalico.org", "projectcalico.org"];
    let mut pools = groups.iter().flat_map(|group| snapshot.of(group, "IPPool")).peekable();
    let behind = |value: &serde_json::Value| value.pointer("/spec/natOutgoing").and_then(serde_json::Value::as_bool);
    pools.peek().is_none() || pools.any(|pool| behind(&pool.value) == Some(true))
}
