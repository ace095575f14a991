//! How far a connection is: between requests, in a header, or being answered.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests, since then.
    Idle(Instant),
    /// The header of a request began to arrive then.
    Header(Instant),
    /// A request is being answered.
    Busy,
}

/// The phase of one connection, shared by its parts.
#[derive(Debug)]
pub(super) struct Progress {
    phase: Mutex<Phase>,
    /// Whether a request was answered with success.
    served: AtomicBool,
    changed: Notify,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: Mutex::new(Phase::Idle(Instant::now())),
            served: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.changed.notify_one();
    }

    /// A request was answered.
    pub(super) fn answered(&self, with_success: bool) {
        self.served.fetch_or(with_success, Ordering::Relaxed);
        self.set(Phase::Idle(Instant::now()));
    }

    /// Whether a request was ever answered with success.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Bytes have come.
    fn arrived(&self) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Idle(_) = *phase {
            *phase = Phase::Header(Instant::now());
            self.changed.notify_one();
        }
    }

    /// Waits until a header has been arriving for longer than it may.
    pub(super) async fn late(&self, header: Duration) {
        loop {
            match self.phase() {
                Phase::Header(since) => tokio::select! {
                    () = sleep_until(since + header) => {
                        if self.phase() == Phase::Header(since) {
                            return;
                        }
                    }
                    () = self.changed.notified() => {}
                },
                Phase::Idle(_) | Phase::Busy => self.changed.notified().await,
            }
        }
    }
}

/// A stream that tells when bytes arrive.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    progress: Arc<Progress>,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, progress: Arc<Progress>) -> Self {
        Self { stream, progress }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.progress.arrived();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
