//! Tests of whole renderings.

mod endpoints;
mod example;
mod failsafe;
mod generate;
mod laws;
mod meaning;
mod model;
mod nodeports;
mod peers;
mod policies;
mod proved;
mod rows;
mod simulate;

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy::calico::api::{
    EntityRule, FelixConfigurationSpec, GlobalNetworkPolicy, GlobalNetworkSet, HostEndpoint,
    KubeControllersConfiguration, Rule,
};
use policy::net::{Cidr, Family};
use policy::object::{IntOrString, LabelSelector, Operator, Requirement};

use super::{Options, render};
use crate::matrix::{
    Action, Cluster, Default, Direction, Expanded, Forward, Frame, IcmpMatch, Interfaces, Origin, Peer, PortRange,
    Role, Row, Traffic, Transport,
};
use crate::render::{AnyObject, Fate, Manifest, Node, Rendered};

const CONTROL_PLANE: usize = 0;
const WORKER: usize = 1;

/// Two roles, ingress denied, egress open, every interface, node and pod networks known.
fn matrix(rows: Vec<Row>) -> Expanded {
    Expanded {
        name: "test".to_owned(),
        source: "test.yaml".to_owned(),
        digest: "sha256:0".to_owned(),
        cluster: Cluster {
            distribution: None,
            cni: Some("calico".to_owned()),
            encapsulation: None,
            features: std::collections::BTreeSet::new(),
            api_server_port: 6443,
            kubelet_port: 10250,
            hosted_control_plane: false,
            node_cidrs: cidrs(&["10.0.0.0/24"]),
            pod_cidrs: cidrs(&["10.42.0.0/16"]),
            service_cidrs: cidrs(&["10.43.0.0/16"]),
            node_ports: PortRange { first: 30000, last: 32767 },
        },
        frame: Frame {
            interfaces: Interfaces::All,
            ingress: Default { deny: true, log: None },
            egress: Default { deny: false, log: None },
            forward: Forward::Ignore,
        },
        roles: vec![
            role("control-plane", requirement("node-role.kubernetes.io/control-plane", Operator::Exists)),
            role("worker", requirement("node-role.kubernetes.io/control-plane", Operator::DoesNotExist)),
        ],
        frame_rows: Vec::new(),
        rows: rows.into_iter().enumerate().map(|(index, row)| Row { origin: Origin::Row(index), ..row }).collect(),
    }
}

fn role(name: &str, requirement: Requirement) -> Role {
    Role { name: name.to_owned(), selector: selecting(requirement), at: None }
}

fn requirement(key: &str, operator: Operator) -> Requirement {
    Requirement { key: key.to_owned(), operator, values: Vec::new() }
}

fn selecting(requirement: Requirement) -> LabelSelector {
    LabelSelector { match_labels: BTreeMap::new(), match_expressions: vec![requirement] }
}

/// An allow row for every role; `origin` is set when it goes into a matrix.
fn row(direction: Direction, traffic: Traffic, peers: Vec<Peer>) -> Row {
    Row {
        origin: Origin::Row(0),
        at: None,
        roles: vec![CONTROL_PLANE, WORKER],
        direction,
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

fn ingress(traffic: Traffic, peers: Vec<Peer>) -> Row {
    row(Direction::Ingress, traffic, peers)
}

fn egress(traffic: Traffic, peers: Vec<Peer>) -> Row {
    row(Direction::Egress, traffic, peers)
}

fn ports(transport: Transport, ranges: &[(u16, u16)]) -> Traffic {
    let ports = ranges.iter().map(|(first, last)| PortRange { first: *first, last: *last }).collect();
    Traffic::Ports { transport, ports, source_ports: Vec::new() }
}

fn tcp(port: u16) -> Traffic {
    ports(Transport::Tcp, &[(port, port)])
}

fn udp(port: u16) -> Traffic {
    ports(Transport::Udp, &[(port, port)])
}

fn icmp(family: Family, types: &[(u8, Option<u8>)]) -> Traffic {
    let types = types.iter().map(|(icmp_type, code)| IcmpMatch { icmp_type: *icmp_type, code: *code }).collect();
    Traffic::Icmp { family, types }
}

fn cidrs(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().map(|text| text.parse().expect("a prefix")).collect()
}

fn inline(texts: &[&str]) -> Peer {
    Peer::Cidrs { name: None, cidrs: cidrs(texts) }
}

fn named(name: &str, texts: &[&str]) -> Peer {
    Peer::Cidrs { name: Some(name.to_owned()), cidrs: cidrs(texts) }
}

fn node(name: &str, control_plane: bool, address: &str) -> Node {
    let mut labels = BTreeMap::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]);
    if control_plane {
        labels.insert("node-role.kubernetes.io/control-plane".to_owned(), "true".to_owned());
    }
    Node { name: name.to_owned(), labels, internal: vec![ip(address)], external: Vec::new(), tunnel: Vec::new() }
}

