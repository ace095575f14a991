//! What a CNI does with a host's packets.
//!
//! A pure library: no I/O, no async, no Kubernetes client. A [`snapshot`] holds the facts; each CNI compiles it to a state,
//! which `trace` asks about one packet and `evaluate` about all of them ([`packet`]). The two CNI modules have the same
//! shape, so that who knows one knows the other.
#![deny(missing_docs)]

pub mod calico;
pub mod cilium;
pub mod lifeline;
pub mod net;
pub mod object;
pub mod packet;
pub mod snapshot;
mod warm;
