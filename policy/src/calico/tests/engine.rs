//! An engine after any sequence of changes against a state compiled from nothing.

use std::sync::Arc;

use proptest::prelude::*;

use super::lab::{Lab, eth0, ip, tcp};
use super::laws::{Dice, cluster, question};
use crate::calico::engine::Engine;
use crate::calico::evaluate::Evaluator;
use crate::calico::question::{Path, Question};
use crate::calico::state::State;
use crate::snapshot::{Cluster, Pod, Snapshot};

const STEPS: usize = 6;
const QUESTIONS: usize = 4;

/// A snapshot with one thing as another has it, or without it, or with something that neither has.
fn changed(snapshot: &Snapshot, other: &Snapshot, dice: &mut Dice) -> Snapshot {
    let keys: Vec<_> = snapshot.objects.keys().cloned().collect();
    let others: Vec<_> = other.objects.values().cloned().collect();
    let mut next = snapshot.clone();
    match dice.roll(8) {
        0..=3 if !others.is_empty() => {
            let manifest = &others[dice.roll(others.len())];
            let mut manifest = manifest.as_ref().clone();
            if dice.chance(4) {
                manifest.key.name.push('x');
            }
            next = snapshot.with(manifest);
        }
        4 | 5 if !keys.is_empty() => next = snapshot.without(&keys[dice.roll(keys.len())]),
        6 => next.cluster = Arc::clone(&other.cluster),
        _ => {
            let cluster: &mut Cluster = Arc::make_mut(&mut next.cluster);
            match dice.roll(4) {
                0 => cluster.nodes.reverse(),
                1 => cluster.slices.clear(),
                2 => cluster.pods.push(Pod {
                    namespace: "apps".to_owned(),
                    name: "more".to_owned(),
                    labels: [("a".to_owned(), dice.pick(&["1", "2"]).to_owned())].into(),
                    addresses: vec![ip(dice.pick(&["10.9.0.7", "10.9.0.8"]))],
                    ..Pod::default()
                }),
                _ => cluster.pods.clear(),
            }
        }
    }
    next
}

