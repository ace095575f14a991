//! Name resolution, where egress is denied.

use super::rows::{admitting, opens, port, role_names, roles_field};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Direction, Expanded, Transport};

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    if !matrix.frame.egress.deny {
        return;
    }
    let missing = |transport| -> Vec<usize> {
        let open = |role: &usize| {
            admitting(matrix, Direction::Egress).any(|row| row.roles.contains(role) && opens(row, transport, port(53)))
        };
        (0..matrix.roles.len()).filter(|role| !open(role)).collect()
    };
    let (udp, tcp) = (missing(Transport::Udp), missing(Transport::Tcp));
    let lacking: Vec<usize> = (0..matrix.roles.len()).filter(|role| udp.contains(role) || tcp.contains(role)).collect();
    if lacking.is_empty() {
        return;
    }
    let what = match (udp.is_empty(), tcp.is_empty()) {
        (false, true) => "UDP 53",
        (true, false) => "TCP 53",
        _ => "UDP and TCP 53",
    };
    let message =
        format!("egress is denied, and no row lets {} reach resolvers over {what}", role_names(matrix, &lacking));
    let help = format!(
        "add `{{roles: {}, direction: egress, to: any, ports: 53, protocol: [UDP, TCP], flow: dns}}`",
        roles_field(matrix, &lacking)
    );
    findings.push(Finding::new(&codes::DNS_EGRESS, message).at("spec.rows", None).help(help));
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const DENY: &str = "enforcement: {egress: {default: deny}}";

    #[test]
    fn both_protocols_are_wanted_of_every_role() {
        let udp = "{roles: all, direction: egress, ports: 53, protocol: UDP, to: any}";
        let message = found(&codes::DNS_EGRESS, DENY, udp);
        assert_eq!(message.len(), 1);
        assert!(message[0].ends_with("over TCP 53"), "{message:?}");
        let worker = "{roles: worker, direction: egress, ports: 53, protocol: [TCP, UDP], to: any}";
        let message = found(&codes::DNS_EGRESS, DENY, worker);
        assert!(message[0].contains("lets `control-plane` reach resolvers over UDP and TCP 53"), "{message:?}");
    }

    #[test]
    fn an_open_direction_and_a_wider_row_need_no_more() {
        assert_eq!(found(&codes::DNS_EGRESS, "", "{roles: all, ports: 22, from: any}"), [""; 0]);
        for row in [
            "{roles: all, direction: egress, ports: 53, protocol: [TCP, UDP], to: 10.0.0.0/8}",
            "{roles: all, direction: egress, protocol: Any, to: any}",
            "{roles: all, direction: egress, ports: 1-1024, protocol: [TCP, UDP], to: any}",
        ] {
            assert_eq!(found(&codes::DNS_EGRESS, DENY, row), [""; 0], "{row}");
        }
    }
}
