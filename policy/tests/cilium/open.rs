//! Changes beside rules whose peers a snapshot cannot tell, against the same with those peers told, in every way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use policy::lifeline::judge::{Change, Verdict};
use policy::snapshot::{Manifest, Snapshot};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::agree::{PEERS, world};
use crate::cluster::World;
use crate::glance::{change, flow, judge};

const LISTS: [(&str, &str); 4] = [("ingress", "from"), ("ingressDeny", "from"), ("egress", "to"), ("egressDeny", "to")];
/// Names in a case: each is told in two ways.
const MOST_NAMES: usize = 4;

/// Peers of which nothing tells who they are.
fn unknown(list: &str, side: &str, name: &str) -> (String, Value) {
    if list == "egress" {
        ("toFQDNs".to_owned(), json!([{"matchName": name}]))
    } else {
        (format!("{side}Groups"), json!([{"aws": {"region": name}}]))
    }
}

/// The elements of a list of a rule.
fn elements<'r>(rule: &'r mut Value, list: &str) -> impl Iterator<Item = &'r mut Map<String, Value>> {
    rule.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// An object with unknown peers in the place of those of some elements.
fn opened(manifest: &Manifest, names: &str, picks: usize) -> Manifest {
    let mut value = manifest.value.clone();
    for (place, (list, side)) in LISTS.into_iter().enumerate() {
        for element in elements(&mut value["spec"], list).filter(|_| picks >> place & 1 == 1) {
            element.retain(|key, _| !key.starts_with(side) || key == "toPorts");
            element.extend([unknown(list, side, &format!("{names}-{}-{place}", manifest.key.name))]);
        }
    }
    Manifest { value, ..manifest.clone() }
}

/// Who somebody unknown is.
#[derive(Clone, Copy)]
enum Who {
    Nobody,
    Everyone,
    Only(&'static str),
}

/// What stands for peers in `element`, of which it is known who they are.
fn told(element: &mut Map<String, Value>, side: &str, who: &dyn Fn(&str) -> Who) {
    for key in ["toFQDNs".to_owned(), format!("{side}Groups")] {
        let Some(peers) = element.get(&key).and_then(|list| list.get(0)) else { continue };
        let name = [&peers["matchName"], &peers["aws"]["region"]].into_iter().find_map(Value::as_str);
        let (kind, peers) = match who(name.expect("a name")) {
            Who::Nobody => ("Endpoints", json!([{"matchLabels": {"nobody": "at-all"}}])),
            Who::Everyone => ("Entities", json!(["all"])),
            Who::Only(peer) => ("CIDR", json!([format!("{peer}/{}", if peer.contains(':') { 128 } else { 32 })])),
        };
        element.remove(&key);
        element.insert(format!("{side}{kind}"), peers);
    }
}

fn told_all(manifest: &Manifest, who: &dyn Fn(&str) -> Who) -> Manifest {
    let mut value = manifest.value.clone();
    let rules = |value: &mut Value, who| {
        for (list, side) in LISTS {
            elements(value, list).for_each(|element| told(element, side, who));
        }
    };
    value.get_mut("spec").into_iter().for_each(|rule| rules(rule, who));
    let specs = value.get_mut("specs").and_then(Value::as_array_mut);
    specs.into_iter().flatten().for_each(|rule| rules(rule, who));
    Manifest { value, ..manifest.clone() }
}

fn names(manifest: &Manifest) -> BTreeSet<String> {
    let found = std::cell::RefCell::new(BTreeSet::new());
    told_all(manifest, &|name| {
        found.borrow_mut().insert(name.to_owned());
        Who::Nobody
    });
    found.into_inner()
}

fn policies(snapshot: &Snapshot) -> Vec<Arc<Manifest>> {
    let is_policy = |manifest: &&Arc<Manifest>| manifest.key.kind == "CiliumClusterwideNetworkPolicy";
    snapshot.objects.values().filter(is_policy).cloned().collect()
}

fn with_policies(world: &World, policies: impl IntoIterator<Item = Manifest>) -> World {
    let snapshot = policies.into_iter().fold(world.snapshot.clone(), |snapshot, one| snapshot.with(one));
    World { snapshot, ..world.clone() }
}

/// Verdicts about states that leave something open: safe, cut, not to be proved.
static TOLD: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// Glances that told.
static GLANCES: AtomicUsize = AtomicUsize::new(0);

fn config() -> ProptestConfig {
    let stated = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if stated { default.cases } else { 100 }, ..default }
}

