//! Calico: host endpoints and the policies on them.

pub mod api;
