use super::*;
use policy::net::Family;

use crate::matrix::IcmpMatch;

/// Every kind of object in one output: groups, failsafe, roles, deny, close.
#[test]
fn a_cluster_with_both_directions_denied() {
    let admins =
        Peer::Cidrs { name: Some("adminCIDRs".to_owned()), cidrs: cidrs(&["198.51.100.0/24", "203.0.113.7/32"]) };
    let all = |row: Row| Row { roles: vec![0, 1], ..row };
    let control_plane = |row: Row| Row { roles: vec![0], ..row };
    let named = |row: Row, purpose: &str, flow: Option<&str>| Row {
        purpose: purpose.to_owned(),
        flow: flow.map(str::to_owned),
        ..row
    };
    let to = |row: Row| Row { direction: Direction::Egress, ..row };
    let udp =
        |port| Traffic::Ports { transport: Transport::Udp, ports: vec![range(port, port)], source_ports: Vec::new() };
    let etcd =
        || Traffic::Ports { transport: Transport::Tcp, ports: vec![range(2379, 2380)], source_ports: Vec::new() };
    let ping = |family, icmp_type| Traffic::Icmp { family, types: vec![IcmpMatch { icmp_type, code: None }] };
    let mut matrix = matrix(vec![
        named(all(row(tcp(22), vec![admins.clone()])), "SSH", Some("admin-ssh")),
        named(
            control_plane(row(tcp(6443), vec![Peer::Nodes, Peer::Pods, admins])),
            "Kubernetes API server",
            Some("kube-apiserver"),
        ),
        named(control_plane(row(etcd(), vec![Peer::Role(0)])), "etcd", Some("etcd-peer")),
        named(control_plane(to(row(etcd(), vec![Peer::Role(0)]))), "etcd", Some("etcd-peer")),
        named(all(row(tcp(10250), vec![Peer::Nodes, Peer::Pods])), "kubelet API", Some("kubelet-api")),
        named(all(row(udp(8472), vec![Peer::Nodes])), "VXLAN", Some("overlay")),
        named(all(to(row(udp(8472), vec![Peer::Nodes]))), "VXLAN", Some("overlay")),
        named(
            all(Row { traffic: vec![ping(Family::IPv4, 8), ping(Family::IPv6, 128)], ..row(tcp(1), vec![Peer::Any]) }),
            "ping",
            None,
        ),
        named(all(to(row(Traffic::Any, vec![Peer::Pods, Peer::Nodes]))), "probes", Some("kubelet-probes")),
        named(
            all(to(Row { except: cidrs(&["203.0.113.0/24"]), ..row(tcp(443), vec![Peer::Any]) })),
            "registries",
            Some("image-pull"),
        ),
        named(all(Row { action: Action::Deny, ..row(tcp(111), vec![Peer::Any]) }), "no portmapper", None),
    ]);
    matrix.frame.egress.deny = true;
    let config = AgentConfig { enable_node_selector_labels: Some(true), ..config() };
    let outcome = Outcome::of(&matrix, None, &options(config));
    assert_eq!(outcome.codes(), ["cilium-joining-nodes-wider"; 2]);
    let objects: Vec<String> = outcome
        .0
        .objects
        .iter()
        .map(|manifest| {
            let yaml = serde_saphyr::to_string(&manifest.object).expect("an object is YAML");
            format!("# wave {}\n{yaml}", manifest.wave)
        })
        .collect();
    insta::assert_snapshot!(objects.join("---\n"));
}
