//! Which changes of one policy are judged at a glance, and which are not.

mod calico;
mod cilium;
mod prefixes;
