use policy::cilium::api::DefaultDeny;
use policy::net::Family;

use super::*;
use crate::matrix::IcmpMatch;

fn deny(traffic: Traffic, peers: Vec<Peer>) -> Row {
    Row { action: Action::Deny, ..row(traffic, peers) }
}

fn denied(outcome: &Outcome) -> Vec<String> {
    outcome.rules("t-worker-ingress")[0].ingress_deny.iter().flatten().map(peer_text).collect()
}

#[test]
fn a_deny_is_written_beside_the_allows_and_turns_nothing_on() {
    let outcome = one(deny(tcp(23), vec![Peer::Any]), config());
    assert_eq!(denied(&outcome), [r#"{"fromEntities":["all"]}"#]);
    let open = DefaultDeny { ingress: Some(false), egress: Some(false) };
    assert_eq!(outcome.rules("t-worker-ingress")[0].enable_default_deny, Some(open));
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]));
}

#[test]
fn in_a_direction_that_is_open_a_deny_is_all_there_is() {
    let mut matrix = matrix(vec![deny(tcp(23), vec![Peer::Any])]);
    matrix.frame.ingress.deny = false;
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!((outcome.fate(), outcome.policies().len()), (Fate::Exact, 1));
}

#[test]
fn a_deny_never_takes_more_than_it_says() {
    let source =
        Traffic::Ports { transport: Transport::Udp, ports: vec![range(53, 53)], source_ports: vec![range(1, 1023)] };
    let code = Traffic::Icmp { family: Family::IPv4, types: vec![IcmpMatch { icmp_type: 3, code: Some(4) }] };
    let rows = [
        deny(tcp(2379), vec![Peer::Role(0)]),
        deny(source, vec![Peer::Pods]),
        deny(code, vec![Peer::Pods]),
        deny(Traffic::Number(50), vec![Peer::Pods]),
        Row { except: cidrs(&["10.1.0.7/32"]), ..deny(tcp(22), vec![Peer::Nodes]) },
    ];
    for row in rows {
        let outcome = one(row, config());
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Refused, vec!["row-not-expressible"]));
        assert!(outcome.0.findings[0].message.contains("would take more packets"), "{}", outcome.0.findings[0].message);
    }
}

#[test]
fn a_deny_that_takes_less_admits_more() {
    let outcome = one(deny(tcp(22), vec![list(&["10.1.0.0/28"])]), config());
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["cidr-misses-nodes"]));
    assert!(outcome.finding("cidr-misses-nodes").lost.as_deref().is_some_and(|lost| lost.starts_with("not denied")));
}

#[test]
fn a_deny_for_a_joining_flow_does_not_reach_the_node_network() {
    let by_label = AgentConfig { enable_node_selector_labels: Some(true), ..config() };
    let row = Row { flow: Some("etcd-peer".to_owned()), ..deny(tcp(2379), vec![Peer::Role(1)]) };
    let outcome = one(row, by_label);
    assert_eq!((outcome.fate(), denied(&outcome).len()), (Fate::Exact, 1));
}

#[test]
fn what_is_dropped_anyway_needs_no_deny() {
    let options = Options { version: Version::new(1, 18), ..options(config()) };
    let outcome = Outcome::of(&matrix(vec![deny(Traffic::Number(112), vec![Peer::Any])]), None, &options);
    assert_eq!((outcome.fate(), outcome.policies().len()), (Fate::Exact, 1));
}

#[test]
fn a_deny_that_takes_packets_from_a_failsafe_row_is_reported() {
    let kubelet = Row { flow: Some("kubelet-api".to_owned()), ..row(tcp(10250), vec![Peer::Nodes]) };
    for (row, cut) in [
        (deny(Traffic::Any, vec![list(&["10.0.0.0/8"])]), true),
        (deny(tcp(10250), vec![Peer::Any]), true),
        (deny(tcp(10251), vec![Peer::Any]), false),
        (deny(Traffic::Any, vec![list(&["192.168.0.0/16"])]), false),
        (deny(Traffic::Any, vec![Peer::Pods]), false),
        (Row { roles: vec![0], ..deny(tcp(10250), vec![Peer::Any]) }, false),
        (Row { except: cidrs(&["10.1.0.0/16"]), ..deny(Traffic::Any, vec![list(&["10.0.0.0/8"])]) }, false),
    ] {
        let outcome = Outcome::of(&matrix(vec![kubelet.clone(), row.clone()]), None, &options(config()));
        assert_eq!(outcome.codes().contains(&"cilium-deny-cuts-failsafe"), cut, "{row:?}");
    }
}
