//! What `translate` writes, put before a real API server with the real CRDs and before the CNIs' own validators.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::calico_apiserver::CalicoApiserver;
use tests::check::{Checker, CiliumOptions, Verdict};
use tests::cluster::{Cluster, CrdSet};
use tests::kubectl::Kubectl;
use tests::variants::{self, Target, Variant};
use translator::output;
use translator::render::Manifest;

type Test = Result<(), Box<dyn std::error::Error>>;

/// The variants of one preset, each under a name of its own, so that all can be applied at once.
///
/// An object that some variant before had word for word is left out, but for its name: the API server would only be asked
/// the same again. Objects that clusters have only one of are the defaults' alone.
fn together(variants: &[Variant], target: Target) -> Vec<Manifest> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        let alike = variant.render(target, "same").objects;
        let named = variant.render(target, &format!("v{index}")).objects;
        for (alike, named) in alike.iter().zip(named) {
            let mut alike = alike.object.clone();
            // It names the settings, which differ in every variant.
            alike.metadata_mut().annotations.remove("lifeline.dev/source-digest");
            let new = seen.insert(serde_json::to_string(&alike).expect("JSON"));
            if new && (index == 0 || !named.shared) {
                all.push(named);
            }
        }
    }
    all
}

fn json_of(objects: &[Manifest]) -> Vec<Value> {
    objects.iter().map(|manifest| serde_json::to_value(&manifest.object).expect("JSON")).collect()
}

/// The objects as the API server has them, in the order given.
fn stored(kubectl: &Kubectl, yaml: &str) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let list: Value = serde_json::from_str(&kubectl.ok(&["get", "-o", "json", "-f", "-"], yaml)?)?;
    Ok(list["items"].as_array().cloned().unwrap_or_else(|| vec![list]))
}

/// Numbers as the API server writes them (100 and 100.0 are one), and no `source: {}` or `destination: {}`, which
/// Calico's own API server writes where a rule names no side.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), |number| json!(number)),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| !(matches!(name.as_str(), "source" | "destination") && **value == json!({})))
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        _ => value.clone(),
    }
}

/// Nothing was pruned, nothing filled in, in `spec`, `specs`, labels and annotations. The two objects that are merged into
/// may hold more than we said.
fn assert_stored_as_sent(sent: &Value, stored: &Value) {
    let title = format!("{} {}", sent["kind"], sent["metadata"]["name"]);
    let shared = matches!(sent["kind"].as_str(), Some("FelixConfiguration" | "KubeControllersConfiguration"));
    for part in ["spec", "specs"] {
        let (sent, stored) = (plain(&sent[part]), plain(&stored[part]));
        if shared {
            assert!(holds(&stored, &sent), "{title}: {part}: {sent} is not in {stored}");
        } else {
            assert_eq!(sent, stored, "{title}: {part}");
        }
    }
    for part in ["labels", "annotations"] {
        for (name, value) in sent["metadata"][part].as_object().into_iter().flatten() {
            assert_eq!(*value, stored["metadata"][part][name], "{title}: {part} {name}");
        }
    }
}

/// Whether every field of `part` is in `whole`, with lists alike.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| holds(whole, part)))
        }
        _ => whole == part,
    }
}

fn versions(objects: &[Value]) -> Vec<&Value> {
    objects.iter().map(|object| &object["metadata"]["resourceVersion"]).collect()
}

const SERVER_SIDE: [&str; 5] = ["apply", "--server-side", "--validate=strict", "-f", "-"];
const CLIENT_SIDE: [&str; 4] = ["apply", "--validate=strict", "-f", "-"];

/// Applies, reads back, applies again and removes.
fn round_trip(kubectl: &Kubectl, title: &str, apply: &[&str], objects: &[Manifest]) -> Test {
    let yaml = output::yaml(objects, None)?;
    let mut reversed: Vec<Manifest> = objects.iter().filter(|manifest| !manifest.shared).cloned().collect();
    reversed.reverse();
    let reversed = output::yaml(&reversed, None)?;
    let title = format!("{title}, kubectl {}", apply.join(" "));
    let said = kubectl.run(apply, &yaml)?;
    assert!(said.status.success(), "{title}: {}", said.stderr);
    assert_eq!(said.stderr, "", "{title}: a warning");
    let first = stored(kubectl, &yaml)?;
    for (sent, stored) in json_of(objects).iter().zip(&first) {
        assert_stored_as_sent(sent, stored);
    }
    assert_eq!(first.len(), objects.len(), "{title}");
    let said = kubectl.run(apply, &yaml)?;
    assert!(said.status.success(), "{title}, again: {}", said.stderr);
    let second = stored(kubectl, &yaml)?;
    assert_eq!(versions(&first), versions(&second), "{title}: applying again changed something");
    let gone = kubectl.run(&["delete", "--wait=true", "-f", "-"], &reversed)?;
    assert!(gone.status.success(), "{title}, delete: {}", gone.stderr);
    let left = kubectl.run(&["get", "--ignore-not-found", "-o", "name", "-f", "-"], &reversed)?;
    assert_eq!(left.stdout, "", "{title}: left behind");
    for manifest in objects.iter().filter(|manifest| manifest.shared) {
        let one = output::yaml(std::slice::from_ref(manifest), None)?;
        kubectl.ok(&["delete", "-f", "-"], &one)?;
    }
    Ok(())
}

