//! The certificate that reviews are served with: where it comes from, and that it never ends unnoticed.
//!
//! A worker looks every few seconds, by the wall clock, whether a step is due. So a clock that jumps is noticed at once, and
//! whatever goes wrong, on the cluster's side too, is tried again. Meanwhile the certificate in use is kept.

mod files;
mod own;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use certs::{Clients, Names, Resolver, Validity};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::health::Readiness;
use crate::metrics::Metrics;

pub use files::Files;
pub use own::{CONFIGURATION, MANAGER, Own, SECRET, names};

/// The part of the readiness that is said here.
pub const PART: &str = "certificate";

/// The wall clock.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Why a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate, a key or the Secret is not what it should be.
    #[error(transparent)]
    Certificate(#[from] certs::Error),
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A pair of files that does not hold now, while the one in use does.
    #[error("{path}: the certificate does not hold now; the pair in use is kept")]
    OutOfTime {
        /// The certificate.
        path: std::path::PathBuf,
    },
    /// The Secret is damaged.
    #[error(
        "Secret {namespace}/{SECRET}: {source}; to start anew: \
         kubectl -n {namespace} patch secret {SECRET} --type=json -p '[{{\"op\":\"remove\",\"path\":\"/data\"}}]'"
    )]
    Damaged {
        /// Its namespace.
        namespace: String,
        /// What is wrong with it.
        source: certs::Error,
    },
    /// The Secret is not there.
    #[error("Secret {namespace}/{SECRET} is not there; the manifests bring it, empty: apply them again")]
    NoSecret {
        /// Its namespace.
        namespace: String,
    },
    /// The API server refuses, or cannot be reached.
    #[error("{what}: {source}")]
    Cluster {
        /// What was asked of it.
        what: &'static str,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Other replicas wrote the Secret again and again.
    #[error("Secret {SECRET} is written by others all the time")]
    Contended,
}

/// How often is looked, and when to give up hope.
#[derive(Clone)]
pub struct Pace {
    /// Between two looks.
    pub tick: Duration,
    /// A certificate that ends sooner makes this replica not ready: others may have a better one.
    pub least: Duration,
    /// The wall clock.
    pub clock: Clock,
}

impl Default for Pace {
    /// Ten seconds, an hour, and the system's clock.
    fn default() -> Self {
        Self { tick: Duration::from_secs(10), least: Duration::from_secs(60 * 60), clock: Arc::new(SystemTime::now) }
    }
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pace").field("tick", &self.tick).field("least", &self.least).finish_non_exhaustive()
    }
}

/// Where certificates come from.
#[derive(Debug)]
pub enum Source {
    /// Authorities of our own, which the replicas share.
    Own(Box<Own>),
    /// Files that somebody else renews.
    Files(Files),
}

/// Looks after the certificate until `stop`, and returns at once. Without a certificate yet, handshakes fail and the
/// readiness says why.
pub fn start(
    source: Source,
    pace: Pace,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Arc<dyn ResolvesServerCert> {
    let slot = Slot::default();
    readiness.set(PART, Err("there is none yet".to_owned()));
    let worker = Worker { slot: slot.clone(), presented: None, trouble: None, pace, readiness, metrics };
    tokio::spawn(worker.run(source, stop));
    Arc::new(slot)
}

/// Lets in clients that one of the authorities (PEM) in a file signed, and that bear one of the names, if there are any. The file
/// is read again at every tick until `stop`; one that cannot be read changes nothing, and is told of once.
///
/// # Errors
///
/// The file cannot be read, or holds no certificates.
pub fn clients(
    authorities: &Path,
    names: Names,
    pace: &Pace,
    stop: CancellationToken,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let (file, tick) = (authorities.to_owned(), pace.tick);
    let pem = pem(&file)?;
    let clients = Arc::new(Clients::new(&pem, names)?);
    let verifier = Arc::clone(&clients);
    tokio::spawn(stop.run_until_cancelled_owned(async move {
        let (mut used, mut trouble) = (pem, None);
        loop {
            tokio::time::sleep(tick).await;
            let read = self::pem(&file).and_then(|pem| {
                if pem != used {
                    clients.replace(&pem)?;
                    tracing::info!(file = %file.display(), "client authorities replaced");
                    used = pem;
                }
                Ok(())
            });
            let now = read.err().map(|error| error.to_string());
            if let Some(reason) = now.as_ref().filter(|_| now != trouble) {
                tracing::warn!(%reason, "client authorities kept");
            }
            trouble = now;
        }
    }));
    Ok(verifier)
}

fn pem(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|source| Error::File { path: file.to_owned(), source })
}

/// The certificate in use, from the moment there is one.
#[derive(Clone, Debug, Default)]
struct Slot(Arc<OnceLock<Resolver>>);

impl Slot {
    fn put(&self, pair: Arc<CertifiedKey>) {
        let resolver = self.0.get_or_init(|| Resolver::new(Arc::clone(&pair)));
        resolver.replace(pair);
    }
}

impl ResolvesServerCert for Slot {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get()?.resolve(hello)
    }
}

/// A certificate to present from now on.
struct Fresh {
    pair: Arc<CertifiedKey>,
    validity: Validity,
}

struct Worker {
    slot: Slot,
    presented: Option<Validity>,
    trouble: Option<String>,
    pace: Pace,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

impl Worker {
    async fn run(mut self, mut source: Source, stop: CancellationToken) {
        loop {
            let now = (self.pace.clock)();
            let step = async {
                match &mut source {
                    Source::Own(own) => own.step(now).await,
                    Source::Files(files) => files.step(now),
                }
            };
            let step = tokio::select! {
                step = step => step,
                () = stop.cancelled() => return,
            };
            self.take(step, now);
            tokio::select! {
                () = tokio::time::sleep(self.pace.tick) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn take(&mut self, step: Result<Option<Fresh>, Error>, now: SystemTime) {
        let trouble = match step {
            Ok(Some(Fresh { pair, validity })) => {
                self.slot.put(pair);
                tracing::info!(until = %date(validity.not_after), "certificate replaced");
                self.metrics.certificate(validity.not_after, self.presented.is_some());
                self.presented = Some(validity);
                None
            }
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        if trouble != self.trouble {
            match &trouble {
                Some(reason) => tracing::warn!(reason, "certificates"),
                None => tracing::info!("certificates are in order again"),
            }
        }
        self.metrics.certificate_trouble(trouble.is_some());
        self.trouble = trouble;
        self.readiness.set(PART, self.state(now));
    }

    fn state(&self, now: SystemTime) -> Result<String, String> {
        let trouble = self.trouble.as_deref().map(|trouble| format!("; {trouble}")).unwrap_or_default();
        match self.presented {
            None => Err(format!("there is none yet{trouble}")),
            Some(validity) if !validity.holds(now) => Err(format!(
                "it holds from {} to {}, and not now{trouble}",
                date(validity.not_before),
                date(validity.not_after)
            )),
            Some(validity) if validity.not_after < now + self.pace.least => {
                Err(format!("it ends at {}{trouble}", date(validity.not_after)))
            }
            Some(validity) => Ok(format!("until {}{trouble}", date(validity.not_after))),
        }
    }
}

/// A moment, as people write it.
fn date(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = i64::try_from(seconds).ok().and_then(|seconds| k8s_openapi::jiff::Timestamp::from_second(seconds).ok());
    date.map_or_else(|| "beyond the calendar".to_owned(), |date| date.to_string())
}
