//! The chores themselves.

use std::process::Command;
use std::thread;

use crate::run::{Outcome, aside, command, finish, run};
use crate::{sizes, tools};

/// Runs every test, after building what they start.
pub(crate) fn test(offline: bool, cargo_args: &[&str]) -> Outcome {
    tools::require_system_tools()?;
    if !offline {
        upstream()?;
    }
    finish(&mut cargo_test(offline, cargo_args))
}

fn cargo_test(offline: bool, cargo_args: &[&str]) -> Command {
    let mut tests = command("cargo", &["test", "--workspace", "--no-fail-fast"]);
    tests.args(cargo_args);
    // Most of a test of the whole system is waiting.
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        tests.env("RUST_TEST_THREADS", (2 * cores).to_string());
    }
    if offline {
        tests.env("LIFELINE_OFFLINE", "1");
    }
    tests
}

/// Builds the upstream parts that are not built yet, before the tests want them: it takes minutes the first time.
pub(crate) fn upstream() -> Outcome {
    tools::require_system_tools()?;
    run("cargo", &["run", "--quiet", "--package", "tests", "--bin", "upstream"])
}

/// Makes the templates of the Helm chart from the manifests. A test holds them to be up to date.
pub(crate) fn chart() -> Outcome {
    run("cargo", &["run", "--quiet", "--package", "tests", "--bin", "chart"])
}

/// Runs every check, each of them even when one before has failed.
pub(crate) fn ci() -> Outcome {
    let format = run("cargo", &["fmt", "--all", "--check"]);
    let sizes = sizes::check();
    // What the tests start is built before anything else has the processors.
    let built = upstream().and_then(|()| finish(&mut cargo_test(false, &["--no-run"])));
    // The rest takes what the tests leave of the processors, which is little on two of them and more on more.
    let (tests, rest) = thread::scope(|scope| {
        // Tools first: lints want the lock of the build folder, which the tests take for a moment.
        let rest = scope.spawn(|| [licences(), lints(), go_sources()]);
        let tests = built.and_then(|()| finish(&mut cargo_test(false, &[])));
        (tests, rest.join().unwrap_or_else(|_| [Err("a check panicked".to_owned()), Ok(()), Ok(())]))
    });
    let outcomes = [format, sizes, tests].into_iter().chain(rest);
    let failures: Vec<_> = outcomes.filter_map(Outcome::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\nxtask: ")) }
}

fn lints() -> Outcome {
    aside("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// Without advisories, whose database is fetched anew each time: an old tree must not fail on a new day.
fn licences() -> Outcome {
    let deny = tools::cargo_deny()?;
    let deny = deny.to_string_lossy();
    aside(&deny, &["--all-features", "check", "licenses", "bans", "sources"])
}

fn go_sources() -> Outcome {
    aside("cargo", &["run", "--quiet", "--package", "tests", "--bin", "upstream", "--", "vet"])
}
