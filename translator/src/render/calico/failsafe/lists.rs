//! The lists themselves.

use std::collections::BTreeSet;

use policy::net::{Cidr, Family};

use super::{Entry, Lists};
use crate::matrix::{Direction, Expanded, Peer, Row, Transport};
use crate::render::calico::fleet::Fleet;
use crate::render::calico::lifelines::{self, Lifeline};
use crate::render::calico::options::{Dataplane, Failsafe, Options};
use crate::render::calico::row::{default, from_anyone};

/// Prefixes of one row that entries are narrowed to; with more, the whole node network, or no prefix, stands in.
const MOST_NETS: usize = 32;

/// Calico's own lists (projectcalico/calico:felix/config/config_params.go), the same in 3.29 to 3.32.
const INBOUND: [(Transport, u16); 9] = [
    (Transport::Tcp, 22),
    (Transport::Tcp, 179),
    (Transport::Tcp, 2379),
    (Transport::Tcp, 2380),
    (Transport::Tcp, 5473),
    (Transport::Tcp, 6443),
    (Transport::Tcp, 6666),
    (Transport::Tcp, 6667),
    (Transport::Udp, 68),
];
const OUTBOUND: [(Transport, u16); 9] = [
    (Transport::Tcp, 179),
    (Transport::Tcp, 2379),
    (Transport::Tcp, 2380),
    (Transport::Tcp, 5473),
    (Transport::Tcp, 6443),
    (Transport::Tcp, 6666),
    (Transport::Tcp, 6667),
    (Transport::Udp, 53),
    (Transport::Udp, 67),
];

/// The lists for the settings.
pub(in super::super) fn lists(matrix: &Expanded, fleet: &Fleet<'_>, options: &Options) -> Lists {
    match options.failsafe {
        Failsafe::Matrix => computed(matrix, fleet, options),
        Failsafe::Default | Failsafe::Keep => Lists {
            inbound: calicos(Direction::Ingress),
            outbound: calicos(Direction::Egress),
            admit_service_address: false,
        },
        Failsafe::None => Lists { inbound: Vec::new(), outbound: Vec::new(), admit_service_address: false },
    }
}

/// Calico's own list.
pub(super) fn calicos(direction: Direction) -> Vec<Entry> {
    let list = match direction {
        Direction::Ingress => &INBOUND,
        Direction::Egress => &OUTBOUND,
    };
    list.iter().map(|(transport, port)| Entry::anywhere(*transport, *port)).collect()
}

fn computed(matrix: &Expanded, fleet: &Fleet<'_>, options: &Options) -> Lists {
    let mut inbound = start(matrix, Direction::Ingress);
    let mut outbound = start(matrix, Direction::Egress);
    for row in matrix.frame_rows.iter().chain(&matrix.rows) {
        for lifeline in lifelines::of(matrix, row) {
            match row.direction {
                Direction::Ingress => {
                    let nets = nets(matrix, fleet, row, lifeline.flow);
                    if !would_open(row, lifeline, &nets) {
                        add(&mut inbound, row, lifeline, &nets);
                    }
                    if let Some(nets) = way_out(matrix, fleet, row, lifeline.flow) {
                        add(&mut outbound, row, lifeline, &nets);
                    }
                }
                // The API server and the supervisor are often behind a virtual address, which is nobody's prefix.
                Direction::Egress if matches!(lifeline.flow, "kube-apiserver" | "supervisor") => {
                    add(&mut outbound, row, lifeline, &[None]);
                }
                Direction::Egress => add(&mut outbound, row, lifeline, &nets(matrix, fleet, row, lifeline.flow)),
            }
        }
    }
    outbound.insert(Entry::anywhere(Transport::Tcp, matrix.cluster.api_server_port));
    outbound.insert(Entry::anywhere(Transport::Udp, 67));
    for transport in [Transport::Udp, Transport::Tcp] {
        if !outbound.iter().any(|entry| entry.transport == transport && entry.port == 53) {
            outbound.insert(Entry::anywhere(transport, 53));
        }
    }
    let judged_twice = !matches!(options.dataplane, Some(Dataplane::Iptables | Dataplane::Ebpf));
    let admit_service_address = matrix.frame.egress.deny && judged_twice && !matrix.cluster.service_cidrs.is_empty();
    if admit_service_address {
        // In nftables mode Felix judges the service's address too, and calico-node itself dials the API server by it.
        let services = matrix.cluster.service_cidrs.iter();
        outbound.extend(services.map(|net| Entry { transport: Transport::Tcp, port: 443, net: Some(*net) }));
    }
    Lists { inbound: reduced(&inbound), outbound: reduced(&outbound), admit_service_address }
}

