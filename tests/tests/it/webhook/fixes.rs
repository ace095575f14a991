//! The way back from every broken state is never refused: from the end of each case, what was changed is made as it was, or what
//! is printed as the repair is done. In process; `lockouts.rs` takes some of these ways through an API server.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use policy::lifeline::config::Config;
use policy::lifeline::judge::{Assumptions, Change as Judged, Verdict};
use policy::lifeline::repair::Step;
use policy::snapshot::{Loader, Manifest, Snapshot, manifests};
use serde_json::{Value, json};
use tests::api::objects;
use webhook::review::Request;
use webhook::validate::Change;
use webhook::verdict::{Decision, State, is_guarded, verdict};

use super::lockouts::{CONFIG, cases, name};

/// Where undoing the change cuts another flow, which the state before it did not have either: the lifeline, and why. The printed
/// repair is the way from there.
const CUTS_ANOTHER: [(&str, &str, &str); 2] = [
    ("incident_group_without_its_prefixes", "icmp-pmtu", "the prefix that came in place of the other is let in, too"),
    (
        "lockout_15_prefix_of_pod_interfaces",
        "kubelet-api",
        "what pods send to their own node was denied, and passes now",
    ),
];

pub(crate) fn loaded(objects: &[Value]) -> Snapshot {
    let mut text = String::new();
    for object in objects {
        writeln!(text, "---\n{object}").expect("a string takes all");
    }
    let mut loader = Loader::default();
    loader.read("state.yaml", &text).expect("manifests");
    loader.finish().snapshot
}

/// Asks about a change, as the API server does.
pub(crate) fn ask(state: &State, before: Option<&Value>, after: Option<&Value>) -> Decision {
    let object = after.or(before).expect("an object");
    let (group, version) = object["apiVersion"].as_str().and_then(|text| text.split_once('/')).expect("a group");
    let operation = match (before, after) {
        (None, _) => "CREATE",
        (_, Some(_)) => "UPDATE",
        (_, None) => "DELETE",
    };
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": group, "version": version, "kind": object["kind"]}, "operation": operation,
        "name": object["metadata"]["name"], "object": after, "oldObject": before}});
    let body = body.to_string();
    let request = Request::read(body.as_bytes()).expect("a review");
    let (before, after) = request.change().expect("a change");
    let operation = request.operation().expect("an operation");
    verdict(state, &Change { request: &request, operation, before, after, deadline: Instant::now() })
        .expect("a verdict")
}

/// Objects of a cluster, each in the place of one of the same name.
#[derive(Clone)]
pub(crate) struct World(pub(crate) Vec<Value>);

impl World {
    pub(crate) fn get(&self, object: &Value) -> Option<&Value> {
        self.0.iter().find(|other| same(other, object))
    }

    pub(crate) fn put(&mut self, object: &Value) {
        self.remove(object);
        self.0.push(object.clone());
    }

    pub(crate) fn remove(&mut self, object: &Value) {
        self.0.retain(|other| !same(other, object));
    }
}

fn same(a: &Value, b: &Value) -> bool {
    name(a) == name(b) && a["apiVersion"] == b["apiVersion"] && a["metadata"]["namespace"] == b["metadata"]["namespace"]
}

pub(crate) fn guarded(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().and_then(|text| text.split_once('/')).map_or("", |(group, _)| group);
    is_guarded(group, object["kind"].as_str().unwrap_or_default())
}

/// Steps on the way back: objects as they will be, or to go.
enum Way {
    Put(Value),
    Remove(Value),
}

/// Goes a way from a broken state, and says what is refused.
fn go(title: &str, config: &Arc<Config>, broken: &World, way: &[Way]) -> Vec<String> {
    let (mut world, mut refused) = (broken.clone(), Vec::new());
    let mut state = State::new(&loaded(&world.0), Arc::clone(config), &Assumptions::default());
    for step in way {
        let (Way::Put(object) | Way::Remove(object)) = step;
        let before = world.get(object).cloned();
        let after = matches!(step, Way::Put(_)).then_some(object);
        if guarded(object) && (before.is_some() || after.is_some()) {
            let decision = ask(&state, before.as_ref(), after);
            if let Some(denial) = decision.answer.denial {
                refused.push(format!("{title}: {} is refused: {denial:?}", name(object)));
            }
        }
        match after {
            Some(object) => world.put(object),
            None => world.remove(object),
        }
        state = state.with(&loaded(&world.0));
    }
    refused
}

/// What is printed as the repair, done after the change.
fn repaired(steps: &[Step], before: &World, broken: &World) -> Vec<Way> {
    let step = |step: &Step| match step {
        Step::Add { manifest, .. } | Step::Patch { manifest, .. } => Some(Way::Put(manifest.clone())),
        Step::Withhold { object, .. } => {
            let is_it = |value: &&Value| value["kind"] == *object.kind && value["metadata"]["name"] == *object.name;
            let found = |world: &World| world.0.iter().find(is_it).cloned();
            found(before).map(Way::Put).or_else(|| found(broken).map(Way::Remove))
        }
    };
    steps.iter().filter_map(step).collect()
}

#[test]
fn no_way_back_is_refused() {
    let config = Arc::new(Config::read(CONFIG).expect("a configuration"));
    let (mut refused, mut broken_states, mut repairs) = (Vec::new(), 0, 0);
    for (title, case, state) in cases().expect("cases") {
        let before = World(state);
        let (changed, gone) = (objects(&case.change).expect(&title), objects(&case.delete).expect(&title));
        let manifests_of = |objects: &[Value]| -> Vec<Manifest> {
            objects.iter().flat_map(|object| manifests("change.yaml", &object.to_string()).expect(&title)).collect()
        };
        let mut changes: Vec<Judged> = manifests_of(&changed).into_iter().map(Judged::Put).collect();
        changes.extend(manifests_of(&gone).into_iter().map(|manifest| Judged::Delete(manifest.key)));
        let start = State::new(&loaded(&before.0), Arc::clone(&config), &Assumptions::default());
        let judgement = start.judge().judge(&changes).expect(&title);
        let is_broken = title.starts_with("lockout_") || title.starts_with("incident_");
        if !is_broken || judgement.verdict == Verdict::Safe {
            continue;
        }
        broken_states += 1;
        let mut broken = before.clone();
        changed.iter().for_each(|object| broken.put(object));
        gone.iter().for_each(|object| broken.remove(object));

        // The last change is the first to be undone.
        let back = |object: &Value| match before.get(object) {
            Some(object) => Way::Put(object.clone()),
            None => Way::Remove(object.clone()),
        };
        let way: Vec<Way> = changed.iter().chain(&gone).rev().map(back).collect();
        let undone = go(&title, &config, &broken, &way);
        match CUTS_ANOTHER.iter().find(|(case, ..)| *case == title) {
            Some((_, lifeline, _)) => {
                assert!(judgement.repair.is_some(), "{title} has no other way");
                refused.extend(undone.into_iter().filter(|why| !why.contains(&format!("\"cuts-{lifeline}: "))));
            }
            None => refused.extend(undone),
        }
        if let Some(repair) = &judgement.repair {
            repairs += 1;
            refused.extend(go(
                &format!("{title}, repaired"),
                &config,
                &broken,
                &repaired(&repair.steps, &before, &broken),
            ));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(broken_states >= 40 && repairs >= 35, "{broken_states} broken states, {repairs} repairs");
}
