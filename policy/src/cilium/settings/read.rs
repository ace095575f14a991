//! Reading settings from a snapshot.

use std::collections::BTreeMap;

use super::value::{
    CidrMatchMode, Enforcement, RoutingMode, TunnelProtocol, boolean, enforcement, excluded, map_size, match_mode,
    patterns, port, routing, text, tunnel, words,
};
use super::{Origin, Setting, Settings};
use crate::cilium::version::Version;
use crate::snapshot::{Cluster, Container};

/// Name of the ConfigMap.
pub(crate) const CONFIG_MAP: &str = "cilium-config";
/// Name of the agent's container.
pub(crate) const CONTAINER: &str = "cilium-agent";

/// A setting whose value the agent does not take: it does not start with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: `{key}` takes {expected}, not `{value}`")]
pub struct SettingError {
    /// Key as in `cilium-config`.
    pub key: &'static str,
    /// What was written.
    pub value: String,
    /// What it takes.
    pub expected: String,
    /// Where it was written.
    pub origin: Origin,
}

impl Settings {
    /// Reads the settings of a cluster's agents. What `stated` says goes before everything else.
    ///
    /// A value that the agent does not take is listed, and its default is used.
    pub fn read(
        cluster: &Cluster,
        stated: &BTreeMap<String, String>,
        version: Option<Version>,
    ) -> (Self, Vec<SettingError>) {
        let mut sources = Sources { stated, container: None, config: None, errors: Vec::new() };
        for set in &cluster.daemon_sets {
            for container in set.containers.iter().filter(|container| container.name == CONTAINER) {
                sources.container = Some((format!("{}/{}", set.namespace, set.name), container));
            }
        }
        sources.config = cluster
            .config_maps
            .iter()
            .find(|map| map.name == CONFIG_MAP)
            .map(|map| (format!("{}/{}", map.namespace, map.name), &map.data));
        let version = sources.version(version);
        let settings = sources.settings(version);
        (settings, sources.errors)
    }
}

