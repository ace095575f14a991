//! Rules as the agent holds them once it has taken them (cilium/cilium:pkg/policy/types/policyentry.go).

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::cilium::selector::{Requirement, Selector};
use crate::packet::{Direction, protocol};
use crate::snapshot::{Key, Source};

/// One rule for hosts: `spec`, or one of `specs`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The object it stands in.
    pub key: Arc<Key>,
    /// Where in it: `spec` or `specs[1]`.
    pub path: String,
    /// Where the object was read, if a user gave it.
    pub source: Option<Arc<Source>>,
    /// Hosts that it is for.
    pub subject: Vec<Requirement>,
    /// Whether it turns on default deny, for packets to the host and from it.
    pub default_deny: [bool; 2],
    /// Its elements.
    pub elements: Vec<Element>,
}

/// One element of `ingress`, `ingressDeny`, `egress` or `egressDeny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Direction.
    pub direction: Direction,
    /// Whether it denies.
    pub deny: bool,
    /// Where it stands: `spec.ingress[0]`.
    pub path: String,
    /// Peers.
    pub peers: Peers,
    /// What a snapshot cannot tell may be its peers too: DNS names, groups of providers, services. Then `peers` names no
    /// others.
    pub open: Vec<String>,
    /// Ports; absent is every packet of the peers, whatever its protocol.
    pub ports: Option<Vec<Port>>,
    /// What an allow asks for besides.
    pub condition: Option<Condition>,
}

/// Peers of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// None at all: an empty list, or an element without peers and ports.
    Nobody,
    /// Those that one of the selectors selects.
    Some(Vec<Selector>),
}

/// What an element matches of protocol and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Protocol number.
    pub protocol: u8,
    /// Ports, or ICMP types.
    pub ports: Ports,
}

/// Ports, or ICMP types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ports {
    /// Every packet of the protocol: port `0`, and ICMP type 0.
    All,
    /// From first to last, both included.
    Range(u16, u16),
    /// What each peer calls so. The host itself has no named ports.
    Named(String),
}

/// What an allowed packet has to do besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Pass mutual authentication.
    Authentication,
    /// Pass the agent's proxy.
    Proxy,
}

/// Which of two a direction is, for arrays by direction.
pub(crate) fn index(direction: Direction) -> usize {
    usize::from(direction == Direction::Egress)
}

impl Rule {
    /// Its elements for a direction.
    pub fn of(&self, direction: Direction) -> impl Iterator<Item = &Element> {
        self.elements.iter().filter(move |element| element.direction == direction)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = protocol::label(self.protocol);
        match &self.ports {
            Ports::All => write!(formatter, "every {name}"),
            Ports::Range(first, last) if first == last => write!(formatter, "{name} {first}"),
            Ports::Range(first, last) => write!(formatter, "{name} {first}-{last}"),
            Ports::Named(port) => write!(formatter, "{name} port named {port}"),
        }
    }
}
