use policy::snapshot::Loader;
use serde_json::{Value, json};

use super::*;
use crate::review::Request;

const NODES: &str = include_str!("../../../policy/tests/lifeline/bases/nodes.yaml");
const CALICO: &str = include_str!("../../../policy/tests/lifeline/bases/calico.yaml");
const AUTOMATIC: &str = include_str!("../../../policy/tests/lifeline/bases/automatic.yaml");
const GUARDED_NODES: &str = include_str!("../../../policy/tests/lifeline/bases/guarded.yaml");

/// What no object of the small clusters tells.
const CONFIG: &str = include_str!("../../../docs/try/lifeline.yaml");

fn state(texts: &[&str], more: &str) -> State {
    let mut loader = Loader::default();
    for text in texts {
        loader.read("state.yaml", text).expect("manifests");
    }
    let config = Config::read(&format!("{CONFIG}{more}")).expect("a configuration");
    State::new(&loader.finish().snapshot, Arc::new(config), &Assumptions::default())
}

fn guarded() -> State {
    state(&[NODES, CALICO, AUTOMATIC, GUARDED_NODES], "")
}

/// Asks about a change, as the API server does.
fn ask(state: &State, before: Option<&Value>, after: Option<&Value>) -> Decision {
    let either = after.or(before).expect("an object");
    let (group, version) = either["apiVersion"].as_str().and_then(|text| text.split_once('/')).expect("a group");
    let operation = match (before, after) {
        (None, _) => "CREATE",
        (_, None) => "DELETE",
        _ => "UPDATE",
    };
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": group, "version": version, "kind": either["kind"]}, "operation": operation,
        "name": either["metadata"]["name"], "object": after, "oldObject": before}});
    let body = body.to_string();
    let request = Request::read(body.as_bytes()).expect("a review");
    let (before, after) = request.change().expect("a change");
    let deadline = std::time::Instant::now();
    let operation = request.operation().expect("an operation");
    verdict(state, &Change { request: &request, operation, before, after, deadline }).expect("a verdict")
}

fn message(decision: &Decision) -> &str {
    &decision.answer.denial.as_ref().expect("a denial").message
}

fn gnp(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name}, "spec": spec})
}

/// As the state has it.
fn stored(state: &State, kind: &str, name: &str) -> Value {
    let found = state.snapshot().of("projectcalico.org", kind).find(|manifest| manifest.key.name == name);
    found.expect(name).value.clone()
}

/// What stands between the quotes of the command of a repair.
fn pasted(decision: &Decision) -> Value {
    let causes = &decision.answer.denial.as_ref().expect("a denial").causes;
    let repair = causes.last().filter(|cause| cause.reason == "repair").expect("a repair");
    let (_, rest) = repair.message.split_once(" '").expect("a command");
    let (patch, _) = rest.split_once('\'').expect("its end");
    serde_json::from_str(patch).expect("JSON")
}

fn patched(mut object: Value, patch: &Value) -> Value {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone()).expect("a patch");
    json_patch::patch(&mut object, &patch).expect("it applies");
    object
}

#[test]
fn a_new_policy_that_cuts_is_refused_with_a_patch_that_mends_it() {
    let state = state(&[NODES, CALICO, AUTOMATIC], "");
    let deny = gnp("deny-all", &json!({"types": ["Ingress"], "ingress": []}));
    let decision = ask(&state, None, Some(&deny));
    insta::assert_snapshot!(message(&decision));
    let mended = patched(deny, &pasted(&decision));
    assert_eq!(ask(&state, None, Some(&mended)).answer.denial, None);
}

#[test]
fn a_changed_policy_that_cuts_is_refused_with_a_patch_to_what_is_stored() {
    let state = guarded();
    let before = stored(&state, "GlobalNetworkPolicy", "nodes-allow");
    let mut after = before.clone();
    after["spec"]["ingress"][0]["protocol"] = json!("UDP");
    let decision = ask(&state, Some(&before), Some(&after));
    insta::assert_snapshot!(message(&decision));
    let mended = patched(before.clone(), &pasted(&decision));
    assert_eq!(ask(&state, Some(&before), Some(&mended)).answer.denial, None);
}

#[test]
fn a_deletion_that_cuts_is_refused() {
    let state = guarded();
    let before = stored(&state, "GlobalNetworkPolicy", "nodes-allow");
    insta::assert_snapshot!(message(&ask(&state, Some(&before), None)));
}

