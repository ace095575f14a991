//! Facts about Cilium in the format of cases: what its own test tables state, and what once was a mistake here.

use serde::Deserialize;
use serde_json::Value;

use super::Outcome;

const FILES: [&str; 4] = [
    include_str!("../../../data/cilium/regressions.jsonl"),
    include_str!("../../../data/cilium/mapstate.jsonl"),
    include_str!("../../../data/cilium/deny.jsonl"),
    include_str!("../../../data/cilium/rules.jsonl"),
];

/// One fact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Where upstream says so.
    pub source: String,
    /// The case; its id is the fact in words.
    pub case: Value,
    /// What becomes of it.
    pub verdict: Outcome,
}

/// All of them.
///
/// # Errors
///
/// A line is none.
pub fn facts() -> serde_json::Result<Vec<Fact>> {
    FILES.iter().flat_map(|file| file.lines()).map(serde_json::from_str).collect()
}
