//! The manifests that install the webhook, on a real API server: accepted, removable, and what they guard while no replica answers.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::api::objects;
use tests::calico_apiserver::{self, CalicoApiserver};
use tests::cluster::{Cluster, CrdSet};
use tests::kubectl::{Kubectl, Output};
use tests::ports;

type Test = Result<(), Box<dyn std::error::Error>>;

const NAMESPACE: &str = "lifeline-system";
/// On a busy machine the API server takes some seconds to notice a new policy or binding, and now and then over a minute to
/// take a kind back.
const PATIENCE: Duration = Duration::from_secs(240);
const CALICO: [&str; 2] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];

#[test]
fn everything_is_accepted_and_nothing_is_left_behind() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[])?;
    let kubectl = cluster.kubectl();
    kubectl.apply(include_str!("../../data/manifests/crds.yaml"))?;
    let served = ["get", "certificates,issuers,prometheusrules,servicemonitors", "--all-namespaces"];
    eventually(|| Ok(kubectl.run(&served, "")?.status.success()))?;
    for namespace in ["cilium", "kube-flannel"] {
        kubectl.ok(&["create", "namespace", namespace], "")?;
    }
    let all = cluster.scratch().write("kustomization.yaml", everything()?)?;
    let folder = all.parent().ok_or("a file is in a folder")?.display().to_string();
    let mut folders = vec![manifests().join("base").display().to_string()];
    for entry in std::fs::read_dir(manifests().join("overlays"))? {
        folders.push(entry?.path().display().to_string());
    }
    // The components, all at once.
    folders.push(folder);
    assert_eq!(folders.len(), 8, "{folders:?}");
    for folder in &folders {
        // A dry run makes no namespace, so what goes into it would have none.
        kubectl.ok(&["create", "namespace", NAMESPACE], "")?;
        kubectl.ok(&["apply", "-k", folder, "--server-side", "--force-conflicts", "--dry-run=server"], "")?;
        kubectl.ok(&["apply", "-k", folder, "--server-side", "--force-conflicts", "--validate=strict"], "")?;
        let again = kubectl.ok(&["apply", "-k", folder, "--server-side"], "")?;
        assert!(again.contains("serverside-applied"), "{again}");

        let text = kubectl.ok(&["kustomize", folder], "")?;
        let objects = objects(&text)?;
        for object in &objects {
            assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/part-of"], "lifeline", "{}", named(object));
        }
        let last = objects.last().map(|object| object["kind"].clone());
        assert_eq!(last, Some("ValidatingWebhookConfiguration".into()), "asked before there is an answer: {folder}");
        kubectl.ok(&["delete", "-k", folder, "--wait=false"], "")?;
        // In a cluster a controller does this, once the namespace is empty.
        let empty = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}, "spec": {}});
        let finalize = format!("/api/v1/namespaces/{NAMESPACE}/finalize");
        kubectl.ok(&["replace", "--raw", &finalize, "-f", "-"], &empty.to_string())?;
        for object in &objects {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
            let get = ["get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "name"];
            // The API server takes a moment for a kind.
            eventually(|| Ok(kubectl.ok(&get, "")?.is_empty()))
                .map_err(|error| format!("{folder} leaves {} behind: {error}", named(object)))?;
        }
    }
    Ok(())
}

#[test]
fn one_condition_decides_about_break_glass_everywhere() -> Test {
    if tests::offline() {
        return Ok(());
    }
    // It asks no cluster.
    let kubectl = Kubectl::new("none")?;
    let base = objects(&kubectl.ok(&["kustomize", &manifests().join("base").display().to_string()], "")?)?;
    let mut conditions = Vec::new();
    for object in &base {
        let hooks = object["webhooks"].as_array().cloned().unwrap_or_default();
        for place in hooks.iter().chain([&object["spec"]]) {
            let found = place["matchConditions"].as_array().into_iter().flatten();
            conditions.extend(found.map(|it| (it["name"].clone(), it["expression"].to_string())));
        }
    }
    let of = |name: &str| -> Vec<&String> { conditions.iter().filter(|it| it.0 == name).map(|it| &it.1).collect() };
    let (without, with) = (of("no-break-glass"), of("break-glass"));
    assert_eq!((without.len(), with.len()), (6, 1), "{conditions:?}");
    assert!(without.iter().all(|it| it == &without[0]));
    assert_eq!(without[0].trim_matches('"'), format!("!({})", with[0].trim_matches('"')));
    Ok(())
}

