//! What a Service is to replicas: one address, and behind it those that are ready.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to ports of this machine, in turn.
#[derive(Clone, Default)]
pub(crate) struct Front {
    ready: Arc<Mutex<Vec<u16>>>,
    next: Arc<AtomicUsize>,
}

impl Front {
    /// Takes connections on a port until the process ends.
    pub(crate) async fn serve(&self, port: u16) -> io::Result<()> {
        let (front, listener) = (self.clone(), TcpListener::bind(("127.0.0.1", port)).await?);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(front.clone().pass(near));
            }
        });
        Ok(())
    }

    /// These are ready, and no others.
    pub(crate) fn set(&self, ready: Vec<u16>) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    /// To the next that takes it.
    async fn pass(self, mut near: TcpStream) {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for turn in 0..ready.len() {
            let port = ready[(first + turn) % ready.len()];
            if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
                // That either end goes away is what this is for.
                let _ = copy_bidirectional(&mut near, &mut far).await;
                return;
            }
        }
    }
}
