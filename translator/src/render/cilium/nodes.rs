//! Peers that are nodes.

use policy::net::Cidr;
use policy::object::LabelSelector;

use super::labels;
use super::peers::{Draft, Nodes};
use super::report::Report;
use super::traffic;
use crate::finding::codes::cilium::{
    CILIUM_JOINING_NODES_UNKNOWN, CILIUM_JOINING_NODES_WIDER, CILIUM_MESH_PEERS_WIDER, CILIUM_NODE_ADDRESSES_FROZEN,
    ROLE_PEER_WIDER,
};
use crate::matrix::{Direction, Peer, Row};
use crate::render::loss::{Change, Known};

/// Name of the list of the node network's prefixes.
const NETWORK: &str = "nodes";

impl Draft<'_> {
    /// Adds the peers that are nodes, and the nodes in address ranges.
    pub(super) fn nodes(&mut self, peers: &[&Peer], report: &mut Report<'_>) {
        let by_name = Wanted::of(self, peers);
        if peers.contains(&&Peer::Any) {
            self.every_node(report);
            return;
        }
        if by_name == Wanted::All {
            self.every_node(report);
            if peers.contains(&&Peer::Nodes) {
                self.network(report);
            } else if !report.denies() && is_for_joining(report.row) {
                self.join(report);
            }
            return;
        }
        let list = self.unmatched_ranges();
        if self.reaches(&self.context.node_addresses, &list, Known::Nodes, report) {
            self.every_node(report);
        } else if let Wanted::Some(some) = by_name {
            self.some_nodes(&some, report);
        }
    }

    /// The row's address ranges that do not match nodes: all of them, or with the match mode `nodes` only those that are
    /// a whole family.
    fn unmatched_ranges(&self) -> Vec<Cidr> {
        let mode = self.context.mode;
        let matches = |cidr: &Cidr| mode.nodes && (mode.pods || !cidr.is_all());
        self.cidrs.iter().flat_map(|list| list.cidrs.iter().copied()).filter(|cidr| !matches(cidr)).collect()
    }

    fn every_node(&mut self, report: &mut Report<'_>) {
        if !self.admits(&self.context.node_addresses, Known::Nodes, report) {
            return;
        }
        self.nodes = Nodes::All;
        if !self.context.in_mesh() {
            return;
        }
        if self.context.selects_nodes_by_label() && self.context.can_mean_this_cluster() {
            // An empty selector means this cluster's nodes, because the agent adds the cluster.
            let selector = labels::nodes(&LabelSelector::default(), self.context.cluster_to_name());
            self.nodes = Nodes::Selected(vec![selector]);
        } else {
            let lost = format!("{} the nodes of the mesh's other clusters", traffic::with_preposition(report.row));
            report.over(
                (&CILIUM_MESH_PEERS_WIDER, [Change::OtherClusters]),
                "nodes of other clusters cannot be told from this one's",
                lost,
                "set `enable-node-selector-labels: \"true\"` and state `cluster-name`",
            );
        }
    }

    /// The node network, for nodes that are not registered yet and for further addresses of those that are.
    fn network(&mut self, report: &mut Report<'_>) {
        let network = &self.context.matrix.cluster.node_cidrs;
        if !network.is_empty() {
            self.add_cidrs(Some(NETWORK), network);
        } else if is_for_joining(report.row) && !self.admits_the_world() {
            joining_unknown(report);
        }
    }

    /// Whether an address range of the row is a whole family, which admits a node before it is registered.
    fn admits_the_world(&self) -> bool {
        self.cidrs.iter().any(|list| list.cidrs.iter().any(|cidr| cidr.is_all()))
    }

    fn some_nodes(&mut self, some: &[(String, LabelSelector)], report: &mut Report<'_>) {
        if !self.admits(&self.context.node_addresses, Known::Nodes, report) {
            return;
        }
        let selectors: Vec<&LabelSelector> = some.iter().map(|(_, selector)| selector).collect();
        if self.context.selects_nodes_by_label() {
            self.by_label(some, report);
        } else if let Some(addresses) = self.context.addresses_of(&selectors).filter(|_| self.context.mode.nodes) {
            let names: Vec<&str> = some.iter().map(|(name, _)| name.as_str()).collect();
            self.add_cidrs(Some(&format!("{}-nodes", names.join("-"))), &addresses);
            report.remark(
                &CILIUM_NODE_ADDRESSES_FROZEN,
                &format!("{} is written as the addresses of today's nodes", quoted(&names)),
                "translate again when nodes come or go",
            );
        } else {
            self.any_node_for_some(some, report);
        }
        if !report.denies() && is_for_joining(report.row) {
            self.join(report);
        }
    }

    fn by_label(&mut self, some: &[(String, LabelSelector)], report: &mut Report<'_>) {
        for (name, selector) in some {
            if let Some(key) = labels::dropped_of_node(&self.context.peer_node_labels, selector) {
                report.refuse(
                    &format!("`{name}` is selected by the label `{key}`, which Cilium does not show to node peers"),
                    "add the label to the agent's setting `node-labels`",
                );
            }
        }
        if self.context.in_mesh() && !self.context.can_mean_this_cluster() {
            let lost = format!("{} such nodes of the mesh's other clusters", traffic::with_preposition(report.row));
            report.over(
                (&CILIUM_MESH_PEERS_WIDER, [Change::OtherClusters]),
                "nodes of other clusters cannot be told from this one's",
                lost,
                "state `cluster-name`, or set `policy-default-local-cluster: \"true\"`",
            );
        }
        let cluster = self.context.cluster_to_name();
        self.nodes = Nodes::Selected(some.iter().map(|(_, selector)| labels::nodes(selector, cluster)).collect());
    }

    fn any_node_for_some(&mut self, some: &[(String, LabelSelector)], report: &mut Report<'_>) {
        let names: Vec<&str> = some.iter().map(|(name, _)| name.as_str()).collect();
        let roles = self.context.matrix.roles.iter().map(|role| role.name.as_str());
        let others: Vec<&str> = roles.filter(|role| !names.contains(role)).collect();
        let who =
            if others.is_empty() { "every other node".to_owned() } else { format!("nodes of {}", quoted(&others)) };
        let lost = format!("{} {who}", traffic::with_preposition(report.row));
        report.over(
            (&ROLE_PEER_WIDER, [Change::EveryNode]),
            &format!("{} cannot be told from other nodes, so every node is admitted", quoted(&names)),
            lost,
            "set `enable-node-selector-labels: \"true\"`, or `policy-cidr-match-mode: nodes` together with `--nodes`",
        );
        self.nodes = Nodes::All;
    }

    /// Keeps a node that is not registered, and so has no role, able to join.
    fn join(&mut self, report: &mut Report<'_>) {
        let network = &self.context.matrix.cluster.node_cidrs;
        if network.is_empty() {
            if !self.admits_the_world() {
                joining_unknown(report);
            }
            return;
        }
        let before = self.cidrs.len();
        self.add_cidrs(Some(NETWORK), network);
        if self.cidrs.len() > before {
            let registered =
                if self.context.mode.nodes { "every machine" } else { "every machine that is no registered node" };
            let lost = format!("{} {registered} in the node network", traffic::with_preposition(report.row));
            report.over(
                (&CILIUM_JOINING_NODES_WIDER, [Change::Network { selector: None }]),
                "a node that is joining has no role yet, so the node network is admitted as well",
                lost,
                "leave out `flow` if the row is not needed for joining",
            );
        }
    }
}

