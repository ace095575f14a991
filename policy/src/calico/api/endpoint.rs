//! Host endpoints (projectcalico/calico:api/pkg/apis/projectcalico/v3/hostendpoint.go).

use serde::{Deserialize, Serialize};

use crate::object::IntOrString;

/// `spec` of a HostEndpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEndpointSpec {
    /// Name of the node, exactly as Felix knows it.
    #[serde(default)]
    pub node: String,
    /// `*` for all interfaces, a name of at most 15 bytes, or absent: then `expected_ips` find the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// Bare addresses. They are what rule selectors match when they select this endpoint.
    #[serde(default, rename = "expectedIPs", skip_serializing_if = "Option::is_none")]
    pub expected_ips: Option<Vec<String>>,
    /// Profiles, tried in order when no tier decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<String>>,
    /// Named ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<EndpointPort>>,
}

/// A named port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPort {
    /// Name.
    pub name: String,
    /// Protocol.
    pub protocol: IntOrString,
    /// Port number.
    pub port: i64,
}
