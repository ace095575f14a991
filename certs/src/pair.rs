//! Certificates and keys as text.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

use crate::Error;

/// A pair that a TLS server presents, from the contents of a certificate and a key file.
///
/// # Errors
///
/// One of them cannot be read, or they do not belong together: half of a pair that is being replaced is never served.
pub fn certified_key(certificate: &[u8], key: &[u8], what: &str) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificates(certificate, what)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| Error::Key { what: what.to_owned(), reason: error.to_string() })?;
    match CertifiedKey::from_der(chain, key, crypto()) {
        Ok(pair) => Ok(Arc::new(pair)),
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(Error::Mismatch { what: what.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Every certificate of a text, at least one.
pub(crate) fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |reason: String| Error::Certificate { what: what.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("there is none".to_owned())) } else { Ok(found) }
}

/// The one provider of this process.
pub(crate) fn crypto() -> &'static CryptoProvider {
    static PROVIDER: std::sync::LazyLock<CryptoProvider> =
        std::sync::LazyLock::new(rustls::crypto::aws_lc_rs::default_provider);
    &PROVIDER
}
