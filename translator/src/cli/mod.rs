//! The command `translate`.

mod args;
mod check;
mod diff;
mod input;
mod lifelines;
#[cfg(feature = "live")]
mod live;
mod other;
mod progress;
mod report;
mod trace;
mod translate;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _};

use self::args::{Cli, Command};

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, nothing to report.
    Clean = 0,
    /// Findings: a row that cannot be expressed, or with `--strict` any loss; a change that cuts, or may cut, a
    /// lifeline; a packet that is dropped; two states that differ.
    Findings = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The input cannot be read or is invalid.
    BadInput = 3,
    /// A file or stream could not be written, or a cluster not be read.
    Io = 4,
    /// A defect of this program.
    Internal = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the command.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return clap_exit(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return clap_exit(&error.format(&mut command())),
    };
    cli.color.write_global();
    match cli.command {
        None => translate::run(&cli.translate),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Trace(args)) => trace::run(&args),
        Some(Command::Diff(args)) => diff::run(&args),
        #[cfg(feature = "live")]
        Some(Command::Snapshot(args)) => live::run(&args),
        Some(Command::Lifelines(args)) => lifelines::run(&args),
        Some(Command::Presets { command }) => other::presets(command),
        Some(Command::Schema { of }) => other::schema(of),
        Some(Command::Explain { code }) => other::explain(code.as_deref()),
        Some(Command::Completion { shell }) => other::completion(shell),
        Some(Command::Man) => other::man(),
        Some(Command::Version { output }) => other::version(&output),
    }
}

/// The one definition behind help, man page and completion.
pub fn command() -> clap::Command {
    match std::env::args_os().next() {
        Some(name) if is_plugin(Path::new(&name)) => Cli::command().bin_name("kubectl lifeline"),
        _ => Cli::command(),
    }
}

/// Whether the command runs as a plugin of kubectl, which looks for programs by this name.
fn is_plugin(program: &Path) -> bool {
    program.file_stem().is_some_and(|name| name == "kubectl-lifeline")
}

fn clap_exit(error: &clap::Error) -> Exit {
    // Help and version are no errors; clap prints each to its own stream.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Clean }
}

/// Reports a wrong command line the way clap does.
fn usage(message: &str) -> Exit {
    clap_exit(&command().error(clap::error::ErrorKind::ArgumentConflict, message))
}

/// Writes to stdout. A reader that went away is its own business, not an error.
fn print(text: &str) -> Exit {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Clean,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            Exit::Io
        }
    }
}

/// Writes a value to stdout as JSON, keys in the order of their names.
fn print_json(value: &impl serde::Serialize) -> Exit {
    match serde_json::to_value(value) {
        Ok(value) => print(&format!("{value:#}\n")),
        Err(error) => {
            complain(&format!("internal error: the output cannot be written as JSON: {error}"));
            Exit::Internal
        }
    }
}

/// One line on stderr; when even that fails there is nobody left to tell.
fn complain(message: &str) {
    let _ = writeln!(anstream::stderr().lock(), "error: {message}");
}
