//! The encapsulation that pods' traffic travels in.

use super::rows::{admitting, listed, nodes_among, opens, opens_protocol, port, role_names, roles_field};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Direction, Expanded, Row, Transport};

/// How an encapsulation looks on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Udp(u16),
    Protocol(u8, &'static str),
}

/// One overlay of one CNI. `any` CNI stands for those that have no line of their own.
struct Overlay {
    cni: &'static str,
    encapsulation: &'static str,
    wire: Wire,
    what: &'static str,
}

const fn overlay(cni: &'static str, encapsulation: &'static str, wire: Wire, what: &'static str) -> Overlay {
    Overlay { cni, encapsulation, wire, what }
}

/// Defaults of the CNIs: tigera/docs (system requirements), cilium/cilium (system requirements), flannel-io/flannel
/// (backends), kubeovn/docs (tunnel protocol), antrea-io/antrea (network requirements).
const OVERLAYS: [Overlay; 17] = [
    overlay("calico", "vxlan", Wire::Udp(4789), "VXLAN"),
    overlay("calico", "ipip", Wire::Protocol(4, "IPIP"), "IP-in-IP"),
    overlay("calico", "wireguard", Wire::Udp(51820), "WireGuard"),
    overlay("cilium", "vxlan", Wire::Udp(8472), "VXLAN"),
    overlay("cilium", "geneve", Wire::Udp(6081), "Geneve"),
    overlay("cilium", "wireguard", Wire::Udp(51871), "WireGuard"),
    overlay("canal", "vxlan", Wire::Udp(8472), "VXLAN"),
    overlay("canal", "wireguard", Wire::Udp(51820), "WireGuard"),
    overlay("flannel", "vxlan", Wire::Udp(8472), "VXLAN"),
    overlay("flannel", "wireguard", Wire::Udp(51820), "WireGuard"),
    overlay("flannel", "udp", Wire::Udp(8285), "UDP backend"),
    overlay("kube-router", "ipip", Wire::Protocol(4, "IPIP"), "IP-in-IP"),
    overlay("kube-ovn", "geneve", Wire::Udp(6081), "Geneve"),
    overlay("kube-ovn", "vxlan", Wire::Udp(4789), "VXLAN"),
    overlay("antrea", "geneve", Wire::Udp(6081), "Geneve"),
    overlay("antrea", "vxlan", Wire::Udp(4789), "VXLAN"),
    overlay("antrea", "gre", Wire::Protocol(47, "GRE"), "GRE"),
];

/// Distributions whose Flannel takes another port than Flannel's own.
const FLANNEL_ON_4789: [&str; 2] = ["talos", "rke2"];

impl Wire {
    fn is_in(self, row: &Row) -> bool {
        match self {
            Self::Udp(number) => opens(row, Transport::Udp, port(number)),
            Self::Protocol(number, _) => opens_protocol(row, number),
        }
    }

    fn field(self) -> String {
        match self {
            Self::Udp(number) => format!("protocol: UDP, ports: {number}"),
            Self::Protocol(_, name) => format!("protocol: {name}"),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Udp(number) => format!("UDP {number}"),
            Self::Protocol(number, _) => format!("IP protocol {number}"),
        }
    }
}

/// The overlays that the stated facts call for.
fn wanted(matrix: &Expanded) -> Vec<(&'static str, Wire)> {
    let cluster = &matrix.cluster;
    let Some(cni) = cluster.cni.as_deref() else { return Vec::new() };
    let mut encapsulations: Vec<&str> = cluster.encapsulation.as_deref().into_iter().collect();
    // Encryption is stated as a feature where it comes on top of an encapsulation.
    if cluster.features.contains("wireguard") && !encapsulations.contains(&"wireguard") {
        encapsulations.push("wireguard");
    }
    encapsulations
        .into_iter()
        .filter_map(|encapsulation| {
            let found = OVERLAYS.iter().find(|one| one.cni == cni && one.encapsulation == encapsulation)?;
            let moved = cni == "flannel"
                && encapsulation == "vxlan"
                && cluster.distribution.as_deref().is_some_and(|name| FLANNEL_ON_4789.contains(&name));
            Some((found.what, if moved { Wire::Udp(4789) } else { found.wire }))
        })
        .collect()
}

/// Whether a row says that it carries an overlay, on a port that no CNI has by default: the port was changed.
fn moved(row: &Row) -> bool {
    let usual = |number: u16| number == 51821 || OVERLAYS.iter().any(|one| one.wire == Wire::Udp(number));
    row.flow.as_deref() == Some("overlay")
        && listed(row)
            .any(|(transport, range)| transport == Transport::Udp && range.first == range.last && !usual(range.first))
}

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    for (what, wire) in wanted(matrix) {
        for direction in [Direction::Ingress, Direction::Egress] {
            if !super::rows::default_of(matrix, direction).deny {
                continue;
            }
            let open = |role: &usize| {
                admitting(matrix, direction)
                    .any(|row| row.roles.contains(role) && nodes_among(matrix, row) && (wire.is_in(row) || moved(row)))
            };
            let lacking: Vec<usize> = (0..matrix.roles.len()).filter(|role| !open(role)).collect();
            if !lacking.is_empty() {
                findings.push(missing(matrix, direction, &lacking, what, wire));
            }
        }
    }
}

