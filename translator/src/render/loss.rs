//! What the objects say otherwise than the rows, for a program: each finding of a loss says here which packets it is about.
//!
//! The proof holds the objects to the rows with exactly these differences. What none of them accounts for is a defect.

use std::fmt;

use policy::net::{Cidr, Family};
use policy::object::LabelSelector;

use crate::finding::Code;
use crate::matrix::{Direction, Origin, Transport};

/// One difference, and the finding that reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The kind of finding.
    pub code: &'static Code,
    /// Which packets.
    pub packets: Packets,
}

/// The packets of a [`Loss`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packets {
    /// What a row matches is another set than the one that it means.
    Row {
        /// The row.
        row: Origin,
        /// Its direction; parts of the frame have a row in each.
        direction: Direction,
        /// How the sets differ.
        change: Change,
    },
    /// A port is open on nodes of some roles, whatever the rows say.
    Failsafe {
        /// Indices into the roles of the matrix.
        roles: Vec<usize>,
        /// Which way.
        direction: Direction,
        /// TCP or UDP.
        transport: Transport,
        /// Destination port.
        port: u16,
        /// The other side; `None` is anywhere.
        net: Option<Cidr>,
    },
    /// An interface is not policed.
    Interface {
        /// Its name.
        name: String,
    },
}

/// How what a row matches differs from what it means.
///
/// The first eight match more, the others less. For an allow, more is admitted then; for a deny, more is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Source ports are not looked at.
    AnySourcePort,
    /// ICMP codes are not looked at.
    AnyIcmpCode,
    /// Protocols and ports are not looked at.
    AnyProtocol,
    /// Every node of the cluster is a peer.
    EveryNode,
    /// The node network is a peer, without the addresses of nodes that are known not to be selected.
    Network {
        /// Who is known by label; absent is nobody.
        selector: Option<LabelSelector>,
    },
    /// Nodes or pods are peers with their addresses of the other family too.
    AnyFamily(Known),
    /// Nodes or pods are peers with their excepted addresses too.
    NoExceptions(Known),
    /// Nodes and pods of other clusters are peers.
    OtherClusters,
    /// Packets for node ports are not judged.
    NodePorts,
    /// Packets of a protocol with ports are not matched.
    Without(Transport),
    /// Packets of these ICMP types are not matched.
    WithoutIcmp(Family, Vec<u8>),
    /// Nodes or pods in the row's prefixes are not matched.
    NotByPrefix(Known),
    /// Nodes are matched by their host endpoints alone: not before those exist.
    ByEndpoint,
}

/// Who is known otherwise than by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nodes.
    Nodes,
    /// Pods.
    Pods,
}

impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nodes => "nodes",
            Self::Pods => "pods",
        })
    }
}
