//! The cache: a snapshot that watches keep up to date, and how far each of them is to be trusted.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::core::ApiResource;
use policy::snapshot::{Key, Manifest, Snapshot};
use tokio::sync::{Notify, watch};

use super::object::revision;
use super::table::{Class, ROWS, Row};
use crate::health::Readiness;
use crate::metrics::Metrics;

/// Events that are gathered before the snapshot is made anew, unless somebody asks for it before.
const GATHERED: usize = 1024;
/// Names that a message lists.
const LISTED: usize = 4;
/// Part of readiness.
const PART: &str = "caches";

/// How it stands with the objects of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Whether the API server has such objects is not known yet, and why.
    Unknown(String),
    /// It has none of this kind.
    Absent,
    /// It has them, as a view of what another row reads.
    Twin,
    /// They may not be read, and need not.
    Forbidden,
    /// They have not all been listed yet; with what went wrong last.
    Listing(Option<String>),
    /// They are watched.
    Watched,
    /// They have been listed, and the watch is interrupted.
    Stale {
        /// Since when.
        since: Instant,
        /// Why.
        reason: String,
    },
}

/// What is known of the cluster.
#[derive(Clone, Debug)]
pub struct View {
    /// The facts.
    pub snapshot: Snapshot,
    /// For how long a part of them may have been out of date.
    pub age: Duration,
    /// Which part that is.
    pub oldest: Option<&'static Row>,
}

/// The cache.
#[derive(Debug)]
pub struct Store {
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
    wanted: Notify,
    readiness: Readiness,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Inner {
    snapshot: Snapshot,
    /// What the snapshot does not have yet.
    pending: BTreeMap<Key, Option<Manifest>>,
    /// One for each row of the table.
    rows: Vec<Standing>,
    /// The same: how it is served, if it is read.
    served: Vec<Option<ApiResource>>,
    /// Objects that could not be read, and why.
    mistakes: BTreeMap<Key, String>,
}

impl Store {
    /// One that knows nothing yet.
    pub fn new(readiness: Readiness, metrics: Arc<Metrics>) -> Arc<Self> {
        let rows = vec![Standing::Unknown("the API server has not been asked yet".to_owned()); ROWS.len()];
        let inner = Inner {
            snapshot: Snapshot::default(),
            pending: BTreeMap::new(),
            rows,
            served: vec![None; ROWS.len()],
            mistakes: BTreeMap::new(),
        };
        let store = Self {
            inner: Mutex::new(inner),
            changed: watch::Sender::new(0),
            wanted: Notify::new(),
            readiness,
            metrics,
        };
        store.report(&store.lock());
        Arc::new(store)
    }

    /// What is known.
    ///
    /// # Errors
    ///
    /// Some kind of objects has not been listed yet.
    pub fn view(&self) -> Result<View, String> {
        let mut inner = self.lock();
        let waiting = inner.waiting();
        if !waiting.is_empty() {
            return Err(listed("not read yet", &waiting));
        }
        inner.fold();
        let now = Instant::now();
        let stale = ROWS.iter().zip(&inner.rows).filter_map(|(row, standing)| match standing {
            Standing::Stale { since, .. } => Some((now.saturating_duration_since(*since), row)),
            _ => None,
        });
        let oldest = stale.max_by_key(|(age, _)| *age);
        Ok(View {
            snapshot: inner.snapshot.clone(),
            age: oldest.map_or(Duration::ZERO, |(age, _)| age),
            oldest: oldest.map(|(_, row)| row),
        })
    }

    /// What has been read so far, be it not everything.
    pub fn snapshot(&self) -> Snapshot {
        let mut inner = self.lock();
        inner.fold();
        inner.snapshot.clone()
    }

    /// How it stands with each row of the table.
    pub fn standings(&self) -> Vec<Standing> {
        self.lock().rows.clone()
    }

    /// Rows of a class that are read, and how they are served.
    pub fn served(&self, class: Class) -> Vec<(&'static Row, ApiResource)> {
        let inner = self.lock();
        let served = ROWS.iter().zip(&inner.served).filter(|(row, _)| row.class == class);
        served.filter_map(|(row, resource)| Some((row, resource.clone()?))).collect()
    }

