//! The two ends of a flow, and the ways of its packets past the nodes between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::hosts::{Host, Hosts};
use super::traffic::{everywhere, net};
use super::world::{CiliumPlace, Way};
use crate::calico::endpoint::Interface;
use crate::calico::question::Path;
use crate::lifeline::model::{Flow, Party};
use crate::net::Family;
use crate::packet::{Direction, IpSet, protocol};

/// One end of a flow, as far as it is in one place.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) name: String,
    pub(super) place: Place,
    /// Addresses that its packets carry.
    pub(super) sources: IpSet,
    /// Addresses that packets for it carry.
    pub(super) destinations: IpSet,
    /// Some of both, the best known first, for examples.
    pub(super) known: Vec<IpAddr>,
}

/// Where an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A node itself, by its index.
    Node(usize),
    /// Pods of a node.
    Pods(usize),
    /// Pods of a node, behind its address.
    Masqueraded(usize),
    /// Anywhere else.
    Outside,
}

impl Place {
    /// Whose addresses its packets carry.
    pub(super) fn kind(self) -> PeerKind {
        match self {
            Self::Node(_) | Self::Masqueraded(_) => PeerKind::Nodes,
            Self::Pods(_) => PeerKind::Pods,
            Self::Outside => PeerKind::Outside,
        }
    }

    /// The node that it is on, if it is on one.
    pub(super) fn on(self) -> Option<usize> {
        match self {
            Self::Node(index) | Self::Pods(index) | Self::Masqueraded(index) => Some(index),
            Self::Outside => None,
        }
    }
}

/// Whose addresses packets carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::lifeline) enum PeerKind {
    /// Nodes of the cluster.
    Nodes,
    /// Its pods.
    Pods,
    /// Others.
    Outside,
}

/// Which end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    From,
    To,
}

impl Role {
    pub(super) fn other(self) -> Self {
        match self {
            Self::From => Self::To,
            Self::To => Self::From,
        }
    }
}

impl End {
    /// Its addresses in packets that it sends, or that it gets.
    pub(super) fn addresses(&self, role: Role) -> &IpSet {
        match role {
            Role::From => &self.sources,
            Role::To => &self.destinations,
        }
    }
}

/// Takes a party of a flow apart. `masquerade` says whether pods may be behind the address of their node.
pub(super) fn ends(hosts: &Hosts, flow: &Flow, role: Role, masquerade: bool) -> Vec<End> {
    let (party, other) = if role == Role::From { (&flow.from, &flow.to) } else { (&flow.to, &flow.from) };
    // What carries the overlay is not carried by it.
    let inner = flow.traffic.iter().all(|traffic| traffic.protocol.is_none_or(|number| number == protocol::TCP));
    match party {
        Party::Nodes(names) => {
            let all = hosts.all.iter().enumerate().filter(|(_, host)| names.contains(host.name.as_ref()));
            all.map(|(index, host)| node(index, host, other, inner)).collect()
        }
        Party::Addresses { name, nets } => addresses(hosts, name, nets, role, masquerade),
        Party::OwnPods(nets) => {
            let all = addresses(hosts, "pods", nets, role, false).into_iter();
            all.filter(|end| matches!(end.place, Place::Pods(_))).collect()
        }
        Party::Itself | Party::Loopback => {
            hosts.all.iter().enumerate().map(|(index, host)| node(index, host, other, inner)).collect()
        }
    }
}

/// Of a flow from nodes to themselves, which end is the nodes.
pub(super) fn inside(flow: &Flow) -> Option<Role> {
    let own = |party: &Party| matches!(party, Party::Itself | Party::Loopback);
    if own(&flow.to) { Some(Role::From) } else { own(&flow.from).then_some(Role::To) }
}

/// Addresses by which a node reaches itself in such a flow.
pub(super) fn own_addresses(host: &Host, flow: &Flow, role: Role) -> Vec<IpAddr> {
    let loopback = host.interfaces.loopback.addresses.iter();
    let others = if *party(flow, role.other()) == Party::Loopback { &[] } else { host.addresses.as_slice() };
    others.iter().chain(loopback).copied().collect()
}

/// Whether a flow is between what is on one node.
pub(super) fn stays(flow: &Flow) -> bool {
    [&flow.from, &flow.to].iter().any(|party| matches!(party, Party::OwnPods(_)))
}

/// Who is at an end of a flow.
pub(super) fn party(flow: &Flow, role: Role) -> &Party {
    if role == Role::From { &flow.from } else { &flow.to }
}

