//! Rows with a `flow` as lifelines: what somebody wrote down that a cluster lives on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use policy::lifeline::{Flow, Lifeline, Origin, Party, Ports, Traffic as Packets, catalogue};
use policy::net::{Cidr, Family};
use policy::object::LabelSelector;
use policy::packet::{IpSet, protocol};
use policy::snapshot::{Cluster, Node};

use super::{Action, Direction, Expanded, Peer, Row, Traffic, Transport};
use crate::finding::Finding;
use crate::finding::codes::lifelines as codes;

/// The lifelines that a matrix states for a cluster, in the order of the catalogue, and what of its rows cannot be held
/// against changes.
pub fn lifelines(matrix: &Expanded, cluster: &Cluster) -> (Vec<Lifeline>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut found: BTreeMap<&str, Lifeline> = BTreeMap::new();
    for row in matrix.rows.iter().filter(|row| row.action == Action::Allow) {
        let Some(entry) = row.flow.as_deref().and_then(catalogue::find) else { continue };
        let flows = flows(matrix, cluster, row, &mut findings);
        if flows.is_empty() {
            continue;
        }
        let lifeline = found.entry(entry.id).or_insert_with(|| Lifeline {
            id: entry.id.to_owned(),
            severity: entry.severity,
            flows: Vec::new(),
            breaks: entry.breaks.to_owned(),
            documented: entry.documented.to_owned(),
            origins: Vec::new(),
        });
        for flow in flows {
            if !lifeline.flows.contains(&flow) {
                lifeline.flows.push(flow);
            }
        }
        lifeline.origins.push(Origin { object: None, field: format!("{} of {}", row.title(), matrix.source) });
    }
    let in_order = catalogue::all().filter_map(|entry| found.remove(entry.id));
    (in_order.collect(), findings)
}

fn flows(matrix: &Expanded, cluster: &Cluster, row: &Row, findings: &mut Vec<Finding>) -> Vec<Flow> {
    let traffic = traffic(row, findings);
    let own = row.roles.iter().map(|role| &matrix.roles[*role].selector).collect::<Vec<_>>();
    let own = nodes(cluster, |node| own.iter().any(|selector| selector.matches(&node.labels)));
    let mut flows = Vec::new();
    for peer in &row.peers {
        let Some(peer) = party(matrix, cluster, row, peer, findings) else { continue };
        let nobody = match &peer {
            Party::Nodes(nodes) => nodes.is_empty(),
            Party::Addresses { nets, .. } | Party::OwnPods(nets) => nets.is_empty(),
            Party::Itself | Party::Loopback => false,
        };
        let none = matches!(&own, Party::Nodes(nodes) if nodes.is_empty());
        if nobody || none || traffic.is_empty() {
            continue;
        }
        let (from, to) = match (row.direction, peer) {
            (_, Party::Loopback) => (own.clone(), Party::Loopback),
            (Direction::Ingress, peer) => (peer, own.clone()),
            (Direction::Egress, peer) => (own.clone(), peer),
        };
        flows.push(Flow { from, to, traffic: traffic.clone() });
    }
    flows
}

fn nodes(cluster: &Cluster, test: impl Fn(&Node) -> bool) -> Party {
    let own = cluster.nodes.iter().filter(|node| node.cluster.is_empty() && test(node));
    Party::Nodes(Arc::new(own.map(|node| node.name.clone()).collect::<BTreeSet<_>>()))
}

