//! A server on a port of its own, and a client that speaks no more HTTP than it must.

use std::net::SocketAddr;
use std::sync::{Arc, Once};

use certs::Resolver;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use webhook::metrics::Metrics;
use webhook::server::{Limits, serve};
use webhook::validate::{self, Change, Judge};
use webhook::verdict::Decision;

/// A judge that is a function.
pub(crate) struct Says<F>(pub(crate) F);

impl<F> Judge for Says<F>
where
    F: Fn(&Change<'_>) -> Result<Decision, String> + Send + Sync + 'static,
{
    fn judge(&self, change: &Change<'_>) -> Result<Decision, String> {
        (self.0)(change)
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) leaving: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<std::io::Result<()>>,
    connector: TlsConnector,
}

impl Server {
    pub(crate) async fn start(judge: impl Judge, limits: Limits) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first");
        });
        let (certificate, bundle) = webhook::offline::certificate().expect("a certificate");
        let metrics = Arc::new(Metrics::default());
        let router = validate::router(Arc::new(judge), Arc::clone(&metrics));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
        let tls = tls(certificate);
        let (observe, ends) = (metrics.clone(), (leaving.clone(), stop.clone()));
        let ended = tokio::spawn(serve(listener, Some(tls), router, limits, observe, ends.0, ends.1));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("an authority");
        }
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { address, metrics, leaving, stop, ended, connector: TlsConnector::from(Arc::new(client)) }
    }

    /// A connection after its handshake.
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, stream).await
    }

    /// Asks once, on a connection of its own.
    pub(crate) async fn ask(&self, query: &str, kind: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect().await.expect("a connection");
        send(&mut stream, query, kind, body, true).await.expect("sent");
        let mut answer = Vec::new();
        // A server that has said enough may close before it has read all.
        let _ = stream.read_to_end(&mut answer).await;
        parsed(&answer)
    }

    /// Asks for a review.
    pub(crate) async fn review(&self, query: &str, body: &str) -> (u16, String) {
        self.ask(query, "application/json", body.as_bytes()).await
    }
}

fn tls(certificate: Resolver) -> Arc<ServerConfig> {
    Arc::new(ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(certificate)))
}

pub(crate) async fn send(
    stream: &mut TlsStream<TcpStream>,
    query: &str,
    kind: &str,
    body: &[u8],
    close: bool,
) -> std::io::Result<()> {
    let end = if close { "connection: close\r\n" } else { "" };
    let header = format!(
        "POST /validate{query} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{end}\r\n",
        body.len()
    );
    stream.write_all(header.as_bytes()).await?;
    // The server may answer, and close, before it has read a body that it does not want.
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    Ok(())
}

/// Status and body of an answer.
pub(crate) fn parsed(answer: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(answer);
    let (header, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}
