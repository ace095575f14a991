use policy::cilium::api::{IcmpField, PortProtocol};
use policy::net::Family;
use policy::object::IntOrString;

use super::*;
use crate::matrix::IcmpMatch;

fn rules(row: Row, config: AgentConfig) -> (Vec<(String, Option<i64>, String)>, Outcome) {
    let outcome = one(row, config);
    let text = |rule: &PortProtocol| {
        (rule.port.clone().expect("port"), rule.end_port, rule.protocol.clone().expect("protocol"))
    };
    let rules = outcome.ingress()[0].to_ports.iter().flatten().flat_map(|rule| rule.ports.iter().flatten());
    (rules.map(text).collect(), outcome)
}

fn port(port: &str, end: Option<i64>, protocol: &str) -> (String, Option<i64>, String) {
    (port.to_owned(), end, protocol.to_owned())
}

fn icmp(family: Family, types: &[(u8, Option<u8>)]) -> Traffic {
    let types = types.iter().map(|(icmp_type, code)| IcmpMatch { icmp_type: *icmp_type, code: *code }).collect();
    Traffic::Icmp { family, types }
}

fn fields(outcome: &Outcome) -> Vec<IcmpField> {
    outcome
        .ingress()
        .iter()
        .flat_map(|rule| rule.icmps.iter().flatten())
        .flat_map(|rule| rule.fields.clone())
        .flatten()
        .collect()
}

fn field(family: &str, icmp_type: u16) -> IcmpField {
    IcmpField { family: Some(family.to_owned()), icmp_type: IntOrString::from(icmp_type) }
}

#[test]
fn ports_are_text_and_ranges_have_an_end() {
    let traffic = Traffic::Ports {
        transport: Transport::Tcp,
        ports: vec![range(22, 22), range(2379, 2380)],
        source_ports: Vec::new(),
    };
    let every = Traffic::Ports { transport: Transport::Udp, ports: Vec::new(), source_ports: Vec::new() };
    let both = Row { traffic: vec![traffic, every], ..row(Traffic::Any, vec![Peer::Nodes]) };
    let (rules, outcome) = rules(both, config());
    assert_eq!(rules, [port("22", None, "TCP"), port("2379", Some(2380), "TCP"), port("0", None, "UDP")]);
    assert_eq!(outcome.fate(), Fate::Exact);
}

#[test]
fn forty_ports_to_an_entry() {
    let ports = (0..90).map(|index| range(1000 + 2 * index, 1000 + 2 * index)).collect();
    let traffic = Traffic::Ports { transport: Transport::Tcp, ports, source_ports: Vec::new() };
    let outcome = one(row(traffic, vec![Peer::Any]), config());
    let rules = outcome.ingress()[0].to_ports.as_ref().expect("ports");
    let counts: Vec<usize> = rules.iter().map(|rule| rule.ports.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [40, 40, 10]);
}

#[test]
fn forty_icmp_types_to_an_entry() {
    let types: Vec<(u8, Option<u8>)> = (1..=60).map(|icmp_type| (icmp_type, None)).collect();
    let outcome = one(row(icmp(Family::IPv4, &types), vec![Peer::Any]), config());
    let rules = outcome.ingress()[0].icmps.as_ref().expect("types");
    let counts: Vec<usize> = rules.iter().map(|rule| rule.fields.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [40, 20]);
}

#[test]
fn every_protocol_is_an_element_without_ports() {
    let outcome = one(row(Traffic::Any, vec![Peer::Pods]), config());
    assert_eq!((outcome.ingress()[0].to_ports.as_ref(), outcome.ingress()[0].icmps.as_ref()), (None, None));
}

#[test]
fn source_ports_are_lost() {
    let traffic =
        Traffic::Ports { transport: Transport::Udp, ports: vec![range(68, 68)], source_ports: vec![range(67, 67)] };
    let (rules, outcome) = rules(row(traffic, vec![Peer::Any]), config());
    assert_eq!(rules, [port("68", None, "UDP")]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["cilium-source-ports-ignored"]));
}

#[test]
fn source_ports_of_the_frame_are_reported_once() {
    let dhcp = |direction, from, to| {
        let ports = vec![range(to, to)];
        let traffic = Traffic::Ports { transport: Transport::Udp, ports, source_ports: vec![range(from, from)] };
        Row { origin: Origin::Frame("dhcp"), direction, ..row(traffic, vec![Peer::Any]) }
    };
    let mut matrix = matrix(vec![row(Traffic::Any, vec![Peer::Pods])]);
    matrix.frame.egress.deny = true;
    matrix.rows.push(Row { direction: Direction::Egress, roles: vec![0, 1], ..row(Traffic::Any, vec![Peer::Pods]) });
    matrix.frame_rows = vec![dhcp(Direction::Ingress, 67, 68), dhcp(Direction::Egress, 68, 67)];
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!(outcome.codes(), ["cilium-source-ports-ignored"]);
    let lost = outcome.finding("cilium-source-ports-ignored").lost.as_deref();
    assert_eq!(lost, Some("admitted: UDP 68 from every source port; UDP 67 to every source port"));
    assert_eq!(outcome.0.outcomes.iter().filter(|outcome| outcome.fate == Fate::Wider).count(), 2);
}

