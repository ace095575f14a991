//! An expanded matrix: parameters filled in, conditions decided, peers resolved. This is all that the renderers read.

use std::collections::BTreeSet;
use std::fmt;

use policy::net::{Cidr, Family};
use policy::object::LabelSelector;
use serde::Serialize;

use crate::finding::Location;

/// An expanded matrix.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// `metadata.name`: a DNS label of at most 40 characters.
    pub name: String,
    /// Where it came from: `preset harvester`, a file name, or `stdin`.
    pub source: String,
    /// `sha256:` and the hex digest of the matrix text and every setting that shaped the expansion.
    pub digest: String,
    /// Facts about the cluster.
    pub cluster: Cluster,
    /// What holds for every role.
    pub frame: Frame,
    /// The roles, in the order written. Names are DNS labels.
    pub roles: Vec<Role>,
    /// Rows that the frame needs (loopback, ICMP errors, neighbour discovery, DHCP), only for directions that are denied
    /// by default. Every one applies to all roles.
    pub frame_rows: Vec<Row>,
    /// The rows that are in force, in the order written. Rows whose condition is false, whose peers are all empty
    /// parameters, or that only document a loopback listener are not here.
    pub rows: Vec<Row>,
}

/// Facts about the cluster. What is unknown is `None` or empty.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Distribution, such as `rke2`.
    pub distribution: Option<String>,
    /// The CNI that carries pod traffic: `calico`, `cilium`, `canal`, `flannel`, ...
    pub cni: Option<String>,
    /// Encapsulation: `vxlan`, `geneve`, `ipip`, `wireguard`, `none`.
    pub encapsulation: Option<String>,
    /// Features that are on, such as `wireguard`.
    pub features: BTreeSet<String>,
    /// Port of the API server on the control-plane nodes.
    pub api_server_port: u16,
    /// Port of the kubelet.
    pub kubelet_port: u16,
    /// Whether the API server runs outside the cluster's nodes.
    pub hosted_control_plane: bool,
    /// Prefixes of the node network. Joining nodes are in them too.
    pub node_cidrs: Vec<Cidr>,
    /// Prefixes of the pods.
    pub pod_cidrs: Vec<Cidr>,
    /// Prefixes of the services.
    pub service_cidrs: Vec<Cidr>,
    /// Node port range.
    pub node_ports: PortRange,
}

/// What holds for every role.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Interfaces that are policed.
    pub interfaces: Interfaces,
    /// Packets to the nodes.
    pub ingress: Default,
    /// Packets from the nodes.
    pub egress: Default,
    /// Packets for node ports that the node would forward to a pod.
    pub forward: Forward,
}

/// Interfaces of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interfaces {
    /// Every one, loopback included.
    All,
    /// These, by name. Never empty.
    Named(Vec<String>),
}

/// What happens to packets of a direction that no row mentions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Default {
    /// Dropped, or left to whatever other policies say.
    pub deny: bool,
    /// Logged before they are dropped.
    pub log: Option<Log>,
}

/// A log line before the drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Prefix of the line.
    pub prefix: Option<String>,
    /// Rate, such as `10/min`.
    pub rate: Option<String>,
    /// Level, such as `warning`.
    pub level: Option<String>,
}

/// Whether node-port packets are held to the ingress rows before they are forwarded to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// No: they are the pods' business.
    Ignore,
    /// Yes.
    Enforce,
}

/// A set of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// A DNS label.
    pub name: String,
    /// Which nodes.
    pub selector: LabelSelector,
    /// Place in the matrix.
    pub at: Option<Location>,
}

