//! A webhook in a cluster of many nodes: when it is ready, what it holds, what it adds to a change.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tests::guarded::{Guarded, Replica, UNREVIEWED};
use tokio::task::spawn_blocking;

use crate::asker::{self, client, store, through};
use crate::load::{self, Load};
use crate::{CONFIG, Outcome};

const NODES: usize = 1000;
const POLICIES: usize = 10;
/// Rounds, in turn past the webhook and by it.
const ROUNDS: usize = 3;

/// A way to make changes.
struct Pace {
    name: &'static str,
    /// Changes in each round.
    changes: usize,
    a_second: Option<u32>,
    stored: bool,
}

/// What is stored is fewer: an API server (1.31 and later) makes a list that has to be up to date wait for news of etcd, up
/// to 100 ms while anything is written (kubernetes/apiserver:pkg/storage/cacher/progress/watch_progress.go).
const PACES: [Pace; 3] = [
    Pace { name: "dry runs, as fast as answered", changes: 1000, a_second: None, stored: false },
    Pace { name: "dry runs, 100 a second", changes: 1000, a_second: Some(100), stored: false },
    Pace { name: "stored, 10 a second", changes: 100, a_second: Some(10), stored: true },
];

pub(crate) async fn run() -> Outcome {
    println!("{NODES} nodes, {POLICIES} policies, changes by {} clients through the API server;", load::CLIENTS);
    println!("times in ms, and processor time of a change that passes the webhook by, and what it adds else\n");
    println!(
        "| pods | host endpoints | changes | past it, a second | by it | p50 past it | by it | p99 past it | by it \
         | API server past it | added | webhook | reads for a change |"
    );
    println!("|{}", "---|".repeat(13));
    let mut resident = Vec::new();
    for (pods, endpoints) in [(0, 0), (30_000, NODES)] {
        let guarded = Arc::new(spawn_blocking(|| Guarded::calico(CONFIG)).await??);
        let kubeconfig = |user: &str| guarded.cluster().kubeconfig(user, &["system:masters"]);
        let (past, by) = (client(&kubeconfig(UNREVIEWED)?).await?, client(&kubeconfig("reviewed")?).await?);
        fill(&past, pods, endpoints).await?;
        let start = Instant::now();
        let replica = asker::replica(&guarded, guarded.port(), &["--grace=0"], 0).await?;
        let ready = start.elapsed().as_secs_f64();
        // The API server hears of its certificate a little later.
        asker::let_in(&by).await?;
        for pace in &PACES {
            let row = compare(pace, &guarded, &replica, &past, &by).await?;
            println!("| {pods} | {endpoints} | {row}");
        }
        let [now, most] = replica.memory()?;
        resident.push(format!("{pods} pods: ready after {ready:.1} s, resident {now} MiB, {most} at the most"));
    }
    println!("\n{}\n", resident.join("\n"));
    Ok(())
}

/// The columns of a row.
async fn compare(pace: &Pace, guarded: &Guarded, replica: &Replica, past: &Client, by: &Client) -> Outcome<String> {
    let [_, apiserver] = guarded.cluster().process_ids();
    let spent = || Outcome::Ok([spent(apiserver)?, spent(replica.id())?]);
    let (mut without, mut with, mut costs, mut read) = (Load::default(), Load::default(), [0.0; 3], 0);
    for round in 0..ROUNDS {
        let change = |client: &Client, number: usize| {
            let (client, number, stored) = (client.clone(), round * pace.changes + number, pace.stored);
            async move { if stored { store(client, number).await } else { through(client, number).await } }
        };
        let start = spent()?;
        without.add(load::run(pace.changes, pace.a_second, |number| change(past, number)).await);
        let (middle, before) = (spent()?, reads(replica)?);
        with.add(load::run(pace.changes, pace.a_second, |number| change(by, number)).await);
        let end = spent()?;
        read += reads(replica)? - before;
        let of = |cost: f64| cost / (pace.changes * ROUNDS) as f64;
        costs[0] += of(middle[0] - start[0]);
        costs[1] += of(end[0] - middle[0]);
        costs[2] += of(end[1] - middle[1]);
    }
    without.check()?;
    with.check()?;
    let mut row = format!("{} | {:.0} | {:.0} ", pace.name, without.rate(), with.rate());
    for percent in [50, 99] {
        write!(row, "| {:.1} | {:.1} ", without.percentile(percent), with.percentile(percent))?;
    }
    let [past, by, webhook] = costs;
    write!(row, "| {past:.1} | {:.1} | {webhook:.1} | {:.2} |", by - past, read as f64 / with.asked as f64)?;
    Ok(row)
}