/// The names that a policy is stored under: up to 3.31 with its tier, from 3.32 as given, and written by hand without the
/// user's own metadata beside it (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/resources.go).
#[test]
fn policies_are_judged_in_every_shape_that_they_are_stored_in() {
    let texts = [CALICO, AUTOMATIC].map(|text| text.replace("projectcalico.org/v3", "crd.projectcalico.org/v1"));
    let state = state(&[NODES, &texts[0], &texts[1]], "");
    for (name, given) in [("default.bad", Some("bad")), ("bad", Some("bad")), ("default.bad", None), ("bad", None)] {
        let shaped = |spec: Value| {
            let mut object = gnp(name, &spec);
            object["apiVersion"] = json!("crd.projectcalico.org/v1");
            if let Some(given) = given {
                let metadata = json!({"name": given, "creationTimestamp": null}).to_string();
                object["metadata"]["annotations"] = json!({"projectcalico.org/metadata": metadata});
            }
            object
        };
        let bad = shaped(json!({"tier": "default", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}));
        let harmless = shaped(json!({"tier": "default", "types": ["Ingress"], "ingress": [{"action": "Allow"}]}));
        for before in [None, Some(&harmless)] {
            let denied = ask(&state, before, Some(&bad));
            let text = message(&denied);
            assert!(text.starts_with("cuts-kubelet-api") && text.contains(name), "{text}");
        }
        for before in [None, Some(&bad)] {
            assert_eq!(ask(&state, before, Some(&harmless)).answer.denial, None, "{name} {given:?}");
        }
    }
}

/// The labels that selectors match are stored beside the user's metadata, and those of the stored object are few (as above).
#[test]
fn labels_of_endpoints_are_found_in_every_shape() {
    let texts = [CALICO, GUARDED_NODES].map(|text| text.replace("projectcalico.org/v3", "crd.projectcalico.org/v1"));
    let state = state(&[NODES, &texts[0], &texts[1]], "");
    let labels = json!({"kubernetes.io/hostname": "w1"});
    let endpoint = |metadata: Value| {
        json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "HostEndpoint", "metadata": metadata,
            "spec": {"node": "w1", "interfaceName": "*", "profiles": ["projectcalico-default-allow"], "expectedIPs": ["10.0.0.2"]}})
    };
    let kept = json!({"name": "w1", "labels": labels, "creationTimestamp": null}).to_string();
    let other = json!({"name": "w1", "creationTimestamp": null}).to_string();
    let lets_in = json!({"name": "w1", "labels": {"role": "idle"}, "creationTimestamp": null}).to_string();
    let of = |annotation: &str| json!({"projectcalico.org/metadata": annotation});
    for metadata in [
        json!({"name": "w1", "annotations": of(&kept)}),
        json!({"name": "w1", "labels": labels}),
        json!({"name": "w1", "labels": labels, "annotations": of(&other)}),
    ] {
        let denied = ask(&state, None, Some(&endpoint(metadata)));
        assert!(denied.answer.denial.is_some());
    }
    // Nothing selects it, and its profile allows.
    let harmless = endpoint(json!({"name": "w1", "annotations": of(&lets_in)}));
    assert_eq!(ask(&state, None, Some(&harmless)).answer.denial, None);
}

#[test]
fn content_that_stops_an_agent_is_refused() {
    let state = state(&[NODES, CALICO, AUTOMATIC], "");
    let before = stored(&state, "FelixConfiguration", "default");
    let mut after = before.clone();
    after["spec"]["failsafeInboundHostPorts"] = json!([{"protocol": "SCTP", "port": 22}]);
    insta::assert_snapshot!(message(&ask(&state, Some(&before), Some(&after))));
}

#[test]
fn what_is_not_understood_is_refused_with_its_field() {
    let odd = gnp(
        "odd",
        &json!({"selector": "has(kubernetes.io/hostname)", "types": ["Ingress"], "ingress": [
        {"action": "Allow", "onlyOnSundays": true}]}),
    );
    let strict = state(&[NODES, CALICO, AUTOMATIC], "");
    let decision = ask(&strict, None, Some(&odd));
    insta::assert_snapshot!(message(&decision));
    let cause = &decision.answer.denial.as_ref().expect("a denial").causes[0];
    assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("cannot-prove", "spec.ingress[0].onlyOnSundays"));

    let tolerant =
        "  tolerate:\n  - {doubt: unknown, field: spec.ingress.onlyOnSundays, reason: we never ask on Sundays}\n";
    let decision = ask(&state(&[NODES, CALICO, AUTOMATIC], tolerant), None, Some(&odd));
    assert_eq!(decision.answer.denial, None);
    insta::assert_snapshot!(decision.answer.warnings.join("\n"));
}

