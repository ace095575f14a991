//! Findings about what the written rows leave cut: the tunnel, probes, node ports, and failsafe rows that a deny takes.

use std::collections::BTreeSet;

use policy::net::Cidr;

use super::context::Context;
use super::element::{Element, Side};
use super::report::Report;
use super::row::{Written, denied_by_default};
use crate::finding::Finding;
use crate::finding::codes::cilium::{
    CILIUM_DENY_CUTS_FAILSAFE, CILIUM_KUBE_PROXY_REPLACEMENT_UNKNOWN, CILIUM_NODE_PORTS_NOT_POLICED,
    CILIUM_NODE_PORTS_POLICED, CILIUM_PROBES_NOT_ALLOWED, CILIUM_TUNNEL_NOT_ALLOWED,
};
use crate::matrix::{Action, Direction, Forward, Peer, PortRange, Row, Traffic, Transport};
use crate::render::Fate;
use crate::render::loss::Change;

/// Port of Cilium's WireGuard (cilium/cilium:pkg/wireguard/types).
const WIREGUARD: u16 = 51871;

/// The findings.
pub(super) fn findings(context: &Context<'_>, rows: &[Written<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    forward(context, rows, &mut findings);
    tunnel(context, rows, &mut findings);
    probes(context, rows, &mut findings);
    denied(rows, context, &mut findings);
    findings
}

/// What kube-proxy replacement does to a row for node ports.
pub(super) fn node_ports(context: &Context<'_>, sides: &[Side], report: &mut Report<'_>) {
    let row = report.row;
    let open = row.action == Action::Allow && sides == [Side::Entities(vec!["all"])];
    // A row that lets everyone in restricts nobody, so nothing depends on whether it is looked at.
    if row.direction != Direction::Ingress || open || !is_for_node_ports(context, row) {
        return;
    }
    let help = "restrict the services with `loadBalancerSourceRanges` or policies on their pods";
    match (context.options.config.kube_proxy_replacement, row.action) {
        (Some(false), _) => {}
        (None, _) => report.remark(
            &CILIUM_KUBE_PROXY_REPLACEMENT_UNKNOWN,
            "whether it restricts node ports depends on `kube-proxy-replacement`, which is not stated",
            "state `kube-proxy-replacement`",
        ),
        (Some(true), Action::Allow) => report.over(
            (&CILIUM_NODE_PORTS_NOT_POLICED, [Change::NodePorts]),
            "with kube-proxy replacement host policies do not see node ports",
            "node ports from everyone",
            help,
        ),
        (Some(true), Action::Deny) => report.under(
            (&CILIUM_NODE_PORTS_NOT_POLICED, [Change::NodePorts]),
            "with kube-proxy replacement host policies do not see node ports",
            "node ports",
            help,
        ),
    }
}

fn is_for_node_ports(context: &Context<'_>, row: &Row) -> bool {
    let range = context.matrix.cluster.node_ports;
    let inside = |port: &PortRange| range.first <= port.first && port.last <= range.last;
    row.flow.as_deref() == Some("nodeport")
        || row.traffic.iter().all(|traffic| match traffic {
            Traffic::Ports { ports, .. } => !ports.is_empty() && ports.iter().all(inside),
            Traffic::Any | Traffic::Icmp { .. } | Traffic::Number(_) => false,
        })
}

