//! The command `webhook`, as a server that ends with the test that started it.

use std::io::Read as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os("LIFELINE_DIE_WITH_STDIN").is_some() {
        std::thread::spawn(|| {
            // At the end of it nobody is left who could want anything.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
    }
    webhook::command::run()
}