/// One row in force.
#[derive(Clone, Debug)]
pub struct Row {
    /// A row of the file or of the frame.
    pub origin: Origin,
    /// Place in the matrix; `None` for rows of the frame.
    pub at: Option<Location>,
    /// Indices into [`Expanded::roles`], ascending, never empty.
    pub roles: Vec<usize>,
    /// From the node's point of view.
    pub direction: Direction,
    /// What is allowed; one entry per protocol, ORed.
    pub traffic: Vec<Traffic>,
    /// The other side, ORed; never empty.
    pub peers: Vec<Peer>,
    /// Addresses that are not meant, whatever `peers` says.
    pub except: Vec<Cidr>,
    /// Allow, or deny before any allow.
    pub action: Action,
    /// One family only.
    pub family: Option<Family>,
    /// These interfaces instead of the frame's.
    pub interfaces: Option<Vec<String>>,
    /// For people.
    pub purpose: String,
    /// Id of the lifeline that the row carries, such as `kubelet-api`.
    pub flow: Option<String>,
    /// The row may be left out, with a finding, where it cannot be expressed.
    pub optional: bool,
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `spec.rows[i]`.
    Row(usize),
    /// The frame; the name says which part: `loopback`, `icmp-errors`, `neighbour-discovery`, `dhcp`.
    Frame(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(index) => write!(formatter, "rows[{index}]"),
            Self::Frame(part) => write!(formatter, "frame:{part}"),
        }
    }
}

impl Row {
    /// Path in the matrix.
    pub fn path(&self) -> String {
        match self.origin {
            Origin::Row(index) => format!("spec.rows[{index}]"),
            Origin::Frame(_) => "spec.enforcement".to_owned(),
        }
    }

    /// For messages: `rows[6] (SSH)`.
    pub fn title(&self) -> String {
        if self.purpose.is_empty() { self.origin.to_string() } else { format!("{} ({})", self.origin, self.purpose) }
    }
}

/// From the node's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the node.
    Ingress,
    /// From the node.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// What a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Allow.
    Allow,
    /// Deny, before any allow.
    Deny,
}

/// A kind of packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Every protocol.
    Any,
    /// A protocol with ports.
    Ports {
        /// Which.
        transport: Transport,
        /// Destination ports; empty is every port. Sorted, disjoint, not adjacent.
        ports: Vec<PortRange>,
        /// Source ports; empty is every port. Sorted, disjoint, not adjacent.
        source_ports: Vec<PortRange>,
    },
    /// ICMP (for IPv4) or ICMPv6 (for IPv6); empty is every type.
    Icmp {
        /// IPv4: ICMP; IPv6: ICMPv6.
        family: Family,
        /// Types; empty is every type. Sorted.
        types: Vec<IcmpMatch>,
    },
    /// A protocol by number; never 1, 6, 17, 58 or 132, which have a form of their own.
    Number(u8),
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// `TCP`, `UDP` or `SCTP`, as both CNIs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// An inclusive range of ports, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// First.
    pub first: u16,
    /// Last, not less than `first`.
    pub last: u16,
}

impl PortRange {
    /// Whether some port is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(formatter, "{}", self.first)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

/// An ICMP type, with or without code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpMatch {
    /// Type.
    pub icmp_type: u8,
    /// Code; any when absent.
    pub code: Option<u8>,
}

/// The other side of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Everyone, both families.
    Any,
    /// Every node of the cluster, by label, and the node network where it is known (joining nodes included).
    Nodes,
    /// Every pod of the cluster.
    Pods,
    /// Every service address of the cluster.
    Services,
    /// The loopback network.
    Localhost,
    /// The nodes of a role: an index into [`Expanded::roles`].
    Role(usize),
    /// Nodes by label.
    NodeSelector {
        /// Name of the peer.
        name: String,
        /// Which nodes.
        selector: LabelSelector,
    },
    /// Pods by label.
    PodSelector {
        /// Name of the peer.
        name: String,
        /// Labels of their namespaces; absent is every namespace.
        namespaces: Option<LabelSelector>,
        /// Labels of the pods.
        pods: LabelSelector,
    },
    /// Prefixes.
    Cidrs {
        /// Name of the peer or parameter; `None` when written in the row.
        name: Option<String>,
        /// Sorted, without repetition, never empty, never both families whole (that is [`Peer::Any`]).
        cidrs: Vec<Cidr>,
    },
    /// DNS names.
    Fqdns {
        /// Name of the peer.
        name: String,
        /// The names.
        names: Vec<String>,
    },
}
