//! The command `translate`.

use std::process::ExitCode;

use translator::cli::{Exit, run};

fn main() -> ExitCode {
    // A panic is a defect of ours; say so with the exit status that means it, and keep standard output empty.
    let result = std::panic::catch_unwind(|| run(std::env::args_os()));
    result
        .unwrap_or_else(|_| {
            eprintln!("error: internal error; please report it with the command line and the matrix");
            Exit::Internal
        })
        .into()
}
