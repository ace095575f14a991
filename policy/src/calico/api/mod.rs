//! The objects that Calico reads, `projectcalico.org/v3` and `crd.projectcalico.org/v1` alike.
//!
//! Both groups carry the same `spec` (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/resources.go). Absent,
//! empty and filled lists mean different things to Calico, so lists are `Option<Vec<_>>` throughout. Selectors, prefixes and
//! ports stay text as written: Calico itself accepts objects whose text it later refuses.

mod endpoint;
mod felix;
mod policy;
mod rule;
mod set;

pub use endpoint::{EndpointPort, HostEndpointSpec};
pub use felix::{
    AutoHostEndpointConfig, ControllersConfig, FelixConfigurationSpec, HostEndpointTemplate,
    KubeControllersConfigurationSpec, NodeControllerConfig, ProtoPort,
};
pub use policy::{DefaultAction, GlobalNetworkPolicySpec, PolicyType, TierSpec};
pub use rule::{Action, EntityRule, IcmpFields, Rule, RuleMetadata, ServiceAccountMatch, ServiceMatch};
pub use set::GlobalNetworkSetSpec;

use crate::object::Object;

/// Group and version of the user-facing API.
pub const V3: &str = "projectcalico.org/v3";
/// Group and version of the backing custom resources.
pub const V1: &str = "crd.projectcalico.org/v1";

/// A policy for every endpoint its selector matches, host endpoints among them.
pub type GlobalNetworkPolicy = Object<GlobalNetworkPolicySpec>;
/// An ordered group of policies.
pub type Tier = Object<TierSpec>;
/// A labelled list of prefixes that rule selectors can match.
pub type GlobalNetworkSet = Object<GlobalNetworkSetSpec>;
/// One or all interfaces of a host, made subject to policy.
pub type HostEndpoint = Object<HostEndpointSpec>;
/// Settings of the node agent.
pub type FelixConfiguration = Object<FelixConfigurationSpec>;
/// Settings of calico-kube-controllers.
pub type KubeControllersConfiguration = Object<KubeControllersConfigurationSpec>;
