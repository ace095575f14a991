//! A webhook in a cluster of many nodes: when it is ready, what it holds, what it adds to a change.

use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tests::guarded::{Guarded, UNREVIEWED};
use tokio::task::spawn_blocking;

use crate::asker::{self, client, through};
use crate::load::{self, Load};
use crate::{CONFIG, Outcome};

const NODES: usize = 1000;
const POLICIES: usize = 10;
/// Changes in each round, and rounds, in turn past the webhook and by it.
const CHANGES: usize = 1000;
const ROUNDS: usize = 3;

pub(crate) async fn run() -> Outcome {
    println!("{NODES} nodes, {POLICIES} policies, changes by {} clients through the API server\n", load::CLIENTS);
    println!(
        "| pods | start to ready, s | resident MiB | changes/s past it | by it | p50 ms past it | by it | p99 ms past it | by it |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for pods in [0, 30_000] {
        let guarded = Arc::new(spawn_blocking(|| Guarded::calico(CONFIG)).await??);
        let kubeconfig = |user: &str| guarded.cluster().kubeconfig(user, &["system:masters"]);
        let (past, by) = (client(&kubeconfig(UNREVIEWED)?).await?, client(&kubeconfig("reviewed")?).await?);
        fill(&past, pods).await?;
        let start = Instant::now();
        let replica = asker::replica(&guarded, guarded.port(), &["--grace=0"], 0).await?;
        let ready = start.elapsed().as_secs_f64();
        // The API server hears of its certificate a little later.
        asker::let_in(&by).await?;
        let (mut without, mut with) = (Load::default(), Load::default());
        for round in 0..ROUNDS {
            let first = round * CHANGES;
            without.add(load::run(CHANGES, None, |number| through(past.clone(), first + number)).await);
            with.add(load::run(CHANGES, None, |number| through(by.clone(), first + number)).await);
        }
        if let Some((reason, times)) = without.reasons.iter().chain(&with.reasons).next() {
            return Err(format!("{times} x {reason}").into());
        }
        let [resident, _] = replica.memory()?;
        println!(
            "| {pods} | {ready:.1} | {resident} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} |",
            without.rate(),
            with.rate(),
            without.percentile(50),
            with.percentile(50),
            without.percentile(99),
            with.percentile(99)
        );
    }
    println!();
    Ok(())
}

/// Nodes with host endpoints of their own, policies that let them in, and pods.
async fn fill(client: &Client, pods: usize) -> Outcome {
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
    let pods = (0..pods).map(|pod| {
        let (node, number) = (pod % NODES, pod / NODES + 2);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{pod}"), "namespace": "default",
            "labels": {"app": format!("a{}", pod % 50), "pod-template-hash": format!("h{}", pod % 200)}},
            "spec": {"nodeName": format!("n{node}"), "containers": [{"name": "c", "image": "example.com/c"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": format!("10.{}.{}.{number}", 100 + node / 250, node % 250)}]}})
    });
    let objects: Arc<Vec<Value>> = Arc::new(nodes.chain(policies).chain(pods).collect());
    let made = load::run(objects.len(), None, |number| make(client.clone(), Arc::clone(&objects), number)).await;
    made.reasons.into_iter().next().map_or(Ok(()), |(reason, times)| Err(format!("{times} x {reason}").into()))
}

/// Creates an object, with its status where it has one.
async fn make(client: Client, objects: Arc<Vec<Value>>, number: usize) -> Result<(), String> {
    let object = &objects[number];
    let (kind, plural, group) = match object["kind"].as_str() {
        Some("Node") => ("Node", "nodes", ""),
        Some("Pod") => ("Pod", "pods", ""),
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
