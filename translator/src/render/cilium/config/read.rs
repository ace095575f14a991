//! Reading the facts: from the ConfigMap, or one by one.

use std::collections::BTreeMap;

use policy::cilium::label_filter::{LabelFilter, PatternError};

use super::{AgentConfig, CidrMatchMode, Enforcement, RoutingMode, TunnelProtocol};

/// A fact that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such fact.
    #[error("`{key}` is not a fact that the translation depends on; those are {known}")]
    UnknownKey {
        /// What was written.
        key: String,
        /// The keys that are known, separated by commas.
        known: String,
    },
    /// A value that the key does not take.
    #[error("`{key}` takes {expected}, not `{value}`")]
    Value {
        /// The key.
        key: &'static str,
        /// What was written.
        value: String,
        /// What it takes.
        expected: String,
    },
}

type Setter = fn(&mut AgentConfig, &str) -> Result<(), String>;
type Getter = fn(&AgentConfig) -> Option<String>;

macro_rules! facts {
    ($($key:literal => $field:ident by $reader:ident),* $(,)?) => {
        /// Every key, with what takes its value and what gives it back.
        const FACTS: &[(&str, Setter, Getter)] = &[
            $((
                $key,
                |config, value| { config.$field = Some($reader(value)?); Ok(()) },
                |config| config.$field.as_ref().map(Fact::text),
            )),*
        ];
    };
}

facts! {
    "bpf-policy-map-max" => bpf_policy_map_max by map_size,
    "cluster-id" => cluster_id by cluster_number,
    "cluster-name" => cluster_name by text,
    "devices" => devices by devices,
    "enable-cilium-clusterwide-network-policy" => enable_cilium_clusterwide_network_policy by boolean,
    "enable-extended-ip-protocols" => enable_extended_ip_protocols by boolean,
    "enable-host-firewall" => enable_host_firewall by boolean,
    "enable-icmp-rules" => enable_icmp_rules by boolean,
    "enable-ipsec" => enable_ipsec by boolean,
    "enable-ipv4" => enable_ipv4 by boolean,
    "enable-ipv6" => enable_ipv6 by boolean,
    "enable-node-selector-labels" => enable_node_selector_labels by boolean,
    "enable-non-default-deny-policies" => enable_non_default_deny_policies by boolean,
    "enable-policy" => enable_policy by enforcement,
    "enable-sctp" => enable_sctp by boolean,
    "enable-wireguard" => enable_wireguard by boolean,
    "exclude-node-label-patterns" => exclude_node_label_patterns by excluded,
    "kube-proxy-replacement" => kube_proxy_replacement by boolean,
    "label-prefix-file" => label_prefix_file by text,
    "labels" => labels by patterns,
    "node-labels" => node_labels by patterns,
    "policy-audit-mode" => policy_audit_mode by boolean,
    "policy-cidr-match-mode" => policy_cidr_match_mode by match_mode,
    "policy-default-local-cluster" => policy_default_local_cluster by boolean,
    "routing-mode" => routing_mode by routing,
    "tunnel-port" => tunnel_port by port,
    "tunnel-protocol" => tunnel_protocol by tunnel,
}

impl AgentConfig {
    /// The keys that [`AgentConfig::set`] takes, sorted.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        FACTS.iter().map(|(key, ..)| *key)
    }

    /// States one fact.
    ///
    /// # Errors
    ///
    /// The key is none of [`AgentConfig::keys`], or does not take the value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let Some((key, setter, _)) = FACTS.iter().find(|(known, ..)| *known == key) else {
            let known = Self::keys().collect::<Vec<_>>().join(", ");
            return Err(ConfigError::UnknownKey { key: key.to_owned(), known });
        };
        setter(self, value.trim()).map_err(|expected| ConfigError::Value { key, value: value.to_owned(), expected })
    }

    /// Takes the facts from the `data` of the ConfigMap `kube-system/cilium-config`. Keys that decide nothing here are
    /// passed over.
    ///
    /// # Errors
    ///
    /// Every key whose value it does not take.
    pub fn from_data(data: &BTreeMap<String, String>) -> Result<Self, Vec<ConfigError>> {
        let mut config = Self::default();
        let errors: Vec<ConfigError> = FACTS
            .iter()
            .filter_map(|(key, ..)| data.get(*key).and_then(|value| config.set(key, value).err()))
            .collect();
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// The facts that are stated, as `cilium-config` would hold them.
    pub(crate) fn stated(&self) -> BTreeMap<String, String> {
        FACTS.iter().filter_map(|(key, _, get)| Some(((*key).to_owned(), get(self)?))).collect()
    }
}

/// A value in the form that `cilium-config` has it in.
trait Fact {
    fn text(&self) -> String;
}

macro_rules! displayed {
    ($($of:ty),*) => {
        $(impl Fact for $of {
            fn text(&self) -> String {
                self.to_string()
            }
        })*
    };
}

displayed!(bool, u16, u32, usize, String);

impl Fact for Vec<String> {
    fn text(&self) -> String {
        self.join(" ")
    }
}

impl Fact for Enforcement {
    fn text(&self) -> String {
        match self {
            Self::Default => "default",
            Self::Always => "always",
            Self::Never => "never",
        }
        .to_owned()
    }
}