#[test]
fn sctp_needs_to_be_tracked() {
    let traffic =
        || Traffic::Ports { transport: Transport::Sctp, ports: vec![range(38412, 38412)], source_ports: vec![] };
    let outcome = one(row(traffic(), vec![Peer::Nodes]), config());
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Narrower, vec!["cilium-sctp-untracked"]));
    let tracked = AgentConfig { enable_sctp: Some(true), ..config() };
    let (rules, outcome) = rules(row(traffic(), vec![Peer::Nodes]), tracked);
    assert_eq!((rules, outcome.fate()), (vec![port("38412", None, "SCTP")], Fate::Exact));
}

#[test]
fn every_icmp_type_is_type_0_and_the_policy_says_why() {
    let outcome = one(row(icmp(Family::IPv4, &[]), vec![Peer::Any]), config());
    assert_eq!(fields(&outcome), [field("IPv4", 0)]);
    assert_eq!(outcome.fate(), Fate::Exact);
    let policies = outcome.policies();
    let policy = policies.iter().find(|policy| policy.metadata.name == "t-worker-ingress").expect("policy");
    assert!(policy.metadata.annotations["lifeline.dev/reason"].contains("type 0 stands for every type"));
}

#[test]
fn type_0_alone_or_beside_others_is_left_out() {
    let outcome = one(row(icmp(Family::IPv4, &[(0, None), (8, None)]), vec![Peer::Nodes]), config());
    assert_eq!(fields(&outcome)[0], field("IPv4", 8));
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Narrower, vec!["cilium-icmp-type-zero"]));
    let outcome = one(row(icmp(Family::IPv4, &[(0, None)]), vec![Peer::Nodes]), config());
    assert_eq!((outcome.fate(), outcome.policies().len()), (Fate::Narrower, 1));
}

#[test]
fn icmp_codes_are_lost() {
    let outcome = one(row(icmp(Family::IPv4, &[(3, Some(4))]), vec![Peer::Any]), config());
    assert_eq!(fields(&outcome), [field("IPv4", 3)]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Wider, vec!["cilium-icmp-code-ignored"]));
}

#[test]
fn icmpv6_types_that_never_pass_are_reported() {
    let outcome = one(row(icmp(Family::IPv6, &[(135, None), (137, None)]), vec![Peer::Any]), config());
    assert_eq!(fields(&outcome), [field("IPv6", 135), field("IPv6", 137)]);
    assert_eq!((outcome.fate(), outcome.codes()), (Fate::Narrower, vec!["cilium-icmpv6-type-dropped"]));
}

#[test]
fn icmp_and_ports_never_share_an_element() {
    let both = Row { traffic: vec![tcp(22), icmp(Family::IPv4, &[(8, None)])], ..row(tcp(22), vec![Peer::Pods]) };
    let outcome = one(both, config());
    let shapes: Vec<(bool, bool)> =
        outcome.ingress().iter().map(|rule| (rule.to_ports.is_some(), rule.icmps.is_some())).collect();
    assert_eq!(shapes, [(true, false), (false, true)]);
}

#[test]
fn icmp_is_refused_where_the_agent_rejects_it() {
    let config = AgentConfig { enable_icmp_rules: Some(false), ..config() };
    assert_eq!(one(row(icmp(Family::IPv4, &[(8, None)]), vec![Peer::Any]), config).codes(), ["row-not-expressible"]);
}

#[test]
fn protocol_numbers_are_named_where_the_version_and_the_agent_can() {
    let extended = || AgentConfig { enable_extended_ip_protocols: Some(true), ..config() };
    let at = |minor, config, number, peer| {
        let options = Options { version: Version::new(1, minor), ..options(config) };
        Outcome::of(&matrix(vec![row(Traffic::Number(number), vec![peer])]), None, &options)
    };
    let (esp, vrrp) = (50, 112);
    for (minor, number) in [(20, esp), (20, vrrp), (19, vrrp)] {
        let outcome = at(minor, extended(), number, Peer::Any);
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Exact, vec![]), "1.{minor} {number}");
        assert!(outcome.ingress()[0].to_ports.is_some());
    }
    for (minor, config, number) in [(20, config(), esp), (20, extended(), 88), (19, extended(), esp)] {
        let outcome = at(minor, config.clone(), number, Peer::Pods);
        assert_eq!(
            (outcome.fate(), outcome.codes()),
            (Fate::Wider, vec!["cilium-protocol-wider"]),
            "1.{minor} {number}"
        );
        assert_eq!(outcome.ingress()[0].to_ports, None);
        let everyone = at(minor, config, number, Peer::Any);
        assert_eq!((everyone.fate(), everyone.codes()), (Fate::Refused, vec!["row-not-expressible"]));
    }
    for (minor, config) in [(19, config()), (18, extended())] {
        let outcome = at(minor, config, vrrp, Peer::Nodes);
        assert_eq!((outcome.fate(), outcome.codes()), (Fate::Refused, vec!["row-not-expressible"]), "1.{minor}");
    }
}
