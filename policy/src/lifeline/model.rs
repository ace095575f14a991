//! What a lifeline is: who reaches whom, with which packets, and what breaks otherwise.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use crate::snapshot::Key;

/// A flow the cluster cannot live without, as found in one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifeline {
    /// Stable id, such as `kubelet-api`.
    pub id: String,
    /// How bad a cut is.
    pub severity: Severity,
    /// Who reaches whom. All of them are needed.
    pub flows: Vec<Flow>,
    /// What breaks, in words for the one who is paged.
    pub breaks: String,
    /// Where it is documented that the cluster needs the flow.
    pub documented: String,
    /// What in the cluster tells that it needs the flow.
    pub origins: Vec<Origin>,
}

/// How bad a cut is. Later is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is missing that a cluster can run without for a while.
    Minor,
    /// Parts of the cluster stop working.
    Major,
    /// The cluster, or the way to repair it, is lost.
    Blocker,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Blocker => "blocker",
        })
    }
}

/// Packets from each of a group to each of another. A node that is in both reaches itself without leaving, which is no
/// part of the flow; [`Party::Itself`] and [`Party::Loopback`] say that it is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Who opens it.
    pub from: Party,
    /// Who answers.
    pub to: Party,
    /// The packets that open it.
    pub traffic: Vec<Traffic>,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Party {
    /// Nodes, by name. Each stands for every address that its packets can carry.
    #[serde(serialize_with = "names")]
    Nodes(Arc<BTreeSet<String>>),
    /// Addresses that are no node's: pods, clients, a hosted control plane.
    Addresses {
        /// Who they are, for a person: `pods`, `administrators`.
        name: String,
        /// The addresses.
        nets: Vec<IpNet>,
    },
    /// Pods of the node that is the other end, by addresses that they are among.
    OwnPods(Vec<IpNet>),
    /// As the other end: the node itself, by whichever address.
    Itself,
    /// As the other end: the node itself, by its loopback addresses.
    Loopback,
}

/// Packets of a flow, whatever their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Protocol number; absent: every one.
    pub protocol: Option<u8>,
    /// The one port that they come from, as in DHCP; absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// What follows.
    pub ports: Ports,
}

/// Ports or ICMP types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ports {
    /// Every packet of the protocol.
    All,
    /// Destination ports, first and last.
    Range(u16, u16),
    /// ICMP type and, where only one is meant, code.
    Icmp(u8, Option<u8>),
}

/// What in the cluster tells of a lifeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The object; absent: a default, or what the user states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Key>,
    /// Path of the field, or what the default is.
    pub field: String,
}

fn names<S: serde::Serializer>(names: &Arc<BTreeSet<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter())
}
