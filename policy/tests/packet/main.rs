//! Packet sets held against their laws, a brute-force model, and a library of binary decision diagrams.

mod fields;
mod laws;
mod oracle;
mod rule;
