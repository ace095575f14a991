//! Certificates, told by implementations that did not make them.

mod facts;
mod peer;
mod rotation;
