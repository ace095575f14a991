//! Rows as one line of text.

use std::fmt::Write as _;

use policy::net::Family;
use translator::matrix::{Action, Direction, Expanded, Peer, PortRange, Row, Traffic};

/// One line per row in force: `control-plane,worker <- TCP 22 from any`.
pub(crate) fn rows(matrix: &Expanded) -> Vec<String> {
    matrix.rows.iter().map(|row| line(matrix, row)).collect()
}

fn line(matrix: &Expanded, row: &Row) -> String {
    let roles = join(row.roles.iter().map(|role| matrix.roles[*role].name.clone()));
    let (arrow, word) = match row.direction {
        Direction::Ingress => ("<-", "from"),
        Direction::Egress => ("->", "to"),
    };
    let traffic = join(row.traffic.iter().map(traffic));
    let peers = join(row.peers.iter().map(|peer| self::peer(matrix, peer)));
    let mut line = format!("{roles} {arrow} {traffic} {word} {peers}");
    if !row.except.is_empty() {
        let _ = write!(line, " except {}", join(row.except.iter().map(ToString::to_string)));
    }
    if row.action == Action::Deny {
        line.insert_str(0, "deny ");
    }
    if let Some(family) = row.family {
        let _ = write!(line, " {family}");
    }
    if let Some(interfaces) = &row.interfaces {
        let _ = write!(line, " on {}", interfaces.join(","));
    }
    line
}

fn traffic(traffic: &Traffic) -> String {
    match traffic {
        Traffic::Any => "Any".to_owned(),
        Traffic::Number(number) => number.to_string(),
        Traffic::Icmp { family, types } => {
            let name = if *family == Family::IPv4 { "ICMP" } else { "ICMPv6" };
            let types = types.iter().map(|one| match one.code {
                Some(code) => format!(":{}/{code}", one.icmp_type),
                None => format!(":{}", one.icmp_type),
            });
            format!("{name}{}", types.collect::<String>())
        }
        Traffic::Ports { transport, ports, source_ports } => {
            let list = |ports: &[PortRange]| join(ports.iter().map(ToString::to_string));
            let from = if source_ports.is_empty() { String::new() } else { format!("{}>", list(source_ports)) };
            let to = if ports.is_empty() { "*".to_owned() } else { list(ports) };
            format!("{} {from}{to}", transport.name())
        }
    }
}

fn peer(matrix: &Expanded, peer: &Peer) -> String {
    let named = |name: &Option<String>| name.as_ref().map(|name| format!("{name}=")).unwrap_or_default();
    match peer {
        Peer::Any => "any".to_owned(),
        Peer::Nodes => "nodes".to_owned(),
        Peer::Pods => "pods".to_owned(),
        Peer::Services => "services".to_owned(),
        Peer::Localhost => "localhost".to_owned(),
        Peer::Role(role) => matrix.roles[*role].name.clone(),
        Peer::NodeSelector { name, .. } => format!("nodes:{name}"),
        Peer::PodSelector { name, namespaces, .. } => {
            format!("{}:{name}", if namespaces.is_some() { "some-pods" } else { "pods" })
        }
        Peer::Cidrs { name, cidrs } => {
            format!("{}[{}]", named(name), join(cidrs.iter().map(ToString::to_string)))
        }
        Peer::Fqdns { name, names } => format!("names:{name}[{}]", names.join(",")),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}
