//! The rights of the manifests are exact: the webhook, run under its ServiceAccount with all that there is to see and do, uses
//! every one of them, and asks for nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use policy::snapshot::manifests;
use serde_json::{Value, json};
use tests::cluster::{Cluster, CrdSet};
use tests::guarded::{Guarded, UNREVIEWED, USER};
use tests::kubectl::Kubectl;
use webhook::cluster::table::ROWS;

use super::Test;
use super::lockouts::CONFIG;

/// Ten times what anything here takes on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const PROGRAM: &str = env!("CARGO_BIN_EXE_webhook-under-test");
/// Where agents may be, with a component each.
const AGENTS: [(&str, &str); 2] = [
    ("cilium", include_str!("../../../../manifests/components/agents-in-cilium/role-binding.yaml")),
    ("kube-flannel", include_str!("../../../../manifests/components/agents-in-kube-flannel/role-binding.yaml")),
];

/// A verb on objects of one kind: in one namespace or all, of one name or all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    namespace: Option<String>,
    group: String,
    resource: String,
    name: Option<String>,
    verb: String,
}

impl Right {
    fn covers(&self, used: &Self) -> bool {
        let within = |given: &Option<String>, used: &Option<String>| given.is_none() || given == used;
        (&self.group, &self.resource, &self.verb) == (&used.group, &used.resource, &used.verb)
            && within(&self.namespace, &used.namespace)
            && within(&self.name, &used.name)
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the ServiceAccount may do by the manifests of a folder and the components.
fn granted(kubectl: &Kubectl, folder: &str) -> Result<BTreeSet<Right>, Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(folder);
    let mut text = kubectl.ok(&["kustomize", &folder.to_string_lossy()], "")?;
    for (_, binding) in AGENTS {
        text = format!("{text}\n---\n{binding}");
    }
    let objects: Vec<Value> = manifests("manifests", &text)?.into_iter().map(|manifest| manifest.value).collect();
    let mut rights = BTreeSet::new();
    for binding in &objects {
        let is_ours = |subject: &Value| subject["kind"] == "ServiceAccount" && subject["name"] == "lifeline";
        if !binding["subjects"].as_array().is_some_and(|subjects| subjects.iter().any(is_ours)) {
            continue;
        }
        let namespace = binding["metadata"]["namespace"].as_str().map(str::to_owned);
        let role = &binding["roleRef"];
        let is_it = |object: &&Value| {
            object["kind"] == role["kind"]
                && object["metadata"]["name"] == role["name"]
                && (role["kind"] == "ClusterRole"
                    || object["metadata"]["namespace"] == binding["metadata"]["namespace"])
        };
        let role = objects.iter().find(is_it).ok_or_else(|| format!("{role} is not among the manifests"))?;
        for rule in role["rules"].as_array().into_iter().flatten() {
            let names = texts(&rule["resourceNames"]);
            let names: Vec<Option<String>> =
                if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            for (group, resource) in texts(&rule["apiGroups"])
                .into_iter()
                .flat_map(|group| texts(&rule["resources"]).into_iter().map(move |resource| (group.clone(), resource)))
            {
                for (name, verb) in
                    names.iter().flat_map(|name| texts(&rule["verbs"]).into_iter().map(move |verb| (name, verb)))
                {
                    let (group, resource) = (group.clone(), resource.clone());
                    rights.insert(Right { namespace: namespace.clone(), group, resource, name: name.clone(), verb });
                }
            }
        }
    }
    Ok(rights)
}

/// What the webhook has asked for, since so many lines of the audit log.
fn used(cluster: &Cluster, since: usize) -> Result<BTreeSet<Right>, Box<dyn std::error::Error>> {
    let log = std::fs::read_to_string(cluster.audit_log())?;
    let mut rights = BTreeSet::new();
    for line in log.lines().skip(since) {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let object = &event["objectRef"];
        // What has no object is discovery, which every account may do.
        if event["user"]["username"] != USER || object["resource"].is_null() {
            continue;
        }
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let resource = match text(&object["subresource"]) {
            Some(part) => format!("{}/{part}", text(&object["resource"]).unwrap_or_default()),
            None => text(&object["resource"]).unwrap_or_default(),
        };
        rights.insert(Right {
            namespace: text(&object["namespace"]),
            group: text(&object["apiGroup"]).unwrap_or_default(),
            resource,
            name: text(&object["name"]),
            verb: text(&event["verb"]).unwrap_or_default(),
        });
    }
    Ok(rights)
}

/// Waits until every right was used, and holds what was used against what is granted.
fn exact(cluster: &Cluster, granted: &BTreeSet<Right>, since: usize) -> Test {
    let start = Instant::now();
    loop {
        let used = used(cluster, since)?;
        let beyond: Vec<_> = used.iter().filter(|used| !granted.iter().any(|right| right.covers(used))).collect();
        assert!(beyond.is_empty(), "used and not granted: {beyond:#?}");
        let idle: Vec<_> = granted.iter().filter(|right| !used.iter().any(|used| right.covers(used))).collect();
        if idle.is_empty() {
            return Ok(());
        }
        assert!(start.elapsed() < PATIENCE, "granted and never used: {idle:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Every kind that is read, where it is no kind of the API server's own and of no set.
pub(crate) fn remaining_kinds(cluster: &Cluster) -> Result<Value, Box<dyn std::error::Error>> {
    let there = cluster.kubectl().ok(&["get", "customresourcedefinitions", "-o", "name"], "")?;
    let mut items = Vec::new();
    for row in ROWS.iter() {
        let name = format!("{}.{}", row.resource, row.group);
        let is_known = there.lines().any(|line| line.ends_with(&format!("/{name}")));
        let is_own = row.group.is_empty() || row.group == "apps" || row.group.ends_with(".k8s.io");
        if is_known || is_own || items.iter().any(|item: &Value| item["metadata"]["name"] == name) {
            continue;
        }
        let versions = [json!({"name": row.versions[0], "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})];
        items.push(json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": name}, "spec": {"group": row.group, "scope": "Cluster", "versions": versions,
                "names": {"kind": row.kind, "plural": row.resource, "singular": row.kind.to_lowercase()}}}));
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

/// A change that a verdict depends on.
fn harmless(name: &str) -> String {
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
        "spec": {"order": 9, "selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Allow"}]}})
    .to_string()
}

#[test]
fn every_right_is_used_and_none_is_missed() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV3, CrdSet::CalicoV1, CrdSet::Cilium])?;
    let kubectl = cluster.kubectl();
    kubectl.apply(&remaining_kinds(&cluster)?.to_string())?;
    kubectl.apply(include_str!("../../../../manifests/components/config-resource/crd.yaml"))?;
    for (namespace, binding) in AGENTS {
        kubectl.ok(&["create", "namespace", namespace], "")?;
        kubectl.apply(binding)?;
    }
    let guarded = Guarded::install(cluster, CONFIG)?;
    let cluster = guarded.cluster();
    let unreviewed = &Kubectl::new(cluster.kubeconfig(UNREVIEWED, &["system:masters"])?)?;
    for base in [
        include_str!("../../../../policy/tests/lifeline/bases/nodes.yaml"),
        include_str!("../../../../policy/tests/lifeline/bases/calico.yaml"),
        include_str!("../../../../policy/tests/lifeline/bases/automatic.yaml"),
    ] {
        unreviewed.ok(&["create", "-f", "-"], base)?;
    }
    // Something to tell of on an object.
    let cut = json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "cuts"},
        "spec": {"order": 2, "types": ["Ingress"], "ingress": [{"action": "Deny"}]}});
    unreviewed.ok(&["create", "-f", "-"], &cut.to_string())?;
    let replica = guarded.start(Path::new(PROGRAM))?;
    cluster.kubectl().ok(&["create", "-f", "-"], &harmless("first"))?;
    exact(cluster, &granted(cluster.kubectl(), "base")?, 0)?;
    let tested = Command::new(PROGRAM).arg("--self-test").env("KUBECONFIG", guarded.kubeconfig()).output()?;
    // The cut is there, so it has something to say; that it could look everywhere is what counts.
    assert!(tested.status.code().is_some_and(|code| code < 2), "{tested:?}");
    exact(cluster, &granted(cluster.kubectl(), "base")?, 0)?;
    drop(replica);

    // With certificates from elsewhere it needs less, and does less.
    unreviewed.ok(&["delete", "globalnetworkpolicies.projectcalico.org", "--all"], "")?;
    unreviewed.ok(&["create", "-f", "-"], &cut.to_string())?;
    let pair = cluster.authority().server(&["127.0.0.1"])?;
    let certificate = cluster.scratch().write("replica.crt", &pair.certificate)?;
    let key = cluster.scratch().write("replica.key", &pair.key)?;
    trust(unreviewed, cluster.authority().pem())?;
    let since = std::fs::read_to_string(cluster.audit_log())?.lines().count();
    let mut command = Command::new(PROGRAM);
    command.args(["--grace=0", "--certificates=files"]);
    command.arg(format!("--certificate={}", certificate.display())).arg(format!("--key={}", key.display()));
    let replica = guarded.start_on(command, guarded.port())?;
    cluster.kubectl().ok(&["create", "-f", "-"], &harmless("second"))?;
    exact(cluster, &granted(cluster.kubectl(), "overlays/cert-manager")?, since)?;
    drop(replica);
    Ok(())
}

/// Puts an authority into both entries of the configuration, as cert-manager does.
fn trust(kubectl: &Kubectl, authority: &str) -> Test {
    use base64::Engine as _;
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
    let entry =
        |at: usize| json!({"op": "replace", "path": format!("/webhooks/{at}/clientConfig/caBundle"), "value": bundle});
    let patch = json!([entry(0), entry(1)]).to_string();
    kubectl.ok(&["patch", "validatingwebhookconfiguration", "lifeline", "--type=json", "-p", &patch], "")?;
    Ok(())
}
