//! Policies of Calico.

use policy::lifeline::judge::{Change, Judge, Verdict};
use serde_json::{Value, json};

use crate::lab::{assumptions, delete, lifelines, put, snapshot};

const HOSTS: &str = "has(kubernetes.io/hostname)";

/// Nodes with automatic endpoints, and what lets their lifelines by.
fn judge() -> Judge<'static> {
    judge_beside(&[])
}

/// The same with more objects.
fn judge_beside(objects: &[Value]) -> Judge<'static> {
    let read =
        |name| std::fs::read_to_string(format!("{}/tests/lifeline/bases/{name}.yaml", env!("CARGO_MANIFEST_DIR")));
    let mut texts: Vec<String> = ["nodes", "automatic", "calico", "guarded"].map(|name| read(name).expect(name)).into();
    let tier = |name: &str, action: &str| json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name}, "spec": {"order": 5, "defaultAction": action}});
    texts.push(tier("lets-by", "Pass").to_string());
    texts.push(tier("ends", "Deny").to_string());
    let untold = policy("untold", json!({"types": ["Ingress"], "ingress": [tcp("Allow", 9100), tcp("Deny", 9200)]}));
    texts.push(untold.to_string());
    texts.extend(objects.iter().map(Value::to_string));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Judge::new(&snapshot(&texts), lifelines, &assumptions())
}

/// From nobody that the cluster lives on.
fn tcp(action: &str, port: u16) -> Value {
    json!({"action": action, "protocol": "TCP", "source": {"nets": ["172.16.0.0/16"]}, "destination": {"ports": [port]}})
}

/// From anybody.
fn any(action: &str, port: u16) -> Value {
    json!({"action": action, "protocol": "TCP", "destination": {"ports": [port]}})
}

/// A policy for all nodes, with what is said about it.
fn policy(name: &str, mut spec: Value) -> Value {
    for (field, usual) in [("selector", json!(HOSTS)), ("order", json!(50))] {
        if spec.get(field).is_none() {
            spec[field] = usual;
        }
    }
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name}, "spec": spec})
}

fn ingress(name: &str, rules: &Value) -> Change {
    put(&policy(name, json!({"types": ["Ingress"], "ingress": rules})).to_string()).remove(0)
}

fn with(name: &str, spec: Value) -> Change {
    put(&policy(name, spec).to_string()).remove(0)
}

fn gone(name: &str) -> Change {
    delete(&policy(name, json!({})).to_string()).remove(0)
}

/// What lets lifelines by, with other rules before it.
fn lifelines_after(rules: &[Value]) -> Value {
    let text = std::fs::read_to_string(format!("{}/tests/lifeline/bases/guarded.yaml", env!("CARGO_MANIFEST_DIR")));
    let allow = put(&text.expect("a base")).remove(0);
    let Change::Put(manifest) = allow else { panic!("an object") };
    let mut spec = manifest.value["spec"].clone();
    let own = spec["ingress"].as_array().expect("rules").clone();
    spec["ingress"] = rules.iter().chain(&own).cloned().collect();
    spec
}

/// Asserts that a glance tells that a change cuts nothing, as the judgement at length does.
fn told(judge: &Judge<'_>, what: &str, change: &Change) {
    let at_length = judge.decide_at_length(std::slice::from_ref(change)).expect("a change");
    assert_eq!(at_length.verdict, Verdict::Safe, "{what}: {:?}", at_length.doubts);
    assert!(judge.glance(change).is_some(), "{what}");
}

/// Asserts that a glance leaves a change to the judgement at length.
fn untold(judge: &Judge<'_>, what: &str, change: &Change) {
    assert!(judge.glance(change).is_none(), "{what}");
}

