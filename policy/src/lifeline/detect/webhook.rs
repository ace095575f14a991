//! What the API server calls: webhooks and aggregated APIs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::facts::{Facts, addresses, host_and_port, of_slice, origin};
use super::{Find, servers};
use crate::lifeline::model::{Origin, Party, Traffic};
use crate::snapshot::Manifest;

/// Label, and its value, of what belongs to Lifeline.
const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "lifeline");

pub(super) fn webhook_path(facts: &Facts<'_>, find: &mut Find) {
    for manifest in configurations(facts).filter(|manifest| !is_ours(manifest)) {
        configuration(facts, find, manifest);
    }
    for manifest in facts.snapshot.of("apiregistration.k8s.io", "APIService") {
        let service = &manifest.value["spec"]["service"];
        if service.is_object() {
            called(facts, find, service, origin(manifest.key.clone(), "spec.service"));
        }
    }
}

pub(super) fn own(facts: &Facts<'_>, find: &mut Find) {
    for manifest in configurations(facts).filter(|manifest| is_ours(manifest)) {
        configuration(facts, find, manifest);
    }
}

fn configurations<'f>(facts: &'f Facts<'_>) -> impl Iterator<Item = &'f Manifest> {
    let kinds = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
    kinds.into_iter().flat_map(|kind| facts.snapshot.of("admissionregistration.k8s.io", kind)).map(AsRef::as_ref)
}

fn is_ours(manifest: &Manifest) -> bool {
    manifest.value["metadata"]["labels"][PART_OF.0] == PART_OF.1
}

fn configuration(facts: &Facts<'_>, find: &mut Find, manifest: &Manifest) {
    let webhooks = manifest.value["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, webhook) in webhooks.iter().enumerate() {
        let client = &webhook["clientConfig"];
        let told = |field: &str| origin(manifest.key.clone(), format!("webhooks[{index}].clientConfig.{field}"));
        match client["url"].as_str() {
            Some(url) => dialled(facts, find, url, told("url")),
            None => called(facts, find, &client["service"], told("service")),
        }
    }
}

/// By URL.
fn dialled(facts: &Facts<'_>, find: &mut Find, url: &str, told: Origin) {
    let (host, port) = host_and_port(url);
    let traffic = [Traffic::tcp(port.unwrap_or(443))];
    let servers = Party::Nodes(facts.api.nodes.clone());
    let target = match host.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Party::Loopback,
        Ok(address) => match facts.owner(address) {
            Some(node) => return reach(facts, find, &BTreeSet::from([node.to_owned()]), Vec::new(), &traffic, told),
            None => addresses("webhook", vec![IpNet::from(address)]),
        },
        Err(_) if host == "localhost" => Party::Loopback,
        Err(_) => {
            let what = format!("the API server calls the webhook `{host}`, whose addresses no object tells");
            let Some(stated) = facts.stated(find, "webhookAddresses", "webhook", &what) else { return };
            stated
        }
    };
    if find.flow(servers, target, &traffic) {
        find.because([told]);
    }
}

/// By service: the API server dials its endpoints (kubernetes/apiserver:pkg/util/webhook/serviceresolver.go).
fn called(facts: &Facts<'_>, find: &mut Find, reference: &Value, told: Origin) {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let (namespace, name) = (text("namespace"), text("name"));
    let port = reference["port"].as_u64().unwrap_or(443);
    let services = &facts.cluster.services;
    let by_name = |service: &crate::snapshot::Service| {
        (service.namespace.as_str(), service.name.as_str()).cmp(&(namespace, name))
    };
    let service = services.binary_search_by(by_name).ok().map(|index| &services[index]);
    let service_port = service.and_then(|service| service.ports.iter().find(|it| u64::from(it.port) == port));
    let (mut nodes, mut pods, mut traffic, mut origins) = (BTreeSet::new(), Vec::new(), BTreeSet::new(), Vec::new());
    for slice in facts.slices(namespace, name) {
        // Ports of a slice bear the names of the service's; without the service, all of them are meant.
        let wanted = |name: &str| service_port.is_none_or(|port| port.name == name);
        let ports = slice.ports.iter().filter(|port| wanted(&port.name)).filter_map(|port| port.port);
        traffic.extend(ports.map(Traffic::tcp));
        for address in slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
            match facts.owner(*address) {
                Some(node) => {
                    nodes.insert(node.to_owned());
                }
                None => pods.push(IpNet::from(*address)),
            }
        }
        origins.push(of_slice(slice, "endpoints"));
    }
    if nodes.is_empty() && pods.is_empty() {
        let what = format!("nothing is behind the service {namespace}/{name}, which the API server calls");
        find.missing("webhookAddresses", what);
        return;
    }
    let traffic: Vec<Traffic> = traffic.into_iter().collect();
    let pods = vec![addresses(&format!("{namespace}/{name}"), pods)];
    let before = find.flows.len();
    reach(facts, find, &nodes, pods, &traffic, told);
    if find.flows.len() > before {
        find.because(origins);
    }
}

/// From the API server to nodes and pods.
fn reach(
    facts: &Facts<'_>,
    find: &mut Find,
    nodes: &BTreeSet<String>,
    pods: Vec<Party>,
    traffic: &[Traffic],
    told: Origin,
) {
    let before = find.flows.len();
    for pods in pods {
        // From a hosted control plane no node of the cluster sends, and what pods receive no host policy decides.
        find.flow(Party::Nodes(facts.api.nodes.clone()), pods, traffic);
    }
    if !nodes.is_empty() {
        let what = "a webhook answers on the host network, and no object tells where the API server dials it from";
        for caller in servers::callers(facts, find, what) {
            find.flow(caller, Party::Nodes(Arc::new(nodes.clone())), traffic);
        }
        let own: BTreeSet<String> = facts.api.nodes.intersection(nodes).cloned().collect();
        find.flow(Party::Nodes(Arc::new(own)), Party::Itself, traffic);
    }
    if find.flows.len() > before {
        find.because([told]);
    }
}
