//! Clusters of any size that live on nearly everything the catalogue knows, for both CNIs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use policy::lifeline::config::{ADDRESSES, Config};
use policy::snapshot::{ConfigMap, Key, Loader, Manifest, Node, Pod, PodLabels, Snapshot};
use serde_json::{Value, json};

/// How large a cluster is. Policies have [`RULES`] rules each.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) classes: usize,
    pub(crate) pods: usize,
    pub(crate) policies: usize,
}

/// Rules of a policy.
pub(crate) const RULES: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cni {
    Calico,
    Cilium,
}

impl Cni {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calico => "Calico",
            Self::Cilium => "Cilium",
        }
    }
}

/// What no object tells, stated: one prefix each.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    let stated = ADDRESSES.iter().zip(1..).filter(|((name, _), _)| !["podCIDRs", "nodeCIDRs"].contains(name));
    for ((name, _), index) in stated {
        let cidr = format!("203.0.113.{index}/32").parse().expect("a prefix");
        assert!(config.parameters.state(name, vec![cidr]));
    }
    config
}

fn address(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a01_0000 + u32::try_from(node).expect("few") + 1))
}

fn labels(index: usize, size: Size) -> BTreeMap<String, String> {
    let pairs = [("role", "worker".to_owned()), ("class", format!("c{}", index % size.classes))];
    let own = [("kubernetes.io/hostname", name(index)), ("zone", format!("z{}", index % 4))];
    pairs.into_iter().chain(own).map(|(key, value)| (key.to_owned(), value)).collect()
}

fn name(index: usize) -> String {
    format!("n{index:05}")
}

fn node(index: usize, size: Size) -> Node {
    Node {
        name: name(index),
        labels: labels(index, size),
        internal: vec![address(index)],
        pod_cidrs: vec![format!("10.{}.{}.0/24", 128 + index / 256, index % 256)],
        kubelet_port: Some(10250),
        kubelet_version: "v1.34.2".to_owned(),
        ..Node::default()
    }
}

/// Pods of a node, of workloads whose pods share their labels, as they do in a snapshot that was loaded.
fn pods(index: usize, count: usize, labels: &[PodLabels]) -> impl Iterator<Item = Pod> {
    (0..count).map(move |number| Pod {
        namespace: format!("team-{}", index % 50),
        name: format!("a{}-{index:05}-{number:03}", number % labels.len()),
        labels: labels[number % labels.len()].clone(),
        addresses: vec![IpAddr::from([
            10,
            u8::try_from(128 + index / 256).expect("few nodes"),
            u8::try_from(index % 256).expect("a byte"),
            u8::try_from(number + 2).expect("few pods"),
        ])],
        node: name(index),
        ..Pod::default()
    })
}

/// The control plane of the recorded kubeadm cluster, with workers, pods and policies beside it.
pub(crate) fn cluster(cni: Cni, size: Size) -> Snapshot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/clusters/kubeadm");
    let mut loader = Loader::default();
    let calico = (cni == Cni::Calico).then_some("calico.yaml");
    for file in ["control-plane.yaml", "nodes.yaml", "pods.yaml"].into_iter().chain(calico) {
        let text = std::fs::read_to_string(folder.join(file)).expect("the recorded cluster");
        loader.read(file, &text).expect("manifests");
    }
    let mut snapshot = loader.finish().snapshot;
    let cluster = Arc::make_mut(&mut snapshot.cluster);
    for node in &mut cluster.nodes {
        node.labels.insert("role".to_owned(), "control-plane".to_owned());
        node.labels.insert("class".to_owned(), "c0".to_owned());
    }
    cluster.nodes.extend((0..size.nodes).map(|index| node(index, size)));
    cluster.nodes.sort_by(|one, other| one.name.cmp(&other.name));
    let labels: Vec<PodLabels> = (0..20).map(|app| [("app".to_owned(), format!("a{app}"))].into()).collect();
    cluster.pods.extend((0..size.nodes).flat_map(|index| pods(index, size.pods / size.nodes, &labels)));
    cluster.pods.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    let objects: Vec<Manifest> = match cni {
        Cni::Calico => {
            let endpoints = cluster.nodes.iter().map(|node| {
                let spec = json!({"node": node.name, "interfaceName": "*", "expectedIPs": node.internal});
                manifest(cni, "HostEndpoint", &node.name, &json!(node.labels), &spec)
            });
            endpoints.collect()
        }
        Cni::Cilium => {
            let data = [("enable-host-firewall", "true"), ("enable-ipv6", "false"), ("tunnel-protocol", "vxlan")];
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let (namespace, name) = ("kube-system".to_owned(), "cilium-config".to_owned());
            cluster.config_maps.push(ConfigMap { namespace, name, data });
            Vec::new()
        }
    };
    let policies = (0..size.policies).map(|index| policy(cni, size, index, 0, false));
    let all = objects.into_iter().chain([lifelines(cni, true)]).chain(policies);
    all.fold(snapshot, |snapshot, manifest| snapshot.with(manifest))
}

