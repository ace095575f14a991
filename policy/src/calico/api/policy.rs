//! Policies and tiers (projectcalico/calico:api/pkg/apis/projectcalico/v3/{globalnetworkpolicy,tier}.go).

use serde::{Deserialize, Serialize, Serializer};

use super::Rule;

/// `spec` of a GlobalNetworkPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalNetworkPolicySpec {
    /// Name of the tier; absent means `default`. Up to 3.31 the tier is taken from the name instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Lower is earlier; absent is last.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "order")]
    pub order: Option<f64>,
    /// Which endpoints; absent or empty is every endpoint, pods too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Namespaces of the endpoints; any value excludes host endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<String>,
    /// Service accounts of the endpoints; any value excludes host endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_selector: Option<String>,
    /// Directions the policy applies to; the default differs between the three API shapes, so write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<PolicyType>>,
    /// Judged before DNAT. Ingress only; needs `apply_on_forward`.
    #[serde(default, rename = "preDNAT", skip_serializing_if = "Option::is_none")]
    pub pre_dnat: Option<bool>,
    /// Judged before connection tracking. Needs `apply_on_forward`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub do_not_track: Option<bool>,
    /// Also judges forwarded packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply_on_forward: Option<bool>,
    /// Rules for packets to the endpoint, first match decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<Rule>>,
    /// Rules for packets from the endpoint, first match decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<Rule>>,
    /// Hints without effect on a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance_hints: Option<Vec<String>>,
}

/// Direction, from the endpoint's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PolicyType {
    /// Packets to the endpoint.
    Ingress,
    /// Packets from the endpoint.
    Egress,
}

/// `spec` of a Tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TierSpec {
    /// Lower is earlier; absent is 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "order")]
    pub order: Option<f64>,
    /// What happens at the end of the tier; absent is Deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_action: Option<DefaultAction>,
}

/// What happens to a packet that no rule of a tier decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultAction {
    /// Go on with the next tier.
    Pass,
    /// Drop.
    Deny,
}

/// Writes a whole number without a fraction, as the API server does.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn order<S: Serializer>(order: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match order {
        #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^53")]
        Some(order) if order.fract() == 0.0 && order.abs() < 9e15 => serializer.serialize_i64(*order as i64),
        Some(order) => serializer.serialize_f64(*order),
        None => serializer.serialize_none(),
    }
}
