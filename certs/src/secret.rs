//! Authorities as entries of a Secret.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::rotation::{Next, Retired};
use crate::{Authorities, Authority, Error, Lifetimes};

/// Entries of a Secret, decoded.
pub type Entries = BTreeMap<String, Vec<u8>>;

const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";
const NEXT_PUBLISHED: &str = "next-ca-published";
const RETIRED: &str = "retired-ca.crt";
const RETIRED_UNTIL: &str = "retired-ca-until";

/// The entries that are ours. Others are left alone.
pub const KEYS: [&str; 7] = [CERTIFICATE, KEY, NEXT_CERTIFICATE, NEXT_KEY, NEXT_PUBLISHED, RETIRED, RETIRED_UNTIL];

impl Authorities {
    /// Reads authorities; none if the Secret is still as it was shipped, without entries of ours.
    ///
    /// # Errors
    ///
    /// An entry is missing or cannot be read.
    pub fn read(entries: &Entries, lifetimes: Lifetimes) -> Result<Option<Self>, Error> {
        if !KEYS.iter().any(|key| entries.contains_key(*key)) {
            return Ok(None);
        }
        let current = Authority::from_pem(text(entries, CERTIFICATE)?, text(entries, KEY)?, CERTIFICATE)?;
        let next = if entries.contains_key(NEXT_CERTIFICATE) {
            let certificate = text(entries, NEXT_CERTIFICATE)?;
            let authority = Authority::from_pem(certificate, text(entries, NEXT_KEY)?, NEXT_CERTIFICATE)?;
            let published = entries.get(NEXT_PUBLISHED).map(|_| text(entries, NEXT_PUBLISHED)).transpose()?;
            let published = published.map(|written| moment(written, NEXT_PUBLISHED)).transpose()?;
            Some(Next { authority, published })
        } else {
            None
        };
        let retired = if entries.contains_key(RETIRED) { read_retired(entries)? } else { Vec::new() };
        Ok(Some(Self { current, next, retired, lifetimes }))
    }

    /// Writes them, over entries of ours that were there before.
    pub fn write(&self, entries: &mut Entries) {
        entries.retain(|key, _| !KEYS.contains(&key.as_str()));
        let mut put = |key: &str, value: String| entries.insert(key.to_owned(), value.into_bytes());
        put(CERTIFICATE, self.current.certificate().to_owned());
        put(KEY, self.current.key());
        if let Some(next) = &self.next {
            put(NEXT_CERTIFICATE, next.authority.certificate().to_owned());
            put(NEXT_KEY, next.authority.key());
            if let Some(published) = next.published {
                put(NEXT_PUBLISHED, written(published));
            }
        }
        if !self.retired.is_empty() {
            put(RETIRED, self.retired.iter().map(|retired| retired.certificate.trim_end().to_owned() + "\n").collect());
            put(RETIRED_UNTIL, self.retired.iter().map(|retired| written(retired.until) + "\n").collect());
        }
    }
}

/// One line for each certificate.
fn read_retired(entries: &Entries) -> Result<Vec<Retired>, Error> {
    const END: &str = "-----END CERTIFICATE-----";
    let certificates: Vec<&str> = text(entries, RETIRED)?.split_inclusive(END).map(str::trim).collect();
    let certificates = certificates.into_iter().filter(|one| !one.is_empty());
    let until: Result<Vec<_>, _> =
        text(entries, RETIRED_UNTIL)?.lines().map(|line| moment(line, RETIRED_UNTIL)).collect();
    let until = until?;
    let retired: Vec<_> = certificates.map(|pem| pem.to_owned() + "\n").collect();
    if retired.len() != until.len() {
        let reason = format!("{} lines for {} certificates in `{RETIRED}`", until.len(), retired.len());
        return Err(Error::Entry { entry: RETIRED_UNTIL.to_owned(), reason });
    }
    Ok(retired.into_iter().zip(until).map(|(certificate, until)| Retired { certificate, until }).collect())
}

fn text<'e>(entries: &'e Entries, key: &str) -> Result<&'e str, Error> {
    let wrong = |reason: &str| Error::Entry { entry: key.to_owned(), reason: reason.to_owned() };
    let value = entries.get(key).ok_or_else(|| wrong("it is missing; delete the others to start anew"))?;
    std::str::from_utf8(value).map_err(|_| wrong("it is not text"))
}

/// Whole seconds, as people write them.
fn written(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let date = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    // A date that the calendar does not have reads as long past, which makes a step happen again, and loses nothing.
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

fn moment(text: &str, key: &str) -> Result<SystemTime, Error> {
    OffsetDateTime::parse(text.trim(), &Rfc3339)
        .map(SystemTime::from)
        .map_err(|error| Error::Entry { entry: key.to_owned(), reason: format!("`{text}` is not a date: {error}") })
}
