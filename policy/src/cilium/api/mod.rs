//! The objects that Cilium reads (`cilium.io/v2`), as far as they police hosts.
//!
//! Absent, empty and filled lists, and a list with one empty element, mean four different things to Cilium
//! (cilium/cilium:pkg/policy/utils/parserules.go), so lists are `Option<Vec<_>>` throughout.

mod group;
mod rule;

pub use group::CiliumCidrGroupSpec;
pub use rule::{
    CidrRule, DefaultDeny, EgressRule, EndpointSelector, IcmpField, IcmpRule, IngressRule, PortProtocol, PortRule, Rule,
};

use serde::{Deserialize, Serialize};

use crate::object::{Object, ObjectMeta};

/// Group and version.
pub const V2: &str = "cilium.io/v2";

/// A policy for pods or, with a node selector, for hosts. `spec` and `specs` are pooled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CiliumClusterwideNetworkPolicy {
    /// `cilium.io/v2`.
    pub api_version: String,
    /// `CiliumClusterwideNetworkPolicy`.
    pub kind: String,
    /// Name, labels and annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// One rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Rule>,
    /// Several rules, parsed all or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specs: Option<Vec<Rule>>,
}

/// A named list of prefixes.
pub type CiliumCidrGroup = Object<CiliumCidrGroupSpec>;
