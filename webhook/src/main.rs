//! The command `webhook`.

use std::process::ExitCode;

fn main() -> ExitCode {
    webhook::command::run()
}
