//! Asks an upstream engine and this project's about random cases: `fuzz-verdicts calico|cilium [--cases N] [--seed S]`.
//!
//! A case for Calico is a state of a cluster with 60 packets, put to Felix in nftables and in iptables mode.
//!
//! Prints what the run came to and what it reached. Each difference is printed as a case that `verdicts` takes, with what each
//! side says. Exit codes: 1 differences, 2 usage, 4 the engine cannot be had, or did not get to a case.

use std::process::ExitCode;
use std::thread::available_parallelism;

use tests::coverage::Run;
use tests::live::calico::{self, Filters};
use tests::live::cilium;

const USAGE: &str = "usage: fuzz-verdicts calico|cilium [--cases N] [--seed S]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (engine, options) = match args.split_first() {
        Some((engine, options)) if engine == "cilium" || engine == "calico" => (engine.as_str(), options),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let run = match Run::of(10_000).with_args(options) {
        Ok(run) => run,
        Err(reason) => {
            eprintln!("fuzz-verdicts: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let outcome = if engine == "calico" {
        calico::run(run, Filters::Both)
            .map(|report| (report.totals.mismatches, report.outage.is_none(), report.to_string()))
    } else {
        let threads = available_parallelism().map_or(1, Into::into);
        cilium::run(run, threads).map(|report| (report.totals.mismatches, true, report.to_string()))
    };
    match outcome {
        Ok((mismatches, whole, report)) => {
            println!("seed {}\n{report}", run.seed);
            match (mismatches, whole) {
                (0, true) => ExitCode::SUCCESS,
                (0, false) => ExitCode::from(4),
                _ => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("fuzz-verdicts: {error}");
            ExitCode::from(4)
        }
    }
}
