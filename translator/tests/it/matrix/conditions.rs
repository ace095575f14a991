//! `when`: every key must hold, one of several values is enough, and what nobody stated is asked for.

use super::{document, expanded, found, rows, set, settings, with};
use translator::matrix::Settings;

const STATED: &str = "
parameters:
  enabled: {type: bool, default: true}
  disabled: {type: bool, default: false}
  tunnel: {type: enum, values: [vxlan, geneve], default: vxlan}
  port: {type: port, default: 8472}
  word: {type: string, default: left}
addons:
  here: {default: true}
  gone: {default: false}
cluster: {distribution: rke2, cni: cilium, encapsulation: geneve, features: [wireguard, bgp],
  nodeCIDRs: [10.0.0.0/16]}";

fn holds(when: &str) -> bool {
    !rows(&with(STATED, &format!("- {{roles: all, ports: 1, from: any, when: {when}}}")), &settings()).is_empty()
}

fn refused(when: &str) -> Vec<String> {
    found(&with(STATED, &format!("- {{roles: all, ports: 1, from: any, when: {when}}}")), &settings())
}

#[test]
fn each_fact_is_compared() {
    for when in [
        "{}",
        "{addon: here}",
        "{param: enabled}",
        "{param: {enabled: true}}",
        "{param: {disabled: false}}",
        "{param: {enabled: True}}",
        "{param: {tunnel: vxlan}}",
        "{param: {port: 8472}}",
        "{param: {word: left}}",
        "{distribution: rke2}",
        "{cni: cilium}",
        "{encapsulation: geneve}",
        "{feature: wireguard}",
        "{feature: bgp}",
        "{family: IPv4}",
    ] {
        assert!(holds(when), "{when}");
        assert!(!holds(&format!("{{not: {when}}}")), "not {when}");
    }
    for when in [
        "{addon: gone}",
        "{param: disabled}",
        "{param: {enabled: false}}",
        "{param: {tunnel: geneve}}",
        "{param: {port: 4789}}",
        "{param: {word: right}}",
        "{distribution: k3s}",
        "{cni: calico}",
        "{encapsulation: vxlan}",
        "{feature: ipsec}",
        "{family: IPv6}",
    ] {
        assert!(!holds(when), "{when}");
        assert!(holds(&format!("{{not: {when}}}")), "not {when}");
    }
}

#[test]
fn one_of_several_values_is_enough() {
    for key in ["addon: [gone, here]", "param: [disabled, enabled]", "cni: [calico, cilium]", "feature: [ipsec, bgp]"] {
        assert!(holds(&format!("{{{key}}}")), "{key}");
    }
    assert!(holds("{param: {tunnel: [geneve, vxlan]}}"));
    assert!(holds("{param: {port: [1, 8472]}}"));
    assert!(!holds("{addon: [gone]}"));
    assert!(!holds("{cni: [calico, canal]}"));
}

#[test]
fn every_key_must_hold() {
    assert!(holds("{addon: here, param: {tunnel: vxlan}, cni: cilium}"));
    assert!(!holds("{addon: gone, param: {tunnel: vxlan}, cni: cilium}"));
    assert!(!holds("{addon: here, param: {tunnel: vxlan, enabled: false}}"));
    assert!(!holds("{cni: cilium, not: {addon: here}}"));
    assert!(holds("{not: {cni: cilium, encapsulation: vxlan}}"), "not of both, so one that fails is enough");
    assert!(holds("{not: {not: {cni: cilium}}}"));
}

#[test]
fn a_value_that_can_never_be_is_a_mistake() {
    let at = |rest: &str| format!("spec.rows[0].when.{rest}");
    for (when, code, path) in [
        ("{addon: her}", "unknown-addon", "addon"),
        ("{addon: [here, her]}", "unknown-addon", "addon[1]"),
        ("{param: enabld}", "unknown-parameter", "param"),
        ("{param: {enabld: true}}", "unknown-parameter", "param.enabld"),
        ("{param: tunnel}", "wrong-type", "param"),
        ("{param: {tunnel: vxlna}}", "wrong-value", "param.tunnel"),
        ("{param: {tunnel: [vxlan, gre]}}", "wrong-value", "param.tunnel[1]"),
        ("{param: {enabled: maybe}}", "wrong-type", "param.enabled"),
        ("{param: {enabled: \"true\"}}", "wrong-type", "param.enabled"),
        ("{param: {port: http}}", "bad-port", "param.port"),
        ("{encapsulation: vxlna}", "wrong-value", "encapsulation"),
        ("{family: ipv4}", "wrong-value", "family"),
        ("{addon: []}", "wrong-type", "addon"),
        ("{cni: []}", "wrong-type", "cni"),
        ("{os: linux}", "unknown-field", "os"),
        ("{not: cni}", "wrong-type", "not"),
    ] {
        assert_eq!(refused(when), [format!("{code} {}", at(path))], "{when}");
    }
}

