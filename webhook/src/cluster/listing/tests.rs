//! Reads of a simulated API server whose objects change at any moment, with a cache that lags behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::routing::get;
use axum::{Json, Router};
use kube::Client;
use kube::core::ApiResource;
use policy::snapshot::{Key, Manifest, Snapshot};
use serde_json::{Value, json};

use super::super::live::{Limits, Live, Source as _};
use super::super::store::{Standing, Store};
use super::super::table::ROWS;
use super::*;
use crate::health::Readiness;

const GROUP: &str = "projectcalico.org";
const KINDS: [(&str, &str); 2] = [("GlobalNetworkPolicy", "globalnetworkpolicies"), ("NetworkSet", "networksets")];

/// Kind and name, and revisions.
type Objects = BTreeMap<(usize, String), u64>;

struct Server {
    random: fastrand::Rng,
    revision: u64,
    objects: Objects,
    /// What there was, since a read began.
    history: Vec<Objects>,
    /// One of so many requests finds that something changes after it.
    restless: u8,
    /// What was asked for: whether in full, and how many objects were sent.
    sent: Vec<(bool, usize)>,
}

type Shared = Arc<Mutex<Server>>;

fn lock(server: &Shared) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn write(&mut self) {
        let at = (self.random.usize(..KINDS.len()), format!("o{}", self.random.u8(..12)));
        self.revision += 1;
        if self.random.u8(..3) == 0 {
            self.objects.remove(&at);
        } else {
            self.objects.insert(at, self.revision);
        }
        self.history.push(self.objects.clone());
    }

    fn list(&mut self, plural: &str, query: &BTreeMap<String, String>, is_full: bool) -> Value {
        let older = query.get("resourceVersion").and_then(|text| text.parse::<u64>().ok());
        assert!(older.is_none_or(|older| older <= self.revision && query["resourceVersionMatch"] == "NotOlderThan"));
        let fields: BTreeSet<&str> =
            query.get("fieldSelector").map(|text| text.split(',').collect()).unwrap_or_default();
        let items = self.objects.iter().filter(|((kind, _), _)| KINDS[*kind].1 == plural);
        let items = items.map(|((kind, name), revision)| object(*kind, name, *revision).value).filter(|object| {
            let metadata = &object["metadata"];
            fields.iter().all(|field| {
                let (path, value) = field.split_once('=').expect("a field selector");
                metadata[path.strip_prefix("metadata.").expect("of metadata")] == value
            })
        });
        let items: Vec<Value> =
            items.map(|object| if is_full { object } else { json!({"metadata": object["metadata"]}) }).collect();
        self.sent.push((is_full, items.len()));
        let answer = json!({"metadata": {"resourceVersion": self.revision.to_string()}, "items": items});
        if self.restless > 0 && self.random.u8(..self.restless) == 0 {
            (0..self.random.u8(1..8)).for_each(|_| self.write());
        }
        answer
    }
}

async fn list(
    State(server): State<Shared>,
    Path(plural): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Json<Value> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    Json(lock(&server).list(&plural, &query, !accept.contains("as=PartialObjectMetadataList")))
}

fn object(kind: usize, name: &str, revision: u64) -> Manifest {
    let namespace = if kind == 1 { "n" } else { "" };
    let mut value = json!({"apiVersion": "projectcalico.org/v3", "kind": KINDS[kind].0, "metadata": {"name": name,
        "resourceVersion": revision.to_string()}, "spec": {"of": revision}});
    if !namespace.is_empty() {
        value["metadata"]["namespace"] = namespace.into();
    }
    Manifest { key: key(kind, name), version: "v3".to_owned(), value, source: None }
}

fn key(kind: usize, name: &str) -> Key {
    let [group, kind_name, namespace] = [GROUP, KINDS[kind].0, if kind == 1 { "n" } else { "" }].map(str::to_owned);
    Key { group, kind: kind_name, namespace, name: name.to_owned() }
}

/// A server, the cache that should know it, and reads of it.
fn world(seed: u64, restless: u8) -> (Shared, Arc<Store>, Live) {
    let server = Server {
        random: fastrand::Rng::with_seed(seed),
        revision: 1,
        objects: BTreeMap::new(),
        history: Vec::new(),
        restless,
        sent: Vec::new(),
    };
    let server = Arc::new(Mutex::new(server));
    let routes = Router::new().route("/apis/projectcalico.org/v3/{plural}", get(list)).with_state(Arc::clone(&server));
    let store = Store::new(Readiness::default(), Arc::default());
    for (index, row) in ROWS.iter().enumerate() {
        store.set(index, Standing::Watched);
        if let Some((kind, plural)) = KINDS.into_iter().find(|(kind, _)| (GROUP, *kind) == (row.group, row.kind)) {
            let [group, version, kind, plural] = [GROUP, "v3", kind, plural].map(str::to_owned);
            let api_version = format!("{group}/{version}");
            store.serve(index, Some(ApiResource { group, version, api_version, kind, plural }));
        }
    }
    let limits = Limits { oldest: std::time::Duration::from_secs(300) };
    let live = Live::new(Client::new(routes, "default"), Arc::clone(&store), limits, Arc::default());
    (server, store, live)
}

