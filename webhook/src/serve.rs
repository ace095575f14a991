//! The three ports, from start to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::{self, Readiness};
use crate::metrics::Metrics;
use crate::server::{Limits, serve};
use crate::validate::{self, Judge};

/// The part of the readiness that says whether this is about to end.
const STOPPING: &str = "stopping";

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Reviews.
    pub reviews: SocketAddr,
    /// `/livez` and `/readyz`.
    pub health: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
}

/// Listeners on all of them, open before anything else is done: a taken port is found out at once.
#[derive(Debug)]
pub struct Listeners {
    reviews: TcpListener,
    health: TcpListener,
    metrics: TcpListener,
}

impl Listeners {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// One cannot be opened; the message names it.
    pub async fn open(addresses: Addresses) -> Result<Self, String> {
        let open = async |address: SocketAddr| {
            TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))
        };
        Ok(Self {
            reviews: open(addresses.reviews).await?,
            health: open(addresses.health).await?,
            metrics: open(addresses.metrics).await?,
        })
    }

    /// The addresses that they got, where port 0 left it to the system.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            reviews: self.reviews.local_addr()?,
            health: self.health.local_addr()?,
            metrics: self.metrics.local_addr()?,
        })
    }
}

/// What is served.
pub struct Served {
    /// Decides about changes.
    pub judge: Arc<dyn Judge>,
    /// The certificate that is presented.
    pub certificate: Arc<dyn ResolvesServerCert>,
    /// Which clients may ask; absent: any.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// What has to be in order.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Served").finish_non_exhaustive()
    }
}

/// How TLS is spoken: 1.3, and 1.2 for what sits between us and the API server.
fn tls(served: &Served) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let clients = served.clients.clone().unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(Arc::clone(&served.certificate));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if served.clients.is_some() {
        // A session that is resumed brings its client's certificate with it, whoever is trusted by then.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

/// Serves until the process is told to end, or `stop` is; then for `grace` more, so that nobody is sent here any longer
/// when the ports close, and then until reviews under way are answered.
///
/// # Errors
///
/// A port fails for good.
pub async fn run(listeners: Listeners, served: Served, grace: Duration, stop: CancellationToken) -> Result<(), String> {
    let tls = tls(&served).map_err(|error| format!("TLS: {error}"))?;
    let Served { judge, readiness, metrics, .. } = served;
    let (leaving, closing) = (CancellationToken::new(), CancellationToken::new());
    let mut servers = JoinSet::new();
    let mut start = |listener, tls, router: Router, stop: &CancellationToken| {
        servers.spawn(serve(listener, tls, router, Limits::default(), metrics.clone(), leaving.clone(), stop.clone()));
    };
    start(listeners.reviews, Some(tls), validate::router(judge, Arc::clone(&metrics)), &closing);
    // Probes and scrapes go on until the last review is answered.
    let ended = CancellationToken::new();
    start(listeners.health, None, health::health(readiness.clone()), &ended);
    start(listeners.metrics, None, health::metrics(Arc::clone(&metrics)), &ended);

    tokio::select! {
        why = told_to_end() => {
            let why = why.map_err(|error| format!("signals: {error}"))?;
            tracing::info!(signal = why, "stopping");
        }
        () = stop.cancelled() => tracing::info!("stopping"),
        failed = servers.join_next() => return Err(failure(failed)),
    }
    readiness.set(STOPPING, Err("told to end".to_owned()));
    leaving.cancel();
    tokio::time::sleep(grace).await;
    closing.cancel();
    let first = servers.join_next().await;
    ended.cancel();
    while servers.join_next().await.is_some() {}
    match first {
        Some(Ok(Ok(()))) => Ok(()),
        other => Err(failure(other)),
    }
}

fn failure(ended: Option<Result<std::io::Result<()>, tokio::task::JoinError>>) -> String {
    match ended {
        Some(Ok(Err(error))) => format!("a port failed: {error}"),
        Some(Err(error)) => format!("a server ended: {error}"),
        Some(Ok(Ok(()))) | None => "a server ended by itself".to_owned(),
    }
}

async fn told_to_end() -> std::io::Result<&'static str> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
