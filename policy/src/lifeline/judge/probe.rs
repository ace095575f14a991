//! What becomes of single packets between two ends, step by step, at the node that sends and at the node that receives.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use super::doubt::{self, Doubt};
use super::ends::{End, Other, PeerKind, Place, Role, ends, inside, itself, own_addresses, stays, ways};
use super::hosts::{Hosts, hosts};
use super::world::{Assumptions, Traced, Way, World, trace};
use super::{Example, Side};
use crate::calico::question::{Conntrack, Path};
use crate::calico::trace::Trace as CalicoTrace;
use crate::cilium::trace::Trace as CiliumTrace;
use crate::lifeline::model::{Flow, Party, Ports, Traffic};
use crate::net::Family;
use crate::packet::{IpSet, Packet, Transport, protocol};
use crate::snapshot::Snapshot;

/// Pairs of ends that one probe looks at.
const MOST_PAIRS: usize = 20_000;
/// Port that clients are taken to send from.
const CLIENT: u16 = 40_000;

/// What becomes of the packets of a flow.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Pairs of ends that were looked at.
    pub pairs: usize,
    /// How many of them lose packets.
    pub dropped: usize,
    /// One pair: one that loses packets, if any does.
    pub example: Option<Probed>,
    /// What stands in the way of relying on it.
    pub doubts: Vec<Doubt>,
}

/// One pair of ends.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// The ends, by name.
    #[serde(flatten)]
    pub ends: Example,
    /// Whether all of it passes.
    pub passes: bool,
    /// One packet on each way: at the node that sends it, then at the one that receives it. None where neither end is on a
    /// node.
    pub passages: Vec<Passage>,
}

/// A packet on a way past a node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Passage {
    /// Whether it leaves its source there, or arrives.
    pub side: Side,
    /// The node.
    pub node: String,
    /// The interfaces that it passes.
    pub through: String,
    /// The packet.
    pub packet: Packet,
    /// Whether both CNIs let it by.
    pub passes: bool,
    /// What Calico does with it; absent where nothing of Calico's is in the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calico: Option<CalicoTrace>,
    /// What Cilium does with it; absent where its host firewall is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cilium: Option<CiliumTrace>,
}

/// Sends packets of a flow, one for each family and way, in a state of a cluster. Ports of a range are taken to pass alike:
/// the first is sent.
pub fn probe(snapshot: &Snapshot, flow: &Flow, assumptions: &Assumptions) -> Probe {
    let world = World::new(snapshot, assumptions);
    let hosts = hosts(&world, &world);
    let doubts = doubt::doubts(None, &world, &[], assumptions);
    let mut probe = Probe { pairs: 0, dropped: 0, example: None, doubts };
    let prober = Prober { world: &world, hosts: &hosts };
    if let Some(role) = inside(flow) {
        for end in ends(&hosts, flow, role, false) {
            probe.take(prober.itself(&end, flow, role));
        }
        return probe;
    }
    let tos = ends(&hosts, flow, Role::To, hosts.masquerade);
    for from in ends(&hosts, flow, Role::From, hosts.masquerade) {
        for to in &tos {
            if probe.pairs == MOST_PAIRS {
                return probe;
            }
            let here = from.place.on().is_some() && from.place.on() == to.place.on();
            match (from.place, to.place) {
                // What a node has to itself is no part of a flow; `Itself` says that it is meant.
                (Place::Node(_), Place::Node(_)) if here => {}
                (Place::Masqueraded(_), _) if here => {}
                _ if stays(flow) && !here => {}
                _ => probe.take(prober.pair(&from, to, here, &flow.traffic)),
            }
        }
    }
    probe
}

