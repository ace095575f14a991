//! The state of the cluster, judged again and again: nodes get other labels and addresses without anybody asking, and
//! things were admitted while we were away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::lifeline::config::Config;
use policy::lifeline::judge::{Cut, Judgement};
use policy::snapshot::{Key, Snapshot};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::events::{Events, Subject};
use super::live::Live;
use super::warm::Warm;
use crate::metrics::Metrics;

/// At the latest after this time.
const EVERY: Duration = Duration::from_secs(60);
/// After a change, until what belongs to it has come too.
const SETTLES: Duration = Duration::from_secs(2);
/// Between two, however much changes: a share of the processor that reviews do not miss.
const APART: Duration = Duration::from_secs(5);

/// Goes on until it is told to stop.
pub(super) struct Audit {
    pub(super) live: Arc<Live>,
    pub(super) changes: watch::Receiver<u64>,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) warm: Arc<Warm>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Arc<Events>,
}

/// A lifeline, and what is to blame.
type Blame = (String, Option<Key>);

impl Audit {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut told: BTreeSet<Blame> = BTreeSet::new();
        while stop.run_until_cancelled(self.due()).await.is_some() {
            let start = Instant::now();
            match self.judged().instrument(tracing::debug_span!("audit")).await {
                Ok((snapshot, judgement, lifelines)) => {
                    self.metrics.cluster.audit(Some(&lifelines), start.elapsed());
                    let blamed = blamed(&judgement.cuts);
                    for (blame, cut) in blamed.iter().filter(|(blame, _)| !told.contains(blame)) {
                        tracing::warn!(lifeline = %cut.lifeline, pairs = cut.pairs, reason = %cut.deciding.reason, "a lifeline is cut");
                        if let Some(subject) = blame.1.as_ref().and_then(|key| subject(&snapshot, key)) {
                            self.events.warn(&subject, "CutsLifeline", "Audit", &note(cut)).await;
                        }
                    }
                    told = blamed.into_keys().collect();
                }
                Err(reason) => {
                    tracing::debug!(%reason, "the state is not judged");
                    self.metrics.cluster.audit(None, start.elapsed());
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(APART)).await.is_none() {
                break;
            }
        }
    }

    /// Waits until something has changed, or time has passed.
    async fn due(&mut self) {
        tokio::select! {
            changed = self.changes.changed() => if changed.is_ok() {
                tokio::time::sleep(SETTLES).await;
                self.changes.mark_unchanged();
            },
            changed = self.config.changed() => drop(changed),
            () = tokio::time::sleep(EVERY) => {}
        }
    }

    /// The state, the judgement of it, and how many pairs are broken of each lifeline with its severity.
    async fn judged(&mut self) -> Result<(Snapshot, Judgement, Vec<(String, String, usize)>), String> {
        let snapshot = self.live.cached()?;
        let (config, warm) = (Arc::clone(&self.config.borrow_and_update()), Arc::clone(&self.warm));
        let work = tokio::task::spawn_blocking(move || {
            let state = warm.state(&snapshot, &config);
            let judgement = state.judge().state();
            let lifelines = state.judge().detected().lifelines.iter().map(|lifeline| {
                let cuts = judgement.cuts.iter().filter(|cut| cut.lifeline == lifeline.id);
                (lifeline.id.clone(), lifeline.severity.to_string(), cuts.map(|cut| cut.pairs).sum())
            });
            let lifelines = lifelines.collect();
            (snapshot, judgement, lifelines)
        });
        work.await.map_err(|error| error.to_string())
    }
}

/// What is to blame for each cut. One object may cut a lifeline in many places, and is told of once.
fn blamed(cuts: &[Cut]) -> BTreeMap<Blame, &Cut> {
    let mut blamed = BTreeMap::new();
    for cut in cuts {
        blamed.entry((cut.lifeline.clone(), cut.deciding.object.clone())).or_insert(cut);
    }
    blamed
}

/// The same for every replica: without numbers that change from one moment to the next.
fn note(cut: &Cut) -> String {
    let place = if cut.deciding.path.is_empty() { String::new() } else { format!(" ({})", cut.deciding.path) };
    format!("cuts-{}: {}{place}. {}", cut.lifeline, cut.deciding.reason, cut.breaks)
}

fn subject(snapshot: &Snapshot, key: &Key) -> Option<Subject> {
    let object = snapshot.objects.get(key)?;
    let uid = object.value["metadata"]["uid"].as_str().map(str::to_owned);
    let version = format!("{}/{}", key.group, object.version);
    Some(Subject::new(&version, &key.kind, &key.namespace, &key.name, uid))
}
