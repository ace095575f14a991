//! The cluster that the proof is made in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use policy::net::{Cidr, Family};
use policy::object::LabelSelector;
use policy::snapshot::{Cluster, Key, Manifest, Namespace, Node, Pod, Snapshot};
use serde_json::{Value, json};

use super::{labels, put};
use crate::matrix::{Expanded, Peer};
use crate::render;

/// Nodes of each role. With one alone, no peer of a role would be another node.
const NODES: usize = 2;
/// Label that every node has.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label that every namespace has.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];

/// A cluster as the matrix and the given nodes describe it: the nodes, or else [`NODES`] of each role, pods of each kind that
/// the matrix names and of none, addresses within the stated prefixes. Also the roles that no node can be made for.
pub(super) fn model(matrix: &Expanded, nodes: Option<&[render::Node]>, cilium: bool) -> (Snapshot, Vec<usize>) {
    let mut addresses = Addresses::new(matrix, nodes.unwrap_or_default());
    let mut missing = Vec::new();
    let nodes: Vec<Node> = match nodes {
        Some(nodes) => nodes.iter().map(given).collect(),
        None => made(matrix, &mut addresses, &mut missing),
    };
    let (namespaces, pods) = pods(matrix, &nodes, &mut addresses);
    let objects: Vec<Manifest> = if cilium { nodes.iter().map(published).collect() } else { Vec::new() };
    let cluster = Cluster { nodes, pods, namespaces, ..Cluster::default() };
    let snapshot = Snapshot { cluster: Arc::new(cluster), ..Snapshot::default() };
    (put::into(&snapshot, &objects), missing)
}

/// A cluster without its policies and settings: who is who, and the overlay.
pub(super) fn plain(snapshot: &Snapshot, cilium: bool) -> Snapshot {
    let mut next = snapshot.clone();
    Arc::make_mut(&mut next.objects).retain(|key| matches!(key.kind.as_str(), "IPPool" | "CiliumNode"));
    let cluster = Arc::make_mut(&mut next.cluster);
    cluster.config_maps.clear();
    cluster.daemon_sets.clear();
    let is_published = next.of("cilium.io", "CiliumNode").next().is_some();
    let nodes: Vec<Manifest> =
        if cilium && !is_published { next.cluster.nodes.iter().map(published).collect() } else { Vec::new() };
    put::into(&next, &nodes)
}

fn given(node: &render::Node) -> Node {
    // Whether an annotation or the status names an address makes no difference to who it belongs to.
    let internal = node.internal.iter().chain(&node.tunnel).copied().collect();
    let (name, labels, external) = (node.name.clone(), node.labels.clone(), node.external.clone());
    Node { name, labels, internal, external, ..Node::default() }
}

/// What Cilium's agents publish of a node: every address that it has.
fn published(node: &Node) -> Manifest {
    let of = |kind: &'static str, addresses: &[IpAddr]| -> Vec<Value> {
        addresses.iter().map(|address| json!({"type": kind, "ip": address})).collect()
    };
    let addresses = [of("InternalIP", &node.internal), of("ExternalIP", &node.external)].concat();
    let value = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": node.name},
        "spec": {"addresses": addresses},
    });
    let (group, kind) = ("cilium.io".to_owned(), "CiliumNode".to_owned());
    let key = Key { group, kind, namespace: String::new(), name: node.name.clone() };
    Manifest { key, version: "v2".to_owned(), value, source: None }
}