#[test]
fn what_a_policy_said_and_says_is_often_enough() {
    let judge = judge();
    for (what, change) in [
        ("allows come where a tier decides already", ingress("new", &json!([tcp("Allow", 9999)]))),
        ("no lifeline has these packets", ingress("new", &json!([tcp("Deny", 9999), tcp("Pass", 9998)]))),
        (
            "a tier that passes on drops nothing",
            with(
                "lets-by.new",
                json!({"tier": "lets-by", "types": ["Ingress", "Egress"], "egress": [tcp("Allow", 1)]}),
            ),
        ),
        ("another port, at the same point", ingress("untold", &json!([tcp("Allow", 9101), tcp("Deny", 9200)]))),
        ("a deny less", ingress("untold", &json!([tcp("Allow", 9100)]))),
        ("nothing lives on what goes", gone("untold")),
        (
            "the same rules elsewhere",
            with("untold", json!({"order": 2000, "types": ["Ingress"], "ingress": [tcp("Allow", 9100)]})),
        ),
        ("an allow of everything", ingress("nodes-deny", &json!([{"action": "Allow"}]))),
    ] {
        told(&judge, what, &change);
    }
}

#[test]
fn rules_that_change_in_their_place_are_held_against_what_they_were() {
    let judge = judge();
    let allow = |rules: &[Value]| with("nodes-allow", lifelines_after(rules));
    told(&judge, "one more rule", &allow(&[tcp("Allow", 9999), tcp("Deny", 9998)]));
    told(&judge, "a line in the log", &allow(&[json!({"action": "Log"})]));
    untold(&judge, "one that denies", &allow(&[any("Deny", 10250)]));
    untold(&judge, "one that passes", &allow(&[any("Pass", 10250)]));
    untold(&judge, "none any more", &with("nodes-allow", json!({"order": 100, "types": ["Ingress"], "ingress": []})));
    untold(&judge, "a denial where nothing was said", &ingress("untold", &json!([any("Deny", 10250)])));
}

#[test]
fn what_is_passed_on_is_passed_on_still() {
    let onward = policy("onward", json!({"types": ["Ingress"], "ingress": [any("Pass", 179)]}));
    let judge = judge_beside(&[onward]);
    let rules = |rules: &[Value]| ingress("onward", &json!(rules));
    told(&judge, "as before", &rules(&[any("Pass", 179), tcp("Deny", 9999)]));
    told(&judge, "and allowed", &rules(&[any("Allow", 179)]));
    untold(&judge, "and denied", &rules(&[any("Deny", 179)]));
    untold(&judge, "and not any more", &rules(&[]));
    let allowing = judge_beside(&[policy("onward", json!({"types": ["Ingress"], "ingress": [any("Allow", 179)]}))]);
    untold(&allowing, "what was allowed", &rules(&[any("Pass", 179)]));
}

#[test]
fn a_policy_that_comes_says_more_than_one_thing() {
    let judge = judge();
    let rules = |rules: &[Value]| ingress("new", &json!(rules));
    told(&judge, "allows of lifelines beside denials of nobody's", &rules(&[any("Allow", 10250), tcp("Deny", 9999)]));
    told(&judge, "allows beside a line in the log", &rules(&[json!({"action": "Log"}), any("Allow", 10250)]));
    untold(&judge, "denials of lifelines beside allows", &rules(&[tcp("Allow", 9999), any("Deny", 10250)]));
}

#[test]
fn each_direction_counts() {
    let both = |ingress: &[Value], egress: &[Value]| {
        let egress: Vec<Value> = egress.iter().cloned().chain([json!({"action": "Allow"})]).collect();
        json!({"types": ["Ingress", "Egress"], "ingress": ingress, "egress": egress})
    };
    let judge = judge_beside(&[policy("both", both(&[], &[]))]);
    told(&judge, "nobody's packets", &with("both", both(&[tcp("Deny", 9999)], &[any("Allow", 9999)])));
    untold(&judge, "what arrives", &with("both", both(&[any("Deny", 10250)], &[])));
    untold(&judge, "what leaves", &with("both", both(&[], &[any("Deny", 10250)])));
}

#[test]
fn a_policy_for_what_is_forwarded_is_none_for_a_glance() {
    let rules = json!({"types": ["Ingress"], "ingress": [tcp("Allow", 9100)]});
    let mut through = rules.clone();
    through["applyOnForward"] = json!(true);
    let judge = judge_beside(&[policy("through", through)]);
    untold(&judge, "it ends with the host", &with("through", rules));
    untold(&judge, "it goes", &gone("through"));
}

