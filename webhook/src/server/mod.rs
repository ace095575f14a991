//! HTTP, over TLS for one caller that matters, the API server, on a network where others may be slow, broken or hostile.
//!
//! Each connection has its own task and a place in [`Connections`]. A silent handshake, a slow header and a slow body
//! each have a clock of their own, and a full table makes room by ending the connection that has been idle longest, of
//! those that never asked anything sensible first, so that nobody can keep the API server out by holding connections.

mod connections;
mod progress;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connections::{Connections, Refused};
use connections::{Place, Watched};
use progress::Counted;

/// Clocks and sizes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the whole TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request to the end of its header.
    pub header: Duration,
    /// Between two requests of a connection. Go's client keeps one for 90 s, and would meet a closed one if we did not
    /// keep it longer.
    pub idle: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Of them, from one address.
    pub per_source: usize,
    /// For requests under way when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(2),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(120),
            connections: 512,
            // An API server opens one for each review that it asks for at a time.
            per_source: 256,
            drain: Duration::from_secs(10),
        }
    }
}

/// What the server tells as it goes along.
pub trait Observe: Send + Sync + 'static {
    /// A connection was not taken.
    fn refused(&self, why: Refused);
    /// A connection ended before its handshake did.
    fn handshake_failed(&self);
    /// The number of connections changed.
    fn connections(&self, open: usize);
}

/// Serves until `stop`, then lets requests under way end; over TLS, or without where there is none.
///
/// From `leaving` on each answer is the last of its connection: whoever keeps one learns that it had better connect anew,
/// while it still can, instead of sending a request into a connection that is just being closed.
///
/// # Errors
///
/// The listener fails for good.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    limits: Limits,
    observe: Arc<dyn Observe>,
    leaving: CancellationToken,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let acceptor = tls.map(TlsAcceptor::from);
    let connections = Connections::new(limits.connections, limits.per_source);
    let tasks = TaskTracker::new();
    let ended = loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    // Out of descriptors: some are about to be given back.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => break Err(error),
            },
        };
        let place = match connections.take(peer.ip()) {
            Ok(place) => place,
            Err(why) => {
                observe.refused(why);
                continue;
            }
        };
        observe.connections(connections.len());
        let answering =
            Answering { peer, router: router.clone(), limits, leaving: leaving.clone(), stop: stop.clone() };
        let (acceptor, observe, connections) = (acceptor.clone(), Arc::clone(&observe), connections.clone());
        tasks.spawn(async move {
            match acceptor {
                None => answering.run(stream, &place).await,
                Some(acceptor) => match answering.handshake(stream, &acceptor, &place).await {
                    Some(Ok(stream)) => answering.run(stream, &place).await,
                    Some(Err(())) => observe.handshake_failed(),
                    None => {}
                },
            }
            drop(place);
            observe.connections(connections.len());
        });
    };
    drop(listener);
    tasks.close();
    if timeout(limits.drain, tasks.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections did not end in time");
    }
    ended
}

/// Whether accepting may work again in a moment.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
        || error.raw_os_error().is_some_and(|code| [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&code))
}

/// Linux numbers of "too many open files", of the process and of the machine, and of "no memory" for sockets and at all.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const ENOBUFS: i32 = 105;
const ENOMEM: i32 = 12;

/// One connection.
struct Answering {
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    leaving: CancellationToken,
    stop: CancellationToken,
}

impl Answering {
    /// The stream of a handshake; none if its place was given away, an error if it failed.
    async fn handshake(
        &self,
        stream: TcpStream,
        acceptor: &TlsAcceptor,
        place: &Place,
    ) -> Option<Result<TlsStream<TcpStream>, ()>> {
        let _ = stream.set_nodelay(true);
        let tls = tokio::select! {
            tls = timeout(self.limits.handshake, acceptor.accept(stream)) => tls,
            () = place.evicted() => return None,
        };
        let peer = self.peer;
        Some(match tls {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "no TLS handshake");
                Err(())
            }
            Err(_) => {
                tracing::debug!(%peer, "no TLS handshake in time");
                Err(())
            }
        })
    }

    /// Answers until the peer has enough, or has to go.
    async fn run<S>(self, stream: S, place: &Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, router, limits, leaving, stop } = self;
        let progress = place.progress();
        let service = Watched::new(TowerToHyperService::new(router), Arc::clone(&progress), leaving);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // Counts idle time too, so it cannot guard the header; the progress does.
            .header_read_timeout(limits.idle)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(Counted::new(stream, Arc::clone(&progress))), service);
        tokio::pin!(connection);
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    return;
                }
                () = place.evicted() => return,
                () = progress.late(limits.header) => {
                    tracing::debug!(%peer, "header came too slowly");
                    return;
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