fn made(matrix: &Expanded, addresses: &mut Addresses, missing: &mut Vec<usize>) -> Vec<Node> {
    let selected: BTreeSet<&LabelSelector> = peers(matrix)
        .filter_map(|peer| match peer {
            Peer::NodeSelector { selector, .. } => Some(selector),
            _ => None,
        })
        .collect();
    let mut nodes = Vec::new();
    for (role, of) in matrix.roles.iter().enumerate() {
        let others: Vec<&LabelSelector> =
            matrix.roles.iter().filter(|other| other.name != of.name).map(|other| &other.selector).collect();
        let Some(plain) = labels::only(&of.selector, &others) else {
            missing.push(role);
            continue;
        };
        // The last node is also whatever else the matrix selects nodes by, as far as it can be.
        let mut marked = plain.clone();
        for selector in &selected {
            if let Some(more) = labels::with(&marked, selector)
                && of.selector.matches(&more)
                && !others.iter().any(|other| other.matches(&more))
            {
                marked = more;
            }
        }
        for index in 1..=NODES {
            let name = format!("{}-{index}", of.name);
            let mut labels = if index == NODES { marked.clone() } else { plain.clone() };
            labels.entry(HOSTNAME.to_owned()).or_insert_with(|| name.clone());
            nodes.push(Node { labels, internal: addresses.node(), name, ..Node::default() });
        }
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

fn pods(matrix: &Expanded, nodes: &[Node], addresses: &mut Addresses) -> (Vec<Namespace>, Vec<Pod>) {
    let mut namespaces = Vec::new();
    let mut pods = Vec::new();
    let plain = LabelSelector::default();
    let selected: BTreeSet<(Option<&LabelSelector>, &LabelSelector)> = peers(matrix)
        .filter_map(|peer| match peer {
            Peer::PodSelector { namespaces, pods, .. } => Some((namespaces.as_ref(), pods)),
            _ => None,
        })
        .collect();
    for (index, (of, wanted)) in [(None, &plain)].into_iter().chain(selected).enumerate() {
        let Some(labels) = labels::with(&BTreeMap::new(), of.unwrap_or(&plain)) else { continue };
        let named = labels.get(NAMESPACE_NAME).cloned();
        let name =
            named.unwrap_or_else(|| if index == 0 { "default".to_owned() } else { format!("namespace-{index}") });
        if !namespaces.iter().any(|namespace: &Namespace| namespace.name == name) {
            let mut labels = labels;
            labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
            namespaces.push(Namespace { name: name.clone(), labels });
        }
        // One that is meant, and one beside it that is not.
        let meant = labels::with(&BTreeMap::new(), wanted);
        for (suffix, labels) in [("a", meant), ("b", Some(BTreeMap::new()))] {
            let Some(labels) = labels else { continue };
            pods.push(Pod {
                namespace: name.clone(),
                name: format!("pod-{index}-{suffix}"),
                labels: labels.into(),
                addresses: addresses.pod(),
                node: nodes.first().map(|node| node.name.clone()).unwrap_or_default(),
                ..Pod::default()
            });
        }
    }
    namespaces.sort_by(|a, b| a.name.cmp(&b.name));
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    (namespaces, pods)
}

fn peers(matrix: &Expanded) -> impl Iterator<Item = &Peer> {
    matrix.rows.iter().flat_map(|row| &row.peers)
}

/// Hands out addresses, none twice.
struct Addresses {
    taken: BTreeSet<IpAddr>,
    nodes: [Vec<Cidr>; 2],
    pods: [Vec<Cidr>; 2],
}

impl Addresses {
    fn new(matrix: &Expanded, nodes: &[render::Node]) -> Self {
        let cluster = &matrix.cluster;
        let known = |node: &render::Node| [&node.internal, &node.external, &node.tunnel].map(Clone::clone).concat();
        let taken: BTreeSet<IpAddr> = nodes.iter().flat_map(known).collect();
        let mut named: Vec<Cidr> =
            [&cluster.node_cidrs, &cluster.pod_cidrs, &cluster.service_cidrs].into_iter().flatten().copied().collect();
        named.extend(matrix.rows.iter().flat_map(|row| &row.except));
        named.extend(peers(matrix).flat_map(|peer| match peer {
            Peer::Cidrs { cidrs, .. } => cidrs.as_slice(),
            _ => &[],
        }));
        named.retain(|cidr| !cidr.is_all());
        let free = |texts: &[&str], family: Family| -> Vec<Cidr> {
            let of_family =
                texts.iter().filter_map(|text| text.parse::<Cidr>().ok()).filter(|cidr| cidr.family() == family);
            let fits = |cidr: &Cidr| {
                let is_taken = taken.iter().any(|address| cidr.contains(Cidr::host(*address)));
                !is_taken && !named.iter().any(|other| other.overlaps(*cidr))
            };
            of_family.clone().find(fits).or_else(|| of_family.clone().next()).into_iter().collect()
        };
        // Where prefixes are stated, a family without any is not in use.
        let lists = |stated: &[Cidr], texts: &[&str]| {
            let of = |family: Family| -> Vec<Cidr> {
                let stated: Vec<Cidr> = stated.to_vec();
                if stated.is_empty() {
                    free(texts, family)
                } else {
                    stated.into_iter().filter(|cidr| cidr.family() == family).collect()
                }
            };
            FAMILIES.map(of)
        };
        let nodes = lists(&cluster.node_cidrs, &NODE_PREFIXES);
        let pods = lists(&cluster.pod_cidrs, &POD_PREFIXES);
        Self { taken, nodes, pods }
    }

    fn node(&mut self) -> Vec<IpAddr> {
        let lists = self.nodes.clone();
        lists.iter().filter_map(|nets| self.next(nets)).collect()
    }

    fn pod(&mut self) -> Vec<IpAddr> {
        let lists = self.pods.clone();
        lists.iter().filter_map(|nets| self.next(nets)).collect()
    }

    fn next(&mut self, nets: &[Cidr]) -> Option<IpAddr> {
        let hosts = nets.iter().flat_map(|cidr| {
            let net = cidr.net();
            // The first addresses of a network are often routers, which rows may name.
            let spare = net.max_prefix_len() - net.prefix_len() > 5;
            net.hosts().skip(if spare { 10 } else { 0 })
        });
        let free = hosts.into_iter().find(|address| !self.taken.contains(address))?;
        self.taken.insert(free);
        Some(free)
    }
}

/// Prefixes for nodes and pods whose own are not stated; the first that the matrix does not name is taken.
const NODE_PREFIXES: [&str; 8] = [
    "10.200.0.0/24",
    "172.20.200.0/24",
    "192.168.200.0/24",
    "100.100.0.0/24",
    "fd00:0:0:200::/64",
    "fd12:3456:789a:200::/64",
    "fc00:0:0:200::/64",
    "fdff:ffff:ffff:200::/64",
];
const POD_PREFIXES: [&str; 8] = [
    "10.201.0.0/16",
    "172.21.0.0/16",
    "192.168.201.0/24",
    "100.101.0.0/16",
    "fd00:0:0:201::/64",
    "fd12:3456:789a:201::/64",
    "fc00:0:0:201::/64",
    "fdff:ffff:ffff:201::/64",
];
