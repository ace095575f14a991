//! Well-known ports with a protocol they do not use.

use super::about;
use super::rows::{listed, opens, port};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Action, Direction, Expanded, PortRange, Row, Transport};

/// What listens on a port, by the protocol that it speaks.
struct Known {
    ports: PortRange,
    transport: Transport,
    what: &'static str,
}

const fn tcp(first: u16, last: u16, what: &'static str) -> Known {
    Known { ports: PortRange { first, last }, transport: Transport::Tcp, what }
}

const fn udp(first: u16, last: u16, what: &'static str) -> Known {
    Known { ports: PortRange { first, last }, transport: Transport::Udp, what }
}

/// Ports that nothing else in a cluster uses.
const KNOWN: [Known; 27] = [
    tcp(22, 22, "SSH"),
    tcp(179, 179, "BGP"),
    tcp(2379, 2380, "etcd"),
    tcp(4240, 4240, "Cilium health"),
    tcp(4244, 4245, "Hubble"),
    tcp(5473, 5473, "Typha"),
    tcp(6443, 6443, "the Kubernetes API"),
    tcp(6641, 6644, "OVN's databases"),
    tcp(8132, 8132, "konnectivity"),
    tcp(9091, 9091, "Felix's metrics"),
    tcp(9345, 9345, "the RKE2 supervisor"),
    tcp(10250, 10250, "the kubelet"),
    tcp(10256, 10256, "kube-proxy's health check"),
    tcp(16443, 16443, "the Kubernetes API of MicroK8s"),
    tcp(22623, 22624, "OpenShift's machine config server"),
    tcp(50000, 50001, "the Talos API"),
    udp(67, 68, "DHCP"),
    udp(123, 123, "NTP"),
    udp(500, 500, "IKE"),
    udp(546, 547, "DHCPv6"),
    udp(4500, 4500, "IKE"),
    udp(4789, 4789, "VXLAN"),
    udp(6081, 6081, "Geneve"),
    udp(8285, 8285, "Flannel's UDP backend"),
    udp(8472, 8472, "VXLAN"),
    udp(51820, 51821, "WireGuard"),
    udp(51871, 51871, "Cilium's WireGuard"),
];

/// Numbers of IP protocols that are taken for ports.
const PROTOCOLS: [(u16, &str); 5] = [(4, "IPIP"), (47, "GRE"), (50, "ESP"), (51, "AH"), (112, "VRRP")];

/// A wider range is not meant for one of the ports in it.
const WIDEST: u16 = 16;

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    for row in matrix.rows.iter().filter(|row| row.action == Action::Allow) {
        if let Some(finding) = wrong(matrix, row) {
            findings.push(finding);
        }
    }
}

fn wrong(matrix: &Expanded, row: &Row) -> Option<Finding> {
    for (transport, range) in listed(row).filter(|(_, range)| range.last - range.first < WIDEST) {
        if let Some((number, name)) = PROTOCOLS.iter().find(|(number, _)| range == port(*number)) {
            let message =
                format!("{} opens {} port {number}, but {name} is IP protocol {number}", row.title(), transport.name());
            let help = format!("write `protocol: {name}` without ports");
            return Some(about(row, "ports", &codes::WRONG_PROTOCOL, message).help(help));
        }
        for known in KNOWN.iter().filter(|known| known.transport != transport && known.ports.overlaps(range)) {
            // The API server and the kubelet may have been moved to a port that something else has elsewhere.
            let both = PortRange { first: known.ports.first.max(range.first), last: known.ports.last.min(range.last) };
            if !admitted(matrix, row, known.transport, both) {
                let message = format!(
                    "{} opens {} {both}, but {} speaks {}",
                    row.title(),
                    transport.name(),
                    known.what,
                    known.transport.name()
                );
                let help = format!("write `protocol: {}`", known.transport.name());
                return Some(about(row, "protocol", &codes::WRONG_PROTOCOL, message).help(help));
            }
        }
        if range == port(53) && row.direction == Direction::Ingress {
            let other = if transport == Transport::Udp { Transport::Tcp } else { Transport::Udp };
            if transport != Transport::Sctp && !admitted(matrix, row, other, range) {
                let message = format!("{} opens {} 53, but DNS needs both UDP and TCP", row.title(), transport.name());
                let finding = about(row, "protocol", &codes::WRONG_PROTOCOL, message);
                return Some(finding.help("write `protocol: [UDP, TCP]`"));
            }
        }
    }
    None
}

