//! A judgement for a program. `schema/check.json` describes it.

use policy::lifeline::judge::{Cut, Judgement};
use policy::lifeline::repair::Repair;
use serde::Serialize;

use super::Report;
use super::problems::{Region, region};
use crate::cli::Exit;

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
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'r Repair>,
}

/// A place in a user's file.
#[derive(Serialize)]
struct Place {
    file: String,
    line: usize,
    column: usize,
}

pub(super) fn print(report: &Report) -> Exit {
    crate::cli::print_json(&json(report))
}

fn json(report: &Report) -> Json<'_> {
    let judgement = &report.judgement;
    let cuts =
        judgement.cuts.iter().map(|cut| JsonCut { cut, place: place(report, cut), repair: judgement.repair.as_ref() });
    Json { judgement, cuts: cuts.collect() }
}

fn place(report: &Report, cut: &Cut) -> Option<Place> {
    let Region { file, line, column, .. } = region(report, cut.deciding.source.as_deref()?, &cut.deciding.path);
    Some(Place { file, line, column })
}
