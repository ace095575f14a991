//! The certificate that a running server presents.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Presents one certificate, and another from the moment it is replaced. Connections that exist keep theirs.
#[derive(Clone, Debug)]
pub struct Resolver(Arc<ArcSwap<CertifiedKey>>);

impl Resolver {
    /// Presents this one.
    pub fn new(pair: Arc<CertifiedKey>) -> Self {
        Self(Arc::new(ArcSwap::new(pair)))
    }

    /// Presents another from now on.
    pub fn replace(&self, pair: Arc<CertifiedKey>) {
        self.0.store(pair);
    }

    /// The one presented now.
    pub fn current(&self) -> Arc<CertifiedKey> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
