//! A small cluster to ask questions of: three nodes, an API server on the first, a few pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use policy::cilium::compile::{Options, State};
use policy::cilium::evaluate::evaluate;
use policy::cilium::question::{Layer, Path, Question, Verdict};
use policy::cilium::trace::{Trace, trace};
use policy::cilium::version::Version;
use policy::packet::{Direction, Packet, Transport};
use policy::snapshot::{Cluster, Endpoint, EndpointSlice, Key, Manifest, NamedPort, Node, Pod, Snapshot};
use serde_json::{Value, json};

/// The node that is asked; `10.0.0.3`, a worker.
pub(crate) const NODE: &str = "node-c";
/// Another node.
pub(crate) const OTHER: &str = "10.0.0.2";
/// The node with the API server.
pub(crate) const API: &str = "10.0.0.1";
/// The host itself.
pub(crate) const SELF: &str = "10.0.0.3";
/// Somebody outside.
pub(crate) const WORLD: &str = "8.8.8.8";
/// metrics-server.
pub(crate) const METRICS: &str = "10.244.1.5";
/// A pod on the node, with the port `web` at 9090.
pub(crate) const PROMETHEUS: &str = "10.244.3.5";

/// A cluster with its policies.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) stated: BTreeMap<String, String>,
    pub(crate) version: Version,
    pub(crate) schema: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let node = |name: &str, address: &str, role: (&str, &str)| Node {
            name: name.to_owned(),
            labels: [
                ("kubernetes.io/hostname".to_owned(), name.to_owned()),
                ("topology.kubernetes.io/zone".to_owned(), "z1".to_owned()),
                ("rack".to_owned(), "r1".to_owned()),
                (role.0.to_owned(), role.1.to_owned()),
            ]
            .into(),
            internal: vec![ip(address)],
            ..Node::default()
        };
        let control = "node-role.kubernetes.io/control-plane";
        let cluster = Cluster {
            nodes: vec![
                node("node-a", API, (control, "")),
                node("node-b", OTHER, (control, "true")),
                node(NODE, SELF, ("node-role.kubernetes.io/worker", "")),
            ],
            pods: vec![
                pod("kube-system", METRICS, "k8s-app", "metrics-server"),
                Pod {
                    ports: vec![NamedPort { name: "web".to_owned(), protocol: "TCP".to_owned(), port: 9090 }],
                    ..pod("monitoring", PROMETHEUS, "app", "prom")
                },
            ],
            slices: vec![EndpointSlice {
                namespace: "default".to_owned(),
                name: "kubernetes".to_owned(),
                service: "kubernetes".to_owned(),
                endpoints: vec![Endpoint { addresses: vec![ip(API)], ready: true, node: String::new() }],
                ports: Vec::new(),
            }],
            ..Cluster::default()
        };
        Self {
            snapshot: Snapshot { cluster: Arc::new(cluster), ..Snapshot::default() },
            stated: [("enable-host-firewall".to_owned(), "true".to_owned())].into(),
            version: Version::V1_20,
            schema: true,
        }
    }

    /// With a rule for hosts, as an object of its own.
    pub(crate) fn with(self, spec: impl Into<Value>) -> Self {
        let spec = spec.into();
        let count = self.snapshot.objects.len();
        self.object(json!({"metadata": {"name": format!("p{count}")}, "spec": spec}))
    }

    /// With a policy object.
    pub(crate) fn object(mut self, mut object: Value) -> Self {
        object["apiVersion"] = json!("cilium.io/v2");
        if object["kind"].is_null() {
            object["kind"] = json!("CiliumClusterwideNetworkPolicy");
        }
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = Key {
            group: "cilium.io".to_owned(),
            kind: text("/kind"),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name"),
        };
        self.snapshot = self.snapshot.with(Manifest { key, version: "v2".to_owned(), value: object, source: None });
        self
    }

    /// With a CIDR group.
    pub(crate) fn group(self, name: &str, team: &str, prefixes: &[&str]) -> Self {
        self.object(json!({
            "kind": "CiliumCIDRGroup",
            "metadata": {"name": name, "labels": {"team": team}},
            "spec": {"externalCIDRs": prefixes},
        }))
    }

    /// With a setting.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.stated.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With another version.
    pub(crate) fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// With other nodes, pods, and so on.
    pub(crate) fn change(mut self, change: impl FnOnce(&mut Cluster)) -> Self {
        change(Arc::make_mut(&mut self.snapshot.cluster));
        self
    }

    pub(crate) fn compile(&self) -> State {
        let options =
            Options { previous: None, schema: self.schema, version: Some(self.version), stated: &self.stated };
        State::compile(&self.snapshot, options)
    }

    /// What policy says about a packet, in both ways; the trace.
    pub(crate) fn trace(&self, direction: Direction, peer: &str, transport: Transport) -> Trace {
        let question = Question { node: NODE, direction, layer: Layer::Policy, path: Path::Device(None) };
        self.ask(&question, &packet(direction, peer, transport))
    }

    /// What becomes of a packet, in both ways.
    pub(crate) fn ask(&self, question: &Question<'_>, packet: &Packet) -> Trace {
        let state = self.compile();
        let traced = trace(&state, question, packet);
        let admitted = evaluate(&state, question).expect("small");
        assert_eq!(admitted.packets.contains(packet), traced.verdict != Verdict::Deny, "{packet:?}\n{traced}");
        assert_eq!(admitted.not_judged.contains(packet), traced.verdict == Verdict::NotJudged, "{packet:?}\n{traced}");
        traced
    }

    fn allows(&self, direction: Direction, peer: &str, transport: Transport) -> bool {
        self.trace(direction, peer, transport).verdict == Verdict::Allow
    }

    /// Whether a TCP connection to the host passes.
    pub(crate) fn admits(&self, peer: &str, port: u16) -> bool {
        self.allows(Direction::Ingress, peer, tcp(port))
    }

    /// Whether a TCP connection from the host passes.
    pub(crate) fn emits(&self, peer: &str, port: u16) -> bool {
        self.allows(Direction::Egress, peer, tcp(port))
    }

    /// Whether another packet to the host passes.
    pub(crate) fn takes(&self, peer: &str, transport: Transport) -> bool {
        self.allows(Direction::Ingress, peer, transport)
    }
}

pub(crate) fn pod(namespace: &str, address: &str, key: &str, value: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: value.to_owned(),
        labels: [(key.to_owned(), value.to_owned())].into(),
        addresses: vec![ip(address)],
        ..Pod::default()
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

pub(crate) fn tcp(port: u16) -> Transport {
    Transport::Ports { protocol: 6, source: 40_000, destination: port }
}

pub(crate) fn udp(port: u16) -> Transport {
    Transport::Ports { protocol: 17, source: 40_000, destination: port }
}

pub(crate) fn icmp(kind: u8) -> Transport {
    Transport::Icmp { kind, code: 0 }
}

/// A packet between a peer and the node, whose address is 10.0.0.3 or fd00::3.
pub(crate) fn packet(direction: Direction, peer: &str, transport: Transport) -> Packet {
    let peer = ip(peer);
    let host = ip(if peer.is_ipv4() { SELF } else { "fd00::3" });
    let (source, destination) = if direction == Direction::Egress { (host, peer) } else { (peer, host) };
    Packet::new(source, destination, transport).expect("one family")
}
