//! The server before clients of all kinds, over real sockets.

mod client;
mod hostile;
mod reviews;