fn forward(context: &Context<'_>, rows: &[Written<'_>], findings: &mut Vec<Finding>) {
    if !denied_by_default(context.matrix, Direction::Ingress) {
        return;
    }
    let range = context.matrix.cluster.node_ports;
    let admits = |written: &Written<'_>, role| {
        let ports = |traffic: &Traffic| covers(traffic, Transport::Tcp, |ports| ports.overlaps(range));
        written.is_for(role, Direction::Ingress, Action::Allow) && written.row.traffic.iter().any(ports)
    };
    let without: Vec<String> = context
        .matrix
        .roles
        .iter()
        .enumerate()
        .filter(|(role, _)| !rows.iter().any(|written| admits(written, *role)))
        .map(|(_, role)| format!("`{}`", role.name))
        .collect();
    let replaced = context.options.config.kube_proxy_replacement;
    let (code, message) = match (context.matrix.frame.forward, replaced) {
        (Forward::Enforce, Some(true)) => (
            &CILIUM_NODE_PORTS_NOT_POLICED,
            "node ports cannot be held to the ingress rows with kube-proxy replacement".to_owned(),
        ),
        (Forward::Enforce, None) => (
            &CILIUM_KUBE_PROXY_REPLACEMENT_UNKNOWN,
            "whether node ports are held to the ingress rows depends on `kube-proxy-replacement`, which is not stated"
                .to_owned(),
        ),
        (Forward::Ignore, Some(false)) if !without.is_empty() => (
            &CILIUM_NODE_PORTS_POLICED,
            format!("node ports {range} of {} are dropped, because no row admits them", without.join(", ")),
        ),
        (Forward::Ignore, None) if !without.is_empty() => (
            &CILIUM_KUBE_PROXY_REPLACEMENT_UNKNOWN,
            format!(
                "no row admits node ports {range} of {}; without kube-proxy replacement, which is not stated, they are dropped",
                without.join(", ")
            ),
        ),
        _ => return,
    };
    findings.push(
        Finding::new(code, message)
            .at("spec.enforcement.forward", None)
            .help("state `kube-proxy-replacement`; without it, add rows for the node ports and their clients"),
    );
}

/// Whether traffic holds packets of a transport whose ports pass a test.
fn covers(traffic: &Traffic, wanted: Transport, test: impl Fn(&PortRange) -> bool) -> bool {
    match traffic {
        Traffic::Any => true,
        Traffic::Ports { transport, ports, .. } => *transport == wanted && (ports.is_empty() || ports.iter().any(test)),
        Traffic::Icmp { .. } | Traffic::Number(_) => false,
    }
}

fn tunnel(context: &Context<'_>, rows: &[Written<'_>], findings: &mut Vec<Finding>) {
    let config = &context.options.config;
    let encrypted = (config.enable_wireguard == Some(true)).then_some(WIREGUARD);
    for port in config.tunnel().into_iter().chain(encrypted) {
        for direction in [Direction::Ingress, Direction::Egress] {
            if !denied_by_default(context.matrix, direction) {
                continue;
            }
            let admits = |written: &Written<'_>, role| {
                let ports = |traffic: &Traffic| {
                    covers(traffic, Transport::Udp, |ports| ports.first <= port && port <= ports.last)
                };
                let from_nodes = |peer: &Peer| !matches!(peer, Peer::Pods | Peer::PodSelector { .. } | Peer::Localhost);
                written.is_for(role, direction, Action::Allow)
                    && written.row.traffic.iter().any(ports)
                    && written.row.peers.iter().any(from_nodes)
            };
            let cut = (0..context.matrix.roles.len())
                .filter(|role| !rows.iter().any(|written| admits(written, *role)))
                .map(|role| format!("`{}`", context.matrix.roles[role].name))
                .collect::<Vec<_>>();
            if !cut.is_empty() {
                let message = format!("no row admits {direction} UDP {port}, Cilium's tunnel, on {}", cut.join(", "));
                findings.push(
                    Finding::new(&CILIUM_TUNNEL_NOT_ALLOWED, message)
                        .at("spec.rows", None)
                        .help(format!("add a row for UDP {port} and `nodes` in both directions that are denied")),
                );
            }
        }
    }
}

fn probes(context: &Context<'_>, rows: &[Written<'_>], findings: &mut Vec<Finding>) {
    if !denied_by_default(context.matrix, Direction::Egress) {
        return;
    }
    let to_pods = |element: &Element| match &element.peer {
        Side::Entities(entities) => entities.contains(&"all"),
        Side::Endpoints(_) => true,
        Side::Nodes(_) | Side::Cidrs(_) => false,
    };
    let admits = |written: &Written<'_>, role| {
        written.is_for(role, Direction::Egress, Action::Allow) && written.elements.iter().any(to_pods)
    };
    let cut: Vec<String> = (0..context.matrix.roles.len())
        .filter(|role| !rows.iter().any(|written| admits(written, *role)))
        .map(|role| format!("`{}`", context.matrix.roles[role].name))
        .collect();
    if !cut.is_empty() {
        let message = format!("no row lets {} reach pods, so probes and webhook calls are cut", cut.join(", "));
        findings.push(
            Finding::new(&CILIUM_PROBES_NOT_ALLOWED, message)
                .at("spec.rows", None)
                .help("add a row with `direction: egress` and `to: pods`"),
        );
    }
}

