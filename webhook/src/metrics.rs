//! What Prometheus is told.

mod cluster;

use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime};

use policy::lifeline::config::Mode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::server::{Observe, Refused};

pub use cluster::ClusterMetrics;

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The change may happen.
    Allowed,
    /// It may not.
    Denied,
    /// The body was no review.
    Malformed,
    /// The body came too slowly.
    Slow,
    /// There was no verdict in time.
    Late,
    /// There was no verdict to be had.
    Unable,
    /// A defect of this program.
    Panic,
}

impl Outcome {
    /// As a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Unable => "unable",
            Self::Panic => "panic",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFinding {
    code: String,
    mode: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<ByOutcome, Counter>,
    findings: Family<ByFinding, Counter>,
    seconds: Histogram,
    refused: Family<ByReason, Counter>,
    handshakes: Counter,
    connections: Gauge<i64, AtomicI64>,
    certificate_end: Gauge<i64, AtomicI64>,
    certificate_rotations: Counter,
    certificate_trouble: Gauge<i64, AtomicI64>,
    /// About the cluster.
    pub cluster: ClusterMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("lifeline_webhook");
        let reviews = Family::default();
        registry.register("reviews", "Admission reviews by how they ended", reviews.clone());
        let findings = Family::default();
        registry.register("findings", "Findings in reviews, by code, enforced or observed", findings.clone());
        // A tenth of a millisecond to some three seconds.
        let seconds = Histogram::new(exponential_buckets(0.0001, 2.0, 16));
        let help = "Time from the header of a review to its answer";
        registry.register_with_unit("review_duration", help, Unit::Seconds, seconds.clone());
        let refused = Family::default();
        registry.register("connections_refused", "Connections that were not taken", refused.clone());
        let handshakes = Counter::default();
        registry.register("handshakes_failed", "Connections without a TLS handshake", handshakes.clone());
        let connections = Gauge::default();
        registry.register("connections", "Open connections", connections.clone());
        let certificate_end = Gauge::default();
        let help = "When the serving certificate ends, since 1970";
        registry.register_with_unit("certificate_not_after", help, Unit::Seconds, certificate_end.clone());
        let certificate_rotations = Counter::default();
        registry.register("certificate_rotations", "Replaced serving certificates", certificate_rotations.clone());
        let certificate_trouble = Gauge::default();
        let help = "Whether the certificate cannot be renewed, or its authority not be published";
        registry.register("certificate_trouble", help, certificate_trouble.clone());
        let cluster = ClusterMetrics::register(&mut registry);
        Self {
            registry,
            reviews,
            findings,
            seconds,
            refused,
            handshakes,
            connections,
            certificate_end,
            certificate_rotations,
            certificate_trouble,
            cluster,
        }
    }
}

impl Metrics {
    /// A review has ended.
    pub fn review(&self, outcome: Outcome, took: Duration) {
        self.reviews.get_or_create(&ByOutcome { outcome: outcome.name() }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Something was found in a change. Codes come from lifelines, so there are few.
    pub fn finding(&self, code: &str, mode: Mode) {
        let mode = match mode {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        };
        self.findings.get_or_create(&ByFinding { code: code.to_owned(), mode }).inc();
    }

    /// A serving certificate is presented, in the place of another one or as the first.
    pub fn certificate(&self, not_after: SystemTime, is_rotation: bool) {
        let end = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.certificate_end.set(i64::try_from(end.as_secs()).unwrap_or(i64::MAX));
        if is_rotation {
            self.certificate_rotations.inc();
        }
    }

    /// Whether the certificate can be renewed, and its authority is published.
    pub fn certificate_trouble(&self, is_there: bool) {
        self.certificate_trouble.set(i64::from(is_there));
    }

    /// Everything, in the text format of OpenMetrics.
    ///
    /// # Errors
    ///
    /// Never in practice: text is written into memory.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Observe for Metrics {
    fn refused(&self, why: Refused) {
        let reason = match why {
            Refused::Source => "source",
            Refused::Full => "full",
        };
        self.refused.get_or_create(&ByReason { reason }).inc();
    }

    fn handshake_failed(&self) {
        self.handshakes.inc();
    }

    fn connections(&self, open: usize) {
        self.connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}
