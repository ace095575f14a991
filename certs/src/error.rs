//! What can be wrong with certificates.

/// What can be wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate or key cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A certificate cannot be read.
    #[error("{what}: not a certificate in PEM: {reason}")]
    Certificate {
        /// Which one.
        what: String,
        /// Why.
        reason: String,
    },
    /// A private key cannot be read.
    #[error("{what}: not a private key in PEM: {reason}")]
    Key {
        /// Which one.
        what: String,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not belong together, as while one of two files is replaced.
    #[error("{what}: the certificate and the key do not belong together; the pair in use is kept")]
    Mismatch {
        /// Which pair.
        what: String,
    },
    /// An entry of the Secret is missing or cannot be read.
    #[error("entry `{entry}` of the Secret: {reason}")]
    Entry {
        /// Its key.
        entry: String,
        /// Why.
        reason: String,
    },
    /// The TLS library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The authorities that sign clients cannot be used.
    #[error("client authorities: {0}")]
    Clients(String),
}
