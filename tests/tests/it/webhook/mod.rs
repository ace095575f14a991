//! The webhook before a real API server, with kubectl as the client.

mod fixes;
mod lockouts;
mod presets;
mod rights;
mod same;
mod spans;
mod ways;

/// What a test comes to.
type Test = Result<(), Box<dyn std::error::Error>>;
