//! Free ports on the loopback address.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::Result;
use parts::Doing;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A TCP port of 127.0.0.1 that nobody listens on, and that this process is never given twice.
///
/// Another process may still take it before it is used, so whoever starts a server on it tries again with another one.
///
/// # Errors
/// When the loopback interface has no free port.
pub fn free() -> Result<u16> {
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .doing(|| "find a free port on 127.0.0.1".to_owned())?
            .port();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.get_or_insert_default().insert(port) {
            return Ok(port);
        }
    }
}
