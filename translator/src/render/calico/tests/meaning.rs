//! What is admitted once everything is applied, against what the rows say, both ways.

use proptest::prelude::*;

use super::generate::{Case, case};
use super::model::{Packet, State};
use super::*;

/// What the rows say, read off the matrix and the nodes alone.
fn wanted(case: &Case, nodes: &[Node], interface: Option<&str>, packet: &Packet) -> bool {
    let matrix = &case.matrix;
    let roles: Vec<usize> = (0..matrix.roles.len())
        .filter(|role| matrix.roles[*role].selector.matches(&nodes[packet.node].labels))
        .collect();
    let says = |action: Action| {
        matrix.frame_rows.iter().chain(&matrix.rows).any(|row| {
            row.action == action
                && row.direction == packet.direction
                && row.roles.iter().any(|role| roles.contains(role))
                && row
                    .interfaces
                    .as_ref()
                    .is_none_or(|names| interface.is_some_and(|name| names.iter().any(|on| on == name)))
                && row.family.is_none_or(|family| (family == Family::IPv4) == packet.other.is_ipv4())
                && !row.except.iter().any(|except| except.contains(Cidr::host(packet.other)))
                && row.traffic.iter().any(|traffic| is(traffic, packet))
                && row.peers.iter().any(|peer| is_peer(matrix, nodes, peer, packet))
        })
    };
    let denied = match packet.direction {
        Direction::Ingress => matrix.frame.ingress.deny,
        Direction::Egress => matrix.frame.egress.deny,
    };
    !says(Action::Deny) && (!denied || says(Action::Allow))
}

fn is(traffic: &Traffic, packet: &Packet) -> bool {
    let among = |ranges: &[PortRange], port: u16| {
        ranges.is_empty() || ranges.iter().any(|range| (range.first..=range.last).contains(&port))
    };
    match traffic {
        Traffic::Any => true,
        Traffic::Ports { transport, ports, source_ports } => {
            transport.name() == packet.protocol && among(ports, packet.port) && among(source_ports, packet.source_port)
        }
        Traffic::Icmp { family, types } => {
            let name = if *family == Family::IPv4 { "ICMP" } else { "ICMPv6" };
            name == packet.protocol
                && (types.is_empty()
                    || packet.icmp.is_some_and(|(kind, code)| {
                        types.iter().any(|icmp| icmp.icmp_type == kind && icmp.code.is_none_or(|only| only == code))
                    }))
        }
        Traffic::Number(number) => number.to_string() == packet.protocol,
    }
}

fn is_peer(matrix: &Expanded, nodes: &[Node], peer: &Peer, packet: &Packet) -> bool {
    let within = |cidrs: &[Cidr]| cidrs.iter().any(|cidr| cidr.contains(Cidr::host(packet.other)));
    let of = |selector: &LabelSelector| {
        nodes.iter().filter(|node| selector.matches(&node.labels)).any(|node| {
            node.internal.iter().chain(&node.external).chain(&node.tunnel).any(|address| *address == packet.other)
        })
    };
    match peer {
        Peer::Any => true,
        Peer::Nodes => of(&LabelSelector::default()) || within(&matrix.cluster.node_cidrs),
        Peer::Pods => within(&matrix.cluster.pod_cidrs),
        Peer::Localhost => packet.own.is_loopback() && packet.other.is_loopback(),
        Peer::Role(role) => of(&matrix.roles[*role].selector),
        Peer::NodeSelector { selector, .. } => of(selector),
        Peer::Cidrs { cidrs, .. } => within(cidrs),
        Peer::PodSelector { .. } | Peer::Services | Peer::Fqdns { .. } => false,
    }
}

fn packets(nodes: &[Node]) -> Vec<Packet> {
    let mut pairs: Vec<(usize, IpAddr, IpAddr)> = Vec::new();
    for (node, of) in nodes.iter().enumerate() {
        let others =
            nodes.iter().flat_map(|node| node.internal.iter().chain(&node.external).chain(&node.tunnel)).copied();
        let strangers =
            ["10.0.0.77", "10.42.3.4", "192.168.0.9", "198.51.100.7", "fd00::9", "fd00:1::9", "2001:db8::1"];
        for other in others.chain(strangers.map(ip)) {
            let own = if other.is_ipv4() { of.internal[0] } else { ip("fd00::1") };
            pairs.push((node, own, other));
        }
        pairs.push((node, ip("127.0.0.1"), ip("127.0.0.1")));
        pairs.push((node, ip("::1"), ip("::1")));
    }
    let mut packets = Vec::new();
    for (node, own, other) in pairs {
        for direction in [Direction::Ingress, Direction::Egress] {
            let packet = |protocol, port, source_port, icmp| Packet {
                node,
                direction,
                own,
                other,
                protocol,
                icmp,
                port,
                source_port,
            };
            packets.extend([
                packet("TCP", 22, 40_000, None),
                packet("TCP", 10250, 40_000, None),
                packet("TCP", 10250, 67, None),
                packet("SCTP", 77, 40_000, None),
                packet("UDP", 53, 67, None),
                packet("112", 0, 0, None),
                packet(if other.is_ipv4() { "ICMP" } else { "ICMPv6" }, 0, 0, Some((3, 4))),
                packet(if other.is_ipv4() { "ICMP" } else { "ICMPv6" }, 0, 0, Some((3, 0))),
            ]);
        }
    }
    packets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn exact_rows_admit_what_they_say_and_nothing_else(mut case in case(), with_nodes in any::<bool>()) {
        case.matrix.rows.retain(|row| !row.peers.iter().any(|peer| matches!(peer, Peer::PodSelector { .. })));
        case.matrix.frame.ingress.deny = true;
        case.matrix.cluster.pod_cidrs = cidrs(&["10.42.0.0/16"]);
        case.options.version.minor = 31;
        let mut fleet = nodes();
        fleet.push(node("w-2", false, "10.0.0.12"));
        fleet[3].labels.insert("example.org/storage".to_owned(), String::new());
        if with_nodes {
            case.nodes = Some(fleet.clone());
        } else {
            // Addresses that only a node list knows.
            case.nodes = None;
            fleet[2].external.clear();
        }
        // Rows that are not exact are what findings are for; the rest must hold on its own.
        let first = render(&case.matrix, case.nodes.as_deref(), &case.options);
        let exact = |row: &Row| {
            first.outcomes.iter().any(|outcome| outcome.row == row.origin && matches!(outcome.fate, Fate::Exact | Fate::Implied))
        };
        case.matrix.rows.retain(exact);
        let rendered = render(&case.matrix, case.nodes.as_deref(), &case.options);
        prop_assume!(!rendered.objects.is_empty());
        prop_assume!(rendered.outcomes.iter().all(|outcome| matches!(outcome.fate, Fate::Exact | Fate::Implied)));
        let interfaces: Vec<Option<&str>> = match &case.matrix.frame.interfaces {
            Interfaces::All => vec![None],
            Interfaces::Named(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        for interface in interfaces {
            let state = State::new(&rendered.objects, &fleet, interface, (0..fleet.len()).collect());
            for packet in packets(&fleet) {
                // Loopback is on an interface of its own, and failsafe ports are reported apart.
                if (interface.is_some() && packet.own.is_loopback()) || state.failsafe(&packet) {
                    continue;
                }
                prop_assert_eq!(state.admits(&packet), wanted(&case, &fleet, interface, &packet), "{:?}", packet);
            }
        }
    }
}