/// A shape that the floor refuses, what it says, and one that only looks so.
struct Shape {
    name: &'static str,
    says: &'static str,
    api_version: &'static str,
    kind: &'static str,
    wrong: Value,
    right: Value,
}

fn shapes() -> Vec<Shape> {
    let cilium = |name, says, wrong, right| Shape {
        name,
        says,
        api_version: "cilium.io/v2",
        kind: "CiliumClusterwideNetworkPolicy",
        wrong,
        right,
    };
    let deny = |entity: &str, port: &str| json!({"nodeSelector": {}, "ingressDeny": [{"fromEntities": [entity], "toPorts": [{"ports": [{"port": port, "protocol": "TCP"}]}]}]});
    let mut shapes = vec![
        cilium(
            "empty-ingress",
            "empty-rules",
            json!({"nodeSelector": {}, "ingress": [{}]}),
            json!({"nodeSelector": {}, "ingress": [{}], "enableDefaultDeny": {"ingress": true}}),
        ),
        cilium(
            "empty-egress",
            "empty-rules",
            json!({"nodeSelector": {}, "egress": [{}, {}]}),
            json!({"nodeSelector": {}, "egress": [{}, {"toEntities": ["all"]}]}),
        ),
        // Of pods, it is a common way to close a namespace.
        cilium(
            "empty-of-pods",
            "empty-rules",
            json!({"nodeSelector": {"matchLabels": {"a": "b"}}, "ingress": [{}]}),
            json!({"endpointSelector": {"matchLabels": {"a": "b"}}, "ingress": [{}]}),
        ),
        cilium(
            "denies-everything",
            "denies-all",
            json!({"nodeSelector": {}, "egressDeny": [{"toEntities": ["all"]}]}),
            json!({"nodeSelector": {}, "egressDeny": [{"toEntities": ["all"], "toPorts": [{"ports": [{"port": "25", "protocol": "TCP"}]}]}]}),
        ),
        cilium("denies-kubelet", "denies-all", deny("cluster", "10250"), deny("world", "10250")),
        cilium("denies-port-zero", "denies-all", deny("all", "0"), deny("all", "10251")),
        cilium(
            "denies-range",
            "denies-all",
            json!({"nodeSelector": {}, "ingressDeny": [{"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "6000", "endPort": 7000, "protocol": "ANY"}]}]}]}),
            json!({"nodeSelector": {}, "ingressDeny": [{"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "6000", "endPort": 7000, "protocol": "UDP"}]}]}]}),
        ),
    ];
    for api_version in CALICO {
        let policy = |ports: Value| json!({"selector": "all()", "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": ports}}]});
        let failsafe = |one: Value| json!({"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22}, one]});
        let calico = |name, kind, wrong, right| Shape { name, says: "stops-agent", api_version, kind, wrong, right };
        shapes.extend([
            calico("port", "GlobalNetworkPolicy", policy(json!([22, 70000])), policy(json!([22, 65535]))),
            calico(
                "range",
                "GlobalNetworkPolicy",
                policy(json!(["30000:29999"])),
                policy(json!(["30000:30000", "named"])),
            ),
            calico("range-end", "GlobalNetworkPolicy", policy(json!(["1:65536"])), policy(json!(["0:65535"]))),
            calico(
                "protocol",
                "GlobalNetworkPolicy",
                json!({"selector": "all()", "egress": [{"action": "Allow", "protocol": 256}]}),
                json!({"selector": "all()", "egress": [{"action": "Allow", "protocol": 255}]}),
            ),
            calico(
                "default",
                "FelixConfiguration",
                failsafe(json!({"protocol": "SCTP", "port": 132})),
                failsafe(json!({"protocol": "UDP", "port": 68, "net": "fd00::/8"})),
            ),
            calico(
                "default",
                "FelixConfiguration",
                failsafe(json!({"protocol": "TCP", "port": 22, "net": "10.0.0.0/33"})),
                failsafe(json!({"protocol": "TCP", "port": 22, "net": "10.0.0.1"})),
            ),
        ]);
    }
    shapes
}

#[test]
fn the_floor_refuses_what_is_wrong_everywhere_and_nothing_that_looks_so() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV3, CrdSet::CalicoV1, CrdSet::Cilium])?;
    let kubectl = cluster.kubectl();
    install(kubectl)?;
    // With no webhook at all.
    kubectl.ok(&["delete", "validatingwebhookconfiguration", "lifeline"], "")?;
    for Shape { name, says, api_version, kind, wrong, right } in shapes() {
        let object =
            |spec: &Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec});
        let create = ["create", "--dry-run=server", "-f", "-"];
        refused(kubectl, &create, &object(&wrong).to_string(), &format!("Lifeline floor, {says}:"))?;
        kubectl.ok(&create, &object(&right).to_string()).map_err(|error| format!("{api_version} {name}: {error}"))?;
        // In one of several rule sets, too.
        if kind == "CiliumClusterwideNetworkPolicy" {
            let several =
                json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "specs": [right, wrong]});
            refused(kubectl, &create, &several.to_string(), says)?;
        }
    }
    Ok(())
}

