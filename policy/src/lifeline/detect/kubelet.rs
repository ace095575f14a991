//! Who reaches kubelets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Find;
use super::facts::{Facts, built_in, of_node, of_pod, parties};
use crate::lifeline::model::{Party, Traffic};
use crate::snapshot::Pod;

/// Names, by label, of what scrapes kubelets.
const SCRAPERS: [&str; 3] = ["metrics-server", "prometheus", "victoria-metrics-agent"];
const NAMES: [&str; 3] = ["app.kubernetes.io/name", "k8s-app", "app"];

pub(super) fn kubelet_api(facts: &Facts<'_>, find: &mut Find) {
    let mut callers = callers(facts, find);
    let scrapers: Vec<&Pod> = facts.pods().filter(|pod| is_scraper(pod)).collect();
    if let Some(pod) = scrapers.first() {
        find.because([of_pod(pod, "metadata.labels")]);
    }
    callers.extend(parties(facts, "metrics", &scrapers));

    let mut ports: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
    for node in facts.nodes() {
        let (port, origin) = match node.kubelet_port {
            Some(port) => (port, of_node(node, "status.daemonEndpoints.kubeletEndpoint.Port")),
            None => (10250, built_in("kubelets listen on 10250")),
        };
        if !ports.contains_key(&port) {
            find.because([origin]);
        }
        ports.entry(port).or_default().insert(node.name.clone());
    }
    for (port, nodes) in ports {
        let traffic = [Traffic::tcp(port)];
        let own: BTreeSet<String> = nodes.intersection(&facts.api.nodes).cloned().collect();
        find.flow(Party::Nodes(Arc::new(own)), Party::Itself, &traffic);
        let nodes = Party::Nodes(Arc::new(nodes));
        for caller in &callers {
            find.flow(caller.clone(), nodes.clone(), &traffic);
        }
    }
}

/// What the API server dials from.
fn callers(facts: &Facts<'_>, find: &mut Find) -> Vec<Party> {
    let api = &facts.api;
    if !api.nodes.is_empty() {
        find.because(api.roles.iter().cloned());
        return vec![Party::Nodes(api.nodes.clone())];
    }
    // Agents of the tunnel dial for it (kubernetes-sigs/apiserver-network-proxy).
    let agents: Vec<&Pod> = facts.pods().filter(|pod| pod.name.starts_with("konnectivity-agent")).collect();
    if let Some(pod) = agents.first() {
        find.because([of_pod(pod, "metadata.name")]);
        return parties(facts, "konnectivity agents", &agents);
    }
    if !api.hosted {
        find.blocked("apiServerSources", "no object tells where the API server dials from");
        return Vec::new();
    }
    let what = "the control plane is hosted, and no object tells from which addresses it dials kubelets";
    facts.stated_or_blocked(find, "apiServerSources", "hosted control plane", what).into_iter().collect()
}

fn is_scraper(pod: &Pod) -> bool {
    NAMES.iter().filter_map(|label| pod.labels.get(*label)).any(|name| SCRAPERS.contains(&name.as_str()))
}
