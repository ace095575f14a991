//! What a glance at a change tells against the judgement of the state after it, over random policies, settings and clusters.

use std::sync::atomic::{AtomicUsize, Ordering};

use policy::lifeline::detect::Detected;
use policy::lifeline::judge::{Assumptions, Change, Judge, Verdict};
use policy::lifeline::{Flow, Lifeline, Party, Ports, Severity, Traffic};
use policy::snapshot::{Key, Manifest, Snapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::agree::{PEERS, world};
use crate::cluster::{World, ip};

const PORTS: [u16; 5] = [22, 53, 80, 443, 30_000];

/// One flow between every node and a peer, on one port.
pub(crate) fn flow(peer: &str, index: usize) -> Lifeline {
    let nodes = ["node-a", "node-b", "node-c"].map(str::to_owned);
    let nodes = Party::Nodes(std::sync::Arc::new(nodes.into()));
    let peer = Party::Addresses { name: peer.to_owned(), nets: vec![ip(peer).into()] };
    let (from, to) = if index.is_multiple_of(2) { (peer, nodes) } else { (nodes, peer) };
    let port = PORTS[index / 2 % PORTS.len()];
    let traffic = vec![Traffic::of([6, 6, 17][index % 3], Ports::Range(port, port))];
    Lifeline {
        id: format!("l{index}"),
        severity: Severity::Blocker,
        flows: vec![Flow { from, to, traffic }],
        breaks: String::new(),
        documented: String::new(),
        origins: Vec::new(),
    }
}

pub(crate) fn judge(world: &World, lifelines: Vec<Lifeline>) -> Judge<'static> {
    let assumptions = Assumptions {
        cilium_version: Some(world.version),
        cilium_settings: world.stated.clone(),
        ..Assumptions::default()
    };
    let detected = move |_: &Snapshot| Detected { lifelines: lifelines.clone(), ..Detected::default() };
    Judge::new(&world.snapshot, detected, &assumptions)
}

/// An object of a state in another way: as another state has it, in part, beside it, under another name, or gone.
pub(crate) fn change(own: &Manifest, other: &Manifest, kind: usize, list: usize) -> Change {
    let with = |value: Value| Change::Put(Manifest { value, ..own.clone() });
    let mut value = own.value.clone();
    let list = ["ingress", "ingressDeny", "egress", "egressDeny"][list];
    match kind {
        0 => Change::Delete(own.key.clone()),
        1 => with(other.value.clone()),
        2 => Change::Put(Manifest { key: Key { name: "new".to_owned(), ..own.key.clone() }, ..other.clone() }),
        3 => {
            value["specs"] = json!([other.value["spec"], value["spec"]]);
            value.as_object_mut().expect("an object").remove("spec");
            with(value)
        }
        4 => {
            value["spec"]["nodeSelector"] = other.value["spec"]["nodeSelector"].clone();
            with(value)
        }
        5 => {
            value["spec"]["enableDefaultDeny"] = other.value["spec"]["enableDefaultDeny"].clone();
            with(value)
        }
        // A policy for pods, whose prefixes have identities too.
        6 => {
            let elements = other.value["spec"][list].clone();
            value["spec"] = json!({"endpointSelector": {}, list: elements});
            with(value)
        }
        _ => {
            value["spec"][list] = other.value["spec"][list].clone();
            with(value)
        }
    }
}

/// Glances that told, those among them with other prefixes in the ipcache, and lifelines that were cut.
static TOLD: AtomicUsize = AtomicUsize::new(0);
static MOVED: AtomicUsize = AtomicUsize::new(0);
static CUT: AtomicUsize = AtomicUsize::new(0);

fn config() -> ProptestConfig {
    let stated = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if stated { default.cases } else { 150 }, ..default }
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("serialises")
}

fn prefixes(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.contains('/') => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(prefixes).collect(),
        Value::Object(all) => all.values().flat_map(prefixes).collect(),
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(config())]

    fn glances_are_right(
        before in world(),
        after in world(),
        plain in prop::bool::weighted(0.8),
        tried in prop::collection::vec((0..12_usize, any::<usize>(), any::<usize>(), 0..4_usize), 6),
    ) {
        // Prefixes that match nodes or pods leave little to a glance.
        let before = if plain { before.set("policy-cidr-match-mode", "") } else { before };
        let is_policy = |manifest: &&std::sync::Arc<Manifest>| manifest.key.kind == "CiliumClusterwideNetworkPolicy";
        let own: Vec<_> = before.snapshot.objects.values().filter(is_policy).collect();
        let others: Vec<_> = after.snapshot.objects.values().filter(is_policy).collect();
        let peers = PEERS.iter().enumerate();
        let all: Vec<Lifeline> =
            peers.flat_map(|(index, peer)| [flow(peer, 2 * index), flow(peer, 2 * index + 1)]).collect();
        let at_length = judge(&before, all.clone());
        for (kind, index, other, list) in tried {
            let change = [change(own[index % own.len()], others[other % others.len()], kind, list)];
            let whole = at_length.decide_at_length(&change).expect("a change");
            let is_cut = |one: &&Lifeline| whole.cuts.iter().any(|cut| cut.lifeline == one.id);
            CUT.fetch_add(whole.cuts.len(), Ordering::Relaxed);
            for one in all.iter().filter(is_cut) {
                let judge = judge(&before, vec![one.clone()]);
                prop_assert!(judge.glance(&change[0]).is_none(), "{}: {:?}\n{:?}", one.id, change, before);
            }
            if whole.verdict == Verdict::CannotProve || !whole.stops.is_empty() {
                let glance = judge(&before, Vec::new()).glance(&change[0]);
                prop_assert!(glance.is_none(), "{:?}\n{:?}\n{:?}", whole, change, before);
            }
            let others: Vec<Lifeline> = all.iter().filter(|one| !is_cut(one)).skip(index % 5).step_by(5).cloned().collect();
            let judge = judge(&before, others);
            let Some(glance) = judge.glance(&change[0]) else { continue };
            let length = judge.decide_at_length(&change).expect("a change");
            prop_assert_eq!(text(&glance), text(&length), "{:?}\n{:?}", change, before);
            TOLD.fetch_add(1, Ordering::Relaxed);
            if let Change::Put(manifest) = &change[0] {
                let named = prefixes(&manifest.value);
                let known: Vec<String> = before.snapshot.objects.values().flat_map(|it| prefixes(&it.value)).collect();
                MOVED.fetch_add(usize::from(named.iter().any(|one| !known.contains(one))), Ordering::Relaxed);
            }
        }
    }
}

/// Not only of what cuts nothing, and not only of what leaves the ipcache as it is.
#[test]
fn glances_are_right_about_hundreds_of_changes() {
    glances_are_right();
    let [told, moved, cut] = [&TOLD, &MOVED, &CUT].map(|count| count.load(Ordering::Relaxed));
    println!("{told} told, {moved} of them with new prefixes; {cut} cuts");
    assert!(told >= 100 && moved >= 10 && cut >= 200, "{told} {moved} {cut}");
}