/// Reads of all policy so far.
fn reads(replica: &Replica) -> Outcome<u64> {
    let metrics = replica.metrics()?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("lifeline_webhook_live_read_seconds_count "));
    Ok(line.ok_or("no count of reads")?.parse()?)
}

/// Processor time that a process has used, in ms. The kernel counts it in hundredths of a second.
fn spent(process: u32) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may have spaces in it.
    let fields: Vec<&str> = status.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let used: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(used as f64 * 10.0)
}

/// Nodes, policies that let them in, their host endpoints, and pods.
async fn fill(client: &Client, pods: usize, endpoints: usize) -> Outcome {
    let address = |node: usize| format!("10.8.{}.{}", node / 250, node % 250 + 1);
    let nodes = (0..NODES).map(|node| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{node}"),
            "labels": {"kubernetes.io/hostname": format!("n{node}")},
            "annotations": {"projectcalico.org/IPv4Address": format!("{}/16", address(node))}},
            "spec": {"podCIDRs": [format!("10.{}.{}.0/24", 100 + node / 250, node % 250)]},
            "status": {"addresses": [{"type": "InternalIP", "address": address(node)}]}})
    });
    let policies = (0..POLICIES).map(|policy| {
        json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": format!("p{policy}")},
            "spec": {"order": 100 + policy, "selector": "has(kubernetes.io/hostname)", "types": ["Ingress"], "ingress": [
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [1000 + policy]}}, {"action": "Allow"}]}})
    });
    // As Calico's controllers make them.
    let endpoints = (0..endpoints).map(|node| {
        json!({"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": {"name": format!("n{node}-auto-hep"),
            "labels": {"kubernetes.io/hostname": format!("n{node}"), "projectcalico.org/created-by": "calico-kube-controllers"}},
            "spec": {"node": format!("n{node}"), "interfaceName": "*", "expectedIPs": [address(node)],
                "profiles": ["projectcalico-default-allow"]}})
    });
    let pods = (0..pods).map(|pod| {
        let (node, number) = (pod % NODES, pod / NODES + 2);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{pod}"), "namespace": "default",
            "labels": {"app": format!("a{}", pod % 50), "pod-template-hash": format!("h{}", pod % 200)}},
            "spec": {"nodeName": format!("n{node}"), "containers": [{"name": "c", "image": "example.com/c"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": format!("10.{}.{}.{number}", 100 + node / 250, node % 250)}]}})
    });
    let objects: Arc<Vec<Value>> = Arc::new(nodes.chain(policies).chain(endpoints).chain(pods).collect());
    let made = load::run(objects.len(), None, |number| make(client.clone(), Arc::clone(&objects), number)).await;
    made.check()
}

/// Creates an object, with its status where it has one.
async fn make(client: Client, objects: Arc<Vec<Value>>, number: usize) -> Result<(), String> {
    let object = &objects[number];
    let (kind, plural, group) = match object["kind"].as_str() {
        Some("Node") => ("Node", "nodes", ""),
        Some("Pod") => ("Pod", "pods", ""),
        Some("HostEndpoint") => ("HostEndpoint", "hostendpoints", "projectcalico.org"),
        _ => ("GlobalNetworkPolicy", "globalnetworkpolicies", "projectcalico.org"),
    };
    let version = if group.is_empty() { "v1" } else { "v3" };
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let parsed: DynamicObject = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    api.create(&PostParams::default(), &parsed).await.map_err(|error| error.to_string())?;
    if !object["status"].is_null() {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let status = Patch::Merge(json!({"status": object["status"]}));
        api.patch_status(name, &PatchParams::default(), &status).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}
