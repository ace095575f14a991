//! Judging changes, on a small cluster.

mod cases;
mod flows;
mod lab;
mod random;
mod warm;
