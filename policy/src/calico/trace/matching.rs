//! Whether a rule matches one packet, and if not, what in it does not.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::calico::state::{AddressSet, Members, Peer, Rule, SetId, State};
use crate::net::Family;
use crate::packet::Packet;

/// The first part of a rule that a packet does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The rule does not exist for the packet's family.
    Family,
    /// The protocol, or its exclusion.
    Protocol(u8),
    /// ICMP type or code, or their exclusion.
    Icmp,
    /// An address: which side, and what of it.
    Address(&'static str, String),
    /// A port.
    Port(&'static str),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Family => formatter.write_str("the rule does not exist for this address family"),
            Self::Protocol(number) => write!(formatter, "protocol {number}"),
            Self::Icmp => formatter.write_str("ICMP type or code"),
            Self::Address(side, what) => write!(formatter, "{side} address: {what}"),
            Self::Port(side) => write!(formatter, "{side} port"),
        }
    }
}

/// Compares a rule with a packet. `in_chain` is whether a chain of the packet filter does, and not an eBPF program. What is to
/// be said of a match: which side the packet fits only as Felix overlooks a part of it.
pub(super) fn compare(state: &State, rule: &Rule, packet: &Packet, in_chain: bool) -> Result<String, Mismatch> {
    let protocol = packet.protocol();
    require(rule.families.has(packet.family()), || Mismatch::Family)?;
    let wanted = rule.protocol.is_none_or(|wanted| wanted == protocol);
    let excluded = rule.not_protocol == Some(protocol);
    require(wanted && !excluded, || Mismatch::Protocol(protocol))?;
    let same = |(kind, code): (u8, Option<u8>)| {
        packet.icmp().map(|found| found.0 == kind && code.is_none_or(|code| code == found.1))
    };
    require(rule.icmp.is_none_or(|icmp| same(icmp) == Some(true)), || Mismatch::Icmp)?;
    // The kernel reads a type only from ICMP, so what is not ICMP does not match an exclusion either.
    require(rule.not_icmp.is_none_or(|icmp| same(icmp) == Some(false)), || Mismatch::Icmp)?;
    peer(state, &rule.source, "source", packet.source(), packet.source_port(), protocol, in_chain)?;
    let (to, port) = (packet.destination(), packet.destination_port());
    peer(state, &rule.destination, "destination", to, port, protocol, in_chain)?;
    let sides = [("source", &rule.source, packet.source()), ("destination", &rule.destination, to)];
    let overlooked =
        sides.into_iter().filter(|(_, peer, address)| !peer.nets.is_empty() && !within(&peer.nets, *address));
    let said = overlooked.map(|(side, ..)| format!("Felix overlooks {side} nets behind two other lists of the rule"));
    Ok(said.collect::<Vec<_>>().join("; "))
}

fn within(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

fn peer(
    state: &State,
    peer: &Peer,
    side: &'static str,
    address: IpAddr,
    port: Option<u16>,
    protocol: u8,
    in_chain: bool,
) -> Result<(), Mismatch> {
    let fault = |what: String| Mismatch::Address(side, what);
    let overlooked = in_chain && peer.overlooked.has(Family::of(address));
    require(peer.nets.is_empty() || overlooked || within(&peer.nets, address), || fault("not in nets".to_owned()))?;
    require(!within(&peer.not_nets, address), || fault("in notNets".to_owned()))?;
    let has = |id: &SetId| contains(state.set(*id), address, protocol, port);
    for id in &peer.sets {
        require(has(id), || fault(format!("not among {}", state.set(*id).meaning)))?;
    }
    for id in &peer.not_sets {
        require(!has(id), || fault(format!("among {}", state.set(*id).meaning)))?;
    }
    if let Some(id) = &peer.service {
        require(has(id), || fault(format!("not among {}", state.set(*id).meaning)))?;
    }
    let listed = |ranges: &[(u16, u16)], named: &[SetId]| {
        let number = port.is_some_and(|port| ranges.iter().any(|(from, to)| (*from..=*to).contains(&port)));
        number || named.iter().any(has)
    };
    let any_port = peer.ports.is_empty() && peer.named.is_empty();
    require(any_port || listed(&peer.ports, &peer.named), || Mismatch::Port(side))?;
    require(!listed(&peer.not_ports, &peer.not_named), || Mismatch::Port(side))
}

fn contains(set: &AddressSet, address: IpAddr, protocol: u8, port: Option<u16>) -> bool {
    match &set.members {
        Members::Nets(nets) => within(nets, address),
        Members::Ports(ports) => port.is_some_and(|port| ports.binary_search(&(address, protocol, port)).is_ok()),
    }
}

fn require(holds: bool, fault: impl FnOnce() -> Mismatch) -> Result<(), Mismatch> {
    if holds { Ok(()) } else { Err(fault()) }
}