#[test]
fn an_update_of_what_is_wrong_already_is_let_through() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::Cilium])?;
    let kubectl = cluster.kubectl();
    let policy = |ingress: Value| json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "closes"}, "spec": {"nodeSelector": {}, "ingress": ingress, "egress": [{"toEntities": ["all"]}]}});
    kubectl.apply(&policy(json!([{}])).to_string())?;
    install(kubectl)?;
    kubectl.ok(&["delete", "validatingwebhookconfiguration", "lifeline"], "")?;
    let other = policy(json!([{}])).to_string().replace("closes", "another");
    refused(kubectl, &["create", "--dry-run=server", "-f", "-"], &other, "empty-rules")?;
    let what = "ciliumclusterwidenetworkpolicies/closes";
    kubectl.ok(&["label", what, "team=net"], "")?;
    kubectl.ok(&["patch", what, "--type=merge", "-p", r#"{"spec":{"ingress":[{"fromEntities":["all"]}]}}"#], "")?;
    // And once it is right, it stays so.
    let back = ["patch", what, "--type=merge", "-p", r#"{"spec":{"ingress":[{}]}}"#];
    refused(kubectl, &back, "", "empty-rules")
}

#[test]
fn while_no_replica_answers_writes_wait_deletes_pass_and_break_glass_works() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV3, CrdSet::CalicoV1, CrdSet::Cilium])?;
    let admin = cluster.kubectl();
    install(admin)?;
    admin.ok(&["delete", "validatingwebhookconfiguration", "lifeline"], "")?;
    let (ops, dev) = people(&cluster)?;
    let service = Kubectl::new(cluster.kubeconfig(calico_apiserver::USER, &[])?)?;
    let marked = json!({"lifeline.dev/protected": "true"});
    for api_version in CALICO {
        admin.apply(&policy(api_version, "plain", &json!({}), &json!({})))?;
        admin.apply(&policy(api_version, "kept", &marked, &json!({})))?;
    }
    // As calico-apiserver stores it.
    let inside = |annotations: &Value| json!({"projectcalico.org/metadata": json!({"labels": marked, "annotations": annotations}).to_string()});
    admin.apply(&policy(CALICO[1], "inside", &json!({}), &inside(&json!({}))))?;
    let reason = json!({"lifeline.dev/break-glass": "INC-7 nodes are cut off"});
    admin.apply(&policy(CALICO[1], "inside-open", &json!({}), &inside(&reason)))?;
    dead_webhook(admin)?;

    for api_version in CALICO {
        let kind = kind(api_version);
        let kept = format!("{kind}/kept");
        let new = policy(api_version, "new", &json!({}), &json!({}));
        // Only who waits for the webhook to be called knows that it is.
        refused(
            &dev,
            &["create", "-f", "-", "--dry-run=server"],
            &new,
            "failed calling webhook \"write.lifeline.dev\"",
        )?;
        refused(
            &ops,
            &["label", &format!("{kind}/plain"), "a=b"],
            "",
            "failed calling webhook \"write.lifeline.dev\"",
        )?;
        dev.ok(&["delete", &format!("{kind}/plain")], "")?;

        for who in [&dev, &ops] {
            refused(who, &["delete", &kept], "", "Lifeline floor, protected:")?;
            refused(who, &["label", &kept, "lifeline.dev/protected-"], "", "Lifeline floor, protected:")?;
        }

        let annotated = policy(api_version, "new", &json!({}), &reason);
        refused(&dev, &["create", "-f", "-"], &annotated, "Lifeline floor, break-glass: only who has the verb bypass")?;
        let empty = policy(api_version, "new", &json!({}), &json!({"lifeline.dev/break-glass": " "}));
        refused(&ops, &["create", "-f", "-"], &empty, "failed calling webhook")?;
        let said = done(&ops, &["create", "-f", "-"], &annotated)?;
        assert!(said.contains("Lifeline is passed by (break-glass: INC-7 nodes are cut off)"), "{said}");
        // A mark and the way past it in one go.
        let patch =
            json!({"metadata": {"labels": {"lifeline.dev/protected": null}, "annotations": reason}}).to_string();
        let said = done(&ops, &["patch", &kept, "--type=merge", "-p", &patch], "")?;
        assert!(said.contains("Lifeline is passed by"), "{said}");
        done(&ops, &["delete", &kept], "")?;
    }
    let inside = format!("{}/inside", kind(CALICO[1]));
    let open = format!("{}/inside-open", kind(CALICO[1]));
    refused(&service, &["delete", &inside], "", "Lifeline floor, protected:")?;
    refused(&dev, &["delete", &open], "", "Lifeline floor, protected:")?;
    assert!(
        done(&service, &["delete", &open], "")?
            .contains("Lifeline is passed by (break-glass: \"lifeline.dev/break-glass\":\"INC-7")
    );

    let recorded = std::fs::read_to_string(cluster.audit_log())?;
    let used = recorded.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let used: Vec<Value> =
        used.filter(|event| event["annotations"]["lifeline-break-glass/break-glass"].is_string()).collect();
    let by =
        |user: &str, verb: &str| used.iter().filter(|it| it["user"]["username"] == user && it["verb"] == verb).count();
    assert_eq!(
        (by("ops", "create"), by("ops", "patch"), by("ops", "delete"), by("dev", "create")),
        (2, 2, 2, 0),
        "{used:?}"
    );
    let by_ops = used.iter().find(|event| event["user"]["username"] == "ops");
    let text = by_ops.map(|event| &event["annotations"]["lifeline-break-glass/break-glass"]);
    assert_eq!(text, Some(&"ops: INC-7 nodes are cut off".into()));
    // Switching Lifeline off is possible, and said.
    let said = done(admin, &["delete", "validatingwebhookconfiguration", "lifeline"], "")?;
    assert!(said.contains("Lifeline guards nothing from now on"), "{said}");
    Ok(())
}

