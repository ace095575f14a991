//! What rows mean, packet by packet.

use policy::packet::{Packet, Space, Transport, protocol};

use super::*;
use crate::prove::cluster;
use crate::prove::facts::Facts;
use crate::prove::intent::{Bound, Intent};

/// Whether the rows admit a TCP packet from, or to, the other side.
fn admits(text: &str, role: usize, direction: Direction, other: &str, port: u16) -> bool {
    let matrix = matrix(text);
    let (snapshot, _) = cluster::model(&matrix, Some(&nodes()), false);
    let facts = Facts::of(&matrix, &snapshot);
    let intent = Intent::new(&matrix, &facts, false);
    let rows = intent.rows(&[role], direction, None).into_iter().map(|row| (row, Vec::new())).collect::<Vec<_>>();
    let mut space = Space::new();
    let admitted = intent.admitted(&mut space, &rows, direction, Bound::Least);
    assert_eq!(admitted, intent.admitted(&mut space, &rows, direction, Bound::Most), "nothing is lost");
    let other: std::net::IpAddr = other.parse().expect(other);
    let own = if other.is_ipv4() { "192.168.30.99" } else { "fd00:30::99" }.parse().expect("an address");
    let (source, destination) = if direction == Direction::Ingress { (other, own) } else { (own, other) };
    let transport = Transport::Ports { protocol: protocol::TCP, source: 40000, destination: port };
    let packet = Packet::new(source, destination, transport).expect("a packet");
    space.store(admitted).expect("small").contains(&packet)
}

#[test]
fn peers_are_who_they_are() {
    let (control_plane, worker) = (0, 1);
    for (role, other, port, wanted) in [
        (worker, "192.168.10.7", 22, true),
        (worker, "fd00:10::7", 22, true),
        (worker, "192.168.11.7", 22, false),
        (worker, "192.168.30.1", 10250, true),
        (worker, "192.168.30.77", 10250, true),
        (worker, "10.42.9.9", 10250, true),
        (worker, "192.168.31.1", 10250, false),
        (control_plane, "192.168.30.2", 2379, true),
        (control_plane, "192.168.30.11", 2379, false),
        (worker, "192.168.30.2", 2379, false),
        (worker, "192.168.30.12", 3260, true),
        (worker, "192.168.30.11", 3260, false),
        (worker, "203.0.113.7", 9998, true),
        (worker, "203.0.113.7", 9999, false),
    ] {
        assert_eq!(admits(MATRIX, role, Direction::Ingress, other, port), wanted, "{other} to {port} of {role}");
    }
    assert!(admits(MATRIX, worker, Direction::Egress, "8.8.8.8", 53));
    assert!(!admits(MATRIX, worker, Direction::Egress, "8.8.8.8", 54));
    assert!(admits(MATRIX, worker, Direction::Egress, "10.42.9.9", 54));
}

#[test]
fn exceptions_families_and_defaults_count() {
    let except = MATRIX.replace("192.168.30.200/32", "192.168.30.12/32");
    assert!(!admits(&except, 1, Direction::Ingress, "192.168.30.12", 3260));
    let family = MATRIX.replace("ports: 22, from: admins,", "ports: 22, from: admins, family: IPv6,");
    assert!(!admits(&family, 1, Direction::Ingress, "192.168.10.7", 22));
    assert!(admits(&family, 1, Direction::Ingress, "fd00:10::7", 22));
    let open = MATRIX.replace("ingress: {default: deny}", "ingress: {default: allow}");
    assert!(admits(&open, 1, Direction::Ingress, "198.51.100.7", 1));
    assert!(!admits(&open, 1, Direction::Ingress, "198.51.100.7", 9999), "a deny is a deny");
}

#[test]
fn pods_are_selected_by_their_own_and_their_namespaces_labels() {
    let matrix = matrix(MATRIX);
    let (snapshot, missing) = cluster::model(&matrix, None, false);
    assert_eq!(missing, Vec::<usize>::new());
    let facts = Facts::of(&matrix, &snapshot);
    let intent = Intent::new(&matrix, &facts, false);
    let metrics = matrix.rows.iter().find(|row| row.purpose == "metrics").expect("the row");
    let cubes = intent.cubes(metrics, &[], Bound::Least);
    let meant = snapshot.cluster.pods.iter().filter(|pod| cubes[0].source.contains(pod.addresses[0]));
    let meant: Vec<&str> = meant.map(|pod| pod.name.as_str()).collect();
    assert_eq!((meant, snapshot.cluster.pods.len()), (vec!["pod-1-a"], 4));
    let storage = facts.nodes.iter().filter(|node| node.labels.contains_key("example.org/storage"));
    assert_eq!((storage.count(), facts.nodes.len()), (2, 4), "one of each role");
}
