//! Node ports, with what is behind them.

use std::net::IpAddr;

use super::{State, Unknown};
use crate::cilium::identity::View;
use crate::packet::protocol;
use crate::snapshot::{Cluster, Service};

/// A node port of a service.
#[derive(Clone, Debug)]
pub(crate) struct NodePort {
    /// Protocol number.
    pub(crate) protocol: u8,
    /// Port on every node.
    pub(crate) port: u16,
    /// Addresses behind it.
    pub(crate) backends: Vec<IpAddr>,
    /// The service.
    service: String,
}

impl NodePort {
    /// Whether an address of a node is behind it.
    pub(crate) fn is_behind(&self, view: &View<'_>) -> bool {
        self.backends.iter().any(|address| view.is_own(*address))
    }
}

/// Every node port of a cluster.
pub(super) fn read(cluster: &Cluster) -> Vec<NodePort> {
    let mut ports = Vec::new();
    for service in &cluster.services {
        let listed = service.ports.iter().filter_map(|port| Some((port.node_port?, transport(&port.protocol)?)));
        let listed: Vec<(u16, u8)> = listed.collect();
        if listed.is_empty() {
            continue;
        }
        let backends = behind(cluster, service);
        let name = format!("Service/{}/{}", service.namespace, service.name);
        ports.extend(listed.into_iter().map(|(port, protocol)| NodePort {
            protocol,
            port,
            backends: backends.clone(),
            service: name.clone(),
        }));
    }
    ports
}

fn behind(cluster: &Cluster, service: &Service) -> Vec<IpAddr> {
    let slices = cluster.slices.iter();
    let own = slices.filter(|slice| slice.namespace == service.namespace && slice.service == service.name);
    own.flat_map(|slice| slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().copied())).collect()
}

/// Node ports that lead to a node's own address under kube-proxy replacement: policy then judges them on the port of the
/// backend, which is not followed here.
pub(super) fn unknown(state: &State) -> Vec<Unknown> {
    if !state.settings.kube_proxy_replacement.value || !state.settings.host_firewall.value {
        return Vec::new();
    }
    let led =
        state.node_ports.iter().filter(|port| port.backends.iter().any(|address| state.ipcache.is_node(*address)));
    led.map(|port| {
        let what = "policy judges a node port that leads to a node on the port of its backend, which is not followed";
        Unknown::of(&port.service, &format!("node port {}", port.port), what)
    })
    .collect()
}

fn transport(protocol: &str) -> Option<u8> {
    match protocol {
        "" | "TCP" => Some(protocol::TCP),
        "UDP" => Some(protocol::UDP),
        "SCTP" => Some(protocol::SCTP),
        _ => None,
    }
}
