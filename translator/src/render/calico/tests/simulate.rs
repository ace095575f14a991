//! Applying an output object by object, while host endpoints appear in any order: nothing that the whole admits may be cut on
//! the way.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{HostEndpoints, wave};
use super::generate::{Case, case};
use super::model::{Packet, State};
use super::*;

fn packets(nodes: &[Node]) -> Vec<Packet> {
    let mut others: Vec<IpAddr> =
        nodes.iter().flat_map(|node| node.internal.iter().chain(&node.tunnel).copied()).collect();
    // One that is joining, a pod, an administrator, anybody.
    others.extend(["10.0.0.77", "10.42.3.4", "192.168.0.9", "198.51.100.7", "fd00::9"].map(ip));
    let mut packets = Vec::new();
    for (node, of) in nodes.iter().enumerate() {
        for direction in [Direction::Ingress, Direction::Egress] {
            for other in &others {
                let own = if other.is_ipv4() { of.internal[0] } else { ip("fd00::1") };
                for (protocol, port) in
                    [("TCP", 22), ("TCP", 10250), ("TCP", 9345), ("UDP", 53), ("TCP", 30080), ("112", 0)]
                {
                    let other = *other;
                    packets.push(Packet {
                        node,
                        direction,
                        own,
                        other,
                        protocol,
                        icmp: None,
                        port,
                        source_port: 40_000,
                    });
                }
            }
        }
    }
    packets
}

/// Whether the output promises that nothing is cut: node peers are known otherwise than by endpoints.
fn promises(rendered: &Rendered) -> bool {
    let lost = ["node-peers-by-endpoint-only", "joining-nodes-unknown"];
    !rendered.objects.is_empty() && !rendered.findings.iter().any(|finding| lost.contains(&finding.code.id))
}

/// The nodes of the cluster. Only a node list knows addresses outside of the node network, those of tunnels among them.
fn known(case: &Case) -> Vec<Node> {
    case.nodes.clone().unwrap_or_else(|| {
        let mut nodes = nodes();
        nodes.push(node("w-2", false, "10.0.0.12"));
        nodes[3].labels.insert("example.org/storage".to_owned(), String::new());
        nodes[2].tunnel.clear();
        nodes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_prefix_cuts_what_the_whole_admits(
        mut case in case(),
        appear in prop::collection::vec(any::<bool>(), 64),
        from_the_start in any::<bool>(),
    ) {
        // What has no form is left out rather than an error, so that there is something to apply.
        for row in &mut case.matrix.rows {
            row.optional = true;
        }
        case.matrix.frame.ingress.deny = true;
        case.matrix.cluster.cni = Some("calico".to_owned());
        case.options.version.minor = 31;
        let rendered = render(&case.matrix, case.nodes.as_deref(), &case.options);
        prop_assume!(promises(&rendered));
        let nodes = known(&case);
        let interface = match &case.matrix.frame.interfaces {
            Interfaces::All => None,
            Interfaces::Named(names) => Some(names[0].as_str()),
        };
        let all = (0..nodes.len()).collect();
        let whole = State::new(&rendered.objects, &nodes, interface, all);
        let packets: Vec<Packet> = packets(&nodes).into_iter().filter(|packet| whole.admits(packet)).collect();
        for length in 0..=rendered.objects.len() {
            let applied = &rendered.objects[..length];
            // Endpoints may be there from before, be somebody else's, or come with their wave.
            let may_exist = from_the_start
                || case.options.host_endpoints == HostEndpoints::None
                || applied.iter().any(|manifest| manifest.wave >= wave::ENDPOINTS);
            let exists = |node: &usize| may_exist && appear[(length * 7 + node) % appear.len()];
            let state = State::new(applied, &nodes, interface, (0..nodes.len()).filter(exists).collect());
            let cut = packets.iter().find(|packet| !state.admits(packet));
            let titles = titles(&rendered);
            prop_assert!(cut.is_none(), "after {length} of {titles:?} with {:?}: {cut:?}", state.endpoints);
        }
    }
}

/// The state that would cut if nodes were known by their endpoints alone; the model must see it.
#[test]
fn the_model_sees_a_cut_where_nodes_are_known_by_endpoints_only() {
    let mut matrix = matrix(vec![ingress(tcp(10250), vec![Peer::Nodes])]);
    matrix.cluster.node_cidrs.clear();
    let rendered = rendered(&matrix);
    let nodes = nodes();
    let packet = Packet {
        node: 0,
        direction: Direction::Ingress,
        own: ip("10.0.0.1"),
        other: ip("10.0.0.2"),
        protocol: "TCP",
        icmp: None,
        port: 10250,
        source_port: 40_000,
    };
    let admits = |endpoints: BTreeSet<usize>| State::new(&rendered.objects, &nodes, None, endpoints).admits(&packet);
    assert!(admits([0, 1, 2].into()) && !admits([0].into()));
}
