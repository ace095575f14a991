//! Certificates for the servers and clients of one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::{Error, Result};

/// A certificate authority that lives as long as its test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl Authority {
    /// Makes an authority of the given common name.
    ///
    /// # Errors
    /// When the key or certificate cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let make = || {
            let mut params = params(name, &[])?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate()?;
            let pem = params.self_signed(&key)?.pem();
            Ok(Self { issuer: Issuer::new(params, key), pem })
        };
        make().map_err(refused(name))
    }

    /// The authority's own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server of the given DNS names and IP addresses.
    ///
    /// # Errors
    /// When a name is neither, or the certificate cannot be made.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        let name = names.first().copied().unwrap_or("server");
        let make = || {
            let mut params = params(name, names)?;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            self.sign(params)
        };
        make().map_err(refused(name))
    }

    /// A certificate for a client, as Kubernetes reads it: the common name is the user, organizations are groups.
    ///
    /// # Errors
    /// When the certificate cannot be made, or there are several groups: rcgen writes the last of them only.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        if groups.len() > 1 {
            return Err(Error::Misuse("a certificate of the tests names one group at most"));
        }
        let make = || {
            let mut params = params(user, &[])?;
            for group in groups {
                params.distinguished_name.push(DnType::OrganizationName, *group);
            }
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            self.sign(params)
        };
        make().map_err(refused(user))
    }

    fn sign(&self, mut params: CertificateParams) -> std::result::Result<Identity, rcgen::Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// A key pair that signs tokens: the private key and the public one, both PEM.
///
/// # Errors
/// When the key cannot be made.
pub fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate().map_err(refused("the token signer"))?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// The error that a certificate could not be made.
fn refused(subject: &str) -> impl FnOnce(rcgen::Error) -> Error {
    let subject = subject.to_owned();
    move |error| Error::Certificate { subject, why: error.to_string() }
}

fn params(name: &str, alternatives: &[&str]) -> std::result::Result<CertificateParams, rcgen::Error> {
    let alternatives: Vec<_> = alternatives.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(alternatives)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // rcgen would have it valid from 1975 to 4096. No test depends on the day it runs.
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    Ok(params)
}
