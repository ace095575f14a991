//! A judge after any sequence of changes against one made from nothing.

use std::sync::Arc;
use std::thread;

use policy::lifeline::detect::Detected;
use policy::lifeline::judge::{Change, Judge};
use policy::snapshot::{Node, Pod, Snapshot};
use serde_json::{Value, json};

use crate::lab;
use crate::random::{Random, change, lifelines, state};

/// Sequences of changes.
const SEQUENCES: u64 = 40;
/// Changes in each.
const STEPS: usize = 6;

/// A judgement, whole.
fn text(judgement: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(judgement).expect("serialises")
}

/// The state with something else about it than an object that is guarded.
fn moved(random: &mut Random, snapshot: &Snapshot) -> Snapshot {
    let mut next = snapshot.clone();
    let cluster = Arc::make_mut(&mut next.cluster);
    let index = random.below(cluster.nodes.len());
    match random.below(5) {
        0 => cluster.nodes[index].labels.clear(),
        1 => cluster.nodes[index].internal.push([10, 0, 9, 9].into()),
        2 => cluster.pods.push(Pod {
            name: "new".to_owned(),
            node: cluster.nodes[index].name.clone(),
            addresses: vec![[10, 244, 9, 9].into()],
            ..Pod::default()
        }),
        3 => cluster.nodes.push(Node { name: "z".to_owned(), internal: vec![[10, 0, 0, 9].into()], ..Node::default() }),
        _ => cluster.config_maps.clear(),
    }
    next
}

#[test]
fn a_warm_judge_judges_as_a_cold_one() {
    let assumptions = lab::assumptions();
    // Changes of Calico's and of Cilium's objects of which a glance tells nothing, and of which it does.
    let (mut judged, mut glances) = (0, [[0_u32; 2]; 2]);
    for seed in 0..SEQUENCES {
        let mut random = Random(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let cilium = random.one_in(2);
        let objects = state(&mut random, cilium);
        let text_of = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let first = lab::snapshot(&[&text_of]);
        let flows = lifelines(&mut random);
        let detect = |snapshot: &Snapshot| {
            let of_labels = lab::lifelines(snapshot).lifelines;
            Detected { lifelines: of_labels.into_iter().chain(flows.iter().cloned()).collect(), ..Detected::default() }
        };
        let cold = |snapshot: &Snapshot| Judge::new(snapshot, detect, &assumptions);
        let mut warm = cold(&first);
        for step in 0..STEPS {
            if random.one_in(4) {
                warm = warm.with(&moved(&mut random, warm.snapshot()));
            }
            let count = 1 + usize::from(random.one_in(3));
            let changes: Vec<Change> = (0..count).map(|_| change(&mut random, &objects, cilium)).collect();
            let cold = cold(warm.snapshot());
            let shown = || format!("seed {seed} step {step}\n{text_of}\n{changes:?}");
            let (ours, theirs) = (warm.decide(&changes), cold.decide_at_length(&changes));
            assert_eq!(ours.as_ref().map(text), theirs.as_ref().map(text), "{}", shown());
            for change in &changes {
                let glance = warm.glance(change);
                let of = &mut glances[usize::from(change.key().group == "cilium.io")];
                of[usize::from(glance.is_some())] += 1;
                if let Some(glance) = glance {
                    let at_length = cold.decide_at_length(std::slice::from_ref(change));
                    assert_eq!(Ok(text(&glance)), at_length.map(|it| text(&it)), "{}", shown());
                }
            }
            if random.one_in(4) {
                assert_eq!(
                    warm.judge(&changes).map(|it| text(&it)),
                    cold.judge(&changes).map(|it| text(&it)),
                    "{}",
                    shown()
                );
                assert_eq!(text(&warm.state()), text(&cold.state()), "{}", shown());
            }
            judged += u32::from(ours.is_ok());
            // At times the next change is to the same state, as reviews are that come together.
            if random.one_in(2)
                && let Ok(next) = warm.after(&changes)
            {
                warm = next;
            }
        }
    }
    assert!(judged > 100, "{judged}");
    assert!(glances.iter().flatten().all(|count| *count > 10), "{glances:?}");
}

#[test]
fn many_threads_judge_against_one_state() {
    let assumptions = lab::assumptions();
    let mut random = Random(7);
    let objects = state(&mut random, true);
    let list: Value = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let first = lab::snapshot(&[&list.to_string()]);
    let judge = Judge::new(&first, lab::lifelines, &assumptions);
    let changes: Vec<Change> = (0..40).map(|_| change(&mut random, &objects, true)).collect();
    let alone: Vec<_> = changes
        .iter()
        .map(|change| {
            let judge = Judge::new(&first, lab::lifelines, &assumptions);
            judge.decide(std::slice::from_ref(change)).map(|it| text(&it))
        })
        .collect();
    thread::scope(|scope| {
        for offset in 0..4 {
            let (judge, changes, alone) = (&judge, &changes, &alone);
            scope.spawn(move || {
                for index in (0..changes.len()).map(|index| (index + offset * 10) % changes.len()) {
                    let together = judge.decide(std::slice::from_ref(&changes[index])).map(|it| text(&it));
                    assert_eq!(together, alone[index], "{:?}", changes[index]);
                }
            });
        }
    });
}