/// Nodes, pods or addresses as a party of a flow, by what a person calls them: the name of a node, `namespace/name` of a pod,
/// an address or a prefix, or `outside` for an address that is nobody's in the cluster.
///
/// `None` if the cluster has no such node or pod, or the pod has no address.
pub fn party(snapshot: &Snapshot, text: &str) -> Option<Party> {
    let cluster = &snapshot.cluster;
    let nodes = |name: &str| Party::Nodes(Arc::new(BTreeSet::from([name.to_owned()])));
    if let Some(node) = cluster.nodes.iter().find(|node| node.cluster.is_empty() && node.name == text) {
        return Some(nodes(&node.name));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        let owns = |address: &IpAddr| cluster.nodes.iter().find(|node| node.internal.contains(address));
        return Some(match owns(&address).filter(|node| node.cluster.is_empty()) {
            Some(node) => nodes(&node.name),
            None => addresses(text, vec![address.into()]),
        });
    }
    if text == "outside" {
        return Some(addresses(text, outside(snapshot)));
    }
    let (namespace, name) = text.split_once('/')?;
    if let Some(pod) = cluster.pods.iter().find(|pod| (pod.namespace.as_str(), pod.name.as_str()) == (namespace, name))
    {
        if pod.host_network {
            return Some(nodes(&pod.node));
        }
        let nets: Vec<IpNet> = pod.addresses.iter().copied().map(IpNet::from).collect();
        return (!nets.is_empty()).then(|| addresses(text, nets));
    }
    let cidr: crate::net::Cidr = text.parse().ok()?;
    Some(addresses(text, vec![cidr.net()]))
}

fn addresses(name: &str, nets: Vec<IpNet>) -> Party {
    Party::Addresses { name: name.to_owned(), nets }
}

/// Addresses for documentation (RFC 5737, RFC 3849) that are nobody's in the cluster, nor in a set that policies name.
fn outside(snapshot: &Snapshot) -> Vec<IpNet> {
    let cluster = &snapshot.cluster;
    let nodes = cluster.nodes.iter().flat_map(|node| node.internal.iter().chain(&node.external));
    let known: BTreeSet<IpAddr> = nodes.chain(cluster.pods.iter().flat_map(|pod| &pod.addresses)).copied().collect();
    let texts = ["198.51.100.10", "203.0.113.10", "192.0.2.10", "2001:db8::10", "2001:db8::fffe"];
    let all: Vec<IpAddr> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    let families = [Family::IPv4, Family::IPv6].into_iter();
    let free = families.filter_map(|family| {
        all.iter().copied().find(|address| Family::of(*address) == family && !known.contains(address))
    });
    free.map(IpNet::from).collect()
}

struct Prober<'p> {
    world: &'p World,
    hosts: &'p Hosts,
}

impl Prober<'_> {
    fn pair(&self, from: &End, to: &End, here: bool, traffic: &[Traffic]) -> Option<Probed> {
        let mut passages = Vec::new();
        for (role, own, other) in [(Role::From, from, to), (Role::To, to, from)] {
            let beyond = Other { pods: other.place.kind() == PeerKind::Pods, here };
            for (way, side) in ways(self.hosts, own, beyond, role) {
                let mine = own.addresses(role);
                let mine = side.map_or_else(|| mine.clone(), |side| mine.intersection(&side));
                let theirs = other.addresses(role.other());
                let (source, destination) = match role {
                    Role::From => ((&mine, own), (theirs, other)),
                    Role::To => ((theirs, other), (&mine, own)),
                };
                let side = if role == Role::From { Side::Egress } else { Side::Ingress };
                let packets = packets(source, destination, traffic);
                passages.extend(packets.into_iter().map(|packet| self.passage(side, &way, packet)));
            }
        }
        Probed::of(&from.name, &to.name, passages)
    }

    fn itself(&self, end: &End, flow: &Flow, role: Role) -> Option<Probed> {
        let Place::Node(index) = end.place else { return None };
        let host = self.hosts.all.get(index)?;
        let known = own_addresses(host, flow, role).into_iter();
        let known: Vec<IpAddr> = known.filter(|address| host.has(Family::of(*address))).collect();
        let own: IpSet = known.iter().copied().collect();
        let end = End { known, ..end.clone() };
        let packets = packets((&own, &end), (&own, &end), &flow.traffic);
        let way = itself(host);
        let passages = packets.into_iter().map(|packet| self.passage(Side::Egress, &way, packet));
        Probed::of(&end.name, &end.name, passages.collect())
    }

    fn passage(&self, side: Side, way: &Way, packet: Packet) -> Passage {
        let traces = trace(self.world, way, &packet);
        // Errors and answers of ICMP pass with the flow that they belong to, which Calico then asks no policy about.
        let with_flow = Conntrack::of(&packet) == Conntrack::Invalid;
        let passes = traces.iter().all(|trace| trace.passes() || (with_flow && matches!(trace, Traced::Calico(_))));
        // Of a packet that passes in vain, what is shown is how the one is lost that follows it.
        let (mut calico, mut cilium) = (None, None);
        for trace in traces {
            match trace {
                Traced::Calico(trace) => calico = Some(trace),
                Traced::Cilium(trace) => cilium = Some(trace),
                Traced::Lost(lost) => calico = Some(lost.trace),
            }
        }
        Passage { side, node: way.node.to_string(), through: through(&way.calico), packet, passes, calico, cilium }
    }
}