/// Whether an entry would open to everyone a port that the row restricts and that nobody needs for the way back in.
///
/// Without known prefixes an entry has no `net`. That is worth it for what Calico itself keeps open and for what revives a
/// cluster; the databases and tunnels of a CNI come back with the policy that admits them.
fn would_open(row: &Row, lifeline: Lifeline, nets: &[Option<Cidr>]) -> bool {
    matches!(lifeline.flow, "exec-tunnel" | "bgp" | "cni-control")
        && nets.contains(&None)
        && !from_anyone(row)
        && !INBOUND.contains(&(lifeline.transport, lifeline.port))
}

/// Where the matrix leaves a direction open there is nothing to narrow, so Calico's own entries stay.
fn start(matrix: &Expanded, direction: Direction) -> BTreeSet<Entry> {
    if default(matrix, direction).deny { BTreeSet::new() } else { calicos(direction).into_iter().collect() }
}

fn add(entries: &mut BTreeSet<Entry>, row: &Row, lifeline: Lifeline, nets: &[Option<Cidr>]) {
    let in_family = |net: &Option<Cidr>| match (row.family, net) {
        (Some(family), None) => Some(Some(Cidr::all(family))),
        (Some(family), Some(net)) if net.family() != family => None,
        _ => Some(*net),
    };
    let Lifeline { transport, port, .. } = lifeline;
    entries.extend(nets.iter().filter_map(in_family).map(|net| Entry { transport, port, net }));
}

/// Prefixes of a row's peers where all of them are known, otherwise anywhere.
fn nets(matrix: &Expanded, fleet: &Fleet<'_>, row: &Row, flow: &str) -> Vec<Option<Cidr>> {
    let cluster = &matrix.cluster;
    // A node that is only joining has no registered address, and these two are how it joins.
    let joining = matches!(flow, "kube-apiserver" | "supervisor");
    let mut known: Vec<Cidr> = Vec::new();
    for peer in &row.peers {
        let nets = match peer {
            Peer::Cidrs { cidrs, .. } => cidrs.clone(),
            Peer::Nodes => cluster.node_cidrs.clone(),
            Peer::Role(_) | Peer::NodeSelector { .. } if joining => cluster.node_cidrs.clone(),
            Peer::Role(role) => few(fleet.addresses_in(*role), &cluster.node_cidrs),
            Peer::NodeSelector { selector, .. } => few(fleet.addresses_of(selector), &cluster.node_cidrs),
            Peer::Pods | Peer::PodSelector { .. } => cluster.pod_cidrs.clone(),
            Peer::Localhost => vec![Cidr::loopback(Family::IPv4), Cidr::loopback(Family::IPv6)],
            Peer::Services => cluster.service_cidrs.clone(),
            Peer::Any | Peer::Fqdns { .. } => Vec::new(),
        };
        if nets.is_empty() {
            return vec![None];
        }
        known.extend(nets);
    }
    if known.len() > MOST_NETS { vec![None] } else { known.into_iter().map(Some).collect() }
}

fn few(addresses: Vec<Cidr>, network: &[Cidr]) -> Vec<Cidr> {
    if addresses.is_empty() || addresses.len() > MOST_NETS { network.to_vec() } else { addresses }
}

/// Where nodes go to, as the clients of an ingress row; `None` when nodes are not among its clients.
fn way_out(matrix: &Expanded, fleet: &Fleet<'_>, row: &Row, flow: &str) -> Option<Vec<Option<Cidr>>> {
    let nodes_are_clients = row
        .peers
        .iter()
        .any(|peer| matches!(peer, Peer::Any | Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. }));
    match flow {
        "kube-apiserver" | "supervisor" | "exec-tunnel" if nodes_are_clients => Some(vec![None]),
        "etcd-client" | "etcd-peer" | "bgp" | "cni-control" if nodes_are_clients => {
            let servers: Vec<Cidr> = row.roles.iter().flat_map(|role| fleet.addresses_in(*role)).collect();
            let mut servers = few(servers, &matrix.cluster.node_cidrs);
            if flow == "bgp" {
                // A session may be opened from either end, also to the routers.
                servers.extend(row.peers.iter().flat_map(|peer| match peer {
                    Peer::Cidrs { cidrs, .. } if !matrix.cluster.node_cidrs.is_empty() => cidrs.clone(),
                    _ => Vec::new(),
                }));
            }
            let everywhere = servers.is_empty() || row.peers.contains(&Peer::Any) && flow == "bgp";
            Some(if everywhere { vec![None] } else { servers.into_iter().map(Some).collect() })
        }
        _ => None,
    }
}

/// Sorted, without entries that another one includes.
fn reduced(entries: &BTreeSet<Entry>) -> Vec<Entry> {
    entries
        .iter()
        .copied()
        .filter(|entry| !entries.iter().any(|other| other != entry && other.includes(*entry)))
        .collect()
}
