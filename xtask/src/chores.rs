//! The chores themselves.

use crate::run::{Outcome, command, finish, run};
use crate::{sizes, tools};

/// Runs every test, after building what they start.
pub(crate) fn test(offline: bool, cargo_args: &[&str]) -> Outcome {
    tools::require_system_tools()?;
    if !offline {
        upstream()?;
    }
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
    finish(&mut tests)
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
    let outcomes = [
        test(false, &[]),
        run("cargo", &["fmt", "--all", "--check"]),
        run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        licences(),
        run("cargo", &["run", "--quiet", "--package", "tests", "--bin", "upstream", "--", "vet"]),
        sizes::check(),
    ];
    let failures: Vec<_> = outcomes.into_iter().filter_map(Outcome::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\nxtask: ")) }
}

/// Without advisories, whose database is fetched anew each time: an old tree must not fail on a new day.
fn licences() -> Outcome {
    let deny = tools::cargo_deny()?;
    let deny = deny.to_string_lossy();
    run(&deny, &["--all-features", "check", "licenses", "bans", "sources"])
}
