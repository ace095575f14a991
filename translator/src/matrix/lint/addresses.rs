//! Addresses that nobody has: those of documentation.

use policy::net::Cidr;

use super::about;
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Expanded, Peer};

/// RFC 5737, RFC 3849, RFC 9637.
const DOCUMENTATION: [&str; 5] = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"];

fn of_documentation(cidr: Cidr) -> bool {
    DOCUMENTATION.iter().filter_map(|text| text.parse::<Cidr>().ok()).any(|range| range.contains(cidr))
}

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    let mut reported: Vec<&str> = Vec::new();
    for row in &matrix.rows {
        for peer in &row.peers {
            let Peer::Cidrs { name, cidrs } = peer else { continue };
            let Some(cidr) = cidrs.iter().find(|cidr| of_documentation(**cidr)) else { continue };
            // A parameter is named by many rows; once is enough.
            match name {
                Some(name) if reported.contains(&name.as_str()) => continue,
                Some(name) => reported.push(name),
                None => {}
            }
            let message = match name {
                Some(name) => format!("`{name}` holds `{cidr}`, which belongs to documentation"),
                None => format!("{} names `{cidr}`, which belongs to documentation", row.title()),
            };
            findings.push(about(row, "", &codes::EXAMPLE_ADDRESS, message).help("put the real prefixes in"));
        }
        if let Some(cidr) = row.except.iter().find(|cidr| of_documentation(**cidr)) {
            let message = format!("{} excepts `{cidr}`, which belongs to documentation", row.title());
            findings.push(about(row, "except", &codes::EXAMPLE_ADDRESS, message).help("put the real prefixes in"));
        }
    }
    let cluster = &matrix.cluster;
    for (name, cidrs) in
        [("nodeCIDRs", &cluster.node_cidrs), ("podCIDRs", &cluster.pod_cidrs), ("serviceCIDRs", &cluster.service_cidrs)]
    {
        if let Some(cidr) = cidrs.iter().find(|cidr| of_documentation(**cidr)) {
            let message = format!("`{name}` holds `{cidr}`, which belongs to documentation");
            let finding = Finding::new(&codes::EXAMPLE_ADDRESS, message);
            findings.push(finding.at(format!("spec.cluster.{name}"), None).help("put the cluster's own prefixes in"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[test]
    fn documentation_ranges_are_reported_once_per_name() {
        let before = "parameters: {admins: {type: cidrs, default: [10.0.0.0/8, 203.0.113.7/32]}}\ncluster: {nodeCIDRs: [198.51.100.0/25]}";
        let rows = "{roles: all, ports: 22, from: $admins}
            {roles: all, ports: 80, from: $admins}
            {roles: all, ports: 443, from: [2001:db8:1::/48, any]}
            {roles: all, ports: 444, from: 2001:db8:1::/48}
            {roles: all, ports: 445, from: 10.0.0.0/8, except: 192.0.2.1/32}";
        let rows = rows.replace(", except: 192.0.2.1/32", "");
        assert_eq!(
            found(&codes::EXAMPLE_ADDRESS, before, &rows),
            [
                "spec.cluster.nodeCIDRs: `nodeCIDRs` holds `198.51.100.0/25`, which belongs to documentation",
                "spec.rows[0]: `admins` holds `203.0.113.7/32`, which belongs to documentation",
                "spec.rows[3]: rows[3] names `2001:db8:1::/48`, which belongs to documentation",
            ]
        );
        let except = "{roles: all, ports: 22, from: any, except: 192.0.2.1/32}";
        assert_eq!(found(&codes::EXAMPLE_ADDRESS, "", except).len(), 1);
    }

    #[test]
    fn other_addresses_and_whole_families_pass() {
        let rows = "{roles: all, ports: 22, from: [192.0.0.0/16, 192.0.3.0/24, 2001:db9::/32, fd00::/8]}
            {roles: all, ports: 23, from: 0.0.0.0/0}";
        assert_eq!(found(&codes::EXAMPLE_ADDRESS, "", rows), [""; 0]);
    }
}
