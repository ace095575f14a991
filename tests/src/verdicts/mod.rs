//! Recorded cases and what our engines say about them: JSON lines in, JSON lines out, in the format of the recordings
//! of the upstream engines.

pub mod calico;
pub mod cilium;

/// Why there is no answer to a line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is not a case.
    #[error("{0}")]
    Case(String),
    /// `evaluate` and `trace` differ, which is a defect of this project.
    #[error("evaluate and trace differ: {0}")]
    Differ(String),
}