/// All of a state but the numbers of its sets.
fn text(state: &State) -> String {
    let State {
        version, settings, node_settings, tiers, profiles, endpoints, hosts, refused, unknown, dangers, ..
    } = state;
    let tiers: Vec<_> = tiers
        .iter()
        .map(|tier| {
            let policies =
                tier.policies.iter().map(|policy| (&policy.key, policy.order, &policy.selector, policy.class));
            (&tier.name, tier.exists, tier.order, tier.passes, policies.collect::<Vec<_>>())
        })
        .collect();
    let profiles: Vec<_> = profiles.iter().map(|(name, profile)| (name, &profile.key, &profile.labels)).collect();
    format!(
        "{:#?}",
        (version, settings, node_settings, tiers, profiles, &endpoints[..], hosts, refused, unknown, dangers)
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(160),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_warm_engine_answers_as_a_cold_one(
        before in proptest::collection::vec(any::<u16>(), 0..1200),
        after in proptest::collection::vec(any::<u16>(), 0..1200),
        changes in proptest::collection::vec(any::<u16>(), STEPS * 6),
        ways in proptest::collection::vec(any::<u16>(), QUESTIONS * 16),
    ) {
        let Lab { snapshot, assumptions, .. } = cluster(&mut Dice(before.into_iter()));
        let other = cluster(&mut Dice(after.into_iter())).snapshot;
        let (mut changes, mut ways) = (Dice(changes.into_iter()), Dice(ways.into_iter()));
        let questions: Vec<_> = (0..QUESTIONS).map(|_| question(&mut ways)).collect();
        let first = Engine::new(&snapshot, &assumptions);
        let mut engine = first.clone();
        for _ in 0..STEPS {
            // At times two changes of one state, as reviews of a state have them.
            let from = if changes.chance(3) { &first } else { &engine };
            let next = changed(from.snapshot(), &other, &mut changes);
            engine = from.with(&next);
            let cold = crate::calico::compile::compile(&next, &assumptions);
            prop_assert_eq!(text(engine.state()), text(&cold));
            let mut evaluator = Evaluator::new(&cold);
            for question in &questions {
                let (warm, cold) = (engine.evaluate(question).expect("small"), evaluator.evaluate(question));
                prop_assert_eq!(warm.set(), cold.expect("small"), "{:?}", question);
            }
        }
    }
}

/// What is known of one node's chains is nothing to another whose Felix is configured otherwise.
#[test]
fn nodes_of_one_policy_have_failsafe_ports_of_their_own() {
    let mut lab = Lab::new().policy("p", serde_json::json!({"selector": "has(a)", "ingress": [{"action": "Deny"}]}));
    for node in ["n", "m"] {
        let endpoint = serde_json::json!({"node": node, "interfaceName": "eth0"});
        lab = lab.labelled("HostEndpoint", node, serde_json::json!({"a": "1"}), endpoint);
    }
    let closed = serde_json::json!({"failsafeInboundHostPorts": []});
    let lab = lab.with("FelixConfiguration", "node.m", closed);
    let engine = Engine::new(&lab.snapshot, &lab.assumptions);
    for (node, passes) in [("n", true), ("m", false), ("n", true)] {
        let question = Question::new(node, Path::Ingress(eth0()));
        let answer = engine.evaluate(&question).expect("small");
        assert_eq!(answer.set().contains(&tcp("10.9.0.7", "10.0.0.1", 22)), passes, "{node}");
    }
}

#[test]
fn nodes_that_differ_in_name_and_address_alone_are_one_class() {
    let mut lab = Lab::new();
    for (node, role) in [("a", "worker"), ("b", "worker"), ("c", "etcd")] {
        let labels = serde_json::json!({"role": role, "kubernetes.io/hostname": node});
        lab = lab.labelled("HostEndpoint", node, labels, serde_json::json!({"node": node, "interfaceName": "*"}));
    }
    let selecting = |selector: &str| serde_json::json!({"selector": selector, "ingress": [{"action": "Allow"}]});
    let classes = |lab: &Lab| -> Vec<Vec<String>> {
        let engine = Engine::new(&lab.snapshot, &lab.assumptions);
        engine.classes().into_iter().map(|class| class.into_iter().map(str::to_owned).collect()).collect()
    };
    let lab = lab.policy("default.all", selecting("all()"));
    assert_eq!(classes(&lab), [["a", "b", "c"]]);
    let lab = lab.policy("default.etcd", selecting("role == 'etcd'"));
    assert_eq!(classes(&lab), [vec!["a", "b"], vec!["c"]]);
    let lab = lab.policy("default.not-c", selecting("kubernetes.io/hostname != 'c'"));
    assert_eq!(classes(&lab), [vec!["a", "b"], vec!["c"]]);
    let lab = lab.policy("default.b", selecting("kubernetes.io/hostname == 'b'"));
    assert_eq!(classes(&lab), [["a"], ["b"], ["c"]]);
}

/// What a change brings besides what the policies before it look at, wherever it stands among them.
#[test]
fn endpoints_are_told_apart_by_what_a_change_looks_at() {
    let mut lab = Lab::new();
    for node in ["a", "b"] {
        let labels = serde_json::json!({"kubernetes.io/hostname": node});
        lab = lab.labelled("HostEndpoint", node, labels, serde_json::json!({"node": node, "interfaceName": "eth0"}));
    }
    let selecting = |selector: &str| serde_json::json!({"selector": selector, "ingress": [{"action": "Allow"}]});
    let before = lab.policy("default.all", selecting("all()"));
    let engine = Engine::new(&before.snapshot, &before.assumptions);
    assert_eq!(engine.classes(), [["a", "b"]]);
    let of_b = selecting("kubernetes.io/hostname == 'b'");
    let mut behind = of_b.clone();
    behind["tier"] = "behind".into();
    let in_a_tier_behind_all =
        before.clone().with("Tier", "behind", serde_json::json!({"order": 2_000_000})).policy("behind.b", behind);
    let beside_another = before.policy("default.some", selecting("all()")).policy("default.b", of_b);
    for after in [in_a_tier_behind_all, beside_another] {
        assert_eq!(engine.with(&after.snapshot).classes(), [["a"], ["b"]]);
    }
}
