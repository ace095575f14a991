//! Rows without effect.

use policy::net::{Cidr, Family};

use super::about;
use super::loopback::bound;
use super::rows::{default_of, holds, peers_within};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Action, Direction, Expanded, Peer, Row, Traffic};

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    for (index, row) in matrix.rows.iter().enumerate() {
        if !default_of(matrix, row.direction).deny {
            continue;
        }
        if let Some(finding) =
            bound_to_loopback(matrix, row).or_else(|| of_no_family(row)).or_else(|| shadowed(matrix, index))
        {
            findings.push(finding);
        }
    }
}

fn bound_to_loopback(matrix: &Expanded, row: &Row) -> Option<Finding> {
    if row.direction != Direction::Ingress || row.action != Action::Allow || row.peers == [Peer::Localhost] {
        return None;
    }
    let (number, what) = bound(matrix, row)?;
    let message = format!("{} opens TCP {number} ({what}), which listens on loopback only", row.title());
    let help = "leave the row out, or write `listen: loopback` and no peer to document the listener";
    Some(about(row, "ports", &codes::DEAD_ROW, message).help(help))
}

/// ICMP for peers that have only the other family.
fn of_no_family(row: &Row) -> Option<Finding> {
    let family = |traffic: &Traffic| match traffic {
        Traffic::Icmp { family, .. } => Some(*family),
        _ => None,
    };
    let families: Option<Vec<Family>> = row.traffic.iter().map(family).collect();
    let families = families?;
    let reaches = |family: Family| {
        row.peers.iter().any(|peer| match peer {
            Peer::Cidrs { cidrs, .. } => cidrs.iter().any(|cidr| cidr.family() == family),
            _ => true,
        })
    };
    if families.iter().any(|family| reaches(*family)) {
        return None;
    }
    let message = format!("{} is for {}, and none of its peers has such an address", row.title(), families[0]);
    Some(about(row, "protocol", &codes::DEAD_ROW, message).help("name the protocol of the peers' family"))
}

/// A row that another one holds entirely.
fn shadowed(matrix: &Expanded, index: usize) -> Option<Finding> {
    let row = &matrix.rows[index];
    let wider = matrix.rows.iter().enumerate().find(|(other, wider)| {
        *other != index
            && overrides(wider, row)
            && contains(matrix, wider, row)
            // Of two that hold each other, the first stays.
            && (*other < index || wider.action != row.action || !contains(matrix, row, wider))
    })?;
    let wider = wider.1;
    let (message, help) = if wider.action == row.action {
        (
            format!("{} says nothing that {} does not say", row.title(), wider.title()),
            "leave it out, or narrow the other row",
        )
    } else {
        (
            format!("{} denies all that {} admits", wider.title(), row.title()),
            "leave one of them out; deny wins over every allow",
        )
    };
    Some(about(row, "", &codes::DEAD_ROW, message).help(help))
}

/// Whether `wider` can make `row` pointless.
fn overrides(wider: &Row, row: &Row) -> bool {
    let actions = match (wider.action, row.action) {
        (Action::Deny, _) | (Action::Allow, Action::Allow) => true,
        (Action::Allow, Action::Deny) => false,
    };
    // Two lifelines are two rows, even where today's parameters make one of them wider. So are destinations of which one
    // is everywhere for want of an address, and rows beside one that opens everything.
    let told_apart = row.flow.is_some() && wider.flow.is_some() && wider.flow != row.flow;
    let by_default = row.direction == Direction::Egress && wider.peers == [Peer::Any];
    let whole = row.traffic != wider.traffic && wider.traffic.iter().any(is_whole);
    // An optional row may not be there in the end.
    actions && !wider.optional && (wider.action != row.action || !(told_apart || by_default || whole))
}

fn is_whole(traffic: &Traffic) -> bool {
    match traffic {
        Traffic::Any => true,
        Traffic::Ports { ports, source_ports, .. } => ports.is_empty() && source_ports.is_empty(),
        _ => false,
    }
}

/// Whether every packet of `row` is one of `wider`.
fn contains(matrix: &Expanded, wider: &Row, row: &Row) -> bool {
    wider.direction == row.direction
        && row.roles.iter().all(|role| wider.roles.contains(role))
        && (wider.family.is_none() || wider.family == row.family)
        && on_the_interfaces_of(wider, row)
        && row.traffic.iter().all(|traffic| wider.traffic.iter().any(|other| traffic_within(traffic, other)))
        && peers_within(matrix, row, wider)
        && wider.except.iter().all(|cidr| excepted(row, *cidr))
}

