//! How a control plane reaches kubelets when it does not dial them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Find;
use super::facts::{Facts, addresses, built_in, flag, of_node, of_pod, parties, stated_by};
use super::servers::Supervisor;
use crate::lifeline::config::{Distribution, EgressSelectorMode};
use crate::lifeline::model::{Origin, Party, Traffic};
use crate::snapshot::Pod;

pub(super) fn exec_tunnel(facts: &Facts<'_>, find: &mut Find) {
    match facts.distribution.as_ref().map(|(distribution, _)| *distribution) {
        Some(Distribution::K3s | Distribution::Rke2 | Distribution::Harvester) => websocket(facts, find),
        Some(Distribution::Lke) => wireguard(facts, find),
        _ => {}
    }
    konnectivity(facts, find);
}

/// Agents of K3s and RKE2 keep a websocket to each server, unless the servers are told otherwise.
fn websocket(facts: &Facts<'_>, find: &mut Find) {
    let Some(supervisor) = Supervisor::of(facts) else { return };
    let (mode, told) = egress_selector_mode(facts);
    if mode == EgressSelectorMode::Disabled {
        return;
    }
    find.because(supervisor.origins);
    find.because([told]);
    find.flow(facts.every_node(), Party::Nodes(supervisor.nodes), &[supervisor.traffic]);
}

/// Servers note their arguments on their nodes (k3s-io/k3s:pkg/nodeconfig/nodeconfig.go); what a configuration file says
/// is among them.
fn egress_selector_mode(facts: &Facts<'_>) -> (EgressSelectorMode, Origin) {
    if let Some(mode) = facts.parameters.egress_selector_mode {
        return (mode, stated_by("egressSelectorMode"));
    }
    for node in facts.nodes() {
        for name in ["k3s.io/node-args", "rke2.io/node-args"] {
            let args: Option<Vec<String>> = node.annotations.get(name).and_then(|text| serde_json::from_str(text).ok());
            let mode = match flag(&args.unwrap_or_default(), "--egress-selector-mode") {
                Some("disabled") => EgressSelectorMode::Disabled,
                Some("pod") => EgressSelectorMode::Pod,
                Some("cluster") => EgressSelectorMode::Cluster,
                Some("agent") => EgressSelectorMode::Agent,
                _ => continue,
            };
            return (mode, of_node(node, format!("metadata.annotations[{name}] --egress-selector-mode")));
        }
    }
    (EgressSelectorMode::Agent, built_in("the egress-selector-mode is agent"))
}

/// The control plane of LKE comes through a WireGuard interface of the nodes, which is not Calico's
/// (linode/cloud-firewall-controller:internal/rules/defaults.go).
fn wireguard(facts: &Facts<'_>, find: &mut Find) {
    let what = "kubectl exec and logs come through the provider's WireGuard, and no object tells from where";
    let Some(peers) = facts.stated_or_blocked(find, "tunnelSources", "WireGuard of the control plane", what) else {
        return;
    };
    if find.flow(peers, facts.every_node(), &[Traffic::udp(51820)]) {
        let told = facts.distribution.as_ref().map(|(_, told)| told.clone());
        find.because(told.into_iter().chain([built_in("LKE's WireGuard listens on 51820")]));
    }
}

/// kubernetes/website:content/en/examples/admin/konnectivity/konnectivity-agent.yaml
fn konnectivity(facts: &Facts<'_>, find: &mut Find) {
    let agents: Vec<&Pod> = facts.pods().filter(|pod| pod.name.starts_with("konnectivity-agent")).collect();
    let Some(first) = agents.first() else { return };
    let Some(host) = flag(&first.args, "--proxy-server-host") else { return };
    let port = flag(&first.args, "--proxy-server-port").and_then(|port| port.parse().ok()).unwrap_or(8132);
    let server = match host.parse::<IpAddr>() {
        Ok(address) => match facts.owner(address) {
            Some(node) => Party::Nodes(Arc::new(BTreeSet::from([node.to_owned()]))),
            None => addresses("konnectivity server", vec![IpNet::from(address)]),
        },
        Err(_) => {
            let what = format!("konnectivity agents dial `{host}`, whose addresses no object tells");
            let Some(stated) = facts.stated(find, "konnectivityServers", "konnectivity server", &what) else { return };
            stated
        }
    };
    find.because([
        of_pod(first, "spec.containers[].args --proxy-server-host"),
        of_pod(first, "spec.containers[].args --proxy-server-port"),
    ]);
    for agent in parties(facts, "konnectivity agents", &agents) {
        // Between two that are no nodes, no host decides.
        if matches!(agent, Party::Nodes(_)) || matches!(server, Party::Nodes(_)) {
            find.flow(agent, server.clone(), &[Traffic::tcp(port)]);
        }
    }
}
