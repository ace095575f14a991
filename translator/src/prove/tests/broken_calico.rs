//! Calico's objects, broken one at a time.

use policy::calico::api::{DefaultAction, ProtoPort, Rule};
use policy::object::IntOrString;

use super::*;
use crate::render::calico::{Api, Dataplane, Failsafe, HostEndpoints, Options};

fn small() -> Calico {
    Calico::new(MATRIX, None, Options::new("small"))
}

fn written() -> Calico {
    let options = Options { host_endpoints: HostEndpoints::Written, ..Options::new("small") };
    Calico::new(MATRIX, Some(nodes()), options)
}

fn ingress<'c>(calico: &'c mut Calico, name: &str) -> &'c mut Vec<Rule> {
    match calico.object(&format!("GlobalNetworkPolicy/lifeline.small-{name}")) {
        AnyObject::GlobalNetworkPolicy(policy) => policy.spec.ingress.as_mut().expect("ingress rules"),
        other => panic!("{}", other.title()),
    }
}

fn names_port(rule: &Rule, port: i64) -> bool {
    rule.destination.ports.as_ref().is_some_and(|ports| ports.contains(&IntOrString::Int(port)))
}

#[test]
fn what_is_right_is_proved() {
    proved(small().prove());
    proved(written().prove());
    for options in [
        Options { api: Api::V1, ..Options::new("small") },
        Options { host_endpoints: HostEndpoints::None, ..Options::new("small") },
        Options { failsafe: Failsafe::Default, dataplane: Some(Dataplane::Nftables), ..Options::new("small") },
        Options { failsafe: Failsafe::None, admin_path: false, ..Options::new("small") },
        Options { dataplane: Some(Dataplane::Ebpf), ..Options::new("small") },
    ] {
        proved(Calico::new(MATRIX, None, options).prove());
    }
}

/// projectcalico/calico:felix/rules/policy.go finishPositiveBlock: Felix overlooks the third of a rule's longer lists.
#[test]
fn a_rule_has_at_most_two_longer_lists() {
    // Ranges that do not touch; nine of them are more than one match holds.
    let list = |first: u16| {
        let ranges = (0..9).map(|index| format!("{}-{}", first + 3 * index, first + 3 * index + 1));
        ranges.collect::<Vec<_>>().join(", ")
    };
    let row = format!(
        "rows:\n  - {{roles: worker, sourcePorts: [{}], ports: [{}], from: [203.0.113.0/24, 198.51.100.0/24]}}",
        list(700),
        list(7000)
    );
    let mut calico = Calico::new(&MATRIX.replace("rows:", &row), None, Options::new("small"));
    proved(calico.prove());
    let rules = ingress(&mut calico, "worker-ingress");
    let mut parts = rules.iter_mut().filter(|rule| rule.source.ports.is_some() && rule.source.nets.is_some());
    let (first, second) = (parts.next().expect("a rule"), parts.next().expect("another"));
    let more = second.source.ports.clone().unwrap_or_default();
    first.source.ports.get_or_insert_default().extend(more);
    let found = disagreement(calico.prove());
    assert!(!found.wanted && (7000..7026).contains(&found.packet.destination_port().unwrap_or(0)), "{found:?}");
}

#[test]
fn interfaces_and_node_ports_are_proved() {
    let cluster = "cluster:\n    cni: calico\n    encapsulation: vxlan";
    let text = MATRIX.replace("cluster:", cluster);
    for enforcement in ["interfaces: [eth0], forward: enforce", "interfaces: [eth0, eth1.7]", "interfaces: [eth0, lo]"]
    {
        let text = text.replace("enforcement: {", &format!("enforcement: {{{enforcement}, "));
        let endpoints = if enforcement.contains("lo]") { HostEndpoints::Written } else { HostEndpoints::Auto };
        let nodes = (endpoints == HostEndpoints::Written).then(nodes);
        let options = Options { host_endpoints: endpoints, ..Options::new("small") };
        proved(Calico::new(&text, nodes, options).prove());
    }
}

#[test]
fn a_rule_that_is_missing_cuts_its_packets() {
    let mut calico = small();
    ingress(&mut calico, "worker-ingress").retain(|rule| !names_port(rule, 10250));
    let found = disagreement(calico.prove());
    assert_eq!(about(&found), (Direction::Ingress, 10250, true));
    assert_eq!((found.roles, found.row.as_deref()), (vec!["worker".to_owned()], Some("rows[1] (kubelet)")));
    assert!(found.step.contains("GlobalNetworkPolicy/lifeline.small-close rule 0: drop"), "{}", found.step);
}

#[test]
fn a_prefix_that_is_too_wide_admits_too_much() {
    let mut calico = small();
    let AnyObject::GlobalNetworkSet(set) = calico.object("GlobalNetworkSet/small-admins") else { panic!("a set") };
    set.spec.nets = Some(vec!["192.168.10.0/23".to_owned(), "fd00:10::/64".to_owned()]);
    let found = disagreement(calico.prove());
    assert_eq!(about(&found), (Direction::Ingress, 22, false));
    assert_eq!(found.packet.source().to_string(), "192.168.11.1");
}

