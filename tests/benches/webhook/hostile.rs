//! Clients that mean no good.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Outcome;

/// Bytes of a body that is too large.
const LARGE: usize = 8 << 20;
const NESTED: usize = 1_000_000;
/// Silent sockets that are held at a time.
const HELD: usize = 500;

/// Does all of it to every port at a time until the end, and says how often each was done.
pub(crate) async fn besiege(ports: &[u16], trusting: &TlsConnector, end: Instant) -> Outcome<String> {
    let mut parties = JoinSet::new();
    for &port in ports {
        for party in [Party::Silent, Party::HalfHeader, Party::Large, Party::Nested, Party::Doubting] {
            let trusting = trusting.clone();
            parties.spawn(async move {
                let mut times = 0_u32;
                let mut held = Vec::new();
                while Instant::now() < end {
                    // That it is turned away is what should happen.
                    if let Ok(stream) = party.act(port, &trusting).await {
                        times += 1;
                        held.extend(stream);
                    }
                    if held.len() > HELD {
                        held.drain(..HELD / 2);
                    }
                    tokio::time::sleep(party.pause()).await;
                }
                (party, times)
            });
        }
    }
    let mut done = BTreeMap::new();
    while let Some(party) = parties.join_next().await {
        let (party, times) = party?;
        *done.entry(party).or_insert(0) += times;
    }
    if let Some((party, _)) = done.iter().find(|(_, times)| **times == 0) {
        return Err(format!("no {} in all that time, so nothing is shown about them", party.name()).into());
    }
    let done: Vec<String> = done.into_iter().map(|(party, times)| format!("{times} {}", party.name())).collect();
    Ok(done.join(", "))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    /// Opens connections and says nothing more, hundreds of them.
    Silent,
    /// Says half a header.
    HalfHeader,
    /// Sends more than anybody may.
    Large,
    /// Sends brackets in brackets.
    Nested,
    /// Does not believe the certificate.
    Doubting,
}

impl Party {
    const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent sockets",
            Self::HalfHeader => "half headers",
            Self::Large => "bodies of 8 MiB",
            Self::Nested => "reviews of a million brackets",
            Self::Doubting => "refused handshakes",
        }
    }

    const fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Silent => 5,
            Self::HalfHeader | Self::Doubting => 50,
            Self::Large | Self::Nested => 500,
        })
    }

    /// A connection that is kept, if there is one.
    async fn act(self, port: u16, trusting: &TlsConnector) -> Outcome<Option<Kept>> {
        let header = |length: usize| {
            format!(
                "POST /validate?timeout=10s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            )
        };
        match self {
            Self::Silent => {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.write_all(b"\x16\x03\x01").await?;
                return Ok(Some(Box::new(stream)));
            }
            Self::HalfHeader => {
                let mut stream = connect(port, trusting).await?;
                stream.write_all(b"POST /validate HTTP/1.1\r\nhost: ").await?;
                stream.flush().await?;
                return Ok(Some(Box::new(stream)));
            }
            Self::Large => {
                let mut stream = connect(port, trusting).await?;
                stream.write_all(header(LARGE).as_bytes()).await?;
                // Answered, and closed, before the end of it.
                let _ = stream.write_all(&vec![b' '; LARGE]).await;
            }
            Self::Nested => {
                let mut stream = connect(port, trusting).await?;
                stream.write_all(header(NESTED).as_bytes()).await?;
                stream.write_all(&vec![b'['; NESTED]).await?;
                let _ = stream.read(&mut [0; 256]).await?;
            }
            Self::Doubting => {
                let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
                let doubting = TlsConnector::from(Arc::new(config.with_no_client_auth()));
                let refused =
                    connect(port, &doubting).await.err().ok_or("nobody vouches for it, and it was believed")?;
                let refused = refused.downcast::<std::io::Error>()?;
                // Not taken at all is another thing.
                if refused.kind() != std::io::ErrorKind::InvalidData {
                    return Err(refused);
                }
            }
        }
        Ok(None)
    }
}

/// A connection that is not closed yet.
type Kept = Box<dyn Any + Send>;

async fn connect(port: u16, connector: &TlsConnector) -> Outcome<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    Ok(connector.connect(ServerName::try_from("127.0.0.1")?, stream).await?)
}