/// Every address that an end of a flow may have, and maybe more.
pub(super) fn reach(hosts: &Hosts, flow: &Flow, role: Role) -> IpSet {
    let of_nodes = |every: &dyn Fn(&Host) -> bool| {
        let named = hosts.all.iter().filter(|host| every(host));
        let own = named.flat_map(|host| host.addresses.iter().chain(&host.tunnels).chain(&host.external));
        own.copied().map(IpNet::from).chain(everywhere()).collect::<IpSet>()
    };
    match party(flow, role) {
        Party::Nodes(names) => of_nodes(&|host| names.contains(host.name.as_ref())),
        Party::Addresses { nets, .. } => {
            let nets: IpSet = nets.iter().copied().collect();
            let behind = role == Role::From && hosts.masquerade;
            if behind { nets.union(&of_nodes(&|_| true)) } else { nets }
        }
        Party::OwnPods(nets) => nets.iter().copied().collect(),
        // Both ends are one node.
        Party::Itself | Party::Loopback => of_nodes(&|_| true),
    }
}

fn node(index: usize, host: &Host, other: &Party, inner: bool) -> End {
    let outside = matches!(other, Party::Addresses { .. });
    let tunnels = host.tunnels.iter().filter(|_| inner);
    let known: Vec<IpAddr> = host.addresses.iter().chain(tunnels).copied().collect();
    let mut sources: IpSet = known.iter().copied().collect();
    let mut destinations: IpSet = host.addresses.iter().copied().collect();
    if outside {
        sources = sources.union(&host.external.iter().copied().collect());
    }
    if host.has(Family::IPv6) && is_on_link(other) {
        let link: IpSet = IpSet::from(net("fe80::/10"));
        sources = sources.union(&link);
        destinations = destinations.union(&link);
    }
    End { name: host.name.to_string(), place: Place::Node(index), sources, destinations, known }
}

/// Whether the other end is on the same link, where nodes have addresses of that link only.
fn is_on_link(party: &Party) -> bool {
    let Party::Addresses { nets, .. } = party else { return false };
    let link = [net("fe80::/10"), net("ff00::/8")];
    nets.iter().any(|one| link.iter().any(|link| link.contains(one)))
}

fn addresses(hosts: &Hosts, name: &str, nets: &[IpNet], role: Role, masquerade: bool) -> Vec<End> {
    let nets: IpSet = nets.iter().copied().collect();
    let rest = nets.difference(&hosts.pods);
    let mut all = Vec::new();
    for (index, host) in hosts.all.iter().enumerate() {
        if !host.pods.meets(&nets) {
            continue;
        }
        // Of a node there are few, and of the party there may be as many as pods in the cluster.
        let pods = if host.pods.is_subset(&nets) { host.pods.clone() } else { host.pods.intersection(&nets) };
        let known = examples(&pods);
        all.push(End {
            name: format!("{name} on {}", host.name),
            place: Place::Pods(index),
            sources: pods.clone(),
            destinations: pods,
            known,
        });
        if masquerade && role == Role::From {
            let own: IpSet = host.addresses.iter().copied().collect();
            all.push(End {
                name: format!("{name} on {}, behind its address", host.name),
                place: Place::Masqueraded(index),
                sources: own,
                destinations: IpSet::empty(),
                known: host.addresses.clone(),
            });
        }
    }
    if !rest.is_empty() {
        let known = examples(&rest);
        all.push(End {
            name: name.to_owned(),
            place: Place::Outside,
            sources: rest.clone(),
            destinations: rest,
            known,
        });
    }
    all
}

/// Some addresses of a set, first of wide ranges, and there none that is a network's or by custom a gateway's.
fn examples(set: &IpSet) -> Vec<IpAddr> {
    let inside = |first: IpAddr, last: IpAddr| match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let tenth = first.to_bits().checked_add(10).filter(|bits| *bits <= last.to_bits());
            (tenth.is_none(), IpAddr::from(Ipv4Addr::from_bits(tenth.unwrap_or_else(|| first.to_bits()))))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            let tenth = first.to_bits().checked_add(16).filter(|bits| *bits <= last.to_bits());
            (tenth.is_none(), IpAddr::from(Ipv6Addr::from_bits(tenth.unwrap_or_else(|| first.to_bits()))))
        }
        (first, _) => (true, first),
    };
    let mut all: Vec<(bool, IpAddr)> = set.ranges().take(64).map(|(first, last)| inside(first, last)).collect();
    all.sort_by_key(|(narrow, _)| *narrow);
    all.into_iter().map(|(_, address)| address).collect()
}

