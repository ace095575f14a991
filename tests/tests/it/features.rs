//! What each CNI can say, feature by feature: `docs/features.md` is made from what the renderers answer.
//!
//! `UPDATE_DOCS=1 cargo test -p tests features` rewrites the table; read the difference before committing it.

use std::collections::BTreeSet;
use std::path::Path;

use translator::finding::{Finding, Severity};
use translator::matrix::{Settings, expand};
use translator::render::{Fate, Node, Rendered, calico, cilium};

/// One feature of the matrix, and the smallest matrix that uses it.
struct Feature {
    title: &'static str,
    /// A row to add, a flow mapping.
    row: Option<&'static str>,
    /// Entries of `enforcement`.
    enforcement: &'static str,
}

const fn row(title: &'static str, row: &'static str) -> Feature {
    Feature { title, row: Some(row), enforcement: "" }
}

const fn enforcement(title: &'static str, enforcement: &'static str) -> Feature {
    Feature { title, row: None, enforcement }
}

const FEATURES: &[(&str, &[Feature])] = &[
    (
        "Packets",
        &[
            row("TCP and UDP ports", "{roles: all, protocol: [TCP, UDP], ports: 53, from: any}"),
            row("a range of ports", "{roles: all, ports: 30000-32767, from: any}"),
            row("every port of a protocol", "{roles: all, protocol: TCP, from: any}"),
            row("source ports", "{roles: all, protocol: UDP, ports: 68, sourcePorts: 67, from: any}"),
            row("SCTP", "{roles: all, protocol: SCTP, ports: 3868, from: any}"),
            row("ICMP, every type", "{roles: all, protocol: [ICMP, ICMPv6], from: any}"),
            row("ICMP by type", "{roles: all, protocol: ICMP, icmp: [{type: 8}], from: any}"),
            row("ICMP by type and code", "{roles: all, protocol: ICMP, icmp: [{type: 3, code: 4}], from: any}"),
            row("other protocols (VRRP, ESP, GRE, ...)", "{roles: all, protocol: VRRP, from: any}"),
            row("protocols without a name", "{roles: all, protocol: 200, from: any}"),
            row("every protocol", "{roles: all, protocol: Any, from: nodes}"),
            row("one address family", "{roles: all, ports: 8080, family: IPv4, from: any}"),
        ],
    ),
    (
        "Peers",
        &[
            row("`any`", "{roles: all, ports: 8080, from: any}"),
            row("`nodes`", "{roles: all, ports: 10250, from: nodes}"),
            row("the nodes of a role", "{roles: all, ports: 8080, from: worker}"),
            row("nodes by label", "{roles: all, ports: 8080, from: storage}"),
            row("`pods`", "{roles: all, ports: 8080, from: pods}"),
            row("pods by label", "{roles: all, ports: 8080, from: prometheus}"),
            row("prefixes outside the cluster", "{roles: all, ports: 8080, from: 192.0.2.0/24}"),
            row("prefixes that nodes are in", "{roles: all, ports: 8080, from: 10.0.0.0/16}"),
            row("`except`", "{roles: all, ports: 8080, from: 192.0.2.0/24, except: [192.0.2.7/32]}"),
            row("`localhost`", "{roles: all, ports: 8080, from: localhost}"),
            row("`services`", "{roles: all, direction: egress, ports: 443, to: services}"),
            row("DNS names", "{roles: all, direction: egress, ports: 443, to: registry}"),
        ],
    ),
    (
        "Rows",
        &[
            row("egress", "{roles: all, direction: egress, ports: 443, to: any}"),
            row("`action: deny`", "{roles: all, ports: 10255, from: any, action: deny}"),
            row("a row on some of the interfaces", "{roles: all, ports: 8080, from: any, interfaces: [eth0]}"),
        ],
    ),
    (
        "Enforcement",
        &[
            enforcement("named interfaces", "interfaces: [eth0]"),
            enforcement("`dhcp: none`", "dhcp: none"),
            enforcement("a log line for what is dropped", "ingress: {default: deny, log: {prefix: drop}}"),
            enforcement("egress that stays open", "egress: {default: allow}"),
            Feature {
                title: "packets for node ports, before they are forwarded",
                row: Some("{roles: all, ports: 30000-32767, from: 192.0.2.0/24, flow: nodeport}"),
                enforcement: "forward: enforce",
            },
        ],
    ),
];

