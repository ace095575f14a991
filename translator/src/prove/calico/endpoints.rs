//! Host endpoints that are not in the output.

use std::net::IpAddr;

use ipnet::IpNet;
use policy::calico::selector::Selector;
use policy::calico::settings::Pattern;
use policy::calico::state::{HostEndpoint, Interfaces as Owned, State};
use policy::snapshot::sources::CALICO;
use policy::snapshot::{Key, Manifest, Snapshot};
use serde_json::{Value, json};

use super::Proof;
use crate::matrix::Interfaces;
use crate::prove::check::Checker;
use crate::prove::defect::{Defect, Obstacle};
use crate::prove::facts::Member;
use crate::prove::put;
use crate::render::calico::HostEndpoints;

const PROFILE: &str = "projectcalico-default-allow";
const INTERFACE_LABEL: &str = "lifeline.dev/interface";
/// Labels that mean something else on a host endpoint than on a node.
const NOT_A_NODES: [&str; 2] = ["projectcalico.org/namespace", "projectcalico.org/created-by"];

impl Proof<'_> {
    /// The snapshot with the host endpoints that others make: where the output leaves them to others, one for each policed
    /// interface, and where it asks for them by the interfaces' names, which a snapshot does not hold, those.
    pub(super) fn with_endpoints(&self, snapshot: Snapshot, checker: &Checker<'_>) -> Result<Snapshot, Obstacle> {
        if self.options.host_endpoints == HostEndpoints::None {
            let named = match &checker.intent.matrix.frame.interfaces {
                Interfaces::All => vec![None],
                Interfaces::Named(names) => names.iter().map(|name| Some(name.as_str())).collect(),
            };
            let all = self.cluster.facts.nodes.iter();
            let endpoints: Vec<Manifest> = all
                .flat_map(|node| {
                    named.iter().map(|name| {
                        let mut labels = node.labels.clone();
                        labels.extend(name.map(|name| (INTERFACE_LABEL.to_owned(), name.to_owned())));
                        let title = format!("{}-{}", node.name, name.unwrap_or("all"));
                        let made = Made { labels: json!(labels), profiles: &profiles(), addresses: &node.addresses };
                        endpoint(&title, &node.name, Some(name.unwrap_or("*")), made)
                    })
                })
                .collect();
            return Ok(put::into(&snapshot, &endpoints));
        }
        self.by_pattern(snapshot)
    }

    /// Templates that name interfaces by a pattern
    /// (projectcalico/calico:kube-controllers/pkg/controllers/node/hostendpoints.go).
    fn by_pattern(&self, snapshot: Snapshot) -> Result<Snapshot, Obstacle> {
        let config =
            CALICO.into_iter().find_map(|group| snapshot.of(group, "KubeControllersConfiguration").next().cloned());
        let Some(config) = config else { return Ok(snapshot) };
        let pointer = "/spec/controllers/node/hostEndpoint";
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let options = config.value.pointer(pointer).cloned().unwrap_or_default();
        let templates = options.get("templates").and_then(Value::as_array).cloned().unwrap_or_default();
        let (by_name, others): (Vec<Value>, Vec<Value>) =
            templates.into_iter().partition(|template| !text(template, "interfacePattern").is_empty());
        if by_name.is_empty() || text(&options, "autoCreate") != "Enabled" {
            return Ok(snapshot);
        }
        let mut endpoints = Vec::new();
        for template in &by_name {
            let wrong = |what: &str| Obstacle::Defect(Defect::Object { what: format!("{}: {what}", config.key) });
            let pattern = text(template, "interfacePattern");
            let pattern = Pattern::regex(&pattern).ok_or_else(|| wrong("interfacePattern"))?;
            let selector = text(template, "nodeSelector");
            let selector: Selector = selector.parse().map_err(|_| wrong("nodeSelector"))?;
            let cidrs = template.get("interfaceCIDRs").and_then(Value::as_array).cloned().unwrap_or_default();
            let cidrs: Vec<IpNet> = cidrs.iter().filter_map(|cidr| cidr.as_str()?.parse().ok()).collect();
            for node in self.cluster.facts.nodes.iter().filter(|node| selector.matches(&node.labels)) {
                for name in self.interfaces.iter().filter(|name| pattern.matches(name)) {
                    let within =
                        |address: &&IpAddr| cidrs.is_empty() || cidrs.iter().any(|cidr| cidr.contains(*address));
                    let addresses: Vec<IpAddr> = node.addresses.iter().filter(within).copied().collect();
                    let mut labels = json!(node.labels);
                    for (key, value) in template.get("labels").and_then(Value::as_object).into_iter().flatten() {
                        labels[key.as_str()] = value.clone();
                    }
                    labels["projectcalico.org/created-by"] = json!("calico-kube-controllers");
                    let title = format!("{}-{}-{name}-auto-hep", node.name, text(template, "generateName"));
                    let made = Made { labels, profiles: &profiles(), addresses: &addresses };
                    endpoints.push(endpoint(&title, &node.name, Some(name), made));
                }
            }
        }
        let mut rest = config.as_ref().clone();
        if let Some(options) = rest.value.pointer_mut(pointer) {
            options["templates"] = json!(others);
        }
        Ok(put::into(&snapshot.with(rest), &endpoints))
    }

    /// Every node of a role has a host endpoint for each policed interface, with the node's roles and addresses. One node of
    /// a class then speaks for all.
    pub(super) fn every_node_has_its_endpoint(&self, checker: &Checker<'_>, state: &State) -> Result<(), Obstacle> {
        let mut of: std::collections::HashMap<&str, Vec<&HostEndpoint>> = std::collections::HashMap::new();
        for endpoint in state.endpoints.iter() {
            of.entry(endpoint.node.as_str()).or_default().push(endpoint);
        }
        let roles = &checker.intent.matrix.roles;
        for node in self.cluster.facts.nodes.iter().filter(|node| !node.roles.is_empty()) {
            let endpoints = of.get(node.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let owns = |endpoint: &HostEndpoint, name: &str| match &endpoint.interfaces {
                Owned::All | Owned::ByAddress => true,
                Owned::Named(own) => own == name,
            };
            let complete = self.interfaces.iter().all(|name| endpoints.iter().any(|endpoint| owns(endpoint, name)));
            let alike = endpoints.iter().all(|endpoint| {
                (0..roles.len())
                    .filter(|role| roles[*role].selector.matches(&endpoint.labels))
                    .eq(node.roles.iter().copied())
                    && self.same_labels(node, endpoint)
                    && self.same_addresses(node, endpoint)
            });
            if !(complete && alike) {
                let what = format!("the host endpoints of node {} do not stand for it", node.name);
                return Err(Obstacle::Defect(Defect::Object { what }));
            }
        }
        Ok(())
    }

    fn same_labels(&self, node: &Member, endpoint: &HostEndpoint) -> bool {
        let own = node.labels.iter().filter(|(key, _)| !NOT_A_NODES.contains(&key.as_str()) && *key != INTERFACE_LABEL);
        own.into_iter().all(|(key, value)| endpoint.labels.get(key) == Some(value))
    }

    /// An endpoint that stands for the interface of a network has the addresses in it alone.
    fn same_addresses(&self, node: &Member, endpoint: &HostEndpoint) -> bool {
        let mut addresses = endpoint.addresses.clone();
        addresses.sort_unstable();
        match endpoint.interfaces {
            Owned::ByAddress => addresses.iter().all(|address| node.addresses.contains(address)),
            Owned::All | Owned::Named(_) => addresses == node.addresses,
        }
    }
}