fn on_the_interfaces_of(wider: &Row, row: &Row) -> bool {
    match (&wider.interfaces, &row.interfaces) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wider), Some(names)) => names.iter().all(|name| wider.contains(name)),
    }
}

fn traffic_within(traffic: &Traffic, wider: &Traffic) -> bool {
    match (traffic, wider) {
        (_, Traffic::Any) => true,
        (
            Traffic::Ports { transport, ports, source_ports },
            Traffic::Ports { transport: other, ports: wider, source_ports: wider_source },
        ) => {
            let within = |ports: &[crate::matrix::PortRange], wider: &[crate::matrix::PortRange]| {
                wider.is_empty() || (!ports.is_empty() && ports.iter().all(|range| holds(wider, *range)))
            };
            transport == other && within(ports, wider) && within(source_ports, wider_source)
        }
        (Traffic::Icmp { family, types }, Traffic::Icmp { family: other, types: wider }) => {
            let held = |one: &crate::matrix::IcmpMatch| {
                wider.iter().any(|w| w.icmp_type == one.icmp_type && (w.code.is_none() || w.code == one.code))
            };
            family == other && (wider.is_empty() || (!types.is_empty() && types.iter().all(held)))
        }
        (traffic, wider) => traffic == wider,
    }
}

/// Whether a prefix that the wider row leaves out is not in this one either.
fn excepted(row: &Row, cidr: Cidr) -> bool {
    row.except.iter().any(|other| other.contains(cidr))
        || row.peers.iter().all(|peer| match peer {
            Peer::Cidrs { cidrs, .. } => !cidrs.iter().any(|other| other.overlaps(cidr)),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::super::tests::found as found_code;
    use super::*;

    fn found(rows: &str) -> Vec<String> {
        found_code(
            &codes::DEAD_ROW,
            "parameters: {nets: {type: cidrs, default: [10.0.0.0/8]}}\ncluster: {nodeCIDRs: [172.16.0.0/24]}",
            rows,
        )
    }

    #[test]
    fn a_row_within_another_is_reported() {
        for (wide, narrow) in [
            ("ports: 22, from: any", "ports: 22, from: 10.0.0.0/8"),
            ("ports: 22, from: 10.0.0.0/8", "ports: 22, from: [10.1.0.0/16, 10.2.0.0/16]"),
            ("ports: 20-30, from: nodes", "ports: [22, 25], from: [worker, control-plane]"),
            ("ports: 22, from: nodes", "ports: 22, from: 172.16.0.0/25"),
            ("protocol: Any, from: pods", "protocol: Any, from: pods, family: IPv4"),
            ("ports: 53, from: pods", "ports: 53, sourcePorts: 53, from: pods"),
            ("protocol: Any, from: any, action: deny", "protocol: UDP, ports: 53, from: pods"),
            ("protocol: ICMP, from: any", "protocol: ICMP, icmp: [{type: 8}], from: nodes"),
            ("protocol: ICMP, icmp: [{type: 3}], from: any", "protocol: ICMP, icmp: [{type: 3, code: 4}], from: any"),
            ("ports: 22, from: any", "ports: 22, from: any, family: IPv4"),
            ("ports: 22, from: any", "ports: 22, from: any, interfaces: [eth0]"),
            ("ports: 22, from: any, except: 10.0.0.0/16", "ports: 22, from: 10.1.0.0/16"),
            ("ports: 22, from: any, except: 10.0.0.0/16", "ports: 22, from: any, except: 10.0.0.0/8"),
            ("ports: 22, from: any, action: deny", "ports: 22, from: any, action: deny, family: IPv6"),
            ("ports: 22, from: any, action: deny", "ports: 22, from: nodes, flow: admin-ssh"),
        ] {
            for (rows, dead) in [
                (format!("{{roles: all, {wide}}}\n{{roles: worker, {narrow}}}"), "spec.rows[1]: "),
                (format!("{{roles: worker, {narrow}}}\n{{roles: all, {wide}}}"), "spec.rows[0]: "),
            ] {
                let messages = found(&rows);
                assert!(matches!(messages.as_slice(), [one] if one.starts_with(dead)), "{rows}\n{messages:?}");
            }
        }
    }

    #[test]
    fn of_two_equal_rows_the_second_is_reported() {
        let row = "{roles: all, ports: 22, from: any}";
        assert_eq!(found(&format!("{row}\n{row}")), ["spec.rows[1]: rows[1] says nothing that rows[0] does not say"]);
    }

    #[test]
    fn rows_that_add_something_pass() {
        for (one, other) in [
            ("ports: 22, from: any", "ports: 23, from: any"),
            ("ports: 22, from: nodes", "ports: 22, from: pods"),
            ("ports: 22, from: nodes", "ports: 22, from: [worker, 10.0.0.0/8]"),
            ("ports: 22, from: 10.0.0.0/8", "ports: 22, from: [10.1.0.0/16, 11.0.0.0/16]"),
            ("ports: 22, from: any, family: IPv4", "ports: 22, from: any, family: IPv6"),
            ("ports: 22, from: any, interfaces: [eth0]", "ports: 22, from: any, interfaces: [eth1]"),
            ("ports: 22, from: any, except: 10.0.0.0/16", "ports: 22, from: 10.0.0.0/8"),
            ("protocol: ICMP, from: any", "protocol: ICMPv6, from: any"),
            ("ports: 22, from: any, optional: true", "ports: 22, from: nodes"),
            ("ports: 22, from: any", "ports: 22, from: nodes, action: deny"),
            ("protocol: Any, from: pods", "protocol: UDP, ports: 53, from: pods"),
            ("protocol: TCP, from: pods", "ports: 53, from: pods"),
            ("ports: 443, from: any, flow: image-pull", "ports: 443, from: nodes, flow: kube-apiserver"),
        ] {
            let rows = format!("{{roles: all, {one}}}\n{{roles: all, {other}}}");
            assert_eq!(found(&rows), [""; 0], "{rows}");
        }
        let roles = "{roles: worker, ports: 22, from: any}\n{roles: all, ports: 22, from: nodes}";
        assert_eq!(found(roles), [""; 0]);
        let to = "{roles: all, direction: egress, ports: 443, to: any}\n{roles: all, direction: egress, ports: 443, to: 10.0.0.0/8}";
        let deny = "enforcement: {egress: {default: deny}}";
        assert_eq!(found_code(&codes::DEAD_ROW, deny, to), [""; 0]);
        let to = to.replace("any}", "10.0.0.0/7}");
        assert_eq!(found_code(&codes::DEAD_ROW, deny, &to).len(), 1);
        let directions = "{roles: all, protocol: Any, from: any}\n{roles: all, direction: egress, ports: 22, to: any}";
        assert_eq!(found(directions), [""; 0], "egress is allowed anyway, and a row may wait for the day it is not");
    }

    #[test]
    fn ports_bound_to_loopback_are_reported() {
        let of = |distribution: &str, row: &str| {
            found_code(&codes::DEAD_ROW, &format!("cluster: {{distribution: {distribution}}}"), row)
        };
        for (distribution, row) in [
            ("kubeadm", "{roles: all, ports: 10248, from: nodes}"),
            ("rke2", "{roles: worker, ports: 6443-6444, from: nodes}"),
            ("k3s", "{roles: all, ports: [6444, 10010], from: nodes}"),
            ("talos", "{roles: all, ports: 7445, from: nodes}"),
            ("microk8s", "{roles: control-plane, ports: 2380, from: nodes}"),
        ] {
            assert_eq!(of(distribution, row).len(), 1, "{distribution} {row}");
        }
        for (distribution, row) in [
            ("kubeadm", "{roles: all, ports: 7445, from: nodes}"),
            ("kubeadm", "{roles: all, ports: 10248-10250, from: nodes}"),
            ("rke2", "{roles: control-plane, ports: 6443, from: nodes}"),
            ("rke2", "{roles: all, ports: 6443, from: nodes}"),
            ("talos", "{roles: all, ports: 7445, from: localhost}"),
            ("talos", "{roles: all, ports: 7445, listen: loopback}"),
            ("talos", "{roles: all, ports: 7445, protocol: UDP, from: nodes}"),
        ] {
            assert_eq!(of(distribution, row), [""; 0], "{distribution} {row}");
        }
    }

    #[test]
    fn icmp_of_the_other_family_is_reported() {
        assert_eq!(found("{roles: all, protocol: ICMPv6, from: $nets}").len(), 1);
        assert_eq!(found("{roles: all, protocol: [ICMP, ICMPv6], from: $nets}"), [""; 0]);
        assert_eq!(found("{roles: all, protocol: ICMPv6, from: [$nets, nodes]}"), [""; 0]);
    }
}
