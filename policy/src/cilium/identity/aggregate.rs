//! Aggregate identities (cilium/cilium:pkg/policy/aggregate.go), from 1.20 on.
//!
//! They stand for whole classes in the policy map. Their own labels are only a marker, so a selector made of `NotIn`
//! and `DoesNotExist` alone selects them too, and through them every member of the class: it selects more than its
//! labels say.

use std::sync::LazyLock;

use crate::cilium::label::{Label, Labels};

/// A class of identities that the datapath looks up beside the specific one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// 11: pods of the cluster at hand.
    Cluster,
    /// 12: pods of other clusters.
    ClusterMesh,
    /// 13: what the agent knows by prefix.
    World,
    /// 14: other nodes, where they have identities of their own.
    RemoteNode,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::ClusterMesh, Self::World, Self::RemoteNode];

    /// Its name, which is the only label it has.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "aggregate-cluster",
            Self::ClusterMesh => "aggregate-cluster-mesh",
            Self::World => "aggregate-world",
            Self::RemoteNode => "aggregate-remote-node",
        }
    }

    /// Its labels.
    pub fn labels(self) -> &'static Labels {
        static LABELS: LazyLock<[Labels; 4]> =
            LazyLock::new(|| Aggregate::ALL.map(|one| [Label::reserved(one.name())].into_iter().collect()));
        &LABELS[self as usize]
    }
}
