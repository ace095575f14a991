//! Node ports before DNAT.

use super::*;
use crate::matrix::Log;

fn enforced(rows: Vec<Row>) -> Expanded {
    let mut matrix = matrix(rows);
    matrix.frame.forward = Forward::Enforce;
    matrix
}

const TO_NODES: &str =
    "[!has(projectcalico.org/namespace) && (has(kubernetes.io/hostname) || lifeline.dev/set == 'test-nodes')]";

fn rules(rendered: &Rendered, name: &str) -> Vec<String> {
    let policy = policy(rendered, name);
    assert_eq!((policy.spec.pre_dnat, policy.spec.apply_on_forward), (Some(true), Some(true)));
    assert_eq!(policy.spec.egress, None);
    lines(policy.spec.ingress.as_deref().expect("rules"))
}

#[test]
fn node_ports_are_held_to_the_rows_of_each_role() {
    let lb = named("lb", &["192.168.255.0/24"]);
    let on_workers =
        Row { roles: vec![WORKER], ..ingress(ports(Transport::Tcp, &[(80, 80), (30000, 40000)]), vec![lb]) };
    let rendered = rendered(&enforced(vec![on_workers, ingress(tcp(22), vec![Peer::Any])]));
    assert_eq!(
        rules(&rendered, "lifeline.test-worker-nodeports"),
        [format!(
            "Allow TCP from [!has(projectcalico.org/namespace) && lifeline.dev/set == 'test-lb'] to {TO_NODES} ports 30000:32767"
        )]
    );
    assert!(!titles(&rendered).contains(&"GlobalNetworkPolicy/lifeline.test-control-plane-nodeports".to_owned()));
    assert_eq!(
        rules(&rendered, "lifeline.test-nodeports"),
        ["TCP", "UDP", "SCTP"].map(|protocol| format!("Deny {protocol} to {TO_NODES} ports 30000:32767"))
    );
    let waves = |name: &str| {
        let title = format!("GlobalNetworkPolicy/{name}");
        rendered.objects.iter().find(|manifest| manifest.object.title() == title).map(|manifest| manifest.wave)
    };
    assert_eq!((waves("lifeline.test-worker-nodeports"), waves("lifeline.test-nodeports")), (Some(2), Some(5)));
    let order = |name: &str| policy(&rendered, name).spec.order.expect("an order");
    assert!(order("lifeline.test-worker-nodeports") < order("lifeline.test-nodeports"));
    assert!(!codes(&rendered).contains(&"node-ports-not-policed"));
}

#[test]
fn every_protocol_from_a_peer_includes_node_ports() {
    let rendered = rendered(&enforced(vec![ingress(Traffic::Any, vec![Peer::Pods])]));
    assert_eq!(rules(&rendered, "lifeline.test-worker-nodeports").len(), 3);
}

#[test]
fn the_log_comes_before_each_drop() {
    let mut matrix = enforced(Vec::new());
    matrix.frame.ingress.log = Some(Log { prefix: None, rate: None, level: None });
    let actions: Vec<String> =
        rules(&rendered(&matrix), "lifeline.test-nodeports").iter().map(|line| line[..4].trim().to_owned()).collect();
    assert_eq!(actions, ["Log", "Deny", "Log", "Deny", "Log", "Deny"]);
}

#[test]
fn a_range_over_the_overlays_port_is_refused() {
    let mut matrix = enforced(Vec::new());
    matrix.cluster.node_ports = PortRange { first: 1024, last: 65535 };
    let rendered = rendered(&matrix);
    assert!(codes(&rendered).contains(&"node-ports-cover-overlay"));
    assert!(rendered.objects.is_empty());
}

#[test]
fn rows_that_restrict_forwarded_node_ports_are_reported() {
    let lb = named("lb", &["192.168.255.0/24"]);
    let rendered = rendered(&matrix(vec![
        ingress(ports(Transport::Tcp, &[(30000, 32767)]), vec![lb.clone()]),
        ingress(ports(Transport::Tcp, &[(30000, 32767)]), vec![Peer::Any]),
        ingress(tcp(22), vec![lb]),
        ingress(Traffic::Any, vec![Peer::Pods]),
    ]));
    let fates: Vec<Fate> = (0..4).map(|index| fate(&rendered, index)).collect();
    assert_eq!(fates, [Fate::Wider, Fate::Exact, Fate::Exact, Fate::Exact]);
    let reported: Vec<&str> = rendered
        .findings
        .iter()
        .filter(|finding| finding.code.id == "node-ports-not-policed")
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(reported, ["spec.rows[0]"]);
}

/// The part of a row that is about node ports may have a form where the whole has none; the row is left out all the same.
#[test]
fn a_row_that_is_left_out_is_left_out_before_dnat_too() {
    let mut odd = ingress(Traffic::Any, vec![Peer::Pods]);
    odd.traffic.push(icmp(Family::IPv4, &[(255, None)]));
    let rendered = rendered(&enforced(vec![Row { optional: true, ..odd }, ingress(tcp(30080), vec![Peer::Any])]));
    assert_eq!(fate(&rendered, 0), Fate::Refused);
    assert_eq!(rules(&rendered, "lifeline.test-worker-nodeports").len(), 1);
}

#[test]
fn an_open_direction_closes_no_node_ports() {
    let deny = Row { action: Action::Deny, ..ingress(tcp(30080), vec![inline(&["192.168.0.0/16"])]) };
    let mut matrix = enforced(vec![deny, ingress(tcp(30081), vec![Peer::Any])]);
    matrix.frame.ingress.deny = false;
    let rendered = rendered(&matrix);
    assert_eq!(
        rules(&rendered, "lifeline.test-worker-nodeports-deny"),
        [format!("Deny v4 TCP from nets 192.168.0.0/16 to {TO_NODES} ports 30080")]
    );
    assert!(!titles(&rendered).contains(&"GlobalNetworkPolicy/lifeline.test-nodeports".to_owned()));
}
