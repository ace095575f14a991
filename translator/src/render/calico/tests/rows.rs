//! Kinds of packets, families, exceptions.

use super::super::Dataplane;
use super::*;

fn rules_of(row: Row) -> Vec<String> {
    let rendered = rendered(&matrix(vec![row]));
    lines(worker_rules(&rendered))
}

#[test]
fn ports_are_integers_and_ranges_with_a_colon() {
    let traffic = ports(Transport::Tcp, &[(22, 22), (30000, 32767)]);
    assert_eq!(rules_of(ingress(traffic, vec![Peer::Any])), ["Allow TCP to ports 22,30000:32767"]);
}

#[test]
fn a_rule_lists_no_more_than_fifty_ports() {
    let ranges: Vec<(u16, u16)> = (1..=120).map(|port| (port * 10, port * 10)).collect();
    let rendered = rendered(&matrix(vec![ingress(ports(Transport::Sctp, &ranges), vec![Peer::Any])]));
    let counts: Vec<usize> =
        worker_rules(&rendered).iter().map(|rule| rule.destination.ports.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [50, 50, 20]);
    assert_eq!(fate(&rendered, 0), Fate::Exact);
}

#[test]
fn source_ports_are_on_the_source_in_both_directions() {
    let traffic = Traffic::Ports {
        transport: Transport::Udp,
        ports: vec![PortRange { first: 68, last: 68 }],
        source_ports: vec![PortRange { first: 67, last: 67 }],
    };
    assert_eq!(rules_of(ingress(traffic.clone(), vec![Peer::Any])), ["Allow UDP from ports 67 to ports 68"]);
    let mut matrix = matrix(vec![egress(traffic, vec![inline(&["10.0.0.0/24"])])]);
    matrix.frame.egress.deny = true;
    let rendered = rendered(&matrix);
    let rules = policy(&rendered, "lifeline.test-worker-egress").spec.egress.as_deref().expect("egress rules");
    assert_eq!(lines(rules), ["Allow v4 UDP from ports 67 to nets 10.0.0.0/24 ports 68"]);
}

#[test]
fn every_port_is_no_list_and_every_protocol_no_field() {
    assert_eq!(rules_of(ingress(ports(Transport::Tcp, &[]), vec![Peer::Any])), ["Allow TCP"]);
    assert_eq!(rules_of(ingress(Traffic::Any, vec![Peer::Any])), ["Allow"]);
}

#[test]
fn protocols_are_numbers_and_zero_is_refused() {
    assert_eq!(rules_of(ingress(Traffic::Number(112), vec![Peer::Any])), ["Allow 112"]);
    assert_eq!(rules_of(ingress(Traffic::Number(255), vec![Peer::Any])), ["Allow 255"]);
    let rendered = rendered(&matrix(vec![ingress(Traffic::Number(0), vec![Peer::Any])]));
    assert!(codes(&rendered).contains(&"row-not-expressible"));
    assert!(rendered.objects.is_empty());
}

#[test]
fn icmp_is_one_rule_for_each_type_and_family() {
    let row = Row {
        traffic: vec![icmp(Family::IPv4, &[(3, None), (8, None)]), icmp(Family::IPv6, &[])],
        ..ingress(Traffic::Any, vec![Peer::Any])
    };
    assert_eq!(rules_of(row), ["Allow ICMP type 3", "Allow ICMP type 8", "Allow ICMPv6"]);
}

#[test]
fn the_icmp_code_is_written_only_where_it_cannot_stop_felix() {
    let matrix = matrix(vec![ingress(icmp(Family::IPv4, &[(3, Some(4)), (3, Some(1))]), vec![Peer::Any])]);
    for (dataplane, wanted, lost) in [
        (None, vec!["Allow ICMP type 3"], true),
        (Some(Dataplane::Nftables), vec!["Allow ICMP type 3"], true),
        (Some(Dataplane::Iptables), vec!["Allow ICMP type 3 code 4", "Allow ICMP type 3 code 1"], false),
        (Some(Dataplane::Ebpf), vec!["Allow ICMP type 3 code 4", "Allow ICMP type 3 code 1"], false),
    ] {
        let rendered = render(&matrix, None, &Options { dataplane, ..Options::new("test") });
        assert_eq!(lines(worker_rules(&rendered)), wanted);
        assert_eq!(codes(&rendered).contains(&"icmp-code-left-out"), lost, "{dataplane:?}");
        assert_eq!(fate(&rendered, 0), if lost { Fate::Wider } else { Fate::Exact });
    }
}

#[test]
fn a_deny_row_that_loses_its_icmp_code_drops_more() {
    let row = Row { action: Action::Deny, ..ingress(icmp(Family::IPv4, &[(8, Some(0))]), vec![Peer::Any]) };
    assert_eq!(fate(&rendered(&matrix(vec![row])), 0), Fate::Narrower);
}

#[test]
fn icmp_type_255_is_refused() {
    let rendered = rendered(&matrix(vec![ingress(icmp(Family::IPv4, &[(255, None)]), vec![Peer::Any])]));
    assert_eq!(fate(&rendered, 0), Fate::Refused);
}

#[test]
fn a_family_is_an_ip_version_and_empties_the_other_icmp() {
    let row = Row { family: Some(Family::IPv6), ..ingress(tcp(443), vec![Peer::Any]) };
    assert_eq!(rules_of(row), ["Allow v6 TCP to ports 443"]);
    let row = Row {
        family: Some(Family::IPv6),
        traffic: vec![icmp(Family::IPv4, &[(8, None)]), icmp(Family::IPv6, &[(128, None)])],
        ..ingress(Traffic::Any, vec![Peer::Any])
    };
    assert_eq!(rules_of(row), ["Allow ICMPv6 type 128"]);
}

