//! The command and what it is made of, one module for each part. One binary: it is linked once.

mod bad_inputs;
mod check;
mod check_outputs;
mod command;
mod common;
mod config_schema;
mod expansions;
mod fix;
mod flows;
mod lifelines;
mod matrix;
mod proof;
mod schema;