fn manifest(cni: Cni, kind: &str, name: &str, labels: &Value, spec: &Value) -> Manifest {
    let (group, version) = if cni == Cni::Calico { ("projectcalico.org", "v3") } else { ("cilium.io", "v2") };
    let key = Key { group: group.to_owned(), kind: kind.to_owned(), namespace: String::new(), name: name.to_owned() };
    let value = json!({
        "apiVersion": format!("{group}/{version}"), "kind": kind,
        "metadata": {"name": name, "labels": labels}, "spec": spec,
    });
    Manifest { key, version: version.to_owned(), value, source: None }
}

/// What lets the lifelines by; without the kubelet's port, it cuts some.
pub(crate) fn lifelines(cni: Cni, kubelet: bool) -> Manifest {
    let inside = ["10.0.0.0/16", "10.1.0.0/16", "10.128.0.0/9", "203.0.113.0/24"];
    // Everything, or everything below the kubelet's port and above it.
    let ports: &[(u16, u16)] = if kubelet { &[(1, 65535)] } else { &[(1, 10249), (10251, 65535)] };
    match cni {
        Cni::Calico => {
            let ports: Vec<String> = ports.iter().map(|(first, last)| format!("{first}:{last}")).collect();
            let from = |protocol: &str| json!({"action": "Allow", "protocol": protocol, "source": {"nets": inside}, "destination": {"ports": ports}});
            let spec = json!({
                "tier": "default", "order": 0, "selector": "has(role)", "types": ["Ingress", "Egress"],
                "ingress": [from("TCP"), from("UDP"), {"action": "Allow", "protocol": "ICMP"}],
                "egress": [{"action": "Allow"}],
            });
            manifest(cni, "GlobalNetworkPolicy", "default.lifelines", &json!({}), &spec)
        }
        Cni::Cilium => {
            let range = |(first, last): &(u16, u16), protocol: &str| json!({"port": first.to_string(), "endPort": last, "protocol": protocol});
            let ports: Vec<Value> =
                ["TCP", "UDP"].iter().flat_map(|name| ports.iter().map(|ports| range(ports, name))).collect();
            let nodes = json!({"fromEntities": ["cluster", "kube-apiserver"], "toPorts": [{"ports": ports}]});
            let others = json!({"fromCIDR": inside, "toPorts": [{"ports": ports}]});
            let icmp = json!({"icmps": [{"fields": [
                {"family": "IPv4", "type": 3}, {"family": "IPv4", "type": 8}, {"family": "IPv4", "type": 11},
            ]}]});
            let spec = json!({
                "nodeSelector": {}, "ingress": [nodes, others, icmp], "egress": [{"toEntities": ["all"]}],
            });
            manifest(cni, "CiliumClusterwideNetworkPolicy", "lifelines", &json!({}), &spec)
        }
    }
}

/// A policy of applications, one in ten for one class and the others for all. `salt` makes the port of its first rule
/// another one, with `prefix` its peers too.
pub(crate) fn policy(cni: Cni, size: Size, index: usize, salt: usize, prefix: bool) -> Manifest {
    let class = index.is_multiple_of(10).then(|| format!("c{}", index / 10 % size.classes));
    let rules = (0..RULES).map(|place| {
        let number = |salt: usize| index * 131 + place * 7 + if place == 0 { salt * 977 } else { 0 };
        let port = 1024 + number(salt) * 37 % 28_000;
        let peer = number(if prefix { salt } else { 0 });
        let net = format!("172.{}.{}.0/24", 16 + peer / 256 % 16, peer % 256);
        match cni {
            Cni::Calico => {
                let source =
                    if place % 5 == 4 { json!({"selector": "role == 'worker'"}) } else { json!({"nets": [net]}) };
                json!({"action": "Allow", "protocol": "TCP", "source": source, "destination": {"ports": [port]}})
            }
            Cni::Cilium => {
                let ports = json!([{"ports": [{"port": port.to_string(), "protocol": "TCP"}]}]);
                if place % 5 == 4 {
                    json!({"fromEntities": ["remote-node"], "toPorts": ports})
                } else {
                    json!({"fromCIDR": [net], "toPorts": ports})
                }
            }
        }
    });
    let rules: Vec<Value> = rules.collect();
    match cni {
        Cni::Calico => {
            let selector = class.map_or_else(|| "has(role)".to_owned(), |class| format!("class == '{class}'"));
            let spec = json!({
                "tier": "default", "order": index + 1, "selector": selector, "types": ["Ingress"], "ingress": rules,
            });
            manifest(cni, "GlobalNetworkPolicy", &format!("default.p{index:05}"), &json!({}), &spec)
        }
        Cni::Cilium => {
            let selector = class.map_or_else(
                || json!({"matchExpressions": [{"key": "role", "operator": "Exists"}]}),
                |class| json!({"matchLabels": {"class": class}}),
            );
            let spec = json!({"nodeSelector": selector, "ingress": rules});
            manifest(cni, "CiliumClusterwideNetworkPolicy", &format!("p{index:05}"), &json!({}), &spec)
        }
    }
}
