//! An engine after any sequence of changes against a state compiled from nothing.

use std::sync::Arc;

use policy::cilium::compile::{Options, State};
use policy::cilium::engine::Engine;
use policy::cilium::evaluate::evaluate;
use policy::cilium::question::{Layer, Path, Question};
use policy::packet::Direction;
use policy::snapshot::{Manifest, Snapshot};
use proptest::prelude::*;
use serde_json::json;

use crate::agree::world;
use crate::cluster::{NODE, World, ip, pod, tcp};

/// A snapshot with one thing as another has it, or without it, or broken.
fn changed(snapshot: &Snapshot, other: &Snapshot, kind: usize, index: usize) -> Snapshot {
    let keys: Vec<_> = snapshot.objects.keys().cloned().collect();
    let others: Vec<_> = other.objects.values().cloned().collect();
    let mut next = snapshot.clone();
    match kind {
        0..=3 => {
            let mut manifest: Manifest = others[index % others.len()].as_ref().clone();
            if kind == 3 {
                manifest.value["spec"]["ingress"] = json!([{"fromCIDR": ["none"]}]);
            }
            next = snapshot.with(manifest);
        }
        4 | 5 if !keys.is_empty() => next = snapshot.without(&keys[index % keys.len()]),
        6 => next.cluster = Arc::clone(&other.cluster),
        _ => {
            let cluster = Arc::make_mut(&mut next.cluster);
            match index % 4 {
                0 => cluster.nodes[index % 3].labels.clear(),
                1 => cluster.slices.clear(),
                2 => cluster.pods.push(pod("default", "10.244.3.5", "app", "prom")),
                _ => cluster.nodes[index % 3].internal.push(ip("192.0.2.70")),
            }
        }
    }
    next
}

fn text(state: &State) -> String {
    format!("{:#?}", (&state.settings, &state.setting_errors, &state.rules, &state.refused, &state.unknown))
}

fn config() -> ProptestConfig {
    let stated = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if stated { default.cases } else { 60 }, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_warm_engine_answers_as_a_cold_one(
        before in world(),
        after in world(),
        changes in prop::collection::vec((0..8_usize, any::<usize>(), 0..3_usize), 5),
    ) {
        let World { snapshot, stated, version, schema } = before;
        let options = Options { previous: None, schema, version: Some(version), stated: &stated };
        let first = Engine::new(&snapshot, options);
        let mut engine = first.clone();
        for (kind, index, back) in changes {
            // At times two changes of one state, as reviews of a state have them.
            let from = if back == 0 { first.clone() } else { engine };
            let next = changed(from.snapshot(), &after.snapshot, kind, index);
            engine = from.with(&next);
            let cold = State::compile(&next, Options { previous: Some(from.enforced()), ..options });
            prop_assert_eq!(text(engine.state()), text(&cold));
            prop_assert_eq!(engine.classes(), cold.classes());
            for node in [NODE, "node-a", "nobody"] {
                for direction in [Direction::Ingress, Direction::Egress] {
                    for layer in [Layer::Policy, Layer::Host] {
                        let question = Question { node, direction, layer, path: Path::Device(None) };
                        let warm = engine.evaluate(&question).expect("small");
                        let cold = evaluate(&cold, &question).expect("small");
                        prop_assert_eq!(warm.packets.set(), cold.packets, "{:?}", question);
                        prop_assert_eq!(warm.not_judged.set(), cold.not_judged, "{:?}", question);
                        prop_assert_eq!(warm.conditional.set(), cold.conditional, "{:?}", question);
                    }
                }
            }
        }
    }
}

#[test]
fn what_agents_still_enforce_outlives_further_changes() {
    let spec = |port: &str| {
        json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["192.0.2.0/24"],
               "toPorts": [{"ports": [{"port": port, "protocol": "TCP"}]}]}]})
    };
    let world = World::new().with(spec("22"));
    let options = || Options { version: Some(world.version), stated: &world.stated, ..Options::default() };
    let engine = Engine::new(&world.snapshot, options());
    let mut broken = world.snapshot.objects.values().next().expect("one").as_ref().clone();
    broken.value["spec"]["ingress"] = json!([{"fromCIDR": ["192.0.2.0/24"], "fromEntities": ["all"]}]);
    let broken = engine.snapshot().with(broken);
    let other = World::new().object(json!({"metadata": {"name": "other"}, "spec": spec("80")})).snapshot;
    let further = broken.with(other.objects.values().next().expect("one").as_ref().clone());
    let (first, second) = (engine.with(&broken), engine.with(&broken).with(&further));
    let passes = |engine: &Engine, port| {
        let path = Path::Device(None);
        let question = Question { node: NODE, direction: Direction::Ingress, layer: Layer::Policy, path };
        let packet = crate::cluster::packet(Direction::Ingress, "192.0.2.7", tcp(port));
        engine.evaluate(&question).expect("small").packets.contains(&packet)
    };
    assert_eq!([22, 80].map(|port| passes(&engine, port)), [true, false]);
    assert_eq!([22, 80].map(|port| passes(&first, port)), [true, false]);
    assert_eq!([22, 80].map(|port| passes(&second, port)), [true, true]);
    assert!(second.state().refused[0].keeps_previous);
}