fn missing(matrix: &Expanded, direction: Direction, roles: &[usize], what: &str, wire: Wire) -> Finding {
    let cni = matrix.cluster.cni.as_deref().unwrap_or_default();
    let (side, field) = match direction {
        Direction::Ingress => ("to", "from: nodes"),
        Direction::Egress => ("from", "direction: egress, to: nodes"),
    };
    let names = role_names(matrix, roles);
    let message = format!("no row admits the {what} of {cni} ({}) {side} {names}", wire.name());
    let row = format!("{{roles: {}, {}, {field}, flow: overlay}}", roles_field(matrix, roles), wire.field());
    let help = if cni == "calico" {
        format!("add `{row}`; Calico admits its own overlay by itself, other filters on the way do not")
    } else {
        format!("add `{row}`, or state the encapsulation in use in `cluster.encapsulation`")
    };
    Finding::new(&codes::MISSING_OVERLAY, message).at("spec.rows", None).help(help)
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const SSH: &str = "{roles: all, ports: 22, from: any}";

    #[test]
    fn each_overlay_is_wanted_where_it_is_stated() {
        for (cluster, name, row) in [
            ("cni: cilium, encapsulation: vxlan", "UDP 8472", "protocol: UDP, ports: 8472"),
            ("cni: cilium, encapsulation: geneve", "UDP 6081", "protocol: UDP, ports: 6081"),
            ("cni: cilium, encapsulation: wireguard", "UDP 51871", "protocol: UDP, ports: 51871"),
            ("cni: cilium, encapsulation: none, features: [wireguard]", "UDP 51871", "protocol: UDP, ports: 51871"),
            ("cni: calico, encapsulation: ipip", "IP protocol 4", "protocol: IPIP"),
            ("cni: calico, encapsulation: vxlan", "UDP 4789", "protocol: UDP, ports: 4789"),
            ("cni: canal, encapsulation: vxlan", "UDP 8472", "protocol: UDP, ports: 8472"),
            ("cni: flannel, encapsulation: vxlan", "UDP 8472", "protocol: UDP, ports: 8472"),
            ("cni: flannel, encapsulation: vxlan, distribution: talos", "UDP 4789", "protocol: UDP, ports: 4789"),
            ("cni: flannel, encapsulation: vxlan, distribution: rke2", "UDP 4789", "protocol: UDP, ports: 4789"),
        ] {
            let cluster = format!("cluster: {{{cluster}}}");
            let messages = found(&codes::MISSING_OVERLAY, &cluster, SSH);
            assert!(matches!(messages.as_slice(), [one] if one.contains(name)), "{cluster} {messages:?}");
            let rows = format!("{{roles: all, {row}, from: nodes}}");
            assert_eq!(found(&codes::MISSING_OVERLAY, &cluster, &rows), [""; 0], "{cluster}");
        }
    }

    #[test]
    fn the_port_of_another_cni_and_of_another_role_do_not_count() {
        let cilium = "cluster: {cni: cilium, encapsulation: vxlan}";
        for rows in [
            "{roles: all, protocol: UDP, ports: 6081, from: nodes, flow: overlay}",
            "{roles: all, ports: 8472, from: nodes}",
            "{roles: all, protocol: UDP, ports: 8472, from: pods}",
            "{roles: all, protocol: UDP, ports: 8472, from: nodes, action: deny}",
        ] {
            assert_eq!(found(&codes::MISSING_OVERLAY, cilium, rows).len(), 1, "{rows}");
        }
        let worker = "{roles: worker, protocol: UDP, ports: 8472, from: nodes}";
        assert!(found(&codes::MISSING_OVERLAY, cilium, worker)[0].ends_with("to `control-plane`"));
    }

    #[test]
    fn both_ends_of_the_tunnel_count_where_both_directions_are_denied() {
        let both = "cluster: {cni: cilium, encapsulation: vxlan}\nenforcement: {egress: {default: deny}}";
        let one = "{roles: all, protocol: UDP, ports: 8472, from: nodes}";
        let messages = found(&codes::MISSING_OVERLAY, both, one);
        assert!(matches!(messages.as_slice(), [one] if one.contains("from `control-plane`")), "{messages:?}");
        let two = format!("{one}\n{{roles: all, direction: egress, protocol: UDP, ports: 8472, to: nodes}}");
        assert_eq!(found(&codes::MISSING_OVERLAY, both, &two), [""; 0]);
    }

    #[test]
    fn unknown_facts_changed_ports_and_wide_rows_pass() {
        let cilium = "cluster: {cni: cilium, encapsulation: vxlan}";
        for (cluster, rows) in [
            ("cluster: {cni: cilium}", SSH),
            ("cluster: {cni: cilium, encapsulation: none}", SSH),
            ("cluster: {encapsulation: vxlan}", SSH),
            ("cluster: {cni: other, encapsulation: vxlan}", SSH),
            (cilium, "{roles: all, protocol: UDP, ports: 8473, from: nodes, flow: overlay}"),
            (cilium, "{roles: all, protocol: Any, from: nodes}"),
            (cilium, "{roles: all, protocol: UDP, from: 10.0.0.0/8}"),
        ] {
            assert_eq!(found(&codes::MISSING_OVERLAY, cluster, rows), [""; 0], "{cluster} {rows}");
        }
    }
}
