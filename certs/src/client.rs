//! Which clients may connect, where an operator asks for certificates.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Error;
use crate::pair::{certificates, crypto};

/// Names of clients: common names or DNS names of their certificates. Empty: any client that the authorities signed.
pub type Names = BTreeSet<String>;

/// Lets clients in whose certificate one of the authorities (PEM) signed, and that has one of the names.
///
/// # Errors
///
/// The authorities cannot be read.
pub fn client_verifier(authorities: &[u8], names: Names) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities, "client authorities")? {
        roots.add(certificate)?;
    }
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(crypto().clone()))
        .build()
        .map_err(|error| Error::Clients(error.to_string()))?;
    if names.is_empty() { Ok(chain) } else { Ok(Arc::new(Named { chain, names })) }
}

/// Verifies clients, and by other authorities from the moment they are replaced. Connections that exist stay.
#[derive(Debug)]
pub struct Clients {
    verifier: ArcSwap<Arc<dyn ClientCertVerifier>>,
    names: Names,
}

impl Clients {
    /// As [`client_verifier`].
    ///
    /// # Errors
    ///
    /// The authorities cannot be read.
    pub fn new(authorities: &[u8], names: Names) -> Result<Self, Error> {
        let verifier = ArcSwap::from_pointee(client_verifier(authorities, names.clone())?);
        Ok(Self { verifier, names })
    }

    /// Trusts these from now on, and no others.
    ///
    /// # Errors
    ///
    /// The authorities cannot be read; those in use stay.
    pub fn replace(&self, authorities: &[u8]) -> Result<(), Error> {
        self.verifier.store(Arc::new(client_verifier(authorities, self.names.clone())?));
        Ok(())
    }
}

impl ClientCertVerifier for Clients {
    /// None: clients choose their certificate without being told of authorities, which may change meanwhile.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.verifier.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.load().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.verifier.load().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.verifier.load().supported_verify_schemes()
    }
}

#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    names: Names,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        if self.is_named(end_entity) {
            Ok(verified)
        } else {
            Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

impl Named {
    fn is_named(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
        let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        let alternatives = alternatives.iter().flat_map(|extension| &extension.value.general_names);
        let dns = alternatives.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(*name),
            _ => None,
        });
        common.chain(dns).any(|name| self.names.contains(name))
    }
}
