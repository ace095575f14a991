use super::*;
use crate::lifeline::config::ADDRESSES;
use crate::lifeline::config::raw::RawParameters;
use crate::lifeline::config::{Distribution, EgressSelectorMode};
use crate::lifeline::model::{Severity, Traffic};

const GOOD: &str = "apiVersion: lifeline.dev/v1alpha1
kind: LifelineConfig
metadata: {name: prod}
spec:
  parameters:
    apiServerSources: [172.31.0.0/16]
    adminCIDRs: []
    distribution: lke
    egressSelectorMode: disabled
    overlay: [UDP/8472, IPIP]
  switchOff:
  - {id: ntp, reason: clocks come from the hypervisor}
  narrow:
  - id: kubelet-api
    reason: the test pool has no kubelets that matter
    to: {nodes: {matchLabels: {pool: main}}}
    traffic: [TCP/10250]
  add:
  - id: backup
    reason: restores need it
    severity: blocker
    from: {nodes: {}}
    to: {cidrs: [10.9.0.1/32]}
    traffic: [TCP/443]
    breaks: backups stop
";

/// Code, path, line and column of each mistake, and its help.
fn mistakes(text: &str) -> Vec<(&'static str, String, usize, usize, Option<String>)> {
    let errors = Config::read(text).expect_err(text);
    errors.into_iter().map(|it| (it.code.id(), it.path, it.line, it.column, it.help)).collect()
}

fn first(old: &str, new: &str) -> (&'static str, String, usize, usize) {
    let text = GOOD.replacen(old, new, 1);
    assert_ne!(text, GOOD, "{old}");
    let (code, path, line, column, _) = mistakes(&text).swap_remove(0);
    (code, path, line, column)
}

#[test]
fn a_whole_configuration_is_read() {
    let config = Config::read(GOOD).expect("good");
    assert_eq!(config.name, "prod");
    let stated = |name: &str| config.parameters.addresses(name).map(<[Cidr]>::len);
    assert_eq!((stated("apiServerSources"), stated("adminCIDRs"), stated("dnsServers")), (Some(1), Some(0), None));
    assert_eq!(config.parameters.distribution, Some(Distribution::Lke));
    assert_eq!(config.parameters.egress_selector_mode, Some(EgressSelectorMode::Disabled));
    assert_eq!(config.parameters.overlay, Some(vec![Traffic::udp(8472), Traffic::protocol(4)]));
    assert_eq!((config.switch_off.len(), config.narrow.len()), (1, 1));
    assert_eq!(config.add[0].severity, Some(Severity::Blocker));
}

#[test]
fn parameters_of_the_reader_are_those_that_are_documented() {
    assert_eq!(RawParameters::names(), ADDRESSES.map(|(name, _)| name));
}

#[test]
fn mistakes_say_where_and_what_to_do() {
    let unknown = first("adminCIDRs", "adminCidrs");
    assert_eq!(unknown, ("config-unknown-field", "spec.parameters.adminCidrs".to_owned(), 7, 5));
    let help = mistakes(&GOOD.replace("adminCIDRs", "adminCidrs")).swap_remove(0).4;
    assert_eq!(help.as_deref(), Some("did you mean `adminCIDRs`?"));
    assert_eq!(
        first("172.31.0.0/16", "172.31.0.1/16"),
        ("config-wrong-value", "spec.parameters.apiServerSources[0]".to_owned(), 6, 24)
    );
    assert_eq!(first("distribution: lke", "distribution: lkee").0, "config-wrong-value");
    assert_eq!(first("UDP/8472", "udp/8472"), ("config-wrong-value", "spec.parameters.overlay[0]".to_owned(), 10, 15));
    assert_eq!(first("matchLabels", "matchLables").0, "config-unknown-field");
    assert_eq!(first("kind: LifelineConfig", "kind: PortMatrix"), ("config-wrong-kind", "kind".to_owned(), 2, 7));
    assert_eq!(first("id: ntp", "id: ntpp"), ("config-unknown-lifeline", "spec.switchOff[0].id".to_owned(), 12, 10));
    assert_eq!(first("id: kubelet-api", "id: ntp"), ("config-contradiction", "spec.narrow[0].id".to_owned(), 14, 9));
    assert_eq!(first("[TCP/443]", "[]"), ("config-wrong-value", "spec.add[0].traffic".to_owned(), 24, 14));
    assert_eq!(first("to: {cidrs: [10.9.0.1/32]}", "to: {}").0, "config-wrong-value");
    assert_eq!(first("from: {nodes: {}}", "from: {cidrs: [10.0.0.0/8]}").0, "config-contradiction");
    assert_eq!(first("    breaks: backups stop\n", "").0, "config-missing-field");
    assert_eq!(first("    traffic: [TCP/443]\n", "").0, "config-missing-field");
    assert_eq!(first("id: backup", "id: Backup").0, "config-wrong-value");
    assert_eq!(first("metadata: {name: prod}", "metadata: {name: prod").0, "config-syntax");
}

#[test]
fn every_change_needs_a_reason() {
    let without = GOOD
        .replace(", reason: clocks come from the hypervisor", "")
        .replace("reason: the test pool has no kubelets that matter", "reason: \"  \"")
        .replace("    reason: restores need it\n", "");
    let found: Vec<(&str, String)> = mistakes(&without).into_iter().map(|it| (it.0, it.1)).collect();
    let expected = ["spec.switchOff[0].reason", "spec.narrow[0].reason", "spec.add[0].reason"];
    assert_eq!(found, expected.map(|path| ("config-no-reason", path.to_owned())));
}

#[test]
fn hostile_texts_are_refused() {
    for text in ["", "\u{0}", "a: [", "- 1", "{}", "a: &a [*a]", "kind: 1\n---\nkind: 2\n"] {
        assert!(Config::read(text).is_err(), "{text:?}");
    }
    assert!(Config::read(&"[".repeat(1_000_000)).is_err());
}
