//! What is asked about a packet, and the answer.

use std::fmt;

use serde::Serialize;

use crate::packet::Direction;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// Name of the node.
    pub node: &'q str,
    /// To the host, or from it. Nothing is ever judged on its way through ([`Direction::Forward`]).
    pub direction: Direction,
    /// How much of the host is asked.
    pub layer: Layer,
    /// Where the packet enters or leaves.
    pub path: Path<'q>,
}

/// How much of the host is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Policy alone: what `pkg/policy` of the agent says about peer, protocol and port.
    Policy,
    /// The datapath too: what never reaches policy, and what is dropped before it.
    Host,
}

/// Where a packet enters or leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path<'q> {
    /// A network interface. Without a name, one that is policed.
    Device(Option<&'q str>),
    /// Cilium's own interfaces: from pods of the node, the overlay or WireGuard, or to them.
    Cilium,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
    /// It passes without policy having been asked.
    NotJudged,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NotJudged => "not judged",
        })
    }
}
