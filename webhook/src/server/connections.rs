//! Who is connected, and who has to go when there is no place left.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Response;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use tokio_util::sync::CancellationToken;

use super::progress::{Phase, Progress};

/// Why a connection was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// Its address has as many as one may have, all of them at work.
    Source,
    /// All connections are at work.
    Full,
}

/// The connections of a server.
#[derive(Clone, Debug)]
pub struct Connections {
    table: Arc<Mutex<Table>>,
    most: usize,
    per_source: usize,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    source: IpAddr,
    progress: Arc<Progress>,
    evict: CancellationToken,
}

impl Connections {
    /// A table with this many places, so many of them for one address.
    pub fn new(most: usize, per_source: usize) -> Self {
        Self { table: Arc::default(), most, per_source }
    }

    /// Connections at the moment.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a place. Where there is none left, the connection that has waited longest for its peer ends: first one of
    /// the same address if that has too many, then one of anybody's; of those that were never answered with success, as
    /// long as there are any.
    ///
    /// # Errors
    ///
    /// All that could end are at work.
    pub fn take(&self, source: IpAddr) -> Result<Place, Refused> {
        let mut table = self.lock();
        if table.entries.values().filter(|entry| entry.source == source).count() >= self.per_source {
            table.evict(|entry| entry.source == source).ok_or(Refused::Source)?;
        }
        if table.entries.len() >= self.most {
            table.evict(|_| true).ok_or(Refused::Full)?;
        }
        let id = table.next;
        table.next += 1;
        let entry = Entry { source, progress: Progress::new(), evict: CancellationToken::new() };
        table.entries.insert(id, entry.clone());
        Ok(Place { id, entry, connections: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the connection of those that has been waiting longest, if one is not at work.
    fn evict(&mut self, of: impl Fn(&Entry) -> bool) -> Option<()> {
        let waiting = |entry: &Entry| match entry.progress.phase() {
            Phase::Idle(since) | Phase::Header(since) => Some(since),
            Phase::Busy => None,
        };
        let candidates = self.entries.iter().filter(|(_, entry)| of(entry));
        let candidates = candidates.filter_map(|(id, entry)| Some((*id, entry.progress.has_served(), waiting(entry)?)));
        let (id, ..) = candidates.min_by_key(|(_, served, since)| (*served, *since))?;
        // Its place is free at once; its task ends as soon as it runs.
        self.entries.remove(&id)?.evict.cancel();
        Some(())
    }
}

/// The place of one connection. Dropped, it is free.
#[derive(Debug)]
pub struct Place {
    id: u64,
    entry: Entry,
    connections: Connections,
}

impl Place {
    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.entry.evict.cancelled().await;
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.entry.progress)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().entries.remove(&self.id);
    }
}

/// A service that tells when it is at work, and that its clients had better connect elsewhere once this is about to end.
#[derive(Clone, Debug)]
pub(super) struct Watched<S> {
    service: S,
    progress: Arc<Progress>,
    leaving: CancellationToken,
}

impl<S> Watched<S> {
    pub(super) fn new(service: S, progress: Arc<Progress>, leaving: CancellationToken) -> Self {
        Self { service, progress, leaving }
    }
}

impl<S, R, B> Service<R> for Watched<S>
where
    S: Service<R, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, request: R) -> Self::Future {
        self.progress.set(Phase::Busy);
        let (answer, progress) = (self.service.call(request), Arc::clone(&self.progress));
        let leaving = self.leaving.clone();
        Box::pin(async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer
                && leaving.is_cancelled()
            {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            progress.answered(answer.as_ref().is_ok_and(|answer| answer.status().is_success()));
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn is_evicted(place: &Place) -> bool {
        place.entry.evict.is_cancelled()
    }

    /// A full table, its places taken a second apart.
    async fn full() -> (Connections, Vec<Place>) {
        let (connections, mut places) = (Connections::new(3, 3), Vec::new());
        for _ in 0..3 {
            places.push(connections.take(A).expect("room"));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        (connections, places)
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_makes_room_and_nobody_at_work_does() {
        let (connections, mut places) = full().await;
        places[0].progress().set(Phase::Busy);
        let fourth = connections.take(B).expect("made room");
        assert_eq!(places.iter().map(is_evicted).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(connections.len(), 3);
        // Its task ends later; the place that was given away is not freed twice.
        drop(places.remove(1));
        assert_eq!(connections.len(), 3);

        places[1].progress().set(Phase::Busy);
        fourth.progress().set(Phase::Busy);
        assert_eq!(connections.take(B).expect_err("all at work"), Refused::Full);
        drop(fourth);
        assert!(connections.take(B).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_answered_stays_longer() {
        let (connections, places) = full().await;
        places[0].progress().answered(true);
        places[1].progress().answered(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        places[2].progress().set(Phase::Header(Instant::now()));
        let all = |expected: [bool; 3]| assert_eq!(places.iter().map(is_evicted).collect::<Vec<_>>(), expected);
        let fourth = connections.take(B).expect("made room");
        all([false, true, false]);
        fourth.progress().answered(true);
        let _fifth = connections.take(B).expect("made room");
        all([false, true, true]);
    }

    #[tokio::test]
    async fn one_address_can_only_crowd_out_itself() {
        let connections = Connections::new(10, 2);
        let other = connections.take(B).expect("room");
        let first = connections.take(A).expect("room");
        let second = connections.take(A).expect("room");
        let third = connections.take(A).expect("its own oldest goes");
        assert!(is_evicted(&first) && !is_evicted(&second) && !is_evicted(&other));
        second.progress().set(Phase::Busy);
        third.progress().set(Phase::Busy);
        assert_eq!(connections.take(A).expect_err("both at work"), Refused::Source);
    }
}
