//! One rich example, object by object.

use super::super::{Api, Dataplane, HostEndpoints};
use super::*;
use crate::matrix::Log;

fn example() -> Expanded {
    let flow =
        |flow: &str, purpose: &str, row: Row| Row { flow: Some(flow.to_owned()), purpose: purpose.to_owned(), ..row };
    let management = |row: Row| Row { roles: vec![CONTROL_PLANE], ..row };
    let admins = || named("adminCIDRs", &["192.168.10.0/24", "fd00:10::/64"]);
    let mut matrix = matrix(vec![
        flow("admin-ssh", "SSH", ingress(tcp(22), vec![admins()])),
        flow("kubelet-api", "kubelet API", ingress(tcp(10250), vec![Peer::Nodes, Peer::Pods])),
        management(flow(
            "kube-apiserver",
            "Kubernetes API",
            ingress(tcp(6443), vec![Peer::Nodes, Peer::Pods, admins()]),
        )),
        management(flow(
            "etcd-peer",
            "etcd client and peer",
            ingress(ports(Transport::Tcp, &[(2379, 2380)]), vec![Peer::Role(CONTROL_PLANE)]),
        )),
        Row {
            roles: vec![WORKER],
            ..flow(
                "nodeport",
                "NodePort services",
                ingress(ports(Transport::Tcp, &[(30000, 32767)]), vec![inline(&["192.168.255.0/24"])]),
            )
        },
        Row { purpose: "VRRP".to_owned(), ..ingress(Traffic::Number(112), vec![Peer::Nodes]) },
        Row {
            action: Action::Deny,
            purpose: "no telnet".to_owned(),
            except: cidrs(&["192.168.10.7/32"]),
            ..ingress(tcp(23), vec![Peer::Any])
        },
        flow("dns", "name resolution", egress(udp(53), vec![inline(&["192.168.10.53/32"])])),
        Row { purpose: "images".to_owned(), ..egress(tcp(443), vec![Peer::Any]) },
    ]);
    matrix.frame.egress.deny = true;
    matrix.frame.ingress.log = Some(Log { prefix: None, rate: None, level: None });
    matrix.frame.forward = Forward::Enforce;
    let part = |part: &'static str, purpose: &str, row: Row| Row {
        origin: Origin::Frame(part),
        purpose: purpose.to_owned(),
        ..row
    };
    matrix.frame_rows = vec![
        part("loopback", "loopback: probes talk to 127.0.0.1 and ::1", ingress(Traffic::Any, vec![Peer::Localhost])),
        part(
            "icmp-errors",
            "ICMP errors: path MTU discovery",
            ingress(icmp(Family::IPv4, &[(3, None)]), vec![Peer::Any]),
        ),
        part("loopback", "loopback: probes talk to 127.0.0.1 and ::1", egress(Traffic::Any, vec![Peer::Localhost])),
    ];
    matrix
}

/// Objects, then what is reported.
fn shown(rendered: &Rendered) -> String {
    let mut text = String::new();
    for manifest in &rendered.objects {
        let shared = if manifest.shared { ", shared" } else { "" };
        text.push_str(&format!("# wave {}{shared}\n", manifest.wave));
        text.push_str(&serde_saphyr::to_string(&manifest.object).expect("YAML"));
        text.push_str("---\n");
    }
    for finding in &rendered.findings {
        text.push_str(&format!("{} {}: {}\n", finding.code.id, finding.path, finding.message));
    }
    for outcome in &rendered.outcomes {
        text.push_str(&format!("{} {:?}\n", outcome.row, outcome.fate));
    }
    text
}

#[test]
fn with_a_node_list_and_written_endpoints() {
    let options = Options {
        dataplane: Some(Dataplane::Iptables),
        host_endpoints: HostEndpoints::Written,
        ..Options::new("test")
    };
    insta::assert_snapshot!(shown(&render(&example(), Some(&nodes()), &options)));
}

#[test]
fn without_a_node_list_in_the_older_api() {
    let options = Options { api: Api::V1, ..Options::new("test") };
    insta::assert_snapshot!(shown(&render(&example(), None, &options)));
}
