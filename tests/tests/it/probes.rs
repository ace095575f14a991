//! Presets in a real Felix: what gets through is what the rows say, for every row, from where it is allowed and from where it
//! is not, in nftables mode and in iptables mode.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy::calico::question::Conntrack;
use policy::calico::settings::Dataplane;
use policy::net::Family;
use policy::object::{LabelSelector, Operator};
use tests::felix::Rig;
use tests::variants::{self, Variant};
use tests::verdicts::calico::{Case, CaseInterface, CasePacket, Direction as Way};
use translator::matrix::{Action, Direction, Expanded, Interfaces, Origin, Peer, Row, Traffic, Transport};
use translator::output;
use translator::render::{AnyObject, Fate, Node, Rendered, calico};

type Test = Result<(), Box<dyn std::error::Error>>;

/// Nowhere near the cluster.
const OUTSIDE: [&str; 2] = ["198.51.100.9", "2001:db8:ffff::9"];

#[test]
fn presets_admit_what_their_rows_say() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let mut rig = Rig::start(&[Dataplane::Nftables, Dataplane::Iptables])?;
    for preset in ["harvester", "talos", "lke"] {
        let variants = variants::all("calico");
        let variant = variants.iter().find(|variant| variant.preset.name == preset && variant.toggle.is_empty());
        let variant = variant.expect("every preset has its defaults");
        let cluster = Cluster::new(variant);
        for role in 0..cluster.matrix.roles.len() {
            cluster.probe(&mut rig, role)?;
        }
    }
    Ok(())
}

/// A matrix, and a cluster with two nodes of each role.
struct Cluster {
    title: String,
    matrix: Expanded,
    nodes: Vec<Node>,
    rendered: Rendered,
}

impl Cluster {
    fn new(variant: &Variant) -> Self {
        let matrix = variant.expand();
        // The second of each role is its peer.
        let nodes: Vec<Node> = matrix
            .roles
            .iter()
            .chain(&matrix.roles)
            .enumerate()
            .map(|(index, role)| Node {
                name: format!("node-{index}"),
                labels: labels(&role.selector),
                internal: vec![address(&format!("10.0.0.{}", 10 + index)), address(&format!("fd00::{}", 10 + index))],
                ..Node::default()
            })
            .collect();
        for (index, role) in matrix.roles.iter().enumerate() {
            assert!(role.selector.matches(&nodes[index].labels), "{}: {}", variant.title(), role.name);
        }
        let mut options = calico::Options::new("probe");
        options.host_endpoints = calico::HostEndpoints::Written;
        let rendered = calico::render(&matrix, Some(&nodes), &options);
        Self { title: variant.title(), matrix, nodes, rendered }
    }

    /// Applies the objects, and sends packets to and from the node of a role.
    fn probe(&self, rig: &mut Rig, role: usize) -> Test {
        let packets = self.packets(role);
        let case = Case {
            id: format!("{}, {}", self.title, self.matrix.roles[role].name),
            node: self.nodes[role].name.clone(),
            raw: false,
            dataplane: None,
            env: BTreeMap::new(),
            interfaces: vec![CaseInterface {
                name: self.interface().to_owned(),
                addrs: self.nodes[role].internal.clone(),
            }],
            objects: Vec::new(),
            packets,
        };
        let manifests = output::yaml(&self.rendered.objects, None)?;
        for (dataplane, answer) in rig.answer_applied(&manifests, &case)? {
            let mut proved: BTreeMap<Origin, (bool, bool)> = BTreeMap::new();
            for (packet, verdict) in case.packets.iter().zip(&answer.verdicts) {
                let arrives = verdict == "accept";
                let rows = self.rows_of(role, packet);
                if !rows.iter().any(|row| self.is_lossy(row)) && !self.is_failsafe(packet) {
                    let meant = self.admits(role, packet);
                    assert_eq!(arrives, meant, "{dataplane:?}, {}: {packet:?}", case.id);
                }
                for row in rows {
                    let (allowed, refused) = proved.entry(row.origin).or_default();
                    *allowed |= arrives;
                    *refused |= !arrives;
                }
            }
            for row in self.rows(role, Direction::Ingress).filter(|row| probed(row)) {
                let (allowed, refused) = proved.get(&row.origin).copied().unwrap_or_default();
                assert!(allowed, "{dataplane:?}, {}: nothing of {} gets through", case.id, row.title());
                // Another row may open it, or a failsafe port.
                let open = case.packets.iter().all(|packet| {
                    let is_row = self.rows_of(role, packet).iter().any(|other| other.origin == row.origin);
                    !is_row || self.admits(role, packet) || self.is_failsafe(packet)
                });
                assert!(refused || open, "{dataplane:?}, {}: {} does not keep anybody out", case.id, row.title());
            }
        }
        Ok(())
    }

