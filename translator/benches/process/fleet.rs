//! A cluster of many nodes under Calico as files, and a change of many of its policies.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Policies of the cluster, and rules of each.
const POLICIES: usize = 100;
const RULES: usize = 10;
/// Files of the change.
const CHANGED: usize = 50;
/// What no object tells.
const CONFIG: &str = "apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nmetadata: {name: bench}\nspec:\n  parameters:\n    \
    distribution: kubeadm\n    adminCIDRs: [192.0.2.0/24]\n    nodeCIDRs: [10.0.0.0/15]\n    dhcpServers: []\n";

/// Writes a state of so many nodes, with so many pods, into `state`, the change into `change`, and `config.yaml`.
pub(crate) fn write(folder: &Path, nodes: usize, pods: usize) -> Result<(), Box<dyn Error>> {
    let (state, change) = (folder.join("state"), folder.join("change"));
    fs::create_dir(&state)?;
    fs::create_dir(&change)?;
    fs::write(folder.join("config.yaml"), CONFIG)?;
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/clusters/kubeadm");
    for file in ["control-plane.yaml", "nodes.yaml", "pods.yaml", "calico.yaml"] {
        fs::copy(recorded.join(file), state.join(file))?;
    }
    let list = |name: &str, items: Vec<Value>| {
        // As `translate snapshot` writes them.
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        fs::write(state.join(name), format!("{list:#}\n"))
    };
    list("workers.json", (0..nodes).map(node).collect())?;
    list("workloads.json", (0..pods).map(|number| pod(number, nodes)).collect())?;
    list("hostendpoints.json", (0..nodes).map(endpoint).collect())?;
    let policies = (0..POLICIES).map(|number| policy(number, 0));
    list("globalnetworkpolicies.json", policies.chain([lifelines()]).collect())?;
    for number in 0..CHANGED {
        fs::write(change.join(format!("p{number:03}.yaml")), yaml(&policy(number, 1))?)?;
    }
    Ok(())
}

fn address(node: usize) -> String {
    format!("10.1.{}.{}", node / 250, node % 250 + 1)
}

fn labels(node: usize) -> Value {
    json!({"role": "worker", "class": format!("c{}", node % 3), "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": format!("w{node:05}"), "topology.kubernetes.io/zone": format!("z{}", node % 4)})
}

fn node(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("w{number:05}"), "labels": labels(number),
            "annotations": {"projectcalico.org/IPv4Address": format!("{}/15", address(number))}},
        "spec": {"podCIDR": format!("10.{}.{}.0/24", 128 + number / 256, number % 256)},
        "status": {"addresses": [{"type": "InternalIP", "address": address(number)},
                {"type": "Hostname", "address": format!("w{number:05}")}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"kubeletVersion": "v1.34.2", "operatingSystem": "linux"}}})
}

fn pod(number: usize, nodes: usize) -> Value {
    let (node, own) = (number % nodes, number / nodes + 2);
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("a{}-{number:05}", number % 20), "namespace": format!("team-{}", node % 50),
            "labels": {"app": format!("a{}", number % 20)}},
        "spec": {"nodeName": format!("w{node:05}"), "serviceAccountName": "default",
            "containers": [{"name": "app", "ports": [{"containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": format!("10.{}.{}.{own}", 128 + node / 256, node % 256)}]}})
}

fn endpoint(node: usize) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": {"name": format!("w{node:05}"), "labels": labels(node)},
        "spec": {"node": format!("w{node:05}"), "interfaceName": "*", "expectedIPs": [address(node)]}})
}

/// One in ten for one class of nodes, the others for all. `version` makes the port of the first rule another one.
fn policy(number: usize, version: usize) -> Value {
    let class = number.is_multiple_of(10).then(|| format!("class == 'c{}'", number / 10 % 3));
    let rules = (0..RULES).map(|place| {
        let own = number * 131 + place * 7 + if place == 0 { version * 977 } else { 0 };
        json!({"action": "Allow", "protocol": "TCP", "source": {"nets": [format!("172.{}.{}.0/24", 16 + own / 256 % 16, own % 256)]},
            "destination": {"ports": [1024 + own * 37 % 28_000]}})
    });
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": format!("p{number:03}")},
        "spec": {"order": number + 1, "selector": class.unwrap_or_else(|| "has(role)".to_owned()), "types": ["Ingress"],
            "ingress": rules.collect::<Vec<_>>()}})
}

/// What lets everything of the cluster itself by.
fn lifelines() -> Value {
    let from = |protocol: &str| json!({"action": "Allow", "protocol": protocol, "source": {"nets": ["10.0.0.0/8", "192.0.2.0/24"]}});
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "lifelines"},
        "spec": {"order": 0, "selector": "has(role)", "types": ["Ingress", "Egress"],
            "ingress": [from("TCP"), from("UDP"), {"action": "Allow", "protocol": "ICMP"}], "egress": [{"action": "Allow"}]}})
}

/// As people write it: one field a line.
fn yaml(object: &Value) -> Result<String, Box<dyn Error>> {
    let mut text = String::from("# What team this is for.\n");
    write!(text, "{}", serde_saphyr::to_string(object)?)?;
    Ok(text)
}
