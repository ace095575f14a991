//! Control ports that everyone may reach.

use super::about;
use super::rows::{admitting, anyone, opens, opens_protocol, port};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Direction, Expanded, PortRange, Row, Transport};

/// Ports that only the cluster uses.
struct Control {
    what: &'static str,
    transport: Transport,
    ports: PortRange,
}

const fn control(what: &'static str, transport: Transport, first: u16, last: u16) -> Control {
    Control { what, transport, ports: PortRange { first, last } }
}

/// WireGuard is not here: it answers nobody without a key, and peers of KubeSpan are anywhere. The API server is not
/// either: who may reach it is for the operator to say.
const CONTROL: [Control; 21] = [
    control("etcd", Transport::Tcp, 2379, 2380),
    control("etcd's metrics", Transport::Tcp, 2381, 2381),
    control("etcd", Transport::Tcp, 12379, 12379),
    control("dqlite", Transport::Tcp, 19001, 19001),
    control("the kubelet's read-only port", Transport::Tcp, 10255, 10255),
    control("Typha", Transport::Tcp, 5473, 5473),
    control("VXLAN", Transport::Udp, 4789, 4789),
    control("Geneve", Transport::Udp, 6081, 6081),
    control("VXLAN", Transport::Udp, 8472, 8472),
    control("Flannel's UDP backend", Transport::Udp, 8285, 8285),
    control("OVN's databases", Transport::Tcp, 6641, 6644),
    control("kube-vip's metrics", Transport::Tcp, 2112, 2112),
    control("Felix's metrics", Transport::Tcp, 9091, 9091),
    control("Typha's metrics", Transport::Tcp, 9093, 9093),
    control("node-exporter's metrics", Transport::Tcp, 9100, 9100),
    control("node-exporter's metrics", Transport::Tcp, 9796, 9796),
    control("Cilium's metrics", Transport::Tcp, 9962, 9965),
    control("kube-proxy's metrics", Transport::Tcp, 10249, 10249),
    control("the controller manager", Transport::Tcp, 10257, 10257),
    control("the scheduler", Transport::Tcp, 10259, 10259),
    control("Kube-OVN's own ports", Transport::Tcp, 10660, 10665),
];

/// Encapsulations that are IP protocols.
const TUNNELS: [(u8, &str); 2] = [(4, "IP-in-IP"), (47, "GRE")];

/// Things that one message names before it says how many there are.
const MOST_NAMED: usize = 4;

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    for row in admitting(matrix, Direction::Ingress).filter(|row| anyone(row)) {
        let mut open = opened(matrix, row);
        if open.is_empty() {
            continue;
        }
        open.sort();
        open.dedup();
        let more = open.len().saturating_sub(MOST_NAMED);
        open.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("{} opens {}{more} to anyone", row.title(), open.join(", "));
        let help = "name the peers that need it: `nodes`, `pods`, a role, or prefixes";
        findings.push(about(row, "from", &codes::OPEN_TO_ANYONE, message).help(help));
    }
}

/// What of the cluster's own a row opens.
fn opened(matrix: &Expanded, row: &Row) -> Vec<String> {
    let kubelet = port(matrix.cluster.kubelet_port);
    let own = [Control { what: "the kubelet", transport: Transport::Tcp, ports: kubelet }];
    let ports = CONTROL.iter().chain(&own).filter(|control| {
        (control.ports.first..=control.ports.last).any(|number| opens(row, control.transport, port(number)))
    });
    let protocols = TUNNELS.iter().filter(|(number, _)| opens_protocol(row, *number));
    let mut open: Vec<String> = ports.map(|control| control.what.to_owned()).collect();
    open.extend(protocols.map(|(_, name)| (*name).to_owned()));
    open
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[test]
    fn control_ports_open_to_anyone_are_reported() {
        for (fields, what) in [
            ("ports: 2379-2380", "etcd"),
            ("ports: 2380", "etcd"),
            ("ports: 10250", "the kubelet"),
            ("ports: 5473", "Typha"),
            ("ports: 9091", "Felix's metrics"),
            ("ports: 9796", "node-exporter's metrics"),
            ("ports: [80, 2112]", "kube-vip's metrics"),
            ("ports: 8472, protocol: UDP", "VXLAN"),
            ("ports: 6081, protocol: UDP", "Geneve"),
            ("protocol: IPIP", "IP-in-IP"),
        ] {
            for from in ["any", "0.0.0.0/0", "[nodes, \"::/0\"]"] {
                let row = format!("{{roles: all, {fields}, from: {from}}}");
                let messages = found(&codes::OPEN_TO_ANYONE, "", &row);
                let wanted = format!("spec.rows[0].from: rows[0] opens {what} to anyone");
                assert_eq!(messages, [wanted], "{row}");
            }
        }
        let moved =
            found(&codes::OPEN_TO_ANYONE, "cluster: {kubeletPort: 10000}", "{roles: all, ports: 10000, from: any}");
        assert_eq!(moved.len(), 1);
        let all = found(&codes::OPEN_TO_ANYONE, "", "{roles: all, protocol: Any, from: any}");
        assert!(all[0].contains(" more to anyone"), "{all:?}");
    }

    #[test]
    fn what_is_meant_for_the_outside_or_for_someone_passes() {
        for row in [
            "{roles: all, ports: [22, 80, 443, 6443, 9345], from: any}",
            "{roles: all, ports: 2379-2380, from: [nodes, 10.0.0.0/8]}",
            "{roles: all, ports: 51820-51821, protocol: UDP, from: any}",
            "{roles: all, ports: 30000-32767, protocol: [TCP, UDP], from: any}",
            "{roles: all, ports: 2379, protocol: UDP, from: any}",
            "{roles: all, ports: 2379, from: any, action: deny}",
            "{roles: all, ports: 2379, direction: egress, to: any}",
            "{roles: all, protocol: ICMP, from: any}",
        ] {
            assert_eq!(found(&codes::OPEN_TO_ANYONE, "", row), [""; 0], "{row}");
        }
        let open = "enforcement: {ingress: {default: allow}}";
        assert_eq!(found(&codes::OPEN_TO_ANYONE, open, "{roles: all, ports: 2379, from: any}"), [""; 0]);
    }
}
