//! Whether the rows of the matrix admit what a failsafe port admits.

use policy::net::{Cidr, Family};

use super::Entry;
use crate::matrix::{Action, Direction, Expanded, Peer, PortRange, Row, Traffic, Transport};
use crate::render::calico::fleet::Fleet;
use crate::render::calico::row::{Line, default};
use crate::render::{Fate, calico::sets::normalise};

/// The rows of a matrix, and the addresses that its node peers have.
#[derive(Debug)]
pub(super) struct Cover<'c> {
    matrix: &'c Expanded,
    rows: Vec<&'c Row>,
    nodes: Vec<Cidr>,
    roles: Vec<Vec<Cidr>>,
    fleet: &'c Fleet<'c>,
}

impl<'c> Cover<'c> {
    pub(super) fn new(matrix: &'c Expanded, fleet: &'c Fleet<'c>, lines: &[Line<'c>]) -> Self {
        let mut nodes = fleet.addresses();
        nodes.extend(&matrix.cluster.node_cidrs);
        Self {
            matrix,
            rows: lines.iter().filter(|line| line.fate != Fate::Refused).map(|line| line.row).collect(),
            nodes: normalise(nodes),
            roles: (0..matrix.roles.len()).map(|role| fleet.addresses_in(role)).collect(),
            fleet,
        }
    }

    /// Whether everything that the entry admits is admitted by the rows of a role.
    pub(super) fn admits(&self, role: usize, direction: Direction, entry: Entry) -> bool {
        let mut rows = self.rows.iter().filter(|row| row.direction == direction && row.roles.contains(&role));
        if rows.clone().any(|row| row.action == Action::Deny && self.overlaps(row, entry)) {
            return false;
        }
        if !default(self.matrix, direction).deny {
            return true;
        }
        let wanted = match entry.net {
            Some(net) => vec![net],
            None => vec![Cidr::all(Family::IPv4), Cidr::all(Family::IPv6)],
        };
        wanted
            .into_iter()
            .all(|net| rows.clone().any(|row| row.action == Action::Allow && self.includes(row, entry, net)))
            && rows.next().is_some()
    }

    /// Whether some packet is matched by the row and the entry.
    pub(super) fn overlaps(&self, row: &Row, entry: Entry) -> bool {
        let family = |family| row.family.is_none_or(|only| only == family);
        let packets = row.traffic.iter().any(|traffic| match traffic {
            Traffic::Any => true,
            Traffic::Ports { transport, ports, .. } => of_port(*transport, ports, entry),
            Traffic::Icmp { .. } | Traffic::Number(_) => false,
        });
        packets
            && match entry.net {
                None => true,
                Some(net) => family(net.family()) && row.peers.iter().any(|peer| self.peer_overlaps(peer, net)),
            }
    }

    /// Whether the row matches every packet of the entry from or to `net`.
    fn includes(&self, row: &Row, entry: Entry, net: Cidr) -> bool {
        let packets = row.traffic.iter().any(|traffic| match traffic {
            Traffic::Any => true,
            Traffic::Ports { transport, ports, source_ports } => {
                source_ports.is_empty() && of_port(*transport, ports, entry)
            }
            Traffic::Icmp { .. } | Traffic::Number(_) => false,
        });
        packets
            && row.interfaces.is_none()
            && row.family.is_none_or(|family| family == net.family())
            && !row.except.iter().any(|except| except.overlaps(net))
            && row.peers.iter().any(|peer| self.peer_includes(peer, net))
    }

    /// Whether some address is the peer's and in `net`; assumed where the peer's addresses are not known.
    fn peer_overlaps(&self, peer: &Peer, net: Cidr) -> bool {
        let known = match peer {
            Peer::Cidrs { cidrs, .. } => cidrs,
            Peer::Nodes => &self.nodes,
            Peer::Role(role) => &self.roles[*role],
            Peer::Pods => &self.matrix.cluster.pod_cidrs,
            _ => return true,
        };
        known.is_empty() || known.iter().any(|cidr| cidr.overlaps(net))
    }

    fn peer_includes(&self, peer: &Peer, net: Cidr) -> bool {
        let within = |nets: &[Cidr]| nets.iter().any(|cidr| cidr.contains(net));
        match peer {
            Peer::Any => true,
            Peer::Cidrs { cidrs, .. } => within(cidrs),
            // Prefixes nest or are apart, so the one that contains an address is the last that is not after it.
            Peer::Nodes => among(&self.nodes, net),
            Peer::Role(role) => among(&self.roles[*role], net),
            Peer::NodeSelector { selector, .. } => among(&self.fleet.addresses_of(selector), net),
            Peer::Pods => within(&self.matrix.cluster.pod_cidrs),
            Peer::Services => within(&self.matrix.cluster.service_cidrs),
            Peer::PodSelector { .. } | Peer::Fqdns { .. } | Peer::Localhost => false,
        }
    }
}

/// Whether one of these contains `net`; they are sorted and apart.
fn among(nets: &[Cidr], net: Cidr) -> bool {
    let after = nets.partition_point(|other| *other <= net);
    after.checked_sub(1).and_then(|last| nets.get(last)).is_some_and(|last| last.contains(net))
}

fn of_port(transport: Transport, ports: &[PortRange], entry: Entry) -> bool {
    let port = PortRange { first: entry.port, last: entry.port };
    transport == entry.transport && (ports.is_empty() || ports.iter().any(|range| range.overlaps(port)))
}
