//! The Helm chart: made from the manifests as they are, and, as Helm's own engine renders it, the same objects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parts::{Program, program};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::chart::{LAYERS, TEMPLATES, kustomized, templates};

type Test<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Templates that are written by hand.
const BY_HAND: [&str; 2] = ["NOTES.txt", "_checks.tpl"];

/// What Helm says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendered {
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    notes: String,
    #[serde(default)]
    refused: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn render(namespace: &str, values: &Value) -> Test<Rendered> {
    use std::io::Write as _;
    let mut helm = Command::new(program(Program::HelmRender)?)
        .arg(root().join("manifests/chart"))
        .arg(namespace)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    helm.stdin.take().ok_or("a pipe")?.write_all(values.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&helm.wait_with_output()?.stdout)?)
}

/// What is rendered without a complaint.
fn objects(namespace: &str, values: &Value) -> Test<BTreeMap<String, Value>> {
    let rendered = render(namespace, values)?;
    match rendered.refused {
        None => Ok(by_name(rendered.objects)),
        Some(why) => Err(format!("{values}: {why}").into()),
    }
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let count = objects.len();
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        format!("{} {} {} {}", object["apiVersion"], object["kind"], metadata["namespace"], metadata["name"])
    };
    let objects: BTreeMap<_, _> = objects.into_iter().map(|object| (name(&object), object)).collect();
    assert_eq!(objects.len(), count, "each object once");
    objects
}

fn with(values: &Value, more: &Value) -> Value {
    let mut all = values.as_object().cloned().unwrap_or_default();
    all.extend(more.as_object().cloned().unwrap_or_default());
    all.into()
}

#[test]
fn the_templates_are_those_of_the_manifests() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let mut wanted = templates()?;
    for entry in std::fs::read_dir(root().join(TEMPLATES))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if BY_HAND.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        assert_eq!(Some(text), wanted.remove(&name), "{name} is out of date: cargo xtask chart");
    }
    assert_eq!(wanted.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "missing: cargo xtask chart");
    let chart: Value = serde_saphyr::from_str(&std::fs::read_to_string(root().join("manifests/chart/Chart.yaml"))?)?;
    let version = Some(env!("CARGO_PKG_VERSION"));
    assert_eq!((chart["version"].as_str(), chart["appVersion"].as_str()), (version, version));
    Ok(())
}

#[test]
fn each_toggle_renders_what_kustomize_makes_of_its_layer() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let whole = json!({"createNamespace": true});
    let base = by_name(kustomized(None)?);
    assert_eq!(objects("lifeline-system", &whole)?, base);
    for layer in &LAYERS {
        let wanted = by_name(kustomized(Some(layer))?);
        assert_ne!(wanted, base, "{} changes nothing", layer.folder);
        let rendered = objects("lifeline-system", &with(&whole, &layer.values()))?;
        let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&rendered), names(&wanted), "{}", layer.folder);
        for (name, object) in &wanted {
            assert_eq!(rendered[name], *object, "{}: {name}", layer.folder);
        }
    }
    // An overlay that is not among them is one of them under another name, or the base.
    let layers = LAYERS.iter().filter(|layer| !layer.component).count();
    let overlays = std::fs::read_dir(root().join("manifests/overlays"))?.count();
    assert_eq!(overlays, layers + ["service", "monitoring"].len());
    let components = std::fs::read_dir(root().join("manifests/components"))?.count();
    assert_eq!(components, LAYERS.len() - layers);
    Ok(())
}