/// A host endpoint as it stands in a snapshot.
pub(super) fn standing(endpoint: &HostEndpoint) -> Manifest {
    let interface = match &endpoint.interfaces {
        Owned::All => Some("*"),
        Owned::Named(name) => Some(name.as_str()),
        Owned::ByAddress => None,
    };
    let made = Made { labels: json!(endpoint.labels), profiles: &endpoint.profiles, addresses: &endpoint.addresses };
    self::endpoint(&endpoint.key.name, &endpoint.node, interface, made)
}

/// What a host endpoint is made of.
struct Made<'m> {
    labels: Value,
    profiles: &'m [String],
    addresses: &'m [IpAddr],
}

/// Profiles of endpoints that others make.
fn profiles() -> [String; 1] {
    [PROFILE.to_owned()]
}

fn endpoint(name: &str, node: &str, interface: Option<&str>, made: Made<'_>) -> Manifest {
    let Made { labels, profiles, addresses } = made;
    let value = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {"name": name, "labels": labels},
        "spec": {"node": node, "interfaceName": interface, "expectedIPs": addresses, "profiles": profiles},
    });
    let key = Key {
        group: "projectcalico.org".to_owned(),
        kind: "HostEndpoint".to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    };
    Manifest { key, version: "v3".to_owned(), value, source: None }
}
