//! Flows that a cluster cannot live without, and what a change does to them.

mod model;

pub use model::{Flow, Lifeline, Origin, Party, Ports, Severity, Traffic};
