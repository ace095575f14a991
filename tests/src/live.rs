//! The upstream engines, asked while a test runs.

pub mod cilium;
