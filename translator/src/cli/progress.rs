//! What takes long, on a terminal and nowhere else.

use std::io::{IsTerminal as _, Write as _};

/// A line on standard error that says what is being done, while it is. Where standard error is no terminal, nothing is
/// written.
pub(super) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Shows another line in the place of the one before.
    pub(super) fn show(&self, what: &str) {
        if self.terminal {
            // Back to the beginning of the line, and clear it. When nobody can read it, nothing is lost.
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K{what} ...");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}
