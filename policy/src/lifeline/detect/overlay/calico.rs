//! Tunnels of Calico: what Felix is set to, per node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::facts::{Facts, Names, built_in, key, origin};
use super::Tunnels;
use crate::calico::settings::{self, Provenance, Settings};
use crate::calico::version::Version;
use crate::lifeline::model::{Origin, Traffic};
use crate::snapshot::Snapshot;
use crate::snapshot::sources::CALICO;

/// Nodes that are set alike.
pub(super) struct Part {
    pub(super) nodes: Names,
    pub(super) tunnels: Tunnels,
}

pub(super) fn tunnels(facts: &Facts<'_>) -> Vec<Part> {
    let Some(agent) = settings::agent(facts.snapshot) else { return Vec::new() };
    let version = Version::of_image(&agent.image).unwrap_or(Version::ASSUMED);
    let own: BTreeSet<&str> = settings::nodes_with_their_own(facts.snapshot).collect();
    let mut parts: BTreeMap<Option<&str>, BTreeSet<String>> = BTreeMap::new();
    for node in facts.all.iter() {
        parts.entry(own.get(node.as_str()).copied()).or_default().insert(node.clone());
    }
    let part = |(node, nodes): (Option<&str>, BTreeSet<String>)| {
        let settings = settings::read(facts.snapshot, node, version, None);
        Part { nodes: Arc::new(nodes), tunnels: of(facts.snapshot, &settings) }
    };
    parts.into_iter().map(part).collect()
}

/// Whether it hands out addresses.
pub(super) fn has_pools(facts: &Facts<'_>) -> bool {
    CALICO.into_iter().any(|group| facts.snapshot.of(group, "IPPool").next().is_some())
}

fn of(snapshot: &Snapshot, settings: &Settings) -> Tunnels {
    let mut tunnels = Tunnels::default();
    let place = |from: &Provenance, mode: &str| places(snapshot, from, mode);
    if settings.vxlan.value || settings.vxlan_v6.value {
        let from = if settings.vxlan.value { &settings.vxlan.from } else { &settings.vxlan_v6.from };
        let port = settings.vxlan_port.value;
        let told = place(from, "vxlanMode").into_iter().chain(place(&settings.vxlan_port.from, ""));
        tunnels.add(Traffic::udp(port), default_port(told, &settings.vxlan_port.from, "Calico's VXLAN", port));
    }
    if settings.ipip.value {
        tunnels.add(Traffic::protocol(4), place(&settings.ipip.from, "ipipMode"));
    }
    for (on, port) in
        [(&settings.wireguard, &settings.wireguard_port), (&settings.wireguard_v6, &settings.wireguard_port_v6)]
    {
        if on.value {
            let told = place(&on.from, "").into_iter().chain(place(&port.from, ""));
            tunnels.add(Traffic::udp(port.value), default_port(told, &port.from, "Calico's WireGuard", port.value));
        }
    }
    tunnels
}

/// Says so where a port is Calico's own choice.
fn default_port(told: impl Iterator<Item = Origin>, from: &Provenance, what: &str, port: u16) -> Vec<Origin> {
    let default = (*from == Provenance::Default).then(|| built_in(format!("{what} uses {port}")));
    told.chain(default).collect()
}

/// Objects that a setting comes from. `mode` is the field of IP pools that decides where nothing else does.
fn places(snapshot: &Snapshot, from: &Provenance, mode: &str) -> Vec<Origin> {
    match from {
        Provenance::Default | Provenance::Given => Vec::new(),
        Provenance::Environment(variable) => {
            let agents = &snapshot.cluster.daemon_sets;
            let agent = agents.iter().find(|set| set.containers.iter().any(|it| it.name == settings::CONTAINER));
            let place = |set: &crate::snapshot::DaemonSet| {
                origin(key("apps", "DaemonSet", &set.namespace, &set.name), format!("env {variable}"))
            };
            agent.map(place).into_iter().collect()
        }
        Provenance::Object(text) => {
            let (object, path) = text.split_once(' ').unwrap_or((text, ""));
            let mut objects = CALICO.into_iter().flat_map(|group| snapshot.of(group, "FelixConfiguration"));
            let found = objects.find(|manifest| manifest.key.to_string() == object);
            found.map(|manifest| origin(manifest.key.clone(), path)).into_iter().collect()
        }
        Provenance::Derived(_) => {
            let pools = CALICO.into_iter().flat_map(|group| snapshot.of(group, "IPPool"));
            let tells = |value: &serde_json::Value| {
                value["spec"][mode].as_str().is_some_and(|mode| !mode.is_empty() && mode != "Never")
            };
            let telling = pools.filter(|pool| tells(&pool.value));
            telling.map(|pool| origin(pool.key.clone(), format!("spec.{mode}"))).collect()
        }
    }
}
