//! Recorded cases of the upstream engines: reading them, and answering them.

pub mod calico;