proptest! {
    #![proptest_config(config())]

    fn judgements_hold_whoever_is_meant(
        before in world(),
        after in world(),
        plain in prop::bool::weighted(0.8),
        picks in prop::array::uniform2(prop::collection::vec(prop::option::weighted(0.4, 1..16_usize), 9)),
        tried in prop::collection::vec((0..10_usize, any::<usize>(), any::<usize>(), 0..4_usize), 4),
        only in prop::collection::vec(prop::sample::select(PEERS), MOST_NAMES),
    ) {
        let before = if plain { before.set("policy-cidr-match-mode", "") } else { before };
        let open = |world: &World, names: &str, picks: &[Option<usize>]| -> Vec<Manifest> {
            let with = |(manifest, picks): (Arc<Manifest>, &Option<usize>)| opened(&manifest, names, picks.unwrap_or(0));
            policies(&world.snapshot).into_iter().zip(picks).map(with).collect()
        };
        let (own, others) = (open(&before, "own", &picks[0]), open(&after, "other", &picks[1]));
        let state = with_policies(&before, own.clone());
        let all: Vec<_> = (0..2 * PEERS.len()).map(|index| flow(PEERS[index / 2], index)).collect();
        for (kind, index, other, list) in tried {
            let change = change(&own[index % own.len()], &others[other % others.len()], kind, list);
            let put = match &change {
                Change::Put(manifest) => Some(manifest),
                Change::Delete(_) => None,
            };
            let names: BTreeSet<String> = own.iter().chain(put).flat_map(names).collect();
            if names.is_empty() || names.len() > MOST_NAMES {
                continue;
            }
            let judgement = judge(&state, all.clone()).decide_at_length(std::slice::from_ref(&change)).expect("a change");
            // A glance tells nothing else, about lifelines that are not cut.
            let is_cut = |id: &str| judgement.cuts.iter().any(|cut| cut.lifeline == id);
            let spared = all.iter().filter(|one| !is_cut(&one.id)).skip(index % 5).step_by(5).cloned();
            let some = judge(&state, spared.collect());
            if let Some(glance) = some.glance(&change) {
                let length = some.decide_at_length(std::slice::from_ref(&change)).expect("a change");
                prop_assert_eq!(format!("{glance:?}"), format!("{length:?}"), "{:?}\n{:?}", change, state);
                GLANCES.fetch_add(1, Ordering::Relaxed);
            }
            let verdict = |who: &dyn Fn(&str) -> Who| {
                let change = match &change {
                    Change::Put(manifest) => Change::Put(told_all(manifest, who)),
                    gone @ Change::Delete(_) => gone.clone(),
                };
                let state = with_policies(&before, own.iter().map(|manifest| told_all(manifest, who)));
                judge(&state, all.clone()).decide_at_length(&[change]).expect("a change")
            };
            let at = |name: &str| names.iter().position(|one| one == name).expect("one of them");
            let told = verdict(&|_| Who::Nobody);
            let verdict = |who: &dyn Fn(&str) -> Who| verdict(who).verdict;
            let nobody = told.verdict;
            if nobody == Verdict::CannotProve {
                // More is unknown than who is meant.
                prop_assert_eq!(judgement.verdict, Verdict::CannotProve, "{:?}\n{:?}\n{:?}", told.doubts, change, state);
                continue;
            }
            prop_assert_eq!(judgement.verdict == Verdict::Cuts, nobody == Verdict::Cuts, "{:?}\n{:?}", change, state);
            TOLD[judgement.verdict as usize].fetch_add(1, Ordering::Relaxed);
            let mut ways = (0..1_usize << names.len()).map(|way| {
                verdict(&|name| if way >> at(name) & 1 == 1 { Who::Everyone } else { Who::Nobody })
            });
            match judgement.verdict {
                Verdict::Safe => {
                    prop_assert!(ways.all(|verdict| verdict == Verdict::Safe), "{:?}\n{:?}", change, state);
                    let some = verdict(&|name| Who::Only(only[at(name)]));
                    prop_assert!(some != Verdict::Cuts, "{:?}\n{:?}\n{:?}", only, change, state);
                }
                // The same names for other nodes are taken for other peers.
                Verdict::CannotProve if kind != 4 => {
                    let after = with_policies(&state, put.cloned());
                    let told = [&state, &after].map(World::compile).iter().all(|it| it.unknown.iter().all(|it| it.is_open));
                    prop_assert!(!told || ways.any(|verdict| verdict == Verdict::Cuts), "{:?}\n{:?}", change, state);
                }
                Verdict::CannotProve | Verdict::Cuts => {}
            }
        }
    }
}

/// With enough of each verdict.
#[test]
fn judgements_hold_whoever_is_meant_by_what_is_open() {
    judgements_hold_whoever_is_meant();
    let told = TOLD.each_ref().map(|count| count.load(Ordering::Relaxed));
    let glances = GLANCES.load(Ordering::Relaxed);
    println!("safe, cut, not proved: {told:?}; {glances} glances");
    assert!(told.iter().all(|count| *count >= 10) && glances >= 10, "{told:?}; {glances}");
}
