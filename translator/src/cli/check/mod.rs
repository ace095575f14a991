//! `translate check`: what a change does to the flows that a cluster lives on, without a cluster.

mod json;
pub(super) mod read;
mod text;

use policy::calico::compile::Assumptions as CalicoAssumptions;
use policy::calico::settings::Dataplane as CalicoDataplane;
use policy::calico::version::Version;
use policy::lifeline::detect::detect;
use policy::lifeline::judge::{Assumptions, Judgement, Verdict, judge, judge_state};

use self::read::{Failure, Input};
use super::args::{CheckArgs, CheckOutput, Dataplane};
use super::{Exit, complain};

/// What was read, and what came of it; all that the outputs show.
struct Report {
    judgement: Judgement,
    input: Input,
}

pub(super) fn run(args: &CheckArgs) -> Exit {
    match report(args) {
        Ok(report) => {
            let exit = match report.judgement.verdict {
                Verdict::Safe => Exit::Clean,
                Verdict::Cuts | Verdict::CannotProve => Exit::Findings,
            };
            let printed = match args.output {
                CheckOutput::Text => text::print(&report),
                CheckOutput::Json => json::print(&report),
            };
            if printed == Exit::Clean { exit } else { printed }
        }
        Err(failures) => {
            for failure in failures {
                complain(&failure.to_string());
            }
            Exit::BadInput
        }
    }
}

fn report(args: &CheckArgs) -> Result<Report, Vec<Failure>> {
    let assumptions = assumptions(args).map_err(|failure| vec![failure])?;
    let config = args.config.as_deref().map(read::config).transpose()?.unwrap_or_default();
    let input = read::input(args)?;
    let lifelines = |snapshot: &policy::snapshot::Snapshot| detect(snapshot, &config);
    let judgement = if input.changes.is_empty() {
        judge_state(&input.snapshot, &lifelines, &assumptions)
    } else {
        let judged = judge(&input.snapshot, &input.changes, &lifelines, &assumptions);
        judged.map_err(|error| vec![Failure(error.to_string())])?
    };
    Ok(Report { judgement, input })
}

fn assumptions(args: &CheckArgs) -> Result<Assumptions, Failure> {
    let version = match args.calico_version.as_deref() {
        None => None,
        Some(text) => match text.parse::<Version>() {
            Ok(version) => Some(version),
            Err(error) => return Err(Failure(format!("--calico-version {text}: {error}"))),
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