#[test]
fn what_people_change_is_changed_and_nothing_else() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let base = objects("lifeline-system", &json!({}))?;
    assert!(!base.keys().any(|name| name.contains("\"Namespace\"")), "helm wants it to be there");
    // Fields, by object, that a set of values changes.
    let changed = |values: Value| -> Test<Vec<String>> {
        let rendered = objects("lifeline-system", &values)?;
        assert_eq!(rendered.keys().collect::<Vec<_>>(), base.keys().collect::<Vec<_>>());
        let mut all = Vec::new();
        for (name, object) in &rendered {
            differences(&base[name], object, name.split('"').nth(3).unwrap_or_default(), &mut all);
        }
        Ok(all)
    };
    let container = "Deployment.spec.template.spec.containers[0]";
    assert_eq!(
        changed(json!({"image": {"repository": "registry.example/lifeline", "tag": "1.2.3"}}))?,
        [format!("{container}.image = \"registry.example/lifeline:1.2.3\"")]
    );
    assert_eq!(
        changed(json!({"image": {"pullSecrets": [{"name": "key"}]}}))?,
        ["Deployment.spec.template.spec.imagePullSecrets = [{\"name\":\"key\"}]"]
    );
    assert_eq!(changed(json!({"replicas": 2}))?, ["Deployment.spec.replicas = 2"]);
    assert_eq!(
        changed(json!({"failurePolicy": "Ignore"}))?,
        ["ValidatingWebhookConfiguration.webhooks[0].failurePolicy = \"Ignore\""]
    );
    assert_eq!(
        changed(json!({"resources": {"limits": {"memory": "1Gi"}}}))?,
        [format!("{container}.resources.limits.memory = \"1Gi\""), format!("{container}.resources.requests = null")]
    );
    assert_eq!(changed(json!({"extraArgs": ["--log=debug"]}))?, [format!("{container}.args[4] = \"--log=debug\"")]);
    let [config] = <[String; 1]>::try_from(changed(json!({"config": {"parameters": {"distribution": "k3s"}}}))?)
        .map_err(|all| format!("{all:?}"))?;
    assert!(
        config.contains("metadata:\\n  name: lifeline\\nspec:\\n  parameters:\\n    distribution: k3s\\n"),
        "{config}"
    );
    // What is said goes before what a mode brings.
    let said = json!({"mode": "observe", "config": {"mode": {"minor": "enforce"}}});
    let observed = objects("lifeline-system", &said)?;
    let text = observed.values().find_map(|object| object["data"]["lifeline.yaml"].as_str()).unwrap_or_default();
    assert!(text.ends_with("spec:\n  mode:\n    blocker: observe\n    major: observe\n    minor: enforce\n"), "{text}");
    Ok(())
}

/// Where two values differ, and what the second one has there.
fn differences(before: &Value, after: &Value, at: &str, all: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                differences(&before[key], &after[key], &format!("{at}.{key}"), all);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                differences(&before[index], &after[index], &format!("{at}[{index}]"), all);
            }
        }
        _ if before == after => {}
        _ => all.push(format!("{at} = {after}")),
    }
}

#[test]
fn toggles_go_together_in_any_namespace_and_are_refused_where_they_do_not() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let all = json!({"mode": "observe", "highAvailability": true, "certificates": "cert-manager", "monitoring": true,
        "configResource": true, "agentNamespaces": ["cilium", "kube-flannel"]});
    let rendered = render("guards", &all)?;
    assert_eq!(rendered.refused, None);
    assert!(rendered.notes.contains("namespace guards, mode observe"), "{}", rendered.notes);
    for object in &rendered.objects {
        assert!(!object.to_string().contains("lifeline-system"), "{object}");
    }
    let objects = by_name(rendered.objects);
    let deployment = objects.values().find(|object| object["kind"] == "Deployment").ok_or("a Deployment")?;
    let spec = &deployment["spec"]["template"]["spec"];
    assert!(spec["affinity"].is_object() && spec["containers"][0]["resources"]["limits"]["memory"] == "512Mi");
    let args = spec["containers"][0]["args"].as_array().cloned().unwrap_or_default();
    for wanted in ["--certificates=files", "--key=/etc/lifeline/tls/tls.key", "--namespace=guards"] {
        assert!(args.contains(&wanted.into()), "{args:?}");
    }
    assert!(!args.contains(&"--certificates=self".into()));
    for (values, says) in [
        (json!({"placement": "control-plane", "certificates": "cert-manager"}), "goes with certificates: self only"),
        (json!({"placement": "control-plane", "highAvailability": true}), "one replica on each"),
        (json!({"placement": "control-plane", "replicas": 2}), "one replica on each"),
        (json!({"mode": "sometimes"}), "/mode"),
        (json!({"replicas": 0}), "/replicas"),
        (json!({"replica": 3}), "replica"),
    ] {
        let refused = render("lifeline-system", &values)?.refused;
        assert!(refused.as_ref().is_some_and(|why| why.contains(says)), "{values}: {refused:?}");
    }
    Ok(())
}