/// A renderer, with what is stated about the cluster.
struct Column {
    title: &'static str,
    render: fn(&str) -> Rendered,
}

const COLUMNS: [Column; 4] = [
    Column {
        title: "Calico",
        render: |text| {
            let matrix = expanded(text, "calico");
            calico::render(&matrix, None, &calico::Options::new("docs"))
        },
    },
    Column {
        title: "Calico, more stated",
        render: |text| {
            let matrix = expanded(text, "calico");
            let options = calico::Options {
                dataplane: Some(calico::Dataplane::Iptables),
                host_endpoints: calico::HostEndpoints::Written,
                ..calico::Options::new("docs")
            };
            calico::render(&matrix, Some(&nodes()), &options)
        },
    },
    Column {
        title: "Cilium",
        render: |text| {
            let matrix = expanded(text, "cilium");
            let config = cilium::AgentConfig { enable_host_firewall: Some(true), ..cilium::AgentConfig::default() };
            cilium::render(&matrix, None, &cilium::Options { config, ..cilium::Options::new("docs") })
        },
    },
    Column {
        title: "Cilium, more stated",
        render: |text| {
            let matrix = expanded(text, "cilium");
            let config = cilium::AgentConfig {
                enable_host_firewall: Some(true),
                enable_node_selector_labels: Some(true),
                enable_extended_ip_protocols: Some(true),
                enable_sctp: Some(true),
                kube_proxy_replacement: Some(false),
                devices: Some(vec!["eth0".to_owned()]),
                ..cilium::AgentConfig::default()
            };
            cilium::render(&matrix, Some(&nodes()), &cilium::Options { config, ..cilium::Options::new("docs") })
        },
    },
];

fn nodes() -> Vec<Node> {
    let node = |name: &str, labels: &[&str], address: &str| Node {
        name: name.to_owned(),
        labels: labels
            .iter()
            .map(|label| ((*label).to_owned(), String::new()))
            .chain([("kubernetes.io/hostname".to_owned(), name.to_owned())])
            .collect(),
        internal: vec![address.parse().expect("an address")],
        ..Node::default()
    };
    vec![
        node("cp-1", &["node-role.kubernetes.io/control-plane"], "10.0.0.1"),
        node("w-1", &[], "10.0.0.11"),
        node("w-2", &["example.org/storage"], "10.0.0.12"),
    ]
}

fn text(feature: Option<&Feature>) -> String {
    let given = |field: &str| feature.is_some_and(|feature| feature.enforcement.starts_with(field));
    let defaults = [("ingress", "ingress: {default: deny}"), ("egress", "egress: {default: deny}")];
    let mut enforcement: Vec<&str> =
        defaults.iter().filter(|(field, _)| !given(field)).map(|(_, text)| *text).collect();
    enforcement.extend(feature.map(|feature| feature.enforcement).filter(|text| !text.is_empty()));
    // A row on some of the interfaces wants interfaces that are named.
    let row = feature.and_then(|feature| feature.row);
    if row.is_some_and(|row| row.contains("interfaces:")) {
        enforcement.push("interfaces: [eth0, eth1]");
    }
    format!(
        "apiVersion: lifeline.dev/v1alpha1
kind: PortMatrix
metadata: {{name: docs}}
spec:
  cluster: {{nodeCIDRs: [10.0.0.0/24], podCIDRs: [10.42.0.0/16], serviceCIDRs: [10.43.0.0/16]}}
  enforcement: {{{}}}
  roles:
    control-plane: {{nodeSelector: {{matchExpressions: [{{key: node-role.kubernetes.io/control-plane, operator: Exists}}]}}}}
    worker: {{nodeSelector: {{matchExpressions: [{{key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}}]}}}}
  peers:
    storage: {{nodes: {{nodeSelector: {{matchExpressions: [{{key: example.org/storage, operator: Exists}}]}}}}}}
    prometheus: {{pods: {{podSelector: {{matchLabels: {{app: prometheus}}}}}}}}
    registry: {{fqdns: [registry.example.org]}}
  rows:
  - {{roles: all, ports: 22, from: any, flow: admin-ssh}}
{}",
        enforcement.join(", "),
        row.map(|row| format!("  - {row}\n")).unwrap_or_default()
    )
}

