//! Project chores, run as `cargo xtask <chore>`. Nothing here reads standard input.

mod chores;
mod run;
mod sizes;
mod tools;

use std::env;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask <chore>

  test [--offline] [-- ARGS]   every test; ARGS go to cargo test
                               --offline leaves out what needs the API server and the CNI engines
  upstream                     only build the API server and the CNI engines, and say where they are
  chart                        make the templates of the Helm chart from the manifests
  vet                          gofmt and go vet over our own Go sources
  ci                           test, then format, lints, licences, Go sources and file sizes
";

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["test", rest @ ..] => {
            let (offline, rest) = match rest {
                ["--offline", rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            match rest {
                [] => chores::test(offline, &[]),
                ["--", cargo_args @ ..] => chores::test(offline, cargo_args),
                _ => return usage(),
            }
        }
        ["upstream"] => chores::upstream(),
        ["chart"] => chores::chart(),
        ["vet"] => chores::vet(),
        ["ci"] => chores::ci(),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}
