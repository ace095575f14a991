//! What kind of nodes a role has, where that can be told.

use policy::object::Operator;

use crate::matrix::{Expanded, Role};

const CONTROL_PLANE_LABELS: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
const CONTROL_PLANE_NAMES: [&str; 8] =
    ["control-plane", "controlplane", "controller", "controllers", "master", "masters", "server", "servers"];

/// Whether every node of the role carries a label.
fn requires(role: &Role, key: &str) -> bool {
    role.selector.match_labels.contains_key(key)
        || role.selector.match_expressions.iter().any(|requirement| {
            requirement.key == key && matches!(requirement.operator, Operator::Exists | Operator::In)
        })
}

/// Whether the role's nodes run the control plane.
pub(super) fn is_control_plane(role: &Role) -> bool {
    CONTROL_PLANE_NAMES.contains(&role.name.as_str()) || CONTROL_PLANE_LABELS.iter().any(|key| requires(role, key))
}

/// Whether the role's nodes are there for etcd alone: addons are not scheduled to them.
pub(super) fn is_etcd_only(role: &Role) -> bool {
    !is_control_plane(role) && (role.name.contains("witness") || role.name.contains("etcd"))
}

/// The control-plane roles; the only role where there is but one; nothing where it cannot be told.
pub(super) fn control_plane(matrix: &Expanded) -> Vec<usize> {
    let found: Vec<usize> = (0..matrix.roles.len()).filter(|role| is_control_plane(&matrix.roles[*role])).collect();
    if found.is_empty() && matrix.roles.len() == 1 { vec![0] } else { found }
}

/// Every role.
pub(super) fn every(matrix: &Expanded) -> Vec<usize> {
    (0..matrix.roles.len()).collect()
}
