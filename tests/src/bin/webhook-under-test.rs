//! The command `webhook`, as a server that ends with the test that started it, and whose clock is as many seconds ahead as
//! `LIFELINE_CLOCK_AHEAD` says, or behind, below 0.

use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn main() -> ExitCode {
    if std::env::var_os("LIFELINE_DIE_WITH_STDIN").is_some() {
        std::thread::spawn(|| {
            // At the end of it nobody is left who could want anything.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
    }
    let ahead = std::env::var("LIFELINE_CLOCK_AHEAD").ok().and_then(|seconds| seconds.parse::<i64>().ok()).unwrap_or(0);
    let by = Duration::from_secs(ahead.unsigned_abs());
    webhook::command::run_by(Arc::new(move || {
        let now = SystemTime::now();
        if ahead < 0 { now - by } else { now + by }
    }))
}
