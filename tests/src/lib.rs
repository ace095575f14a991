//! The house that Lifeline's whole-system tests live in: a real API server, the engines and validators of Calico and
//! Cilium, and the means to start, ask and end them.
//!
//! Every part is built from its own Go module under `tests/upstream/` ([`parts`]) and runs on loopback addresses,
//! without root and without a container. What a test starts ends with the test: in `Drop`, and when the test process
//! itself dies without a word.
//!
//! A part that cannot be had fails the test that wants it, with one sentence that says why. Only `LIFELINE_OFFLINE=1`
//! leaves such tests out, and each of them says so ([`offline`]).
#![deny(missing_docs)]

pub mod api;
pub mod calico_apiserver;
pub mod chart;
pub mod check;
pub mod cluster;
pub mod coverage;
pub mod felix;
pub mod guarded;
pub mod kubectl;
pub mod line_server;
pub mod live;
pub mod pki;
pub mod ports;
pub mod progress;
pub mod random;
pub mod scratch;
pub mod server;
pub mod shrink;
pub mod variants;
pub mod verdicts;

pub use parts::{Error, Result};

use std::io::Write;

/// Whether tests that need an upstream part are to be left out, because `LIFELINE_OFFLINE` is `1`.
///
/// Says so on standard error, past the test harness, which would keep it to itself. Such a test begins with
/// `if tests::offline() { return; }`.
#[must_use]
pub fn offline() -> bool {
    let offline = std::env::var_os("LIFELINE_OFFLINE").is_some_and(|value| value == "1");
    if offline {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // A closed standard error is no reason to fail.
        let _ = writeln!(std::io::stderr(), "{test}: left out, because LIFELINE_OFFLINE=1");
    }
    offline
}
