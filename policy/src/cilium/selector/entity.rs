//! Well-known peers (cilium/cilium:pkg/policy/api/entity.go).

use super::{Requirement, Selector};
use crate::cilium::label::CLUSTER;
use crate::cilium::version::Version;
use crate::object::Operator;

/// Names of entities that the API takes, with the version that they came with.
pub const ENTITIES: &[(&str, Version)] = &[
    ("all", Version::OLDEST),
    ("world", Version::OLDEST),
    ("cluster", Version::OLDEST),
    ("cluster-mesh", Version::V1_20),
    ("host", Version::OLDEST),
    ("init", Version::OLDEST),
    ("ingress", Version::OLDEST),
    ("unmanaged", Version::OLDEST),
    ("remote-node", Version::OLDEST),
    ("health", Version::OLDEST),
    ("none", Version::OLDEST),
    ("kube-apiserver", Version::OLDEST),
];

/// What every entity that means the cluster has in common.
const CLUSTER_MEMBERS: &[&str] = &["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"];

/// What entities depend on.
#[derive(Clone, Copy, Debug)]
pub struct Entity<'s> {
    /// Version of the agent.
    pub version: Version,
    /// Name of the local cluster.
    pub cluster: &'s str,
}

impl Entity<'_> {
    /// The selectors that an entity stands for, ORed; none when there is no such entity.
    ///
    /// `world-ipv4` and `world-ipv6` exist for the agent only; the API does not take them. From 1.20 on entities also
    /// name the aggregate identities, so that they cover what those stand for.
    pub fn selectors(self, name: &str) -> Option<Vec<Selector>> {
        let aggregates = self.version >= Version::V1_20;
        let reserved = |names: &[&str]| names.iter().map(|name| one(name)).collect::<Vec<_>>();
        let with = |names: &[&str], aggregate: &str| {
            let mut selectors = reserved(names);
            if aggregates {
                selectors.push(one(aggregate));
            }
            selectors
        };
        Some(match name {
            "all" => vec![Selector::Everyone],
            "world" => with(&["world", "world-ipv4", "world-ipv6"], "aggregate-world"),
            "remote-node" => with(&["remote-node"], "aggregate-remote-node"),
            "world-ipv4" | "world-ipv6" | "host" | "init" | "ingress" | "health" | "unmanaged" | "none"
            | "kube-apiserver" => reserved(&[name]),
            "cluster" => {
                let mut selectors = with(CLUSTER_MEMBERS, "aggregate-cluster");
                let own = Requirement::new(&format!("k8s:{CLUSTER}"), Operator::In, vec![self.cluster.to_owned()]);
                selectors.push(Selector::Labels(vec![own]));
                selectors
            }
            "cluster-mesh" if self.version >= Version::V1_20 => {
                let mut selectors = with(CLUSTER_MEMBERS, "aggregate-cluster");
                selectors.push(one("aggregate-cluster-mesh"));
                selectors.push(Selector::Labels(vec![Requirement::new(CLUSTER, Operator::Exists, Vec::new())]));
                selectors
            }
            _ => return None,
        })
    }
}

fn one(name: &str) -> Selector {
    Selector::Labels(vec![Requirement::new(&format!("reserved:{name}"), Operator::In, vec![String::new()])])
}