#[test]
fn what_is_only_observed_passes_with_a_warning_and_is_counted() {
    let observing = "  mode: {blocker: observe, major: observe, minor: observe}\n";
    let state = state(&[NODES, CALICO, AUTOMATIC], observing);
    let deny = gnp("deny-all", &json!({"types": ["Ingress"], "ingress": []}));
    let decision = ask(&state, None, Some(&deny));
    assert_eq!(decision.answer.denial, None);
    insta::assert_snapshot!(decision.answer.warnings.join("\n"));
    let finding = |code: &str| Finding { code: code.to_owned(), mode: Mode::Observe };
    assert!(decision.findings.contains(&finding("cuts-kubelet-api")), "{:?}", decision.findings);
    assert_eq!(decision.answer.audit["verdict"], "cuts");
}

#[test]
fn severities_go_their_own_ways() {
    // A policy that leaves out everything but blockers cuts a major lifeline only.
    let state = state(&[NODES, CALICO, AUTOMATIC], "    ntpServers: [198.51.100.1/32]\n  mode: {minor: observe}\n");
    let egress = gnp(
        "no-time",
        &json!({"selector": "has(kubernetes.io/hostname)", "types": ["Egress"], "egress": [
        {"action": "Deny", "protocol": "UDP", "destination": {"nets": ["198.51.100.1/32"]}}, {"action": "Allow"}]}),
    );
    let decision = ask(&state, None, Some(&egress));
    assert_eq!(decision.answer.denial, None, "{:?}", decision.findings);
    assert_eq!(decision.findings, [Finding { code: "cuts-ntp".to_owned(), mode: Mode::Observe }]);
}

#[test]
fn bookkeeping_is_not_judged() {
    let state = state(&[], "");
    let before = gnp("a", &json!({"types": ["Ingress"]}));
    let mut after = before.clone();
    after["metadata"]["resourceVersion"] = json!("7");
    after["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
    after["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let mut annotated = before.clone();
    annotated["metadata"]["annotations"] = json!({});
    assert_eq!(ask(&state, Some(&annotated), Some(&after)).findings, []);
    assert!(guarded::content(&before) == guarded::content(&gnp("a", &json!({"types": ["Ingress"]}))));
    let pod = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}});
    assert_eq!(ask(&state, None, Some(&pod)).answer.denial, None);
}

#[test]
fn harmless_changes_pass_without_a_word() {
    let state = guarded();
    let allow = gnp(
        "more",
        &json!({"order": 90, "selector": "has(kubernetes.io/hostname)", "types": ["Ingress"],
        "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [9100]}}]}),
    );
    let decision = ask(&state, None, Some(&allow));
    assert_eq!((decision.answer.denial, decision.answer.warnings), (None, vec![]));
    assert_eq!(decision.answer.audit["verdict"], "safe");
}

#[test]
fn a_denial_fits_and_has_no_half_commands() {
    // Many ports: the patch is longer than a message may be.
    let state = state(&[NODES, CALICO, AUTOMATIC], "");
    let ports: Vec<Value> = (0..400).map(|port| json!(20_000 + port * 2)).collect();
    let deny = gnp(
        "deny-all",
        &json!({"order": 10, "types": ["Ingress"], "ingress": [
        {"action": "Allow", "protocol": "UDP", "destination": {"ports": ports}}]}),
    );
    let before = gnp("deny-all", &json!({"order": 10, "types": ["Egress"]}));
    let decision = ask(&state, Some(&before), Some(&deny));
    let text = message(&decision);
    assert!(text.len() <= crate::review::MESSAGE, "{}", text.len());
    assert!(!text.contains('\'') && text.contains("too long for this message"), "{text}");
    assert!(text.chars().all(|it| it == '\n' || !it.is_control()));
}

#[test]
fn a_state_made_from_another_judges_like_one_made_from_nothing() {
    let deny = gnp("deny-all", &json!({"types": ["Ingress"], "ingress": []}));
    let open = state(&[NODES, CALICO], "");
    assert_eq!(ask(&open, None, Some(&deny)).answer.denial, None);
    let closed = state(&[NODES, CALICO, AUTOMATIC], "");
    let made = open.with(closed.snapshot());
    assert!(ask(&made, None, Some(&deny)).answer.denial.is_some());
    let empty = made.with(&Snapshot::default());
    assert_eq!(ask(&empty, None, Some(&deny)).answer.denial, None);
    assert!(ask(&empty.with(closed.snapshot()), None, Some(&deny)).answer.denial.is_some());
}
