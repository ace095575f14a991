//! Hosts whose tunnels are accepted.

use ipnet::IpNet;

use super::owners::node_address;
use crate::calico::address;
use crate::calico::settings::Settings;
use crate::calico::state::Hosts;
use crate::snapshot::{Cluster, Node};

/// IP in IP is taken from every node, VXLAN from nodes that have a tunnel address; both also from hosts outside that the
/// settings name (projectcalico/calico:felix/dataplane/linux/{ipip_mgr,vxlan_mgr}.go).
pub(super) fn hosts(cluster: &Cluster, settings: &Settings) -> Hosts {
    // Manifests written by hand carry none of Calico's annotations; every node is then taken as a member.
    let annotated = cluster.nodes.iter().any(is_annotated);
    let external = || settings.external_nodes.value.iter().filter_map(|text| address::prefix_or_address(text));
    let all = |v4: bool, member: fn(&Node, bool) -> bool| {
        let members = cluster.nodes.iter().enumerate().filter(move |(_, node)| !annotated || member(node, v4));
        members.filter_map(move |(index, _)| node_address(cluster, index, v4)).map(IpNet::from)
    };
    let sorted = |nets: &mut dyn Iterator<Item = IpNet>| {
        let mut nets: Vec<IpNet> = nets.collect();
        nets.sort_unstable();
        nets.dedup();
        nets
    };
    let mut nodes: Vec<_> = cluster.nodes.iter().enumerate().collect();
    nodes.sort_by(|(_, left), (_, right)| left.name.cmp(&right.name));
    let nodes = nodes.into_iter().flat_map(|(index, node)| {
        let addresses = [true, false].into_iter().filter_map(move |v4| node_address(cluster, index, v4));
        addresses.map(|address| (node.name.clone(), address))
    });
    Hosts {
        nodes: nodes.collect(),
        ipip: sorted(&mut all(true, |_, _| true).chain(external())),
        vxlan: sorted(&mut all(true, has_tunnel).chain(all(false, has_tunnel)).chain(external())),
    }
}

fn is_annotated(node: &Node) -> bool {
    node.annotations.keys().any(|name| name.starts_with("projectcalico.org/IPv"))
}

fn has_tunnel(node: &Node, v4: bool) -> bool {
    let annotation = if v4 { "projectcalico.org/IPv4VXLANTunnelAddr" } else { "projectcalico.org/IPv6VXLANTunnelAddr" };
    node.annotations.contains_key(annotation)
}