fn party(matrix: &Expanded, cluster: &Cluster, row: &Row, peer: &Peer, findings: &mut Vec<Finding>) -> Option<Party> {
    let addresses = |name: &str, nets: Vec<IpNet>| {
        Some(Party::Addresses { name: name.to_owned(), nets: without(nets, &row.except, row.family) })
    };
    let prefixes = |cidrs: &[Cidr]| cidrs.iter().map(|cidr| cidr.net()).collect();
    match peer {
        Peer::Any => addresses("anyone", vec![Cidr::all(Family::IPv4).net(), Cidr::all(Family::IPv6).net()]),
        Peer::Nodes => Some(nodes(cluster, |_| true)),
        Peer::Role(role) => {
            let selector = &matrix.roles[*role].selector;
            Some(nodes(cluster, |node| selector.matches(&node.labels)))
        }
        Peer::NodeSelector { selector, .. } => Some(nodes(cluster, |node| selector.matches(&node.labels))),
        Peer::Localhost => Some(Party::Loopback),
        Peer::Pods => addresses("pods", prefixes(&matrix.cluster.pod_cidrs)),
        Peer::PodSelector { name, namespaces, pods } => addresses(name, selected(cluster, namespaces.as_ref(), pods)),
        Peer::Cidrs { name, cidrs } => addresses(name.as_deref().unwrap_or("stated"), prefixes(cidrs)),
        Peer::Services => {
            let message = "service addresses are translated before a host policy sees the packet";
            findings.push(left_out(row, message));
            None
        }
        Peer::Fqdns { names, .. } => {
            let message = format!("the addresses behind {} are not known", names.join(", "));
            findings.push(left_out(row, &message));
            None
        }
    }
}

fn selected(cluster: &Cluster, namespaces: Option<&LabelSelector>, pods: &LabelSelector) -> Vec<IpNet> {
    let inside = |name: &str| {
        namespaces.is_none_or(|selector| {
            cluster.namespaces.iter().any(|namespace| namespace.name == name && selector.matches(&namespace.labels))
        })
    };
    let pods =
        cluster.pods.iter().filter(|pod| !pod.host_network && pods.matches(&pod.labels) && inside(&pod.namespace));
    pods.flat_map(|pod| pod.addresses.iter().copied().map(IpNet::from)).collect()
}

/// Prefixes of a family less others.
fn without(nets: Vec<IpNet>, except: &[Cidr], family: Option<Family>) -> Vec<IpNet> {
    let of_family = |net: &IpNet| family.is_none_or(|family| Family::of(net.addr()) == family);
    let nets: Vec<IpNet> = nets.into_iter().filter(of_family).collect();
    if except.is_empty() {
        return nets;
    }
    let set: IpSet = nets.into_iter().collect();
    let left = set.difference(&except.iter().map(|cidr| cidr.net()).collect());
    left.ranges()
        .flat_map(|range| match range {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect::<Vec<_>>()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn traffic(row: &Row, findings: &mut Vec<Finding>) -> Vec<Packets> {
    let mut all = Vec::new();
    for traffic in &row.traffic {
        match traffic {
            Traffic::Any => all.push(Packets::ANY),
            Traffic::Number(number) => all.push(Packets::protocol(*number)),
            Traffic::Icmp { family, types } => {
                let number = protocol::icmp(*family);
                if types.is_empty() {
                    all.push(Packets::protocol(number));
                }
                let one = |ports| Packets::of(number, ports);
                all.extend(types.iter().map(|it| one(Ports::Icmp(it.icmp_type, it.code))));
            }
            Traffic::Ports { transport, ports, source_ports } => {
                let source_port = match source_ports.as_slice() {
                    [] => None,
                    [one] if one.first == one.last => Some(one.first),
                    _ => {
                        let message = "it is bound to several source ports, and a lifeline to one at most";
                        findings.push(left_out(row, message));
                        continue;
                    }
                };
                let number = match transport {
                    Transport::Tcp => protocol::TCP,
                    Transport::Udp => protocol::UDP,
                    Transport::Sctp => protocol::SCTP,
                };
                let one = |ports| Packets { source_port, ..Packets::of(number, ports) };
                if ports.is_empty() {
                    all.push(one(Ports::All));
                }
                all.extend(ports.iter().map(|range| one(Ports::Range(range.first, range.last))));
            }
        }
    }
    all
}

fn left_out(row: &Row, why: &str) -> Finding {
    let message = format!("{}: a part of this row is no lifeline: {why}", row.title());
    Finding::new(&codes::ROW_WITHOUT_LIFELINE, message).at(row.path(), row.at.clone())
}

#[cfg(test)]
mod tests;
