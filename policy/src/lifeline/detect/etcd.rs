//! Where etcd is, and who needs it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Find;
use super::facts::{Facts, Names, addresses, built_in, flag, host_and_port, of_pod, stated_by};
use crate::lifeline::config::Distribution;
use crate::lifeline::model::{Origin, Party, Traffic};
use crate::snapshot::{Node, Pod};

/// Where etcd, or what stands in for it, is.
#[derive(Debug, Default)]
pub(super) struct Etcd {
    /// Nodes that are members.
    pub(super) members: Names,
    /// Ports for clients.
    client: BTreeSet<u16>,
    /// Ports for other members.
    peer: BTreeSet<u16>,
    /// Members that are no nodes.
    outside: BTreeSet<(IpNet, u16)>,
    /// What tells of the members, of their ports for clients, and of those for each other.
    origins: Vec<Origin>,
    client_origins: Vec<Origin>,
    peer_origins: Vec<Origin>,
}

const ROLE: &str = "node-role.kubernetes.io/etcd";

impl Etcd {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let mut etcd = Self::default();
        let (mut members, told) = facts.nodes_where(is_member);
        etcd.origins.extend(told);
        for (index, pod) in facts.pods().filter(|pod| is_etcd(pod)).enumerate() {
            members.extend(Some(pod.node.clone()).filter(|node| facts.all.contains(node)));
            if index == 0 {
                etcd.origins.push(of_pod(pod, "spec.nodeName"));
            }
            for (name, ports, origins) in [
                ("--listen-client-urls", &mut etcd.client, &mut etcd.client_origins),
                ("--listen-peer-urls", &mut etcd.peer, &mut etcd.peer_origins),
            ] {
                let urls = flag(&pod.args, name).unwrap_or_default().split(',').map(host_and_port);
                let reachable = urls.filter(|(host, _)| !is_loopback(host)).filter_map(|(_, port)| port);
                let before = ports.len();
                ports.extend(reachable);
                if ports.len() > before {
                    origins.push(of_pod(pod, format!("spec.containers[].command {name}")));
                }
            }
        }
        etcd.servers(facts, &mut members);
        etcd.distribution(facts, &mut members);
        if let Some(stated) = facts.parameters.addresses("etcdServers") {
            etcd.outside.extend(stated.iter().map(|cidr| (cidr.net(), 2379)));
            etcd.origins.push(stated_by("etcdServers"));
        }
        if !members.is_empty() && !facts.is(Distribution::Microk8s) {
            if etcd.client.is_empty() {
                etcd.client.insert(2379);
                etcd.client_origins.push(built_in("etcd listens on 2379 for clients"));
            }
            if etcd.peer.is_empty() {
                etcd.peer.insert(2380);
                etcd.peer_origins.push(built_in("etcd listens on 2380 for members"));
            }
        }
        etcd.members = Arc::new(members);
        etcd
    }

    /// Where API servers look for it.
    fn servers(&mut self, facts: &Facts<'_>, members: &mut BTreeSet<String>) {
        let servers = facts.pods().filter(|pod| pod.name.starts_with("kube-apiserver-"));
        for pod in servers {
            let urls = flag(&pod.args, "--etcd-servers").unwrap_or_default().split(',').map(host_and_port);
            for (host, port) in urls.filter(|(host, _)| !is_loopback(host)) {
                let (Ok(address), Some(port)) = (host.parse::<IpAddr>(), port) else { continue };
                let new = match facts.owner(address) {
                    Some(node) => members.insert(node.to_owned()) | self.client.insert(port),
                    None => self.outside.insert((IpNet::from(address), port)),
                };
                if new {
                    self.client_origins.push(of_pod(pod, "spec.containers[].command --etcd-servers"));
                }
            }
        }
    }

    /// Distributions that run it outside Kubernetes, on every node of the control plane.
    fn distribution(&mut self, facts: &Facts<'_>, members: &mut BTreeSet<String>) {
        let Some((distribution, told)) = &facts.distribution else { return };
        // siderolabs/talos:pkg/machinery/constants/constants.go, kubernetes/kops:pkg/wellknownports/wellknownports.go,
        // "Services and ports" of the MicroK8s documentation.
        let (client, peer, what): (&[u16], &[u16], &str) = match distribution {
            Distribution::Talos => (&[2379], &[2380], "Talos runs etcd on its control plane, ports 2379 and 2380"),
            Distribution::Kops => {
                (&[4001, 4002], &[2380, 2381], "kOps runs two etcd, ports 4001 and 4002, members 2380 and 2381")
            }
            Distribution::Microk8s => (&[], &[19001], "members of MicroK8s's dqlite use 19001"),
            _ => return,
        };
        members.extend(facts.api.nodes.iter().cloned());
        self.client = client.iter().copied().collect();
        self.peer = peer.iter().copied().collect();
        self.origins.extend([told.clone(), built_in(what)]);
    }
}

/// Annotation: k3s-io/k3s:pkg/etcd/etcd.go; RKE2 puts its own name in the place of `k3s`.
fn is_member(node: &Node) -> Option<String> {
    if node.labels.contains_key(ROLE) {
        return Some(format!("metadata.labels[{ROLE}]"));
    }
    let annotation = |name: &&String| name.starts_with("etcd.") && name.ends_with(".cattle.io/node-address");
    node.annotations.keys().find(annotation).map(|name| format!("metadata.annotations[{name}]"))
}

/// A static pod of etcd, not an operator or a job of the same beginning.
fn is_etcd(pod: &Pod) -> bool {
    pod.host_network && pod.name.strip_prefix("etcd-") == Some(pod.node.as_str())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tcp(ports: &BTreeSet<u16>) -> Vec<Traffic> {
    ports.iter().map(|port| Traffic::tcp(*port)).collect()
}

pub(super) fn client(facts: &Facts<'_>, find: &mut Find) {
    let (etcd, api) = (&facts.etcd, &facts.api);
    let servers = Party::Nodes(api.nodes.clone());
    find.because(etcd.origins.iter().chain(&etcd.client_origins).chain(&api.roles).cloned());
    find.flow(servers.clone(), Party::Nodes(etcd.members.clone()), &tcp(&etcd.client));
    let own: BTreeSet<String> = api.nodes.intersection(&etcd.members).cloned().collect();
    find.flow(Party::Nodes(Arc::new(own)), Party::Itself, &tcp(&etcd.client));
    for (net, port) in &etcd.outside {
        find.flow(servers.clone(), addresses("etcd", vec![*net]), &[Traffic::tcp(*port)]);
    }
    // Hosted control planes keep theirs; K3s can do without, k0s keeps it on hosts that are no nodes.
    let without = facts.distribution.as_ref().is_some_and(|(distribution, _)| {
        matches!(distribution, Distribution::K3s | Distribution::K0s | Distribution::Microk8s)
    });
    if !api.nodes.is_empty() && etcd.members.is_empty() && etcd.outside.is_empty() && !without {
        find.missing("etcdServers", "no object tells where etcd is");
    }
}

pub(super) fn peer(facts: &Facts<'_>, find: &mut Find) {
    let members = Party::Nodes(facts.etcd.members.clone());
    find.because(facts.etcd.origins.iter().chain(&facts.etcd.peer_origins).cloned());
    find.flow(members.clone(), members, &tcp(&facts.etcd.peer));
}