#[test]
fn what_nobody_stated_is_asked_for_only_where_it_decides() {
    let nothing = |when: &str| with("", &format!("- {{roles: all, ports: 1, from: any, when: {when}}}"));
    for (when, path) in [
        ("{cni: calico}", "spec.rows[0].when"),
        ("{not: {cni: calico}}", "spec.rows[0].when"),
        ("{feature: wireguard}", "spec.rows[0].when"),
        ("{family: IPv6}", "spec.rows[0].when"),
    ] {
        assert_eq!(found(&nothing(when), &settings()), [format!("when-undecidable {path}")], "{when}");
    }
    let cluster = with(
        "cluster: {cni: calico}",
        "- {roles: all, ports: 1, from: any, when: {cni: cilium, encapsulation: vxlan}}",
    );
    assert_eq!(rows(&cluster, &settings()), [""; 0], "false whatever the encapsulation is");
    let cluster = with(
        "cluster: {cni: cilium}",
        "- {roles: all, ports: 1, from: any, when: {cni: cilium, encapsulation: vxlan}}",
    );
    assert_eq!(found(&cluster, &settings()), ["when-undecidable spec.rows[0].when"]);
}

#[test]
fn assumptions_fill_what_is_open_and_nothing_else() {
    let text = with("cluster: {cni: calico}", "- {roles: all, ports: 1, from: any, when: {encapsulation: ipip}}");
    let assume = |name: &str, value: &str| Settings { assume: vec![(name.to_owned(), value.to_owned())], ..settings() };
    assert_eq!(rows(&text, &assume("encapsulation", "ipip")).len(), 1);
    assert_eq!(rows(&text, &assume("encapsulation", "none")).len(), 0);
    let (matrix, _) = expanded(&text, &assume("encapsulation", "ipip"));
    assert_eq!(matrix.cluster.encapsulation.as_deref(), Some("ipip"), "what follows from it sees the fact too");
    assert!(found(&text, &assume("cni", "cilium")).contains(&"conflicting-options --assume cni".to_owned()));
    assert!(found(&text, &assume("cnii", "cilium")).contains(&"wrong-value --assume cnii".to_owned()));
    assert!(found(&text, &assume("encapsulation", "ipop")).contains(&"wrong-value --assume encapsulation".to_owned()));
    let text = with("", "- {roles: all, ports: 1, from: any, when: {feature: [a, b], family: IPv6}}");
    let both = Settings {
        assume: vec![("feature".to_owned(), "b,c".to_owned()), ("family".to_owned(), "IPv4,IPv6".to_owned())],
        ..settings()
    };
    assert_eq!(rows(&text, &both).len(), 1);
}

#[test]
fn the_family_of_a_cluster_is_that_of_its_nodes() {
    let text = |nodes: &str| {
        with(&format!("cluster: {{nodeCIDRs: [{nodes}]}}"), "- {roles: all, ports: 1, from: any, when: {family: IPv6}}")
    };
    assert_eq!(rows(&text("10.0.0.0/8"), &settings()).len(), 0);
    assert_eq!(rows(&text("fd00::/8"), &settings()).len(), 1);
    assert_eq!(rows(&text("10.0.0.0/8, fd00::/8"), &settings()).len(), 1);
}

#[test]
fn the_written_cni_decides_where_the_matrix_leaves_it_to_the_caller() {
    let text = with("cluster: {cni: detect}", "- {roles: all, ports: 1, from: any, when: {cni: cilium}}");
    let cni = |cni: &str| Settings { cni: Some(cni.to_owned()), ..settings() };
    assert_eq!(rows(&text, &cni("cilium")).len(), 1);
    assert_eq!(rows(&text, &cni("calico")).len(), 0);
}

#[test]
fn addons_are_as_the_matrix_says_unless_the_caller_says_otherwise() {
    let addons = "addons: {a: {default: true}, b: {default: false, note: text}}";
    let text = with(
        addons,
        "- {roles: all, ports: 1, from: any, when: {addon: a}}\n- {roles: all, ports: 2, from: any, when: {addon: b}}",
    );
    assert_eq!(rows(&text, &settings()), ["control-plane,worker <- TCP 1 from any"]);
    let other = Settings { addons: vec![("a".to_owned(), false), ("b".to_owned(), true)], ..settings() };
    assert_eq!(rows(&text, &other), ["control-plane,worker <- TCP 2 from any"]);
    let last = Settings { addons: vec![("b".to_owned(), true), ("b".to_owned(), false)], ..settings() };
    assert_eq!(rows(&text, &last), ["control-plane,worker <- TCP 1 from any"]);
    let unknown = Settings { addons: vec![("c".to_owned(), true)], ..settings() };
    assert_eq!(found(&text, &unknown), ["unknown-addon --addon c"]);
}

#[test]
fn a_condition_on_a_parameter_without_value_is_reported_once() {
    let text = document(&format!(
        "parameters: {{p: {{type: bool}}}}\n{}\nrows: [{{roles: all, ports: 1, from: any, when: {{param: p}}}}]",
        super::ROLES
    ));
    assert_eq!(found(&text, &settings()), ["missing-parameter spec.parameters.p"]);
    assert_eq!(rows(&text, &set(&[("p", "true")])).len(), 1);
}
