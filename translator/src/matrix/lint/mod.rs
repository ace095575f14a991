//! What is probably a mistake in a matrix, as far as that can be told without a cluster.
//!
//! Each part looks for one mistake, and reports only what it is sure of: presets and other sound matrices come through
//! without a warning.

mod addresses;
mod dead;
mod dns;
mod families;
mod lifelines;
mod loopback;
mod node_ports;
mod open;
mod overlay;
mod placement;
mod protocols;
mod roles;
mod rows;

use super::Expanded;
use crate::finding::codes::matrix as codes;
use crate::finding::{Code, Finding};
use crate::matrix::{Direction, Row};

/// What is probably a mistake, in the order of the file.
///
/// Rows of a direction that is allowed by default have no effect yet, so most of what they say is not judged.
pub fn lint(matrix: &Expanded) -> Vec<Finding> {
    let mut findings = Vec::new();
    no_log(matrix, &mut findings);
    for part in [
        lifelines::lint,
        overlay::lint,
        dns::lint,
        protocols::lint,
        node_ports::lint,
        open::lint,
        placement::lint,
        families::lint,
        dead::lint,
        addresses::lint,
    ] {
        part(matrix, &mut findings);
    }
    findings.sort_by_key(|finding| finding.at.as_ref().map_or(0, |at| at.bytes.start));
    findings
}

/// A finding about a field of a row.
fn about(row: &Row, field: &str, code: &'static Code, message: String) -> Finding {
    let path = if field.is_empty() { row.path() } else { format!("{}.{field}", row.path()) };
    Finding::new(code, message).at(path, row.at.clone())
}

/// `ingress` and `egress` without a log line before the drop.
fn no_log(matrix: &Expanded, findings: &mut Vec<Finding>) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let default = rows::default_of(matrix, direction);
        if default.deny && default.log.is_none() {
            let finding = Finding::new(&codes::NO_LOG, format!("{direction} is denied without a log line"));
            let help = "add `log: {}` to see what is dropped; Calico writes it, on Cilium use Hubble";
            findings.push(finding.at(format!("spec.enforcement.{direction}"), None).help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Settings, expand};

    /// Two roles as most clusters have them.
    pub(super) const ROLES: &str = "
  roles:
    control-plane: {nodeSelector: {matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]}}
    worker: {nodeSelector: {matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}]}}";

    /// A matrix with [`ROLES`], or with roles of its own before the rows.
    pub(super) fn matrix(before: &str, rows: &str) -> Expanded {
        let roles = if before.contains("roles:") { "" } else { ROLES };
        let before = before.lines().map(|line| format!("  {line}\n")).collect::<String>();
        let rows = rows.lines().map(str::trim).filter(|row| !row.is_empty());
        let rows = rows.map(|row| format!("  - {row}\n")).collect::<String>();
        let text = format!(
            "apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {{name: test}}\nspec:{roles}\n{before}  rows:\n{rows}"
        );
        let settings = Settings { no_admin_path: true, ..Settings::default() };
        let (matrix, findings) = expand(&text, "test", &settings);
        let Some(matrix) = matrix else { panic!("{findings:#?}\n{text}") };
        matrix
    }

    /// What one code found: path and message.
    pub(super) fn found(code: &Code, before: &str, rows: &str) -> Vec<String> {
        let findings = lint(&matrix(before, rows));
        let of_code = findings.iter().filter(|finding| finding.code == code);
        of_code.map(|finding| format!("{}: {}", finding.path, finding.message)).collect()
    }

    #[test]
    fn a_drop_without_a_log_line_is_noted_per_direction() {
        let row = "{roles: all, ports: 22, from: any}";
        assert_eq!(found(&codes::NO_LOG, "", row), ["spec.enforcement.ingress: ingress is denied without a log line"]);
        let both = "enforcement: {ingress: {default: deny, log: {}}, egress: {default: deny}}";
        assert_eq!(found(&codes::NO_LOG, both, row), ["spec.enforcement.egress: egress is denied without a log line"]);
        let open = "enforcement: {ingress: {default: allow}}";
        assert_eq!(found(&codes::NO_LOG, open, row), [""; 0]);
    }

    #[test]
    fn findings_are_in_the_order_of_the_file() {
        let rows = "{roles: all, ports: 2379, from: any}\n{roles: all, ports: 179, protocol: UDP, from: nodes}\n{roles: all, ports: 10250, from: any}";
        let findings = lint(&matrix("", rows));
        let starts: Vec<_> = findings.iter().filter_map(|finding| finding.at.as_ref()).map(|at| at.line).collect();
        assert!(starts.len() >= 3 && starts.is_sorted(), "{findings:#?}");
    }
}
