//! Small matrices, and what becomes of them.

mod agent;
mod denies;
mod laws;
mod peers;
mod policies;
mod proved;
mod snapshot;
mod traffic;

use std::collections::BTreeSet;

use policy::cilium::api::{CiliumCidrGroup, CiliumClusterwideNetworkPolicy, EgressRule, IngressRule, Rule};
use policy::net::Cidr;
use policy::object::{LabelSelector, Operator, Requirement};

use super::{AgentConfig, Options, Version, render};
use crate::finding::Finding;
use crate::matrix::{
    Action, Cluster, Default as FrameDefault, Direction, Expanded, Forward, Frame, Interfaces, Origin, Peer, PortRange,
    Role, Row, Traffic, Transport,
};
use crate::render::{AnyObject, Fate, Node, Rendered};

/// Two roles, ingress denied, and the facts stated under which rows are exact.
pub(super) fn matrix(rows: Vec<Row>) -> Expanded {
    let rows = rows
        .into_iter()
        .enumerate()
        .map(|(index, row)| match row.origin {
            Origin::Row(_) => Row { origin: Origin::Row(index), ..row },
            Origin::Frame(_) => row,
        })
        .collect();
    Expanded {
        name: "test".to_owned(),
        source: "test".to_owned(),
        digest: "sha256:0".to_owned(),
        cluster: Cluster {
            distribution: None,
            cni: Some("cilium".to_owned()),
            encapsulation: None,
            features: BTreeSet::new(),
            api_server_port: 6443,
            kubelet_port: 10250,
            hosted_control_plane: false,
            node_cidrs: cidrs(&["10.1.0.0/24"]),
            pod_cidrs: cidrs(&["10.244.0.0/16"]),
            service_cidrs: Vec::new(),
            node_ports: range(30000, 32767),
        },
        frame: Frame {
            interfaces: Interfaces::All,
            ingress: FrameDefault { deny: true, log: None },
            egress: FrameDefault { deny: false, log: None },
            forward: Forward::Ignore,
        },
        roles: vec![role("control-plane", Operator::Exists), role("worker", Operator::DoesNotExist)],
        frame_rows: Vec::new(),
        rows,
    }
}

fn role(name: &str, operator: Operator) -> Role {
    let key = "node-role.kubernetes.io/control-plane".to_owned();
    let requirement = Requirement { key, operator, values: Vec::new() };
    let selector = LabelSelector { match_expressions: vec![requirement], ..LabelSelector::default() };
    Role { name: name.to_owned(), selector, at: None }
}

/// An agent under which nothing of the frame is worth a finding.
pub(super) fn config() -> AgentConfig {
    AgentConfig {
        enable_host_firewall: Some(true),
        kube_proxy_replacement: Some(true),
        enable_ipv6: Some(false),
        ..AgentConfig::default()
    }
}

pub(super) fn options(config: AgentConfig) -> Options {
    Options { version: Version::NEWEST, config, name_prefix: "t".to_owned() }
}

/// An ingress row for the workers.
pub(super) fn row(traffic: Traffic, peers: Vec<Peer>) -> Row {
    Row {
        origin: Origin::Row(0),
        at: None,
        roles: vec![1],
        direction: Direction::Ingress,
        traffic: vec![traffic],
        peers,
        except: Vec::new(),
        action: Action::Allow,
        family: None,
        interfaces: None,
        purpose: String::new(),
        flow: None,
        optional: false,
    }
}

pub(super) fn tcp(port: u16) -> Traffic {
    Traffic::Ports { transport: Transport::Tcp, ports: vec![range(port, port)], source_ports: Vec::new() }
}

pub(super) fn range(first: u16, last: u16) -> PortRange {
    PortRange { first, last }
}

pub(super) fn cidrs(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

pub(super) fn list(texts: &[&str]) -> Peer {
    Peer::Cidrs { name: None, cidrs: cidrs(texts) }
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> LabelSelector {
    let match_labels = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    LabelSelector { match_labels, ..LabelSelector::default() }
}

pub(super) fn node(name: &str, control_plane: bool, address: &str) -> Node {
    let labels = control_plane.then(|| ("node-role.kubernetes.io/control-plane".to_owned(), String::new()));
    let internal = vec![address.parse().expect(address)];
    Node { name: name.to_owned(), labels: labels.into_iter().collect(), internal, ..Node::default() }
}

/// The output for one row under an agent.
pub(super) fn one(row: Row, config: AgentConfig) -> Outcome {
    Outcome::of(&matrix(vec![row]), None, &options(config))
}

/// What became of a matrix with one row.
pub(super) struct Outcome(pub(super) Rendered);

impl Outcome {
    pub(super) fn of(matrix: &Expanded, nodes: Option<&[Node]>, options: &Options) -> Self {
        Self(render(matrix, nodes, options))
    }

    pub(super) fn fate(&self) -> Fate {
        self.0.outcomes[0].fate
    }

    /// Ids of the findings, sorted.
    pub(super) fn codes(&self) -> Vec<&'static str> {
        let mut codes: Vec<&'static str> = self.0.findings.iter().map(|finding| finding.code.id).collect();
        codes.sort_unstable();
        codes
    }

    pub(super) fn finding(&self, code: &str) -> &Finding {
        self.0.findings.iter().find(|finding| finding.code.id == code).expect(code)
    }

    pub(super) fn policies(&self) -> Vec<&CiliumClusterwideNetworkPolicy> {
        self.0
            .objects
            .iter()
            .filter_map(|manifest| match &manifest.object {
                AnyObject::CiliumClusterwideNetworkPolicy(policy) => Some(&**policy),
                _ => None,
            })
            .collect()
    }

    pub(super) fn groups(&self) -> Vec<&CiliumCidrGroup> {
        self.0
            .objects
            .iter()
            .filter_map(|manifest| match &manifest.object {
                AnyObject::CiliumCidrGroup(group) => Some(group),
                _ => None,
            })
            .collect()
    }

    /// Rules of the policy with this name.
    pub(super) fn rules(&self, name: &str) -> Vec<&Rule> {
        let policies = self.policies();
        let named = policies.iter().find(|policy| policy.metadata.name == name).expect(name);
        named.spec.iter().chain(named.specs.iter().flatten()).collect()
    }

    /// `ingress` of the workers' policy.
    pub(super) fn ingress(&self) -> &[IngressRule] {
        self.rules("t-worker-ingress")[0].ingress.as_deref().expect("ingress")
    }

    /// `egress` of the workers' policy.
    pub(super) fn egress(&self) -> &[EgressRule] {
        self.rules("t-worker-egress")[0].egress.as_deref().expect("egress")
    }

    /// Who the workers admit, one JSON text per element, without the ports.
    pub(super) fn admitted(&self) -> Vec<String> {
        self.ingress().iter().map(peer_text).collect()
    }
}

/// An element's peers as JSON.
pub(super) fn peer_text(element: &IngressRule) -> String {
    let mut element = element.clone();
    element.to_ports = None;
    element.icmps = None;
    serde_json::to_string(&element).expect("an element is JSON")
}
