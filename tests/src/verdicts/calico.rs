//! Calico's cases: JSON lines of objects and packets in, verdicts out.

mod fact;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use policy::calico::compile::{Assumptions, compile};
use policy::calico::endpoint::Interface;
use policy::calico::evaluate::Evaluator;
use policy::calico::question::{Conntrack, Path, Question, Workloads};
use policy::calico::settings::Dataplane;
use policy::calico::state::{Stage, State};
use policy::calico::trace::{Trace, trace};
use policy::calico::version::Version;
use policy::packet::{Exhausted, Packet, PacketError, PacketSet, Transport, protocol};
use policy::snapshot::{Cluster, Container, DaemonSet, Key, LoadError, Loader, Manifest, Objects, Snapshot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LineError;
pub use fact::{Fact, Validity, programs, validity};

/// One case.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Name.
    pub id: String,
    /// Node that the packets pass.
    pub node: String,
    /// Whether the objects reach Felix past the API's defaults and checks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// The only packet filter that it is about; absent: nftables, and any other that means the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataplane: Option<Dataplane>,
    /// Parameters in Felix' environment, without `FELIX_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Interfaces of the node; `lo` is always there.
    pub interfaces: Vec<CaseInterface>,
    /// Objects of `projectcalico.org/v3`, and of Kubernetes.
    pub objects: Vec<Value>,
    /// Packets.
    pub packets: Vec<CasePacket>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseInterface {
    /// Name.
    pub name: String,
    /// Addresses.
    #[serde(default)]
    pub addrs: Vec<IpAddr>,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CasePacket {
    /// Which way.
    pub dir: Direction,
    /// Where it enters, or leaves if it comes from the host.
    pub iface: String,
    /// Where it leaves, if it is forwarded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub out_iface: String,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol number.
    pub proto: u8,
    /// Source port.
    #[serde(default)]
    pub sport: u16,
    /// Destination port.
    #[serde(default)]
    pub dport: u16,
    /// ICMP type.
    #[serde(default)]
    pub icmp_type: u8,
    /// ICMP code.
    #[serde(default)]
    pub icmp_code: u8,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// For the host.
    In,
    /// From the host.
    Out,
    /// Through the host.
    Fwd,
}

/// The answer to a case. Upstream's own answers have the same form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Name of the case.
    pub id: String,
    /// `accept` or `drop`, for each packet.
    pub verdicts: Vec<String>,
    /// `new`, `invalid` or `untracked`, for each packet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ct: Vec<String>,
    /// Objects that are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub invalid: Vec<Invalid>,
    /// Why Felix does not run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A refused object. The texts of two engines differ; kind and name are what counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Invalid {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Why.
    pub error: String,
}

/// Why a case cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// An object without kind or name.
    #[error("object {0} has no kind or name")]
    Object(usize),
    /// An object of Kubernetes that the API server would not have.
    #[error("{0}")]
    Kubernetes(#[from] LoadError),
    /// A packet that is none.
    #[error("packet {0}: {1}")]
    Packet(usize, PacketError),
    /// The policies are too large for exact sets.
    #[error("{0}")]
    Exhausted(#[from] Exhausted),
    /// `evaluate` and `trace` differ, which is a defect of this project.
    #[error("packet {index} ({packet:?}): the trace says\n{trace}")]
    Differ {
        /// Index of the packet.
        index: usize,
        /// The packet.
        packet: Packet,
        /// Its trace.
        trace: Box<Trace>,
    },
}

/// Answers one line.
///
/// # Errors
///
/// It is not a case, or `evaluate` and `trace` differ.
pub fn line(line: &str) -> Result<String, LineError> {
    let wrong = |error: serde_json::Error| LineError::Case(error.to_string());
    let case: Case = serde_json::from_str(line).map_err(wrong)?;
    let answer = case.answer().map_err(|error| match error {
        CaseError::Differ { .. } => LineError::Differ(format!("{}: {error}", case.id)),
        _ => LineError::Case(error.to_string()),
    })?;
    serde_json::to_string(&answer).map_err(wrong)
}

impl Answer {
    /// Whether two engines agree: verdicts, conntrack states, refused objects by kind and name, and whether Felix runs.
    pub fn agrees(&self, other: &Self) -> bool {
        let refused = |answer: &Self| {
            let mut names: Vec<_> =
                answer.invalid.iter().map(|invalid| (invalid.kind.clone(), invalid.name.clone())).collect();
            names.sort();
            names
        };
        self.id == other.id
            && self.verdicts == other.verdicts
            && self.ct == other.ct
            && refused(self) == refused(other)
            && self.errors.is_empty() == other.errors.is_empty()
    }
}

impl Case {
    /// Answers every packet, by `trace` and by `evaluate`.
    ///
    /// # Errors
    ///
    /// The case has an object without a name, or a packet that does not exist; or the two differ.
    pub fn answer(&self) -> Result<Answer, CaseError> {
        self.answer_and_traces().map(|(answer, _)| answer)
    }

    /// As [`Case::answer`], with the trace of each packet.
    ///
    /// # Errors
    ///
    /// As [`Case::answer`].
    pub fn answer_and_traces(&self) -> Result<(Answer, Vec<Trace>), CaseError> {
        let state = compile(&self.snapshot()?, &self.assumptions());
        let mut answer = Answer { id: self.id.clone(), invalid: self.invalid(&state), ..Answer::default() };
        answer.errors.clone_from(&state.settings(&self.node).fatal);
        answer.notes = state.dangers.iter().map(|danger| format!("{}: {}", danger.path, danger.effect)).collect();
        let mut traces = Vec::new();
        if !answer.errors.is_empty() {
            return Ok((answer, traces));
        }
        let mut evaluator = Evaluator::new(&state);
        let mut admitted: BTreeMap<Question, PacketSet> = BTreeMap::new();
        for (index, written) in self.packets.iter().enumerate() {
            let packet = written.packet().map_err(|error| CaseError::Packet(index, error))?;
            let question = self.question(written);
            let trace = trace(&state, &question, &packet);
            if !admitted.contains_key(&question) {
                admitted.insert(question.clone(), evaluator.evaluate(&question)?);
            }
            if admitted[&question].contains(&packet) != trace.verdict.passes() {
                return Err(CaseError::Differ { index, packet, trace: Box::new(trace) });
            }
            answer.verdicts.push(if trace.verdict.passes() { "accept" } else { "drop" }.to_owned());
            let state = match trace.conntrack {
                Conntrack::New => "new",
                Conntrack::Invalid => "invalid",
                Conntrack::Untracked => "untracked",
            };
            answer.ct.push(state.to_owned());
            traces.push(trace);
        }
        Ok((answer, traces))
    }

    /// The facts of the case.
    ///
    /// # Errors
    ///
    /// An object has no kind or no name.
    pub fn snapshot(&self) -> Result<Snapshot, CaseError> {
        let group = if self.raw { "crd.projectcalico.org" } else { "projectcalico.org" };
        let mut objects = Objects::default();
        let mut kubernetes = Loader::default();
        for (index, value) in self.objects.iter().enumerate() {
            if value["apiVersion"].as_str().is_some_and(|version| !version.contains("projectcalico.org/")) {
                kubernetes.read(&format!("object {index}"), &value.to_string())?;
                continue;
            }
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let key = Key {
                group: group.to_owned(),
                kind: text("/kind").ok_or(CaseError::Object(index))?,
                namespace: text("/metadata/namespace").unwrap_or_default(),
                name: text("/metadata/name").ok_or(CaseError::Object(index))?,
            };
            let version = if self.raw { "v1" } else { "v3" }.to_owned();
            objects.insert(Arc::new(Manifest { key, version, value: value.clone(), source: None }));
        }
        let env = self.env.iter().map(|(name, value)| (format!("FELIX_{name}"), value.clone())).collect();
        let agent = Container { name: "calico-node".to_owned(), env, ..Container::default() };
        let agents = DaemonSet { name: "calico-node".to_owned(), containers: vec![agent], ..DaemonSet::default() };
        let cluster = Cluster::clone(&kubernetes.finish().snapshot.cluster);
        let cluster = Cluster { daemon_sets: vec![agents], ..cluster };
        Ok(Snapshot { objects: Arc::new(objects), cluster: Arc::new(cluster) })
    }

    /// What the recording engine was.
    pub fn assumptions(&self) -> Assumptions {
        Assumptions {
            version: Some(Version { major: 3, minor: 31 }),
            dataplane: Some(self.dataplane.unwrap_or(Dataplane::Nftables)),
            native: false,
        }
    }

    /// The question that a packet puts.
    pub fn question(&self, packet: &CasePacket) -> Question {
        let interface = |name: &str| {
            let found = self.interfaces.iter().find(|interface| interface.name == name);
            Interface::new(name, found.map(|interface| interface.addrs.clone()).unwrap_or_default())
        };
        let path = match packet.dir {
            Direction::In => Path::Ingress(interface(&packet.iface)),
            Direction::Out => Path::Egress(interface(&packet.iface)),
            Direction::Fwd => Path::Forward { from: interface(&packet.iface), to: interface(&packet.out_iface) },
        };
        // The kernel verifies the checksum of UDP-Lite where a packet arrives, and does so as if it were that of UDP
        // (torvalds/linux:net/netfilter/nf_conntrack_proto_udp.c udplite_error), so that the right one is invalid.
        let arrives = packet.dir != Direction::Out && packet.iface != "lo";
        let conntrack = (arrives && packet.proto == protocol::UDPLITE).then_some(Conntrack::Invalid);
        Question { workloads: Workloads::Unknown, conntrack, ..Question::new(self.node.clone(), path) }
    }

    fn invalid(&self, state: &State) -> Vec<Invalid> {
        let mut invalid: Vec<Invalid> = Vec::new();
        for refusal in state.refused.iter().filter(|refusal| refusal.stage != Stage::Felix) {
            let (kind, name) = (&refusal.key.kind, &refusal.key.name);
            if !invalid.iter().any(|known| known.kind == *kind && known.name == *name) {
                let error = format!("{}: {}", refusal.path, refusal.reason);
                invalid.push(Invalid { kind: kind.clone(), name: name.clone(), error });
            }
        }
        invalid
    }
}

impl CasePacket {
    /// The packet.
    ///
    /// # Errors
    ///
    /// The addresses are of two families.
    pub fn packet(&self) -> Result<Packet, PacketError> {
        let icmp = if self.src.is_ipv4() { 1 } else { 58 };
        let transport = match self.proto {
            proto if proto == icmp => Transport::Icmp { kind: self.icmp_type, code: self.icmp_code },
            proto if protocol::has_ports(proto) => {
                Transport::Ports { protocol: proto, source: self.sport, destination: self.dport }
            }
            proto => Transport::Other(proto),
        };
        Packet::new(self.src, self.dst, transport)
    }
}
