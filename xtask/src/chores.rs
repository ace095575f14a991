//! The chores themselves.

use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::run::{Outcome, aside, command, finish, run};
use crate::{sizes, tools};

/// Runs every test, after building what they start.
pub(crate) fn test(offline: bool, cargo_args: &[&str]) -> Outcome {
    tools::require_system_tools()?;
    if !offline {
        built(cargo_args)?;
    }
    finish(&mut cargo_test(offline, cargo_args))
}

/// Builds the upstream parts and the tests beside each other: rustc has long stretches that leave processors idle.
fn built(cargo_args: &[&str]) -> Outcome {
    let no_run = [&["--no-run"], cargo_args].concat();
    thread::scope(|scope| {
        let parts = scope.spawn(parts);
        let tests = finish(&mut cargo_test(false, &no_run));
        parts.join().unwrap_or_else(|_| Err("building the upstream parts panicked".to_owned())).and(tests)
    })
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

/// Builds the upstream parts that are not built yet: it takes minutes the first time.
pub(crate) fn upstream() -> Outcome {
    tools::require_system_tools()?;
    parts()
}

fn parts() -> Outcome {
    let start = Instant::now();
    let folders = parts::build_all().map_err(|error| error.to_string())?;
    folders.iter().for_each(|folder| eprintln!("xtask: {}", folder.display()));
    eprintln!("xtask: {} s for the upstream parts", start.elapsed().as_secs());
    Ok(())
}

/// Checks our own Go sources.
pub(crate) fn vet() -> Outcome {
    parts::vet().map_err(|error| error.to_string())
}

/// Makes the templates of the Helm chart from the manifests. A test holds them to be up to date.
pub(crate) fn chart() -> Outcome {
    run("cargo", &["run", "--quiet", "--package", "tests", "--bin", "chart"])
}

/// Runs every check, each of them even when one before has failed.
pub(crate) fn ci() -> Outcome {
    let format = run("cargo", &["fmt", "--all", "--check"]);
    let sizes = sizes::check();
    let built = tools::require_system_tools().and_then(|()| built(&[]));
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
    let own = std::env::current_exe().map_err(|error| format!("where is xtask? {error}"))?;
    aside(&own.to_string_lossy(), &["vet"])
}
