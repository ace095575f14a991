//! Answers to packets that pass: dropped ones make a flow as dead as if its first packet were.
//!
//! Answers to what is tracked belong to its connection, and no policy is asked about them but those before connection
//! tracking (`doNotTrack`, projectcalico/calico:felix/rules/endpoints.go endpointIptablesChain). What such a policy allows
//! is not tracked, and then each of the two ways stands alone:
//!
//! - An answer that is tracked, to what is not, belongs to nothing. Of TCP it is first a SYN-ACK, which begins no connection
//!   and is invalid, and later has the ACK of a connection in the middle, which is taken for a new one
//!   (torvalds/linux:net/netfilter/nf_conntrack_proto_tcp.c tcp_new, nf_conntrack_tcp_loose); both must pass. Of ICMP it
//!   is invalid, of UDP new.
//! - An answer that is not tracked, to what is, leaves a TCP connection of which no SYN-ACK was seen, and all that follows
//!   the SYN is invalid (the same file, tcp_conntracks).

use std::ops::RangeInclusive;

use super::world::{Way, World};
use crate::calico::question::{Conntrack, Path, Question};
use crate::calico::settings::Dataplane;
use crate::calico::state::Interfaces;
use crate::calico::trace::{Hook, Outcome, Stage, Step, Trace, trace};
use crate::net::Family;
use crate::packet::{
    Cube, Exhausted, Held, IcmpSet, IpSet, Packet, PacketSet, PortSet, ProtocolSet, Transport, protocol,
};

/// ICMP types of requests, each with that of its answers.
pub(in crate::lifeline) const ICMP: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];
pub(in crate::lifeline) const ICMPV6: [(u8, u8); 2] = [(128, 129), (139, 140)];
/// Usual UDP ports of tunnels: VXLAN, Geneve, WireGuard. Nobody answers there: what goes the other way is a flow of its own.
const TUNNELS: [u16; 6] = [4789, 6081, 8472, 51820, 51821, 51871];
/// Ports that clients send from, by the kernel's own choice (torvalds/linux:Documentation/networking/ip-sysctl.rst
/// ip_local_port_range). Who allows answers from a port would otherwise seem to mean requests of clients from it.
const CLIENTS: RangeInclusive<u16> = 32768..=60999;
/// Lines of a set that are turned round.
const MOST_LINES: usize = 20_000;

/// Nodes or interfaces whose answers are not followed: eBPF has connections of its own, and what a node sends itself passes
/// the same chains both ways.
pub(super) fn are_unknown(world: &World) -> bool {
    let state = world.calico.state();
    let all = std::iter::once(&state.settings).chain(state.node_settings.values());
    let mut loopback =
        state.endpoints.iter().filter(|endpoint| endpoint.interfaces == Interfaces::Named("lo".to_owned()));
    all.map(|settings| settings.dataplane.value).any(|dataplane| dataplane == Dataplane::Bpf)
        || loopback.next().is_some()
}

