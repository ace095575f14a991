//! A small cluster, and packets put to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::calico::compile::{Assumptions, compile};
use crate::calico::endpoint::Interface;
use crate::calico::evaluate::evaluate;
use crate::calico::question::{Path, Question, Translation};
use crate::calico::settings::Dataplane;
use crate::calico::state::{Stage, State};
use crate::calico::trace::{Trace, trace};
use crate::calico::version::Version;
use crate::packet::{Packet, Transport};
use crate::snapshot::{Cluster, Container, DaemonSet, Key, Manifest, Snapshot};

/// A cluster under construction. The node is `n`, with `eth0` (10.0.0.1, fd00::1) and `eth1` (10.1.0.1).
#[derive(Clone)]
pub(super) struct Lab {
    pub(super) snapshot: Snapshot,
    pub(super) assumptions: Assumptions,
    raw: bool,
}

impl Lab {
    /// Objects of `projectcalico.org/v3`, on nftables and 3.31.
    pub(super) fn new() -> Self {
        let version = Some(Version { major: 3, minor: 31 });
        let assumptions = Assumptions { version, dataplane: Some(Dataplane::Nftables), native: false };
        Self { snapshot: Snapshot::default(), assumptions, raw: false }
    }

    /// Objects of `crd.projectcalico.org/v1`.
    pub(super) fn raw() -> Self {
        Self { raw: true, ..Self::new() }
    }

    pub(super) fn version(mut self, minor: u16) -> Self {
        self.assumptions.version = Some(Version { major: 3, minor });
        self
    }

    pub(super) fn dataplane(mut self, dataplane: Dataplane) -> Self {
        self.assumptions.dataplane = Some(dataplane);
        self
    }

    /// Defaults of CRDs of `projectcalico.org/v3`.
    pub(super) fn native(mut self) -> Self {
        self.assumptions.native = true;
        self
    }

    pub(super) fn with(self, kind: &str, name: &str, spec: Value) -> Self {
        self.labelled(kind, name, json!({}), spec)
    }

    pub(super) fn labelled(mut self, kind: &str, name: &str, labels: Value, spec: Value) -> Self {
        let mut value = json!({"metadata": {"name": name}});
        value["metadata"]["labels"] = labels;
        value["spec"] = spec;
        self.put(kind, value);
        self
    }

    pub(super) fn put(&mut self, kind: &str, mut value: Value) {
        value["apiVersion"] = json!(if self.raw { "crd.projectcalico.org/v1" } else { "projectcalico.org/v3" });
        value["kind"] = json!(kind);
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let group = if self.raw { "crd.projectcalico.org" } else { "projectcalico.org" }.to_owned();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let key = Key { group, kind: kind.to_owned(), namespace, name };
        self.snapshot = self.snapshot.with(Manifest { key, version: String::new(), value, source: None });
    }

    pub(super) fn cluster(mut self, change: impl FnOnce(&mut Cluster)) -> Self {
        change(Arc::make_mut(&mut self.snapshot.cluster));
        self
    }

    /// A variable of Felix' environment.
    pub(super) fn env(self, name: &str, value: &str) -> Self {
        let env = BTreeMap::from([(format!("FELIX_{name}"), value.to_owned())]);
        let container = Container { name: "calico-node".to_owned(), env, ..Container::default() };
        self.cluster(|cluster| {
            let name = "calico-node".to_owned();
            cluster.daemon_sets.push(DaemonSet { name, containers: vec![container], ..DaemonSet::default() });
        })
    }

    /// An endpoint of `eth0`, labelled `a: 1`, without a profile.
    pub(super) fn on_eth0(self) -> Self {
        self.labelled("HostEndpoint", "h", json!({"a": "1"}), json!({"node": "n", "interfaceName": "eth0"}))
    }

