//! Cilium: what its traps do, what its tables say, and that the two ways of judging agree.

mod agree;
mod cluster;
mod datapath;
mod engine;
mod glance;
mod identities;
mod objects;
mod open;
mod tables;
mod traps;
