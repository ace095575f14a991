//! Watches that keep the cache up to date.
//!
//! One task for each row of the table that the API server has objects of. A row that it has not is looked for again
//! from time to time: a CRD may come later. Whatever goes wrong, a task lists anew and goes on, later and later.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::discover::{Served, discover, short};
use super::object::Object;
use super::store::{Standing, Store};
use super::table::{ROWS, Row};

/// Objects in a page of a list. Pages are held as they come, so they bound the memory that listing takes.
const PAGE: u32 = 250;
/// The API server ends a watch after so many seconds, and a watch that is silent for five more is given up. What is cut
/// without a word is noticed in that time.
const WATCH: u32 = 50;
/// Between two attempts, at first and at most.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);
/// Until it is asked again whether something may be read.
const WITHOUT: Duration = Duration::from_secs(60);
/// After so long without a failure, it begins anew.
const CALM: Duration = Duration::from_secs(30);

/// Keeps a cache up to date, until it is told to stop.
pub async fn follow(client: Client, store: Arc<Store>, discovery: Duration, stop: CancellationToken) {
    let mut tasks = Tasks { running: BTreeMap::new(), all: JoinSet::new(), client, store };
    let mut pause = Pause::default();
    loop {
        let wait = match discover(&tasks.client).await {
            Ok(served) => {
                let complete = tasks.adjust(served).await;
                if complete { discovery } else { pause.next() }
            }
            Err(error) => {
                (0..ROWS.len()).for_each(|index| tasks.store.unknown(index, &short(&error)));
                pause.next()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = tasks.store.asked_to_look() => {}
            () = stop.cancelled() => break,
        }
        tasks.store.measure();
        while tasks.all.try_join_next().is_some() {}
    }
    tasks.all.shutdown().await;
}

struct Tasks {
    running: BTreeMap<usize, (ApiResource, tokio::task::AbortHandle)>,
    all: JoinSet<()>,
    client: Client,
    store: Arc<Store>,
}

impl Tasks {
    /// Begins and ends watches. Whether it is known of every row how it is served.
    async fn adjust(&mut self, served: Vec<Served>) -> bool {
        let mut complete = true;
        for (index, served) in served.into_iter().enumerate() {
            match served {
                Served::As(resource) => {
                    if self.running.get(&index).is_none_or(|(running, _)| *running != resource) {
                        self.end(index, Standing::Listing(None)).await;
                        self.store.serve(index, Some(resource.clone()));
                        let task = row(self.client.clone(), index, resource.clone(), Arc::clone(&self.store));
                        self.running.insert(index, (resource, self.all.spawn(task)));
                    }
                }
                Served::Absent => self.end(index, Standing::Absent).await,
                Served::Twin => self.end(index, Standing::Twin).await,
                Served::Unknown(reason) => {
                    complete = false;
                    self.store.unknown(index, &reason);
                }
            }
        }
        complete
    }

    /// Ends a watch, and forgets what it told.
    async fn end(&mut self, index: usize, standing: Standing) {
        self.store.serve(index, None);
        if let Some((_, task)) = self.running.remove(&index) {
            task.abort();
            // It tells nothing more once it has ended, and not before.
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
            self.store.retain(&ROWS[index], &HashSet::new());
        }
        self.store.set(index, standing);
    }
}

/// Watches the objects of a row for ever.
async fn row(client: Client, index: usize, resource: ApiResource, store: Arc<Store>) {
    let row = &ROWS[index];
    let mut pause = Pause::default();
    loop {
        let error = watched(&client, index, row, &resource, &store).await;
        let reason = match &error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => short(error),
            watcher::Error::WatchError(status) => format!("{} {}", status.code, status.message),
            watcher::Error::NoResourceVersion => "the API server sends no resourceVersion".to_owned(),
        };
        tracing::debug!(objects = %row.title(), %reason, "a watch is interrupted");
        if row.optional && is_forbidden(&error) {
            store.retain(row, &HashSet::new());
            store.set(index, Standing::Forbidden);
            tokio::time::sleep(WITHOUT).await;
        } else {
            store.set(index, Standing::Stale { since: Instant::now(), reason });
            tokio::time::sleep(pause.next()).await;
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Lists and watches until something goes wrong.
///
/// After that, all is listed anew: a watch that is resumed says nothing until something changes, and meanwhile nobody
/// would know whether it goes on.
async fn watched(client: &Client, index: usize, row: &Row, resource: &ApiResource, store: &Store) -> watcher::Error {
    let api: Api<Object> = match row.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let mut config = watcher::Config::default().page_size(PAGE).timeout(WATCH);
    if let Some(name) = row.name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let events = watcher(api, config);
    pin_mut!(events);
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                let manifest = object.into_manifest(resource);
                listed.insert((manifest.key.namespace.clone(), manifest.key.name.clone()));
                store.put(manifest);
            }
            Ok(Event::InitDone) => {
                store.retain(row, &std::mem::take(&mut listed));
                store.set(index, Standing::Watched);
            }
            Ok(Event::Apply(object)) => store.put(object.into_manifest(resource)),
            Ok(Event::Delete(object)) => store.remove(object.into_manifest(resource).key),
            Err(error) => return error,
        }
    }
    // The stream has no end (kube-rs/kube:kube-runtime/src/watcher.rs).
    watcher::Error::NoResourceVersion
}

/// Longer and longer, until it has been calm for a while.
#[derive(Debug, Default)]
struct Pause {
    last: Option<(Instant, Duration)>,
}

impl Pause {
    fn next(&mut self) -> Duration {
        let now = Instant::now();
        let next = match self.last {
            Some((at, last)) if now.saturating_duration_since(at) < last + CALM => (last * 2).min(LONGEST),
            _ => SHORTEST,
        };
        self.last = Some((now, next));
        // Replicas and rows that failed together do not come back together.
        next.mul_f64(0.75 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_never_rare() {
        let mut pause = Pause::default();
        let all: Vec<Duration> = (0..12).map(|_| pause.next()).collect();
        assert!(all[0] <= SHORTEST.mul_f64(1.25) && all[0] >= SHORTEST.mul_f64(0.75));
        assert!(all[4] > all[0] * 4);
        assert!(all.iter().all(|pause| *pause <= LONGEST.mul_f64(1.25)));
        pause.last = Some((Instant::now() - CALM - LONGEST * 2, LONGEST));
        assert!(pause.next() <= SHORTEST.mul_f64(1.25));
    }
}
