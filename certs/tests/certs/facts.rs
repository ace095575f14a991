//! What is in the certificates, and who accepts them: told by webpki and x509-parser, which did not make them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::peer::{Connection, DAY, MINUTE, NAME, client, names, server, start};
use certs::{Authorities, Authority, Entries, Error, Lifetimes, Resolver, certified_key, client_verifier};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

fn fresh() -> Authorities {
    Authorities::new(start(), Lifetimes::default()).expect("an authority")
}

#[test]
fn an_authority_signs_leaves_and_no_authorities() {
    let authorities = fresh();
    let der = CertificateDer::from_pem_slice(authorities.current().certificate().as_bytes()).expect("PEM");
    let (_, parsed) = X509Certificate::from_der(&der).expect("DER");
    let constraints = parsed.basic_constraints().expect("one").expect("some").value;
    assert!(constraints.ca);
    assert_eq!(constraints.path_len_constraint, Some(0));
    let usage = parsed.key_usage().expect("one").expect("some").value;
    assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
    assert_eq!(authorities.validity().not_before, start() - 5 * MINUTE);
    assert_eq!(authorities.validity().not_after, start() + 365 * DAY);
}

#[test]
fn a_leaf_is_for_serving_under_its_names_for_a_week() {
    let leaf = fresh().issue(&names(), start()).expect("a leaf");
    let (_, parsed) = X509Certificate::from_der(leaf.certificate()).expect("DER");
    assert!(!parsed.is_ca());
    let usage = parsed.extended_key_usage().expect("one").expect("some").value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    let alternatives = parsed.subject_alternative_name().expect("one").expect("some").value;
    let shown: Vec<String> = alternatives.general_names.iter().map(ToString::to_string).collect();
    assert_eq!(shown, [format!("DNSName({NAME})"), "IPAddress(7f:00:00:01)".to_owned()]);
    assert_eq!(leaf.validity().not_before, start() - 5 * MINUTE);
    assert_eq!(leaf.validity().not_after, start() + 7 * DAY);
}

#[test]
fn no_leaf_outlives_its_authority() {
    let authority = Authority::new(start(), 2 * DAY).expect("an authority");
    let leaf = authority.issue(&names(), start() + DAY, 7 * DAY).expect("a leaf");
    assert_eq!(leaf.validity().not_after, authority.validity().not_after);
}

#[test]
fn a_client_connects_under_a_name_of_the_leaf_and_under_no_other() {
    let authorities = fresh();
    let resolver = Resolver::new(authorities.issue(&names(), start()).expect("leaf").certified_key().expect("key"));
    let open = |bundle: &str, name, now| Connection::open(client(bundle, now, None)?, server(&resolver, None), name);
    let bundle = authorities.bundle();
    assert_eq!(open(&bundle, NAME, start()).expect("trusted").says("review").expect("sent"), "review");
    assert!(open(&bundle, "127.0.0.1", start()).is_ok());
    assert!(open(&bundle, "lifeline.default.svc", start()).is_err());
    assert!(open(&fresh().bundle(), NAME, start()).is_err(), "another installation's authority");
    assert!(open(&bundle, NAME, start() + 8 * DAY).is_err(), "an expired leaf");
    // A client whose clock is a little behind still connects.
    assert!(open(&bundle, NAME, start() - 4 * MINUTE).is_ok());
}

#[test]
fn a_certificate_is_replaced_without_losing_a_connection() {
    let authorities = fresh();
    let [first, second] = [(); 2].map(|()| authorities.issue(&names(), start()).expect("leaf"));
    let resolver = Resolver::new(first.certified_key().expect("key"));
    let config = server(&resolver, None);
    let open = || Connection::open(client(&authorities.bundle(), start(), None)?, Arc::clone(&config), NAME);
    let mut before = open().expect("trusted");
    resolver.replace(second.certified_key().expect("key"));
    assert_eq!(before.says("still here").expect("sent"), "still here");
    assert_eq!(before.certificate(), *first.certificate());
    assert_eq!(open().expect("trusted").certificate(), *second.certificate());
}

#[test]
fn halves_of_two_pairs_are_refused() {
    let [one, other] = [(); 2].map(|()| Authority::new(start(), DAY).expect("an authority"));
    let wrong = certified_key(one.certificate().as_bytes(), other.key().as_bytes(), "tls.crt");
    assert!(matches!(wrong, Err(Error::Mismatch { what }) if what == "tls.crt"));
    assert!(certified_key(one.certificate().as_bytes(), one.key().as_bytes(), "tls.crt").is_ok());
    let cut = &one.certificate()[..100];
    assert!(matches!(certified_key(cut.as_bytes(), one.key().as_bytes(), "x"), Err(Error::Certificate { .. })));
    assert!(matches!(certified_key(one.certificate().as_bytes(), b"", "x"), Err(Error::Key { .. })));
}