#[test]
fn through_the_aggregated_api_the_user_is_asked_when_the_annotation_is_set() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV1])?;
    let _calico = CalicoApiserver::start(&cluster)?;
    let admin = cluster.kubectl();
    install(admin)?;
    admin.ok(&["delete", "validatingwebhookconfiguration", "lifeline"], "")?;
    let (ops, dev) = people(&cluster)?;
    let kept = "globalnetworkpolicies.v3.projectcalico.org/kept";
    admin.apply(&policy(CALICO[0], "kept", &json!({"lifeline.dev/protected": "true"}), &json!({})))?;
    for who in [&dev, &ops] {
        refused(who, &["delete", kept], "", "Lifeline floor, protected:")?;
    }
    let annotate = ["annotate", kept, "lifeline.dev/break-glass=INC-8"];
    refused(&dev, &annotate, "", "Lifeline floor, break-glass: only who has the verb bypass")?;
    done(&ops, &annotate, "")?;
    done(&ops, &["delete", kept], "")?;
    Ok(())
}

/// Two people who may edit policies; only the first may pass Lifeline by.
fn people(cluster: &Cluster) -> Result<(Kubectl, Kubectl), Box<dyn std::error::Error>> {
    let admin = cluster.kubectl();
    let rules = json!([{"apiGroups": ["projectcalico.org", "crd.projectcalico.org", "cilium.io"], "resources": ["*"], "verbs": ["*"]}]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "policies"}, "rules": rules});
    admin.apply(&role.to_string())?;
    let to = ["--user=ops", "--user=dev", &format!("--user={}", calico_apiserver::USER)];
    admin.ok(&[&["create", "clusterrolebinding", "policies", "--clusterrole=policies"], to.as_slice()].concat(), "")?;
    admin.ok(&["create", "clusterrolebinding", "ops", "--clusterrole=lifeline-break-glass", "--user=ops"], "")?;
    let (ops, dev) = (Kubectl::new(cluster.kubeconfig("ops", &[])?)?, Kubectl::new(cluster.kubeconfig("dev", &[])?)?);
    // A binding holds a moment after it is stored.
    eventually(|| {
        // `kubectl auth can-i` asks for nothing but resources that the API server has.
        let right = json!({"group": "lifeline.dev", "resource": "clusterguards", "verb": "bypass"});
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": right}});
        let allowed = ops
            .ok(&["create", "--validate=false", "-f", "-", "-o", "jsonpath={.status.allowed}"], &review.to_string())?;
        let edits = ["auth", "can-i", "create", "globalnetworkpolicies.crd.projectcalico.org"];
        Ok(allowed == "true" && dev.run(&edits, "")?.status.success())
    })?;
    Ok((ops, dev))
}