#[test]
fn whether_a_tier_ends_is_told_by_the_policies_of_the_endpoints_that_a_new_one_selects() {
    let of = |more: Value| {
        let mut spec = json!({"tier": "ends", "order": 70, "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        spec
    };
    let beside = |name: &str, more: Value| policy(&format!("ends.{name}"), of(more));
    let (workers, others) = (json!({"selector": "role == 'worker'"}), json!({"selector": "role != 'worker'"}));
    let new = |more: Value| {
        let mut spec = of(more);
        spec["ingress"] = json!([tcp("Allow", 9999)]);
        with("ends.new", spec)
    };
    let halves = [beside("workers", workers.clone()), beside("others", others.clone())];
    let judge = judge_beside(&halves);
    told(&judge, "every endpoint has another one", &new(json!({})));
    for (half, own, other) in [(&halves[0], &workers, &others), (&halves[1], &others, &workers)] {
        let judge = judge_beside(std::slice::from_ref(half));
        told(&judge, "the endpoints that it selects", &new(own.clone()));
        untold(&judge, "those that it does not", &new(other.clone()));
        untold(&judge, "some of them", &new(json!({})));
    }
    let forwarded = judge_beside(&[beside("through", json!({"applyOnForward": true}))]);
    told(&forwarded, "one for what is forwarded is for the host too", &new(json!({})));
    let early = judge_beside(&[beside("early", json!({"applyOnForward": true, "preDNAT": true}))]);
    untold(&early, "one before NAT is not", &new(json!({})));
    let mut staged = beside("staged", json!({}));
    staged["kind"] = json!("StagedGlobalNetworkPolicy");
    untold(&judge_beside(&[staged]), "nor is one that is staged", &new(json!({})));
    let out = beside("out", json!({"types": ["Egress"], "ingress": null, "egress": [{"action": "Allow"}]}));
    untold(&judge_beside(&[out]), "nor one for the other direction", &new(json!({})));
}

#[test]
fn answers_to_what_is_not_tracked_are_more_than_a_glance() {
    let change = ingress("new", &json!([tcp("Allow", 9999)]));
    let untracked =
        json!({"doNotTrack": true, "applyOnForward": true, "types": ["Ingress"], "ingress": [tcp("Allow", 9998)]});
    let judge = judge();
    assert!(judge.glance(&change).is_some());
    assert!(judge.after(&[with("early", untracked)]).expect("a change").glance(&change).is_none());
}

#[test]
fn more_is_looked_at_where_a_glance_does_not_tell() {
    let judge = judge();
    let untracked =
        json!({"doNotTrack": true, "applyOnForward": true, "types": ["Ingress"], "ingress": [tcp("Allow", 9999)]});
    let forwarded = json!({"applyOnForward": true, "types": ["Ingress"], "ingress": [tcp("Allow", 9999)]});
    for (what, change) in [
        (
            "the first policy for packets that leave",
            with("new", json!({"types": ["Egress"], "egress": [tcp("Allow", 9999)]})),
        ),
        (
            "the first of a tier that ends",
            with("ends.new", json!({"tier": "ends", "types": ["Ingress"], "ingress": [tcp("Allow", 9999)]})),
        ),
        (
            "a tier that is not there",
            with("none.new", json!({"tier": "none", "types": ["Ingress"], "ingress": [tcp("Allow", 9999)]})),
        ),
        ("the kubelet's port", ingress("new", &json!([any("Deny", 10250)]))),
        ("the kubelet's port, passed on", ingress("new", &json!([any("Pass", 10250)]))),
        ("what lets lifelines by goes", gone("nodes-allow")),
        ("what lets lifelines by says nothing", ingress("nodes-allow", &json!([]))),
        ("what is before connection tracking", with("new", untracked)),
        ("what passes through", with("new", forwarded)),
        (
            "a selector that tells alike nodes apart",
            with("new", json!({"selector": "kubernetes.io/hostname == 'w1'", "types": ["Ingress"]})),
        ),
        ("a field that nothing reads", with("new", json!({"types": ["Ingress"], "unheard": 1}))),
        ("a selector that is none", with("new", json!({"selector": "has(", "types": ["Ingress"]}))),
        ("the same policy by another name", ingress("default.untold", &json!([tcp("Allow", 9999)]))),
        ("a policy that is not there goes", gone("nobody")),
    ] {
        assert!(judge.glance(&change).is_none(), "{what}");
    }
}
