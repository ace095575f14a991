//! What every host needs, whatever the distribution.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Find;
use super::facts::{Facts, addresses, built_in, key, of_node, of_pod, origin};
use crate::lifeline::model::{Party, Ports, Traffic};
use crate::net::{Cidr, Family};
use crate::packet::protocol;
use crate::snapshot::Pod;

pub(super) fn loopback(facts: &Facts<'_>, find: &mut Find) {
    find.flow(facts.every_node(), Party::Loopback, &[Traffic::ANY]);
    find.because([built_in("agents and probes of every node use its loopback address")]);
}

pub(super) fn icmp_pmtu(facts: &Facts<'_>, find: &mut Find) {
    let icmp = |kind, code| Traffic::of(protocol::ICMP, Ports::Icmp(kind, code));
    let icmp6 = |kind| Traffic::of(protocol::ICMPV6, Ports::Icmp(kind, None));
    let anyone = |family| addresses("anyone", vec![Cidr::all(family).net()]);
    if facts.v4() {
        find.flow(anyone(Family::IPv4), facts.every_node(), &[icmp(3, Some(4)), icmp(11, None)]);
        find.because([built_in("every path has its own MTU")]);
    }
    if let Some(node) = facts.v6() {
        find.flow(anyone(Family::IPv6), facts.every_node(), &[icmp6(1), icmp6(2), icmp6(3), icmp6(4)]);
        find.because([of_node(node, "status.addresses")]);
    }
}

pub(super) fn icmp6_nd(facts: &Facts<'_>, find: &mut Find) {
    let Some(node) = facts.v6() else { return };
    let discovery = [133, 134, 135, 136, 143].map(|kind| Traffic::of(protocol::ICMPV6, Ports::Icmp(kind, None)));
    let link = link_local();
    // Solicitations go to a group of the link (RFC 4861).
    let group = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0), 16));
    find.flow(facts.every_node(), addresses("link", vec![link, group]), &discovery);
    find.flow(addresses("link", vec![link]), facts.every_node(), &discovery);
    find.because([of_node(node, "status.addresses")]);
}

pub(super) fn link_local() -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10))
}

pub(super) fn kubelet_probes(facts: &Facts<'_>, find: &mut Find) {
    let (pods, origins) = facts.pod_network();
    let Party::Addresses { nets, .. } = pods else { return };
    if find.flow(facts.every_node(), Party::OwnPods(nets), &[Traffic::protocol(protocol::TCP)]) {
        find.because(origins);
    }
}

pub(super) fn host_to_pod(facts: &Facts<'_>, find: &mut Find) {
    let (pods, origins) = facts.pod_network();
    if find.flow(facts.every_node(), pods, &[Traffic::protocol(protocol::TCP), Traffic::protocol(protocol::UDP)]) {
        find.because(origins);
    }
}

pub(super) fn pod_to_node(facts: &Facts<'_>, find: &mut Find) {
    let mut listeners: BTreeMap<Traffic, (BTreeSet<String>, &Pod)> = BTreeMap::new();
    let open = facts.pods().filter(|pod| facts.all.contains(&pod.node) && !is_control_plane(pod));
    for pod in open {
        for port in &pod.host_ports {
            let Some(number) = number(&port.protocol) else { continue };
            let traffic = Traffic::of(number, Ports::Range(port.port, port.port));
            listeners.entry(traffic).or_insert_with(|| (BTreeSet::new(), pod)).0.insert(pod.node.clone());
        }
    }
    let (pods, _) = facts.pod_network();
    let mut together: BTreeMap<BTreeSet<String>, (Vec<Traffic>, Vec<&Pod>)> = BTreeMap::new();
    for (traffic, (nodes, pod)) in listeners {
        let (all, whose) = together.entry(nodes).or_default();
        all.push(traffic);
        whose.push(pod);
    }
    for (nodes, (traffic, whose)) in together {
        if find.flow(pods.clone(), Party::Nodes(Arc::new(nodes)), &traffic) {
            find.because(whose.into_iter().map(|pod| of_pod(pod, "spec.containers[].ports")));
        }
    }
}

/// Static pods, whose ports are for nodes and not for pods; those of the API server are a lifeline of their own.
fn is_control_plane(pod: &Pod) -> bool {
    pod.labels.get("tier").is_some_and(|tier| tier == "control-plane")
        || ["etcd-", "kube-apiserver-", "kube-controller-manager-", "kube-scheduler-"]
            .iter()
            .any(|name| pod.host_network && pod.name.strip_prefix(name) == Some(pod.node.as_str()))
}

fn number(name: &str) -> Option<u8> {
    match name {
        "TCP" => Some(protocol::TCP),
        "UDP" => Some(protocol::UDP),
        "SCTP" => Some(protocol::SCTP),
        _ => None,
    }
}

pub(super) fn nodeport(facts: &Facts<'_>, find: &mut Find) {
    let mut traffic = BTreeSet::new();
    let mut origins = Vec::new();
    for service in &facts.cluster.services {
        let place = |field: &str| origin(key("", "Service", &service.namespace, &service.name), field);
        for port in &service.ports {
            let (Some(node_port), Some(number)) = (port.node_port, number(&port.protocol)) else { continue };
            traffic.insert(Traffic::of(number, Ports::Range(node_port, node_port)));
            origins.push(place("spec.ports[].nodePort"));
        }
        if let Some(port) = service.health_check_port {
            traffic.insert(Traffic::tcp(port));
            origins.push(place("spec.healthCheckNodePort"));
        }
        if service.kind == "LoadBalancer" {
            // kubernetes/website: Ports and Protocols
            traffic.insert(Traffic::tcp(10256));
            origins.push(place("spec.type"));
        }
    }
    if traffic.is_empty() {
        return;
    }
    let what = "services have node ports, and no object tells who uses them";
    let Some(clients) = facts.stated(find, "nodePortSources", "clients", what) else { return };
    let traffic: Vec<Traffic> = traffic.into_iter().collect();
    if find.flow(clients, facts.every_node(), &traffic) {
        find.because(origins);
    }
}

/// Keepalived announces itself to a group (RFC 9568).
pub(super) fn vip(facts: &Facts<'_>, find: &mut Find) {
    let holders: Vec<&Pod> = facts
        .pods()
        .filter(|pod| pod.host_network && pod.name.contains("keepalived") && facts.all.contains(&pod.node))
        .collect();
    let Some(first) = holders.first() else { return };
    let nodes = Party::Nodes(Arc::new(holders.iter().map(|pod| pod.node.clone()).collect()));
    let vrrp = [Traffic::protocol(112)];
    let group = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 18), 32));
    find.flow(nodes.clone(), nodes.clone(), &vrrp);
    find.flow(nodes, addresses("VRRP group", vec![group]), &vrrp);
    find.because([of_pod(first, "metadata.name")]);
}
