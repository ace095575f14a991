//! Prefixes of one family in a cluster that has both.

use policy::net::{Cidr, Family};

use super::about;
use super::rows::default_of;
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Action, Expanded, Peer};

/// Flows whose other side is outside the cluster, where one family may be all there is.
const OUTSIDE: [&str; 11] =
    ["admin-ssh", "admin-talos", "dhcp4", "dhcp6", "dns", "image-pull", "nodeport", "ntp", "rancher", "storage", "vip"];

/// The only family of a list, if there is but one.
fn only(cidrs: &[Cidr]) -> Option<Family> {
    let first = cidrs.first()?.family();
    cidrs.iter().all(|cidr| cidr.family() == first).then_some(first)
}

fn other(family: Family) -> Family {
    match family {
        Family::IPv4 => Family::IPv6,
        Family::IPv6 => Family::IPv4,
    }
}

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    let cluster = &matrix.cluster;
    let both = |cidrs: &[Cidr]| !cidrs.is_empty() && only(cidrs).is_none();
    if !both(&cluster.node_cidrs) && !both(&cluster.pod_cidrs) {
        return;
    }
    let parts = [
        ("nodeCIDRs", &cluster.node_cidrs),
        ("podCIDRs", &cluster.pod_cidrs),
        ("serviceCIDRs", &cluster.service_cidrs),
    ];
    for (name, cidrs) in parts {
        if let Some(family) = only(cidrs) {
            let message = format!("the cluster has both families, and `{name}` has only {family} prefixes");
            let help = format!("add its {} prefixes", other(family));
            let finding = Finding::new(&codes::ONE_FAMILY, message);
            findings.push(finding.at(format!("spec.cluster.{name}"), None).help(help));
        }
    }
    let mut reported: Vec<&str> = Vec::new();
    for row in &matrix.rows {
        let idle = !default_of(matrix, row.direction).deny && row.action == Action::Allow;
        if idle || row.family.is_some() || row.flow.as_deref().is_some_and(|flow| OUTSIDE.contains(&flow)) {
            continue;
        }
        for peer in &row.peers {
            let Peer::Cidrs { name, cidrs } = peer else { continue };
            let Some(family) = only(cidrs) else { continue };
            // The same prefixes of the other family stand beside it under another name.
            let beside = row.peers.iter().any(|peer| match peer {
                Peer::Cidrs { cidrs, .. } => cidrs.iter().any(|cidr| cidr.family() != family),
                _ => false,
            });
            // Reported where it is stated.
            let stated = parts.iter().any(|(_, part)| *part == cidrs);
            if beside || stated || name.as_ref().is_some_and(|name| reported.contains(&name.as_str())) {
                continue;
            }
            reported.extend(name.as_deref());
            let what = name.as_ref().map_or_else(|| cidrs[0].to_string(), Clone::clone);
            let message = format!("the cluster has both families, and `{what}` in {} is {family} only", row.title());
            let help = format!("add the {} prefixes, or say `family: {family}` if that is meant", other(family));
            findings.push(about(row, "", &codes::ONE_FAMILY, message).help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const DUAL: &str = "parameters: {scrapers: {type: cidrs, default: [10.9.0.0/16]}}
cluster: {nodeCIDRs: [10.0.0.0/16, fd00::/64]}";

    #[test]
    fn prefixes_of_one_family_are_reported_once_per_name() {
        let rows = "{roles: all, ports: 9100, from: $scrapers}
            {roles: all, ports: 9091, from: [$scrapers, pods]}
            {roles: all, ports: 10250, from: [nodes, fd01::/64], flow: kubelet-api}";
        assert_eq!(
            found(&codes::ONE_FAMILY, DUAL, rows),
            [
                "spec.rows[0]: the cluster has both families, and `scrapers` in rows[0] is IPv4 only",
                "spec.rows[2]: the cluster has both families, and `fd01::/64` in rows[2] is IPv6 only",
            ]
        );
        let pods = "cluster: {nodeCIDRs: [10.0.0.0/16, fd00::/64], podCIDRs: [10.1.0.0/16]}";
        assert_eq!(found(&codes::ONE_FAMILY, pods, "{roles: all, ports: 22, from: any}").len(), 1);
    }

    #[test]
    fn one_family_is_enough_where_there_is_one_or_it_is_said() {
        let rows = "{roles: all, ports: 9100, from: 10.9.0.0/16}";
        assert_eq!(found(&codes::ONE_FAMILY, "cluster: {nodeCIDRs: [10.0.0.0/16]}", rows), [""; 0]);
        for row in [
            "{roles: all, ports: 9100, from: 10.9.0.0/16, family: IPv4}",
            "{roles: all, ports: 9100, from: [10.9.0.0/16, fd01::/64]}",
            "{roles: all, ports: 9100, from: [nodes, any]}",
            "{roles: all, ports: 22, from: 10.9.0.0/16, flow: admin-ssh}",
        ] {
            assert_eq!(found(&codes::ONE_FAMILY, DUAL, row), [""; 0], "{row}");
        }
    }
}
