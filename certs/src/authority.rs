//! An authority, and what it issues.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::pair::{certificates, crypto};
use crate::{Error, Validity};

/// Certificates hold from a little before they are made, for peers whose clock is behind.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// A certificate authority: it signs serving certificates, and nothing else.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    validity: Validity,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        formatter.debug_struct("Authority").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes one: ECDSA P-256, no authorities below it.
    ///
    /// # Errors
    ///
    /// The key or certificate cannot be made.
    pub fn new(now: SystemTime, lifetime: Duration) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        let made = OffsetDateTime::from(now).date();
        // Told apart by name in a bundle that holds several.
        params.distinguished_name.push(DnType::CommonName, format!("Lifeline webhook CA {made}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) =
            (OffsetDateTime::from(now - SKEW), OffsetDateTime::from(now + lifetime));
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let validity = Validity::of(certificate.der(), "new authority")?;
        Ok(Self { certificate: certificate.pem(), issuer: Issuer::new(params, key), validity })
    }

    /// Reads one back.
    ///
    /// # Errors
    ///
    /// Certificate or key cannot be read, or do not belong together.
    pub fn from_pem(certificate: &str, key: &str, what: &str) -> Result<Self, Error> {
        let der = certificates(certificate.as_bytes(), what)?;
        let [der] = der.as_slice() else {
            return Err(Error::Certificate { what: what.to_owned(), reason: format!("{} of them", der.len()) });
        };
        // The same check as for a pair that is served.
        crate::certified_key(certificate.as_bytes(), key.as_bytes(), what)?;
        let key =
            KeyPair::from_pem(key).map_err(|error| Error::Key { what: what.to_owned(), reason: error.to_string() })?;
        let issuer = Issuer::from_ca_cert_der(der, key)
            .map_err(|error| Error::Certificate { what: what.to_owned(), reason: error.to_string() })?;
        Ok(Self { validity: Validity::of(der, what)?, certificate: certificate.to_owned(), issuer })
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key, PEM of PKCS #8. A secret.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// How long it holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Issues a serving certificate with a new key, never for longer than the authority itself holds.
    ///
    /// # Errors
    ///
    /// A name is neither a DNS name nor an address, or the certificate cannot be made.
    pub fn issue(&self, names: &[String], now: SystemTime, lifetime: Duration) -> Result<Leaf, Error> {
        let mut params = CertificateParams::new(names)?;
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let until = (now + lifetime).min(self.validity.not_after);
        (params.not_before, params.not_after) = (OffsetDateTime::from(now - SKEW), OffsetDateTime::from(until));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            validity: Validity::of(certificate.der(), "new serving certificate")?,
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
            authority: self.certificate.clone(),
        })
    }
}

/// A serving certificate and its key. It lives in memory only.
pub struct Leaf {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    validity: Validity,
    authority: String,
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        formatter.debug_struct("Leaf").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl Leaf {
    /// How long it holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What a TLS server presents.
    ///
    /// # Errors
    ///
    /// The TLS library refuses the key.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, Error> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        Ok(Arc::new(CertifiedKey::from_der(vec![self.certificate.clone()], key, crypto())?))
    }

    /// Whether another one is wanted: two thirds of its life are over, less up to a tenth by `jitter` (from 0 to 1, a
    /// constant of each replica, so that they do not all renew at once); or it does not hold, because the clock jumped;
    /// or `authority` is not the one that signed it.
    pub fn is_due(&self, now: SystemTime, jitter: f64, authority: &Authority) -> bool {
        let renew = self.validity.at(2.0 / 3.0 - jitter.clamp(0.0, 1.0) / 10.0);
        now >= renew || !self.validity.holds(now) || self.authority != authority.certificate
    }
}
