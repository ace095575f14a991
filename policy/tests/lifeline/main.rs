//! Judging changes, on a small cluster.

mod cases;
mod flows;
mod glance;
mod lab;
mod random;
mod warm;
