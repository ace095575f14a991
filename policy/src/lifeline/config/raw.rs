//! A LifelineConfig as it is written: every value with its place, nothing decided yet.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Distribution, EgressSelectorMode, Modes};
use crate::lifeline::judge::DoubtKind;
use crate::lifeline::model::Severity;
use crate::object::{LabelSelector, Operator, Requirement};

pub(super) type Text = Spanned<String>;
pub(super) type Texts = Option<Vec<Text>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawConfig {
    pub(super) api_version: Text,
    pub(super) kind: Text,
    #[serde(default)]
    pub(super) metadata: RawMetadata,
    #[serde(default)]
    pub(super) spec: RawSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMetadata {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct RawSpec {
    pub(super) parameters: RawParameters,
    pub(super) switch_off: Vec<Spanned<RawSwitchOff>>,
    pub(super) narrow: Vec<Spanned<RawNarrow>>,
    pub(super) add: Vec<Spanned<RawAdd>>,
    pub(super) mode: Modes,
    pub(super) tolerate: Vec<Spanned<RawTolerate>>,
}

macro_rules! parameters {
    ($($field:ident $name:literal)*) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct RawParameters {
            $(#[serde(rename = $name)] $field: Texts,)*
            pub(super) distribution: Option<Distribution>,
            #[serde(rename = "egressSelectorMode")]
            pub(super) egress_selector_mode: Option<EgressSelectorMode>,
            pub(super) overlay: Texts,
        }

        impl RawParameters {
            /// Lists of prefixes, by the names of their parameters.
            pub(super) fn addresses(&mut self) -> impl Iterator<Item = (&'static str, Vec<Text>)> {
                [$(($name, self.$field.take()),)*].into_iter().filter_map(|(name, texts)| Some((name, texts?)))
            }

            /// Names of all lists of prefixes.
            #[cfg(test)]
            pub(super) fn names() -> Vec<&'static str> {
                vec![$($name,)*]
            }
        }
    };
}

parameters! {
    admins "adminCIDRs"
    api_server_addresses "apiServerAddresses"
    api_server_sources "apiServerSources"
    bgp_peers "bgpPeers"
    dhcp_servers "dhcpServers"
    dns_servers "dnsServers"
    etcd_servers "etcdServers"
    konnectivity_servers "konnectivityServers"
    nodes "nodeCIDRs"
    node_port_sources "nodePortSources"
    ntp_servers "ntpServers"
    pods "podCIDRs"
    rancher_servers "rancherServers"
    registries "registries"
    storage_servers "storageServers"
    tunnel_sources "tunnelSources"
    webhook_addresses "webhookAddresses"
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSwitchOff {
    pub(super) id: Text,
    pub(super) reason: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNarrow {
    pub(super) id: Text,
    pub(super) reason: Option<Text>,
    pub(super) from: Option<Spanned<RawEnd>>,
    pub(super) to: Option<Spanned<RawEnd>>,
    pub(super) traffic: Texts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdd {
    pub(super) id: Text,
    pub(super) reason: Option<Text>,
    pub(super) severity: Option<Severity>,
    pub(super) from: Spanned<RawEnd>,
    pub(super) to: Spanned<RawEnd>,
    pub(super) traffic: Spanned<Vec<Text>>,
    pub(super) breaks: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTolerate {
    pub(super) doubt: Spanned<DoubtKind>,
    pub(super) field: Option<String>,
    pub(super) reason: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEnd {
    pub(super) nodes: Option<RawSelector>,
    pub(super) cidrs: Texts,
    pub(super) itself: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct RawSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<RawRequirement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequirement {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

impl From<RawSelector> for LabelSelector {
    fn from(raw: RawSelector) -> Self {
        let requirement = |it: RawRequirement| Requirement { key: it.key, operator: it.operator, values: it.values };
        Self {
            match_labels: raw.match_labels,
            match_expressions: raw.match_expressions.into_iter().map(requirement).collect(),
        }
    }
}