fn policy(api_version: &str, name: &str, labels: &Value, annotations: &Value) -> String {
    let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
    let spec = json!({"selector": "has(role)", "ingress": [{"action": "Allow"}]});
    json!({"apiVersion": api_version, "kind": "GlobalNetworkPolicy", "metadata": metadata, "spec": spec}).to_string()
}

fn kind(api_version: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or((api_version, ""));
    format!("globalnetworkpolicies.{version}.{group}")
}

fn install(kubectl: &Kubectl) -> Test {
    kubectl.ok(&["apply", "-k", &manifests().join("base").display().to_string()], "")?;
    Ok(())
}

/// The configuration again, with nobody at the other end.
fn dead_webhook(kubectl: &Kubectl) -> Test {
    let url = format!("https://127.0.0.1:{}/validate", ports::free()?);
    let base = objects(&kubectl.ok(&["kustomize", &manifests().join("base").display().to_string()], "")?)?;
    let configuration = base.into_iter().find(|object| object["kind"] == "ValidatingWebhookConfiguration");
    let mut configuration = configuration.ok_or("the base has a configuration")?;
    for hook in configuration["webhooks"].as_array_mut().ok_or("it has webhooks")? {
        hook["clientConfig"] = json!({"url": url});
    }
    kubectl.ok(&["create", "-f", "-"], &configuration.to_string())?;
    Ok(())
}

/// Holds a request to be refused with these words: a policy holds a moment after it is stored.
fn refused(kubectl: &Kubectl, args: &[&str], stdin: &str, words: &str) -> Test {
    let mut said = String::new();
    eventually(|| {
        let Output { stderr, status, .. } = kubectl.run(args, stdin)?;
        said = stderr;
        Ok(!status.success() && said.contains(words))
    })
    .map_err(|_| format!("kubectl {}: no `{words}` in: {said}\n{stdin}", args.join(" ")).into())
}

/// What is said of a request that succeeds.
fn done(kubectl: &Kubectl, args: &[&str], stdin: &str) -> Result<String, Box<dyn std::error::Error>> {
    let Output { stderr, status, .. } = kubectl.run(args, stdin)?;
    if status.success() { Ok(stderr) } else { Err(format!("kubectl {}: {stderr}", args.join(" ")).into()) }
}

fn eventually(mut holds: impl FnMut() -> Result<bool, tests::Error>) -> Test {
    let start = Instant::now();
    while !holds()? {
        if start.elapsed() > PATIENCE {
            return Err("it does not come true".into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn named(object: &Value) -> String {
    format!("{} {}", object["kind"], object["metadata"]["name"])
}

/// A kustomization of the base with every component.
fn everything() -> Result<String, std::io::Error> {
    // From target/tmp/NAME: kustomize takes no absolute paths.
    const ROOT: &str = "../../../manifests";
    let mut components = Vec::new();
    for entry in std::fs::read_dir(manifests().join("components"))? {
        components.push(format!("{ROOT}/components/{}", entry?.file_name().display()));
    }
    let base = [format!("{ROOT}/base")];
    let head = ("kustomize.config.k8s.io/v1beta1", "Kustomization");
    Ok(json!({"apiVersion": head.0, "kind": head.1, "resources": base, "components": components}).to_string())
}

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}