/// What passes a way, and is not answered on the way back.
pub(super) fn unanswered(world: &World, way: &Way) -> Result<Option<PacketSet>, Exhausted> {
    let question = way.question();
    let Some(back) = back(&question) else { return Ok(None) };
    let (to, from) = (world.calico.before_tracking(&question)?, world.calico.before_tracking(&back)?);
    if to.is_none() && from.is_none() {
        return Ok(None);
    }
    let sets = |held: Option<[Held; 2]>| match held {
        Some([accepted, dropped]) => (accepted.set(), dropped.set()),
        None => (PacketSet::empty(), PacketSet::empty()),
    };
    let ((to_accepted, _), (from_accepted, from_dropped)) = (sets(to), sets(from));
    let passes = |question: &Question, conntrack| -> Result<PacketSet, Exhausted> {
        Ok(world.calico.evaluate(&Question { conntrack: Some(conntrack), ..question.clone() })?.set())
    };
    let (new, invalid) = (passes(&back, Conntrack::New)?, passes(&back, Conntrack::Invalid)?);
    let of = |numbers: &[u8]| {
        let protocols = numbers.iter().fold(ProtocolSet::EMPTY, |all, number| all.union((*number).into()));
        PacketSet::from(&Cube { protocols, ..Cube::any() })
    };
    let streams = of(&[protocol::TCP, protocol::SCTP]);
    let echoes = of(&[protocol::ICMP, protocol::ICMPV6]);
    let passing = new.difference(&streams).difference(&echoes);
    let passing = passing.union(&new.intersection(&invalid).intersection(&streams));
    let passing = passing.union(&invalid.intersection(&echoes)).union(&new.intersection(&from_accepted));

    let answers = from_dropped.union(&from_accepted).union(&turned(&to_accepted, Turn::ToAnswers)?);
    let lost = turned(&answers.difference(&passing), Turn::ToRequests)?;
    let halves = turned(&from_accepted, Turn::ToRequests)?.intersection(&streams).difference(&to_accepted);
    let halves = if halves.is_empty() { halves } else { halves.difference(&passes(&question, Conntrack::Invalid)?) };
    let lost = lost.union(&halves);
    let destination_ports = tunnels(world, way).fold(PortSet::empty(), |all, port| all.union(&port.into()));
    let tunnels = Cube { protocols: protocol::UDP.into(), destination_ports, ..Cube::any() };
    let ports = ProtocolSet::WITH_PORTS;
    let clients = Cube { protocols: ports, source_ports: PortSet::from(CLIENTS), ..Cube::any() };
    let portless = Cube { protocols: ports.complement(), ..Cube::any() };
    let clients: PacketSet = [&clients, &portless].into_iter().collect();
    let lost = lost.difference(&PacketSet::from(&tunnels)).intersection(&clients);
    Ok((!lost.is_empty()).then_some(lost))
}

/// A packet that follows one which passes, and is dropped.
pub(in crate::lifeline) struct Lost {
    /// It.
    pub(in crate::lifeline) packet: Packet,
    /// What drops it.
    pub(in crate::lifeline) trace: Trace,
    /// The step that took one of the two out of connection tracking, if that is why.
    pub(in crate::lifeline) untracked: Option<Step>,
}

/// What is lost of the conversation that a packet begins, given its own trace, if it passes.
pub(super) fn lost(world: &World, way: &Way, packet: &Packet, request: &Trace) -> Option<Lost> {
    let (question, state) = (way.question(), world.calico.state());
    let back = back(&question)?;
    let answer = answer(packet)?;
    let is_tunnel = |port| tunnels(world, way).any(|tunnel| tunnel == port);
    if packet.protocol() == protocol::UDP && packet.destination_port().is_some_and(is_tunnel) {
        return None;
    }
    let stream = [protocol::TCP, protocol::SCTP].contains(&packet.protocol());
    let states: &[Conntrack] = match packet.protocol() {
        protocol::ICMP | protocol::ICMPV6 => &[Conntrack::Invalid],
        _ if stream => &[Conntrack::Invalid, Conntrack::New],
        _ => &[Conntrack::New],
    };
    let allows = |step: &&Step| is_raw(step) && matches!(step.stage, Stage::Tier(_)) && step.outcome == Outcome::Accept;
    let by_policy = |trace: &Trace| trace.steps.iter().find(allows).cloned();
    let untracked = by_policy(request);
    for conntrack in states {
        let trace = trace(state, &Question { conntrack: Some(*conntrack), ..back.clone() }, &answer);
        let accepted = by_policy(&trace);
        if trace.verdict.passes() {
            let follows = Question { conntrack: Some(Conntrack::Invalid), ..question.clone() };
            if let (None, Some(accepted), true) = (&untracked, accepted, stream) {
                let trace = self::trace(state, &follows, packet);
                if !trace.verdict.passes() {
                    return Some(Lost { packet: *packet, trace, untracked: Some(accepted) });
                }
            }
            continue;
        }
        let early = trace.decision().is_some_and(is_raw);
        if early || untracked.is_some() || accepted.is_some() {
            return Some(Lost { packet: answer, trace, untracked: if early { None } else { untracked } });
        }
    }
    None
}