fn expanded(text: &str, cni: &str) -> translator::matrix::Expanded {
    let settings = Settings { cni: Some(cni.to_owned()), ..Settings::default() };
    let (matrix, findings) = expand(text, "docs.yaml", &settings);
    matrix.unwrap_or_else(|| panic!("{findings:?}\n{text}"))
}

fn cell(feature: &Feature, render: fn(&str) -> Rendered) -> String {
    let rendered = render(&text(Some(feature)));
    let (word, codes) = match feature.row {
        Some(_) => {
            let path = "spec.rows[1]";
            let outcome = rendered.outcomes.iter().find(|outcome| outcome.row.to_string() == "rows[1]");
            let word = match outcome.expect("every row has an outcome").fate {
                Fate::Exact => "exact",
                Fate::Implied => "implied",
                Fate::Wider => "wider",
                Fate::Narrower => "narrower",
                Fate::Refused => "refused",
            };
            let own = |finding: &&Finding| finding.path.starts_with(path) && finding.severity() >= Severity::Warning;
            (word, codes(rendered.findings.iter().filter(own)))
        }
        None => {
            let before = codes(render(&text(None)).findings.iter());
            let new = |finding: &&Finding| !before.contains(finding.code.id) && finding.severity() >= Severity::Warning;
            let new: Vec<&Finding> = rendered.findings.iter().filter(new).collect();
            let refused = new.iter().any(|finding| finding.severity() == Severity::Error);
            let word = if refused {
                "refused"
            } else if new.is_empty() {
                "yes"
            } else {
                "with a warning"
            };
            (word, codes(new))
        }
    };
    let mut cell = word.to_owned();
    for code in codes {
        cell.push_str(&format!(" `{code}`"));
    }
    cell
}

fn codes<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> BTreeSet<&'static str> {
    findings.into_iter().map(|finding| finding.code.id).collect()
}

fn page() -> String {
    let mut page = String::from(
        "# What each CNI can say

<!-- Made by `UPDATE_DOCS=1 cargo test -p tests features`; edit tests/tests/it/features.rs. -->

A row is *exact*: the objects admit what it says and nothing else; *implied*: nothing needs to be written, because the CNI
never drops these packets; *wider* or *narrower*: the objects admit more or less, and a finding
says what; or *refused*: it is left out, and a finding says why. `translate explain CODE` has the whole story. `--strict`
turns every finding of this table into a failure.

Both directions are denied by default here, so that every row counts. *More stated* means: for Calico `--nodes`, written host
endpoints and `--dataplane iptables`; for Cilium `--nodes` and a configuration with `enable-node-selector-labels`,
`enable-extended-ip-protocols` and `enable-sctp`, `devices: eth0`, and without kube-proxy replacement.
",
    );
    for (group, features) in FEATURES {
        page.push_str(&format!("\n## {group}\n\n| feature |"));
        page.extend(COLUMNS.iter().map(|column| format!(" {} |", column.title)));
        page.push_str(&format!("\n|{}\n", "---|".repeat(COLUMNS.len() + 1)));
        for feature in *features {
            page.push_str(&format!("| {} |", feature.title));
            page.extend(COLUMNS.iter().map(|column| format!(" {} |", cell(feature, column.render))));
            page.push('\n');
        }
    }
    page
}

#[test]
fn the_table_says_what_the_renderers_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/features.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/features.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/features.md is out of date: UPDATE_DOCS=1 cargo test -p tests features\n{page}");
}
