//! What the rows mean, as packets.
//!
//! Written from the rows and the facts about the cluster alone. Nothing here knows how rows are rendered; only the losses
//! that a rendering reports widen or narrow what a row is held to.

use policy::net::{Cidr, Family};
use policy::packet::{Cube, IcmpSet, IpSet, Packet, PortSet, ProtocolSet, Region, Space, protocol};

use super::facts::{Facts, loopback, prefixes};
use crate::matrix::{Action, Direction, Expanded, IcmpMatch, Interfaces, Peer, PortRange, Row, Traffic, Transport};
use crate::render::loss::{Change, Known};

/// The rows of a matrix in a cluster.
pub(super) struct Intent<'i> {
    pub(super) matrix: &'i Expanded,
    pub(super) facts: &'i Facts,
    /// Whether pods and nodes are known by who they are, not by their prefixes: an address of the pod network that no pod
    /// has is then nobody's.
    by_identity: bool,
    every_node: IpSet,
    roles: Vec<IpSet>,
    network: IpSet,
    pods: IpSet,
    pod_network: IpSet,
}

/// How far a set is sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// What is matched at least.
    Least,
    /// The same while no other node has a host endpoint.
    Alone,
    /// What is matched at most.
    Most,
}

impl<'i> Intent<'i> {
    pub(super) fn new(matrix: &'i Expanded, facts: &'i Facts, by_identity: bool) -> Self {
        Self {
            every_node: facts.nodes(|_| true),
            roles: (0..matrix.roles.len()).map(|role| facts.nodes(|node| node.roles.contains(&role))).collect(),
            network: prefixes(&matrix.cluster.node_cidrs),
            pods: facts.pods(),
            pod_network: prefixes(&matrix.cluster.pod_cidrs),
            matrix,
            facts,
            by_identity,
        }
    }

