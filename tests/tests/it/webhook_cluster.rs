//! What the webhook knows of a live cluster, and how it judges there: against a real API server, without the network path
//! from it. The tests do what the API server does with a change: ask, and store it where the revision is still the same.

mod proxy;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tests::cluster::{Cluster, CrdSet};
use tokio_util::sync::CancellationToken;
use webhook::cluster::store::Standing;
use webhook::cluster::table::ROWS;
use webhook::cluster::{Options, Running, run, self_test};
use webhook::health::Readiness;
use webhook::metrics::Metrics;
use webhook::review::Request;
use webhook::validate::{Change, Judge};
use webhook::verdict::Decision;

use proxy::Proxy;

type Test<T = ()> = Result<T, Box<dyn Error>>;

const NAMESPACE: &str = "lifeline-system";
/// Ten times what anything here takes on two busy cores.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_live_cluster_is_followed_and_guarded() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV3])?;
    prepare(&cluster)?;
    let kubeconfig = cluster.kubeconfig("admin", &["system:masters"])?;
    let proxy = Proxy::start(cluster.url()).await?;
    let direct = client(&kubeconfig, None).await?;

    let one = Replica::start(&client(&kubeconfig, Some(&proxy.url())).await?);
    one.until_ready().await?;
    follows(&one, &cluster, &direct).await?;
    away_and_back(&one, &proxy, &direct).await?;

    let two = Replica::start(&direct);
    two.until_ready().await?;
    races(&one, &two, &direct).await?;
    configuration(&one, &cluster, &direct).await?;
    audited(&one, &cluster, &direct).await?;
    let report = self_test(&direct, &Options::of(NAMESPACE, "test")).await;
    assert!(report.passed, "{}", report.text);
    for line in [
        "nodes: 2 read",
        "hostendpoints.projectcalico.org: 2 read",
        "Calico: would be refused, it cuts",
        "spec.parameters.adminCIDRs",
    ] {
        assert!(report.text.contains(line), "{line}: {}", report.text);
    }
    for mut replica in [one, two] {
        replica.stop.cancel();
        while replica.running.tasks.join_next().await.is_some() {}
    }
    Ok(())
}

/// A webhook without its ports.
struct Replica {
    running: Running,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Replica {
    fn start(client: &Client) -> Self {
        let (metrics, readiness, stop) = (Arc::new(Metrics::default()), Readiness::default(), CancellationToken::new());
        let options = Options { discovery: Duration::from_secs(1), ..Options::of(NAMESPACE, "test") };
        let running = run(client, &options, &metrics, &readiness, &stop);
        Self { running, readiness, metrics, stop }
    }

    async fn until_ready(&self) -> Test {
        until("the replica is ready", || {
            let why = self.running.store.view().err().unwrap_or_default();
            if self.readiness.is_ready() { Ok(()) } else { Err(why) }
        })
        .await
    }

    /// Asks about a change, as the API server does.
    async fn ask(&self, change: &Asked, dry_run: bool) -> Result<Decision, String> {
        let review = change.review(dry_run);
        let guard = Arc::clone(&self.running.guard);
        let asked = tokio::task::spawn_blocking(move || {
            let request = Request::read(review.as_bytes()).map_err(|error| error.to_string())?;
            let operation = request.operation().map_err(|error| error.to_string())?;
            let (before, after) = request.change().map_err(|error| error.to_string())?;
            let deadline = Instant::now() + Duration::from_secs(4);
            guard.judge(&Change { request: &request, operation, before, after, deadline })
        });
        asked.await.map_err(|error| error.to_string())?
    }
}

/// A change that somebody wants.
struct Asked {
    before: Option<Value>,
    after: Option<Value>,
}

impl Asked {
    fn review(&self, dry_run: bool) -> String {
        let object = self.after.as_ref().or(self.before.as_ref()).cloned().unwrap_or_default();
        let operation = match (&self.before, &self.after) {
            (None, _) => "CREATE",
            (_, Some(_)) => "UPDATE",
            (_, None) => "DELETE",
        };
        let (group, version) = object["apiVersion"].as_str().and_then(|text| text.split_once('/')).unwrap_or_default();
        let uid = format!("{:032x}", fastrand::u128(..));
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": uid, "kind": {"group": group, "version": version, "kind": object["kind"]},
            "name": object["metadata"]["name"], "operation": operation, "userInfo": {"username": "somebody"},
            "object": self.after, "oldObject": self.before, "dryRun": dry_run,
        }})
        .to_string()
    }
}

