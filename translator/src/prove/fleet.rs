//! Many nodes as few: nodes that no selector tells apart are alike for every rule.
//!
//! Of each such class two nodes stay. The first is looked at; the second stands for all others and has their addresses.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use policy::calico::api::HostEndpoint;
use policy::object::LabelSelector;

use super::defect::Defect;
use crate::matrix::{Expanded, Interfaces, Peer};
use crate::render::{AnyObject, Manifest, Node};

/// Label that nearly every node has, with another value on each.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// How Calico's selectors ask whether it is there, which tells no two nodes apart.
const HAS_HOSTNAME: &str = "has(kubernetes.io/hostname)";
/// Labels of a node that mean something else on a host endpoint.
const NOT_A_NODES: [&str; 3] =
    ["projectcalico.org/namespace", "projectcalico.org/created-by", "lifeline.dev/interface"];

/// Nodes that stand for all, and the objects that are about them.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) nodes: Vec<Node>,
    pub(super) objects: Vec<Manifest>,
}

impl Fleet {
    /// Takes nodes that are alike together.
    ///
    /// # Errors
    ///
    /// The host endpoint of a node does not stand for it.
    pub(super) fn new(matrix: &Expanded, nodes: &[Node], objects: &[Manifest]) -> Result<Self, Defect> {
        let written: Vec<&HostEndpoint> = objects.iter().filter_map(endpoint).collect();
        if !written.is_empty() {
            stand_for_their_nodes(matrix, nodes, &written)?;
        }
        let keys = keys(matrix, nodes, objects);
        let mut classes: BTreeMap<Vec<Option<&str>>, Vec<&Node>> = BTreeMap::new();
        for node in nodes {
            let values = keys.iter().map(|key| node.labels.get(*key).map(String::as_str)).collect();
            classes.entry(values).or_default().push(node);
        }
        let mut kept = Vec::new();
        // The endpoints of the last of a class, by node and interface, get the addresses of those that are left out.
        let mut stands: BTreeMap<&str, &str> = BTreeMap::new();
        for class in classes.values() {
            kept.extend(class.iter().take(1).map(|node| (*node).clone()));
            if let Some((second, others)) = class.get(1..).and_then(<[&Node]>::split_first) {
                let mut second = (*second).clone();
                let name = class[1].name.as_str();
                for other in others {
                    second.internal.extend(&other.internal);
                    second.external.extend(&other.external);
                    second.tunnel.extend(&other.tunnel);
                    stands.insert(&other.name, name);
                }
                kept.push(second);
            }
        }
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { nodes: kept, objects: merged(objects, &stands) })
    }
}

fn endpoint(manifest: &Manifest) -> Option<&HostEndpoint> {
    match &manifest.object {
        AnyObject::HostEndpoint(endpoint) => Some(endpoint),
        _ => None,
    }
}

/// The objects, without the endpoints of nodes that others stand for.
fn merged(objects: &[Manifest], stands: &BTreeMap<&str, &str>) -> Vec<Manifest> {
    let mut more: BTreeMap<(&str, Option<&str>), Vec<String>> = BTreeMap::new();
    let mut kept = Vec::new();
    for manifest in objects {
        if let Some(endpoint) = endpoint(manifest)
            && let Some(other) = stands.get(endpoint.spec.node.as_str())
        {
            let place = (*other, endpoint.spec.interface_name.as_deref());
            more.entry(place).or_default().extend(endpoint.spec.expected_ips.iter().flatten().cloned());
        } else {
            kept.push(manifest.clone());
        }
    }
    for manifest in &mut kept {
        if let AnyObject::HostEndpoint(endpoint) = &mut manifest.object
            && let Some(addresses) =
                more.remove(&(endpoint.spec.node.as_str(), endpoint.spec.interface_name.as_deref()))
        {
            endpoint.spec.expected_ips.get_or_insert_default().extend(addresses);
        }
    }
    kept
}

/// Labels that tell nodes apart: those that a selector of the matrix looks at, and any that an object names.
fn keys<'k>(matrix: &'k Expanded, nodes: &'k [Node], objects: &[Manifest]) -> BTreeSet<&'k str> {
    let peers = matrix.rows.iter().flat_map(|row| &row.peers).filter_map(|peer| match peer {
        Peer::NodeSelector { selector, .. } => Some(selector),
        _ => None,
    });
    let selectors = matrix.roles.iter().map(|role| &role.selector).chain(peers);
    let mut keys: BTreeSet<&str> = selectors.flat_map(LabelSelector::keys).collect();
    let others = objects.iter().filter(|manifest| endpoint(manifest).is_none());
    let texts: Vec<String> = others
        .filter_map(|manifest| serde_json::to_string(&manifest.object).ok())
        .map(|text| text.replace(HAS_HOSTNAME, ""))
        .collect();
    let labels: HashSet<&str> = nodes.iter().flat_map(|node| node.labels.keys().map(String::as_str)).collect();
    let named = |key: &&str| !keys.contains(*key) && texts.iter().any(|text| text.contains(*key));
    let named: Vec<&str> = labels.into_iter().filter(named).collect();
    keys.extend(named);
    keys
}

/// Whether each node of a role has an endpoint for each policed interface, with its labels and addresses.
fn stand_for_their_nodes(matrix: &Expanded, nodes: &[Node], written: &[&HostEndpoint]) -> Result<(), Defect> {
    let mut of: BTreeMap<&str, Vec<&HostEndpoint>> = BTreeMap::new();
    for endpoint in written {
        of.entry(endpoint.spec.node.as_str()).or_default().push(endpoint);
    }
    let interfaces: Vec<&str> = match &matrix.frame.interfaces {
        Interfaces::All => vec!["*"],
        Interfaces::Named(names) => names.iter().map(String::as_str).collect(),
    };
    for node in nodes {
        let wanted = matrix.roles.iter().any(|role| role.selector.matches(&node.labels));
        let endpoints = of.get(node.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let owns = |name: &&str| endpoints.iter().any(|one| one.spec.interface_name.as_deref() == Some(*name));
        if (wanted && !interfaces.iter().all(owns)) || !endpoints.iter().all(|endpoint| is_of(node, endpoint)) {
            let what = format!("the host endpoints of node {} do not stand for it", node.name);
            return Err(Defect::Object { what });
        }
    }
    Ok(())
}

fn is_of(node: &Node, endpoint: &HostEndpoint) -> bool {
    let labels = node.labels.iter().filter(|(key, _)| !NOT_A_NODES.contains(&key.as_str()));
    let alike = |(key, value): (&String, &String)| endpoint.metadata.labels.get(key) == Some(value);
    let own: BTreeSet<IpAddr> = node.internal.iter().chain(&node.tunnel).copied().collect();
    let expected = endpoint.spec.expected_ips.iter().flatten().map(|text| text.parse::<IpAddr>());
    let expected: BTreeSet<IpAddr> = expected.filter_map(Result::ok).collect();
    labels.into_iter().all(alike)
        && endpoint.metadata.labels.contains_key(HOSTNAME)
        && own == expected
        && endpoint.spec.profiles.as_ref().is_some_and(|profiles| !profiles.is_empty())
}
