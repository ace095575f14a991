//! The cluster at hand: what is known of it, and how changes to it are judged.

pub mod discover;
pub mod ledger;
pub mod live;
pub mod object;
pub mod store;
pub mod table;
pub mod watch;
