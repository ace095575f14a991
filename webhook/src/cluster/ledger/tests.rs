//! Replicas, clients and a store, all in one process and in the order that a seed gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use policy::snapshot::{Key, Manifest};
use serde_json::{Value, json};

use super::cell::Memory;
use super::*;
use crate::cluster::live::Source;
use crate::review::{Answer, Denial};

/// The last revision given out; each object's revision, and whether it lets in or denies.
type Objects = (u64, BTreeMap<String, (u64, bool)>);

/// What the API server does with objects: each has a revision, and is replaced only by who knows it.
#[derive(Default)]
struct Storage {
    objects: Mutex<Objects>,
}

impl Storage {
    fn get(&self, name: &str) -> Option<(u64, bool)> {
        self.lock().1.get(name).copied()
    }

    /// Whether it was stored.
    fn commit(&self, name: &str, seen: Option<u64>, open: Option<bool>) -> bool {
        let mut held = self.lock();
        if held.1.get(name).map(|(revision, _)| *revision) != seen {
            return false;
        }
        held.0 += 1;
        let revision = held.0;
        match open {
            Some(open) => held.1.insert(name.to_owned(), (revision, open)),
            None => held.1.remove(name),
        };
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Snapshot {
        let objects = self.lock().1.clone();
        objects
            .iter()
            .fold(Snapshot::default(), |state, (name, (revision, open))| state.with(object(name, *revision, *open)))
    }
}

fn key(name: &str) -> Key {
    let [group, kind] = ["projectcalico.org", "GlobalNetworkPolicy"].map(str::to_owned);
    Key { group, kind, namespace: String::new(), name: name.to_owned() }
}

fn object(name: &str, revision: u64, open: bool) -> Manifest {
    let value = json!({"metadata": {"name": name, "resourceVersion": revision.to_string()}, "spec": {"open": open}});
    Manifest { key: key(name), version: "v3".to_owned(), value, source: None }
}

/// Reads as a network does it: what is read was there at some moment, and comes later.
struct Far {
    storage: Arc<Storage>,
    random: Mutex<fastrand::Rng>,
}

impl Far {
    fn delay(&self) -> Duration {
        Duration::from_millis(self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(0..8))
    }
}

impl Source for Far {
    fn read(&self) -> BoxFuture<'_, Result<Snapshot, String>> {
        Box::pin(async {
            sleep(self.delay()).await;
            let read = self.storage.snapshot();
            sleep(self.delay()).await;
            Ok(read)
        })
    }
}

/// A cell behind a network.
struct FarCell {
    cell: Arc<Memory>,
    random: Mutex<fastrand::Rng>,
}

impl FarCell {
    fn delay(&self) -> Duration {
        Duration::from_millis(self.random.lock().unwrap_or_else(PoisonError::into_inner).u64(0..8))
    }
}

impl Cell for FarCell {
    fn get(&self) -> BoxFuture<'_, Result<Held, String>> {
        Box::pin(async {
            sleep(self.delay()).await;
            let held = self.cell.get().await;
            sleep(self.delay()).await;
            held
        })
    }

    fn swap<'s>(&'s self, version: &'s str, entries: &'s [Entry]) -> BoxFuture<'s, Result<Swap, String>> {
        Box::pin(async move {
            sleep(self.delay()).await;
            let swap = self.cell.swap(version, entries).await;
            sleep(self.delay()).await;
            swap
        })
    }
}

/// What no state may be: a policy that closes (`deny-X`), without one of those that keep a lifeline open (`allow-X-*`).
fn broken(state: &Snapshot) -> BTreeSet<String> {
    let is_open = |object: &Manifest| object.value["spec"]["open"] == Value::Bool(true);
    let open: Vec<&str> =
        state.objects.values().filter(|object| is_open(object)).map(|object| object.key.name.as_str()).collect();
    let closing = state.objects.values().filter_map(|object| object.key.name.strip_prefix("deny-"));
    let cut =
        |line: &&str| !open.iter().any(|name| name.strip_prefix("allow-").is_some_and(|rest| rest.starts_with(*line)));
    closing.filter(cut).map(str::to_owned).collect()
}

fn judge_of(entry: &Entry) -> impl Fn(&Snapshot, bool) -> Result<Decision, String> + Sync + use<> {
    let change = entry.change();
    move |state, _| {
        let after = change.apply(state).map_err(|error| error.to_string())?;
        if broken(&after).is_subset(&broken(state)) {
            return Ok(Decision::allowed());
        }
        let denial = Denial { message: "cut\nrepair".to_owned(), causes: Vec::new() };
        Ok(Decision { answer: Answer { denial: Some(denial), ..Answer::default() }, findings: Vec::new() })
    }
}

