//! Host endpoints that calico-kube-controllers makes of nodes
//! (projectcalico/calico:kube-controllers/pkg/controllers/node/hostendpoints.go).

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::TUNNELS;
use crate::calico::address;
use crate::calico::api::{AutoHostEndpointConfig, HostEndpointTemplate, KubeControllersConfigurationSpec};
use crate::calico::selector::Selector;
use crate::calico::state::{HostEndpoint, Interfaces, Unknown};
use crate::object::{self, Object};
use crate::snapshot::sources::CALICO;
use crate::snapshot::{Key, Node, Snapshot};

/// Annotations that hold the node's BGP addresses, and a tunnel address as it was once noted. ExternalIP is never among the
/// expected addresses.
const ADDRESSES: [&str; 3] =
    ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address", "projectcalico.org/IPv4TunnelAddr"];

/// Endpoints that the settings ask for and that are not there yet, and what about the settings is not understood.
pub(in crate::calico) fn automatic(snapshot: &Snapshot, present: &[HostEndpoint]) -> (Vec<HostEndpoint>, Vec<Unknown>) {
    let (mut expected, mut unknown) = (Vec::new(), Vec::new());
    let Some((key, config)) = config(snapshot, &mut unknown) else {
        return (expected, unknown);
    };
    if config.auto_create.as_deref() != Some("Enabled") {
        return (expected, unknown);
    }
    let default = config.create_default_host_endpoint.as_deref() != Some("Disabled");
    let templates = config.templates.unwrap_or_default();
    for node in &snapshot.cluster.nodes {
        if default {
            expected.push(endpoint(node, &format!("{}-auto-hep", node.name), Interfaces::All, None));
        }
        for (index, template) in templates.iter().enumerate() {
            let path = format!("spec.controllers.node.hostEndpoint.templates[{index}]");
            match from_template(node, template) {
                Ok(endpoint) => expected.extend(endpoint),
                Err(reason) => unknown.push(Unknown { key: Some(key.clone()), path, reason }),
            }
        }
    }
    let present: HashSet<&str> = present.iter().map(|endpoint| endpoint.key.name.as_str()).collect();
    expected.retain(|endpoint| !present.contains(endpoint.key.name.as_str()));
    unknown.sort_unstable();
    unknown.dedup();
    (expected, unknown)
}

fn config(snapshot: &Snapshot, unknown: &mut Vec<Unknown>) -> Option<(Key, AutoHostEndpointConfig)> {
    let mut objects = CALICO.into_iter().flat_map(|group| snapshot.of(group, "KubeControllersConfiguration"));
    let manifest = objects.find(|manifest| manifest.key.name == "default")?;
    match object::parse::<Object<KubeControllersConfigurationSpec>>(&manifest.value) {
        Ok(parsed) => {
            Some((manifest.key.clone(), parsed.object.spec.controllers.node?.host_endpoint.unwrap_or_default()))
        }
        Err(error) => {
            let key = Some(manifest.key.clone());
            unknown.push(Unknown { key, path: error.path, reason: error.message });
            None
        }
    }
}

fn endpoint(
    node: &Node,
    name: &str,
    interfaces: Interfaces,
    template: Option<(&HostEndpointTemplate, Vec<IpAddr>)>,
) -> HostEndpoint {
    let mut labels = node.labels.clone();
    if let Some((template, _)) = &template {
        labels.extend(template.labels.clone());
    }
    labels.insert("projectcalico.org/created-by".to_owned(), "calico-kube-controllers".to_owned());
    HostEndpoint {
        key: Key {
            group: "projectcalico.org".to_owned(),
            kind: "HostEndpoint".to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
        },
        node: node.name.clone(),
        interfaces,
        addresses: template.map_or_else(|| addresses(node), |(_, addresses)| addresses),
        labels,
        profiles: vec!["projectcalico-default-allow".to_owned()],
        ports: Vec::new(),
        expected: true,
    }
}

/// Addresses that an automatic endpoint expects.
fn addresses(node: &Node) -> Vec<IpAddr> {
    let annotated = ADDRESSES.iter().chain(&TUNNELS).filter_map(|name| {
        let text = node.annotations.get(*name)?;
        text.split('/').next()?.parse().ok()
    });
    let mut addresses: Vec<IpAddr> = annotated.chain(node.internal.iter().copied()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn from_template(node: &Node, template: &HostEndpointTemplate) -> Result<Option<HostEndpoint>, String> {
    let selector = template.node_selector.as_deref().unwrap_or_default();
    let selector: Selector = selector.parse().map_err(|error| format!("nodeSelector: {error}"))?;
    if !selector.matches(&node.labels) {
        return Ok(None);
    }
    if template.interface_pattern.as_ref().is_some_and(|pattern| !pattern.is_empty()) {
        return Err("interfacePattern needs the interfaces of each node, which the snapshot does not hold".to_owned());
    }
    let cidrs = template.interface_cidrs.as_deref().unwrap_or_default();
    let cidrs: Option<Vec<IpNet>> = cidrs.iter().map(|cidr| address::prefix(cidr)).collect();
    let cidrs = cidrs.ok_or("interfaceCIDRs: not a prefix")?;
    let addresses: Vec<IpAddr> =
        addresses(node).into_iter().filter(|address| cidrs.iter().any(|cidr| cidr.contains(address))).collect();
    if addresses.is_empty() {
        return Ok(None);
    }
    let name = format!("{}-{}-auto-hep", node.name, template.generate_name);
    Ok(Some(endpoint(node, &name, Interfaces::ByAddress, Some((template, addresses)))))
}
