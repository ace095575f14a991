//! Port matrix in, Calico and Cilium host policies out.
//!
//! The way of a matrix: [`matrix`] reads and expands it (parameters filled in, conditions decided), [`render`] turns the
//! expanded rows into policy objects in an order that is safe to apply, [`prove`] holds them to the rows, [`output`] writes
//! them. Everything that can go
//! wrong or be lost on the way is a [`finding`].
#![deny(missing_docs)]

pub mod cli;
pub mod finding;
#[cfg(feature = "live")]
pub mod live;
pub mod matrix;
pub mod output;
pub mod place;
pub mod presets;
pub mod prove;
pub mod render;
pub mod yaml;
