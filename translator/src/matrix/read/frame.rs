//! Rows that the frame needs.

use policy::net::Family;

use super::enforcement::FrameOptions;
use crate::matrix::{
    Action, Direction, Frame, IcmpMatch, Interfaces, Origin, Peer, PortRange, Row, Traffic, Transport,
};

/// The rows, for the directions that are denied by default.
pub(super) fn rows(frame: &Frame, options: &FrameOptions, roles: usize) -> Vec<Row> {
    let row = |part: &'static str, direction, traffic, peers, purpose: &str| Row {
        origin: Origin::Frame(part),
        at: None,
        roles: (0..roles).collect(),
        direction,
        traffic,
        peers,
        except: Vec::new(),
        action: Action::Allow,
        family: None,
        interfaces: None,
        purpose: purpose.to_owned(),
        flow: None,
        optional: false,
    };
    let loopback_policed = match &frame.interfaces {
        Interfaces::All => true,
        Interfaces::Named(names) => names.iter().any(|name| name == "lo"),
    };
    let mut rows = Vec::new();
    for (direction, denied) in [(Direction::Ingress, frame.ingress.deny), (Direction::Egress, frame.egress.deny)] {
        if !denied {
            continue;
        }
        if options.loopback && loopback_policed {
            let purpose = "loopback: probes and control-plane components talk to 127.0.0.1 and ::1";
            rows.push(row("loopback", direction, vec![Traffic::Any], vec![Peer::Localhost], purpose));
        }
        rows.push(row(
            "icmp-errors",
            direction,
            vec![icmp(Family::IPv4, &[3, 11, 12]), icmp(Family::IPv6, &[1, 2, 3, 4])],
            vec![Peer::Any],
            "ICMP errors: without them path MTU discovery fails and large packets vanish",
        ));
        rows.push(row(
            "neighbour-discovery",
            direction,
            vec![icmp(Family::IPv6, &[130, 131, 132, 133, 134, 135, 136, 143])],
            vec![Peer::Any],
            "IPv6 neighbour discovery and multicast listener discovery: without them no IPv6 works",
        ));
        if options.dhcp_client {
            let (client, server) = match direction {
                Direction::Ingress => ([68, 546], [67, 547]),
                // From the node the client's ports are the source.
                Direction::Egress => ([67, 547], [68, 546]),
            };
            let traffic = (0..2).map(|index| udp(server[index], client[index])).collect();
            let purpose = "DHCP: without renewal the node loses its address";
            rows.push(row("dhcp", direction, traffic, vec![Peer::Any], purpose));
        }
    }
    rows
}

fn icmp(family: Family, types: &[u8]) -> Traffic {
    let types = types.iter().map(|icmp_type| IcmpMatch { icmp_type: *icmp_type, code: None }).collect();
    Traffic::Icmp { family, types }
}

fn udp(source: u16, destination: u16) -> Traffic {
    Traffic::Ports {
        transport: Transport::Udp,
        ports: vec![PortRange { first: destination, last: destination }],
        source_ports: vec![PortRange { first: source, last: source }],
    }
}
