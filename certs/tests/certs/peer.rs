//! A TLS client of the kind that an API server is, without a network: rustls and webpki, on a clock of the test's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::Resolver;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

pub(crate) const NAME: &str = "lifeline.lifeline-system.svc";

#[derive(Debug)]
struct Clock(SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

/// A client of a moment, that trusts a bundle.
pub(crate) fn client(
    bundle: &str,
    now: SystemTime,
    own: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.expect("the bundle is PEM"))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Clock(now)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    })
}

/// A server that presents what a resolver says.
pub(crate) fn server(resolver: &Resolver, clients: Option<Arc<dyn ClientCertVerifier>>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    Arc::new(builder.with_cert_resolver(Arc::new(resolver.clone())))
}

/// A connection, and what its client sees as the server's certificate.
pub(crate) struct Connection {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connection {
    /// Shakes hands.
    pub(crate) fn open(
        client: ClientConfig,
        server: Arc<ServerConfig>,
        name: &'static str,
    ) -> Result<Self, rustls::Error> {
        let name = ServerName::try_from(name).expect("a DNS name");
        let client = ClientConnection::new(Arc::new(client), name)?;
        let mut connection = Self { client, server: ServerConnection::new(server)? };
        while connection.client.is_handshaking() || connection.server.is_handshaking() {
            connection.carry()?;
        }
        // What the server has to say about the client's certificate comes after the client is done.
        connection.carry()?;
        Ok(connection)
    }

    /// Sends a line to the server, and reads it there.
    pub(crate) fn says(&mut self, line: &str) -> Result<String, rustls::Error> {
        use std::io::{Read as _, Write as _};
        self.client.writer().write_all(line.as_bytes()).expect("into memory");
        self.carry()?;
        let mut read = vec![0; line.len()];
        self.server.reader().read_exact(&mut read).expect("all of it has arrived");
        Ok(String::from_utf8(read).expect("as sent"))
    }

    /// What the client was shown.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.client.peer_certificates().expect("the handshake is over");
        shown[0].clone().into_owned()
    }

    fn carry(&mut self) -> Result<(), rustls::Error> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).expect("into memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).expect("from memory");
            self.server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).expect("into memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("from memory");
            self.client.process_new_packets()?;
        }
        Ok(())
    }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The moment at which tests begin; whole seconds, as certificates have them.
pub(crate) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

/// The names of tests' leaves.
pub(crate) fn names() -> Vec<String> {
    vec![NAME.to_owned(), "127.0.0.1".to_owned()]
}
