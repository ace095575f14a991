//! The given nodes, by role.

use policy::net::Cidr;
use policy::object::LabelSelector;

use super::sets::normalise;
use crate::finding::Finding;
use crate::finding::codes::calico as codes;
use crate::matrix::{Expanded, Role};
use crate::render::Node;

/// The given nodes and what role each is in.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    nodes: Option<&'a [Node]>,
    /// Role of each node: an index into the roles of the matrix.
    roles: Vec<Option<usize>>,
}

impl<'a> Fleet<'a> {
    /// Puts every node into its role, and reports nodes with none or several.
    pub(super) fn new(matrix: &Expanded, nodes: Option<&'a [Node]>, findings: &mut Vec<Finding>) -> Self {
        let roles: Vec<Option<usize>> = nodes
            .unwrap_or_default()
            .iter()
            .map(|node| {
                let mut of = (0..matrix.roles.len()).filter(|role| matrix.roles[*role].selector.matches(&node.labels));
                let (first, second) = (of.next(), of.next());
                match (first, second) {
                    (Some(first), Some(second)) => {
                        let (first, second) = (&matrix.roles[first].name, &matrix.roles[second].name);
                        let message = format!("the node `{}` is `{first}` and `{second}`", node.name);
                        findings.push(Finding::new(&codes::NODE_IN_TWO_ROLES, message).at("spec.roles", None));
                    }
                    (None, _) => {
                        let message = format!("the node `{}` matches no role and stays open", node.name);
                        findings.push(
                            Finding::new(&codes::NODE_WITHOUT_ROLE, message)
                                .at("spec.roles", None)
                                .lost("every packet to and from the node is admitted"),
                        );
                    }
                    _ => {}
                }
                first
            })
            .collect();
        if nodes.is_some() {
            for (index, role) in matrix.roles.iter().enumerate() {
                if !roles.contains(&Some(index)) {
                    findings.push(without_nodes(role));
                }
            }
        }
        Self { nodes, roles }
    }

    /// Whether a node list was given.
    pub(super) fn is_known(&self) -> bool {
        self.nodes.is_some()
    }

    /// The nodes with a role, and the role.
    pub(super) fn in_roles(&self) -> impl Iterator<Item = (&'a Node, usize)> {
        self.nodes.unwrap_or_default().iter().zip(&self.roles).filter_map(|(node, role)| role.map(|role| (node, role)))
    }

    /// Every address of every node.
    pub(super) fn addresses(&self) -> Vec<Cidr> {
        addresses(self.nodes.unwrap_or_default().iter())
    }

    /// Every address of the nodes of a role.
    pub(super) fn addresses_in(&self, role: usize) -> Vec<Cidr> {
        addresses(self.in_roles().filter(|(_, of)| *of == role).map(|(node, _)| node))
    }

    /// Every address of the nodes that a selector selects.
    pub(super) fn addresses_of(&self, selector: &LabelSelector) -> Vec<Cidr> {
        addresses(self.nodes.unwrap_or_default().iter().filter(|node| selector.matches(&node.labels)))
    }
}

fn without_nodes(role: &Role) -> Finding {
    let message = format!("the role `{}` selects none of the given nodes", role.name);
    Finding::new(&codes::ROLE_WITHOUT_NODES, message).at(format!("spec.roles.{}", role.name), role.at.clone())
}

fn addresses<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<Cidr> {
    let hosts = nodes.flat_map(|node| node.internal.iter().chain(&node.external).chain(&node.tunnel));
    normalise(hosts.map(|address| Cidr::host(*address)).collect())
}
