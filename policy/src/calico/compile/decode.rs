//! Objects as Go decodes them: enumerations are text, ports and protocols are checked while decoding.
//!
//! The API and Felix both refuse more than decoding does, and not the same things; what they refuse is decided after
//! this, so nothing here is stricter than projectcalico/calico:api/pkg/apis/projectcalico/v3.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::object::{self, ParseError, Parsed};

/// An object of any kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Decoded<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub(super) metadata: Metadata,
    pub(super) spec: S,
}

/// The part of the metadata that a verdict reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// `spec` of a GlobalNetworkPolicy or a StagedGlobalNetworkPolicy. Presence of lists matters to one default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PolicySpec {
    pub(super) tier: String,
    pub(super) order: Option<f64>,
    pub(super) selector: String,
    pub(super) namespace_selector: String,
    pub(super) service_account_selector: String,
    pub(super) types: Option<Vec<String>>,
    #[serde(rename = "preDNAT")]
    pub(super) pre_dnat: bool,
    pub(super) do_not_track: bool,
    pub(super) apply_on_forward: bool,
    pub(super) ingress: Option<Vec<Rule>>,
    pub(super) egress: Option<Vec<Rule>>,
    pub(super) performance_hints: Vec<String>,
    pub(super) staged_action: String,
}

/// `spec` of a Profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProfileSpec {
    pub(super) ingress: Vec<Rule>,
    pub(super) egress: Vec<Rule>,
    pub(super) labels_to_apply: BTreeMap<String, String>,
}

/// `spec` of a Tier.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TierSpec {
    pub(super) order: Option<f64>,
    pub(super) default_action: Option<String>,
}

/// `spec` of a GlobalNetworkSet or a NetworkSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SetSpec {
    pub(super) nets: Vec<String>,
}

/// `spec` of a HostEndpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointSpec {
    pub(super) node: String,
    pub(super) interface_name: String,
    #[serde(rename = "expectedIPs")]
    pub(super) expected_ips: Vec<String>,
    pub(super) profiles: Vec<String>,
    pub(super) ports: Vec<EndpointPort>,
}

/// A named port of an endpoint.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct EndpointPort {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) port: u16,
}

/// A rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    pub(super) action: String,
    pub(super) metadata: Option<RuleMetadata>,
    pub(super) ip_version: Option<i64>,
    pub(super) protocol: Option<Protocol>,
    pub(super) not_protocol: Option<Protocol>,
    pub(super) icmp: Option<Icmp>,
    #[serde(rename = "notICMP")]
    pub(super) not_icmp: Option<Icmp>,
    pub(super) source: Entity,
    pub(super) destination: Entity,
    pub(super) http: Option<Http>,
}

/// Metadata of a rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleMetadata {
    pub(super) annotations: BTreeMap<String, String>,
}

/// ICMP type and code.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Icmp {
    #[serde(rename = "type")]
    pub(super) kind: Option<i64>,
    pub(super) code: Option<i64>,
}

/// Application-layer match. Felix does not enforce it, the API checks it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Http {
    pub(super) methods: Vec<String>,
    pub(super) paths: Vec<HttpPath>,
}

/// One path: exact or a prefix.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HttpPath {
    pub(super) exact: String,
    pub(super) prefix: String,
}

/// One side of a rule.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Entity {
    pub(super) nets: Vec<String>,
    pub(super) not_nets: Vec<String>,
    pub(super) selector: String,
    pub(super) not_selector: String,
    pub(super) namespace_selector: String,
    pub(super) service_accounts: Option<ServiceAccounts>,
    pub(super) services: Option<Service>,
    pub(super) ports: Vec<Port>,
    pub(super) not_ports: Vec<Port>,
}

/// Service accounts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceAccounts {
    pub(super) names: Vec<String>,
    pub(super) selector: String,
}

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) namespace: String,
}

/// A port of a rule (projectcalico/api:pkg/lib/numorstring/port.go).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// From and to, both included.
    Range(u16, u16),
    /// A name.
    Name(String),
}

/// A protocol: digits are a number even when they are quoted (projectcalico/api:pkg/lib/numorstring/type.go).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A number.
    Number(u8),
    /// A name.
    Name(String),
}

impl Default for Protocol {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Name(name) => name.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => port(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not a port"))),
            Value::Number(number) => {
                let port = number.as_u64().and_then(|number| u16::try_from(number).ok());
                let port = port.ok_or_else(|| D::Error::custom(format!("{number} is not a port")))?;
                Ok(Self::Range(port, port))
            }
            _ => Err(D::Error::invalid_type(Unexpected::Other("neither"), &"a port or its name")),
        }
    }
}

fn port(text: &str) -> Option<Port> {
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok())
    };
    if let Some(port) = number(text) {
        return port.map(|port| Port::Range(port, port));
    }
    if let Some((from, to)) = text.split_once(':')
        && let (Some(from), Some(to)) = (number(from), number(to))
    {
        return Some(Port::Range(from?, to?)).filter(|port| matches!(port, Port::Range(from, to) if from <= to));
    }
    let named = (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    named.then(|| Port::Name(text.to_owned()))
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(text.parse().map_or(Self::Name(text), Self::Number)),
            Value::Number(number) => {
                let number = number.as_u64().and_then(|number| u8::try_from(number).ok());
                number.map(Self::Number).ok_or_else(|| D::Error::custom("not a protocol number"))
            }
            _ => Err(D::Error::invalid_type(Unexpected::Other("neither"), &"a protocol name or number")),
        }
    }
}

/// Decodes an object. Null counts as absent, as in Go.
pub(super) fn decode<S>(value: &Value) -> Result<Parsed<Decoded<S>>, ParseError>
where
    S: Default + for<'de> Deserialize<'de>,
{
    if has_null(value) { object::parse(&without_nulls(value)) } else { object::parse(value) }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Recursion is as deep as the value, and a reader of JSON stops at 128.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Option<Port> {
        Port::deserialize(value).ok()
    }

    #[test]
    fn a_port_is_a_number_a_range_with_a_colon_or_a_name() {
        assert_eq!(read(&json!(80)), Some(Port::Range(80, 80)));
        assert_eq!(read(&json!("80")), Some(Port::Range(80, 80)));
        assert_eq!(read(&json!("30000:32767")), Some(Port::Range(30000, 32767)));
        assert_eq!(read(&json!("30000-32767")), Some(Port::Name("30000-32767".to_owned())));
        assert_eq!(read(&json!("http")), Some(Port::Name("http".to_owned())));
        for bad in [json!(70000), json!(-1), json!("70000"), json!("2:1"), json!("1:70000"), json!("a b"), json!(1.5)] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn quoted_digits_are_a_protocol_number() {
        let read = |value: Value| Protocol::deserialize(&value).ok();
        assert_eq!(read(json!("6")), Some(Protocol::Number(6)));
        assert_eq!(read(json!("300")), Some(Protocol::Name("300".to_owned())));
        assert_eq!(read(json!(300)), None);
        assert_eq!(read(json!("TCP")), Some(Protocol::Name("TCP".to_owned())));
    }
}
