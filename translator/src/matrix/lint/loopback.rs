//! Ports that are bound to loopback, so that opening them admits nobody.

use super::roles::is_control_plane;
use super::rows::{listed, port};
use crate::matrix::{Expanded, PortRange, Row, Transport};

/// Ports of one distribution, or of every one (`*`).
struct Bound {
    distributions: &'static [&'static str],
    ports: &'static [(u16, &'static str)],
    /// The port is bound so only on nodes that do not run the control plane.
    workers_only: bool,
}

const EVERY: &[&str] = &["*"];

/// From the distributions' own lists of listeners; what a flag commonly moves to every address is not here.
const BOUND: [Bound; 5] = [
    Bound { distributions: EVERY, ports: &[(10248, "the kubelet's health check")], workers_only: false },
    Bound {
        distributions: &["k3s", "rke2", "harvester"],
        ports: &[(2382, "etcd's learner client"), (6444, "the agent's API proxy"), (10010, "containerd")],
        workers_only: false,
    },
    Bound { distributions: &["rke2", "harvester"], ports: &[(6443, "the agent's API proxy")], workers_only: true },
    Bound { distributions: &["talos"], ports: &[(7445, "KubePrism")], workers_only: false },
    Bound {
        distributions: &["microk8s"],
        ports: &[(1338, "containerd"), (2380, "etcd"), (10251, "the scheduler"), (10252, "the controller manager")],
        workers_only: false,
    },
];

/// What a row opens that only its own node can reach, if it opens nothing else: the first of its ports.
pub(super) fn bound(matrix: &Expanded, row: &Row) -> Option<(u16, &'static str)> {
    let ports: Vec<(Transport, PortRange)> = listed(row).collect();
    if ports.is_empty() || row.traffic.len() != 1 {
        return None;
    }
    let mut first = None;
    for (transport, range) in ports {
        if transport != Transport::Tcp {
            return None;
        }
        for number in range.first..=range.last {
            let what = what(matrix, row, number)?;
            first.get_or_insert((number, what));
        }
    }
    first
}

fn what(matrix: &Expanded, row: &Row, number: u16) -> Option<&'static str> {
    let distribution = matrix.cluster.distribution.as_deref();
    let workers = row.roles.iter().all(|role| !is_control_plane(&matrix.roles[*role]));
    BOUND
        .iter()
        .filter(|bound| {
            bound.distributions == EVERY || distribution.is_some_and(|name| bound.distributions.contains(&name))
        })
        .filter(|bound| workers || !bound.workers_only)
        .flat_map(|bound| bound.ports)
        .find(|(bound, _)| port(*bound) == port(number))
        .map(|(_, what)| *what)
}
