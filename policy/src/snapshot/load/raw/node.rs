//! Nodes.

use serde::Deserialize;

use super::{Meta, Read, or_default};
use crate::snapshot::{Key, Node};

#[derive(Deserialize)]
pub(super) struct RawNode {
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    spec: RawNodeSpec,
    #[serde(default, deserialize_with = "or_default")]
    status: RawNodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeSpec {
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pod_cidrs: Vec<String>,
    #[serde(rename = "providerID")]
    provider_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeStatus {
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<RawNodeAddress>,
    daemon_endpoints: RawDaemonEndpoints,
    node_info: RawNodeInfo,
}

#[derive(Deserialize)]
struct RawNodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawDaemonEndpoints {
    kubelet_endpoint: RawDaemonEndpoint,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawDaemonEndpoint {
    #[serde(rename = "Port")]
    port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawNodeInfo {
    kubelet_version: String,
    os_image: String,
}

pub(super) fn node(key: &Key, raw: RawNode) -> Read<Node> {
    let mut node = Node {
        name: key.name.clone(),
        labels: raw.metadata.labels,
        annotations: raw.metadata.annotations,
        pod_cidrs: raw.spec.pod_cidrs,
        // The API server writes 0 where a kubelet has not told.
        kubelet_port: raw.status.daemon_endpoints.kubelet_endpoint.port.filter(|port| *port != 0),
        provider_id: raw.spec.provider_id,
        kubelet_version: raw.status.node_info.kubelet_version,
        os_image: raw.status.node_info.os_image,
        ..Node::default()
    };
    for address in raw.status.addresses {
        let list = match address.kind.as_str() {
            "InternalIP" => &mut node.internal,
            "ExternalIP" => &mut node.external,
            _ => continue,
        };
        list.push(super::address(&address.address, "status.addresses")?);
    }
    Ok(node)
}
