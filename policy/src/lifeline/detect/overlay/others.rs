//! Tunnels of the other CNIs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::facts::{Facts, built_in, key, origin};
use super::Tunnels;
use crate::cilium::settings::{self, Setting, Settings};
use crate::lifeline::model::{Origin, Traffic};
use crate::snapshot::DaemonSet;

pub(super) fn cilium(facts: &Facts<'_>) -> Option<Tunnels> {
    let settings = cilium_settings(facts)?;
    let mut tunnels = Tunnels::default();
    if let Some(port) = settings.tunnel() {
        let protocol = cilium_origin(&settings.tunnel_protocol, "tunnel-protocol");
        let told = if settings.tunnel_port.value == 0 {
            built_in(format!("Cilium's tunnel uses {port}"))
        } else {
            cilium_origin(&settings.tunnel_port, "tunnel-port")
        };
        tunnels.add(Traffic::udp(port), [cilium_origin(&settings.routing, "routing-mode"), protocol, told]);
    }
    if settings.wireguard.value {
        // cilium/cilium:pkg/wireguard/types/types.go
        let told = cilium_origin(&settings.wireguard, "enable-wireguard");
        tunnels.add(Traffic::udp(51871), [told, built_in("Cilium's WireGuard uses 51871")]);
    }
    if settings.ipsec.value {
        tunnels.add(Traffic::protocol(50), [cilium_origin(&settings.ipsec, "enable-ipsec")]);
    }
    Some(tunnels)
}

/// The settings of Cilium, if it is there.
pub(in super::super) fn cilium_settings(facts: &Facts<'_>) -> Option<Settings> {
    let cluster = facts.cluster;
    let agent = cluster.daemon_sets.iter().flat_map(|set| &set.containers).any(|it| it.name == settings::CONTAINER);
    let there = agent || cluster.config_maps.iter().any(|map| map.name == settings::CONFIG_MAP);
    there.then(|| Settings::read(cluster, &BTreeMap::new(), None).0)
}

/// Where a setting of Cilium comes from.
pub(in super::super) fn cilium_origin<T>(setting: &Setting<T>, name: &str) -> Origin {
    use settings::Origin::{ConfigMap, Container, Default, Image, Stated};
    let split = |text: &str| {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        (namespace.to_owned(), name.to_owned())
    };
    match &setting.origin {
        ConfigMap(map) => {
            let (namespace, map) = split(map);
            origin(key("", "ConfigMap", &namespace, &map), format!("data.{name}"))
        }
        Container(set) => {
            let (namespace, set) = split(set);
            origin(key("apps", "DaemonSet", &namespace, &set), format!("--{name}"))
        }
        Default | Image(_) | Stated => built_in(format!("Cilium's own {name}")),
    }
}

/// Kube-OVN (kubeovn/docs:docs/reference/tunnel-protocol.en.md).
pub(super) fn kube_ovn(facts: &Facts<'_>) -> Option<Tunnels> {
    let cni = daemon_set(facts, "kube-ovn-cni")?;
    let mut tunnels = Tunnels::default();
    let told = [daemon_set(facts, "ovs-ovn"), Some(cni)].into_iter().flatten().find_map(|set| {
        let value = set.containers.iter().find_map(|container| container.env.get("TUNNEL_TYPE"))?;
        Some((value.as_str(), of_set(set, "env TUNNEL_TYPE")))
    });
    let (kind, told) = told.unwrap_or_else(|| ("geneve", built_in("Kube-OVN's TUNNEL_TYPE is geneve")));
    let traffic = match kind {
        "vxlan" => Traffic::udp(4789),
        "stt" => Traffic::tcp(7471),
        _ => Traffic::udp(6081),
    };
    tunnels.add(traffic, [told, of_set(cni, "metadata.name")]);
    Some(tunnels)
}

/// OVN-Kubernetes (openshift/openshift-docs:modules/installation-network-user-infra.adoc).
pub(super) fn ovn(facts: &Facts<'_>) -> Option<Tunnels> {
    let set = daemon_set(facts, "ovnkube-node")?;
    let mut tunnels = Tunnels::default();
    tunnels.add(Traffic::udp(6081), [of_set(set, "metadata.name"), built_in("OVN-Kubernetes uses Geneve on 6081")]);
    Some(tunnels)
}

/// Antrea (antrea-io/antrea:docs/network-requirements.md).
pub(super) fn antrea(facts: &Facts<'_>) -> Option<Tunnels> {
    let set = daemon_set(facts, "antrea-agent")?;
    let map = facts.cluster.config_maps.iter().find(|map| map.name.starts_with("antrea-config"));
    let config: Value =
        map.and_then(|map| serde_saphyr::from_str(map.data.get("antrea-agent.conf")?).ok()).unwrap_or_default();
    let place = |field: &str| match map {
        Some(map) => {
            origin(key("", "ConfigMap", &map.namespace, &map.name), format!("data[antrea-agent.conf] {field}"))
        }
        None => of_set(set, "metadata.name"),
    };
    let mut tunnels = Tunnels::default();
    if config["trafficEncapMode"].as_str() != Some("noEncap") && config["trafficEncapMode"] != "networkPolicyOnly" {
        let kind = config["tunnelType"].as_str().unwrap_or("geneve");
        let port = config["tunnelPort"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        let traffic = match kind {
            "gre" => Traffic::protocol(47),
            "stt" => Traffic::tcp(port.unwrap_or(7471)),
            "vxlan" => Traffic::udp(port.unwrap_or(4789)),
            _ => Traffic::udp(port.unwrap_or(6081)),
        };
        let told = if config["tunnelType"].is_null() {
            built_in("Antrea's tunnelType is geneve")
        } else {
            place("tunnelType")
        };
        tunnels.add(traffic, [told, of_set(set, "metadata.name")]);
    }
    match config["trafficEncryptionMode"].as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("wireguard") => {
            let port = config["wireGuard"]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            tunnels.add(Traffic::udp(port.unwrap_or(51820)), [place("trafficEncryptionMode")]);
        }
        Some("ipsec") => {
            for traffic in [Traffic::protocol(50), Traffic::udp(500), Traffic::udp(4500)] {
                tunnels.add(traffic, [place("trafficEncryptionMode")]);
            }
        }
        _ => {}
    }
    Some(tunnels)
}

/// kube-router (k0sproject/k0s:docs/networking.md).
pub(super) fn kube_router(facts: &Facts<'_>) -> Option<Tunnels> {
    let set = daemon_set(facts, "kube-router")?;
    let mut tunnels = Tunnels::default();
    let off = set.containers.iter().any(|container| container.args.iter().any(|arg| arg == "--enable-overlay=false"));
    if !off {
        tunnels
            .add(Traffic::protocol(4), [of_set(set, "metadata.name"), built_in("kube-router's overlay is IP in IP")]);
    }
    Some(tunnels)
}

pub(in super::super) fn daemon_set<'s>(facts: &Facts<'s>, name: &str) -> Option<&'s DaemonSet> {
    facts.cluster.daemon_sets.iter().find(|set| set.name == name)
}

pub(in super::super) fn of_set(set: &DaemonSet, field: &str) -> Origin {
    origin(key("apps", "DaemonSet", &set.namespace, &set.name), field)
}