/// UDP ports of tunnels on a way, which nobody answers.
fn tunnels(world: &World, way: &Way) -> impl Iterator<Item = u16> {
    let settings = world.calico.state().settings(&way.node);
    let own = [settings.vxlan_port.value, settings.wireguard_port.value, settings.wireguard_port_v6.value];
    own.into_iter().chain(TUNNELS)
}

fn is_raw(step: &Step) -> bool {
    matches!(step.hook, Hook::RawPrerouting | Hook::RawOutput)
}

/// The way of answers past the same node.
fn back(question: &Question) -> Option<Question> {
    let path = match &question.path {
        Path::Ingress(interface) => Path::Egress(interface.clone()),
        Path::Egress(interface) => Path::Ingress(interface.clone()),
        Path::Forward { from, to } => Path::Forward { from: to.clone(), to: from.clone() },
        Path::Local(_) => return None,
    };
    Some(Question { path, ..question.clone() })
}

/// The answer to a packet, if there is one.
fn answer(packet: &Packet) -> Option<Packet> {
    let transport = match packet.transport() {
        Transport::Ports { protocol, source, destination } if is_answered(protocol) && CLIENTS.contains(&source) => {
            Transport::Ports { protocol, source: destination, destination: source }
        }
        Transport::Icmp { kind, code: 0 } => {
            let kinds: &[(u8, u8)] = if packet.family() == Family::IPv4 { &ICMP } else { &ICMPV6 };
            let (_, answer) = kinds.iter().find(|(request, _)| *request == kind)?;
            Transport::Icmp { kind: *answer, code: 0 }
        }
        _ => return None,
    };
    Packet::new(packet.destination(), packet.source(), transport).ok()
}

fn is_answered(number: u8) -> bool {
    [protocol::TCP, protocol::UDP, protocol::SCTP].contains(&number)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    ToAnswers,
    ToRequests,
}

/// Packets with their ends exchanged, of the protocols that are answered.
fn turned(set: &PacketSet, turn: Turn) -> Result<PacketSet, Exhausted> {
    let lines = set.cubes(MOST_LINES);
    if lines.len() == MOST_LINES {
        return Err(Exhausted);
    }
    let mut cubes = Vec::new();
    for line in &lines {
        let round = |source: IpSet| Cube {
            source: line.destination.intersection(&source),
            destination: line.source.clone(),
            source_ports: line.destination_ports.clone(),
            destination_ports: line.source_ports.clone(),
            ..Cube::any()
        };
        let ports = (0..=u8::MAX).filter(|number| is_answered(*number) && line.protocols.contains(*number));
        let protocols = ports.fold(ProtocolSet::EMPTY, |all, number| all.union(number.into()));
        cubes.push(Cube { protocols, ..round(IpSet::all()) });
        for (family, kinds) in [(Family::IPv4, ICMP.as_slice()), (Family::IPv6, &ICMPV6)] {
            if !line.protocols.contains(protocol::icmp(family)) {
                continue;
            }
            let pairs = kinds.iter().map(|(request, answer)| match turn {
                Turn::ToAnswers => (*request, *answer),
                Turn::ToRequests => (*answer, *request),
            });
            let icmp = pairs.filter(|(from, _)| line.icmp.contains(*from, 0)).map(|(_, to)| IcmpSet::code(to, 0));
            let icmp = icmp.fold(IcmpSet::empty(), |all, one| all.union(&one));
            let plain = round(IpSet::family(family));
            let (source, destination) = (plain.source, plain.destination);
            cubes.push(Cube { source, destination, protocols: protocol::icmp(family).into(), icmp, ..Cube::any() });
        }
    }
    Ok(cubes.iter().collect())
}
