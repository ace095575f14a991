//! Nodes as `kubectl get nodes -o json` lists them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;

/// One node: what host endpoints and address peers are made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Addresses of type InternalIP, in the order listed.
    pub internal: Vec<IpAddr>,
    /// Addresses of type ExternalIP, in the order listed.
    pub external: Vec<IpAddr>,
    /// Addresses that Calico notes in annotations: BGP, IP-in-IP, VXLAN and WireGuard tunnel addresses, without prefix length.
    pub tunnel: Vec<IpAddr>,
}

/// Annotations in which Calico notes a node's addresses (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/node.go).
const ADDRESS_ANNOTATIONS: [&str; 7] = [
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
];

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    items: Option<Vec<RawNode<'a>>>,
}

#[derive(Deserialize)]
struct RawNode<'a> {
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, borrow)]
    status: Status<'a>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Status<'a> {
    #[serde(default, borrow)]
    addresses: Option<Vec<Address<'a>>>,
}

#[derive(Deserialize)]
struct Address<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
}

/// Reads a List of Node objects, JSON or YAML, sorted by name.
///
/// # Errors
///
/// What is wrong, in one sentence: not JSON or YAML, not a list of nodes, a name twice or not one, an address that is none.
pub fn read_nodes(text: &str) -> Result<Vec<Node>, String> {
    let list: List<'_> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("it is not a list of nodes: {error}"))?
    } else {
        // A node list of a large cluster has more values than the reader's guard against bombs lets through.
        let mut options = serde_saphyr::options! {};
        options.budget = None;
        serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let error = error.to_string();
            format!("it is not a list of nodes: {}", error.lines().next().unwrap_or_default())
        })?
    };
    if !matches!(list.kind.as_deref(), Some("List" | "NodeList")) {
        return Err(format!("its kind is `{}`, not `List`", list.kind.as_deref().unwrap_or("missing")));
    }
    let items = list.items.ok_or("the list has no `items`")?;
    let mut names = BTreeSet::new();
    let mut nodes = items
        .into_iter()
        .enumerate()
        .map(|(index, raw)| {
            if raw.kind.as_deref().is_some_and(|kind| kind != "Node") {
                return Err(format!("items[{index}] is a `{}`, not a Node", raw.kind.as_deref().unwrap_or_default()));
            }
            let node = node(raw).map_err(|error| format!("items[{index}] {error}"))?;
            if !names.insert(node.name.clone()) {
                return Err(format!("the node `{}` is listed twice", node.name));
            }
            Ok(node)
        })
        .collect::<Result<Vec<_>, _>>()?;
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(nodes)
}

fn node(raw: RawNode<'_>) -> Result<Node, String> {
    let name = raw.metadata.name;
    let subdomain = (1..=253).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !subdomain {
        return Err(format!("has `{name}` for a name, which no node can have"));
    }
    let mut node = Node { name, labels: raw.metadata.labels.unwrap_or_default(), ..Node::default() };
    for address in raw.status.addresses.unwrap_or_default() {
        let list = match &*address.kind {
            "InternalIP" => &mut node.internal,
            "ExternalIP" => &mut node.external,
            _ => continue,
        };
        list.push(
            address
                .address
                .parse()
                .map_err(|_| format!("(`{}`) has `{}` for an address, which is none", node.name, address.address))?,
        );
    }
    let annotations = raw.metadata.annotations.unwrap_or_default();
    for name in ADDRESS_ANNOTATIONS {
        // What is not an address here is Calico's to mend; the node is still known by the others.
        let address = annotations.get(name).and_then(|text| text.split('/').next()).and_then(|text| text.parse().ok());
        if let Some(address) = address
            && !node.internal.contains(&address)
            && !node.tunnel.contains(&address)
        {
            node.tunnel.push(address);
        }
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"apiVersion":"v1","kind":"List","items":[
        {"kind":"Node","metadata":{"name":"b","labels":{"a":"1"},"annotations":{"projectcalico.org/IPv4Address":"10.0.0.2/24","projectcalico.org/IPv4VXLANTunnelAddr":"10.244.1.0"}},
         "status":{"addresses":[{"type":"InternalIP","address":"10.0.0.2"},{"type":"Hostname","address":"b"},{"type":"InternalIP","address":"fd00::2"}]}},
        {"kind":"Node","metadata":{"name":"a"},"spec":{"podCIDR":"10.244.0.0/24"},"status":{}}]}"#;

    #[test]
    fn json_and_yaml_lists_are_read_alike() {
        let nodes = read_nodes(LIST).expect("valid");
        assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(nodes[1].internal.len(), 2);
        assert_eq!(nodes[1].tunnel, ["10.244.1.0".parse::<IpAddr>().expect("an address")]);
        let value: serde_json::Value = serde_json::from_str(LIST).expect("valid");
        let yaml = serde_saphyr::to_string(&value).expect("YAML");
        assert_eq!(read_nodes(&yaml).expect("valid"), nodes);
    }

    #[test]
    fn what_is_no_node_list_is_refused() {
        for (text, wanted) in [
            ("", "kind is `missing`"),
            ("{", "not a list of nodes"),
            (r#"{"kind":"Pod"}"#, "kind is `Pod`"),
            (r#"{"kind":"List"}"#, "no `items`"),
            (r#"{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"a"}}]}"#, "is a `Pod`"),
            (r#"{"kind":"List","items":[{"metadata":{"name":"A b"}}]}"#, "no node can have"),
            (r#"{"kind":"List","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"a"}}]}"#, "listed twice"),
            (
                r#"{"kind":"List","items":[{"metadata":{"name":"a"},"status":{"addresses":[{"type":"InternalIP","address":"x"}]}}]}"#,
                "for an address",
            ),
        ] {
            let error = read_nodes(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
