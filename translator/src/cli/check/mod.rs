//! `translate check`: what a change does to the flows that a cluster lives on, without a cluster.

mod apply;
mod fix;
mod github;
mod json;
mod junit;
mod problems;
pub(super) mod read;
mod sarif;
mod text;

use std::path::Path;

use policy::calico::compile::Assumptions as CalicoAssumptions;
use policy::calico::settings::Dataplane as CalicoDataplane;
use policy::calico::version::Version;
use policy::lifeline::detect::{Detected, detect};
use policy::lifeline::judge::{Assumptions, Change, Judgement, Verdict, decide, judge, judge_state};
use policy::snapshot::Snapshot;

use self::read::{Failure, Input};
use super::args::{CheckArgs, CheckOutput, Dataplane, FactArgs};
use super::progress::Progress;
use super::{Exit, complain, usage};
use crate::output;

/// The JSON Schema (2020-12) of what `-o json` prints.
pub(super) const SCHEMA: &str = include_str!("../../../schema/check.json");

/// What was read, and what came of it; all that the outputs show.
struct Report {
    judgement: Judgement,
    input: Input,
}

pub(super) fn run(args: &CheckArgs) -> Exit {
    if args.fix == Some(None) && args.output != CheckOutput::Text {
        return usage("--fix writes to standard output, where -o writes too; name a file with --fix=PATH");
    }
    match report(args) {
        Ok(Done { report, detected, repaired }) => {
            let safe = report.judgement.verdict == Verdict::Safe;
            let printed = match (args.output, &args.fix) {
                (CheckOutput::Text, Some(None)) => text::explain(&report),
                (CheckOutput::Text, _) => text::print(&report),
                (CheckOutput::Json, _) => json::print(&report),
                (CheckOutput::Sarif, _) => sarif::print(&report),
                (CheckOutput::Junit, _) => junit::print(&report, &detected),
                (CheckOutput::Github, _) => github::print(&report),
            };
            match (printed, repaired, &args.fix) {
                (Exit::Clean, Some(repaired), Some(path)) => write(repaired, path.as_deref()),
                (Exit::Clean, ..) if !safe => Exit::Findings,
                (printed, ..) => printed,
            }
        }
        Err(failures) => read::refuse(&failures),
    }
}

/// Writes repaired manifests, all of them or nothing.
fn write(repaired: Result<String, String>, path: Option<&Path>) -> Exit {
    let text = match repaired {
        Ok(text) => text,
        Err(why) => {
            complain(&format!("--fix: nothing is written: {why}"));
            return Exit::Findings;
        }
    };
    let Some(path) = path else { return super::print(&text) };
    match output::file(path, &text) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            complain(&format!("cannot write {}: {error}", path.display()));
            Exit::Io
        }
    }
}

/// What came of the command line.
struct Done {
    report: Report,
    /// The lifelines that the state has without the change.
    detected: Detected,
    /// The change with its repair, where that is asked for.
    repaired: Option<Result<String, String>>,
}

fn report(args: &CheckArgs) -> Result<Done, Vec<Failure>> {
    let assumptions = assumptions(&args.facts).map_err(|failure| vec![failure])?;
    let config = args.state.config.as_deref().map(read::config).transpose()?.unwrap_or_default();
    let progress = Progress::new();
    progress.show("reading");
    let input = read::input(args)?;
    progress.show("judging");
    let lifelines = |snapshot: &Snapshot| detect(snapshot, &config);
    let (changes, taken) = apply::applied(&input.snapshot, input.changes, args.merge);
    let input = Input { changes, ..input };
    let mut judgement = if input.changes.is_empty() {
        judge_state(&input.snapshot, &lifelines, &assumptions)
    } else {
        let judged = judge(&input.snapshot, &input.changes, &lifelines, &assumptions);
        judged.map_err(|error| vec![Failure::input(error.to_string())])?
    };
    judgement.assumed.extend(taken);
    let report = Report { judgement, input };
    let again = |changes: &[Change]| {
        let (changes, _) = apply::applied(&report.input.snapshot, changes.to_vec(), args.merge);
        decide(&report.input.snapshot, &changes, &lifelines, &assumptions).map_err(|error| error.to_string())
    };
    let repaired = args.fix.as_ref().map(|_| fix::repaired(&report, again));
    let detected = lifelines(&report.input.snapshot);
    Ok(Done { report, detected, repaired })
}

/// What the command line states of the agents.
pub(super) fn assumptions(args: &FactArgs) -> Result<Assumptions, Failure> {
    let version = match args.calico_version.as_deref() {
        None => None,
        Some(text) => match text.parse::<Version>() {
            Ok(version) => Some(version),
            Err(error) => return Err(Failure::input(format!("--calico-version {text}: {error}"))),
        },
    };
    let dataplane = args.dataplane.map(|dataplane| match dataplane {
        Dataplane::Iptables => CalicoDataplane::Iptables,
        Dataplane::Nftables => CalicoDataplane::Nftables,
        Dataplane::Ebpf => CalicoDataplane::Bpf,
    });
    Ok(Assumptions {
        calico: CalicoAssumptions { version, dataplane, native: false },
        cilium_version: None,
        cilium_settings: args.cilium_option.iter().cloned().collect(),
    })
}
