//! A judgement for a person, with excerpts of the files.

use std::fmt::Write as _;
use std::io::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use policy::lifeline::judge::{Cut, Deciding, Judgement, Verdict};
use policy::lifeline::repair::{Repair, Step};

use super::Report;
use super::problems::{Problem, Remarks, problems};
use crate::cli::{Exit, complain};
use crate::finding::show::printable;
use crate::finding::{Location, codes};
use crate::place::locate;

/// Lines of the longest list that is shown whole.
const MOST: usize = 20;

/// To standard output.
pub(super) fn print(report: &Report) -> Exit {
    let text = render(report);
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Clean,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            Exit::Io
        }
    }
}

/// To standard error, where standard output is for something else; when even that fails there is nobody left to tell.
pub(super) fn explain(report: &Report) -> Exit {
    let _ = anstream::stderr().lock().write_all(render(report).as_bytes());
    Exit::Clean
}

/// With colours, which whoever writes it takes out where nobody sees them.
fn render(report: &Report) -> String {
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    let judgement = &report.judgement;
    let mut blocks: Vec<String> = judgement.cuts.iter().map(|cut| renderer.render(&[of_cut(report, cut)])).collect();
    for stop in &judgement.stops {
        let title = format!("an agent of {} stops", stop.cni);
        let group = Level::ERROR.primary_title(title).id("stops-agent");
        blocks.push(renderer.render(&[group.element(Level::NOTE.message(printable(&stop.to_string())))]));
    }
    for doubt in &judgement.doubts {
        let group = Level::ERROR.primary_title("it cannot be proved that nothing is cut").id("cannot-prove");
        blocks.push(renderer.render(&[group.element(Level::NOTE.message(printable(&doubt.to_string())))]));
    }
    blocks.extend(judgement.repair.as_ref().map(of_repair));
    if let Some(order) = &judgement.order {
        let mut text = "Applied in this order, nothing is cut on the way:\n".to_owned();
        for (place, change) in order.iter().filter_map(|index| report.input.changes.get(*index)).enumerate() {
            let _ = writeln!(text, "  {}. {}", place + 1, printable(&change.to_string()));
        }
        blocks.push(text);
    }
    blocks.extend(remarks(judgement));
    blocks.extend(more(report));
    blocks.push(summary(report));
    blocks.iter().map(|block| format!("{}\n", block.trim_end())).collect::<Vec<_>>().join("\n")
}

