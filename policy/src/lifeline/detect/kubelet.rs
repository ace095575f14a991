//! Who reaches kubelets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::{Facts, built_in, of_node, of_pod, parties};
use super::{Find, servers};
use crate::lifeline::model::{Party, Traffic};
use crate::snapshot::Pod;

/// Names, by label, of what scrapes kubelets.
const SCRAPERS: [&str; 3] = ["metrics-server", "prometheus", "victoria-metrics-agent"];
const NAMES: [&str; 3] = ["app.kubernetes.io/name", "k8s-app", "app"];

pub(super) fn kubelet_api(facts: &Facts<'_>, find: &mut Find) {
    let what = "no node runs an API server, and no object tells from which addresses it dials kubelets";
    let mut callers = servers::callers(facts, find, what);
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

fn is_scraper(pod: &Pod) -> bool {
    NAMES.iter().filter_map(|label| pod.labels.get(*label)).any(|name| SCRAPERS.contains(&name.as_str()))
}