fn entry(id: &str, name: &str, seen: Option<u64>, open: Option<bool>) -> Entry {
    let Key { group, kind, namespace, name } = key(name);
    let after = open.map(|open| object(&name, 0, open).value);
    Entry {
        id: id.to_owned(),
        group,
        version: "v3".to_owned(),
        kind,
        namespace,
        name,
        seen: seen.map(|it| it.to_string()),
        after,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(3500)
}

fn replica(storage: &Arc<Storage>, cell: &Arc<Memory>, seed: u64) -> Arc<Ledger> {
    let mut random = fastrand::Rng::with_seed(seed);
    let source = Far { storage: Arc::clone(storage), random: Mutex::new(random.fork()) };
    let cell = FarCell { cell: Arc::clone(cell), random: Mutex::new(random) };
    Arc::new(Ledger::new(Arc::new(cell), Shared::new(Arc::new(source)), Arc::default()))
}

/// What happened in one run.
#[derive(Default)]
struct Tally {
    stored: usize,
    denied: usize,
    undecided: usize,
    broken: usize,
}

/// Clients change random objects through random replicas, as the API server does it: asked, answered, stored later if
/// the revision is still the one that was asked about, and otherwise asked anew.
async fn race(seed: u64, shares_ledger: bool) -> Tally {
    let storage = Arc::new(Storage::default());
    for name in ["allow-a-1", "allow-a-2", "allow-b-1"] {
        storage.commit(name, None, Some(true));
    }
    let cell = Arc::new(Memory::default());
    let own = || if shares_ledger { Arc::clone(&cell) } else { Arc::default() };
    let replicas: Vec<Arc<Ledger>> = (0..3).map(|at| replica(&storage, &own(), seed * 7 + at)).collect();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let clients = (0..6).map(|client| {
        let (storage, replicas, tally) = (Arc::clone(&storage), replicas.clone(), Arc::clone(&tally));
        let mut random = fastrand::Rng::with_seed(seed * 1000 + client);
        tokio::spawn(async move {
            for step in 0..12 {
                sleep(Duration::from_millis(random.u64(0..40))).await;
                let names = ["allow-a-1", "allow-a-2", "allow-b-1", "deny-a", "deny-b"];
                let name = names[random.usize(..names.len())];
                let wish = [Some(true), Some(false), None][random.usize(..3)];
                for attempt in 0..4 {
                    let seen = storage.get(name).map(|(revision, _)| revision);
                    if wish.is_none() && seen.is_none() {
                        break;
                    }
                    let entry = entry(&format!("{client}-{step}-{attempt}"), name, seen, wish);
                    let judge = judge_of(&entry);
                    let ledger = &replicas[random.usize(..replicas.len())];
                    let decision = ledger.decide(&entry, true, soon(), &judge).await;
                    // Between an answer and the store there is whatever the API server does meanwhile.
                    sleep(Duration::from_millis(random.u64(0..60))).await;
                    let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match decision {
                        Err(_) => lock().undecided += 1,
                        Ok(decision) if decision.answer.denial.is_some() => lock().denied += 1,
                        Ok(_) if random.u8(..10) == 0 => {} // Refused by another webhook.
                        Ok(_) => {
                            if !storage.commit(name, seen, wish) {
                                continue;
                            }
                            lock().stored += 1;
                            lock().broken += usize::from(!broken(&storage.snapshot()).is_empty());
                        }
                    }
                    break;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("no client panics");
    }
    Arc::into_inner(tally).expect("all clients have ended").into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[tokio::test(start_paused = true)]
async fn whatever_the_order_nothing_that_is_stored_cuts() {
    let mut all = Tally::default();
    for seed in 0..60 {
        let tally = race(seed, true).await;
        assert_eq!(tally.broken, 0, "seed {seed}");
        all.stored += tally.stored;
        all.denied += tally.denied;
        all.undecided += tally.undecided;
    }
    assert!(all.stored > 1500 && all.denied > 500, "{} stored, {} denied", all.stored, all.denied);
    assert!(all.undecided * 20 < all.stored, "{} undecided", all.undecided);
}

/// The race is one: without a ledger that replicas share, it is lost.
#[tokio::test(start_paused = true)]
async fn without_a_common_ledger_the_race_is_lost() {
    let mut broken = 0;
    for seed in 0..20 {
        broken += race(seed, false).await.broken;
    }
    assert!(broken > 0);
}

async fn denied(ledger: &Ledger, entry: &Entry, stored: bool) -> Result<Option<String>, String> {
    let decision = ledger.decide(entry, stored, soon(), &judge_of(entry)).await?;
    Ok(decision.answer.denial.map(|denial| denial.message))
}

fn one() -> (Arc<Storage>, Arc<Memory>, Arc<Ledger>) {
    let (storage, cell) = (Arc::new(Storage::default()), Arc::new(Memory::default()));
    storage.commit("allow-a-1", None, Some(true));
    let ledger = replica(&storage, &cell, 1);
    (storage, cell, ledger)
}

#[tokio::test(start_paused = true)]
async fn a_denial_names_the_change_that_it_is_one_together_with() {
    let (_, _, ledger) = one();
    assert_eq!(denied(&ledger, &entry("1", "deny-a", None, Some(true)), true).await, Ok(None));
    let message =
        denied(&ledger, &entry("2", "allow-a-1", Some(1), None), true).await.expect("decided").expect("denied");
    assert_eq!(
        message,
        "cut\nThat is so together with a change made at this moment (GlobalNetworkPolicy/deny-a); if that fails, try again.\nrepair"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_judged_and_leaves_nothing_behind() {
    let (_, cell, ledger) = one();
    assert_eq!(denied(&ledger, &entry("1", "deny-a", None, Some(true)), false).await, Ok(None));
    assert_eq!(cell.get().await.map(|held| held.entries), Ok(Ok(Vec::new())));
    assert_eq!(denied(&ledger, &entry("2", "allow-a-1", Some(1), None), true).await, Ok(None));
    assert!(denied(&ledger, &entry("3", "deny-a", None, Some(true)), false).await.expect("decided").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_allowed_and_never_stored_is_forgotten_after_a_while() {
    let (_, _, ledger) = one();
    assert_eq!(denied(&ledger, &entry("1", "deny-a", None, Some(true)), true).await, Ok(None));
    sleep(LIFE - Duration::from_secs(1)).await;
    assert!(denied(&ledger, &entry("2", "allow-a-1", Some(1), None), true).await.expect("decided").is_some());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(denied(&ledger, &entry("3", "allow-a-1", Some(1), None), true).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_is_struck_out_at_once_and_repeats_are_one_entry() {
    let (storage, cell, ledger) = one();
    for id in ["1", "2", "2", "3"] {
        assert_eq!(denied(&ledger, &entry(id, "other", None, Some(true)), true).await, Ok(None));
    }
    let ids = |held: Result<Held, String>| {
        let entries = held.expect("read").entries.expect("entries");
        entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(cell.get().await), ["3"]);
    storage.commit("other", None, Some(true));
    assert_eq!(denied(&ledger, &entry("4", "more", None, Some(true)), true).await, Ok(None));
    assert_eq!(ids(cell.get().await), ["4"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_at_once_wait_and_are_not_decided_by_guessing() {
    let (storage, _, ledger) = one();
    for at in 0..=MOST {
        assert_eq!(
            denied(&ledger, &entry(&at.to_string(), &format!("other-{at}"), None, Some(true)), true).await,
            Ok(None)
        );
    }
    let late = denied(&ledger, &entry("late", "more", None, Some(true)), true).await;
    assert!(late.expect_err("undecided").starts_with("not decided in time"));
    // As soon as one of them is stored, the others are few enough.
    let waiting = tokio::spawn(async move { denied(&ledger, &entry("next", "more", None, Some(true)), true).await });
    sleep(Duration::from_millis(500)).await;
    storage.commit("other-0", None, Some(true));
    assert_eq!(waiting.await.expect("no panic"), Ok(None));
}

/// An object with a finalizer goes when it pleases its controller, and nobody is asked then.
#[tokio::test(start_paused = true)]
async fn what_is_being_deleted_may_be_gone_any_time() {
    struct Ending;
    impl Source for Ending {
        fn read(&self) -> BoxFuture<'_, Result<Snapshot, String>> {
            let mut ending = object("allow-a-1", 5, true);
            ending.value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            Box::pin(async move { Ok(Snapshot::default().with(ending)) })
        }
    }
    let ledger = Ledger::new(Arc::new(Memory::default()), Shared::new(Arc::new(Ending)), Arc::default());
    let message =
        denied(&ledger, &entry("1", "deny-a", None, Some(true)), true).await.expect("decided").expect("denied");
    assert!(message.contains("deletion of GlobalNetworkPolicy/allow-a-1"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_somebody_wrote_into_is_begun_anew_when_all_it_can_have_held_is_past() {
    #[derive(Default)]
    struct Spoilt(Mutex<bool>);
    impl Cell for Spoilt {
        fn get(&self) -> BoxFuture<'_, Result<Held, String>> {
            let mended = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let entries = if mended { Ok(Vec::new()) } else { Err("expected value".to_owned()) };
            Box::pin(async move { Ok(Held { version: "7".to_owned(), entries }) })
        }

        fn swap<'s>(&'s self, version: &'s str, _: &'s [Entry]) -> BoxFuture<'s, Result<Swap, String>> {
            assert_eq!(version, "7");
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            Box::pin(async { Ok(Swap::Done("8".to_owned())) })
        }
    }
    let storage = Arc::new(Storage::default());
    let source = Far { storage, random: Mutex::new(fastrand::Rng::with_seed(1)) };
    let ledger = Ledger::new(Arc::new(Spoilt::default()), Shared::new(Arc::new(source)), Arc::default());
    let change = entry("1", "other", None, Some(true));
    assert!(denied(&ledger, &change, true).await.expect_err("undecided").contains("expected value"));
    sleep(LIFE / 2).await;
    assert!(denied(&ledger, &change, true).await.is_err());
    sleep(LIFE / 2).await;
    assert_eq!(denied(&ledger, &change, true).await, Ok(None));
}
