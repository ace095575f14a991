//! Packets that the datapath lets by or drops before policy is asked (cilium/cilium:bpf/bpf_host.c,
//! bpf/lib/{host_firewall.h,icmp6.h}).
//!
//! A layer of its own above policy, for the first packet of a flow: replies, related errors and what else connection
//! tracking lets by are not credited.

mod icmp;
mod nodeport;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use super::compile::State;
use super::identity::View;
use super::question::{Path, Question, Verdict};
use super::version::Version;
use crate::packet::{Direction, Packet, protocol};

/// Why policy is not asked about a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exemption {
    /// The host firewall is off.
    FirewallOff,
    /// Nothing on the way through a host is judged by host policies.
    Forwarded,
    /// The interface is not among `devices`.
    Unpoliced(String),
    /// Packets between addresses of the host itself do not leave it.
    Loopback,
    /// The destination is not the host's own: broadcast, multicast, an address that the agent does not know as its own.
    NotForHost(IpAddr),
    /// The source is not the host's own, so the packet counts as somebody else's: a DHCP client without an address, a
    /// virtual address that the agent does not know.
    NotFromHost(IpAddr),
    /// `allow-icmp-frag-needed`.
    FragmentationNeeded,
    /// ICMPv6 that the network lives on: neighbour discovery, errors, multicast listeners.
    NeighbourDiscovery(u8),
    /// ICMPv6 types that hosts have no use for, dropped whatever policy says.
    ForbiddenIcmp(u8),
    /// A protocol that is not tracked, dropped up to 1.19 whatever policy says.
    Untracked(u8),
    /// A node port that Cilium translates before the host firewall sees it, to no address of this host.
    Translated(u16),
}

impl Exemption {
    /// What it means for the packet.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::ForbiddenIcmp(_) | Self::Untracked(_) => Verdict::Deny,
            Self::FirewallOff
            | Self::Forwarded
            | Self::Unpoliced(_)
            | Self::Loopback
            | Self::NotForHost(_)
            | Self::NotFromHost(_)
            | Self::FragmentationNeeded
            | Self::NeighbourDiscovery(_)
            | Self::Translated(_) => Verdict::NotJudged,
        }
    }
}

/// The first exemption that applies, if one does.
pub fn exemption(state: &State, view: &View<'_>, question: &Question<'_>, packet: &Packet) -> Option<Exemption> {
    let settings = &state.settings;
    if !settings.host_firewall.value {
        return Some(Exemption::FirewallOff);
    }
    if question.direction == Direction::Forward {
        return Some(Exemption::Forwarded);
    }
    if let Path::Device(Some(name)) = question.path {
        if name == "lo" {
            return Some(Exemption::Loopback);
        }
        let devices = &settings.devices.value;
        if !devices.is_empty() && !devices.iter().any(|pattern| is_device(pattern, name)) {
            return Some(Exemption::Unpoliced(name.to_owned()));
        }
    }
    let (source, destination) = (packet.source(), packet.destination());
    if destination.is_loopback() || (view.is_own(source) && view.is_own(destination)) {
        return Some(Exemption::Loopback);
    }
    match question.direction {
        Direction::Egress if !view.identity(source).is_host() => return Some(Exemption::NotFromHost(source)),
        Direction::Egress => {}
        _ => {
            if let Some(port) = nodeport::translated(state, view, packet) {
                return Some(Exemption::Translated(port));
            }
            if !view.identity(destination).is_host() {
                return Some(Exemption::NotForHost(destination));
            }
        }
    }
    if let Some(exemption) = icmp::exemption(state, question, packet) {
        return Some(exemption);
    }
    untracked(state, packet.protocol()).then(|| Exemption::Untracked(packet.protocol()))
}

/// Whether the datapath drops a protocol because it cannot track it.
///
/// Up to 1.19 that is every protocol but TCP, UDP, ICMP and, with `enable-sctp`, SCTP, unless
/// `enable-extended-ip-protocols` is on. From 1.20 on it is left to policy.
fn untracked(state: &State, protocol: u8) -> bool {
    let settings = &state.settings;
    let tracked = match protocol {
        protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6 => true,
        protocol::SCTP => settings.sctp.value || settings.extended_protocols.value,
        _ => settings.extended_protocols.value,
    };
    settings.version.value < Version::V1_20 && !tracked
}

/// Whether an entry of `devices` means an interface: its name, or with `+` at the end what its name starts with.
fn is_device(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

impl fmt::Display for Exemption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirewallOff => formatter.write_str("the host firewall is off"),
            Self::Forwarded => formatter.write_str("host policies do not judge what passes through a host"),
            Self::Unpoliced(name) => write!(formatter, "interface {name} is not among devices"),
            Self::Loopback => formatter.write_str("the packet does not leave the host"),
            Self::NotForHost(address) => write!(formatter, "{address} is not an address of the host"),
            Self::NotFromHost(address) => write!(formatter, "{address} is not known as an address of the host"),
            Self::FragmentationNeeded => formatter.write_str("allow-icmp-frag-needed lets it by"),
            Self::NeighbourDiscovery(kind) => write!(formatter, "ICMPv6 type {kind} is always let by"),
            Self::ForbiddenIcmp(kind) => write!(formatter, "ICMPv6 type {kind} is always dropped"),
            Self::Untracked(number) => {
                write!(formatter, "{} is dropped, because the agent does not track it", protocol::label(*number))
            }
            Self::Translated(port) => {
                write!(formatter, "node port {port} is translated before the host firewall sees it")
            }
        }
    }
}
