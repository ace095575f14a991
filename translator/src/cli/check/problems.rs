//! What is wrong with a change, one line each, for the outputs that other programs read.

use policy::lifeline::judge::{Change, Judgement};
use policy::snapshot::{Manifest, Source};

use super::Report;
use crate::finding::codes::judging::{CANNOT_PROVE, STOPS_AGENT, id};
use crate::place::locate;

/// One reason why a change is not safe.
pub(super) struct Problem {
    /// Id of the code.
    pub(super) code: String,
    /// The lifeline, where one is cut.
    pub(super) lifeline: Option<String>,
    /// In one or more sentences, of what the outputs show of it. No line breaks.
    pub(super) message: String,
    /// Where it is decided; otherwise where the change stands, if anything has a place.
    pub(super) region: Option<Region>,
}

/// What is to be known besides, a line each.
pub(super) struct Remarks {
    /// What does not pass already, without the change.
    pub(super) broken: Vec<String>,
    /// What is not judged, with the parameter of a LifelineConfig that would tell.
    pub(super) missing: Vec<String>,
    /// What was taken for granted.
    pub(super) assumed: Vec<String>,
}

impl Remarks {
    /// What is said in front of each, where each stands alone.
    pub(super) const BROKEN: &str = "cut already, without the change";
    pub(super) const MISSING: &str = "not judged, because nothing tells the ends";
    pub(super) const ASSUMED: &str = "taken, because nothing tells";

    pub(super) fn of(judgement: &Judgement) -> Self {
        let broken = judgement.broken.iter().map(|cut| {
            let object = cut.deciding.object.as_ref().map(|key| format!(", by {key} {}", cut.deciding.path));
            format!("{}: {} ({} pairs{})", cut.lifeline, cut.packet, cut.pairs, object.unwrap_or_default())
        });
        let missing = judgement.missing.iter();
        let missing = missing.map(|missing| format!("{}: {} ({})", missing.id, missing.what, missing.parameter));
        Self { broken: broken.collect(), missing: missing.collect(), assumed: judgement.assumed.clone() }
    }
}

/// A part of one line of a file. Columns count characters from 1; the end is behind the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end: Option<usize>,
}

/// Everything that is wrong, the worst first.
pub(super) fn problems(report: &Report) -> Vec<Problem> {
    let judgement = &report.judgement;
    let repair = match &judgement.repair {
        Some(_) => " A repair is known: translate check shows it, and --fix writes it.",
        None => "",
    };
    let cuts = judgement.cuts.iter().map(|cut| {
        let deciding = &cut.deciding;
        let object = deciding.object.as_ref().map(|key| format!("{key} {}, ", deciding.path)).unwrap_or_default();
        let step = cut.step.map(|step| format!(" after {step} of {} changes", report.input.changes.len()));
        let message = format!(
            "{} is cut {}{}: {} from {} to {} ({} pairs) no longer passes. {object}{}: {}, on {}. Without it {}.{repair}",
            cut.lifeline,
            cut.side,
            step.unwrap_or_default(),
            cut.packet,
            cut.example.source,
            cut.example.destination,
            cut.pairs,
            deciding.cni,
            deciding.reason,
            deciding.node,
            cut.breaks,
        );
        let region = deciding.source.as_deref().map(|source| region(report, source, &deciding.path));
        Problem { code: id(&cut.lifeline), lifeline: Some(cut.lifeline.clone()), message, region }
    });
    let stops = judgement.stops.iter().map(|stop| Problem {
        code: STOPS_AGENT.id.to_owned(),
        lifeline: None,
        message: format!("An agent of {} stops: {stop}.", stop.cni),
        region: of_object(report, &stop.object, &stop.path),
    });
    let doubts = judgement.doubts.iter().map(|doubt| Problem {
        code: CANNOT_PROVE.id.to_owned(),
        lifeline: None,
        message: format!("It cannot be proved that nothing is cut: {doubt}."),
        region: of_object(report, &doubt.object, &doubt.path),
    });
    let all = cuts.chain(stops).chain(doubts);
    all.map(|problem| Problem { region: problem.region.or_else(|| of_change(report)), ..problem }).collect()
}

/// The place of a field.
pub(super) fn region(report: &Report, source: &Source, path: &str) -> Region {
    let text = report.input.texts.get(&source.file);
    let at = text.and_then(|text| Some((text, locate(text, source, path)?)));
    let (line, column, end) = at.map_or((source.line, 1, None), |(text, at)| {
        let length = text.get(at.bytes.clone()).map_or(0, |part| part.chars().count());
        (at.line, at.column, Some(at.column + length.max(1)))
    });
    Region { file: source.file.clone(), line, column, end }
}

/// The place in an object that is known by its kind and name.
fn of_object(report: &Report, object: &str, path: &str) -> Option<Region> {
    let changed = report.input.changes.iter().filter_map(put);
    let stored = report.input.snapshot.objects.values().map(AsRef::as_ref);
    let manifest = changed.chain(stored).find(|manifest| manifest.key.to_string() == object)?;
    Some(region(report, manifest.source.as_deref()?, path))
}

fn of_change(report: &Report) -> Option<Region> {
    let source = report.input.changes.iter().filter_map(put).find_map(|manifest| manifest.source.as_deref())?;
    Some(region(report, source, ""))
}

fn put(change: &Change) -> Option<&Manifest> {
    match change {
        Change::Put(manifest) => Some(manifest),
        Change::Delete(_) => None,
    }
}