    /// Asks whether the API server has something new, before the time for that has come.
    pub fn look_again(&self) {
        self.wanted.notify_one();
    }

    /// Comes to an end when somebody has asked to look again.
    pub(super) async fn asked_to_look(&self) {
        self.wanted.notified().await;
    }

    /// How a row is served from now on; absent: it is not read.
    pub(super) fn serve(&self, index: usize, resource: Option<ApiResource>) {
        self.lock().served[index] = resource;
    }

    /// Told of every change of the cache.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// An object is so now.
    pub(super) fn put(&self, manifest: Manifest) {
        let mut inner = self.lock();
        // A list repeats what a watch has told. The same object, left in its place, tells that nothing has changed.
        let known = inner.snapshot.objects.get(&manifest.key);
        let same = known
            .is_some_and(|known| revision(&known.value).is_some_and(|known| Some(known) == revision(&manifest.value)));
        if same {
            inner.pending.remove(&manifest.key);
            return;
        }
        inner.pending.insert(manifest.key.clone(), Some(manifest));
        self.gathered(inner);
    }

    /// An object is gone.
    pub(super) fn remove(&self, key: Key) {
        let mut inner = self.lock();
        inner.mistakes.remove(&key);
        inner.pending.insert(key, None);
        self.gathered(inner);
    }

    /// These are all the objects of a row.
    pub(super) fn retain(&self, row: &Row, names: &HashSet<(String, String)>) {
        let mut inner = self.lock();
        inner.fold();
        let is_kept = |namespace: &str, name: &str| {
            !row.has(namespace, name) || names.contains(&(namespace.to_owned(), name.to_owned()))
        };
        inner.snapshot.retain(row.group, row.kind, is_kept);
        inner
            .mistakes
            .retain(|key, _| key.group != row.group || key.kind != row.kind || is_kept(&key.namespace, &key.name));
        self.gathered(inner);
    }

    /// How it stands with a row from now on.
    pub(super) fn set(&self, index: usize, standing: Standing) {
        let mut inner = self.lock();
        let now = match (&inner.rows[index], standing) {
            // What is old does not get younger by failing again, and what was never listed is not known by failing.
            (Standing::Stale { since, .. }, Standing::Stale { reason, .. }) => {
                Standing::Stale { since: *since, reason }
            }
            (Standing::Unknown(_) | Standing::Listing(_), Standing::Stale { reason, .. }) => {
                Standing::Listing(Some(reason))
            }
            (_, standing) => standing,
        };
        if inner.rows[index] != now {
            inner.rows[index] = now;
            self.report(&inner);
        }
    }

    /// Which rows are not known to be there or not.
    pub(super) fn unknown(&self, index: usize, reason: &str) {
        if matches!(self.lock().rows[index], Standing::Unknown(_)) {
            self.set(index, Standing::Unknown(reason.to_owned()));
        }
    }

    /// Tells the metrics how old each part is.
    pub fn measure(&self) {
        let now = Instant::now();
        for (row, standing) in ROWS.iter().zip(self.standings()) {
            match standing {
                Standing::Watched => self.metrics.cluster.cache_age(&row.title(), Some(Duration::ZERO)),
                Standing::Stale { since, .. } => {
                    self.metrics.cluster.cache_age(&row.title(), Some(now.saturating_duration_since(since)));
                }
                Standing::Unknown(_)
                | Standing::Absent
                | Standing::Twin
                | Standing::Forbidden
                | Standing::Listing(_) => {
                    self.metrics.cluster.cache_age(&row.title(), None);
                }
            }
        }
    }

