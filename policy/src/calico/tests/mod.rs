//! Tests of the engine as a whole.

mod bpf;
mod endpoints;
mod engine;
mod invalid;
mod lab;
mod laws;
mod overlay;
mod programs;
mod rules;
mod services;
mod tiers;
