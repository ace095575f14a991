//! The supervisors of distributions, and nodes that join.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::Find;
use super::facts::{Facts, Names, addresses, built_in, of_node, of_pod, parties};
use crate::lifeline::config::Distribution;
use crate::lifeline::model::{Origin, Party, Ports, Traffic};
use crate::packet::protocol;
use crate::snapshot::Pod;

/// Where nodes fetch certificates and configuration.
pub(super) struct Supervisor {
    pub(super) nodes: Names,
    pub(super) traffic: Traffic,
    pub(super) origins: Vec<Origin>,
}

impl Supervisor {
    /// Ports: rancher/rke2-docs:docs/install/requirements.md, k3s-io/docs:docs/installation/requirements.md,
    /// siderolabs/docs:public/talos/v1.14/networking/ingress-firewall.mdx,
    /// openshift-kni/commatrix:docs/stable/unique/common-master.csv, "Services and ports" of MicroK8s,
    /// kubernetes/kops#16271. Controllers of k0s are no nodes.
    pub(super) fn of(facts: &Facts<'_>) -> Option<Self> {
        let (distribution, told) = facts.distribution.as_ref()?;
        let tcp = Traffic::tcp;
        let (traffic, what) = match distribution {
            Distribution::Rke2 | Distribution::Harvester => (tcp(9345), "RKE2's supervisor listens on 9345"),
            // One listener serves both.
            Distribution::K3s => {
                (tcp(facts.api.ports.first().copied()?), "K3s's supervisor listens where the API does")
            }
            Distribution::Microk8s => (tcp(25000), "MicroK8s's cluster agent listens on 25000"),
            Distribution::Talos => (tcp(50001), "Talos's trustd listens on 50001"),
            Distribution::Kops => (tcp(3988), "kops-controller listens on 3988"),
            Distribution::Openshift => (
                Traffic::of(protocol::TCP, Ports::Range(22623, 22624)),
                "the machine config server listens on 22623 and 22624",
            ),
            _ => return None,
        };
        let mut nodes: BTreeSet<String> = (*facts.api.nodes).clone();
        let mut origins = vec![told.clone(), built_in(what)];
        // Servers that run etcd alone have a supervisor as well, a witness of Harvester among them.
        if matches!(distribution, Distribution::Rke2 | Distribution::Harvester | Distribution::K3s) {
            nodes.extend(facts.etcd.members.iter().cloned());
        }
        origins.extend(facts.api.roles.iter().cloned());
        Some(Self { nodes: Arc::new(nodes), traffic, origins })
    }
}

/// What the API server dials nodes from: its own nodes, or whatever dials for it. If nothing tells, that is noted.
pub(super) fn callers(facts: &Facts<'_>, find: &mut Find, what: &str) -> Vec<Party> {
    let mut callers = Vec::new();
    if !facts.api.nodes.is_empty() {
        find.because(facts.api.roles.iter().cloned());
        callers.push(Party::Nodes(facts.api.nodes.clone()));
    }
    // Agents of its tunnel dial for it (kubernetes-sigs/apiserver-network-proxy).
    let agents: Vec<&Pod> = facts.pods().filter(|pod| pod.name.starts_with("konnectivity-agent")).collect();
    if let Some(pod) = agents.first() {
        find.because([of_pod(pod, "metadata.name")]);
        callers.extend(parties(facts, "konnectivity agents", &agents));
    }
    if callers.is_empty() || facts.parameters.addresses("apiServerSources").is_some() {
        callers.extend(facts.stated_or_blocked(find, "apiServerSources", "hosted control plane", what));
    }
    callers
}

pub(super) fn supervisor(facts: &Facts<'_>, find: &mut Find) {
    if facts.distribution.is_none() && !facts.all.is_empty() {
        let what = "nodes do not tell which distribution this is, and so which port they join and restart by";
        find.missing("distribution", what);
    }
    let Some(supervisor) = Supervisor::of(facts) else { return };
    find.because(supervisor.origins);
    find.flow(facts.every_node(), Party::Nodes(supervisor.nodes), &[supervisor.traffic]);
}

pub(super) fn node_join(facts: &Facts<'_>, find: &mut Find) {
    if facts.api.nodes.is_empty() {
        return;
    }
    let network = network(facts);
    let joining = if facts.parameters.addresses("nodeCIDRs").is_none() && !network.is_empty() {
        find.because(network.iter().map(|(_, origin)| origin.clone()));
        addresses("node network", network.into_iter().map(|(net, _)| net).collect())
    } else {
        let what = "no object tells which addresses the next node can have";
        let Some(stated) = facts.stated(find, "nodeCIDRs", "node network", what) else { return };
        stated
    };
    find.because(facts.api.origins.iter().chain(&facts.api.roles).cloned());
    find.flow(joining.clone(), Party::Nodes(facts.api.nodes.clone()), &facts.api.traffic());
    if let Some(supervisor) = Supervisor::of(facts) {
        find.because(supervisor.origins);
        find.flow(joining, Party::Nodes(supervisor.nodes), &[supervisor.traffic]);
    }
}

/// Networks that nodes are in, as calico-node notes its address with the prefix length of the interface
/// (projectcalico/calico:node/pkg/lifecycle/startup/startup.go).
fn network(facts: &Facts<'_>) -> Vec<(IpNet, Origin)> {
    let mut networks: Vec<(IpNet, Origin)> = Vec::new();
    for node in facts.nodes() {
        for name in ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"] {
            let net = node.annotations.get(name).and_then(|text| text.parse::<IpNet>().ok()).map(|net| net.trunc());
            // The address alone says nothing about its neighbours.
            let Some(net) = net.filter(|net| net.prefix_len() != net.max_prefix_len()) else { continue };
            if !networks.iter().any(|(known, _)| *known == net) {
                networks.push((net, of_node(node, format!("metadata.annotations[{name}]"))));
            }
        }
    }
    networks
}
