//! Every fact that can change a verdict: policy objects, nodes, pods, addresses, CNI configuration.
//!
//! A [`Snapshot`] is immutable and cheap to copy: its parts are shared. Policy objects are kept as written, because what
//! upstream does with a malformed one differs by write path and by kind; each engine types them when it compiles. What
//! clusters have thousands of (nodes, pods, ...) is kept lean in [`Cluster`].

mod cluster;
mod load;
mod manifest;
mod objects;
pub mod sources;

use std::sync::Arc;

pub use cluster::{
    Cluster, ConfigMap, Container, DaemonSet, Deployment, Endpoint, EndpointPort, EndpointSlice, NamedPort, Namespace,
    Node, Pod, PodLabels, Service, ServiceAccount, ServicePort, Volume,
};
pub use load::{Duplicate, LoadError, Loaded, Loader, manifests};
pub use manifest::{Key, Manifest, Source};
pub use objects::Objects;

/// The facts.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Objects that the engines read as written: those of the groups `projectcalico.org`, `crd.projectcalico.org` and
    /// `cilium.io`; and what tells of lifelines: webhook configurations, API services, BGP peers of MetalLB.
    pub objects: Arc<Objects>,
    /// Everything else.
    pub cluster: Arc<Cluster>,
}

impl Snapshot {
    /// Objects of a kind in a group, whatever its version, in the order of their keys.
    pub fn of(&self, group: &str, kind: &str) -> impl Iterator<Item = &Arc<Manifest>> + use<'_> {
        self.objects.of(group, kind)
    }

    /// With an object put in, in the place of one with the same key.
    #[must_use]
    pub fn with(&self, manifest: Manifest) -> Self {
        let mut next = self.clone();
        Arc::make_mut(&mut next.objects).insert(Arc::new(manifest));
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
