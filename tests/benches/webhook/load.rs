//! Reviews at a steady rate, counted.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Outcome;

/// Requests under way at a time.
pub(crate) const CLIENTS: usize = 50;

/// What came of them.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) asked: usize,
    pub(crate) failed: usize,
    /// Why, and how often.
    pub(crate) reasons: BTreeMap<String, usize>,
    latencies: Vec<Duration>,
    took: Duration,
}

impl Load {
    /// Of requests that were all answered.
    pub(crate) fn of(latencies: Vec<Duration>, took: Duration) -> Self {
        Self { asked: latencies.len(), latencies, took, ..Self::default() }
    }

    /// Milliseconds in which so many of a hundred were answered.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.asked as f64 / self.took.as_secs_f64()
    }

    /// Fails if any was not let in.
    pub(crate) fn check(&self) -> Outcome {
        let refused = self.reasons.iter().next();
        refused.map_or(Ok(()), |(reason, times)| Err(format!("{times} x {reason}").into()))
    }

    /// Counts what another one counted as well.
    pub(crate) fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.failed += other.failed;
        self.latencies.extend(other.latencies);
        self.took += other.took;
        for (reason, times) in other.reasons {
            *self.reasons.entry(reason).or_default() += times;
        }
    }

    fn count(&mut self, answer: Result<Duration, String>) {
        self.asked += 1;
        match answer {
            Ok(took) => self.latencies.push(took),
            Err(reason) => {
                self.failed += 1;
                let reason = reason.chars().filter(|it| !it.is_ascii_digit()).take(160).collect();
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
    }
}

/// Asks so many times, so many times a second; without a rate, as fast as the clients are answered.
pub(crate) async fn run<F>(count: usize, a_second: Option<u32>, ask: impl Fn(usize) -> F) -> Load
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let mut ticks = a_second.map(|rate| {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks
    });
    let begin = Instant::now();
    let (places, mut tasks, mut load) = (Arc::new(Semaphore::new(CLIENTS)), JoinSet::new(), Load::default());
    for number in 0..count {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        // Who asks at a rate waits for a place too, and who asks again when answered does not.
        let due = a_second.map(|_| Instant::now());
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let asked = ask(number);
        tasks.spawn(async move {
            let _place = place;
            let start = due.unwrap_or_else(Instant::now);
            asked.await.map(|()| start.elapsed())
        });
        while let Some(Ok(answer)) = tasks.try_join_next() {
            load.count(answer);
        }
    }
    while let Some(Ok(answer)) = tasks.join_next().await {
        load.count(answer);
    }
    load.took = begin.elapsed();
    load
}
