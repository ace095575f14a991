//! Cilium: the host firewall and its policies.

pub mod api;
pub mod compile;
pub mod engine;
pub mod evaluate;
pub mod exempt;
pub mod identity;
pub mod label;
pub mod label_filter;
pub mod question;
pub mod selector;
pub mod settings;
pub mod trace;
pub mod version;
