//! The admission server: refuses, at the API server's door, policy changes that would cut the cluster off.

pub mod args;
pub mod certificates;
pub mod cluster;
pub mod command;
pub mod health;
mod logs;
pub mod metrics;
pub mod offline;
pub mod review;
pub mod serve;
pub mod server;
pub mod validate;
pub mod verdict;
