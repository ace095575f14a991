//! What a matrix means: every field and condition, held against the expansion.

mod conditions;
mod show;

use translator::finding::Finding;
use translator::matrix::{Expanded, Settings, expand};

/// A matrix with this `spec`.
fn document(spec: &str) -> String {
    let spec: String = spec.trim_end().lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {{name: test}}\nspec:\n{spec}")
}

/// Two roles that exclude each other and leave nobody out.
const ROLES: &str = "
roles:
  control-plane: {nodeSelector: {matchExpressions: [{key: cp, operator: Exists}]}}
  worker: {nodeSelector: {matchExpressions: [{key: cp, operator: DoesNotExist}]}}";

/// A matrix with [`ROLES`], something before the rows, and the rows.
fn with(before: &str, rows: &str) -> String {
    document(&format!("{}\n{ROLES}\nrows:\n{}", before.trim(), rows.trim()))
}

/// Settings that do not ask for a way in from outside.
fn settings() -> Settings {
    Settings { no_admin_path: true, ..Settings::default() }
}

/// Settings with `--set`.
fn set(values: &[(&str, &str)]) -> Settings {
    let set = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings { set, ..settings() }
}

/// The expansion, which must come about.
fn expanded(text: &str, settings: &Settings) -> (Expanded, Vec<Finding>) {
    let (matrix, findings) = expand(text, "test", settings);
    match matrix {
        Some(matrix) => (matrix, findings),
        None => panic!("{}\n{text}", listed(&findings)),
    }
}

/// The rows in force, one line each.
fn rows(text: &str, settings: &Settings) -> Vec<String> {
    show::rows(&expanded(text, settings).0)
}

/// Codes and paths of what was found.
fn found(text: &str, settings: &Settings) -> Vec<String> {
    let (_, findings) = expand(text, "test", settings);
    findings.iter().map(|finding| format!("{} {}", finding.code.id, finding.path)).collect()
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{} {}: {}\n", finding.code.id, finding.path, finding.message)).collect()
}
