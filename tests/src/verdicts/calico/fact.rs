//! Facts about Calico: what its own test tables state.

use serde::Deserialize;
use serde_json::Value;

use super::Case;

const PROGRAMS: &str = include_str!("../../../data/calico/programs.jsonl");
const VALIDATOR: &str = include_str!("../../../data/calico/validator.jsonl");

/// What becomes of packets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Where upstream says so.
    pub source: String,
    /// The case; its id is the fact in words.
    pub case: Case,
    /// `accept` or `drop`, for each packet.
    pub verdicts: Vec<String>,
}

/// Whether Calico stores an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Whether it does.
    pub valid: bool,
    /// The object, of `projectcalico.org/v3`.
    pub object: Value,
}

/// What rules, tiers and sets let through.
///
/// # Errors
///
/// A line is no fact.
pub fn programs() -> serde_json::Result<Vec<Fact>> {
    PROGRAMS.lines().map(serde_json::from_str).collect()
}

/// Objects that are valid, and others.
///
/// # Errors
///
/// A line is no fact.
pub fn validity() -> serde_json::Result<Vec<Validity>> {
    VALIDATOR.lines().map(serde_json::from_str).collect()
}
