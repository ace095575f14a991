//! What a configuration makes of the lifelines that were found.

use policy::lifeline::Severity;
use policy::lifeline::config::Config;
use policy::lifeline::detect::{Detected, detect};

use crate::edges::{load, plain};
use crate::rows::flows;

fn config(spec: &str) -> Config {
    let text = format!("apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nspec:\n{spec}");
    Config::read(&text).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn detected(spec: &str) -> Detected {
    detect(&load(&plain()), &config(spec))
}

fn of(id: &str, spec: &str) -> Vec<String> {
    let begins = format!("{id} | ");
    let rows = flows(&detected(spec), &load(&plain()));
    rows.iter().filter_map(|row| row.strip_prefix(&begins)).map(str::to_owned).collect()
}

#[test]
fn what_is_switched_off_is_neither_found_nor_missed() {
    let detected = detected("  switchOff: [{id: overlay, reason: a test}, {id: kubelet-api, reason: another}]\n");
    assert!(detected.lifelines.iter().all(|it| it.id != "kubelet-api"));
    assert!(detected.missing.iter().all(|it| it.id != "overlay"));
    let off: Vec<(&str, &str)> = detected.switched_off.iter().map(|it| (it.id.as_str(), it.reason.as_str())).collect();
    assert_eq!(off, [("overlay", "a test"), ("kubelet-api", "another")]);
}

#[test]
fn what_is_narrowed_keeps_the_rest() {
    let narrow = |what: &str| of("kubelet-api", &format!("  narrow: [{{id: kubelet-api, reason: r, {what}}}]\n"));
    assert_eq!(narrow("to: {nodes: {matchLabels: {pool: main}}}"), ["cp | w-1 | TCP/10250"]);
    assert_eq!(narrow("to: {itself: true}"), ["cp | itself | TCP/10250"]);
    assert_eq!(narrow("traffic: [TCP/10000-10300]").len(), 2);
    assert_eq!(narrow("traffic: [UDP]"), [] as [&str; 0]);
    let spec = "  parameters: {dnsServers: [10.0.0.0/8, 192.168.0.1/32]}\n  \
                narrow: [{id: dns, reason: r, to: {cidrs: [10.1.0.0/16]}, traffic: [UDP]}]\n";
    assert_eq!(of("dns", spec), ["every node | resolvers: 10.1.0.0/16 | UDP/53"]);
}

#[test]
fn what_is_narrowed_to_nothing_counts_as_switched_off() {
    let detected = detected("  narrow: [{id: kubelet-api, reason: r, from: {cidrs: [10.0.0.0/8]}}]\n");
    assert!(detected.lifelines.iter().all(|it| it.id != "kubelet-api"));
    assert_eq!(detected.switched_off[0].id, "kubelet-api");
}

#[test]
fn what_is_added_has_its_reason_and_the_words_of_the_catalogue() {
    let spec = "  add:\n  - {id: backup, reason: restores, from: {nodes: {}}, to: {cidrs: [10.9.0.1/32]}, traffic: [TCP/443], \
                breaks: backups stop}\n  - {id: overlay, reason: a fabric of ours, severity: major, from: {nodes: {}}, \
                to: {nodes: {}}, traffic: [UDP/4800]}\n";
    let detected = detected(spec);
    let of = |id: &str| detected.lifelines.iter().find(|it| it.id == id).expect("added");
    let (backup, overlay) = (of("backup"), of("overlay"));
    assert_eq!((backup.severity, backup.breaks.as_str()), (Severity::Major, "backups stop"));
    assert_eq!(backup.origins[0].field, "spec.add[0]: restores");
    assert_eq!(overlay.severity, Severity::Major);
    assert!(overlay.breaks.contains("pods reach nothing"));
}

#[test]
fn parameters_are_facts() {
    let spec = "  parameters:\n    distribution: rke2\n    overlay: []\n    adminCIDRs: [192.168.10.0/24]\n    \
                apiServerAddresses: [10.0.0.100/32]\n    nodeCIDRs: [10.0.0.0/24]\n    podCIDRs: [10.42.0.0/16]\n    \
                etcdServers: [10.9.0.1/32]\n    bgpPeers: [10.0.9.1/32]\n";
    let all = flows(&detected(spec), &load(&plain()));
    for row in [
        "supervisor | every node | cp | TCP/9345",
        "node-join | node network: 10.0.0.0/24 | cp | TCP/9345",
        "kube-apiserver | administrators: 192.168.10.0/24 | cp | TCP/6443",
        "kube-apiserver | every node | API server: 10.0.0.100/32 | TCP/6443",
        "kube-apiserver | pods: 10.42.0.0/16 | cp | TCP/6443",
        "admin-ssh | administrators: 192.168.10.0/24 | every node | TCP/22",
        "etcd-client | cp | etcd: 10.9.0.1/32 | TCP/2379",
        "bgp | router: 10.0.9.1/32 | every node | TCP/179",
    ] {
        let row = row.replace("router:", "routers:");
        assert!(all.contains(&row), "{row}\n{all:#?}");
    }
    assert!(detected(spec).missing.iter().all(|it| !["overlay", "distribution", "adminCIDRs"].contains(&it.parameter)));
}
