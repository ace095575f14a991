//! Which ports of a row the cluster lives on.

use crate::matrix::{Action, Direction, Expanded, Origin, PortRange, Row, Traffic, Transport};

/// Ports of one row that count; beyond it a row is not a lifeline but a range.
const MOST_PORTS: usize = 16;

/// Lifelines whose rows become failsafe ports.
const FLOWS: [&str; 12] = [
    "kube-apiserver",
    "supervisor",
    "exec-tunnel",
    "etcd-client",
    "etcd-peer",
    "admin-ssh",
    "admin-talos",
    "dhcp4",
    "dhcp6",
    "dns",
    "bgp",
    "cni-control",
];

/// Lifelines that a node needs before it is one: no label and no registered address helps it.
const JOINING: [&str; 4] = ["kube-apiserver", "supervisor", "etcd-client", "etcd-peer"];

/// Ports that are known for a lifeline even in a row that does not name it.
const KNOWN: [(Transport, u16, &str); 13] = [
    (Transport::Tcp, 22, "admin-ssh"),
    (Transport::Tcp, 50000, "admin-talos"),
    (Transport::Tcp, 9345, "supervisor"),
    (Transport::Tcp, 2379, "etcd-client"),
    (Transport::Tcp, 2380, "etcd-peer"),
    (Transport::Tcp, 179, "bgp"),
    (Transport::Tcp, 5473, "cni-control"),
    (Transport::Tcp, 53, "dns"),
    (Transport::Udp, 53, "dns"),
    (Transport::Udp, 67, "dhcp4"),
    (Transport::Udp, 68, "dhcp4"),
    (Transport::Udp, 546, "dhcp6"),
    (Transport::Udp, 547, "dhcp6"),
];

/// A port of a row that carries a lifeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifeline {
    pub(super) transport: Transport,
    pub(super) port: u16,
    pub(super) flow: &'static str,
}

/// The lifelines that an allow row carries, as far as failsafe ports can keep them: TCP and UDP, single ports.
///
/// A row that names its flow is taken at its word. One that names none is still read by its ports, so that forgetting
/// `flow` on the SSH row does not take the way back in out of the failsafe list.
pub(super) fn of<'r>(matrix: &'r Expanded, row: &'r Row) -> impl Iterator<Item = Lifeline> + 'r {
    let flow = row.flow.as_deref();
    let named = flow.and_then(|flow| FLOWS.into_iter().find(|known| *known == flow));
    let silent = flow.is_none() && matches!(row.origin, Origin::Row(_) | Origin::Frame("dhcp"));
    let known = move |transport, port| {
        // On the nodes of a hosted control plane this port is somebody else's.
        let on_nodes = row.direction == Direction::Egress || !matrix.cluster.hosted_control_plane;
        let api_server = on_nodes && transport == Transport::Tcp && port == matrix.cluster.api_server_port;
        let api_server = api_server.then_some("kube-apiserver");
        let known = || KNOWN.iter().find(|known| (known.0, known.1) == (transport, port)).map(|known| known.2);
        named.or_else(|| if silent { api_server.or_else(known) } else { None })
    };
    let ports = row.traffic.iter().filter(|_| row.action == Action::Allow).filter_map(|traffic| match traffic {
        Traffic::Ports { transport: transport @ (Transport::Tcp | Transport::Udp), ports, .. }
            if !ports.is_empty() && count(ports) <= MOST_PORTS =>
        {
            Some((*transport, ports))
        }
        _ => None,
    });
    ports.flat_map(move |(transport, ports)| {
        let each = ports.iter().flat_map(|range| range.first..=range.last);
        each.filter_map(move |port| known(transport, port).map(|flow| Lifeline { transport, port, flow }))
    })
}

/// Whether a node needs the row before it is one.
pub(super) fn joins(matrix: &Expanded, row: &Row) -> bool {
    row.direction == Direction::Ingress && of(matrix, row).any(|lifeline| JOINING.contains(&lifeline.flow))
}

/// The single ports of a row with their protocols; `None` when the row is about more than a few.
pub(super) fn single_ports(row: &Row) -> Option<Vec<(Transport, u16)>> {
    let mut single = Vec::new();
    for traffic in &row.traffic {
        match traffic {
            Traffic::Ports { transport, ports, .. } if !ports.is_empty() && count(ports) <= MOST_PORTS => {
                let each = ports.iter().flat_map(|range| range.first..=range.last);
                single.extend(each.map(|port| (*transport, port)));
            }
            _ => return None,
        }
    }
    Some(single)
}

fn count(ports: &[PortRange]) -> usize {
    ports.iter().map(|range| usize::from(range.last - range.first) + 1).sum()
}