#[test]
fn a_port_that_is_another_is_seen_both_ways() {
    let mut calico = small();
    for rule in ingress(&mut calico, "worker-ingress").iter_mut().filter(|rule| names_port(rule, 9100)) {
        rule.destination.ports = Some(vec![IntOrString::Int(9101)]);
    }
    assert_eq!(about(&disagreement(calico.prove())), (Direction::Ingress, 9100, true));
    for rule in ingress(&mut calico, "worker-ingress").iter_mut().filter(|rule| names_port(rule, 9101)) {
        rule.destination.ports = Some(vec![IntOrString::Int(9100), IntOrString::Int(9101)]);
    }
    assert_eq!(about(&disagreement(calico.prove())), (Direction::Ingress, 9101, false));
}

#[test]
fn what_closes_must_be_there_and_be_last() {
    let close = "GlobalNetworkPolicy/lifeline.small-close";
    let mut calico = small();
    calico.remove(close);
    assert!(!disagreement(calico.prove()).wanted);

    let mut calico = small();
    let AnyObject::GlobalNetworkPolicy(policy) = calico.object(close) else { panic!("a policy") };
    policy.spec.order = Some(1.0);
    let found = disagreement(calico.prove());
    assert!(found.wanted && found.applied == "with everything applied", "{found:?}");

    let mut calico = small();
    let last = calico.rendered.objects.pop().expect("objects");
    assert_eq!(last.object.title(), close);
    calico.rendered.objects.insert(0, last);
    let found = disagreement(calico.prove());
    assert!(found.wanted && found.applied.contains("objects in apply order"), "{}", found.applied);
}

#[test]
fn a_tier_that_denies_cuts_what_is_open_by_default() {
    let text = MATRIX.replace("egress: {default: deny}", "egress: {default: allow}").replace(
        "  - {roles: all, ports: 9000",
        "  - {roles: all, direction: egress, ports: 25, to: any, action: deny, purpose: spam}\n  - {roles: all, ports: 9000",
    );
    let mut calico = Calico::new(&text, None, Options::new("small"));
    proved(calico.prove());
    let AnyObject::Tier(tier) = calico.object("Tier/lifeline") else { panic!("a tier") };
    tier.spec.default_action = Some(DefaultAction::Deny);
    let found = disagreement(calico.prove());
    assert_eq!((found.wanted, found.direction), (true, Direction::Egress));
    assert!(found.step.contains("end of tier lifeline"), "{}", found.step);
}

#[test]
fn a_failsafe_port_that_nobody_reported_is_seen() {
    let mut calico = small();
    let AnyObject::FelixConfiguration(felix) = calico.object("FelixConfiguration/default") else { panic!("settings") };
    let ports = felix.spec.failsafe_inbound_host_ports.as_mut().expect("a list");
    ports.push(ProtoPort { protocol: "TCP".to_owned(), port: 8080, net: None });
    let found = disagreement(calico.prove());
    assert_eq!(about(&found), (Direction::Ingress, 8080, false));
    assert!(found.step.contains("failsafe"), "{}", found.step);
}

#[test]
fn a_loss_that_nobody_reports_is_a_defect() {
    let mut calico = small();
    let losses = std::mem::take(&mut calico.rendered.losses);
    assert!(!disagreement(calico.prove()).wanted);
    calico.rendered.losses = losses;
    proved(calico.prove());
}

#[test]
fn a_deny_that_is_missing_opens_its_port() {
    let mut calico = small();
    calico.remove("GlobalNetworkPolicy/lifeline.small-worker-ingress-deny");
    let found = disagreement(calico.prove());
    assert_eq!((about(&found), found.row.as_deref()), ((Direction::Ingress, 9999, false), Some("rows[6] (backdoor)")));
}

#[test]
fn host_endpoints_stand_for_their_nodes() {
    let mut calico = written();
    calico.remove("HostEndpoint/small-w-2");
    let missing = calico.prove().expect_err("a missing endpoint");
    assert!(missing.to_string().contains("node w-2"), "{missing}");

    let mut calico = written();
    let AnyObject::HostEndpoint(endpoint) = calico.object("HostEndpoint/small-cp-2") else { panic!("an endpoint") };
    endpoint.metadata.labels.remove("node-role.kubernetes.io/control-plane");
    assert!(calico.prove().expect_err("a missing label").to_string().contains("node cp-2"));

    let mut calico = written();
    let AnyObject::HostEndpoint(endpoint) = calico.object("HostEndpoint/small-cp-1") else { panic!("an endpoint") };
    endpoint.spec.profiles = None;
    assert!(calico.prove().expect_err("a missing profile").to_string().contains("node cp-1"));
}

#[test]
fn node_ports_that_are_forwarded_are_held_to_the_rows() {
    let text = MATRIX
        .replace("enforcement: {", "enforcement: {forward: enforce, ")
        .replace("ports: 9100,", "ports: [9100, 30080],");
    let mut calico = Calico::new(&text, None, Options::new("small"));
    proved(calico.prove());
    ingress(&mut calico, "worker-nodeports").clear();
    let found = disagreement(calico.prove());
    assert_eq!(about(&found), (Direction::Ingress, 30080, true));
}

#[test]
fn an_object_that_calico_refuses_is_a_defect() {
    let mut calico = small();
    ingress(&mut calico, "worker-ingress")[0].source.selector = Some("has(".to_owned());
    let defect = calico.prove().expect_err("a selector that is none");
    assert!(matches!(defect, Defect::Object { .. }) && defect.to_string().contains("small-worker-ingress"), "{defect}");
}