impl Probe {
    fn take(&mut self, probed: Option<Probed>) {
        let Some(probed) = probed else { return };
        self.pairs += 1;
        self.dropped += usize::from(!probed.passes);
        if self.example.as_ref().is_none_or(|example| example.passes && !probed.passes) {
            self.example = Some(probed);
        }
    }
}

impl Probed {
    fn of(source: &str, destination: &str, passages: Vec<Passage>) -> Option<Self> {
        let passes = passages.iter().all(|passage| passage.passes);
        let ends = Example { source: source.to_owned(), destination: destination.to_owned() };
        (!passages.is_empty()).then_some(Self { ends, passes, passages })
    }
}

/// The interfaces of a way.
fn through(path: &Path) -> String {
    match path {
        Path::Ingress(one) => format!("in through {}", one.name),
        Path::Egress(one) => format!("out through {}", one.name),
        Path::Forward { from, to } => format!("from {} to {}", from.name, to.name),
        Path::Local(one) => format!("over {}", one.name),
    }
}

/// One packet of each traffic and family, between the best known addresses.
fn packets(source: (&IpSet, &End), destination: (&IpSet, &End), traffic: &[Traffic]) -> Vec<Packet> {
    let one = |(addresses, end): (&IpSet, &End), family: Family| {
        let known = end.known.iter().copied().filter(|address| Family::of(*address) == family);
        let any = addresses.ranges().map(|(first, _)| first).filter(|address| Family::of(*address) == family);
        known.filter(|address| addresses.contains(*address)).chain(any).next()
    };
    let families = [Family::IPv4, Family::IPv6].into_iter();
    let pairs = families.filter_map(|family| Some((one(source, family)?, one(destination, family)?)));
    let packet = |(source, destination)| {
        let family = Family::of(source);
        // The number of the one ICMP is that of no ICMP in the other family.
        let own = |traffic: &&Traffic| {
            !matches!(traffic.ports, Ports::Icmp(..)) || traffic.protocol == Some(protocol::icmp(family))
        };
        let packet = |traffic| Packet::new(source, destination, transport(traffic, family)).ok();
        let fitting = traffic.iter().filter(own).filter_map(packet);
        fitting.collect::<Vec<_>>()
    };
    pairs.flat_map(packet).collect()
}

fn transport(traffic: &Traffic, family: Family) -> Transport {
    let number = traffic.protocol.unwrap_or(protocol::TCP);
    let source = traffic.source_port.unwrap_or(CLIENT);
    match traffic.ports {
        Ports::Range(destination, _) => Transport::Ports { protocol: number, source, destination },
        Ports::Icmp(kind, code) => Transport::Icmp { kind, code: code.unwrap_or_default() },
        Ports::All if protocol::has_ports(number) => {
            Transport::Ports { protocol: number, source, destination: CLIENT + 1 }
        }
        // An echo request.
        Ports::All if number == protocol::icmp(family) => {
            Transport::Icmp { kind: if family == Family::IPv4 { 8 } else { 128 }, code: 0 }
        }
        Ports::All => Transport::Other(number),
    }
}