    /// One that is policed.
    fn interface(&self) -> &str {
        match &self.matrix.frame.interfaces {
            Interfaces::All => "eth0",
            Interfaces::Named(names) => &names[0],
        }
    }

    fn rows(&self, role: usize, direction: Direction) -> impl Iterator<Item = &Row> {
        let all = self.matrix.frame_rows.iter().chain(&self.matrix.rows);
        all.filter(move |row| row.direction == direction && row.roles.contains(&role))
    }

    /// Whether a finding says that the objects admit more or less than the row, or not this row at all.
    fn is_lossy(&self, row: &Row) -> bool {
        let lossy = |fate| matches!(fate, Fate::Wider | Fate::Narrower | Fate::Refused);
        self.rendered.outcomes.iter().any(|outcome| outcome.row == row.origin && lossy(outcome.fate))
    }

    /// Whether a failsafe port admits the packet whatever the rows say, which a finding then says.
    fn is_failsafe(&self, packet: &CasePacket) -> bool {
        let lists = self.rendered.objects.iter().filter_map(|manifest| match &manifest.object {
            AnyObject::FelixConfiguration(felix) => Some(&felix.spec),
            _ => None,
        });
        let mut ports = lists.filter_map(|spec| match direction(packet) {
            Direction::Ingress => spec.failsafe_inbound_host_ports.as_ref(),
            Direction::Egress => spec.failsafe_outbound_host_ports.as_ref(),
        });
        let protocol = if packet.proto == 6 { "TCP" } else { "UDP" };
        let found = ports.any(|list| {
            list.iter().any(|one| {
                one.protocol == protocol && one.port == i64::from(packet.dport) && [6, 17].contains(&packet.proto)
            })
        });
        assert!(!found || self.rendered.findings.iter().any(|finding| finding.code.id.starts_with("failsafe")));
        found
    }

    /// Rows whose traffic the packet is, whoever sends it.
    fn rows_of(&self, role: usize, packet: &CasePacket) -> Vec<&Row> {
        let family = family(packet.src);
        self.rows(role, direction(packet))
            .filter(|row| row.family.is_none_or(|own| own == family))
            .filter(|row| row.traffic.iter().any(|traffic| is_traffic(traffic, packet)))
            .collect()
    }

    /// What the rows say about a packet.
    fn admits(&self, role: usize, packet: &CasePacket) -> bool {
        if packet.iface == "lo" && self.matrix.frame.interfaces != Interfaces::All {
            return true;
        }
        let direction = direction(packet);
        let peer = if direction == Direction::Ingress { packet.src } else { packet.dst };
        let rows = self.rows_of(role, packet);
        let some = |action| {
            rows.iter().any(|row| {
                let meant = row.peers.iter().any(|one| self.is_peer(one, peer));
                row.action == action && meant && !row.except.iter().any(|net| net.net().contains(&peer))
            })
        };
        let frame =
            if direction == Direction::Ingress { &self.matrix.frame.ingress } else { &self.matrix.frame.egress };
        !some(Action::Deny) && (!frame.deny || some(Action::Allow))
    }

