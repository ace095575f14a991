//! Serving certificates of a webhook that the API server must never have to doubt.
//!
//! [`Authorities`] is the state that all replicas share: the authority that signs now, the one that will, and those that
//! once did. [`Authorities::turn`] moves it on, one safe step at a time; its [`bundle`](Authorities::bundle) is what the
//! API server trusts. From it each replica issues a [`Leaf`] of its own, which it keeps in memory and hands to a
//! [`Resolver`], where it replaces the one before without a lost connection.
//!
//! Nothing here reads a clock, a file or a cluster: the caller does, and passes in what it found.
//!
//! ```
//! use std::time::SystemTime;
//! use certs::{Authorities, Lifetimes, Resolver};
//!
//! let now = SystemTime::now();
//! let authorities = Authorities::new(now, Lifetimes::default())?;
//! let leaf = authorities.issue(&["lifeline.lifeline-system.svc".into()], now)?;
//! let resolver = Resolver::new(leaf.certified_key()?);
//! # let _ = resolver;
//! # Ok::<(), certs::Error>(())
//! ```

mod authority;
mod client;
mod error;
mod pair;
mod resolver;
mod rotation;
mod secret;
mod validity;

pub use authority::{Authority, Leaf};
pub use client::{Clients, Names, client_verifier};
pub use error::Error;
pub use pair::certified_key;
pub use resolver::Resolver;
pub use rotation::{Authorities, Lifetimes};
pub use secret::{Entries, KEYS};
pub use validity::Validity;
