//! Commands, run where the workspace is.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Success, or one sentence that says what is wrong.
pub(crate) type Outcome = Result<(), String>;

/// The workspace's root.
pub(crate) fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A command in the workspace's root, without standard input.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace()).stdin(Stdio::null());
    command
}

/// Runs a command, says which and how long it took, and fails as it does.
pub(crate) fn run(program: &str, args: &[&str]) -> Outcome {
    finish(&mut command(program, args))
}

/// As [`run`], of a command with settings of its own.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let line = line(command);
    eprintln!("xtask: {line}");
    let start = Instant::now();
    let status = command.status().map_err(|error| format!("could not run `{line}`: {error}"))?;
    eprintln!("xtask: {} s", start.elapsed().as_secs());
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed with {status}")) }
}

/// As [`run`], beside something that must not be slowed down: what it prints is shown at its end.
pub(crate) fn aside(program: &str, args: &[&str]) -> Outcome {
    let mut nice = command("nice", &["-n", "19", program]);
    nice.args(args);
    let (line, start) = (line(&nice), Instant::now());
    let output = nice.output().map_err(|error| format!("could not run `{line}`: {error}"))?;
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    eprintln!("xtask: {line}\n{out}{err}xtask: {} s", start.elapsed().as_secs());
    if output.status.success() { Ok(()) } else { Err(format!("`{line}` failed with {}", output.status)) }
}

/// Whether a command can be run at all and succeeds; what it prints is thrown away.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    command(program, args).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}