fn denied(rows: &[Written<'_>], context: &Context<'_>, findings: &mut Vec<Finding>) {
    for deny in rows.iter().filter(|written| written.row.action == Action::Deny && written.fate != Fate::Refused) {
        let cut: Vec<String> = rows
            .iter()
            .filter(|written| written.is_failsafe() && !written.elements.is_empty())
            .filter(|written| overlap(context, deny.row, written.row))
            .map(|written| written.row.title())
            .collect();
        if !cut.is_empty() {
            let message = format!("{} takes packets from {}", deny.row.title(), cut.join(", "));
            findings.push(
                Finding::new(&CILIUM_DENY_CUTS_FAILSAFE, message)
                    .at(deny.row.path(), deny.row.at.clone())
                    .help("narrow the deny row"),
            );
        }
    }
}

/// Whether some packet may be in both rows.
fn overlap(context: &Context<'_>, deny: &Row, allow: &Row) -> bool {
    deny.direction == allow.direction
        && deny.roles.iter().any(|role| allow.roles.contains(role))
        && (deny.family.is_none() || allow.family.is_none() || deny.family == allow.family)
        && deny.traffic.iter().any(|a| allow.traffic.iter().any(|b| same_packets(a, b)))
        && deny.peers.iter().any(|a| allow.peers.iter().any(|b| same_peers(context, deny, a, b)))
}

fn same_packets(a: &Traffic, b: &Traffic) -> bool {
    match (a, b) {
        (Traffic::Any, _) | (_, Traffic::Any) => true,
        (Traffic::Ports { transport, ports, .. }, Traffic::Ports { transport: other, ports: others, .. }) => {
            transport == other
                && (ports.is_empty()
                    || others.is_empty()
                    || ports.iter().any(|range| others.iter().any(|other| range.overlaps(*other))))
        }
        (Traffic::Icmp { family, types }, Traffic::Icmp { family: other, types: others }) => {
            let numbers: BTreeSet<u8> = others.iter().map(|matched| matched.icmp_type).collect();
            family == other
                && (types.is_empty()
                    || others.is_empty()
                    || types.iter().any(|matched| numbers.contains(&matched.icmp_type)))
        }
        (Traffic::Number(number), Traffic::Number(other)) => number == other,
        _ => false,
    }
}

/// Whether some address may be in both; true when it cannot be told.
fn same_peers(context: &Context<'_>, deny: &Row, a: &Peer, b: &Peer) -> bool {
    let cluster = &context.matrix.cluster;
    match (a, b) {
        (Peer::Localhost, _) | (_, Peer::Localhost) => false,
        (Peer::Role(role), Peer::Role(other)) => role == other,
        (Peer::Cidrs { cidrs, .. }, Peer::Cidrs { cidrs: others, .. }) => meet(cidrs, others, &deny.except),
        (Peer::Cidrs { cidrs, .. }, Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. })
        | (Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. }, Peer::Cidrs { cidrs, .. }) => {
            cluster.node_cidrs.is_empty() || meet(cidrs, &cluster.node_cidrs, &deny.except)
        }
        (Peer::Cidrs { cidrs, .. }, Peer::Pods | Peer::PodSelector { .. })
        | (Peer::Pods | Peer::PodSelector { .. }, Peer::Cidrs { cidrs, .. }) => {
            cluster.pod_cidrs.is_empty() || meet(cidrs, &cluster.pod_cidrs, &deny.except)
        }
        (Peer::Pods | Peer::PodSelector { .. }, Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. })
        | (Peer::Nodes | Peer::Role(_) | Peer::NodeSelector { .. }, Peer::Pods | Peer::PodSelector { .. }) => false,
        _ => true,
    }
}

fn meet(a: &[Cidr], b: &[Cidr], except: &[Cidr]) -> bool {
    let kept = |cidr: &&Cidr| !except.iter().any(|hole| hole.contains(**cidr));
    a.iter().filter(kept).any(|a| b.iter().filter(kept).any(|b| a.overlaps(*b)))
}
