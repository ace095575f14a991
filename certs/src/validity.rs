//! From when to when a certificate holds.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Error;

/// From when to when a certificate holds, both ends included, whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub not_before: SystemTime,
    /// Last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Of a certificate; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// It is not a certificate.
    pub fn of(certificate: &CertificateDer<'_>, what: &str) -> Result<Self, Error> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| Error::Certificate { what: what.to_owned(), reason: error.to_string() })?;
        let validity = parsed.validity();
        Ok(Self {
            not_before: moment(validity.not_before.timestamp()),
            not_after: moment(validity.not_after.timestamp()),
        })
    }

    /// Whether it holds. One from the future does not: the clock went back, and peers whose clock did not would agree,
    /// but ours is the one that signs.
    pub fn holds(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The moment at which a share of its life is over.
    pub fn at(&self, share: f64) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO);
        self.not_before + life.mul_f64(share.clamp(0.0, 1.0))
    }
}

/// Seconds since 1970. What lies before is 1970: no certificate of ours is that old.
fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
