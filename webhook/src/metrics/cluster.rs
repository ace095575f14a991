//! About the cluster that is guarded: how fresh what is known of it is, and how it stands with its lifelines.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByObjects {
    objects: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLifeline {
    lifeline: String,
    severity: String,
}

/// Metrics about the cluster.
#[derive(Debug)]
pub struct ClusterMetrics {
    ages: Family<ByObjects, Gauge<f64, AtomicU64>>,
    reads: Family<ByResult, Counter>,
    read_seconds: Histogram,
    conflicts: Counter,
    entries: Gauge<i64, AtomicI64>,
    broken: Family<ByLifeline, Gauge<i64, AtomicI64>>,
    audits: Family<ByResult, Counter>,
    audit_seconds: Histogram,
    config: Gauge<i64, AtomicI64>,
}

impl ClusterMetrics {
    /// Adds them to a registry.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let ages = Family::default();
        let help = "For how long what is known of these objects may have been out of date";
        registry.register_with_unit("cache_age", help, Unit::Seconds, ages.clone());
        let reads = Family::default();
        registry.register("live_reads", "Reads of all policy for a change, by result", reads.clone());
        // A millisecond to some eight seconds.
        let buckets = || exponential_buckets(0.001, 2.0, 14);
        let read_seconds = Histogram::new(buckets());
        registry.register_with_unit("live_read", "Time of such a read", Unit::Seconds, read_seconds.clone());
        let conflicts = Counter::default();
        let help = "Reviews begun anew because another replica wrote to the ledger";
        registry.register("ledger_conflicts", help, conflicts.clone());
        let entries = Gauge::default();
        let help = "Changes in the ledger, whose outcome was not known when it was last read";
        registry.register("ledger_entries", help, entries.clone());
        let broken = Family::default();
        let help = "Pairs of ends between which packets of a lifeline do not pass";
        registry.register("lifeline_broken_pairs", help, broken.clone());
        let audits = Family::default();
        registry.register("audits", "Judgements of the state of the cluster, by result", audits.clone());
        let audit_seconds = Histogram::new(buckets());
        registry.register_with_unit("audit", "Time of such a judgement", Unit::Seconds, audit_seconds.clone());
        let config = Gauge::default();
        let help = "Whether the configuration in force is the one that the cluster has; 0: that one is broken";
        registry.register("config_current", help, config.clone());
        config.set(1);
        Self { ages, reads, read_seconds, conflicts, entries, broken, audits, audit_seconds, config }
    }

    /// For how long what is known of some objects may have been out of date; none where there are no such objects.
    pub fn cache_age(&self, objects: &str, age: Option<Duration>) {
        let by = ByObjects { objects: objects.to_owned() };
        match age {
            Some(age) => drop(self.ages.get_or_create(&by).set(age.as_secs_f64())),
            None => drop(self.ages.remove(&by)),
        }
    }

    /// All policy was read, or could not be.
    pub fn live_read(&self, read: bool, took: Duration) {
        self.reads.get_or_create(&ByResult { result: result(read) }).inc();
        self.read_seconds.observe(took.as_secs_f64());
    }

    /// Another replica wrote to the ledger meanwhile.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }

    /// So many changes are in the ledger.
    pub fn entries(&self, entries: usize) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// The state of the cluster was judged: pairs that are broken, of each lifeline with its severity. None: it could
    /// not be judged.
    pub fn audit(&self, lifelines: Option<&[(String, String, usize)]>, took: Duration) {
        self.audits.get_or_create(&ByResult { result: result(lifelines.is_some()) }).inc();
        self.audit_seconds.observe(took.as_secs_f64());
        let Some(lifelines) = lifelines else { return };
        self.broken.clear();
        for (lifeline, severity, pairs) in lifelines {
            let by = ByLifeline { lifeline: lifeline.clone(), severity: severity.clone() };
            self.broken.get_or_create(&by).set(i64::try_from(*pairs).unwrap_or(i64::MAX));
        }
    }

    /// Whether the configuration in force is the one that the cluster has.
    pub fn config(&self, current: bool) {
        self.config.set(i64::from(current));
    }
}

fn result(good: bool) -> &'static str {
    if good { "done" } else { "failed" }
}
