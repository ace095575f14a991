//! Cilium: the host firewall and its policies.

pub mod api;
pub mod label_filter;
