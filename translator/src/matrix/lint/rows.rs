//! Questions about rows.

use policy::net::Cidr;

use crate::matrix::{Action, Default, Direction, Expanded, Peer, PortRange, Row, Traffic, Transport};

/// What happens to packets of a direction that no row mentions.
pub(super) fn default_of(matrix: &Expanded, direction: Direction) -> &Default {
    match direction {
        Direction::Ingress => &matrix.frame.ingress,
        Direction::Egress => &matrix.frame.egress,
    }
}

/// The rows of the file that admit something which would be dropped without them.
pub(super) fn admitting(matrix: &Expanded, direction: Direction) -> impl Iterator<Item = &Row> {
    let denied = default_of(matrix, direction).deny;
    matrix.rows.iter().filter(move |row| denied && row.direction == direction && row.action == Action::Allow)
}

/// A range of one port.
pub(super) fn port(port: u16) -> PortRange {
    PortRange { first: port, last: port }
}

/// Whether a list of ports holds all of a range; no list is every port.
pub(super) fn holds(ports: &[PortRange], range: PortRange) -> bool {
    ports.is_empty() || ports.iter().any(|other| other.first <= range.first && range.last <= other.last)
}

/// Whether a row admits a port, from every source port.
pub(super) fn opens(row: &Row, transport: Transport, range: PortRange) -> bool {
    row.traffic.iter().any(|traffic| match traffic {
        Traffic::Any => true,
        Traffic::Ports { transport: other, ports, source_ports } => {
            *other == transport && source_ports.is_empty() && holds(ports, range)
        }
        _ => false,
    })
}

/// Whether a row admits an IP protocol.
pub(super) fn opens_protocol(row: &Row, number: u8) -> bool {
    row.traffic.iter().any(|traffic| *traffic == Traffic::Any || *traffic == Traffic::Number(number))
}

/// The ports that a row lists, with their transport; rows that admit every port list none.
pub(super) fn listed(row: &Row) -> impl Iterator<Item = (Transport, PortRange)> + '_ {
    row.traffic.iter().flat_map(|traffic| match traffic {
        Traffic::Ports { transport, ports, .. } => ports.iter().map(|range| (*transport, *range)).collect(),
        _ => Vec::new(),
    })
}

/// Whether everyone is meant.
pub(super) fn anyone(row: &Row) -> bool {
    row.peers.iter().any(|peer| match peer {
        Peer::Any => true,
        Peer::Cidrs { cidrs, .. } => cidrs.iter().any(|cidr| cidr.is_all()),
        _ => false,
    })
}

/// Whether nodes can be meant: by label, or by prefixes that may hold them.
pub(super) fn nodes_among(matrix: &Expanded, row: &Row) -> bool {
    let of_pods = |cidr: &Cidr| matrix.cluster.pod_cidrs.iter().any(|pods| pods.contains(*cidr));
    row.peers.iter().any(|peer| match peer {
        Peer::Any | Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. } | Peer::Fqdns { .. } => true,
        Peer::Cidrs { cidrs, .. } => !cidrs.iter().all(of_pods),
        Peer::Pods | Peer::PodSelector { .. } | Peer::Services | Peer::Localhost => false,
    })
}

/// Whether everyone that `row` names is named by `wider` too.
pub(super) fn peers_within(matrix: &Expanded, row: &Row, wider: &Row) -> bool {
    row.peers.iter().all(|peer| wider.peers.iter().any(|other| peer_within(matrix, peer, other)))
}

fn peer_within(matrix: &Expanded, peer: &Peer, wider: &Peer) -> bool {
    match (peer, wider) {
        (_, Peer::Any)
        | (Peer::Role(_) | Peer::NodeSelector { .. }, Peer::Nodes)
        | (Peer::PodSelector { .. }, Peer::Pods) => true,
        (Peer::Cidrs { cidrs, .. }, Peer::Cidrs { cidrs: wider, .. }) => all_within(cidrs, wider),
        // The node network stands for joining nodes too, so part of it is part of the nodes.
        (Peer::Cidrs { cidrs, .. }, Peer::Nodes) => all_within(cidrs, &matrix.cluster.node_cidrs),
        (peer, wider) => peer == wider,
    }
}

fn all_within(cidrs: &[Cidr], wider: &[Cidr]) -> bool {
    cidrs.iter().all(|cidr| wider.iter().any(|other| other.contains(*cidr)))
}

/// The names of roles, as a list for messages.
pub(super) fn role_names(matrix: &Expanded, roles: &[usize]) -> String {
    roles.iter().map(|role| format!("`{}`", matrix.roles[*role].name)).collect::<Vec<_>>().join(", ")
}

/// The roles as a row would name them: `all`, one name, or a list.
pub(super) fn roles_field(matrix: &Expanded, roles: &[usize]) -> String {
    match roles {
        _ if roles.len() == matrix.roles.len() => "all".to_owned(),
        [role] => matrix.roles[*role].name.clone(),
        _ => format!("[{}]", roles.iter().map(|role| matrix.roles[*role].name.as_str()).collect::<Vec<_>>().join(", ")),
    }
}
