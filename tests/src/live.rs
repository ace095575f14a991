//! The upstream engines, asked while a test runs.

pub mod calico;
pub mod cilium;
