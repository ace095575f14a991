//! Judging changes, on a small cluster.

mod cases;
mod lab;
mod random;
mod warm;
