use policy::snapshot::Loader;

use super::*;
use crate::matrix::{Settings, expand};

const MATRIX: &str = "apiVersion: lifeline.dev/v1alpha1
kind: PortMatrix
metadata: {name: test}
spec:
  parameters: {pods: {type: cidrs, default: [10.42.0.0/16]}}
  cluster: {podCIDRs: $pods}
  peers:
    registry: {fqdns: [registry.example.com]}
    metrics: {pods: {podSelector: {matchLabels: {app: metrics}}}}
  roles:
    cp: {nodeSelector: {matchExpressions: [{key: cp, operator: Exists}]}}
    worker: {nodeSelector: {matchExpressions: [{key: cp, operator: DoesNotExist}]}}
  rows:
  - {roles: all, ports: 10250, from: [cp, metrics], flow: kubelet-api, purpose: kubelet}
  - {roles: cp, ports: 6443, from: [nodes, pods], flow: kube-apiserver}
  - {roles: all, ports: 22, from: 10.0.0.0/30, except: [10.0.0.1/32], flow: admin-ssh}
  - {roles: all, protocol: ICMP, icmp: [{type: 3, code: 4}], from: any, family: IPv4, flow: icmp-pmtu}
  - {roles: all, protocol: UDP, sourcePorts: 67, ports: 68, from: 10.0.0.9/32, flow: dhcp4}
  - {roles: all, protocol: UDP, sourcePorts: 60-67, ports: 68, from: 10.0.0.9/32, flow: dhcp4}
  - {roles: worker, direction: egress, ports: 443, to: registry, flow: image-pull}
  - {roles: all, ports: 9100, from: any, purpose: no lifeline}
  - {roles: all, ports: 23, from: any, action: deny, flow: admin-ssh}
";

const CLUSTER: &str = "apiVersion: v1
kind: Node
metadata: {name: a, labels: {cp: x}}
---
apiVersion: v1
kind: Node
metadata: {name: b}
---
apiVersion: v1
kind: Pod
metadata: {name: m, namespace: n, labels: {app: metrics}}
spec: {nodeName: b}
status: {podIPs: [{ip: 10.42.1.7}]}
";

fn party(party: &Party) -> String {
    match party {
        Party::Nodes(nodes) => nodes.iter().cloned().collect::<Vec<_>>().join(" "),
        Party::Addresses { name, nets } => {
            format!("{name} {}", nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        Party::OwnPods(nets) => format!("own pods: {nets:?}"),
        Party::Itself => "itself".to_owned(),
        Party::Loopback => "its loopback".to_owned(),
    }
}

#[test]
fn rows_with_a_flow_are_lifelines() {
    let (matrix, findings) = expand(MATRIX, "matrix.yaml", &Settings::default());
    let matrix = matrix.unwrap_or_else(|| panic!("{findings:?}"));
    let mut loader = Loader::default();
    loader.read("cluster.yaml", CLUSTER).expect("manifests");
    let (lifelines, findings) = lifelines(&matrix, &loader.finish().snapshot.cluster);
    let mut rows = Vec::new();
    for lifeline in &lifelines {
        for flow in &lifeline.flows {
            let traffic: Vec<String> = flow.traffic.iter().map(ToString::to_string).collect();
            rows.push(format!("{} | {} | {} | {}", lifeline.id, party(&flow.from), party(&flow.to), traffic.join(" ")));
        }
    }
    let expected = [
        "kubelet-api | a | a b | TCP/10250",
        "kubelet-api | metrics 10.42.1.7/32 | a b | TCP/10250",
        "kube-apiserver | a b | a | TCP/6443",
        "kube-apiserver | pods 10.42.0.0/16 | a | TCP/6443",
        "admin-ssh | stated 10.0.0.0/32 10.0.0.2/31 | a b | TCP/22",
        "dhcp4 | stated 10.0.0.9/32 | a b | UDP/67>68",
        "icmp-pmtu | anyone 0.0.0.0/0 | a b | ICMP/3/4",
    ];
    assert_eq!(rows, expected);
    assert_eq!(lifelines[0].origins[0].field, "rows[0] (kubelet) of matrix.yaml");
    let left: Vec<(&str, &str)> = findings.iter().map(|it| (it.code.id, it.path.as_str())).collect();
    assert_eq!(left, [("row-without-lifeline", "spec.rows[5]"), ("row-without-lifeline", "spec.rows[6]")]);
}