/// The nodes that a row names.
#[derive(PartialEq)]
enum Wanted {
    None,
    All,
    /// By label, with the name of the role or peer.
    Some(Vec<(String, LabelSelector)>),
}

impl Wanted {
    fn of(draft: &Draft<'_>, peers: &[&Peer]) -> Self {
        let roles = &draft.context.matrix.roles;
        // Roles cover every node, so all of them together are simply the nodes.
        let every_role = !roles.is_empty() && (0..roles.len()).all(|role| peers.contains(&&Peer::Role(role)));
        if peers.contains(&&Peer::Nodes) || every_role {
            return Self::All;
        }
        let some: Vec<(String, LabelSelector)> = peers
            .iter()
            .filter_map(|peer| match peer {
                Peer::Role(role) => roles.get(*role).map(|role| (role.name.clone(), role.selector.clone())),
                Peer::NodeSelector { name, selector } => Some((name.clone(), selector.clone())),
                _ => None,
            })
            .collect();
        if some.is_empty() { Self::None } else { Self::Some(some) }
    }
}

/// Whether a row is needed by a node that is not registered with the API server: to reach the control plane, or, for a
/// new etcd member, to reach the others and be reached by them.
fn is_for_joining(row: &Row) -> bool {
    match row.flow.as_deref() {
        Some("kube-apiserver" | "supervisor" | "etcd-client") => row.direction == Direction::Ingress,
        Some("etcd-peer") => true,
        _ => false,
    }
}

fn joining_unknown(report: &mut Report<'_>) {
    report.remark(
        &CILIUM_JOINING_NODES_UNKNOWN,
        "a node that is not registered yet is not admitted, because the node network is not stated",
        "state `spec.cluster.nodeCIDRs`",
    );
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
