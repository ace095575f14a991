//! Policies of Calico.

use policy::lifeline::judge::{Change, Judge, Verdict};
use serde_json::{Value, json};

use crate::lab::{assumptions, delete, lifelines, put, snapshot};

const HOSTS: &str = "has(kubernetes.io/hostname)";

/// Nodes with automatic endpoints, and what lets their lifelines by.
fn judge() -> Judge<'static> {
    let read =
        |name| std::fs::read_to_string(format!("{}/tests/lifeline/bases/{name}.yaml", env!("CARGO_MANIFEST_DIR")));
    let mut texts: Vec<String> = ["nodes", "automatic", "calico", "guarded"].map(|name| read(name).expect(name)).into();
    let tier = |name: &str, action: &str| json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name}, "spec": {"order": 5, "defaultAction": action}});
    texts.push(tier("lets-by", "Pass").to_string());
    texts.push(tier("ends", "Deny").to_string());
    let untold = policy("untold", json!({"types": ["Ingress"], "ingress": [tcp("Allow", 9100), tcp("Deny", 9200)]}));
    texts.push(untold.to_string());
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
        assert!(judge.glance(&change).is_some(), "{what}");
        let at_length = judge.decide_at_length(std::slice::from_ref(&change)).expect("a change");
        assert_eq!(at_length.verdict, Verdict::Safe, "{what}");
    }
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
