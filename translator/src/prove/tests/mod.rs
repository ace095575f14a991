//! Objects that are right are proved; objects that somebody broke are not, and the packet says where.

mod broken_calico;
mod broken_cilium;
mod given;
mod intent;

use crate::finding::has_errors;
use crate::matrix::{Direction, Expanded, Settings, expand};
use crate::prove::fleet::Fleet;
use crate::prove::{Defect, Disagreement, Proof, Subject, Target, prove};
use crate::render::{AnyObject, Node, Rendered, calico, cilium, read_nodes};

const MATRIX: &str = "
apiVersion: lifeline.dev/v1alpha1
kind: PortMatrix
metadata: {name: small}
spec:
  cluster:
    nodeCIDRs: [192.168.30.0/24, 'fd00:30::/64']
    podCIDRs: [10.42.0.0/16, 'fd00:42::/56']
  enforcement: {ingress: {default: deny}, egress: {default: deny}}
  peers:
    admins: {cidrs: [192.168.10.0/24, 'fd00:10::/64']}
    storage: {nodes: {nodeSelector: {matchLabels: {example.org/storage: 'true'}}}}
    prometheus:
      pods:
        namespaceSelector: {matchLabels: {team: monitoring}}
        podSelector: {matchLabels: {app: prometheus}}
  roles:
    control-plane: {nodeSelector: {matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]}}
    worker: {nodeSelector: {matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}]}}
  rows:
  - {roles: all, ports: 22, from: admins, flow: admin-ssh, purpose: SSH}
  - {roles: all, ports: 10250, from: [nodes, pods], flow: kubelet-api, purpose: kubelet}
  - {roles: control-plane, ports: 6443, from: [nodes, pods, admins], flow: kube-apiserver, purpose: API server}
  - {roles: control-plane, ports: 2379-2380, from: control-plane, flow: etcd-peer, purpose: etcd}
  - {roles: worker, ports: 9100, from: prometheus, purpose: metrics}
  - {roles: worker, ports: 3260, from: storage, except: [192.168.30.200/32], purpose: iSCSI}
  - {roles: all, ports: 9999, from: any, action: deny, purpose: backdoor}
  - {roles: all, ports: 9000-9999, from: 203.0.113.0/24, purpose: tests}
  - {roles: all, direction: egress, to: any, ports: [53, 443], protocol: [TCP, UDP], purpose: the world}
  - {roles: all, direction: egress, to: nodes, ports: [6443, 10250, 2379-2380], purpose: each other}
  - {roles: all, direction: egress, to: pods, protocol: Any, purpose: probes}
";

const NODES: &str = r#"{"kind": "List", "items": [
    {"metadata": {"name": "cp-1", "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/hostname": "cp-1"}},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.30.1"}, {"type": "InternalIP", "address": "fd00:30::1"}]}},
    {"metadata": {"name": "cp-2", "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/hostname": "cp-2"}},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.30.2"}]}},
    {"metadata": {"name": "w-1", "labels": {"kubernetes.io/hostname": "w-1"}},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.30.11"}]}},
    {"metadata": {"name": "w-2", "labels": {"kubernetes.io/hostname": "w-2", "example.org/storage": "true"}},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.30.12"}]}}]}"#;

fn matrix(text: &str) -> Expanded {
    let (matrix, findings) = expand(text, "test", &Settings::default());
    matrix.unwrap_or_else(|| panic!("{findings:?}"))
}

fn nodes() -> Vec<Node> {
    read_nodes(NODES).expect("valid")
}

/// A matrix, rendered for Calico.
struct Calico {
    matrix: Expanded,
    nodes: Option<Vec<Node>>,
    options: calico::Options,
    rendered: Rendered,
}

impl Calico {
    fn new(text: &str, nodes: Option<Vec<Node>>, options: calico::Options) -> Self {
        let matrix = matrix(text);
        let rendered = calico::render(&matrix, nodes.as_deref(), &options);
        assert!(!has_errors(&rendered.findings), "{:?}", rendered.findings);
        Self { matrix, nodes, options, rendered }
    }

    fn prove(&self) -> Result<Proof, Defect> {
        let Self { matrix, nodes, options, rendered } = self;
        prove(Subject { matrix, nodes: nodes.as_deref(), snapshot: None, rendered, target: Target::Calico(options) })
    }

    fn object(&mut self, title: &str) -> &mut AnyObject {
        object(&mut self.rendered, title)
    }

    fn remove(&mut self, title: &str) {
        object(&mut self.rendered, title);
        self.rendered.objects.retain(|manifest| manifest.object.title() != title);
    }
}

/// A matrix, rendered for Cilium.
struct Cilium {
    matrix: Expanded,
    options: cilium::Options,
    rendered: Rendered,
}

impl Cilium {
    fn new(text: &str) -> Self {
        let mut options = cilium::Options::new("small");
        options.config.set("enable-node-selector-labels", "true").expect("a fact");
        let matrix = matrix(text);
        let rendered = cilium::render(&matrix, None, &options);
        assert!(!has_errors(&rendered.findings), "{:?}", rendered.findings);
        Self { matrix, options, rendered }
    }

    fn prove(&self) -> Result<Proof, Defect> {
        let Self { matrix, options, rendered } = self;
        prove(Subject { matrix, nodes: None, snapshot: None, rendered, target: Target::Cilium(options) })
    }
}

fn object<'r>(rendered: &'r mut Rendered, title: &str) -> &'r mut AnyObject {
    let titles: Vec<String> = rendered.objects.iter().map(|manifest| manifest.object.title()).collect();
    let found = rendered.objects.iter_mut().find(|manifest| manifest.object.title() == title);
    &mut found.unwrap_or_else(|| panic!("no {title} in {titles:?}")).object
}

/// The packet about which rows and CNI disagree.
fn disagreement(result: Result<Proof, Defect>) -> Disagreement {
    match result.expect_err("a broken object") {
        Defect::Packet(disagreement) => *disagreement,
        Defect::Object { what } => panic!("about an object: {what}"),
    }
}

/// Direction, destination port, and whether the rows admit it.
fn about(disagreement: &Disagreement) -> (Direction, u16, bool) {
    (disagreement.direction, disagreement.packet.destination_port().unwrap_or(0), disagreement.wanted)
}

fn proved(result: Result<Proof, Defect>) {
    let proof = result.unwrap_or_else(|defect| panic!("{defect}"));
    assert!(proof.states > 1 && proof.findings.is_empty(), "{proof:?}");
}