#[test]
fn prefixes_of_two_families_are_two_rules() {
    let row = ingress(tcp(22), vec![inline(&["192.168.0.0/24", "fd00::/64"])]);
    assert_eq!(
        rules_of(row),
        ["Allow v4 TCP from nets 192.168.0.0/24 to ports 22", "Allow v6 TCP from nets fd00::/64 to ports 22"]
    );
}

#[test]
fn an_exception_of_one_family_leaves_the_other_whole() {
    let row = Row { except: cidrs(&["10.0.0.0/8"]), ..ingress(tcp(22), vec![Peer::Any]) };
    assert_eq!(rules_of(row), ["Allow v4 TCP from notNets 10.0.0.0/8 to ports 22", "Allow v6 TCP to ports 22"]);
    let row = Row { except: cidrs(&["10.42.1.0/24"]), ..ingress(tcp(22), vec![Peer::Pods]) };
    let pods = "[!has(projectcalico.org/namespace) && lifeline.dev/set == 'test-pods']";
    assert_eq!(
        rules_of(row),
        [
            format!("Allow v4 TCP from notNets 10.42.1.0/24 {pods} to ports 22"),
            format!("Allow v6 TCP from {pods} to ports 22"),
        ]
    );
}

#[test]
fn an_exception_of_a_whole_family_removes_it() {
    let row = Row { except: cidrs(&["::/0"]), ..ingress(tcp(22), vec![Peer::Any]) };
    assert_eq!(rules_of(row), ["Allow v4 TCP to ports 22"]);
}

#[test]
fn exceptions_within_and_around_prefixes() {
    let row = Row {
        except: cidrs(&["10.1.0.0/16", "10.9.0.0/16", "172.16.0.0/12"]),
        ..ingress(tcp(22), vec![inline(&["10.0.0.0/14", "10.9.1.0/24", "192.168.0.0/16"])])
    };
    assert_eq!(rules_of(row), ["Allow v4 TCP from nets 10.0.0.0/14,192.168.0.0/16 notNets 10.1.0.0/16 to ports 22"]);
}

#[test]
fn a_whole_family_is_an_ip_version_rather_than_a_prefix() {
    let row = Row { except: cidrs(&["10.0.0.0/8"]), ..ingress(tcp(22), vec![inline(&["0.0.0.0/0"])]) };
    assert_eq!(rules_of(row), ["Allow v4 TCP from notNets 10.0.0.0/8 to ports 22"]);
}

#[test]
fn many_exceptions_become_a_set_that_is_excluded() {
    let many: Vec<Cidr> =
        (0..300_u32).map(|index| Cidr::host(IpAddr::from((0x0a00_0000 + index * 2).to_be_bytes()))).collect();
    let row = Row { except: many.clone(), ..ingress(tcp(22), vec![Peer::Any]) };
    let not = "not [!has(projectcalico.org/namespace) && lifeline.dev/set == 'test-row-0']";
    assert_eq!(
        rules_of(row),
        [format!("Allow v4 TCP from {not} to ports 22"), format!("Allow v6 TCP from {not} to ports 22")]
    );
    let row = Row { except: many, ..ingress(tcp(22), vec![Peer::Nodes]) };
    assert_eq!(fate(&rendered(&matrix(vec![row])), 0), Fate::Refused);
}

#[test]
fn rules_carry_their_row_and_one_annotation_only() {
    let row = Row { purpose: "SSH".to_owned(), ..ingress(tcp(22), vec![Peer::Any]) };
    let mut matrix = matrix(vec![row]);
    matrix.frame_rows = vec![Row {
        origin: Origin::Frame("icmp-errors"),
        purpose: "why".to_owned(),
        ..ingress(icmp(Family::IPv4, &[(3, None)]), vec![Peer::Any])
    }];
    let rendered = rendered(&matrix);
    let annotations: Vec<_> = worker_rules(&rendered)
        .iter()
        .map(|rule| rule.metadata.clone().expect("metadata").annotations.into_iter().collect::<Vec<_>>())
        .collect();
    let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    assert_eq!(
        annotations,
        [pair("lifeline.dev/reason", "frame:icmp-errors why"), pair("lifeline.dev/row", "rows[0] SSH")]
    );
}

#[test]
fn an_open_direction_implies_its_allow_rows_and_writes_its_deny_rows() {
    let deny = Row { action: Action::Deny, ..egress(tcp(25), vec![Peer::Any]) };
    let fqdns = Peer::Fqdns { name: "registries".to_owned(), names: vec!["example.org".to_owned()] };
    let rendered = rendered(&matrix(vec![egress(tcp(443), vec![fqdns]), deny]));
    assert_eq!((fate(&rendered, 0), fate(&rendered, 1)), (Fate::Implied, Fate::Exact));
    let denied = policy(&rendered, "lifeline.test-worker-egress-deny");
    assert_eq!(lines(denied.spec.egress.as_deref().expect("rules")), ["Deny TCP to ports 25"]);
}

#[test]
fn an_optional_row_that_has_no_form_is_left_out() {
    let row = Row { optional: true, ..ingress(tcp(22), vec![Peer::Services]) };
    let rendered = rendered(&matrix(vec![row, ingress(tcp(80), vec![Peer::Any])]));
    assert_eq!(codes(&rendered).iter().filter(|code| **code == "optional-row-left-out").count(), 1);
    assert_eq!((fate(&rendered, 0), fate(&rendered, 1)), (Fate::Refused, Fate::Exact));
    assert_eq!(lines(worker_rules(&rendered)), ["Allow TCP to ports 80"]);
}
