//! One row as rule elements.

use super::context::Context;
use super::element::{Element, Kind, Side};
use super::report::Report;
use super::{lifelines, peers, traffic};
use crate::finding::Finding;
use crate::matrix::{Action, Direction, Expanded, Origin, Row};
use crate::render::Fate;
use crate::render::loss::Loss;

/// Flows that the failsafe policy keeps up.
const FAILSAFE: [&str; 14] = [
    "admin-ssh",
    "admin-talos",
    "bgp",
    "cni-control",
    "dhcp4",
    "dns",
    "etcd-client",
    "etcd-peer",
    "exec-tunnel",
    "icmp-pmtu",
    "kube-apiserver",
    "kubelet-api",
    "overlay",
    "supervisor",
];

/// A row and what is written for it.
pub(super) struct Written<'a> {
    pub(super) row: &'a Row,
    pub(super) fate: Fate,
    /// Empty when nothing is to be written.
    pub(super) elements: Vec<Element>,
}

impl Written<'_> {
    /// Whether elements of the row go to a policy of this role, direction and action.
    pub(super) fn is_for(&self, role: usize, direction: Direction, action: Action) -> bool {
        self.row.direction == direction
            && self.row.action == action
            && !self.elements.is_empty()
            && self.row.roles.contains(&role)
    }

    /// Whether the failsafe policy holds the row as well.
    pub(super) fn is_failsafe(&self) -> bool {
        is_failsafe(self.row)
    }
}

/// Whether a row carries a flow that the cluster lives on.
pub(super) fn is_failsafe(row: &Row) -> bool {
    row.action == Action::Allow
        && (matches!(row.origin, Origin::Frame(_)) || row.flow.as_deref().is_some_and(|flow| FAILSAFE.contains(&flow)))
}

/// Whether packets that no row mentions are dropped.
pub(super) fn denied_by_default(matrix: &Expanded, direction: Direction) -> bool {
    match direction {
        Direction::Ingress => matrix.frame.ingress.deny,
        Direction::Egress => matrix.frame.egress.deny,
    }
}

/// Writes a row.
pub(super) fn write<'a>(context: &Context<'_>, row: &'a Row) -> (Written<'a>, Vec<Finding>, Vec<Loss>) {
    let implied = Written { row, fate: Fate::Implied, elements: Vec::new() };
    if row.action == Action::Allow && !denied_by_default(context.matrix, row.direction) {
        return (implied, Vec::new(), Vec::new());
    }
    let mut report = Report::new(row);
    let Some(sides) = peers::sides(context, &mut report) else {
        return (implied, Vec::new(), Vec::new());
    };
    refuse_interfaces(context, &mut report);
    let kinds = traffic::kinds(context, &sides, &mut report);
    lifelines::node_ports(context, &sides, &mut report);
    let refused = report.is_refused();
    let (fate, findings, losses) = report.finish();
    let elements = if refused { Vec::new() } else { combine(&sides, &kinds) };
    (Written { row, fate, elements }, findings, losses)
}

fn combine(sides: &[Side], kinds: &[Kind]) -> Vec<Element> {
    let of = |side: &Side| {
        let peer = side.clone();
        kinds.iter().map(move |kind| Element { peer: peer.clone(), traffic: kind.clone() })
    };
    sides.iter().flat_map(of).collect()
}

fn refuse_interfaces(context: &Context<'_>, report: &mut Report<'_>) {
    let Some(interfaces) = &report.row.interfaces else { return };
    let devices = context.options.config.devices.as_deref().unwrap_or_default();
    if !same(interfaces, devices) {
        report.refuse(
            &format!("it holds on {} only, and a Cilium policy cannot name interfaces", interfaces.join(", ")),
            "leave out `interfaces`; which interfaces are policed is the agent's setting `devices`",
        );
    }
}

/// Whether two lists hold the same names.
pub(super) fn same(a: &[String], b: &[String]) -> bool {
    a.iter().all(|name| b.contains(name)) && b.iter().all(|name| a.contains(name))
}