struct Sources<'s> {
    stated: &'s BTreeMap<String, String>,
    container: Option<(String, &'s Container)>,
    config: Option<(String, &'s BTreeMap<String, String>)>,
    errors: Vec<SettingError>,
}

impl Sources<'_> {
    fn settings(&mut self, version: Setting<Version>) -> Settings {
        let from_1_19 = version.value >= Version::V1_19;
        // Older agents do not know the key (cilium/cilium pull request 39872).
        let extended = self.get("enable-extended-ip-protocols", boolean, false);
        let extended = Setting { value: extended.value && from_1_19, ..extended };
        Settings {
            host_firewall: self.get("enable-host-firewall", boolean, false),
            enforcement: self.get("enable-policy", enforcement, Enforcement::Default),
            clusterwide: self.get("enable-cilium-clusterwide-network-policy", boolean, true),
            audit: self.get("policy-audit-mode", boolean, false),
            ipv4: self.get("enable-ipv4", boolean, true),
            ipv6: self.get("enable-ipv6", boolean, true),
            cluster: self.get("cluster-name", text, "default".to_owned()),
            local_cluster: self.get("policy-default-local-cluster", boolean, from_1_19),
            match_mode: self.get("policy-cidr-match-mode", match_mode, CidrMatchMode::default()),
            node_selectors: self.get("enable-node-selector-labels", boolean, false),
            non_default_deny: self.get("enable-non-default-deny-policies", boolean, true),
            icmp_rules: self.get("enable-icmp-rules", boolean, true),
            extended_protocols: extended,
            sctp: self.get("enable-sctp", boolean, false),
            l7_proxy: self.get("enable-l7-proxy", boolean, true),
            icmp_frag_needed: self.get("allow-icmp-frag-needed", boolean, true),
            kube_proxy_replacement: self.get("kube-proxy-replacement", boolean, false),
            devices: self.get("devices", words, Vec::new()),
            routing: self.get("routing-mode", routing, RoutingMode::Tunnel),
            tunnel_protocol: self.get("tunnel-protocol", tunnel, TunnelProtocol::Vxlan),
            tunnel_port: self.get("tunnel-port", port, 0),
            wireguard: self.get("enable-wireguard", boolean, false),
            ipsec: self.get("enable-ipsec", boolean, false),
            policy_map_max: self.get("bpf-policy-map-max", map_size, 16_384),
            labels: self.get("labels", patterns, Vec::new()),
            label_prefix_file: self.get("label-prefix-file", text, String::new()),
            node_labels: self.get("node-labels", patterns, Vec::new()),
            excluded_node_labels: self.get("exclude-node-label-patterns", excluded, Vec::new()),
            static_policies: self.get("static-cnp-path", text, String::new()),
            version,
        }
    }

    /// The version, from the image's tag where nobody states it.
    fn version(&self, stated: Option<Version>) -> Setting<Version> {
        if let Some(value) = stated {
            return Setting { value, origin: Origin::Stated };
        }
        let tagged = self.container.as_ref().and_then(|(_, container)| {
            let name = container.image.split('@').next().unwrap_or_default();
            let (_, tag) = name.rsplit_once(':')?;
            tag.parse().ok().map(|value| Setting { value, origin: Origin::Image(container.image.clone()) })
        });
        tagged.unwrap_or_else(|| Setting { value: Version::default(), origin: Origin::Default })
    }

    fn get<T>(&mut self, key: &'static str, read: fn(&str) -> Result<T, String>, default: T) -> Setting<T> {
        let Some((value, origin)) = self.find(key) else {
            return Setting { value: default, origin: Origin::Default };
        };
        match read(value.trim()) {
            Ok(value) => Setting { value, origin },
            Err(expected) => {
                self.errors.push(SettingError { key, value, expected, origin });
                Setting { value: default, origin: Origin::Default }
            }
        }
    }

    fn find(&self, key: &str) -> Option<(String, Origin)> {
        if let Some(value) = self.stated.get(key) {
            return Some((value.clone(), Origin::Stated));
        }
        if let Some((name, container)) = &self.container {
            let flag = format!("--{key}");
            let argument = container.args.iter().find_map(|argument| {
                let rest = argument.strip_prefix(&flag)?;
                if rest.is_empty() { Some("true") } else { rest.strip_prefix('=') }
            });
            let variable = format!("CILIUM_{}", key.replace('-', "_").to_ascii_uppercase());
            let value = argument.or_else(|| container.env.get(&variable).map(String::as_str));
            if let Some(value) = value {
                return Some((value.to_owned(), Origin::Container(name.clone())));
            }
        }
        let (name, data) = self.config.as_ref()?;
        data.get(key).map(|value| (value.clone(), Origin::ConfigMap(name.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{ConfigMap, DaemonSet};

    fn cluster(data: &[(&str, &str)], args: &[&str]) -> Cluster {
        Cluster {
            config_maps: vec![ConfigMap {
                namespace: "kube-system".to_owned(),
                name: CONFIG_MAP.to_owned(),
                data: data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            }],
            daemon_sets: vec![DaemonSet {
                namespace: "kube-system".to_owned(),
                name: "cilium".to_owned(),
                containers: vec![Container {
                    name: CONTAINER.to_owned(),
                    image: "quay.io/cilium/cilium:v1.19.4@sha256:0".to_owned(),
                    env: [("CILIUM_ENABLE_IPV6".to_owned(), "false".to_owned())].into(),
                    env_from_elsewhere: Vec::new(),
                    args: args.iter().map(|one| (*one).to_owned()).collect(),
                }],
            }],
            ..Cluster::default()
        }
    }

    fn read(cluster: &Cluster) -> (Settings, Vec<SettingError>) {
        Settings::read(cluster, &BTreeMap::new(), None)
    }

    #[test]
    fn every_setting_says_where_it_was_found() {
        let data = [("enable-host-firewall", "true"), ("enable-policy", "Always"), ("enable-ipv6", "true")];
        let (settings, errors) = read(&cluster(&data, &["--enable-policy=never"]));
        assert_eq!(errors, []);
        assert_eq!(settings.version.value, Version::V1_19);
        assert_eq!(settings.host_firewall.origin, Origin::ConfigMap("kube-system/cilium-config".to_owned()));
        assert_eq!(settings.enforcement.value, Enforcement::Never);
        assert_eq!(settings.enforcement.origin, Origin::Container("kube-system/cilium".to_owned()));
        assert!(!settings.ipv6.value, "the environment goes before the ConfigMap");
        assert_eq!(settings.audit, Setting { value: false, origin: Origin::Default });
    }

    #[test]
    fn what_is_stated_goes_first() {
        let stated = [("enable-policy".to_owned(), "always".to_owned())].into();
        let (settings, _) = Settings::read(&cluster(&[], &["--enable-policy=never"]), &stated, Some(Version::V1_20));
        assert_eq!(settings.enforcement, Setting { value: Enforcement::Always, origin: Origin::Stated });
        assert_eq!(settings.version.origin, Origin::Stated);
    }

    #[test]
    fn values_that_the_agent_does_not_take_are_listed() {
        let (settings, errors) = read(&cluster(&[("enable-ipv4", "yes"), ("labels", "(")], &[]));
        assert!(settings.ipv4.value);
        assert_eq!(errors.iter().map(|error| error.key).collect::<Vec<_>>(), ["enable-ipv4", "labels"]);
        assert!(errors[0].to_string().contains("`true` or `false`, not `yes`"), "{}", errors[0]);
    }

    #[test]
    fn local_cluster_and_pod_prefixes_depend_on_the_version() {
        let data = [("policy-cidr-match-mode", "nodes, pods")];
        let with = |version| Settings::read(&cluster(&data, &[]), &BTreeMap::new(), Some(version)).0;
        assert_eq!(with(Version::OLDEST).selected_cluster(), None);
        assert_eq!(with(Version::V1_19).selected_cluster(), Some("default"));
        assert_eq!(with(Version::V1_19).cidr_matches(), CidrMatchMode { nodes: true, pods: false });
        assert_eq!(with(Version::V1_20).cidr_matches(), CidrMatchMode { nodes: true, pods: true });
    }

    #[test]
    fn extended_protocols_came_with_1_19() {
        let data = [("enable-extended-ip-protocols", "true")];
        let with = |version| Settings::read(&cluster(&data, &[]), &BTreeMap::new(), Some(version)).0;
        assert!(!with(Version::OLDEST).extended_protocols.value);
        assert!(with(Version::V1_19).extended_protocols.value);
    }

    #[test]
    fn a_tunnel_has_the_port_of_its_protocol_unless_stated() {
        let port = |data: &[(&str, &str)]| read(&cluster(data, &[])).0.tunnel();
        assert_eq!(port(&[]), Some(8472));
        assert_eq!(port(&[("tunnel-protocol", "geneve")]), Some(6081));
        assert_eq!(port(&[("tunnel-port", "4789")]), Some(4789));
        assert_eq!(port(&[("routing-mode", "native")]), None);
    }
}