    /// The rows that hold for nodes of these roles in a direction, on an interface; of any where none is named.
    pub(super) fn rows(&self, roles: &[usize], direction: Direction, interface: Option<&str>) -> Vec<&'i Row> {
        let on = |row: &&Row| match (&row.interfaces, interface) {
            (Some(names), Some(interface)) => names.iter().any(|name| name == interface),
            _ => true,
        };
        let all = self.matrix.frame_rows.iter().chain(&self.matrix.rows);
        all.filter(|row| row.direction == direction && row.roles.iter().any(|role| roles.contains(role)))
            .filter(on)
            .collect()
    }

    /// Whether packets of a direction are dropped unless a row admits them.
    pub(super) fn denies(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.matrix.frame.ingress.deny,
            Direction::Egress => self.matrix.frame.egress.deny,
        }
    }

    /// Whether an interface is policed.
    pub(super) fn polices(&self, interface: &str) -> bool {
        match &self.matrix.frame.interfaces {
            Interfaces::All => true,
            Interfaces::Named(names) => names.iter().any(|name| name == interface),
        }
    }

    /// What rows admit together: least with the least allows and the most denies, and the other way round.
    pub(super) fn admitted(
        &self,
        space: &mut Space,
        rows: &[(&Row, Vec<&Change>)],
        direction: Direction,
        bound: Bound,
    ) -> Region {
        let opposite = if bound == Bound::Most { Bound::Least } else { Bound::Most };
        let mut union = |action: Action, bound: Bound| {
            let mut regions = Vec::new();
            for (row, changes) in rows.iter().filter(|(row, _)| row.action == action) {
                regions.extend(self.cubes(row, changes, bound).iter().map(|cube| space.cube(cube, 1)));
            }
            space.first_match(&regions)
        };
        let allowed = if self.denies(direction) { union(Action::Allow, bound) } else { Space::ALL };
        let denied = union(Action::Deny, opposite);
        space.without(allowed, denied)
    }

    /// The packets that a row matches.
    pub(super) fn cubes(&self, row: &Row, changes: &[&Change], bound: Bound) -> Vec<Cube> {
        let counts = |change: &&Change| **change == Change::NodePorts || widens(change) == (bound == Bound::Most);
        let changes: Vec<&Change> = changes.iter().copied().filter(counts).collect();
        let mut cubes = Vec::new();
        for traffic in traffic(row, &changes) {
            let mut with = |source: IpSet, destination: IpSet| {
                let source = source.intersection(&traffic.source);
                cubes.push(Cube { source, destination, ..traffic.clone() });
            };
            let (own, others) = match row.direction {
                Direction::Ingress => (false, self.peers(row, &changes, bound)),
                Direction::Egress => (true, self.peers(row, &changes, bound)),
            };
            if own {
                with(IpSet::all(), others)
            } else {
                with(others, IpSet::all())
            }
            if row.peers.contains(&Peer::Localhost) {
                let local = within_row(row, &loopback());
                let (source, destination) = if own { (loopback(), local) } else { (local, loopback()) };
                with(source, destination);
            }
        }
        if changes.contains(&&Change::NodePorts) {
            let ports = port_set(&[self.matrix.cluster.node_ports]);
            match (row.action, bound) {
                // Everyone reaches node ports, whatever an allow says, and a deny keeps nobody from them.
                (Action::Allow, Bound::Most) => {
                    let protocols = [protocol::TCP, protocol::UDP, protocol::SCTP].into_iter().collect();
                    cubes.push(Cube { protocols, destination_ports: ports, ..Cube::any() });
                }
                (Action::Deny, Bound::Least | Bound::Alone) => {
                    for cube in &mut cubes {
                        cube.destination_ports = cube.destination_ports.difference(&ports);
                    }
                }
                _ => {}
            }
        }
        cubes
    }

    /// The first row that matches a packet.
    pub(super) fn row_of<'r>(
        &self,
        rows: &[(&'r Row, Vec<&Change>)],
        action: Action,
        packet: &Packet,
    ) -> Option<&'r Row> {
        let matches = |row: &Row| self.cubes(row, &[], Bound::Most).iter().any(|cube| cube.contains(packet));
        rows.iter().map(|(row, _)| *row).find(|row| row.action == action && matches(row))
    }

    /// Addresses of the other side.
    fn peers(&self, row: &Row, changes: &[&Change], bound: Bound) -> IpSet {
        let has = |change: &Change| changes.contains(&change);
        let mut peers = IpSet::empty();
        for peer in &row.peers {
            let mut addresses = self.peer(peer, bound);
            let is_node = matches!(peer, Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. });
            if is_node && bound == Bound::Alone && has(&Change::ByEndpoint) {
                addresses = addresses.difference(&self.every_node);
            }
            if let Peer::Cidrs { .. } = peer {
                for (known, members) in [(Known::Nodes, &self.every_node), (Known::Pods, &self.pods)] {
                    if has(&Change::NotByPrefix(known)) {
                        addresses = addresses.difference(members);
                    }
                }
            }
            peers = peers.union(&addresses);
        }
        for change in changes {
            match change {
                Change::EveryNode => peers = peers.union(&self.every_node),
                Change::Network { selector } => {
                    let others =
                        selector.as_ref().map(|selector| self.facts.nodes(|node| !selector.matches(&node.labels)));
                    let network =
                        others.map_or_else(|| self.network.clone(), |others| self.network.difference(&others));
                    peers = peers.union(&network);
                }
                _ => {}
            }
        }
        let mut peers = within_row(row, &peers);
        for known in [Known::Nodes, Known::Pods] {
            let members = || {
                let all = known == Known::Nodes && has(&Change::EveryNode);
                if all { self.every_node.clone() } else { self.meant(row, known) }
            };
            if has(&Change::NoExceptions(known)) {
                let family = row.family.map_or_else(IpSet::all, IpSet::family);
                peers = peers.union(&members().intersection(&family));
            }
            if has(&Change::AnyFamily(known)) {
                // Without a family of its own the row got one from its prefixes.
                let others = row.family.map_or_else(IpSet::all, |family| IpSet::family(family).complement());
                peers = peers.union(&members().intersection(&others));
            }
        }
        peers
    }

    fn peer(&self, peer: &Peer, bound: Bound) -> IpSet {
        let unsure = self.by_identity && bound != Bound::Most;
        match peer {
            Peer::Any => IpSet::all(),
            Peer::Nodes if unsure => self.every_node.union(&self.network.difference(&self.pods)),
            Peer::Nodes => self.every_node.union(&self.network),
            Peer::Role(role) => self.roles[*role].clone(),
            Peer::NodeSelector { selector, .. } => self.facts.nodes(|node| selector.matches(&node.labels)),
            Peer::Pods if self.pod_network.is_empty() || unsure => self.pods.clone(),
            Peer::Pods if self.by_identity => self.pod_network.union(&self.pods),
            Peer::Pods => self.pod_network.clone(),
            Peer::PodSelector { namespaces, pods, .. } => self.facts.pods_of(namespaces.as_ref(), pods),
            Peer::Services => self.facts.services(self.matrix),
            Peer::Cidrs { cidrs, .. } => prefixes(cidrs),
            // Loopback has both ends on the node; names stand for addresses that only a resolver knows.
            Peer::Localhost | Peer::Fqdns { .. } => IpSet::empty(),
        }
    }

    /// The nodes or pods that a row can mean: those it names, or all where it names them by prefix.
    fn meant(&self, row: &Row, known: Known) -> IpSet {
        let all = if known == Known::Nodes { &self.every_node } else { &self.pods };
        let mut meant = IpSet::empty();
        for peer in &row.peers {
            let of_kind = match peer {
                Peer::Role(_) | Peer::NodeSelector { .. } if known == Known::Nodes => self.peer(peer, Bound::Least),
                Peer::PodSelector { .. } if known == Known::Pods => self.peer(peer, Bound::Least),
                Peer::Any | Peer::Cidrs { .. } => all.clone(),
                Peer::Nodes if known == Known::Nodes => all.clone(),
                Peer::Pods if known == Known::Pods => all.clone(),
                _ => IpSet::empty(),
            };
            meant = meant.union(&of_kind);
        }
        meant
    }
}

