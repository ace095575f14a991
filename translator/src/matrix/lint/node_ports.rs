//! The range of node ports.

use super::about;
use super::rows::listed;
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Expanded, PortRange};

/// How far beyond the range a row may end and still be taken for an attempt at it. A row for every high port, which
/// firewalls without state need, reaches further.
const NEAR: u16 = 1_000;
/// A range of this size was meant to be all of them.
const MOST_OF_THEM: u16 = 2_000;

pub(super) fn lint(matrix: &Expanded, findings: &mut Vec<Finding>) {
    let whole = matrix.cluster.node_ports;
    for row in &matrix.rows {
        let is_nodeport = row.flow.as_deref() == Some("nodeport");
        let mut wrong: Vec<PortRange> =
            listed(row).map(|(_, range)| range).filter(|range| differs(*range, whole, is_nodeport)).collect();
        wrong.dedup();
        if let Some(range) = wrong.first() {
            let message =
                format!("{} opens {range}, and the API server hands out node ports from {whole}", row.title());
            let help = format!("write {whole}, or state the API server's range in `cluster.nodePorts`");
            findings.push(about(row, "ports", &codes::NODE_PORT_RANGE, message).help(help));
        }
    }
}

fn differs(range: PortRange, whole: PortRange, is_nodeport: bool) -> bool {
    if range == whole || !range.overlaps(whole) {
        return false;
    }
    let within = whole.first <= range.first && range.last <= whole.last;
    let near = whole.first.abs_diff(range.first) <= NEAR && whole.last.abs_diff(range.last) <= NEAR;
    near || (is_nodeport && (!within || range.last - range.first >= MOST_OF_THEM))
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[test]
    fn a_range_beside_the_api_servers_is_reported() {
        for (before, ports) in [
            ("", "30000-32768"),
            ("", "30000-32766"),
            ("", "29999-32767"),
            ("cluster: {nodePorts: 20000-22767}", "20000-22768"),
        ] {
            let row = format!("{{roles: all, ports: {ports}, protocol: [TCP, UDP], from: any}}");
            assert_eq!(found(&codes::NODE_PORT_RANGE, before, &row).len(), 1, "{ports}");
        }
        let other = "{roles: all, ports: 30000-32767, from: any, flow: nodeport}";
        assert_eq!(found(&codes::NODE_PORT_RANGE, "cluster: {nodePorts: 31000-40000}", other).len(), 1);
    }

    #[test]
    fn the_range_itself_parts_of_it_and_other_ports_pass() {
        for ports in ["30000-32767", "30080", "30000-30100", "32379", "1024-65535", "9000-9999", "32768-60999"] {
            let row = format!("{{roles: all, ports: {ports}, from: any}}");
            assert_eq!(found(&codes::NODE_PORT_RANGE, "", &row), [""; 0], "{ports}");
        }
        let own = "{roles: all, ports: 20000-22767, from: any, flow: nodeport}";
        assert_eq!(found(&codes::NODE_PORT_RANGE, "cluster: {nodePorts: 20000-22767}", own), [""; 0]);
    }
}
