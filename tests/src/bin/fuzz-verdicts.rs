//! Asks an upstream engine and this project's about random cases: `fuzz-verdicts cilium [--cases N] [--seed S]`.
//!
//! Prints what the run came to and what it reached. Each difference is printed as a case that `verdicts` takes, with what each
//! side says. Exit codes: 1 differences, 2 usage, 4 the engine cannot be had.

use std::process::ExitCode;
use std::thread::available_parallelism;

use tests::coverage::Run;
use tests::live::cilium;

const USAGE: &str = "usage: fuzz-verdicts cilium [--cases N] [--seed S]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (engine, options) = match args.split_first() {
        Some((engine, options)) if engine == "cilium" => (cilium::run, options),
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
    match engine(run, available_parallelism().map_or(1, Into::into)) {
        Ok(report) => {
            println!("seed {}\n{report}", run.seed);
            if report.totals.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("fuzz-verdicts: {error}");
            ExitCode::from(4)
        }
    }
}