fn nodes() -> Vec<Node> {
    let mut nodes =
        vec![node("cp-1", true, "10.0.0.1"), node("cp-2", true, "10.0.0.2"), node("w-1", false, "10.0.0.11")];
    nodes[2].external = vec![ip("203.0.113.9")];
    nodes[2].tunnel = vec![ip("10.42.7.0")];
    nodes
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn rendered(matrix: &Expanded) -> Rendered {
    render(matrix, None, &Options::new("test"))
}

fn codes(rendered: &Rendered) -> Vec<&'static str> {
    rendered.findings.iter().map(|finding| finding.code.id).collect()
}

fn fate(rendered: &Rendered, index: usize) -> Fate {
    let outcome = rendered.outcomes.iter().find(|outcome| outcome.row == Origin::Row(index));
    outcome.expect("an outcome for every row").fate
}

fn titles(rendered: &Rendered) -> Vec<String> {
    rendered.objects.iter().map(|manifest| manifest.object.title()).collect()
}

fn policies(rendered: &Rendered) -> Vec<&GlobalNetworkPolicy> {
    let policies = rendered.objects.iter().filter_map(|manifest| match &manifest.object {
        AnyObject::GlobalNetworkPolicy(policy) => Some(policy),
        _ => None,
    });
    policies.collect()
}

fn policy<'r>(rendered: &'r Rendered, name: &str) -> &'r GlobalNetworkPolicy {
    policies(rendered)
        .into_iter()
        .find(|policy| policy.metadata.name == name)
        .unwrap_or_else(|| panic!("no policy {name} in {:?}: {:?}", titles(rendered), codes(rendered)))
}

fn sets(rendered: &Rendered) -> BTreeMap<&str, &GlobalNetworkSet> {
    let sets = rendered.objects.iter().filter_map(|manifest| match &manifest.object {
        AnyObject::GlobalNetworkSet(set) => Some((set.metadata.name.as_str(), set)),
        _ => None,
    });
    sets.collect()
}

fn nets<'r>(rendered: &'r Rendered, set: &str) -> Vec<&'r str> {
    let sets = sets(rendered);
    let set = sets.get(set).unwrap_or_else(|| panic!("no set {set} in {:?}", sets.keys()));
    set.spec.nets.as_deref().unwrap_or_default().iter().map(String::as_str).collect()
}

fn endpoints(rendered: &Rendered) -> Vec<&HostEndpoint> {
    let endpoints = rendered.objects.iter().filter_map(|manifest| match &manifest.object {
        AnyObject::HostEndpoint(endpoint) => Some(endpoint),
        _ => None,
    });
    endpoints.collect()
}

fn kube_controllers(rendered: &Rendered) -> Option<&KubeControllersConfiguration> {
    rendered.objects.iter().find_map(|manifest| match &manifest.object {
        AnyObject::KubeControllersConfiguration(object) => Some(object),
        _ => None,
    })
}

fn felix(rendered: &Rendered) -> Option<&FelixConfigurationSpec> {
    rendered.objects.iter().find_map(|manifest| match &manifest.object {
        AnyObject::FelixConfiguration(object) => Some(&object.spec),
        _ => None,
    })
}

/// The ingress rules of the worker.
fn worker_rules(rendered: &Rendered) -> &[Rule] {
    policy(rendered, "lifeline.test-worker-ingress").spec.ingress.as_deref().unwrap_or_default()
}

/// A rule in one line: what a reader compares.
fn line(rule: &Rule) -> String {
    let mut words = vec![format!("{:?}", rule.action)];
    words.extend(rule.ip_version.map(|version| format!("v{version}")));
    words.extend(rule.protocol.as_ref().map(text));
    if let Some(icmp) = rule.icmp {
        words.extend(icmp.icmp_type.map(|icmp_type| format!("type {icmp_type}")));
        words.extend(icmp.code.map(|code| format!("code {code}")));
    }
    for (name, side) in [("from", &rule.source), ("to", &rule.destination)] {
        let side = entity(side);
        if !side.is_empty() {
            words.push(format!("{name} {side}"));
        }
    }
    words.join(" ")
}

fn entity(side: &EntityRule) -> String {
    let mut words = Vec::new();
    words.extend(side.nets.as_ref().map(|nets| format!("nets {}", nets.join(","))));
    words.extend(side.not_nets.as_ref().map(|nets| format!("notNets {}", nets.join(","))));
    words.extend(side.namespace_selector.as_ref().map(|selector| format!("ns [{selector}]")));
    words.extend(side.selector.as_ref().map(|selector| format!("[{selector}]")));
    words.extend(side.not_selector.as_ref().map(|selector| format!("not [{selector}]")));
    let ports = side.ports.as_ref().map(|ports| ports.iter().map(text).collect::<Vec<_>>().join(","));
    words.extend(ports.map(|ports| format!("ports {ports}")));
    words.join(" ")
}

fn text(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}

fn lines(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(line).collect()
}
