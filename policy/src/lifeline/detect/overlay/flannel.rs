//! Tunnels of Flannel, on its own or as part of Canal.

use serde_json::Value;

use super::super::facts::{Facts, built_in, key, of_node, origin};
use super::Tunnels;
use crate::lifeline::model::{Origin, Traffic};

/// Annotation that every flanneld leaves on its node
/// (flannel-io/flannel:pkg/subnet/kube/annotations.go).
const BACKEND: &str = "flannel.alpha.coreos.com/backend-type";
/// ConfigMaps with its `net-conf.json`.
const CONFIG_MAPS: [&str; 3] = ["kube-flannel-cfg", "canal-config", "rke2-canal-config"];

pub(super) fn tunnels(facts: &Facts<'_>) -> Option<Tunnels> {
    let told = facts.nodes().find_map(|node| {
        let backend = node.annotations.get(BACKEND)?;
        Some((backend.as_str(), of_node(node, format!("metadata.annotations[{BACKEND}]"))))
    });
    let config = config(facts);
    let stated = config.as_ref().and_then(|(config, place)| {
        Some((
            config["Backend"]["Type"].as_str()?,
            origin(place.object.clone()?, format!("{} Backend.Type", place.field)),
        ))
    });
    let (backend, backend_told) = told.or(stated)?;

    let mut tunnels = Tunnels::default();
    let number = |field: &str, default: u16| -> (u16, Origin) {
        let written = config.as_ref().and_then(|(config, place)| {
            let port = u16::try_from(config["Backend"][field].as_u64()?).ok().filter(|port| *port != 0)?;
            Some((port, origin(place.object.clone()?, format!("{} Backend.{field}", place.field))))
        });
        written.unwrap_or_else(|| (default, built_in(format!("Flannel's {backend} uses {default}"))))
    };
    // Defaults: flannel-io/flannel:Documentation/backends.md.
    let mut udp = |(port, from): (u16, Origin)| tunnels.add(Traffic::udp(port), [backend_told.clone(), from]);
    match backend.to_ascii_lowercase().as_str() {
        "vxlan" => udp(number("Port", 8472)),
        "udp" => udp(number("Port", 8285)),
        "wireguard" => {
            udp(number("ListenPort", 51820));
            udp(number("ListenPortV6", 51821));
        }
        "ipip" => tunnels.add(Traffic::protocol(4), [backend_told]),
        "ipsec" => {
            let what = || built_in("Flannel's ipsec uses ESP and UDP 500 and 4500");
            for traffic in [Traffic::protocol(50), Traffic::udp(500), Traffic::udp(4500)] {
                tunnels.add(traffic, [backend_told.clone(), what()]);
            }
        }
        // host-gw and the clouds' own route.
        _ => {}
    }
    Some(tunnels)
}

/// `net-conf.json`, and where it is. The object of the place is always there.
fn config(facts: &Facts<'_>) -> Option<(Value, Origin)> {
    let map = facts.cluster.config_maps.iter().find(|map| CONFIG_MAPS.contains(&map.name.as_str()))?;
    let value = serde_json::from_str(map.data.get("net-conf.json")?).ok()?;
    Some((value, origin(key("", "ConfigMap", &map.namespace, &map.name), "data.net-conf.json")))
}
