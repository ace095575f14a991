//! Cilium's objects, broken one at a time.

use policy::cilium::api::{DefaultDeny, IngressRule, Rule};

use super::*;

fn rule<'c>(cilium: &'c mut Cilium, name: &str) -> &'c mut Rule {
    match object(&mut cilium.rendered, &format!("CiliumClusterwideNetworkPolicy/small-{name}")) {
        AnyObject::CiliumClusterwideNetworkPolicy(policy) => policy.spec.as_mut().expect("one rule"),
        other => panic!("{}", other.title()),
    }
}

fn names_port(element: &IngressRule, port: &str) -> bool {
    let ports = element.to_ports.iter().flatten().flat_map(|rule| rule.ports.iter().flatten());
    ports.into_iter().any(|entry| entry.port.as_deref() == Some(port))
}

#[test]
fn what_is_right_is_proved() {
    let mut cilium = Cilium::new(MATRIX);
    proved(cilium.prove());
    for (key, value) in [
        ("enable-node-selector-labels", "false"),
        ("policy-cidr-match-mode", "nodes"),
        ("enable-policy", "always"),
        ("enable-ipv6", "false"),
    ] {
        cilium.options.config.set(key, value).expect("a fact");
        cilium.rendered = cilium::render(&cilium.matrix, None, &cilium.options);
        let proof = cilium.prove().unwrap_or_else(|defect| panic!("{key}={value}: {defect}"));
        assert!(proof.states > 0);
    }
}

#[test]
fn an_element_that_is_missing_cuts_its_packets() {
    let mut cilium = Cilium::new(MATRIX);
    let elements = rule(&mut cilium, "worker-ingress").ingress.as_mut().expect("elements");
    elements.retain(|element| !names_port(element, "9100"));
    let found = disagreement(cilium.prove());
    assert_eq!(about(&found), (Direction::Ingress, 9100, true));
    assert!(found.step.contains("small-close") && found.step.contains("default deny"), "{}", found.step);
}

#[test]
fn a_prefix_that_is_too_wide_admits_too_much() {
    let mut cilium = Cilium::new(MATRIX);
    let elements = rule(&mut cilium, "worker-ingress").ingress.as_mut().expect("elements");
    let of_tests = elements.iter_mut().find(|element| names_port(element, "9000")).expect("the row");
    of_tests.from_cidr_set.as_mut().expect("prefixes")[0].cidr = Some("203.0.112.0/23".to_owned());
    let found = disagreement(cilium.prove());
    assert_eq!((found.wanted, found.packet.source().to_string().as_str()), (false, "203.0.112.1"));
}

#[test]
fn a_group_that_lacks_a_prefix_cuts_its_packets() {
    let mut cilium = Cilium::new(MATRIX);
    let AnyObject::CiliumCidrGroup(group) = object(&mut cilium.rendered, "CiliumCIDRGroup/small-admins") else {
        panic!("a group");
    };
    group.spec.external_cidrs.retain(|cidr| !cidr.contains(':'));
    // The failsafe policy repeats the rows that the cluster lives on; without it they hang on the group.
    cilium.rendered.objects.retain(|manifest| !manifest.object.title().ends_with("failsafe"));
    let found = disagreement(cilium.prove());
    assert!(found.wanted && found.packet.source().is_ipv6(), "{found:?}");
}

#[test]
fn what_closes_must_be_there_and_be_last() {
    let mut cilium = Cilium::new(MATRIX);
    let close = cilium.rendered.objects.pop().expect("objects");
    assert!(!disagreement(cilium.prove()).wanted);
    cilium.rendered.objects.insert(0, close);
    let found = disagreement(cilium.prove());
    assert!(found.wanted && found.applied.contains("objects applied"), "{found:?}");
}

#[test]
fn a_policy_that_closes_before_its_groups_are_there_cuts_on_the_way() {
    let mut cilium = Cilium::new(MATRIX);
    rule(&mut cilium, "worker-ingress").enable_default_deny =
        Some(DefaultDeny { ingress: Some(true), egress: Some(false) });
    // The failsafe policy repeats the rows that the cluster lives on; without it they hang on the group.
    cilium.rendered.objects.retain(|manifest| !manifest.object.title().ends_with("failsafe"));
    proved(cilium.prove());
    let early = cilium.rendered.objects.iter().position(|manifest| manifest.object.title().ends_with("worker-ingress"));
    let early = cilium.rendered.objects.remove(early.expect("the policy"));
    cilium.rendered.objects.insert(0, early);
    let found = disagreement(cilium.prove());
    assert!(found.wanted && found.applied.starts_with("with 1 of"), "{found:?}");
}

#[test]
fn a_loss_that_nobody_reports_is_a_defect() {
    let text = MATRIX.replace("roles: worker, ports: 9100", "roles: worker, sourcePorts: 77, ports: 9100");
    let mut cilium = Cilium::new(&text);
    proved(cilium.prove());
    cilium.rendered.losses.clear();
    let found = disagreement(cilium.prove());
    assert!(!found.wanted, "{found:?}");
}

#[test]
fn a_deny_that_is_missing_opens_its_port() {
    let mut cilium = Cilium::new(MATRIX);
    rule(&mut cilium, "worker-ingress").ingress_deny = None;
    let found = disagreement(cilium.prove());
    assert_eq!((about(&found), found.row.as_deref()), ((Direction::Ingress, 9999, false), Some("rows[6] (backdoor)")));
}

#[test]
fn a_policy_for_other_nodes_is_a_defect() {
    let mut cilium = Cilium::new(MATRIX);
    let other = rule(&mut cilium, "control-plane-ingress").node_selector.clone();
    rule(&mut cilium, "worker-ingress").node_selector = other;
    assert_eq!(disagreement(cilium.prove()).roles.len(), 1);
}

#[test]
fn an_object_that_cilium_refuses_is_a_defect() {
    let mut cilium = Cilium::new(MATRIX);
    let elements = rule(&mut cilium, "worker-ingress").ingress.as_mut().expect("elements");
    let of_tests = elements.iter_mut().find(|element| names_port(element, "9000")).expect("the row");
    of_tests.from_cidr_set.as_mut().expect("prefixes")[0].cidr = Some("203.0.112.0/99".to_owned());
    let defect = cilium.prove().expect_err("a prefix that is none");
    assert!(matches!(defect, Defect::Object { .. }) && defect.to_string().contains("small-worker-ingress"), "{defect}");
}

#[test]
fn what_the_engine_does_not_know_is_not_proved() {
    let mut cilium = Cilium::new(MATRIX);
    cilium.options.config.set("label-prefix-file", "/etc/labels").expect("a fact");
    let proof = cilium.prove().expect("no defect");
    assert_eq!((proof.states, proof.findings[0].code.id), (0, "not-proved"));
}
