//! Flows that a cluster cannot live without, and what a change does to them.

pub mod judge;
mod model;
pub mod repair;

pub use model::{Flow, Lifeline, Origin, Party, Ports, Severity, Traffic};