/// Whether some row admits the ports with this protocol, for one of the same roles.
fn admitted(matrix: &Expanded, row: &Row, transport: Transport, range: PortRange) -> bool {
    matrix.rows.iter().any(|other| {
        other.action == Action::Allow
            && other.direction == row.direction
            && other.roles.iter().any(|role| row.roles.contains(role))
            && (opens(other, transport, range)
                || listed(other).any(|(found, ports)| found == transport && ports.overlaps(range)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[test]
    fn a_port_with_the_wrong_protocol_is_reported() {
        for (ports, protocol, speaks) in [
            ("179", "UDP", "BGP speaks TCP"),
            ("2379-2380", "UDP", "etcd speaks TCP"),
            ("6443", "[UDP, SCTP]", "the Kubernetes API speaks TCP"),
            ("10250", "UDP", "the kubelet speaks TCP"),
            ("5473", "UDP", "Typha speaks TCP"),
            ("4240", "UDP", "Cilium health speaks TCP"),
            ("8472", "TCP", "VXLAN speaks UDP"),
            ("[22, 6081]", "TCP", "Geneve speaks UDP"),
            ("4789", "TCP", "VXLAN speaks UDP"),
            ("51820-51821", "TCP", "WireGuard speaks UDP"),
            ("51871", "TCP", "Cilium's WireGuard speaks UDP"),
            ("123", "TCP", "NTP speaks UDP"),
            ("68", "TCP", "DHCP speaks UDP"),
            ("547", "TCP", "DHCPv6 speaks UDP"),
            ("53", "UDP", "DNS needs both UDP and TCP"),
            ("112", "TCP", "VRRP is IP protocol 112"),
            ("50", "UDP", "ESP is IP protocol 50"),
            ("4", "UDP", "IPIP is IP protocol 4"),
        ] {
            let row = format!("{{roles: all, ports: {ports}, protocol: {protocol}, from: nodes}}");
            let messages = found(&codes::WRONG_PROTOCOL, "", &row);
            assert!(matches!(messages.as_slice(), [one] if one.ends_with(speaks)), "{row} {messages:?}");
        }
    }

    #[test]
    fn the_right_protocol_beside_it_and_wide_ranges_pass() {
        for rows in [
            "{roles: all, ports: [22, 179, 2379-2380, 6443, 10250], from: nodes}",
            "{roles: all, ports: [8472, 6081, 4789, 51820-51821, 123, 67-68], protocol: UDP, from: nodes}",
            "{roles: all, ports: 53, protocol: [UDP, TCP], from: nodes}",
            "{roles: all, ports: 53, protocol: UDP, from: any}\n{roles: all, ports: 53, from: nodes}",
            "{roles: all, ports: 179, protocol: UDP, from: nodes}\n{roles: all, ports: 179, from: nodes}",
            "{roles: all, ports: 9000-9999, protocol: UDP, from: nodes}",
            "{roles: all, ports: 7946, protocol: [TCP, UDP], from: nodes}",
            "{roles: all, ports: 443, protocol: UDP, from: any}",
            "{roles: all, ports: 30000-32767, protocol: [TCP, UDP], from: any}",
            "{roles: all, protocol: UDP, from: nodes}",
            "{roles: all, protocol: [VRRP, ESP, 4], from: nodes}",
            "{roles: all, ports: 22, protocol: UDP, from: any, action: deny}",
        ] {
            assert_eq!(found(&codes::WRONG_PROTOCOL, "", rows), [""; 0], "{rows}");
        }
    }
}
