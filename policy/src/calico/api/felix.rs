//! Settings of the agents (projectcalico/calico:api/pkg/apis/projectcalico/v3/{felixconfig,kubecontrollersconfig}.go).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `spec` of a FelixConfiguration: the failsafe lists by name, every other setting as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FelixConfigurationSpec {
    /// Always accepted by every host endpoint. Absent is Calico's own list; empty is none; a list replaces all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failsafe_inbound_host_ports: Option<Vec<ProtoPort>>,
    /// Always accepted from every host endpoint. As above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failsafe_outbound_host_ports: Option<Vec<ProtoPort>>,
    /// Every other setting.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// One failsafe port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProtoPort {
    /// `TCP` or `UDP`. Felix refuses to start on anything else, although the API takes SCTP.
    #[serde(default)]
    pub protocol: String,
    /// Port, 0 to 65535.
    pub port: i64,
    /// Inbound: where from; outbound: where to. Absent is anywhere, both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<String>,
}

/// `spec` of a KubeControllersConfiguration, as far as it makes host endpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KubeControllersConfigurationSpec {
    /// The controllers.
    #[serde(default)]
    pub controllers: ControllersConfig,
    /// Every other setting.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// Settings by controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControllersConfig {
    /// The node controller; absent turns it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeControllerConfig>,
    /// Every other controller.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// Settings of the node controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeControllerConfig {
    /// Automatic host endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_endpoint: Option<AutoHostEndpointConfig>,
    /// Every other setting.
    #[serde(flatten)]
    pub other: BTreeMap<String, serde_json::Value>,
}

/// How automatic host endpoints are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoHostEndpointConfig {
    /// `Enabled` or `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_create: Option<String>,
    /// `Enabled` or `Disabled`: the `*` endpoint of each node. From 3.30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_default_host_endpoint: Option<String>,
    /// Further endpoints per node. From 3.30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<Vec<HostEndpointTemplate>>,
}

/// A template for automatic host endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEndpointTemplate {
    /// Part of the endpoint's name.
    #[serde(default)]
    pub generate_name: String,
    /// Interfaces that carry an address in one of these prefixes.
    #[serde(default, rename = "interfaceCIDRs", skip_serializing_if = "Option::is_none")]
    pub interface_cidrs: Option<Vec<String>>,
    /// Interfaces whose name matches this regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_pattern: Option<String>,
    /// Labels added to the node's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Nodes, in Calico's selector language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<String>,
}
