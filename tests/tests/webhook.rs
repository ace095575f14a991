//! Changes that lock a cluster out, made with kubectl at a real API server that asks the webhook: each is refused with the
//! right words, its repair is accepted, and what only looks like one passes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tests::cluster::{Cluster, CrdSet};
use tests::guarded::{Guarded, Replica};
use tests::kubectl::{Kubectl, Output};

type Test = Result<(), Box<dyn std::error::Error>>;

/// What no object of the small clusters tells.
const CONFIG: &str = "
apiVersion: lifeline.dev/v1alpha1
kind: LifelineConfig
metadata: {name: test}
spec:
  parameters:
    distribution: kubeadm
    adminCIDRs: [192.0.2.0/24]
    nodeCIDRs: [10.0.0.0/24]
    podCIDRs: [10.244.0.0/16]
    dhcpServers: []
    overlay: [UDP/4789]
";

/// A change, and what is to come of it: `policy/tests/lifeline/cases`.
#[derive(Deserialize)]
struct Case {
    bases: Vec<String>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    change: String,
    #[serde(default)]
    delete: String,
    verdict: String,
    #[serde(default)]
    cuts: Vec<String>,
}

/// Kinds that the webhook is asked about.
const GUARDED: [&str; 9] = [
    "GlobalNetworkPolicy",
    "GlobalNetworkSet",
    "HostEndpoint",
    "Tier",
    "FelixConfiguration",
    "KubeControllersConfiguration",
    "IPPool",
    "CiliumClusterwideNetworkPolicy",
    "CiliumCIDRGroup",
];

fn cases_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/lifeline")
}

fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("manifests");
    let items = |value: Value| value["items"].as_array().cloned().unwrap_or_else(|| vec![value]);
    documents.into_iter().filter(|value| !value.is_null()).flat_map(items).collect()
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

fn name(object: &Value) -> String {
    format!(
        "{}/{}",
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["name"].as_str().unwrap_or_default()
    )
}

/// A case that is one change of one guarded object, with its state.
struct Lab {
    title: String,
    case: Case,
    state: Vec<Value>,
}

/// Cases about one CNI that an API server asks about.
fn labs(calico: bool) -> Vec<Lab> {
    let root = cases_root();
    let mut labs = Vec::new();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("cases")).expect("the folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let title = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("the file");
        let case: Case = serde_saphyr::from_str(&text).expect(&title);
        let bases: Vec<String> = case
            .bases
            .iter()
            .map(|base| std::fs::read_to_string(root.join(format!("bases/{base}.yaml"))).expect(base))
            .collect();
        let mut state: Vec<Value> = bases.iter().flat_map(|base| objects(base)).collect();
        for object in objects(&case.state) {
            state.retain(|before| name(before) != name(&object));
            state.push(object);
        }
        let changes = [objects(&case.change), objects(&case.delete)].concat();
        let [change] = changes.as_slice() else { continue };
        let is_guarded = GUARDED.contains(&change["kind"].as_str().unwrap_or_default());
        let is_calico = change["apiVersion"].as_str().unwrap_or_default().contains("projectcalico.org");
        if is_guarded && is_calico == calico {
            labs.push(Lab { title, case, state });
        }
    }
    labs
}

fn start(set: CrdSet) -> Result<(Guarded, Replica), Box<dyn std::error::Error>> {
    let guarded = Guarded::install(Cluster::start(&[set])?, CONFIG)?;
    let replica = guarded.start(Path::new(env!("CARGO_BIN_EXE_webhook-under-test")))?;
    Ok((guarded, replica))
}

/// Makes the change of a case.
fn make(kubectl: &Kubectl, case: &Case) -> tests::Result<Output> {
    if case.delete.is_empty() {
        kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list(&objects(&case.change)))
    } else {
        kubectl.run(&["delete", "--wait=false", "-f", "-"], &list(&objects(&case.delete)))
    }
}

fn check(guarded: &Guarded, lab: &Lab) -> Test {
    let Lab { title, case, state } = lab;
    let kubectl = guarded.cluster().kubectl();
    guarded
        .unreviewed()
        .ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list(state))
        .map_err(|error| format!("{title}: {error}"))?;
    let said = make(kubectl, case)?;
    let refused = said.stderr.contains("admission webhook \"");
    match case.verdict.as_str() {
        "safe" => assert!(said.status.success(), "{title}: {}", said.stderr),
        "cannot-prove" => assert!(refused && said.stderr.contains("cannot-prove: "), "{title}: {}", said.stderr),
        _ => {
            assert!(refused, "{title}: {}{}", said.stdout, said.stderr);
            let told = |cut: &String| {
                let mut words = cut.split(' ');
                let code = format!("cuts-{}", words.next().unwrap_or_default());
                said.stderr.contains(&code) && words.next().is_none_or(|object| said.stderr.contains(object))
            };
            assert!(case.cuts.is_empty() || case.cuts.iter().any(told), "{title}: {:?} {}", case.cuts, said.stderr);
            assert!(said.stderr.contains("(Forbidden)"), "{title}: {}", said.stderr);
        }
    }
    Ok(())
}

fn every_case(calico: bool, set: CrdSet) -> Test {
    if tests::offline() {
        return Ok(());
    }
    let (guarded, replica) = start(set)?;
    let mut wrong = Vec::new();
    for lab in labs(calico) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&guarded, &lab)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => wrong.push(format!("{}: {error}", lab.title)),
            Err(panic) => wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default()),
        }
        let all = [lab.state.clone(), objects(&lab.case.change)].concat();
        guarded.unreviewed().run(&["delete", "--ignore-not-found", "--wait=false", "-f", "-"], &list(&all))?;
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n\n"), replica.log_end());
    Ok(())
}

#[test]
fn lock_outs_are_refused_as_native_calico() -> Test {
    every_case(true, CrdSet::CalicoV3)
}

#[test]
fn lock_outs_are_refused_as_cilium() -> Test {
    every_case(false, CrdSet::Cilium)
}
