//! Clusters that are given.

use policy::snapshot::{Loader, Snapshot};

use super::*;
use crate::render::Manifest;

const PODS: &str = r#"{"kind": "List", "items": [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "watch", "labels": {"team": "monitoring"}}},
    {"apiVersion": "v1", "kind": "Pod",
     "metadata": {"name": "p-1", "namespace": "watch", "labels": {"app": "prometheus"}},
     "status": {"podIPs": [{"ip": "10.42.1.9"}]}}]}"#;

/// An earlier tier that lets everything in.
const TIER: &str = "
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: early}
spec: {order: 1}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: early.telnet}
spec:
  tier: early
  selector: has(kubernetes.io/hostname)
  types: [Ingress]
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [23]}}, {action: Pass}]
";

fn snapshot(more: &[&str]) -> Snapshot {
    let mut loader = Loader::default();
    let items = NODES.replace("{\"metadata\"", "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\"");
    for text in [items.as_str(), PODS].iter().chain(more) {
        loader.read("test", text).expect("valid");
    }
    loader.finish().snapshot
}

#[test]
fn a_snapshot_is_a_cluster_to_prove_in() {
    let calico = Calico::new(MATRIX, None, calico::Options::new("small"));
    let Calico { matrix, options, rendered, .. } = &calico;
    let prove_in = |snapshot: &Snapshot, rendered: &Rendered| {
        prove(Subject { matrix, nodes: None, snapshot: Some(snapshot), rendered, target: Target::Calico(options) })
    };
    proved(prove_in(&snapshot(&[]), rendered));
    // What others have put there is no defect of the objects, but worth knowing.
    let proof = prove_in(&snapshot(&[TIER]), rendered).expect("no defect");
    let [finding] = proof.findings.as_slice() else { panic!("{:?}", proof.findings) };
    assert_eq!(finding.code.id, "cluster-disagrees");
    assert!(finding.message.contains(":23") && finding.message.contains("early.telnet"), "{}", finding.message);

    let mut broken = Calico::new(MATRIX, None, calico::Options::new("small"));
    broken.remove("GlobalNetworkPolicy/lifeline.small-close");
    assert!(!disagreement(prove_in(&snapshot(&[TIER]), &broken.rendered)).wanted);
}

#[test]
fn a_snapshot_is_a_cluster_for_cilium_too() {
    let cilium = Cilium::new(MATRIX);
    let Cilium { matrix, options, rendered } = &cilium;
    let target = Target::Cilium(options);
    let given = snapshot(&[]);
    let plain = Subject { matrix, nodes: None, snapshot: Some(&given), rendered, target };
    // Nothing in the cluster says what was stated here; the objects were proved with what was.
    proved(prove(plain));
    let config = "
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {policy-cidr-match-mode: nodes, label-prefix-file: /etc/labels}
";
    let given = snapshot(&[config]);
    let proof = prove(Subject { snapshot: Some(&given), ..plain }).expect("no defect");
    assert_eq!(proof.findings[0].code.id, "not-proved");
}

#[test]
fn many_nodes_are_looked_at_as_few() {
    let mut nodes = nodes();
    for index in 0..500_u16 {
        let [high, low] = index.to_be_bytes();
        let mut node = nodes[2].clone();
        node.name = format!("many-{index:03}");
        node.labels.insert("kubernetes.io/hostname".to_owned(), node.name.clone());
        node.labels.insert("topology.kubernetes.io/zone".to_owned(), format!("{}", index % 7));
        node.internal = vec![std::net::Ipv4Addr::new(192, 168, 30, low).into()];
        node.tunnel = vec![std::net::Ipv4Addr::new(10, 42, 128 + high, low).into()];
        nodes.push(node);
    }
    nodes.truncate(4 + 240);
    nodes.retain(|node| !node.name.starts_with("many") || !node.internal[0].to_string().ends_with(['1', '2']));
    let matrix = matrix(MATRIX);
    let options = calico::Options { host_endpoints: calico::HostEndpoints::Written, ..calico::Options::new("small") };
    let rendered = calico::render(&matrix, Some(&nodes), &options);
    let fleet = Fleet::new(&matrix, &nodes, &rendered.objects).expect("alike");
    let names: Vec<&str> = fleet.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["cp-1", "cp-2", "many-000", "w-1", "w-2"]);
    let endpoint = |manifest: &&Manifest| matches!(manifest.object, AnyObject::HostEndpoint(_));
    assert_eq!(fleet.objects.iter().filter(endpoint).count(), 5);
    let subject = Subject {
        matrix: &matrix,
        nodes: Some(&nodes),
        snapshot: None,
        rendered: &rendered,
        target: Target::Calico(&options),
    };
    proved(prove(subject));
}