fn of_cut<'r>(report: &'r Report, cut: &'r Cut) -> Group<'r> {
    let more = match cut.pairs.saturating_sub(1) {
        0 => String::new(),
        1 => " and one other pair".to_owned(),
        more => format!(" and {more} other pairs"),
    };
    let step = match cut.step {
        Some(step) => format!(", after {step} of {} changes", report.input.changes.len()),
        None => String::new(),
    };
    let (source, destination) = (&cut.example.source, &cut.example.destination);
    let title = format!("{} is cut {}: {source} to {destination}{more}{step}", cut.lifeline, cut.side);
    let title = Level::ERROR.primary_title(printable(&title)).id(format!("cuts-{}", printable(&cut.lifeline)));
    let mut group = title.elements([] as [annotate_snippets::Message<'_>; 0]);
    let deciding = &cut.deciding;
    let reason = printable(&format!("{}: {}, on {}", deciding.cni, deciding.reason, deciding.node));
    match excerpt(report, deciding) {
        Some((name, text, at)) => {
            let annotation = AnnotationKind::Primary.span(at.bytes).label(reason);
            group = group.element(Snippet::source(text).path(name).annotation(annotation));
        }
        None => {
            let object = deciding.object.as_ref().map(|key| format!("{key} {}: ", deciding.path)).unwrap_or_default();
            group = group.element(Level::NOTE.with_name("dropped").message(format!("{}{reason}", printable(&object))));
        }
    }
    for (name, text) in [
        ("packet", cut.packet.to_string()),
        ("breaks", format!("{} ({})", cut.breaks, cut.severity)),
        ("noticed", cut.noticed.clone()),
    ] {
        group = group.element(Level::NOTE.with_name(name).message(printable(&text)));
    }
    group
}

/// The part of a user's file that decides.
fn excerpt<'r>(report: &'r Report, deciding: &Deciding) -> Option<(&'r str, &'r str, Location)> {
    let source = deciding.source.as_deref()?;
    let (name, text) = report.input.texts.get_key_value(&source.file)?;
    let at = locate(text, source, &deciding.path)?;
    Some((name, text, at))
}

fn of_repair(repair: &Repair) -> String {
    let mut text = match repair.proved {
        true => "A repair, proved to cut nothing:\n".to_owned(),
        false => "A repair, judged to cut nothing of what is known:\n".to_owned(),
    };
    for step in &repair.steps {
        let object = match step {
            Step::Add { object, manifest } => {
                let _ = writeln!(text, "  apply {object} before the change:");
                Some((object, yaml(manifest)))
            }
            Step::Patch { object, patch, .. } => {
                let _ = writeln!(text, "  patch {object} (JSON Patch):");
                Some((object, patch.iter().map(|operation| format!("{operation}\n")).collect()))
            }
            Step::Withhold { object, deletion: true } => {
                let _ = writeln!(text, "  do not delete {object}");
                None
            }
            Step::Withhold { object, deletion: false } => {
                let _ = writeln!(text, "  do not apply {object}");
                None
            }
        };
        for line in object.iter().flat_map(|(_, lines)| lines.lines()) {
            let _ = writeln!(text, "    {}", printable(line));
        }
    }
    if !repair.reopens.is_empty() {
        text.push_str("  With it these pass that would not with the change as it is:\n");
        for line in &repair.reopens {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

fn yaml(value: &serde_json::Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// What is to be known besides.
fn remarks(judgement: &Judgement) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut list = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let shown = lines.iter().take(MOST).map(|line| format!("  {}\n", printable(line)));
            let mut text: String = std::iter::once(format!("{title}\n")).chain(shown).collect();
            if lines.len() > MOST {
                let _ = writeln!(text, "  and {} more", lines.len() - MOST);
            }
            remarks.push(text);
        }
    };
    let Remarks { broken, missing, assumed } = Remarks::of(judgement);
    list("Cut already, without the change:", broken);
    list(
        "Not judged, because nothing tells the ends (and the parameter of a LifelineConfig that states them):",
        missing,
    );
    list("Taken, because nothing tells:", assumed);
    remarks
}

/// Where more is said about the findings.
fn more(report: &Report) -> Option<String> {
    let mut ids: Vec<String> = Vec::new();
    for Problem { code, .. } in problems(report) {
        if codes::find(&code).is_some() && !ids.contains(&code) {
            ids.push(code);
        }
    }
    let commands: Vec<String> = ids.iter().map(|id| format!("  translate explain {id}\n")).collect();
    (!ids.is_empty()).then(|| format!("More about it:\n{}", commands.concat()))
}

fn summary(report: &Report) -> String {
    let judgement = &report.judgement;
    let what = if report.input.changes.is_empty() { "the state" } else { "the change" };
    match judgement.verdict {
        Verdict::Safe => format!("safe: {what} cuts no lifeline"),
        Verdict::CannotProve => {
            format!("cannot-prove: {what} was not found to cut a lifeline, and may do so all the same")
        }
        Verdict::Cuts => {
            let mut ids: Vec<&str> = judgement.cuts.iter().map(|cut| cut.lifeline.as_str()).collect();
            ids.extend((!judgement.stops.is_empty()).then_some("stops-agent"));
            ids.dedup();
            format!("cuts: {what} cuts {}", printable(&ids.join(", ")))
        }
    }
}
