//! What is asked: which way, through which interfaces, on which node.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::endpoint::Interface;
use crate::net::Family;
use crate::packet::Packet;

/// A question about packets, put to one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Node, as Felix knows it.
    pub node: String,
    /// The way through it.
    pub path: Path,
    /// What destination NAT makes of the packets. Absent: they go where they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translation: Option<Translation>,
    /// State of the packets for connection tracking; absent: that of the first packet of a flow ([`Conntrack::of`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conntrack: Option<Conntrack>,
    /// What stands behind interfaces that lead to pods.
    #[serde(default)]
    pub workloads: Workloads,
}

impl Question {
    /// A question without NAT, about first packets.
    pub fn new(node: impl Into<String>, path: Path) -> Self {
        Self { node: node.into(), path, translation: None, conntrack: None, workloads: Workloads::default() }
    }
}

/// A way through a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Path {
    /// Through an interface, for an address of the node.
    Ingress(Interface),
    /// From the node, through an interface.
    Egress(Interface),
    /// Routed from one interface to another.
    Forward {
        /// Where they enter.
        from: Interface,
        /// Where they leave.
        to: Interface,
    },
    /// From the node to itself: out of the loopback interface, and in again.
    Local(Interface),
}

/// What destination NAT does to the packets of a question. Its packets are as they are before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Translation {
    /// New destination.
    pub destination: IpAddr,
    /// New destination port, where the protocol has ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The interface that packets of the host then leave through, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Interface>,
}

/// What stands behind interfaces that lead to pods. Policies of pods are not part of this engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Workloads {
    /// A pod whose own policy admits the packets.
    #[default]
    Admitting,
    /// Nothing that Felix knows: it drops (projectcalico/calico:felix/rules/dispatch.go, "Unknown interface").
    Unknown,
}

/// State of a packet for the kernel's connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conntrack {
    /// It begins a flow.
    New,
    /// It can begin none.
    Invalid,
    /// It is not tracked.
    Untracked,
}

/// ICMP types that begin a flow: echo, timestamp, information and address mask requests
/// (torvalds/linux:net/netfilter/nf_conntrack_proto_icmp.c).
pub(crate) const ICMP_NEW: [u8; 4] = [8, 13, 15, 17];
/// ICMPv6 types that begin a flow: echo and node information requests
/// (torvalds/linux:net/netfilter/nf_conntrack_proto_icmpv6.c).
pub(crate) const ICMPV6_NEW: [u8; 2] = [128, 139];
/// ICMPv6 types that are never tracked: multicast listeners and neighbour discovery, without redirects (same file).
pub(crate) const ICMPV6_UNTRACKED: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];
/// ICMPv6 types that Calico accepts from pods before anything else
/// (projectcalico/calico:felix/rules/static.go ICMPv6Filter).
pub(super) const ICMPV6_FROM_PODS: [u8; 6] = [130, 131, 132, 133, 135, 136];

impl Conntrack {
    /// State of a packet that is the first of its flow. An answer or an error that belongs to no flow is invalid.
    pub fn of(packet: &Packet) -> Self {
        let Some((kind, _)) = packet.icmp() else {
            return Self::New;
        };
        match packet.family() {
            Family::IPv4 if ICMP_NEW.contains(&kind) => Self::New,
            Family::IPv6 if ICMPV6_NEW.contains(&kind) => Self::New,
            Family::IPv6 if ICMPV6_UNTRACKED.contains(&kind) => Self::Untracked,
            Family::IPv4 | Family::IPv6 => Self::Invalid,
        }
    }
}