async fn client(kubeconfig: &Path, url: Option<&str>) -> Test<Client> {
    let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    for cluster in &mut kubeconfig.clusters {
        if let (Some(cluster), Some(url)) = (&mut cluster.cluster, url) {
            cluster.server = Some(url.to_owned());
        }
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Waits for something that is only a matter of time.
async fn until(what: &str, mut is_so: impl FnMut() -> Result<(), String>) -> Test {
    let start = Instant::now();
    while let Err(why) = is_so() {
        if start.elapsed() > PATIENCE {
            return Err(format!("not so after {} s: {what}: {why}", PATIENCE.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn so(is_so: bool) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(String::new()) }
}

/// Two nodes whose interfaces Calico polices, and what the manifests bring.
fn prepare(cluster: &Cluster) -> Test {
    let objects = format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: lifeline-ledger, namespace: {NAMESPACE}}}
"
    );
    cluster.kubectl().apply(&objects)?;
    let node = |name: &str, address: &str, role: &str| {
        let endpoint = json!({"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
            "metadata": {"name": name, "labels": {"host": ""}},
            "spec": {"node": name, "interfaceName": "*", "expectedIPs": [address],
                "profiles": ["projectcalico-default-allow"]}});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {role: ""}},
            "status": {"addresses": [{"type": "InternalIP", "address": address}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}});
        [node, endpoint]
    };
    let nodes = [
        node("cp-1", "10.0.0.1", "node-role.kubernetes.io/control-plane"),
        node("w-1", "10.0.0.2", "node-role.kubernetes.io/worker"),
    ];
    for object in nodes.into_iter().flatten() {
        // Created, not applied: only so a Node brings its addresses.
        cluster.kubectl().ok(&["create", "-f", "-"], &object.to_string())?;
    }
    Ok(())
}

fn policies(client: &Client) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "projectcalico.org".to_owned(),
        version: "v3".to_owned(),
        api_version: "projectcalico.org/v3".to_owned(),
        kind: "GlobalNetworkPolicy".to_owned(),
        plural: "globalnetworkpolicies".to_owned(),
    };
    Api::all_with(client.clone(), &resource)
}

fn policy(name: &str, order: u32, action: &str) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
        "spec": {"order": order, "selector": "has(host)", "types": ["Ingress"], "ingress": [{"action": action}]}})
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).expect("an object")
}

async fn follows(replica: &Replica, cluster: &Cluster, direct: &Client) -> Test {
    let store = &replica.running.store;
    let view = || store.view().map(|view| view.snapshot);
    let snapshot = view()?;
    assert_eq!(snapshot.cluster.nodes.len(), 2);
    assert_eq!(snapshot.of("projectcalico.org", "HostEndpoint").count(), 2);
    let endpoint = snapshot.of("projectcalico.org", "HostEndpoint").next().expect("there");
    assert!(endpoint.value["metadata"]["managedFields"].is_null() && endpoint.value["spec"]["node"].is_string());

    let api = policies(direct);
    api.create(&PostParams::default(), &object(policy("seen", 1, "Allow"))).await?;
    let seen = || {
        view().is_ok_and(|state| state.of("projectcalico.org", "GlobalNetworkPolicy").any(|it| it.key.name == "seen"))
    };
    until("a new policy is seen", || so(seen())).await?;
    api.delete("seen", &DeleteParams::default()).await?;
    until("it is gone", || so(!seen())).await?;
    cluster.kubectl().ok(&["label", "node", "w-1", "rack=a"], "")?;
    let labelled = || view().is_ok_and(|state| state.cluster.nodes.iter().any(|node| node.labels.contains_key("rack")));
    until("a label of a node is seen", || so(labelled())).await?;

    // A kind that comes later.
    let row = ROWS.iter().position(|row| row.kind == "CiliumClusterwideNetworkPolicy").expect("in the table");
    assert_eq!(store.standings()[row], Standing::Absent);
    let folder = parts::crds(CrdSet::Cilium)?;
    cluster.kubectl().ok(&["apply", "--server-side", "-f", &folder.to_string_lossy()], "")?;
    until("a kind that was defined later is watched", || so(store.standings()[row] == Standing::Watched)).await?;
    let late = "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: late}\n\
                spec: {nodeSelector: {}, egress: [{}], enableDefaultDeny: {egress: false, ingress: false}}\n";
    cluster.kubectl().apply(late)?;
    let seen = || view().is_ok_and(|state| state.of("cilium.io", "CiliumClusterwideNetworkPolicy").count() == 1);
    until("its first object is seen", || so(seen())).await
}