    /// An endpoint of all interfaces, labelled `w: 1`, with the profile that allows everything.
    pub(super) fn on_all(self) -> Self {
        let spec = json!({"node": "n", "interfaceName": "*", "profiles": ["projectcalico-default-allow"]});
        self.labelled("HostEndpoint", "w", json!({"w": "1"}), spec)
    }

    pub(super) fn policy(self, name: &str, spec: Value) -> Self {
        self.with("GlobalNetworkPolicy", name, spec)
    }

    pub(super) fn state(&self) -> State {
        compile(&self.snapshot, &self.assumptions)
    }

    /// Whether a packet passes; `trace` and `evaluate` must agree.
    pub(super) fn passes(&self, question: &Question, packet: &Packet) -> bool {
        self.traced(question, packet).verdict.passes()
    }

    pub(super) fn traced(&self, question: &Question, packet: &Packet) -> Trace {
        let state = self.state();
        let trace = trace(&state, question, packet);
        let set = evaluate(&state, question).expect("small");
        assert_eq!(set.contains(packet), trace.verdict.passes(), "{question:?} {packet:?}\n{trace}");
        trace
    }

    /// TCP from 10.9.0.7 to a port of the node, through `eth0`.
    pub(super) fn arrives(&self, port: u16) -> bool {
        self.passes(&inward(), &tcp("10.9.0.7", "10.0.0.1", port))
    }

    /// TCP from the node to a port of 10.9.0.7, through `eth0`.
    pub(super) fn leaves(&self, port: u16) -> bool {
        self.passes(&outward(), &tcp("10.0.0.1", "10.9.0.7", port))
    }

    /// TCP from 10.9.0.7 through `eth0`, routed to `eth1`.
    pub(super) fn routed(&self, port: u16) -> bool {
        self.passes(&through(), &tcp("10.9.0.7", "10.50.0.1", port))
    }

    /// Names of the objects that a stage refused.
    pub(super) fn refused(&self, stage: Stage) -> Vec<String> {
        let state = self.state();
        let mut names: Vec<_> = state
            .refused
            .iter()
            .filter(|refusal| refusal.stage == stage)
            .map(|refusal| refusal.key.name.clone())
            .collect();
        names.dedup();
        names
    }
}

pub(super) fn eth0() -> Interface {
    Interface::new("eth0", [ip("10.0.0.1"), ip("fd00::1")])
}

pub(super) fn eth1() -> Interface {
    Interface::new("eth1", [ip("10.1.0.1")])
}

pub(super) fn inward() -> Question {
    Question::new("n", Path::Ingress(eth0()))
}

pub(super) fn outward() -> Question {
    Question::new("n", Path::Egress(eth0()))
}

pub(super) fn through() -> Question {
    Question::new("n", Path::Forward { from: eth0(), to: eth1() })
}

pub(super) fn translated(mut question: Question, to: &str, port: u16, interface: Option<Interface>) -> Question {
    question.translation = Some(Translation { destination: ip(to), port: Some(port), interface });
    question
}

pub(super) fn ip(text: &str) -> std::net::IpAddr {
    text.parse().expect(text)
}

pub(super) fn tcp(source: &str, destination: &str, port: u16) -> Packet {
    with_ports(6, source, 40_000, destination, port)
}

pub(super) fn udp(source: &str, destination: &str, port: u16) -> Packet {
    with_ports(17, source, 40_000, destination, port)
}

pub(super) fn with_ports(protocol: u8, from: &str, source: u16, to: &str, destination: u16) -> Packet {
    Packet::new(ip(from), ip(to), Transport::Ports { protocol, source, destination }).expect("one family")
}

pub(super) fn icmp(source: &str, destination: &str, kind: u8, code: u8) -> Packet {
    Packet::new(ip(source), ip(destination), Transport::Icmp { kind, code }).expect("one family")
}

pub(super) fn other(source: &str, destination: &str, protocol: u8) -> Packet {
    Packet::new(ip(source), ip(destination), Transport::Other(protocol)).expect("one family")
}