/// Whether a change makes a row match more.
fn widens(change: &Change) -> bool {
    match change {
        Change::AnySourcePort
        | Change::AnyIcmpCode
        | Change::AnyProtocol
        | Change::EveryNode
        | Change::Network { .. }
        | Change::AnyFamily(_)
        | Change::NoExceptions(_)
        | Change::OtherClusters => true,
        Change::NodePorts
        | Change::Without(_)
        | Change::WithoutIcmp(..)
        | Change::NotByPrefix(_)
        | Change::ByEndpoint => false,
    }
}

/// Of the row's family, and not excepted.
fn within_row(row: &Row, addresses: &IpSet) -> IpSet {
    let addresses =
        row.family.map_or_else(|| addresses.clone(), |family| addresses.intersection(&IpSet::family(family)));
    addresses.difference(&prefixes(&row.except))
}

/// The kinds of packets of a row; the sources say the family of those that have only one.
fn traffic(row: &Row, changes: &[&Change]) -> Vec<Cube> {
    if changes.contains(&&Change::AnyProtocol) {
        return vec![Cube::any()];
    }
    row.traffic.iter().flat_map(|traffic| kinds(traffic, changes)).collect()
}

fn kinds(traffic: &Traffic, changes: &[&Change]) -> Option<Cube> {
    let any = Cube::any();
    Some(match traffic {
        Traffic::Any => any,
        Traffic::Number(number) => Cube { protocols: ProtocolSet::from(*number), ..any },
        Traffic::Ports { transport, .. } if changes.contains(&&Change::Without(*transport)) => return None,
        Traffic::Ports { transport, ports, source_ports } => {
            let any_source = source_ports.is_empty() || changes.contains(&&Change::AnySourcePort);
            Cube {
                protocols: ProtocolSet::from(number(*transport)),
                destination_ports: if ports.is_empty() { PortSet::all() } else { port_set(ports) },
                source_ports: if any_source { PortSet::all() } else { port_set(source_ports) },
                ..any
            }
        }
        Traffic::Icmp { family, types } => {
            let mut icmp = if types.is_empty() { IcmpSet::all() } else { icmp_set(types, changes) };
            for change in changes {
                if let Change::WithoutIcmp(of, kinds) = change
                    && of == family
                {
                    icmp = kinds.iter().fold(icmp, |left, kind| left.difference(&IcmpSet::kind(*kind)));
                }
            }
            Cube { source: family_of(*family), protocols: ProtocolSet::from(protocol::icmp(*family)), icmp, ..any }
        }
    })
}

fn icmp_set(types: &[IcmpMatch], changes: &[&Change]) -> IcmpSet {
    let any_code = changes.contains(&&Change::AnyIcmpCode);
    types.iter().fold(IcmpSet::empty(), |all, matched| {
        let one = match matched.code.filter(|_| !any_code) {
            Some(code) => IcmpSet::code(matched.icmp_type, code),
            None => IcmpSet::kind(matched.icmp_type),
        };
        all.union(&one)
    })
}

fn family_of(family: Family) -> IpSet {
    IpSet::from(Cidr::all(family))
}

pub(super) fn port_set(ranges: &[PortRange]) -> PortSet {
    ranges.iter().map(|range| range.first..=range.last).collect()
}

pub(super) fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => protocol::TCP,
        Transport::Udp => protocol::UDP,
        Transport::Sctp => protocol::SCTP,
    }
}