/// The API server is away: what was known stays known for a while, nothing is decided without it, and all is well again
/// when it is back.
async fn away_and_back(replica: &Replica, proxy: &Proxy, direct: &Client) -> Test {
    let store = &replica.running.store;
    let opening = Asked { before: None, after: Some(policy("opening", 1, "Allow")) };
    assert_eq!(replica.ask(&opening, true).await.map(|decision| decision.answer.denial), Ok(None));
    proxy.cut();
    let stale = || store.standings().iter().any(|standing| matches!(standing, Standing::Stale { .. }));
    until("the cut is noticed", || so(stale())).await?;
    assert!(replica.readiness.is_ready(), "what is known is not forgotten");
    let refused = replica.ask(&opening, true).await.expect_err("no verdict without the API server");
    assert!(refused.contains("the API server") || refused.contains("in time"), "{refused}");
    // What it misses meanwhile.
    let missed = object(policy("missed", 1, "Allow"));
    policies(direct).create(&PostParams::default(), &missed).await?;
    proxy.mend().await?;
    until("everything is watched again", || so(!stale())).await?;
    let snapshot = store.view()?.snapshot;
    assert!(snapshot.of("projectcalico.org", "GlobalNetworkPolicy").any(|it| it.key.name == "missed"));
    policies(direct).delete("missed", &DeleteParams::default()).await?;
    assert_eq!(replica.ask(&opening, true).await.map(|decision| decision.answer.denial), Ok(None));
    Ok(())
}

/// One closes, relying on a policy that opens; the other deletes that policy. Each alone is harmless.
async fn races(one: &Replica, two: &Replica, direct: &Client) -> Test {
    let api = policies(direct);
    let (mut closed, mut deleted) = (0, 0);
    for round in 0..24 {
        let opening = match api.get_opt("allow").await? {
            Some(opening) => opening,
            None => api.create(&PostParams::default(), &object(policy("allow", 10, "Allow"))).await?,
        };
        let revision = opening.metadata.resource_version.clone();
        let close = Asked { before: None, after: Some(policy("close", 1000, "Deny")) };
        let delete = Asked { before: Some(serde_json::to_value(&opening)?), after: None };
        let wait = |most: u64| tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=most)));
        // Who knows the ledger need not fetch it, so that neither would ever win without a start.
        let (early, late) = if round % 2 == 0 { (20, 60) } else { (60, 20) };
        let closing = async {
            wait(early).await;
            let allowed = one.ask(&close, false).await?.answer.denial.is_none();
            wait(60).await;
            if allowed {
                api.create(&PostParams::default(), &object(policy("close", 1000, "Deny")))
                    .await
                    .map_err(|it| it.to_string())?;
            }
            Ok::<bool, String>(allowed)
        };
        let deleting = async {
            wait(late).await;
            let allowed = two.ask(&delete, false).await?.answer.denial.is_none();
            wait(60).await;
            if allowed {
                let preconditions = Preconditions { resource_version: revision.clone(), uid: None };
                let how = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                api.delete("allow", &how).await.map_err(|it| it.to_string())?;
            }
            Ok::<bool, String>(allowed)
        };
        let (has_closed, has_deleted) = futures::join!(closing, deleting);
        let (has_closed, has_deleted) = (has_closed?, has_deleted?);
        assert!(!(has_closed && has_deleted), "round {round}: both were admitted");
        assert!(has_closed || has_deleted, "round {round}: the first to ask is not refused");
        closed += usize::from(has_closed);
        deleted += usize::from(has_deleted);
        if has_closed {
            let close = Some(serde_json::to_value(api.get("close").await?)?);
            let asked = if round % 2 == 0 { two } else { one };
            let decision = asked.ask(&Asked { before: close, after: None }, false).await?;
            assert_eq!(decision.answer.denial, None, "round {round}: what opens is never refused");
            api.delete("close", &DeleteParams::default()).await?;
        }
    }
    assert!(closed > 0 && deleted > 0, "{closed} closed, {deleted} deleted");
    let map: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(direct.clone(), NAMESPACE);
    let entries = map.get("lifeline-ledger").await?.data.unwrap_or_default().remove("entries").unwrap_or_default();
    assert!(entries.len() < 4096, "what is done is struck out: {entries}");
    Ok(())
}

