//! Ports of pods on the host network that the scheduler may put elsewhere.

use super::about;
use super::roles::is_etcd_only;
use super::rows::{admitting, listed, opens, peers_within, port, role_names};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Direction, Expanded, Row, Transport};

/// A pod that moves, and its port.
struct Movable {
    port: u16,
    pod: &'static str,
    /// The port is common, so the row must speak of this.
    named: Option<&'static str>,
}

const fn movable(port: u16, pod: &'static str, named: Option<&'static str>) -> Movable {
    Movable { port, pod, named }
}

/// Deployments on the host network; a DaemonSet is on every node it can be on anyway.
const MOVABLE: [Movable; 5] = [
    movable(8080, "kube-ovn-webhook", Some("kube-ovn")),
    movable(8443, "kube-ovn-webhook", Some("kube-ovn")),
    movable(10660, "kube-ovn-controller", None),
    movable(10661, "kube-ovn-monitor", None),
    movable(5473, "Typha", None),
];

/// A wider range is not meant for one of the ports in it.
const WIDEST: u16 = 16;

impl Movable {
    fn is_in(&self, row: &Row) -> bool {
        let named = self.named.is_none_or(|word| row.purpose.to_lowercase().contains(word));
        named
            && listed(row).any(|(transport, range)| {
                transport == Transport::Tcp && range.overlaps(port(self.port)) && range.last - range.first < WIDEST
            })
    }
}

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    for movable in &MOVABLE {
        let rows: Vec<&Row> = admitting(matrix, Direction::Ingress).filter(|row| movable.is_in(row)).collect();
        let Some(first) = rows.first() else { continue };
        let open = |role: &usize| {
            admitting(matrix, Direction::Ingress).any(|row| {
                row.roles.contains(role)
                    && opens(row, Transport::Tcp, port(movable.port))
                    && peers_within(matrix, first, row)
            })
        };
        let lacking: Vec<usize> =
            (0..matrix.roles.len()).filter(|role| !is_etcd_only(&matrix.roles[*role]) && !open(role)).collect();
        if lacking.is_empty() {
            continue;
        }
        let names = role_names(matrix, &lacking);
        let message = format!("{} can run on {names}, where no row opens TCP {}", movable.pod, movable.port);
        let help = format!("open it there too, or keep the pod away from {names}");
        findings.push(about(first, "roles", &codes::ADDON_PLACEMENT, message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const THREE: &str = "roles:
  control-plane: {nodeSelector: {matchExpressions: [{key: cp, operator: Exists}, {key: witness, operator: DoesNotExist}]}}
  worker: {nodeSelector: {matchExpressions: [{key: cp, operator: DoesNotExist}, {key: witness, operator: DoesNotExist}]}}
  witness: {nodeSelector: {matchExpressions: [{key: witness, operator: Exists}]}}";

    #[test]
    fn a_port_on_some_of_the_roles_that_can_host_the_pod_is_reported() {
        for (row, lacking) in [
            ("{roles: worker, ports: 10660, from: nodes}", "kube-ovn-controller can run on `control-plane`"),
            ("{roles: control-plane, ports: 10661, from: nodes}", "kube-ovn-monitor can run on `worker`"),
            ("{roles: worker, ports: 8443, from: nodes, purpose: Kube-OVN webhook}", "kube-ovn-webhook can run on"),
            ("{roles: control-plane, ports: 5473, from: nodes}", "Typha can run on `worker`"),
            (
                "{roles: worker, ports: 10660, from: nodes}\n{roles: all, protocol: Any, from: pods}",
                "kube-ovn-controller can run on `control-plane`",
            ),
        ] {
            let messages = found(&codes::ADDON_PLACEMENT, THREE, row);
            assert!(matches!(messages.as_slice(), [one] if one.contains(lacking)), "{row} {messages:?}");
        }
    }

    #[test]
    fn every_role_but_the_witness_is_enough() {
        for rows in [
            "{roles: [control-plane, worker], ports: 10660, from: nodes}",
            "{roles: control-plane, ports: 10660, from: nodes}\n{roles: worker, ports: [10660, 10665], from: any}",
            "{roles: control-plane, ports: 10660, from: nodes}\n{roles: worker, protocol: Any, from: nodes}",
            "{roles: worker, ports: 8443, from: nodes, purpose: ingress}",
            "{roles: worker, protocol: Any, from: nodes}",
            "{roles: worker, ports: 1024-65535, from: nodes}",
        ] {
            assert_eq!(found(&codes::ADDON_PLACEMENT, THREE, rows), [""; 0], "{rows}");
        }
    }
}
