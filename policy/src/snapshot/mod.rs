//! Every fact that can change a verdict: policy objects, nodes, pods, addresses, CNI configuration.
//!
//! A [`Snapshot`] is immutable and cheap to copy: its parts are shared. Policy objects are kept as written, because what
//! upstream does with a malformed one differs by write path and by kind; each engine types them when it compiles. What
//! clusters have thousands of (nodes, pods, ...) is kept lean in [`Cluster`].

mod cluster;
mod load;
mod manifest;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use cluster::{
    Cluster, ConfigMap, Container, DaemonSet, Deployment, Endpoint, EndpointPort, EndpointSlice, NamedPort, Namespace,
    Node, Pod, Service, ServiceAccount, ServicePort, Volume,
};
pub use load::{Duplicate, LoadError, Loaded, Loader, manifests};
pub use manifest::{Key, Manifest, Source};

/// The facts.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Objects that the engines read as written: those of the groups `projectcalico.org`, `crd.projectcalico.org` and
    /// `cilium.io`; and what tells of lifelines: webhook configurations, API services, BGP peers of MetalLB.
    pub objects: Arc<BTreeMap<Key, Arc<Manifest>>>,
    /// Everything else.
    pub cluster: Arc<Cluster>,
}

impl Snapshot {
    /// Objects of a kind in a group, whatever its version, in the order of their keys.
    pub fn of<'s>(&'s self, group: &'s str, kind: &'s str) -> impl Iterator<Item = &'s Arc<Manifest>> {
        let from =
            Key { group: group.to_owned(), kind: kind.to_owned(), namespace: String::new(), name: String::new() };
        self.objects
            .range(from..)
            .take_while(move |(key, _)| key.group == group && key.kind == kind)
            .map(|(_, manifest)| manifest)
    }

    /// With an object put in, in the place of one with the same key.
    #[must_use]
    pub fn with(&self, manifest: Manifest) -> Self {
        let mut next = self.clone();
        Arc::make_mut(&mut next.objects).insert(manifest.key.clone(), Arc::new(manifest));
        next
    }

    /// Without an object.
    #[must_use]
    pub fn without(&self, key: &Key) -> Self {
        let mut next = self.clone();
        Arc::make_mut(&mut next.objects).remove(key);
        next
    }
}