    fn is_peer(&self, peer: &Peer, address: IpAddr) -> bool {
        let node =
            |is: &dyn Fn(&Node) -> bool| self.nodes.iter().any(|node| is(node) && node.internal.contains(&address));
        let within = |nets: &[policy::net::Cidr]| nets.iter().any(|net| net.net().contains(&address));
        match peer {
            Peer::Any => true,
            Peer::Nodes => node(&|_| true) || within(&self.matrix.cluster.node_cidrs),
            Peer::Pods => within(&self.matrix.cluster.pod_cidrs),
            Peer::Services => within(&self.matrix.cluster.service_cidrs),
            Peer::Localhost => address.is_loopback(),
            Peer::Role(role) => node(&|node| self.matrix.roles[*role].selector.matches(&node.labels)),
            Peer::NodeSelector { selector, .. } => node(&|node| selector.matches(&node.labels)),
            Peer::Cidrs { cidrs, .. } => within(cidrs),
            Peer::PodSelector { .. } | Peer::Fqdns { .. } => false,
        }
    }

    /// For every row, packets of its kind from everybody; and some that are no row's.
    fn packets(&self, role: usize) -> Vec<CasePacket> {
        let own = &self.nodes[role].internal;
        let mut peers: BTreeSet<IpAddr> = OUTSIDE.iter().map(|text| address(text)).collect();
        peers.extend(self.nodes.iter().flat_map(|node| node.internal.clone()));
        let cluster = &self.matrix.cluster;
        let named = self.matrix.rows.iter().flat_map(|row| &row.peers).filter_map(|peer| match peer {
            Peer::Cidrs { cidrs, .. } => Some(cidrs),
            _ => None,
        });
        let nets = named.flatten().chain(&cluster.node_cidrs).chain(&cluster.pod_cidrs);
        peers.extend(nets.map(inside).filter(|peer| !peer.is_multicast() && !peer.is_loopback()));
        peers.retain(|peer| !own.contains(peer));
        let mut packets = Vec::new();
        for direction in [Direction::Ingress, Direction::Egress] {
            let mut kinds: BTreeSet<Kind> = BTreeSet::new();
            kinds.extend([(6, 40_000, 4_242, 0, 0), (17, 40_000, 4_242, 0, 0), (47, 0, 0, 0, 0)]);
            for row in self.rows(role, direction) {
                kinds.extend(row.traffic.iter().flat_map(samples));
            }
            for &kind in &kinds {
                for &peer in &peers {
                    packets.extend(
                        own.iter()
                            .filter(|own| own.is_ipv4() == peer.is_ipv4())
                            .filter_map(|&own| packet(self.interface(), direction, kind, own, peer)),
                    );
                }
            }
        }
        for kind in [(6, 40_000, 4_242, 0, 0), (17, 40_000, 4_242, 0, 0)] {
            for loopback in ["127.0.0.1", "::1"].map(address) {
                for direction in [Direction::Ingress, Direction::Egress] {
                    packets.extend(packet("lo", direction, kind, loopback, loopback));
                }
            }
        }
        packets
    }
}

/// Protocol, ports, ICMP type and code.
type Kind = (u8, u16, u16, u8, u8);

/// Packets of a kind of traffic, and their neighbours.
fn samples(traffic: &Traffic) -> Vec<Kind> {
    match traffic {
        Traffic::Any => Vec::new(),
        Traffic::Number(number) => vec![(*number, 0, 0, 0, 0)],
        Traffic::Ports { transport, ports, source_ports } => {
            let source = source_ports.first().map_or(40_000, |range| range.first);
            let ends = ports.iter().flat_map(|range| [range.first, range.last, range.last.saturating_add(1)]);
            let ends: Vec<u16> = if ports.is_empty() { vec![4_242] } else { ends.collect() };
            ends.into_iter().map(|port| (number(*transport), source, port, 0, 0)).collect()
        }
        Traffic::Icmp { family, types } => {
            let protocol = if *family == Family::IPv4 { 1 } else { 58 };
            let types: Vec<_> = types.iter().map(|one| (one.icmp_type, one.code.unwrap_or_default())).collect();
            let echo = if *family == Family::IPv4 { 8 } else { 128 };
            types.into_iter().chain([(echo, 0)]).map(|(kind, code)| (protocol, 0, 0, kind, code)).collect()
        }
    }
}