#[test]
fn clients_need_the_right_authority_and_the_right_name() {
    let signer = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&signer).expect("a root").pem();
    let issuer = rcgen::Issuer::new(params, signer);
    let client_pair = |name: &str| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let pem = params.signed_by(&key, &issuer).expect("signed").pem();
        certified_key(pem.as_bytes(), key.serialize_pem().as_bytes(), "client").expect("a pair")
    };
    let authorities = fresh();
    let resolver = Resolver::new(authorities.issue(&names(), start()).expect("leaf").certified_key().expect("key"));
    let open = |verifier, own| {
        let client = client(&authorities.bundle(), start(), own)?;
        Connection::open(client, server(&resolver, Some(verifier)), NAME)
    };
    let only = |name: &str| client_verifier(root.as_bytes(), BTreeSet::from([name.to_owned()])).expect("roots");
    let any = || client_verifier(root.as_bytes(), BTreeSet::new()).expect("roots");

    assert!(open(any(), Some(client_pair("kube-apiserver"))).is_ok());
    assert!(open(only("kube-apiserver"), Some(client_pair("kube-apiserver"))).is_ok());
    assert!(open(only("kube-apiserver"), Some(client_pair("somebody"))).is_err());
    assert!(open(any(), None).is_err(), "no certificate");
    let stranger = Authority::new(start(), DAY).expect("an authority");
    let stranger = stranger.issue(&names(), start(), DAY).expect("a leaf").certified_key().expect("key");
    assert!(open(any(), Some(stranger)).is_err(), "signed by another");
    assert!(matches!(client_verifier(b"", BTreeSet::new()), Err(Error::Certificate { .. })));
}

#[test]
fn a_secret_gives_back_what_was_put_in() {
    let mut authorities = fresh();
    assert!(Authorities::read(&Entries::new(), Lifetimes::default()).expect("shipped empty").is_none());
    let mut entries = Entries::from([("note".to_owned(), b"of another".to_vec())]);
    // Through each stage of a rotation: a next one, published, current with the old one retired.
    let mut now = start() + 300 * DAY;
    let mut stages = BTreeSet::new();
    for _ in 0..4 {
        authorities.write(&mut entries);
        stages.insert(entries.keys().cloned().collect::<Vec<_>>());
        let read = Authorities::read(&entries, Lifetimes::default()).expect("readable").expect("some");
        assert_eq!(read.bundle(), authorities.bundle());
        let mut again = Entries::new();
        read.write(&mut again);
        again.insert("note".to_owned(), b"of another".to_vec());
        assert_eq!(again, entries);
        let bundle = authorities.bundle();
        authorities.turn(now, &bundle).expect("a step");
        now += 2 * MINUTE;
    }
    assert_eq!(stages.len(), 4, "{stages:?}");

    authorities.write(&mut entries);
    let broken = |key: &str, value: Option<&[u8]>| {
        let mut entries = entries.clone();
        match value {
            Some(value) => entries.insert(key.to_owned(), value.to_vec()),
            None => entries.remove(key),
        };
        Authorities::read(&entries, Lifetimes::default()).expect_err("broken").to_string()
    };
    assert!(broken("ca.key", None).starts_with("entry `ca.key` of the Secret: it is missing"));
    assert!(broken("ca.crt", Some(&[0xff])).contains("it is not text"));
    assert!(broken("ca.crt", Some(b"nothing")).starts_with("ca.crt: not a certificate in PEM"));
    assert!(broken("retired-ca-until", Some(b"soon")).contains("`soon` is not a date"));
    assert!(broken("retired-ca-until", Some(b"")).contains("0 lines for 1 certificates"));
    let other = Authority::new(start(), DAY).expect("an authority").key();
    assert!(broken("ca.key", Some(other.as_bytes())).contains("do not belong together"));
}

#[test]
fn keys_are_not_printed() {
    let authorities = fresh();
    let leaf = authorities.issue(&names(), start()).expect("a leaf");
    let shown = format!("{authorities:?} {leaf:?}");
    assert!(!shown.contains("PRIVATE") && !shown.contains("key"), "{shown}");
}

#[test]
fn a_leaf_is_renewed_at_two_thirds_and_sooner_where_jitter_says() {
    let authorities = fresh();
    let leaf = authorities.issue(&names(), start()).expect("a leaf");
    let due = |after: Duration, jitter| leaf.is_due(start() + after, jitter, authorities.current());
    assert!(!due(4 * DAY, 0.0) && due(5 * DAY, 0.0));
    assert!(!due(3 * DAY, 1.0) && due(4 * DAY, 1.0));
    assert!(leaf.is_due(start() - DAY, 0.0, authorities.current()), "the clock went back");
    assert!(leaf.is_due(start(), 0.0, fresh().current()), "another authority signs now");
}