/// A configuration is in force without a restart; one that is broken changes nothing, and is told of.
async fn configuration(replica: &Replica, cluster: &Cluster, direct: &Client) -> Test {
    let api = policies(direct);
    if api.get_opt("allow").await?.is_some() {
        api.delete("allow", &DeleteParams::default()).await?;
    }
    let write = |text: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "lifeline-config", "namespace": NAMESPACE}, "data": {"lifeline.yaml": text}});
        cluster.kubectl().apply(&map.to_string())
    };
    let current = |wanted: u8| {
        let text = replica.metrics.text().unwrap_or_default();
        so(text.contains(&format!("config_current {wanted}")))
    };
    let close = Asked { before: None, after: Some(policy("close", 1000, "Deny")) };
    assert!(replica.ask(&close, true).await?.answer.denial.is_some());

    let observe = "apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nspec: {mode: {blocker: observe, major: observe, minor: observe}}\n";
    write(observe)?;
    denied(replica, &close, false).await?;
    write(&observe.replace("minor: observe", "minor: sometimes"))?;
    until("the broken one is noticed", || current(0)).await?;
    assert!(replica.readiness.is_ready());
    assert_eq!(replica.ask(&close, true).await?.answer.denial, None, "the last good one stays in force");
    let told = || {
        let events = cluster.kubectl().get(&["events", "-n", NAMESPACE]).map_err(|error| error.to_string())?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        so(events.iter().any(|event| {
            event["reason"] == "ConfigurationBroken"
                && event["message"].as_str().is_some_and(|text| text.contains("sometimes"))
        }))
    };
    until("an Event tells of it", told).await?;
    write(&observe.replace("observe", "enforce"))?;
    until("it is mended", || current(1)).await?;
    assert!(replica.ask(&close, true).await?.answer.denial.is_some());

    // Where the cluster has the kind, an object of it goes before the ConfigMap.
    cluster.kubectl().apply(include_str!("../../../manifests/components/config-resource/crd.yaml"))?;
    let resource = observe.replace("spec:", "metadata: {name: lifeline-config}\nspec:");
    until("an object of the new kind is taken", || {
        cluster.kubectl().apply(&resource).map(drop).map_err(|it| it.to_string())
    })
    .await?;
    denied(replica, &close, false).await?;
    cluster.kubectl().ok(&["delete", "lifelineconfigs", "lifeline-config"], "")?;
    denied(replica, &close, true).await
}

/// Waits until a change is refused, or no longer is.
async fn denied(replica: &Replica, change: &Asked, wanted: bool) -> Test {
    let start = Instant::now();
    while replica.ask(change, true).await?.answer.denial.is_some() != wanted {
        assert!(start.elapsed() < PATIENCE, "the configuration is in force");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// What was done past the webhook is found, counted, and told of on the object to blame.
async fn audited(replica: &Replica, cluster: &Cluster, direct: &Client) -> Test {
    let broken = || {
        let text = replica.metrics.text().unwrap_or_default();
        let kubelet =
            text.lines().find(|line| line.contains("broken_pairs{lifeline=\"kubelet-api\"")).unwrap_or_default();
        kubelet.rsplit(' ').next().and_then(|pairs| pairs.parse::<u64>().ok())
    };
    until("nothing is broken", || so(broken() == Some(0))).await?;
    let api = policies(direct);
    api.create(&PostParams::default(), &object(policy("close", 1000, "Deny"))).await?;
    until("the cut is counted", || so(broken().is_some_and(|pairs| pairs > 0))).await?;
    let told = || {
        let events = cluster.kubectl().get(&["events", "-n", "default"]).map_err(|error| error.to_string())?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        so(events.iter().any(|event| {
            event["reason"] == "CutsLifeline"
                && event["involvedObject"]["name"] == "close"
                && event["message"].as_str().is_some_and(|text| text.starts_with("cuts-kubelet-api: "))
        }))
    };
    until("an Event tells of it", told).await?;
    api.delete("close", &DeleteParams::default()).await?;
    until("it is mended", || so(broken() == Some(0))).await
}