/// Rows that some packet here is of: a port or protocol, from an address that such a cluster has.
fn probed(row: &Row) -> bool {
    let traffic = row.traffic.iter().any(|traffic| matches!(traffic, Traffic::Ports { .. } | Traffic::Number(_)));
    let peer =
        |peer: &Peer| !matches!(peer, Peer::Services | Peer::Localhost | Peer::PodSelector { .. } | Peer::Fqdns { .. });
    traffic && row.action == Action::Allow && row.peers.iter().any(peer)
}

fn packet(
    interface: &str,
    direction: Direction,
    (proto, sport, dport, icmp_type, icmp_code): Kind,
    own: IpAddr,
    peer: IpAddr,
) -> Option<CasePacket> {
    let (dir, src, dst) = match direction {
        Direction::Ingress => (Way::In, peer, own),
        Direction::Egress => (Way::Out, own, peer),
    };
    let (iface, out_iface) = (interface.to_owned(), String::new());
    let packet = CasePacket { dir, iface, out_iface, src, dst, proto, sport, dport, icmp_type, icmp_code };
    let icmp = match family(own) {
        Family::IPv4 => proto != 58,
        Family::IPv6 => proto != 1,
    };
    // An answer or an error that belongs to no flow is dropped by whatever rows there are.
    let begins = packet.packet().is_ok_and(|packet| Conntrack::of(&packet) != Conntrack::Invalid);
    (icmp && begins).then_some(packet)
}

fn is_traffic(traffic: &Traffic, packet: &CasePacket) -> bool {
    match traffic {
        Traffic::Any => true,
        Traffic::Number(number) => *number == packet.proto,
        Traffic::Ports { transport, ports, source_ports } => {
            let within = |ranges: &[translator::matrix::PortRange], port| {
                ranges.is_empty() || ranges.iter().any(|range| (range.first..=range.last).contains(&port))
            };
            number(*transport) == packet.proto && within(ports, packet.dport) && within(source_ports, packet.sport)
        }
        Traffic::Icmp { family: own, types } => {
            let protocol = if *own == Family::IPv4 { 1 } else { 58 };
            let is_type = types
                .iter()
                .any(|one| one.icmp_type == packet.icmp_type && one.code.is_none_or(|code| code == packet.icmp_code));
            *own == family(packet.src) && packet.proto == protocol && (types.is_empty() || is_type)
        }
    }
}

fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Sctp => 132,
    }
}

fn direction(packet: &CasePacket) -> Direction {
    if packet.dir == Way::Out { Direction::Egress } else { Direction::Ingress }
}

fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::IPv4 } else { Family::IPv6 }
}

/// An address in a prefix that is not its first.
fn inside(net: &policy::net::Cidr) -> IpAddr {
    let first = net.to_string().split('/').next().map(address).expect("a prefix begins with an address");
    match first {
        IpAddr::V4(first) => {
            let next = IpAddr::V4((u32::from(first) + 7).into());
            if net.net().contains(&next) { next } else { first.into() }
        }
        IpAddr::V6(first) => {
            let next = IpAddr::V6((u128::from(first) + 7).into());
            if net.net().contains(&next) { next } else { first.into() }
        }
    }
}

/// Labels that a selector takes.
fn labels(selector: &LabelSelector) -> BTreeMap<String, String> {
    let mut labels = selector.match_labels.clone();
    for expression in &selector.match_expressions {
        let value = expression.values.first().cloned().unwrap_or_default();
        if matches!(expression.operator, Operator::In | Operator::Exists) {
            labels.insert(expression.key.clone(), value);
        }
    }
    labels
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
