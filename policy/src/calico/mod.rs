//! Calico: its objects, and what Felix does with a host's packets.
//!
//! [`compile`] turns a snapshot into a [`state::State`]; [`trace`] walks one packet through it.

mod address;
pub mod api;
pub mod compile;
pub mod endpoint;
pub mod evaluate;
pub mod question;
pub mod selector;
pub mod settings;
pub mod state;
pub mod trace;
pub mod version;
