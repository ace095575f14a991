//! What a CNI does with a host's packets.
//!
//! A pure library: no I/O, no async, no Kubernetes client. It starts with the objects that Calico and Cilium read; the
//! two CNI modules have the same shape, so that who knows one knows the other.
#![deny(missing_docs)]

pub mod calico;
pub mod cilium;
pub mod net;
pub mod object;
pub mod packet;
pub mod snapshot;
