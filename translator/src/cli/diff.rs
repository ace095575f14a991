//! `translate diff`: which flows open and which close between two states, or two matrices.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use policy::lifeline::judge::reach::{Flows, Line, reach};
use policy::snapshot::Snapshot;

use super::args::{DiffArgs, TextOrJson};
use super::check::assumptions;
use super::check::read::{self, Failure};
use super::progress::Progress;
use super::{Exit, print, print_json};
use crate::finding::show::printable;
use crate::matrix;
use crate::prove::difference;

pub(super) fn run(args: &DiffArgs) -> Exit {
    let flows = match flows(args) {
        Ok(flows) => flows,
        Err(failures) => return read::refuse(&failures),
    };
    let printed = match args.output {
        TextOrJson::Text => print(&text(&flows)),
        TextOrJson::Json => print_json(&flows),
    };
    match printed {
        Exit::Clean if flows != Flows::default() => Exit::Findings,
        printed => printed,
    }
}

fn flows(args: &DiffArgs) -> Result<Flows, Vec<Failure>> {
    let progress = Progress::new();
    progress.show("reading");
    let matrices = [is_matrix(&args.old), is_matrix(&args.new)];
    let flows = match matrices {
        [true, true] => {
            let (old, _) = read::matrix(&args.old, &args.set, &args.addon)?;
            let (new, _) = read::matrix(&args.new, &args.set, &args.addon)?;
            progress.show("comparing");
            difference(&old, &new)
        }
        [false, false] => {
            let assumptions = assumptions(&args.facts).map_err(|failure| vec![failure])?;
            let state = |path: &Path| -> Result<Snapshot, Vec<Failure>> {
                read::snapshot(&[PathBuf::from(path)], args.recursive, &mut BTreeMap::new())
            };
            let (old, new) = (state(&args.old)?, state(&args.new)?);
            progress.show("comparing");
            reach(&old, &new, &assumptions)
        }
        _ => {
            let message = "one of the two is a port matrix, and the other is not; give two states, or two matrices";
            return Err(vec![Failure::input(message.to_owned())]);
        }
    };
    flows.map_err(|error| vec![Failure::input(error.to_string())])
}

/// Whether a file is a port matrix. Whatever is wrong with it is for its reader to say.
fn is_matrix(path: &Path) -> bool {
    let text = path.is_file().then(|| std::fs::read_to_string(path).ok()).flatten().unwrap_or_default();
    text.lines().any(|line| {
        let value = line.strip_prefix("kind:").map(|rest| rest.split('#').next().unwrap_or_default());
        value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == matrix::KIND)
    })
}

fn text(flows: &Flows) -> String {
    let mut text = String::new();
    for (names, what) in [(&flows.joined, "is new, and not compared"), (&flows.left, "is gone, and not compared")] {
        for name in names {
            let _ = writeln!(text, "{} {what}", printable(name));
        }
    }
    let mut ends: Option<(&str, &str)> = None;
    for Line { source, destination, opens, traffic, from, to } in &flows.lines {
        if ends != Some((source, destination)) {
            ends = Some((source, destination));
            let _ = writeln!(text, "{} -> {}", printable(source), printable(destination));
        }
        let sign = if *opens { "+ opens " } else { "- closes" };
        let from = from.as_ref().map(|from| format!(" from {}", printable(from))).unwrap_or_default();
        let to = to.as_ref().map(|to| format!(" to {}", printable(to))).unwrap_or_default();
        let _ = writeln!(text, "  {sign} {traffic}{from}{to}");
    }
    let opens = flows.lines.iter().filter(|line| line.opens).count();
    let closes = flows.lines.len() - opens;
    let _ = match (opens, closes) {
        (0, 0) => writeln!(text, "no flow opens or closes"),
        _ => writeln!(text, "lines that open: {opens}, that close: {closes}"),
    };
    text
}
