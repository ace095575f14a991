//! Asks an upstream engine and this project's about random cases: `fuzz-verdicts calico|cilium [--cases N] [--seed S]`; or
//! about those of a file, as `verdicts` takes them: `fuzz-verdicts calico --replay FILE`.
//!
//! A case for Calico is a state of a cluster with 60 packets, put to Felix in nftables and in iptables mode.
//!
//! Says on standard error how far it is, and prints what the run came to and what it reached, also when SIGTERM ends it early.
//! Each difference is printed as a case that `verdicts` takes, with what each side says.
//!
//! Exit codes: 1 differences, 2 usage, 4 the engine cannot be had, or did not get to a case.

use std::process::ExitCode;
use std::thread::available_parallelism;

use tests::coverage::Run;
use tests::live::calico::{self, Filters};
use tests::live::cilium;
use tests::progress::Progress;

const USAGE: &str = "usage: fuzz-verdicts calico|cilium [--cases N] [--seed S]
       fuzz-verdicts calico --replay FILE";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (engine, options) = match args.split_first() {
        Some((engine, options)) if engine == "cilium" || engine == "calico" => (engine.as_str(), options),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let ("calico", [option, file]) = (engine, options)
        && option == "--replay"
    {
        return match std::fs::read_to_string(file) {
            Ok(lines) => end(calico::replay(&lines).map(Told::from)),
            Err(error) => {
                eprintln!("fuzz-verdicts: {file}: {error}");
                ExitCode::from(2)
            }
        };
    }
    let run = match Run::of(10_000).with_args(options) {
        Ok(run) => run,
        Err(reason) => {
            eprintln!("fuzz-verdicts: {reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let progress = match Progress::said() {
        Ok(progress) => progress,
        Err(error) => {
            eprintln!("fuzz-verdicts: signals: {error}");
            return ExitCode::from(4);
        }
    };
    let outcome = if engine == "calico" {
        calico::run(run, Filters::Both, &progress).map(Told::from)
    } else {
        let threads = available_parallelism().map_or(1, Into::into);
        cilium::run(run, threads, &progress).map(|report| Told {
            mismatches: report.totals.mismatches,
            is_whole: true,
            text: report.to_string(),
        })
    };
    println!("seed {}", run.seed);
    end(outcome)
}

/// What a run came to.
struct Told {
    mismatches: u64,
    is_whole: bool,
    text: String,
}

impl From<calico::Report> for Told {
    fn from(report: calico::Report) -> Self {
        let text = report.to_string();
        Self { mismatches: report.totals.mismatches, is_whole: report.outage.is_none(), text }
    }
}

fn end(outcome: tests::Result<Told>) -> ExitCode {
    match outcome {
        Ok(Told { mismatches, is_whole, text }) => {
            println!("{text}");
            match (mismatches, is_whole) {
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