/// Tells the cache what changed, all of it or only some.
fn follow(store: &Store, known: &mut Objects, now: &Objects, mut is_told: impl FnMut() -> bool) {
    let all: BTreeSet<_> = known.keys().chain(now.keys()).cloned().collect();
    for at in all {
        if known.get(&at) == now.get(&at) || !is_told() {
            continue;
        }
        match now.get(&at) {
            Some(revision) => {
                store.put(object(at.0, &at.1, *revision));
                known.insert(at, *revision);
            }
            None => {
                store.remove(key(at.0, &at.1));
                known.remove(&at);
            }
        }
    }
}

fn shown(read: &Snapshot) -> Objects {
    let all = KINDS.iter().enumerate().flat_map(|(at, (kind, _))| read.of(GROUP, kind).map(move |object| (at, object)));
    let all = all.map(|(at, found)| {
        let revision = revision(&found.value).and_then(|text| text.parse().ok()).expect("a revision");
        // Not only under the right name: the object itself, as it was written then.
        assert_eq!(**found, object(at, &found.key.name, revision));
        ((at, found.key.name.clone()), revision)
    });
    all.collect()
}

#[tokio::test]
async fn whatever_the_cache_knows_a_read_shows_what_there_is() {
    let mut none = 0;
    for seed in 0..60 {
        let (server, store, live) = world(seed, 0);
        let mut known = Objects::new();
        for _ in 0..8 {
            let writes = lock(&server).random.u8(..10);
            (0..writes).for_each(|_| lock(&server).write());
            let now = lock(&server).objects.clone();
            let mut random = lock(&server).random.fork();
            follow(&store, &mut known, &now, || random.u8(..3) > 0);
            lock(&server).sent.clear();
            let read = live.read().await.expect("read");
            assert_eq!(shown(&read), now, "seed {seed}");
            let sent = lock(&server).sent.clone();
            if known == now {
                none += 1;
                assert!(sent.iter().all(|(is_full, _)| !is_full), "seed {seed}: {sent:?}");
                assert!(Arc::ptr_eq(&read.objects, &store.snapshot().objects), "seed {seed}");
            }
            // Names of each kind, and then one list or a few single objects.
            assert!(sent.len() <= KINDS.len() * (1 + FEW), "seed {seed}: {sent:?}");
        }
    }
    assert!(none > 10, "{none}");
}

#[tokio::test]
async fn each_object_is_as_it_was_at_some_moment_after_the_read_began() {
    let mut moved = 0;
    for seed in 0..120 {
        let (server, store, live) = world(seed, 3);
        (0..20).for_each(|_| lock(&server).write());
        let now = lock(&server).objects.clone();
        let mut random = lock(&server).random.fork();
        follow(&store, &mut Objects::new(), &now, || random.bool());
        lock(&server).history = vec![now];
        let read = shown(&live.read().await.expect("read"));
        let history = lock(&server).history.clone();
        moved += usize::from(history.len() > 1 && history.first() != Some(&read));
        let names: BTreeSet<_> = history.iter().chain([&read]).flat_map(Objects::keys).collect();
        for name in names {
            let was = |moment: &Objects| moment.get(name) == read.get(name);
            assert!(history.iter().any(was), "seed {seed}: {name:?} is {:?} in {history:?}", read.get(name));
        }
    }
    assert!(moved > 30, "{moved}");
}

#[tokio::test]
async fn where_many_differ_they_are_listed_at_once() {
    let (server, store, live) = world(1, 0);
    for number in 0..=FEW {
        lock(&server).objects.insert((0, format!("o{number}")), 1);
    }
    let now = lock(&server).objects.clone();
    live.read().await.expect("read");
    assert_eq!(lock(&server).sent, [(false, FEW + 1), (false, 0), (true, FEW + 1)]);
    let mut known = Objects::new();
    let mut told = 0;
    follow(&store, &mut known, &now, || {
        told += 1;
        told > FEW
    });
    lock(&server).sent.clear();
    live.read().await.expect("read");
    assert_eq!(lock(&server).sent.split_off(2), [(true, 1); FEW]);
}

#[tokio::test]
async fn of_a_kind_that_is_not_served_nothing_is_left() {
    let (server, store, live) = world(1, 0);
    store.put(object(0, "a", 1));
    lock(&server).objects.insert((0, "a".to_owned()), 1);
    assert_eq!(shown(&live.read().await.expect("read")).len(), 1);
    let index = ROWS.iter().position(|row| (row.group, row.kind) == (GROUP, KINDS[0].0)).expect("in the table");
    store.serve(index, None);
    assert_eq!(shown(&live.read().await.expect("read")).len(), 0);
}
