//! Nodes as ends of a flow: the addresses that their packets carry, and the pods behind them.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::interfaces::{Interfaces, interfaces};
use super::traffic::everywhere;
use super::world::World;
use crate::calico::endpoint::TUNNELS;
use crate::net::Family;
use crate::packet::IpSet;
use crate::snapshot::sources::{CALICO, CILIUM};
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
    /// Addresses of its pods, as far as they are known. No address is in two nodes' lists.
    pub(super) pods: IpSet,
    pub(super) interfaces: Interfaces,
    /// The addresses that are the host to Cilium's agent, before a change and after it, where no other end of a flow can
    /// have one of them: nodes are alike but for these.
    pub(super) own: Option<IpSet>,
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
    /// Addresses of the pods of all of them.
    pub(super) pods: IpSet,
    /// Whether pods may reach others behind the address of their node.
    pub(super) masquerade: bool,
}

/// Addresses of the nodes of a state that are not in their own objects.
struct Beside<'s> {
    pods: HashMap<&'s str, Vec<IpAddr>>,
    cilium: HashMap<&'s str, Vec<IpAddr>>,
}

pub(super) fn hosts(before: &World, after: &World) -> Hosts {
    let cluster = &after.snapshot.cluster;
    let mut pods: HashMap<&str, Vec<IpAddr>> = HashMap::new();
    for pod in cluster.pods.iter().filter(|pod| !pod.host_network) {
        pods.entry(&pod.node).or_default().extend(&pod.addresses);
    }
    let beside = Beside { pods, cilium: cilium_addresses(&after.snapshot) };
    let own = cluster.nodes.iter().filter(|node| node.cluster.is_empty());
    let mut all: Vec<Host> = own.map(|node| host(node, &beside, before, after)).collect();
    let pods = apart(&mut all);
    if before.has_host_firewall() || after.has_host_firewall() {
        find_own(&mut all, &pods, before, after);
    }
    let fresh = if Arc::ptr_eq(&before.snapshot.cluster, cluster) {
        IpSet::empty()
    } else {
        every_address(&after.snapshot).difference(&every_address(&before.snapshot)).copied().collect()
    };
    Hosts { all, fresh, pods, masquerade: masquerades(&after.snapshot) }
}

/// Takes addresses of pods that several nodes have from all but the first of these. What all have together.
fn apart(hosts: &mut [Host]) -> IpSet {
    let pods = IpSet::union_of(hosts.iter().map(|host| &host.pods));
    let once = pods.size();
    if hosts.iter().map(|host| host.pods.size()).fold(0, u128::saturating_add) == once && once < u128::MAX {
        return pods;
    }
    let mut taken = IpSet::empty();
    for host in hosts {
        host.pods = host.pods.difference(&taken);
        taken = taken.union(&host.pods);
    }
    pods
}

/// Finds the addresses of each node that are its alone.
fn find_own(hosts: &mut [Host], pods: &IpSet, before: &World, after: &World) {
    let mut owners: HashMap<IpAddr, usize> = HashMap::new();
    let of_cilium: Vec<BTreeSet<IpAddr>> = hosts.iter().map(|host| after.cilium.own(&host.name).collect()).collect();
    for (host, of_cilium) in hosts.iter().zip(&of_cilium) {
        let all = host.addresses.iter().chain(&host.external).chain(&host.tunnels).chain(of_cilium);
        for address in all.collect::<BTreeSet<_>>() {
            *owners.entry(*address).or_default() += 1;
        }
    }
    let shared = pods.union(&everywhere().collect());
    for (host, own) in hosts.iter_mut().zip(of_cilium) {
        let alone = own.iter().all(|address| owners.get(address) == Some(&1) && !shared.contains(*address));
        let stays = || before.cilium.own(&host.name).eq(own.iter().copied());
        host.own = (alone && !own.is_empty() && stays()).then(|| own.iter().copied().collect());
    }
}

fn host(node: &Node, beside: &Beside<'_>, before: &World, after: &World) -> Host {
    let mut addresses = node.internal.clone();
    for family in [Family::IPv4, Family::IPv6] {
        if !addresses.iter().any(|address| Family::of(*address) == family) {
            addresses.extend(node.external.iter().filter(|address| Family::of(**address) == family));
        }
    }
    let external = node.external.iter().filter(|address| !addresses.contains(address)).copied().collect();
    let mut tunnels: Vec<IpAddr> =
        TUNNELS.iter().filter_map(|name| node.annotations.get(*name)?.parse().ok()).collect();
    tunnels.extend(beside.cilium.get(node.name.as_str()).into_iter().flatten());
    tunnels.retain(|address| !addresses.contains(address));
    tunnels.dedup();
    let ranges = node.pod_cidrs.iter().filter_map(|text| text.parse::<IpNet>().ok());
    let own = beside.pods.get(node.name.as_str()).into_iter().flatten();
    let pods = ranges.chain(own.copied().map(IpNet::from)).collect::<IpSet>();
    let reachable: IpSet = addresses.iter().chain(&external).chain(&tunnels).copied().collect();
    let interfaces = interfaces(node, &addresses, &tunnels, before, after);
    Host {
        name: node.name.as_str().into(),
        addresses,
        external,
        tunnels,
        pods: pods.difference(&reachable),
        interfaces,
        own: None,
    }
}

/// Addresses that Cilium itself gives nodes (CiliumNode `spec.addresses`, type CiliumInternalIP).
fn cilium_addresses(snapshot: &Snapshot) -> HashMap<&str, Vec<IpAddr>> {
    let mut all: HashMap<&str, Vec<IpAddr>> = HashMap::new();
    for manifest in snapshot.of(CILIUM, "CiliumNode") {
        let listed = manifest.value.pointer("/spec/addresses").and_then(|listed| listed.as_array());
        let internal = listed.into_iter().flatten().filter_map(|entry| {
            let own = entry.get("type")?.as_str()? == "CiliumInternalIP";
            entry.get("ip")?.as_str()?.parse::<IpAddr>().ok().filter(|_| own)
        });
        all.entry(&manifest.key.name).or_default().extend(internal);
    }
    all
}

fn every_address(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let nodes = &snapshot.cluster.nodes;
    let published = nodes.iter().flat_map(|node| {
        let annotated = TUNNELS.iter().filter_map(|name| node.annotations.get(*name)?.parse().ok());
        node.internal.iter().chain(&node.external).copied().chain(annotated)
    });
    published.collect()
}

/// Pods reach others behind the address of their node unless every IP pool says otherwise.
fn masquerades(snapshot: &Snapshot) -> bool {
    let mut pools = CALICO.iter().flat_map(|group| snapshot.of(group, "IPPool")).peekable();
    let behind = |value: &serde_json::Value| value.pointer("/spec/natOutgoing").and_then(serde_json::Value::as_bool);
    pools.peek().is_none() || pools.any(|pool| behind(&pool.value) == Some(true))
}
