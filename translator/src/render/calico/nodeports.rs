//! Node ports, judged before they are translated to a pod.

use policy::calico::api::{self, EntityRule, Rule};

use super::options::Options;
use super::peers::Peers;
use super::policies::{Policies, Stage, closing_node_port_rules};
use super::row::{Line, compile, from_anyone};
use super::rules::protocols;
use crate::finding::Finding;
use crate::finding::codes::calico as codes;
use crate::matrix::{Action, Direction, Expanded, Forward, Origin, Peer, PortRange, Row, Traffic, Transport};
use crate::render::Fate;

const TRANSPORTS: [Transport; 3] = [Transport::Tcp, Transport::Udp, Transport::Sctp];

/// Writes the policies that hold node ports to the rows, or reports which rows are not held to.
pub(super) fn write(
    matrix: &Expanded,
    options: &Options,
    peers: &mut Peers<'_>,
    policies: &mut Policies<'_>,
    lines: &mut [Line<'_>],
    findings: &mut Vec<Finding>,
) {
    match matrix.frame.forward {
        Forward::Ignore => report(matrix, lines, findings),
        Forward::Enforce => enforce(matrix, options, peers, policies, lines, findings),
    }
}

fn report(matrix: &Expanded, lines: &mut [Line<'_>], findings: &mut Vec<Finding>) {
    for line in lines {
        let row = line.row;
        let restricts = row.direction == Direction::Ingress
            && line.fate != Fate::Implied
            && line.fate != Fate::Refused
            && (row.action == Action::Deny || !from_anyone(row) || !row.except.is_empty());
        let about_node_ports = row.flow.as_deref() == Some("nodeport")
            || row.traffic.iter().any(|traffic| match traffic {
                Traffic::Ports { ports, .. } => ports.iter().any(|range| range.overlaps(matrix.cluster.node_ports)),
                _ => false,
            });
        if restricts && about_node_ports {
            line.fate = Fate::Wider;
            let range = matrix.cluster.node_ports;
            findings.push(
                Finding::new(
                    &codes::NODE_PORTS_NOT_POLICED,
                    format!(
                        "{} restricts ports of the node port range {range}, which is forwarded unpoliced",
                        row.title()
                    ),
                )
                .at(row.path(), row.at.clone())
                .lost("services of type NodePort and LoadBalancer are reachable from anywhere")
                .help("write `enforcement.forward: enforce`, or `from: any` if the services police themselves"),
            );
        }
    }
}

fn enforce(
    matrix: &Expanded,
    options: &Options,
    peers: &mut Peers<'_>,
    policies: &mut Policies<'_>,
    whole: &[Line<'_>],
    findings: &mut Vec<Finding>,
) {
    let range = matrix.cluster.node_ports;
    // Calico's VXLAN and WireGuard; what the overlay of another CNI needs is in the rows.
    if let Some(port) = [4789, 51820, 51821].into_iter().find(|port| contains(range, *port)) {
        let message = format!("the node port range {range} covers UDP {port} of the overlay");
        findings.push(Finding::new(&codes::NODE_PORTS_COVER_OVERLAY, message).at("spec.cluster.nodePorts", None));
        return;
    }
    let destination = EntityRule { selector: Some(peers.every_node()), ..EntityRule::default() };
    // A row that is left out is left out here too, though the part of it that is about node ports may have a form.
    let written = whole.iter().filter(|line| line.fate != Fate::Refused).map(|line| line.row);
    let rows: Vec<Row> = written.filter_map(|row| narrowed(row, range)).collect();
    // What these rows lose was reported when they were written whole.
    let mut lines: Vec<Line<'_>> =
        rows.iter().map(|row| compile(matrix, options, peers, row, &mut Vec::new())).collect();
    for rule in lines.iter_mut().flat_map(|line| &mut line.rules) {
        rule.destination = EntityRule { ports: rule.destination.ports.take(), ..destination.clone() };
    }
    for role in 0..matrix.roles.len() {
        let lines: Vec<&Line<'_>> = lines.iter().filter(|line| line.row.roles.contains(&role)).collect();
        policies.role(role, Stage::BeforeDnat, &lines, findings);
    }
    if matrix.frame.ingress.deny {
        let log = matrix.frame.ingress.log.is_some();
        let rules: Vec<Rule> = TRANSPORTS
            .into_iter()
            .filter_map(|transport| {
                let traffic = Traffic::Ports { transport, ports: vec![range], source_ports: Vec::new() };
                let (protocols, _) = protocols(&traffic, options.dataplane).ok()?;
                let protocol = protocols.into_iter().next()?;
                let who = super::peers::Who::Anyone;
                super::rules::rules(api::Action::Deny, Direction::Ingress, None, &protocol, &who, &[]).pop()
            })
            .flat_map(|deny| closing_node_port_rules(log, &deny, &destination))
            .collect();
        policies.close_node_ports(&rules, findings);
    }
}

/// The part of a row that is about node ports.
fn narrowed(row: &Row, range: PortRange) -> Option<Row> {
    let relevant = row.direction == Direction::Ingress && matches!(row.origin, Origin::Row(_));
    // Packets to 127.0.0.1 are not packets to an address of the node.
    if !relevant || row.peers.iter().all(|peer| *peer == Peer::Localhost) {
        return None;
    }
    let mut traffic = Vec::new();
    for kind in &row.traffic {
        match kind {
            Traffic::Any => traffic.extend(TRANSPORTS.map(|transport| Traffic::Ports {
                transport,
                ports: vec![range],
                source_ports: Vec::new(),
            })),
            Traffic::Ports { transport, ports, source_ports } => {
                let ports = intersection(ports, range);
                if !ports.is_empty() {
                    traffic.push(Traffic::Ports { transport: *transport, ports, source_ports: source_ports.clone() });
                }
            }
            Traffic::Icmp { .. } | Traffic::Number(_) => {}
        }
    }
    let mut peers = row.peers.clone();
    peers.retain(|peer| *peer != Peer::Localhost);
    (!traffic.is_empty()).then(|| Row { traffic, peers, ..row.clone() })
}

fn intersection(ports: &[PortRange], range: PortRange) -> Vec<PortRange> {
    if ports.is_empty() {
        return vec![range];
    }
    ports
        .iter()
        .filter(|port| port.overlaps(range))
        .map(|port| PortRange { first: port.first.max(range.first), last: port.last.min(range.last) })
        .collect()
}

fn contains(range: PortRange, port: u16) -> bool {
    range.first <= port && port <= range.last
}
