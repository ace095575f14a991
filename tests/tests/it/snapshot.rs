//! `translate snapshot` and `--live` before a real API server.

use std::fs;
use std::path::Path;

use policy::lifeline::config::Config;
use policy::lifeline::detect::detect;
use policy::lifeline::judge::{Assumptions, Change, judge};
use policy::snapshot::sources::{Namespaces, resources};
use policy::snapshot::{Loader, Snapshot, manifests};
use serde_json::{Value, json};
use tests::cluster::{Cluster, CrdSet};
use translator::cli::{Exit, run};
use translator::live::{Connection, LiveError, capture};

type Test = Result<(), Box<dyn std::error::Error>>;

/// What nobody else is to read.
const SECRET: &str = "hunter2";

const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: calico-system}
---
apiVersion: v1
kind: Node
metadata: {name: cp, labels: {kubernetes.io/hostname: cp, node-role.kubernetes.io/control-plane: ""}}
status:
  addresses: [{type: InternalIP, address: 10.0.0.1}]
  daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
---
apiVersion: v1
kind: Node
metadata: {name: w1, labels: {kubernetes.io/hostname: w1}}
status:
  addresses: [{type: InternalIP, address: 10.0.0.2}]
  daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  nodeName: w1
  containers: [{name: web, image: web, env: [{name: PASSWORD, value: hunter2}]}]
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: default}
stringData: {password: hunter2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: passwords, namespace: kube-system}
data: {web: hunter2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: calico-config, namespace: calico-system}
data: {calico_backend: vxlan}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: calico-system}
spec:
  selector: {matchLabels: {k8s-app: calico-node}}
  template:
    metadata: {labels: {k8s-app: calico-node}}
    spec:
      containers:
      - name: calico-node
        image: docker.io/calico/node:v3.31.0
        env: [{name: CALICO_NETWORKING_BACKEND, valueFrom: {configMapKeyRef: {name: calico-config, key: calico_backend}}}]
---
apiVersion: crd.projectcalico.org/v1
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
---
apiVersion: cilium.io/v2
kind: CiliumCIDRGroup
metadata: {name: admins}
spec: {externalCIDRs: [192.0.2.0/24]}
"#;

const DENY: &str = "apiVersion: crd.projectcalico.org/v1\nkind: GlobalNetworkPolicy\nmetadata: {name: default.nodes}\nspec: \
                    {selector: has(kubernetes.io/hostname), types: [Ingress], ingress: [{action: Deny}]}\n";

/// The state in a directory of manifests.
fn state(dir: &Path) -> Result<Snapshot, Box<dyn std::error::Error>> {
    let mut loader = Loader::default();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        loader.read(&path.display().to_string(), &fs::read_to_string(&path)?)?;
    }
    let loaded = loader.finish();
    assert_eq!((loaded.duplicates, loaded.ignored), (vec![], [].into()));
    Ok(loaded.snapshot)
}

fn judgement(state: &Snapshot) -> Result<Value, Box<dyn std::error::Error>> {
    let change: Vec<Change> = manifests("deny.yaml", DENY)?.into_iter().map(Change::Put).collect();
    let config = Config::default();
    let judged = judge(state, &change, &|state| detect(state, &config), &Assumptions::default())?;
    Ok(serde_json::to_value(judged)?)
}

/// Who may read all that a snapshot is made of, but for some.
fn role(name: &str, without: &[&str]) -> String {
    let rules: Vec<Value> = resources()
        .filter(|resource| !without.contains(&resource.plural))
        .map(|one| json!({"apiGroups": [one.group], "resources": [one.plural], "verbs": ["get", "list"]}))
        .collect();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    });
    let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}, "subjects": [subject],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]}).to_string()
}

