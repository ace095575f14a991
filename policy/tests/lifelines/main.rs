//! Lifelines of recorded clusters, held against tables written by hand from what the distributions document.

mod clusters;
mod document;
mod edges;
mod rows;
mod stated;
