//! What agents of CNIs say to each other and to their servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Find;
use super::facts::{Facts, built_in, key, of_pod, of_slice, origin};
use super::overlay::{cilium_settings, daemon_set, of_set};
use crate::cilium::settings::CONFIG_MAP;
use crate::lifeline::model::{Origin, Party, Ports, Traffic};
use crate::packet::protocol;
use crate::snapshot::Pod;

pub(super) fn cni_control(facts: &Facts<'_>, find: &mut Find) {
    typha(facts, find);
    if let Some(told) = cilium_health(facts) {
        find.flow(facts.every_node(), facts.every_node(), &[Traffic::tcp(4240)]);
        find.because([told, built_in("Cilium's health listens on 4240")]);
    }
    ovn(facts, find);
    if let Some(set) = daemon_set(facts, "antrea-agent") {
        // antrea-io/antrea:docs/network-requirements.md
        let apis = Traffic::of(protocol::TCP, Ports::Range(10349, 10351));
        find.flow(facts.every_node(), facts.every_node(), &[apis, Traffic::udp(10351)]);
        find.because([of_set(set, "metadata.name"), built_in("Antrea uses TCP 10349 to 10351 and UDP 10351")]);
    }
}

/// Felix finds Typha by its service (projectcalico/calico:typha/pkg/discovery/discovery.go).
fn typha(facts: &Facts<'_>, find: &mut Find) {
    for slice in facts.cluster.slices.iter().filter(|slice| slice.service == "calico-typha") {
        let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
        let nodes: BTreeSet<String> = addresses.filter_map(|it| facts.owner(*it)).map(str::to_owned).collect();
        let traffic: Vec<Traffic> = slice.ports.iter().filter_map(|port| port.port).map(Traffic::tcp).collect();
        let own = Party::Nodes(Arc::new(nodes));
        if find.flow(facts.every_node(), own.clone(), &traffic) {
            find.flow(own, Party::Itself, &traffic);
            find.because([of_slice(slice, "endpoints"), of_slice(slice, "ports")]);
        }
    }
}

/// Whether agents of Cilium probe each other, and what says so
/// (cilium/cilium:Documentation/operations/system_requirements.rst).
fn cilium_health(facts: &Facts<'_>) -> Option<Origin> {
    cilium_settings(facts)?;
    let map = facts.cluster.config_maps.iter().find(|map| map.name == CONFIG_MAP);
    let set = map.and_then(|map| Some((map, map.data.get("enable-health-checking")?)));
    match set {
        Some((_, value)) if value == "false" => None,
        Some((map, _)) => Some(origin(key("", "ConfigMap", &map.namespace, &map.name), "data.enable-health-checking")),
        None => Some(built_in("Cilium's own enable-health-checking")),
    }
}

/// kubeovn/docs:docs/start/prepare.en.md
fn ovn(facts: &Facts<'_>, find: &mut Find) {
    let central = |pod: &&Pod| pod.host_network && pod.labels.get("app").is_some_and(|app| app == "ovn-central");
    let pods: Vec<&Pod> = facts.pods().filter(central).collect();
    let Some(first) = pods.first() else { return };
    let nodes: BTreeSet<String> =
        pods.iter().filter(|pod| facts.all.contains(&pod.node)).map(|pod| pod.node.clone()).collect();
    let tcp = |first, last| Traffic::of(protocol::TCP, Ports::Range(first, last));
    let nodes = Party::Nodes(Arc::new(nodes));
    find.flow(facts.every_node(), nodes.clone(), &[tcp(6641, 6642)]);
    find.flow(nodes.clone(), nodes, &[tcp(6643, 6644)]);
    find.because([of_pod(first, "spec.nodeName"), built_in("OVN listens on 6641 to 6644")]);
}

pub(super) fn icmp_health(facts: &Facts<'_>, find: &mut Find) {
    let Some(told) = cilium_health(facts) else { return };
    let mut echo = vec![Traffic::of(protocol::ICMP, Ports::Icmp(8, None))];
    if facts.v6().is_some() {
        echo.push(Traffic::of(protocol::ICMPV6, Ports::Icmp(128, None)));
    }
    find.flow(facts.every_node(), facts.every_node(), &echo);
    find.because([told]);
}
