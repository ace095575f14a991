//! Who a peer is: the identity that a node's ipcache holds for an address.
//!
//! Policies select identities by labels, never addresses. An address is known by its longest prefix in the ipcache,
//! whose labels come from nodes, pods, API servers, policies and CIDR groups (cilium/cilium:pkg/ipcache/metadata.go,
//! pkg/identity/identity.go).

mod aggregate;
mod ipcache;
mod members;
mod ports;

pub use aggregate::Aggregate;
pub use ipcache::{Group, Ipcache, View};
pub use members::Members;
pub use ports::NamedPorts;

use std::fmt;
use std::sync::Arc;

use super::label::{CIDR, CIDR_GROUP, Labels};

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its number, as far as it decides anything.
    pub number: Number,
    /// Its labels.
    pub labels: Arc<Labels>,
}

/// Number of an identity. Those that differ from agent to agent are told apart by their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Number {
    /// A fixed number below 100.
    Reserved(u8),
    /// Allocated by the agent for a prefix.
    Local,
    /// Allocated by the agent for another node.
    RemoteNode,
    /// Allocated in the cluster for a set of pod labels.
    Pod {
        /// Whether the pod belongs to the cluster at hand.
        own_cluster: bool,
    },
}

impl Identity {
    /// The number of the host itself.
    pub const HOST: Number = Number::Reserved(1);

    /// An identity that is not a pod's, with the number that its labels get.
    ///
    /// `node_identities` says whether other nodes have identities of their own, as they do when prefixes or labels
    /// select nodes.
    pub fn of(labels: Labels, node_identities: bool) -> Self {
        let number = if labels.has_reserved("host") {
            Self::HOST
        } else if labels.has_reserved("remote-node") {
            match (node_identities, labels.has_reserved("kube-apiserver")) {
                (true, _) => Number::RemoteNode,
                (false, false) => Number::Reserved(6),
                (false, true) => Number::Reserved(7),
            }
        } else {
            let only = (labels.len() == 1).then(|| labels.iter().find_map(|label| fixed(&label.key))).flatten();
            only.map_or(Number::Local, Number::Reserved)
        };
        Self { number, labels: Arc::new(labels) }
    }

    /// The aggregate that the datapath looks up besides the identity itself, if there is one.
    pub fn aggregate(&self) -> Option<Aggregate> {
        match self.number {
            Number::Reserved(_) => None,
            Number::Local => Some(Aggregate::World),
            Number::RemoteNode => Some(Aggregate::RemoteNode),
            Number::Pod { own_cluster: true } => Some(Aggregate::Cluster),
            Number::Pod { own_cluster: false } => Some(Aggregate::ClusterMesh),
        }
    }

    /// Whether this is the host itself.
    pub fn is_host(&self) -> bool {
        self.number == Self::HOST
    }

    /// Whether labels of prefixes or CIDR groups take part in it.
    pub fn has_prefix_labels(&self) -> bool {
        self.labels.iter().any(|label| label.source == CIDR || label.source == CIDR_GROUP)
    }
}

/// Number of the identity whose only label is `reserved:NAME`.
fn fixed(name: &str) -> Option<u8> {
    Some(match name {
        "world" => 2,
        "unmanaged" => 3,
        "health" => 4,
        "init" => 5,
        "ingress" => 8,
        "world-ipv4" => 9,
        "world-ipv6" => 10,
        _ => return None,
    })
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(number) => number.fmt(formatter),
            Self::Local => formatter.write_str("local"),
            Self::RemoteNode => formatter.write_str("remote-node-scope"),
            Self::Pod { .. } => formatter.write_str("pod"),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} [{}]", self.number, self.labels.texts().join(" "))
    }
}
