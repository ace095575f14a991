//! The cluster of a case, as a snapshot.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use policy::snapshot::{
    Cluster, Endpoint, EndpointSlice, Key, Manifest, NamedPort, Namespace, Node, Objects, Pod, Snapshot,
};
use serde_json::{Value, json};

use super::case::{Case, CaseNode, CasePod};

/// With these policies.
pub(super) fn snapshot(case: &Case, policies: &[Value]) -> Result<Snapshot, String> {
    let mut objects = Objects::default();
    let nodes = case.nodes.iter().map(cilium_node);
    for value in policies.iter().chain(&case.cidr_groups).cloned().chain(nodes) {
        objects.insert(Arc::new(manifest(value)?));
    }
    let mut namespaces: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for pod in &case.pods {
        namespaces.entry(&pod.namespace).or_default().extend(pod.namespace_labels.clone());
    }
    let cluster = Cluster {
        nodes: case.nodes.iter().map(node).collect(),
        pods: case.pods.iter().enumerate().map(|(index, one)| pod(index, one)).collect(),
        namespaces: namespaces.into_iter().map(|(name, labels)| Namespace { name: name.to_owned(), labels }).collect(),
        slices: vec![EndpointSlice {
            namespace: "default".to_owned(),
            name: "kubernetes".to_owned(),
            service: "kubernetes".to_owned(),
            endpoints: vec![Endpoint { addresses: case.kube_api_servers.clone(), ready: true, node: String::new() }],
            ports: Vec::new(),
        }],
        ..Cluster::default()
    };
    Ok(Snapshot { objects: Arc::new(objects), cluster: Arc::new(cluster) })
}

fn manifest(value: Value) -> Result<Manifest, String> {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = text("/apiVersion");
    let (group, version) = version.split_once('/').ok_or("an object without a group")?;
    let key = Key {
        group: group.to_owned(),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    };
    let version = version.to_owned();
    Ok(Manifest { key, version, value, source: None })
}

fn node(node: &CaseNode) -> Node {
    Node {
        name: node.name.clone(),
        labels: node.labels.clone(),
        internal: node.internal_ips.clone(),
        external: node.external_ips.clone(),
        pod_cidrs: node.pod_cidrs.clone(),
        cluster: node.cluster.clone(),
        ..Node::default()
    }
}

/// The CiliumNode through which other agents know a node.
fn cilium_node(node: &CaseNode) -> Value {
    let address = |address: IpAddr| json!({"type": "CiliumInternalIP", "ip": address});
    let pair = |address: Option<IpAddr>| match address {
        Some(address @ IpAddr::V4(_)) => json!({"ipv4": address}),
        Some(address @ IpAddr::V6(_)) => json!({"ipv6": address}),
        None => json!({}),
    };
    json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": node.name},
        "spec": {
            "addresses": node.cilium_internal_ip.map(address).into_iter().collect::<Vec<_>>(),
            "health": pair(node.health_ip),
            "ingress": pair(node.ingress_ip),
        },
    })
}

fn pod(index: usize, pod: &CasePod) -> Pod {
    Pod {
        namespace: pod.namespace.clone(),
        name: format!("pod-{index}"),
        labels: pod.labels.clone().into(),
        addresses: vec![pod.ip],
        node: pod.node.clone(),
        service_account: pod.service_account.clone(),
        ports: pod
            .named_ports
            .iter()
            .map(|port| NamedPort { name: port.name.clone(), protocol: port.protocol.clone(), port: port.port })
            .collect(),
        unmanaged: pod.unmanaged,
        cluster: pod.cluster.clone(),
        ..Pod::default()
    }
}
