//! The report: findings, the fate of each row, and what was proved, for programs.

use serde::Serialize;

use super::args::TranslateArgs;
use super::{Exit, complain};
use crate::finding::{Finding, show};
use crate::output;
use crate::render::{Fate, Rendered};

#[derive(Serialize)]
struct Report<'a> {
    findings: Vec<show::Json<'a>>,
    rows: Vec<RowFate>,
    objects: Vec<String>,
    /// Absent where nothing was proved.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proved>,
}

/// What was proved.
#[derive(Serialize)]
pub(super) struct Proved {
    /// Where: among the given nodes, in the given cluster, or in a model.
    pub(super) cluster: &'static str,
    /// How many states of the objects were looked at: all of them, and those on the way.
    pub(super) states: usize,
}

/// What the proof was made in.
pub(super) fn cluster(args: &TranslateArgs) -> &'static str {
    match (&args.snapshot, &args.nodes) {
        (Some(_), _) => "snapshot",
        (None, Some(_)) => "nodes",
        (None, None) => "model",
    }
}

#[derive(Serialize)]
struct RowFate {
    row: String,
    fate: Fate,
}

/// Writes the report, if one was asked for. `file` is what findings are about.
pub(super) fn report(
    args: &TranslateArgs,
    file: Option<&str>,
    findings: &[Finding],
    rendered: &Rendered,
    proof: Option<Proved>,
) -> Result<(), Exit> {
    let Some(path) = &args.report else { return Ok(()) };
    let report = Report {
        findings: findings.iter().map(|finding| show::json(finding, file)).collect(),
        rows: rendered
            .outcomes
            .iter()
            .map(|outcome| RowFate { row: outcome.row.to_string(), fate: outcome.fate })
            .collect(),
        objects: rendered.objects.iter().map(|manifest| manifest.object.title()).collect(),
        proof,
    };
    let text = serde_json::to_string_pretty(&report).map_err(|error| {
        complain(&format!("internal error: the report cannot be written: {error}"));
        Exit::Internal
    })?;
    output::file(path, &format!("{text}\n")).map_err(|error| {
        complain(&format!("cannot write {}: {error}", path.display()));
        Exit::Io
    })
}
