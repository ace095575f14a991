//! All policy, read from the API server for a change whose verdict depends on it.
//!
//! A list without a resourceVersion shows everything that was written before it was asked for. Requests that wait share
//! a read only if it began after each of them came: what they must see had been written by then.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, try_join_all};
use kube::Client;
use policy::snapshot::{Manifest, Objects, Snapshot};
use tokio::sync::Mutex;
use tracing::Instrument as _;

use super::discover::short;
use super::listing::Listing;
use super::store::Store;
use super::table::{Class, ROWS, Row};
use crate::metrics::Metrics;

/// Where policy is read from.
pub trait Source: Send + Sync + 'static {
    /// Everything as it is now: each object as it was at some moment after the call.
    fn read(&self) -> BoxFuture<'_, Result<Snapshot, String>>;
}

/// The API server: policy from it, facts from the cache.
pub struct Live {
    client: Client,
    store: Arc<Store>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// How old facts may be to be judged with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a watch may be interrupted. What nodes and pods there are changes without us; after so long, no verdict
    /// about them is worth anything.
    pub oldest: Duration,
}

impl Live {
    /// Reads from an API server.
    pub fn new(client: Client, store: Arc<Store>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { client, store, limits, metrics }
    }

    /// What the cache holds, unless it is too old.
    ///
    /// # Errors
    ///
    /// It is not complete, or too old.
    pub fn cached(&self) -> Result<Snapshot, String> {
        let view = self.store.view()?;
        match view.oldest {
            Some(row) if view.age > self.limits.oldest => {
                let (title, age) = (row.title(), view.age.as_secs());
                Err(format!("what is known of {title} is {age} s old; the watch on the API server is interrupted"))
            }
            _ => Ok(view.snapshot),
        }
    }

    async fn all(&self) -> Result<Snapshot, String> {
        // Which kinds there are may be known before what there is of them.
        let served = self.store.served(Class::Policy);
        let lists = served.into_iter().map(async |(row, resource)| {
            Listing::read(&self.client, row, resource).await.map_err(|error| unread(row, &error))
        });
        let lists = try_join_all(lists).await?;
        let mut snapshot = self.cached()?;
        let known = Arc::clone(&snapshot.objects);
        let differing =
            lists.iter().map(async |list| list.differing(&known).await.map_err(|error| unread(list.row(), &error)));
        let differing = try_join_all(differing).await?;
        let absent = ROWS.iter().filter(|row| row.class == Class::Policy);
        let absent = absent.filter(|row| !lists.iter().any(|list| std::ptr::eq(list.row(), *row)));
        let differing = lists.iter().zip(differing).filter_map(|(list, all)| Some((list.row(), all?)));
        for (row, all) in absent.map(|row| (row, Vec::new())).chain(differing) {
            replace(&mut snapshot.objects, row, all);
        }
        Ok(snapshot)
    }
}

fn unread(row: &Row, error: &kube::Error) -> String {
    format!("{} cannot be read: {}", row.title(), short(error))
}

/// Makes these all the objects of a row.
fn replace(objects: &mut Arc<Objects>, row: &Row, all: Vec<Arc<Manifest>>) {
    if all.is_empty() && objects.of(row.group, row.kind).next().is_none() {
        return;
    }
    let objects = Arc::make_mut(objects);
    objects.retain(|key| (key.group.as_str(), key.kind.as_str()) != (row.group, row.kind));
    for object in all {
        objects.insert(object);
    }
}

impl Source for Live {
    fn read(&self) -> BoxFuture<'_, Result<Snapshot, String>> {
        let read = async {
            let start = Instant::now();
            let read = self.all().await;
            self.metrics.cluster.live_read(read.is_ok(), start.elapsed());
            read
        };
        Box::pin(read.instrument(tracing::debug_span!("read")))
    }
}

/// A read, with its place among all reads of this process: a later one began after an earlier one had ended.
#[derive(Clone, Debug)]
pub struct Read {
    /// Its place, from 1.
    pub number: u64,
    /// What it showed.
    pub snapshot: Snapshot,
}

/// Reads that are shared.
pub struct Shared {
    source: Arc<dyn Source>,
    last: Mutex<Option<Read>>,
    begun: AtomicU64,
    waiting: AtomicUsize,
}

impl Shared {
    /// Shares the reads of a source.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source, last: Mutex::new(None), begun: AtomicU64::new(0), waiting: AtomicUsize::new(0) }
    }

    /// The number of the next read to begin.
    pub fn next(&self) -> u64 {
        self.begun.load(SeqCst) + 1
    }

    /// A read that began after this was called.
    ///
    /// # Errors
    ///
    /// It failed.
    pub async fn read(&self) -> Result<Read, String> {
        // One that has begun already may have passed what is to be seen.
        let enough = self.next();
        let waiting = Waiting::new(&self.waiting);
        let mut last = self.last.lock().await;
        let read = match last.take().filter(|read| read.number >= enough) {
            Some(read) => read,
            None => {
                let number = self.begun.fetch_add(1, SeqCst) + 1;
                Read { number, snapshot: self.source.read().await? }
            }
        };
        // Kept for those who wait and no longer: a snapshot is large.
        if waiting.others() {
            *last = Some(read.clone());
        }
        Ok(read)
    }
}

/// One who waits, also while it gives up.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn new(count: &'w AtomicUsize) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }

    fn others(&self) -> bool {
        self.0.load(SeqCst) > 1
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Slow {
        reads: AtomicUsize,
    }

    impl Source for Slow {
        fn read(&self) -> BoxFuture<'_, Result<Snapshot, String>> {
            Box::pin(async {
                let read = self.reads.fetch_add(1, SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                if read == 2 { Err("away".to_owned()) } else { Ok(Snapshot::default()) }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_a_read_that_began_after_they_came() {
        let source = Arc::new(Slow::default());
        let shared = Arc::new(Shared::new(Arc::clone(&source) as Arc<dyn Source>));
        let ask = |after: u64| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                shared.read().await.map(|read| read.number)
            })
        };
        let asked = [ask(0), ask(10), ask(50), ask(90), ask(110)];
        let mut numbers = Vec::new();
        for one in asked {
            numbers.push(one.await.expect("no panic"));
        }
        // The first reads; three wait for its end and share the next, and the last came after that had begun. It fails.
        assert_eq!(numbers, [Ok(1), Ok(2), Ok(2), Ok(2), Err("away".to_owned())]);
        assert_eq!(shared.read().await.map(|read| read.number), Ok(4));
    }
}
