//! How pod traffic travels between nodes.

mod calico;
mod flannel;
mod others;

pub(super) use self::others::{cilium_settings, daemon_set, of_set};
use super::Find;
use super::facts::{Facts, stated_by};
use crate::lifeline::config::Distribution;
use crate::lifeline::model::{Origin, Party, Traffic};

/// What one CNI sends between nodes.
#[derive(Default)]
struct Tunnels {
    /// The packets; none where it routes, or leaves pod traffic to another CNI.
    traffic: Vec<Traffic>,
    origins: Vec<Origin>,
}

impl Tunnels {
    fn add(&mut self, traffic: Traffic, origins: impl IntoIterator<Item = Origin>) {
        if !self.traffic.contains(&traffic) {
            self.traffic.push(traffic);
            self.origins.extend(origins);
        }
    }
}

pub(super) fn overlay(facts: &Facts<'_>, find: &mut Find) {
    let mut known = false;
    for part in calico::tunnels(facts) {
        // Without tunnels, Calico carries pods only where it hands their addresses out; else it is there for policies.
        known |= !part.tunnels.traffic.is_empty() || calico::has_pools(facts);
        let nodes = Party::Nodes(part.nodes);
        if find.flow(facts.every_node(), nodes, &part.tunnels.traffic) {
            find.because(part.tunnels.origins);
        }
    }
    for tunnels in
        [flannel::tunnels, others::cilium, others::kube_ovn, others::ovn, others::antrea, others::kube_router]
    {
        let Some(tunnels) = tunnels(facts) else { continue };
        known = true;
        if find.flow(facts.every_node(), facts.every_node(), &tunnels.traffic) {
            find.because(tunnels.origins);
        }
    }
    if let Some(traffic) = &facts.parameters.overlay {
        known = true;
        find.flow(facts.every_node(), facts.every_node(), traffic);
        find.because([stated_by("overlay")]);
    }
    // Clouds whose network knows the pods' addresses need none.
    let native = ["aws-node", "azure-cns", "netd"];
    known |= facts.cluster.daemon_sets.iter().any(|set| native.contains(&set.name.as_str()));
    known |= facts.is(Distribution::Gke) || facts.all.len() < 2;
    if !known {
        let what = "no agent of a known CNI was captured; state how pod traffic travels, or that it needs no tunnel";
        find.blocked("overlay", what);
    }
}
