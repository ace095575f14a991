//! Calico: its objects, and what Felix does with a host's packets.
//!
//! [`compile()`](compile::compile) turns a snapshot into a [`State`](state::State); [`trace()`](trace::trace) walks one
//! packet through it, and [`evaluate()`](evaluate::evaluate) says exactly which packets pass.

mod address;
pub mod api;
pub mod compile;
pub mod endpoint;
pub mod engine;
pub mod evaluate;
pub mod question;
pub mod selector;
pub mod settings;
pub mod state;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod version;
