//! What the warm engines of both CNIs go by.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::packet::Held;

/// Policies that a line of engines may gather beyond twice what it had when it last forgot what is out of use.
pub(crate) const SLACK: usize = 1_000;
/// What was worked out of them, likewise.
pub(crate) const SLACK_ENTRIES: usize = 200_000;
/// Nodes of diagrams, likewise. A node takes some 60 bytes, and what is remembered about it as much again.
pub(crate) const SLACK_NODES: usize = 500_000;

/// What a change of one policy may lose.
pub(crate) enum Lost {
    /// Nothing, on no node.
    Nothing,
    /// No other packets than these.
    AtMost(Held),
    /// Only the state after the change tells.
    Unknown,
}

/// What a mutex guards, also after a panic: what is behind those of engines is only ever added to or forgotten, and known
/// by what it was made of.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