#[test]
fn a_captured_cluster_is_judged_like_its_objects() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV1, CrdSet::Cilium])?;
    let kubectl = cluster.kubectl();
    kubectl.ok(&["create", "-f", "-"], OBJECTS)?;
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\nstatus: {phase: Running, podIPs: \
               [{ip: 10.1.0.5}]}\n";
    kubectl.ok(&["apply", "--server-side", "--subresource=status", "-f", "-"], pod)?;
    for (user, without) in [("reader", &[][..]), ("half", &["nodes", "tiers"])] {
        kubectl.apply(&role(user, without))?;
    }

    // One who may only read.
    let kubeconfig = cluster.kubeconfig("reader", &[])?;
    let directory = cluster.scratch().path().join("captured");
    let snapshot = |directory: &Path| {
        let paths = [directory.as_os_str().to_owned(), "--kubeconfig".into(), kubeconfig.clone().into_os_string()];
        run(["translate".into(), "snapshot".into(), "-o".into()].into_iter().chain(paths))
    };
    assert_eq!(snapshot(&directory), Exit::Clean);
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        assert!(!fs::read_to_string(&path)?.contains(SECRET), "{}", path.display());
        names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    for name in ["nodes.json", "pods.json", "kubecontrollersconfigurations.crd.projectcalico.org.json"] {
        assert!(names.iter().any(|one| one == name), "{name} is not in {names:?}");
    }

    // What kubectl prints of the same kinds, with nothing left out.
    let listed = cluster.scratch().path().join("listed");
    fs::create_dir(&listed)?;
    let served = kubectl.ok(&["api-resources", "-o", "name"], "")?;
    for resource in resources() {
        let name = if resource.group.is_empty() {
            resource.plural.to_owned()
        } else {
            format!("{}.{}", resource.plural, resource.group)
        };
        if !served.lines().any(|line| line == name) {
            continue;
        }
        let list = match resource.namespaces {
            Namespaces::OfAgents(_) => {
                kubectl.ok(&["get", "configmap", "-n", "calico-system", "calico-config", "-o", "yaml"], "")?
            }
            _ => kubectl.ok(&["get", &name, "-A", "-o", "yaml"], "")?,
        };
        fs::write(listed.join(format!("{name}.yaml")), list)?;
    }
    let captured = state(&directory)?;
    let judged = judgement(&captured)?;
    assert_eq!(judged["verdict"], "cuts", "{judged:#}");
    assert_eq!(judged, judgement(&state(&listed)?)?);
    assert_eq!(captured.cluster.pods.len(), 1);
    assert_eq!(captured.cluster.config_maps.len(), 1, "{:?}", captured.cluster.config_maps);

    // Without a directory between.
    let deny = cluster.scratch().write("deny.yaml", DENY)?;
    let live = ["translate", "check", "--live", "-o", "json", "-f"].map(Into::into);
    let rest = [deny.into_os_string(), "--kubeconfig".into(), kubeconfig.clone().into_os_string()];
    assert_eq!(run(live.into_iter().chain(rest)), Exit::Findings);

    // A directory with something in it is somebody else's.
    let before = names.len();
    assert_eq!(snapshot(&directory), Exit::Io);
    assert_eq!(fs::read_dir(&directory)?.count(), before);

    // One who may not read all of it gets nothing, and is told what is missing.
    let kubeconfig = Some(cluster.kubeconfig("half", &[])?);
    match capture(&Connection { kubeconfig, ..Connection::default() }, &|_| ()) {
        Err(LiveError::Forbidden(kinds)) => assert_eq!(kinds, ["nodes", "tiers.crd.projectcalico.org"]),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn without_a_cluster_nothing_is_written() -> Test {
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("kubeconfig");
    // A port of this machine that nobody listens on.
    let server = format!("http://127.0.0.1:{}", tests::ports::free()?);
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    });
    fs::write(&kubeconfig, text.to_string())?;
    let out = directory.path().join("out");
    let arguments =
        ["translate".into(), "snapshot".into(), "-o".into(), out.clone().into_os_string(), "--kubeconfig".into()];
    assert_eq!(run(arguments.into_iter().chain([kubeconfig.clone().into_os_string()])), Exit::Io);
    assert!(!out.exists());
    match capture(&Connection { kubeconfig: Some(kubeconfig), ..Connection::default() }, &|_| ()) {
        Err(LiveError::Unreachable { what, .. }) => assert_eq!(what, "which kinds there are"),
        other => panic!("{other:?}"),
    }
    Ok(())
}
