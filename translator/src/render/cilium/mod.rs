//! Cilium: CIDR groups and cluster-wide policies on hosts.
//!
//! A matrix becomes up to four waves of objects: groups of prefixes that several rules share; the failsafe policy, which
//! holds the rows that the cluster lives on and never denies; a policy per role and direction; and the closing policy,
//! which alone turns on default deny. What the rows mean for Cilium is in [`peers`] and [`traffic`], why the order is
//! safe in [`objects`].

mod config;
mod context;
mod element;
mod frame;
mod groups;
mod labels;
mod lifelines;
mod nodes;
mod objects;
mod peers;
mod reach;
mod report;
mod row;
mod size;
mod traffic;

#[cfg(test)]
mod tests;

pub use config::{AgentConfig, CidrMatchMode, ConfigError, Enforcement, RoutingMode, TunnelProtocol};
pub use policy::cilium::version::{Version, VersionError};

use super::{Node, Outcome, Rendered};
use crate::finding::{Finding, has_errors};
use crate::matrix::{Expanded, Origin, Row};
use context::Context;
use row::Written;

/// What shapes the output besides the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The version that reads the objects.
    pub version: Version,
    /// What is known of the agents' configuration.
    pub config: AgentConfig,
    /// First part of every object's name.
    pub name_prefix: String,
}

impl Options {
    /// The defaults, under a name prefix.
    pub fn new(name_prefix: impl Into<String>) -> Self {
        Self { version: Version::NEWEST, config: AgentConfig::default(), name_prefix: name_prefix.into() }
    }
}

/// Writes the policies of a matrix. `nodes` are those of `kubectl get nodes -o json`.
///
/// Findings of severity `Error` mean that there is no right output; then there are no objects. Findings about the agent
/// and the frame come first, those about rows in the order of the rows.
pub fn render(matrix: &Expanded, nodes: Option<&[Node]>, options: &Options) -> Rendered {
    let context = Context::new(matrix, nodes, options);
    let mut findings = frame::findings(&context);
    let mut rows: Vec<Written<'_>> = Vec::new();
    let mut losses = Vec::new();
    for row in matrix.rows.iter().chain(&matrix.frame_rows) {
        let (written, of_row, lost) = row::write(&context, row);
        rows.push(written);
        losses.extend(lost);
        for finding in of_row {
            add(&mut findings, row, finding);
        }
    }
    findings.extend(lifelines::findings(&context, &rows));
    let objects = objects::objects(&context, &rows);
    findings.extend(frame::names(&objects));
    findings.extend(size::findings(&context, &rows));
    let outcome = |written: &Written<'_>| {
        let Row { origin, direction, .. } = written.row;
        Outcome { row: *origin, direction: *direction, fate: written.fate }
    };
    let outcomes = rows.iter().map(outcome).collect();
    let objects = if has_errors(&findings) { Vec::new() } else { objects };
    Rendered { objects, findings, outcomes, losses }
}

/// Adds a finding of a row. Rows of the frame are not the user's, so one finding speaks for all that lose the same.
fn add(findings: &mut Vec<Finding>, row: &Row, finding: Finding) {
    if let Origin::Frame(_) = row.origin
        && let Some(same) = findings.iter_mut().find(|other| other.code == finding.code && other.path == finding.path)
        && let (Some(lost), Some(more)) = (&mut same.lost, &finding.lost)
    {
        lost.push_str("; ");
        lost.push_str(more.strip_prefix("admitted: ").unwrap_or(more));
        return;
    }
    findings.push(finding);
}
