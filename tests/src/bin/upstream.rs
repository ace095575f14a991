//! Builds every upstream part that is not built yet and prints where it is.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tests::upstream::build_all() {
        Ok(directories) => {
            for directory in directories {
                println!("{}", directory.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
