//! Flows that a cluster cannot live without, and what a change does to them.

pub mod catalogue;
pub mod config;
pub mod detect;
pub mod judge;
mod model;
pub mod repair;
mod traffic;

pub use model::{Flow, Lifeline, Origin, Party, Ports, Severity, Traffic};
pub use traffic::TrafficError;