/// What the other ends of a flow are, as far as the way to them goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Other {
    /// Whether they are pods under their own addresses.
    pub(super) pods: bool,
    /// Whether they are on the same node.
    pub(super) here: bool,
}

/// The ways of packets between an end on a node and others, each with the addresses of the node's side that it is for.
/// `None` is every address.
pub(super) fn ways(hosts: &Hosts, end: &End, other: Other, role: Role) -> Vec<(Way, Option<IpSet>)> {
    let (host, own) = match end.place {
        Place::Node(index) => (&hosts.all[index], true),
        Place::Pods(index) => (&hosts.all[index], false),
        Place::Masqueraded(_) | Place::Outside => return Vec::new(),
    };
    let interfaces = &host.interfaces;
    let direction = if role == Role::From { Direction::Egress } else { Direction::Ingress };
    let way = |interface: &Interface, place: CiliumPlace| {
        let (one, pod) = (interface.clone(), interfaces.pod.clone());
        let calico = match (own, role) {
            (true, Role::From) => Path::Egress(one),
            (true, Role::To) => Path::Ingress(one),
            (false, Role::From) => Path::Forward { from: pod, to: one },
            (false, Role::To) => Path::Forward { from: one, to: pod },
        };
        Way { node: Arc::clone(&host.name), calico, cilium: own.then_some((direction, place)), others: false }
    };
    if other.here {
        // What passes between a node and its pods, or between those, passes it once.
        let once = own || (other.pods && role == Role::From);
        return once.then(|| (way(&interfaces.pod, CiliumPlace::Cilium), None)).into_iter().collect();
    }
    // A node's packets for pods elsewhere may go into the overlay, and packets for pods come out of it.
    let overlay = if own { other.pods && role == Role::From } else { other.pods || role == Role::To };
    let tunnel = interfaces.tunnel.as_ref().filter(|_| overlay);
    let mut all: Vec<_> = tunnel.map(|tunnel| (way(tunnel, CiliumPlace::Cilium), None)).into_iter().collect();
    if tunnel.is_none() || interfaces.bare {
        let out = interfaces.out.iter();
        all.extend(out.map(|(one, carried)| (way(one, CiliumPlace::Device), own.then(|| side(host, carried)))));
    }
    all
}

/// Addresses of the node's packets on an interface: what the interface carries, and what no interface of a link carries.
fn side(host: &Host, carried: &IpSet) -> IpSet {
    let elsewhere: IpSet = host.addresses.iter().copied().collect();
    carried.union(&elsewhere.complement())
}

/// The way of a node's packets to itself.
pub(super) fn itself(host: &Host) -> Way {
    let loopback = host.interfaces.loopback.clone();
    Way { node: Arc::clone(&host.name), calico: Path::Local(loopback), cilium: None, others: false }
}

/// A way for some addresses of the node's side, taken apart where Cilium judges it: what goes between the node's own
/// addresses and others, which it judges alike on nodes of a class, and the rest, which it never drops.
pub(super) fn apart(host: &Host, way: Way, side: IpSet) -> Vec<(Way, IpSet)> {
    let Some(own) = host.own.as_ref().filter(|_| way.cilium.is_some()) else { return vec![(way, side)] };
    let (judged, rest) = (side.intersection(own), side.difference(own));
    vec![(Way { others: true, ..way.clone() }, judged), (Way { cilium: None, ..way }, rest)]
}

/// Every way past a node.
pub(super) fn every_way(host: &Host) -> Vec<Way> {
    let interfaces = &host.interfaces;
    let pod = (&interfaces.pod, CiliumPlace::Cilium);
    let tunnel = interfaces.tunnel.as_ref().map(|tunnel| (tunnel, CiliumPlace::Cilium));
    let out = interfaces.out.iter().map(|(one, _)| (one, CiliumPlace::Device));
    let all: Vec<_> = out.chain(tunnel).chain([pod]).collect();
    let way = |calico, cilium| Way { node: Arc::clone(&host.name), calico, cilium, others: false };
    let mut ways = vec![itself(host)];
    for (one, place) in &all {
        let one = || (*one).clone();
        ways.push(way(Path::Ingress(one()), Some((Direction::Ingress, *place))));
        ways.push(way(Path::Egress(one()), Some((Direction::Egress, *place))));
        ways.extend(all.iter().map(|(to, _)| way(Path::Forward { from: one(), to: (*to).clone() }, None)));
    }
    ways
}
