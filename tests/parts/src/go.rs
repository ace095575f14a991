//! The Go tool.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::{Doing, Error, Result};

/// The least version that every module here builds with; the newest of them asks for it.
const LEAST: (u32, u32) = (1, 26);

/// For the compiler, whatever is built: nobody debugs these programs, and what a debugger reads is a seventh of the work.
pub(super) const COMPILER_FLAGS: &str = "-gcflags=all=-dwarf=false";

/// Builds every command of a module into a directory.
pub(super) fn build(module: &Path, linker_flags: &str, into: &Path) -> Result<()> {
    // The trailing slash makes Go take it for a directory even for a single command.
    let into = format!("{}/", into.display());
    run(module, &["build", "-trimpath", COMPILER_FLAGS, "-ldflags", linker_flags, "-o", &into, "./..."])?;
    Ok(())
}

/// Fails when a package does something suspicious.
pub(super) fn vet(module: &Path, package: &str) -> Result<()> {
    // With the flags of the build, because otherwise Go compiles everything once more for it.
    run(module, &["vet", "-trimpath", COMPILER_FLAGS, package])?;
    Ok(())
}

/// Fails when a Go file under a folder is laid out otherwise than gofmt would.
pub(super) fn formatted(folder: &Path) -> Result<()> {
    let unformatted = tool("gofmt", Some(folder), &["-l", "."])?;
    if unformatted.is_empty() { Ok(()) } else { Err(Error::Answer { part: "gofmt -l", answer: unformatted }) }
}

/// Runs the Go tool in a module and returns what it printed.
pub(super) fn run(module: &Path, args: &[&str]) -> Result<String> {
    version()?;
    tool("go", Some(module), args)
}

/// The version of Go, for example `go1.26.8`.
pub(super) fn version() -> Result<&'static str> {
    static VERSION: OnceLock<String> = OnceLock::new();
    if let Some(version) = VERSION.get() {
        return Ok(version);
    }
    let version = tool("go", None, &["env", "GOVERSION"])?.trim().to_owned();
    if !is_enough(&version) {
        return Err(missing(&format!("the `go` on PATH is {version}")));
    }
    Ok(VERSION.get_or_init(|| version))
}

fn tool(program: &str, folder: Option<&Path>, args: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(args)
        // Built alike everywhere: without a C compiler, outside any workspace, from exactly what go.sum pins.
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        // Never fetch another Go in silence.
        .env("GOTOOLCHAIN", "local");
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(missing(&format!("there is no `{program}` on PATH")));
        }
        other => other.doing(|| format!("run {program}"))?,
    };
    if !output.status.success() {
        let folder = folder.unwrap_or_else(|| Path::new("."));
        return Err(Error::Failed {
            command: format!("cd {} && {program} {}", folder.display(), args.join(" ")),
            status: output.status,
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing(why: &str) -> Error {
    let (major, minor) = LEAST;
    Error::Missing {
        what: format!("Go {major}.{minor} or newer, from which the API server and the CNI engines are built,"),
        why: format!("{why}; install it, or leave those tests out with `cargo xtask test --offline`"),
    }
}

fn is_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("go").split(['.', 'r', 'b', '-', ' ']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        // A development version does not say; let the build itself decide.
        return true;
    };
    (major, minor) >= LEAST
}

#[cfg(test)]
mod tests {
    use super::is_enough;

    #[test]
    fn versions_are_compared_as_numbers() {
        for enough in ["go1.26", "go1.26.8", "go1.26rc1", "go1.100", "go2.0", "devel +abc"] {
            assert!(is_enough(enough), "{enough}");
        }
        for too_old in ["go1.25.9", "go1.9", "go1.25rc2"] {
            assert!(!is_enough(too_old), "{too_old}");
        }
    }
}
