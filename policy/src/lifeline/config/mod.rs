//! What a user says about a cluster's lifelines: facts that no object tells, and lifelines more, fewer or narrower.

mod apply;
mod error;
mod raw;
mod read;
mod webhook;

use serde::Serialize;

pub(super) use apply::apply;
pub use error::{Code, ConfigError};
pub use webhook::{Mode, Modes, Tolerate};

use super::model::{Severity, Traffic};
use crate::net::Cidr;
use crate::object::LabelSelector;

/// `kind: LifelineConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `metadata.name`.
    pub name: String,
    /// Facts.
    pub parameters: Parameters,
    /// Lifelines that are not held against changes.
    pub switch_off: Vec<SwitchOff>,
    /// Lifelines of which only a part is.
    pub narrow: Vec<Narrow>,
    /// Further lifelines, or further flows of known ones.
    pub add: Vec<Add>,
    /// What the webhook does about cuts.
    pub mode: Modes,
    /// Doubts over which the webhook refuses nothing.
    pub tolerate: Vec<Tolerate>,
}

/// Facts that detection reads. What is absent is not known; an empty list says that there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Prefixes of each parameter of [`ADDRESSES`], by its place there.
    addresses: [Option<Vec<Cidr>>; ADDRESSES.len()],
    /// `distribution`: which one it is, where nodes do not tell.
    pub distribution: Option<Distribution>,
    /// `egressSelectorMode` of K3s and RKE2.
    pub egress_selector_mode: Option<EgressSelectorMode>,
    /// `overlay`: packets that carry pod traffic between nodes; none where it is routed.
    pub overlay: Option<Vec<Traffic>>,
}

/// Parameters that are lists of prefixes, with what they are.
pub const ADDRESSES: [(&str, &str); 17] = [
    ("adminCIDRs", "where administrators come from"),
    ("apiServerAddresses", "load balancers and virtual addresses of the API server"),
    ("apiServerSources", "where a hosted control plane dials from"),
    ("bgpPeers", "routers that speak BGP with the nodes"),
    ("dhcpServers", "servers and relays of DHCP"),
    ("dnsServers", "resolvers that nodes ask"),
    ("etcdServers", "members of an etcd outside the cluster"),
    ("konnectivityServers", "servers that konnectivity agents dial"),
    ("nodeCIDRs", "the node network, joining nodes included"),
    ("nodePortSources", "clients and load balancers that use node ports"),
    ("ntpServers", "time servers"),
    ("podCIDRs", "addresses of pods"),
    ("rancherServers", "the Rancher server"),
    ("registries", "image registries and their mirrors"),
    ("storageServers", "iSCSI and NFS servers"),
    ("tunnelSources", "where the tunnel of a hosted control plane comes from"),
    ("webhookAddresses", "webhooks that are known by a name only"),
];

impl Parameters {
    /// Prefixes of one of [`ADDRESSES`], if they are stated.
    pub fn addresses(&self, name: &str) -> Option<&[Cidr]> {
        let index = ADDRESSES.iter().position(|(known, _)| *known == name)?;
        self.addresses[index].as_deref()
    }

    /// States prefixes of one of [`ADDRESSES`]. Whether there is such a parameter.
    pub fn state(&mut self, name: &str, cidrs: Vec<Cidr>) -> bool {
        let index = ADDRESSES.iter().position(|(known, _)| *known == name);
        index.map(|index| self.addresses[index] = Some(cidrs)).is_some()
    }
}

/// How a Kubernetes is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Azure.
    Aks,
    /// Amazon.
    Eks,
    /// Google.
    Gke,
    /// Harvester: RKE2 with a witness role.
    Harvester,
    /// k0s.
    K0s,
    /// K3s.
    K3s,
    /// kOps.
    Kops,
    /// kubeadm, or by hand.
    Kubeadm,
    /// Akamai.
    Lke,
    /// MicroK8s.
    Microk8s,
    /// OpenShift.
    Openshift,
    /// RKE2.
    Rke2,
    /// Talos Linux.
    Talos,
}

/// How the API server of K3s and RKE2 reaches kubelets and pods
/// (k3s-io/docs:docs/networking/basic-network-options.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressSelectorMode {
    /// Kubelets over the agents' tunnels.
    Agent,
    /// Kubelets, and pods of the agent's own node, over tunnels.
    Pod,
    /// Kubelets and all pods over tunnels.
    Cluster,
    /// Nothing over tunnels.
    Disabled,
}

/// A lifeline that is not held against changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchOff {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// A lifeline of which only a part is held against changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Only flows from these.
    pub from: Option<End>,
    /// Only flows to these.
    pub to: Option<End>,
    /// Only these packets.
    pub traffic: Option<Vec<Traffic>>,
}

/// A further lifeline, or further flows of a known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// How bad a cut is; absent: as in the catalogue, or major.
    pub severity: Option<Severity>,
    /// Who opens it.
    pub from: End,
    /// Who answers.
    pub to: End,
    /// The packets.
    pub traffic: Vec<Traffic>,
    /// What breaks; absent: as in the catalogue.
    pub breaks: Option<String>,
}

/// One end of a flow, as a user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Nodes by label.
    Nodes(LabelSelector),
    /// Addresses that are no node's.
    Addresses(Vec<Cidr>),
    /// The node itself.
    Itself,
}

/// The JSON Schema (2020-12) of a configuration, for editors. What the reader takes, the schema takes.
pub const SCHEMA: &str = include_str!("../../../schema/lifelineconfig.v1alpha1.json");