impl Fact for CidrMatchMode {
    fn text(&self) -> String {
        let words = [(self.nodes, "nodes"), (self.pods, "pods")];
        words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    }
}

impl Fact for RoutingMode {
    fn text(&self) -> String {
        match self {
            Self::Tunnel => "tunnel",
            Self::Native => "native",
        }
        .to_owned()
    }
}

impl Fact for TunnelProtocol {
    fn text(&self) -> String {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
        }
        .to_owned()
    }
}

/// As Go's strconv.ParseBool, which reads these values for the agent.
fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("`true` or `false`".to_owned()),
    }
}

fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn devices(value: &str) -> Result<Vec<String>, String> {
    Ok(value.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn patterns(value: &str) -> Result<Vec<String>, String> {
    checked(value, LabelFilter::add)
}

fn excluded(value: &str) -> Result<Vec<String>, String> {
    checked(value, LabelFilter::exclude)
}

fn checked(value: &str, adder: fn(&mut LabelFilter, &str) -> Result<(), PatternError>) -> Result<Vec<String>, String> {
    let words = words(value);
    let mut filter = LabelFilter::default();
    for word in &words {
        adder(&mut filter, word).map_err(|error| format!("label patterns separated by blanks ({error})"))?;
    }
    Ok(words)
}

fn enforcement(value: &str) -> Result<Enforcement, String> {
    match value.to_ascii_lowercase().as_str() {
        "default" | "" => Ok(Enforcement::Default),
        "always" => Ok(Enforcement::Always),
        "never" => Ok(Enforcement::Never),
        _ => Err("`default`, `always` or `never`".to_owned()),
    }
}

fn match_mode(value: &str) -> Result<CidrMatchMode, String> {
    let mut mode = CidrMatchMode::default();
    for word in value.split_whitespace() {
        match word {
            "nodes" => mode.nodes = true,
            "pods" => mode.pods = true,
            _ => return Err("`nodes`, `pods`, both separated by a blank, or nothing".to_owned()),
        }
    }
    Ok(mode)
}

fn routing(value: &str) -> Result<RoutingMode, String> {
    match value {
        "tunnel" => Ok(RoutingMode::Tunnel),
        "native" => Ok(RoutingMode::Native),
        _ => Err("`tunnel` or `native`".to_owned()),
    }
}

fn tunnel(value: &str) -> Result<TunnelProtocol, String> {
    match value {
        "vxlan" => Ok(TunnelProtocol::Vxlan),
        "geneve" => Ok(TunnelProtocol::Geneve),
        _ => Err("`vxlan` or `geneve`".to_owned()),
    }
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "a port, 0 to 65535".to_owned())
}

fn cluster_number(value: &str) -> Result<u32, String> {
    value.parse().ok().filter(|number| *number <= 511).ok_or_else(|| "a number, 0 to 511".to_owned())
}

fn map_size(value: &str) -> Result<usize, String> {
    value.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number of entries".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::cilium::Version;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_real_config_map_is_read_and_other_keys_are_passed_over() {
        let config = AgentConfig::from_data(&data(&[
            ("devices", "eth0 bond+"),
            ("enable-policy", "Always"),
            ("policy-cidr-match-mode", "nodes pods"),
            ("labels", "k8s:app !foo"),
            ("debug", "false"),
            ("tunnel-protocol", "geneve"),
        ]))
        .expect("valid");
        assert_eq!(config.devices, Some(vec!["eth0".to_owned(), "bond+".to_owned()]));
        assert_eq!(config.enable_policy, Some(Enforcement::Always));
        assert_eq!(config.match_mode(Version::NEWEST), CidrMatchMode { nodes: true, pods: true });
        assert!(!config.match_mode(Version::new(1, 19)).pods);
        assert_eq!(config.tunnel(), Some(6081));
        assert_eq!(config.enable_host_firewall, None);
    }

    #[test]
    fn every_wrong_value_of_a_config_map_is_listed() {
        let errors =
            AgentConfig::from_data(&data(&[("enable-ipv4", "yes"), ("labels", "("), ("tunnel-port", "70000")]))
                .expect_err("three mistakes");
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "`enable-ipv4` takes `true` or `false`, not `yes`");
        assert!(texts[1].starts_with("`labels` takes label patterns"), "{}", texts[1]);
        assert_eq!(texts[2], "`tunnel-port` takes a port, 0 to 65535, not `70000`");
    }

    #[test]
    fn a_single_fact_must_be_one_that_is_known() {
        let error = AgentConfig::default().set("enable-hostfirewall", "true").expect_err("misspelt").to_string();
        assert!(error.contains("enable-host-firewall"), "{error}");
    }

    #[test]
    fn keys_are_sorted_and_every_one_can_be_set_and_given_back() {
        assert!(AgentConfig::keys().is_sorted());
        let values = ["true", "default", "nodes", "vxlan", "tunnel", "1"];
        for key in AgentConfig::keys() {
            let taken = values.iter().find_map(|value| {
                let mut config = AgentConfig::default();
                config.set(key, value).is_ok().then_some(config)
            });
            let config = taken.expect(key);
            assert_eq!(AgentConfig::from_data(&config.stated()), Ok(config), "{key}");
        }
    }
}