    fn gathered(&self, mut inner: MutexGuard<'_, Inner>) {
        if inner.pending.len() >= GATHERED && inner.fold() {
            self.report(&inner);
        }
        drop(inner);
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    fn report(&self, inner: &Inner) {
        let waiting = inner.waiting();
        let state = if waiting.is_empty() {
            let stale = ROWS.iter().zip(&inner.rows).filter_map(|(row, standing)| match standing {
                Standing::Stale { reason, .. } => Some(format!("{}: {reason}", row.title())),
                _ => None,
            });
            let stale: Vec<String> = stale.collect();
            let unread = inner.mistakes.values().cloned().collect::<Vec<_>>();
            let parts = [("watches interrupted", stale), ("objects that cannot be read", unread)];
            let parts = parts.iter().filter(|(_, what)| !what.is_empty()).map(|(title, what)| listed(title, what));
            let amiss = parts.collect::<Vec<_>>().join("; ");
            Ok(if amiss.is_empty() { "everything is watched".to_owned() } else { amiss })
        } else {
            Err(listed("not read yet", &waiting))
        };
        self.readiness.set(PART, state);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done by a panic: a snapshot is replaced, never taken apart.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes what is pending into the snapshot. Whether something could not be read.
    fn fold(&mut self) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let pending = std::mem::take(&mut self.pending);
        for key in pending.keys() {
            self.mistakes.remove(key);
        }
        let mistakes = self.snapshot.update(pending);
        let any = !mistakes.is_empty();
        for mistake in mistakes {
            tracing::warn!(%mistake, "an object cannot be read and is not judged with");
            if let policy::snapshot::LoadError::Field { key, path, message, .. } = mistake {
                let text = format!("{key}: {path}: {message}");
                self.mistakes.insert(key, text);
            }
        }
        any
    }

    /// What has not been read yet, and why.
    fn waiting(&self) -> Vec<String> {
        let waiting = ROWS.iter().zip(&self.rows).filter_map(|(row, standing)| match standing {
            Standing::Unknown(reason) | Standing::Listing(Some(reason)) => Some(format!("{}: {reason}", row.title())),
            Standing::Listing(None) => Some(row.title()),
            Standing::Absent | Standing::Twin | Standing::Forbidden | Standing::Watched | Standing::Stale { .. } => {
                None
            }
        });
        waiting.collect()
    }
}

/// The first of some things, and how many there are.
fn listed(title: &str, all: &[String]) -> String {
    let first = all.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = all.len().saturating_sub(LISTED);
    if more == 0 { format!("{title}: {first}") } else { format!("{title}: {first}; and {more} more") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store() -> Arc<Store> {
        let store = Store::new(Readiness::default(), Arc::default());
        for index in 0..ROWS.len() {
            store.set(index, Standing::Watched);
        }
        store
    }

    fn object(group: &str, kind: &str, name: &str, revision: u64) -> Manifest {
        let [group, kind, name] = [group, kind, name].map(str::to_owned);
        let value =
            json!({"metadata": {"name": name, "resourceVersion": revision.to_string()}, "spec": {"at": revision}});
        Manifest {
            key: Key { group, kind, namespace: String::new(), name },
            version: "v3".to_owned(),
            value,
            source: None,
        }
    }

    fn tier(name: &str, revision: u64) -> Manifest {
        object("projectcalico.org", "Tier", name, revision)
    }

    fn row(kind: &str) -> usize {
        ROWS.iter().position(|row| row.kind == kind).expect("in the table")
    }

    #[test]
    fn nothing_is_said_before_everything_was_read() {
        let readiness = Readiness::default();
        let store = Store::new(readiness.clone(), Arc::default());
        assert!(store.view().is_err() && !readiness.is_ready());
        for index in 0..ROWS.len() {
            assert!(store.view().is_err(), "{index}");
            store.set(index, if index % 2 == 0 { Standing::Watched } else { Standing::Absent });
        }
        assert!(readiness.is_ready());
        assert_eq!(store.view().expect("ready").age, Duration::ZERO);
        store.set(row("Pod"), Standing::Listing(Some("forbidden".to_owned())));
        assert_eq!(store.view().expect_err("waiting"), "not read yet: pods: forbidden");
        assert!(!readiness.is_ready());
    }

    #[test]
    fn what_watches_tell_is_seen_at_once() {
        let store = store();
        store.put(tier("a", 1));
        store.put(object("", "Node", "n", 2));
        let first = store.view().expect("ready").snapshot;
        assert_eq!((first.objects.len(), first.cluster.nodes.len()), (1, 1));
        // The same revision again is the same object.
        store.put(tier("a", 1));
        store.put(tier("b", 3));
        let second = store.view().expect("ready").snapshot;
        let (old, new) = (first.objects.get(&tier("a", 1).key), second.objects.get(&tier("a", 1).key));
        assert!(Arc::ptr_eq(old.expect("there"), new.expect("there")));
        store.remove(tier("a", 1).key);
        store.put(tier("b", 4));
        let third = store.view().expect("ready").snapshot;
        assert_eq!(third.objects.values().map(|tier| tier.value["spec"]["at"].as_u64()).collect::<Vec<_>>(), [Some(4)]);
        assert_eq!(second.objects.len(), 2);
    }

    #[test]
    fn what_a_list_no_longer_has_is_gone_and_other_rows_stay() {
        let store = store();
        let map = |namespace: &str, name: &str| {
            let mut map = object("", "ConfigMap", name, 1);
            map.key.namespace = namespace.to_owned();
            map.value["metadata"]["namespace"] = namespace.into();
            map
        };
        for (namespace, name) in
            [("kube-system", "cilium-config"), ("kube-system", "kube-proxy"), ("kube-public", "cluster-info")]
        {
            store.put(map(namespace, name));
        }
        store.put(tier("a", 1));
        let of = |namespace: &str| ROWS.iter().find(|row| row.kind == "ConfigMap" && row.namespace == Some(namespace));
        let names = HashSet::from([("kube-system".to_owned(), "kube-proxy".to_owned())]);
        store.retain(of("kube-system").expect("in the table"), &names);
        let tiers = ROWS.iter().find(|row| row.kind == "Tier" && row.group == "projectcalico.org");
        store.retain(tiers.expect("in the table"), &HashSet::new());
        let snapshot = store.view().expect("ready").snapshot;
        let maps: Vec<_> = snapshot.cluster.config_maps.iter().map(|map| map.name.as_str()).collect();
        assert_eq!((maps, snapshot.objects.len()), (vec!["cluster-info", "kube-proxy"], 0));
    }

    #[test]
    fn an_interrupted_watch_ages_and_an_unfinished_list_does_not_become_one() {
        let store = store();
        let since = Instant::now() - Duration::from_secs(90);
        store.set(row("Node"), Standing::Stale { since, reason: "refused".to_owned() });
        store.set(row("Node"), Standing::Stale { since: Instant::now(), reason: "refused again".to_owned() });
        let view = store.view().expect("still known");
        assert!(view.age >= Duration::from_secs(90));
        assert_eq!(view.oldest.map(|row| row.kind), Some("Node"));
        store.set(row("Pod"), Standing::Listing(None));
        store.set(row("Pod"), Standing::Stale { since, reason: "refused".to_owned() });
        assert_eq!(store.standings()[row("Pod")], Standing::Listing(Some("refused".to_owned())));
    }

    #[test]
    fn one_object_that_cannot_be_read_is_named_and_costs_no_other() {
        let readiness = Readiness::default();
        let store = Store::new(readiness.clone(), Arc::default());
        (0..ROWS.len()).for_each(|index| store.set(index, Standing::Watched));
        let mut bad = object("", "Node", "bad", 1);
        bad.value["status"] = json!({"addresses": [{"type": "InternalIP", "address": "nowhere"}]});
        store.put(bad.clone());
        (0..GATHERED).for_each(|at| store.put(object("", "Namespace", &format!("n{at}"), 1)));
        assert_eq!(store.view().expect("ready").snapshot.cluster.namespaces.len(), GATHERED);
        assert!(readiness.is_ready());
        assert!(store.lock().mistakes[&bad.key].contains("nowhere"));
        store.remove(bad.key);
        assert!(store.lock().mistakes.is_empty());
    }
}
