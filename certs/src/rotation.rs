//! The authorities that replicas share, and how one follows another.
//!
//! ```text
//! two thirds of its life over   a next authority is made, and published beside the current one
//! published, and 60 s more      the next becomes the current one; all new leaves come from it
//! last old leaf expired         the old one is dropped from what is published
//! ```
//!
//! At no moment does a server present a leaf whose authority the API server has not been shown a minute before.

use std::time::{Duration, SystemTime};

use crate::pair::certificates;
use crate::{Authority, Error, Leaf, Validity};

/// How long API servers are given to notice a published bundle.
const SETTLE: Duration = Duration::from_secs(60);

/// How long things live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// An authority.
    pub authority: Duration,
    /// A serving certificate.
    pub leaf: Duration,
}

impl Lifetimes {
    /// The shortest life of an authority: in its last third the next one is published, and noticed.
    pub const LEAST_AUTHORITY: Duration = SETTLE.saturating_mul(4);
    /// The shortest life of a serving certificate: in its last third it is renewed, and may be tried again.
    pub const LEAST_LEAF: Duration = Duration::from_secs(60);
}

impl Default for Lifetimes {
    /// A year, and a week.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { authority: DAY * 365, leaf: DAY * 7 }
    }
}

/// The authorities of all replicas.
#[derive(Debug)]
pub struct Authorities {
    pub(crate) current: Authority,
    pub(crate) next: Option<Next>,
    pub(crate) retired: Vec<Retired>,
    /// How long what is made from now on lives.
    pub lifetimes: Lifetimes,
}

/// An authority that does not sign yet.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) authority: Authority,
    /// When it was first found in what is published.
    pub(crate) published: Option<SystemTime>,
}

/// An authority that signs no more: only its certificate is kept.
#[derive(Debug, PartialEq)]
pub(crate) struct Retired {
    pub(crate) certificate: String,
    /// When the last leaf it signed expires.
    pub(crate) until: SystemTime,
}

impl Authorities {
    /// The first authority of an installation.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new(now: SystemTime, lifetimes: Lifetimes) -> Result<Self, Error> {
        let current = Authority::new(now, lifetimes.authority)?;
        Ok(Self { current, next: None, retired: Vec::new(), lifetimes })
    }

    /// The one that signs.
    pub fn current(&self) -> &Authority {
        &self.current
    }

    /// Issues a serving certificate from the current authority.
    ///
    /// # Errors
    ///
    /// As [`Authority::issue`].
    pub fn issue(&self, names: &[String], now: SystemTime) -> Result<Leaf, Error> {
        self.current.issue(names, now, self.lifetimes.leaf)
    }

    /// What clients must trust, PEM: the `caBundle`.
    pub fn bundle(&self) -> String {
        let next = self.next.iter().map(|next| next.authority.certificate());
        let retired = self.retired.iter().map(|retired| retired.certificate.as_str());
        let all: Vec<&str> = std::iter::once(self.current.certificate()).chain(next).chain(retired).collect();
        all.iter().map(|pem| pem.trim_end()).fold(String::new(), |bundle, pem| bundle + pem + "\n")
    }

    /// Takes the next step, if one is due. `published` is what clients trust at the moment, as read back. Whether
    /// anything changed: then this must be stored, and [`bundle`](Self::bundle) published, before a leaf is issued.
    ///
    /// Safe at any clock: an authority that does not hold now, because it expired or the clock jumped, is replaced at
    /// once, as nothing could be issued from it that anybody would accept.
    ///
    /// # Errors
    ///
    /// An authority cannot be made. Nothing has changed then.
    pub fn turn(&mut self, now: SystemTime, published: &str) -> Result<bool, Error> {
        if !self.current.validity().holds(now) {
            let fresh = match self.next.take() {
                Some(next) if next.authority.validity().holds(now) => next.authority,
                _ => Authority::new(now, self.lifetimes.authority)?,
            };
            self.succeed(fresh, now);
            return Ok(true);
        }
        let retired = self.retired.len();
        let longest = now + self.lifetimes.authority;
        // An end beyond every possible end is the mark of a clock that was ahead.
        self.retired.retain(|retired| now < retired.until && retired.until <= longest);
        let mut changed = retired != self.retired.len();

        let wanted = now >= self.current.validity().at(2.0 / 3.0);
        let Some(next) = &mut self.next else {
            if wanted {
                let authority = Authority::new(now, self.lifetimes.authority)?;
                self.next = Some(Next { authority, published: None });
            }
            return Ok(changed || wanted);
        };
        if !next.authority.validity().holds(now) {
            *next = Next { authority: Authority::new(now, self.lifetimes.authority)?, published: None };
            return Ok(true);
        }
        let seen = contains(published, next.authority.certificate());
        let published = match next.published {
            Some(at) if seen && at <= now => Some(at),
            _ => seen.then_some(now),
        };
        changed |= published != next.published;
        next.published = published;
        if published.is_some_and(|at| now >= at + SETTLE)
            && let Some(next) = self.next.take()
        {
            self.succeed(next.authority, now);
            changed = true;
        }
        Ok(changed)
    }

    fn succeed(&mut self, next: Authority, now: SystemTime) {
        let old = std::mem::replace(&mut self.current, next);
        let until = (now + self.lifetimes.leaf).min(old.validity().not_after);
        if now < until {
            self.retired.push(Retired { certificate: old.certificate().to_owned(), until });
        }
    }

    /// How long the current authority holds.
    pub fn validity(&self) -> Validity {
        self.current.validity()
    }
}

/// Whether a bundle has a certificate, however it is wrapped.
fn contains(bundle: &str, certificate: &str) -> bool {
    let (Ok(bundle), Ok(one)) = (certificates(bundle.as_bytes(), "bundle"), certificates(certificate.as_bytes(), "CA"))
    else {
        return false;
    };
    one.iter().all(|one| bundle.contains(one))
}
