//! `translate lifelines`: the flows that a cluster lives on, and how that is known.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use policy::lifeline::detect::{Detected, detect};
use policy::lifeline::{Flow, Lifeline, Party, Severity};
use policy::snapshot::Snapshot;

use super::args::{LifelinesArgs, TextOrJson};
use super::check::read::{self, Failure};
use super::{Exit, input, print, print_json};
use crate::finding::show::printable;
use crate::matrix;

/// Names and prefixes of one end that are shown.
const MOST: usize = 8;

pub(super) fn run(args: &LifelinesArgs) -> Exit {
    let (snapshot, detected) = match find(args) {
        Ok(found) => found,
        Err(failures) => return read::refuse(&failures),
    };
    let printed = match args.output {
        TextOrJson::Text => print(&text(&snapshot, &detected)),
        TextOrJson::Json => print_json(&detected),
    };
    let unknown = detected.missing.iter().any(|missing| missing.severity == Severity::Blocker);
    match printed {
        Exit::Clean if unknown => Exit::Findings,
        printed => printed,
    }
}

fn find(args: &LifelinesArgs) -> Result<(Snapshot, Detected), Vec<Failure>> {
    let config = args.state.config.as_deref().map(read::config).transpose()?.unwrap_or_default();
    let snapshot = read::state(&args.state, &mut BTreeMap::new())?;
    let detected = match args.matrix.as_deref() {
        Some(path) => stated(path, &args.set, &snapshot)?,
        None => detect(&snapshot, &config),
    };
    Ok((snapshot, detected))
}

/// The lifelines that a port matrix states.
fn stated(path: &Path, set: &[(String, String)], snapshot: &Snapshot) -> Result<Detected, Vec<Failure>> {
    let (matrix, text) = read::matrix(path, set, &[])?;
    let (lifelines, left_out) = matrix::lifelines(&matrix, &snapshot.cluster);
    if read::show(&left_out, &input::name(path), &text) {
        return Err(vec![Failure::input(format!("{}: the matrix cannot be read", input::name(path)))]);
    }
    Ok(Detected { lifelines, ..Detected::default() })
}

fn text(snapshot: &Snapshot, detected: &Detected) -> String {
    let mut text = String::new();
    for lifeline in &detected.lifelines {
        one(&mut text, snapshot, lifeline);
    }
    if !detected.missing.is_empty() {
        text.push_str("not known\n");
        for missing in &detected.missing {
            let what = printable(&missing.what);
            let _ = writeln!(text, "  {} ({}): {what}", missing.id, missing.severity);
            let _ = writeln!(text, "    state it as spec.parameters.{} of a LifelineConfig", missing.parameter);
        }
        text.push('\n');
    }
    if !detected.switched_off.is_empty() {
        text.push_str("switched off\n");
        for off in &detected.switched_off {
            let _ = writeln!(text, "  {}: {}", off.id, printable(&off.reason));
        }
        text.push('\n');
    }
    let (found, missing) = (detected.lifelines.len(), detected.missing.len());
    let _ = writeln!(text, "{found} lifelines, {missing} facts not known");
    text
}

fn one(text: &mut String, snapshot: &Snapshot, lifeline: &Lifeline) {
    let _ = writeln!(text, "{} ({})", lifeline.id, lifeline.severity);
    for Flow { from, to, traffic } in &lifeline.flows {
        let (from, to) = (party(snapshot, from), party(snapshot, to));
        let traffic: Vec<String> = traffic.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "  {from} -> {to}: {}", traffic.join(", "));
    }
    for origin in &lifeline.origins {
        let _ = match &origin.object {
            Some(key) => writeln!(text, "  told by {} {}", printable(&key.to_string()), printable(&origin.field)),
            None => writeln!(text, "  told by {}", printable(&origin.field)),
        };
    }
    let _ = writeln!(text, "  without it: {}", printable(&lifeline.breaks));
    if !lifeline.documented.is_empty() {
        let _ = writeln!(text, "  see {}", lifeline.documented);
    }
    text.push('\n');
}

fn party(snapshot: &Snapshot, party: &Party) -> String {
    let all = snapshot.cluster.nodes.iter().filter(|node| node.cluster.is_empty()).count();
    match party {
        Party::Itself => "itself".to_owned(),
        Party::Loopback => "itself, over loopback".to_owned(),
        Party::Nodes(nodes) if nodes.len() == all => "every node".to_owned(),
        Party::Nodes(nodes) => some(nodes.iter().map(|name| printable(name))),
        Party::Addresses { name, nets } => {
            format!("{} ({})", printable(name), some(nets.iter().map(ToString::to_string)))
        }
        Party::OwnPods(nets) => format!("pods on its node ({})", some(nets.iter().map(ToString::to_string))),
    }
}

/// The first of some words, and how many there are besides.
fn some(words: impl ExactSizeIterator<Item = String>) -> String {
    let more = words.len().saturating_sub(MOST);
    let shown = words.take(MOST).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