fn every_preset(target: Target, crds: CrdSet) -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[crds])?;
    let mut by_preset: BTreeMap<&str, Vec<Variant>> = BTreeMap::new();
    for variant in variants::all(target.cni()) {
        by_preset.entry(variant.preset.name).or_default().push(variant);
    }
    assert!(by_preset.len() >= 12);
    for (preset, variants) in by_preset {
        let (kubectl, title) = (cluster.kubectl(), format!("{preset} for {}", target.name()));
        round_trip(kubectl, &title, &SERVER_SIDE, &together(&variants, target))?;
        // kubectl asks 50 times a second and not more; what it makes of an object itself does not differ by settings.
        round_trip(kubectl, &title, &CLIENT_SIDE, &together(&variants[..1], target))?;
    }
    Ok(())
}

#[test]
fn presets_are_accepted_as_native_calico() -> Test {
    every_preset(Target::CalicoV3, CrdSet::CalicoV3)
}

#[test]
fn presets_are_accepted_as_stored_calico() -> Test {
    every_preset(Target::CalicoV1, CrdSet::CalicoV1)
}

#[test]
fn presets_are_accepted_as_cilium() -> Test {
    every_preset(Target::Cilium, CrdSet::Cilium)
}

#[test]
fn the_seeds_presets_are_accepted_by_calicos_api_server() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV1])?;
    let _apiserver = CalicoApiserver::start(&cluster)?;
    let kubectl = cluster.kubectl();
    for variant in variants::all("calico") {
        if !variant.toggle.is_empty() || !["harvester", "lke", "talos"].contains(&variant.preset.name) {
            continue;
        }
        let objects = variant.render(Target::CalicoV3, variant.preset.name).objects;
        let yaml = output::yaml(&objects, None)?;
        let said = kubectl.run(&["apply", "--server-side", "-f", "-"], &yaml)?;
        assert!(said.status.success(), "{}: {}", variant.title(), said.stderr);
        for (sent, stored) in json_of(&objects).iter().zip(&stored(kubectl, &yaml)?) {
            assert_stored_as_sent(sent, stored);
        }
        let mut reversed: Vec<Manifest> = objects.iter().filter(|manifest| !manifest.shared).cloned().collect();
        reversed.reverse();
        kubectl.ok(&["delete", "-f", "-"], &output::yaml(&reversed, None)?)?;
        // The next preset starts from a clean store.
        for manifest in objects.iter().filter(|manifest| manifest.shared) {
            kubectl.ok(&["delete", "-f", "-"], &output::yaml(std::slice::from_ref(manifest), None)?)?;
        }
    }
    Ok(())
}

#[test]
fn settings_of_others_in_a_shared_object_stay() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV3])?;
    let kubectl = cluster.kubectl();
    let others = "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {vxlanPort: 4790, logSeverityScreen: Info}
";
    kubectl.ok(&["create", "-f", "-"], others)?;
    let variant = variants::all("calico").into_iter().find(|variant| variant.preset.name == "kubeadm");
    let objects = variant.expect("it ships").render(Target::CalicoV3, "kubeadm").objects;
    kubectl.apply(&output::yaml(&objects, None)?)?;
    let felix = kubectl.get(&["felixconfigurations.v3.projectcalico.org", "default"])?;
    assert_eq!(felix["spec"]["vxlanPort"], 4790);
    assert_eq!(felix["spec"]["logSeverityScreen"], "Info");
    assert!(felix["spec"]["failsafeInboundHostPorts"].as_array().is_some_and(|list| !list.is_empty()));
    Ok(())
}

#[test]
fn calicos_validator_accepts_every_object() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let checker = Checker::calico()?;
    judge(&checker, Target::CalicoV3)
}

#[test]
fn ciliums_agent_accepts_every_object() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let checker = Checker::cilium(&CiliumOptions::default())?;
    judge(&checker, Target::Cilium)
}

fn judge(checker: &Checker, target: Target) -> Test {
    for variant in variants::all(target.cni()) {
        for object in json_of(&variant.render(target, variant.preset.name).objects) {
            let verdict = checker.check(&object)?;
            assert_eq!(verdict, Verdict::Accepted, "{} for {}: {object}", variant.title(), target.name());
        }
    }
    Ok(())
}
