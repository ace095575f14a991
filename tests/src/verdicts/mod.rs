//! Recorded cases and what our engines say about them: JSON lines in, JSON lines out, in the format of the recordings
//! of the upstream engines.

pub mod cilium;
