//! A judgement for a program. `schema/check.json` describes it.

use policy::lifeline::judge::{Cut, Judgement};
use policy::lifeline::repair::Repair;
use serde::Serialize;

use super::Report;
use crate::cli::Exit;
use crate::place::locate;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'r> {
    #[serde(flatten)]
    judgement: &'r Judgement,
    /// In the place of the judgement's own, with what belongs to each.
    cuts: Vec<JsonCut<'r>>,
}

#[derive(Serialize)]
struct JsonCut<'r> {
    #[serde(flatten)]
    cut: &'r Cut,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'r Repair>,
}

/// A place in a user's file.
#[derive(Serialize)]
struct Place<'r> {
    file: &'r str,
    line: usize,
    column: usize,
}

pub(super) fn print(report: &Report) -> Exit {
    match serde_json::to_value(json(report)) {
        Ok(value) => crate::cli::print(&format!("{value:#}\n")),
        Err(error) => {
            crate::cli::complain(&format!("cannot write the judgement as JSON: {error}"));
            Exit::Internal
        }
    }
}

fn json(report: &Report) -> Json<'_> {
    let judgement = &report.judgement;
    let cuts =
        judgement.cuts.iter().map(|cut| JsonCut { cut, place: place(report, cut), repair: judgement.repair.as_ref() });
    Json { judgement, cuts: cuts.collect() }
}

fn place<'r>(report: &'r Report, cut: &'r Cut) -> Option<Place<'r>> {
    let source = cut.deciding.source.as_deref()?;
    let at = report.input.texts.get(&source.file).and_then(|text| locate(text, source, &cut.deciding.path));
    let (line, column) = at.map_or((source.line, 1), |at| (at.line, at.column));
    Some(Place { file: &source.file, line, column })
}
