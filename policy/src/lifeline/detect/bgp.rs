//! Who exchanges routes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::Find;
use super::facts::{Facts, Names, addresses, built_in, host_and_port, key, origin};
use super::overlay::{daemon_set, of_set};
use crate::calico::selector::Selector;
use crate::calico::settings;
use crate::lifeline::model::{Origin, Party, Traffic};
use crate::object::LabelSelector;
use crate::snapshot::Manifest;
use crate::snapshot::sources::{CALICO, CILIUM};

/// The port of RFC 4271, which all take where nothing else is set.
const PORT: u16 = 179;

pub(super) fn bgp(facts: &Facts<'_>, find: &mut Find) {
    if let Some(told) = calico_speaks(facts, find) {
        calico(facts, find, &told);
    }
    cilium(facts, find);
    metallb(facts, find);
    if let Some(set) = daemon_set(facts, "kube-router") {
        find.flow(facts.every_node(), facts.every_node(), &[Traffic::tcp(PORT)]);
        find.because([of_set(set, "metadata.name"), built_in("kube-router's nodes are peers of each other")]);
    }
    if facts.parameters.addresses("bgpPeers").is_some()
        && let Some(peers) = facts.stated(find, "bgpPeers", "routers", "")
    {
        both_ways(find, facts.every_node(), peers, PORT);
    }
}

/// Whether calico-node runs a BGP daemon: `CALICO_NETWORKING_BACKEND`, bird unless set
/// (projectcalico/calico:node/pkg/lifecycle/startup/startup.go).
fn calico_speaks(facts: &Facts<'_>, find: &mut Find) -> Option<Origin> {
    const VARIABLE: &str = "CALICO_NETWORKING_BACKEND";
    let agent = settings::agent(facts.snapshot)?;
    let sets = &facts.cluster.daemon_sets;
    let set = sets.iter().find(|set| set.containers.iter().any(|it| it.name == settings::CONTAINER))?;
    if let Some(value) = agent.env.get(VARIABLE) {
        return (value == "bird").then(|| of_set(set, &format!("env {VARIABLE}")));
    }
    if agent.env_from_elsewhere.iter().any(|name| name == VARIABLE) {
        // The stock manifest takes it from here (projectcalico/calico:manifests/calico.yaml).
        let maps = &facts.cluster.config_maps;
        let map = maps.iter().find(|map| map.name == "calico-config");
        let Some((map, value)) = map.and_then(|map| Some((map, map.data.get("calico_backend")?))) else {
            find.missing(
                "bgpPeers",
                format!("whether calico-node speaks BGP is not known: {VARIABLE} is set elsewhere"),
            );
            return None;
        };
        let told = origin(key("", "ConfigMap", &map.namespace, &map.name), "data.calico_backend");
        return (value == "bird").then_some(told);
    }
    Some(built_in(format!("{VARIABLE} of calico-node is bird")))
}

fn calico(facts: &Facts<'_>, find: &mut Find, told: &Origin) {
    let configurations = CALICO.into_iter().flat_map(|group| facts.snapshot.of(group, "BGPConfiguration"));
    let default = configurations.into_iter().find(|manifest| manifest.key.name == "default");
    let spec = |field: &str| default.map_or(&Value::Null, |manifest| &manifest.value["spec"][field]);
    let of_default = |field: &str| default.map(|manifest| origin(manifest.key.clone(), format!("spec.{field}")));
    let port = spec("listenPort").as_u64().and_then(|port| u16::try_from(port).ok());
    let listens = port.unwrap_or(PORT);
    if spec("nodeToNodeMeshEnabled").as_bool().unwrap_or(true) {
        let mesh = Some(spec("nodeToNodeMeshEnabled")).filter(|value| value.is_boolean());
        if find.flow(facts.every_node(), facts.every_node(), &[Traffic::tcp(listens)]) {
            find.because([told.clone()]);
            find.because(mesh.and_then(|_| of_default("nodeToNodeMeshEnabled")));
            find.because(port.and_then(|_| of_default("listenPort")));
        }
    }
    for manifest in CALICO.into_iter().flat_map(|group| facts.snapshot.of(group, "BGPPeer")) {
        let spec = &manifest.value["spec"];
        let text = |field: &str| spec[field].as_str().filter(|text| !text.is_empty());
        let Some(nodes) = local(facts, text("node"), text("nodeSelector")) else { continue };
        let before = find.flows.len();
        if let Some(peers) = text("peerSelector") {
            let Some(peers) = local(facts, None, Some(peers)) else { continue };
            let (nodes, peers) = (Party::Nodes(nodes), Party::Nodes(peers));
            find.flow(nodes.clone(), peers.clone(), &[Traffic::tcp(listens)]);
            find.flow(peers, nodes, &[Traffic::tcp(listens)]);
        } else if let Some((address, port)) = text("peerIP").and_then(peer) {
            match facts.owner(address) {
                Some(node) => {
                    let peer = Party::Nodes(Arc::new(BTreeSet::from([node.to_owned()])));
                    let nodes = Party::Nodes(nodes);
                    find.flow(nodes.clone(), peer.clone(), &[Traffic::tcp(port.unwrap_or(listens))]);
                    find.flow(peer, nodes, &[Traffic::tcp(listens)]);
                }
                None => {
                    let peer = addresses("router", vec![IpNet::from(address)]);
                    let nodes = Party::Nodes(nodes);
                    find.flow(nodes.clone(), peer.clone(), &[Traffic::tcp(port.unwrap_or(PORT))]);
                    find.flow(peer, nodes, &[Traffic::tcp(listens)]);
                }
            }
        }
        if find.flows.len() > before {
            find.because([told.clone(), whole(manifest)]);
        }
    }
}

/// Nodes that a peer of Calico is for.
fn local(facts: &Facts<'_>, node: Option<&str>, selector: Option<&str>) -> Option<Names> {
    if let Some(node) = node {
        return Some(Arc::new(BTreeSet::from([node.to_owned()])));
    }
    let Some(selector) = selector else { return Some(facts.all.clone()) };
    let selector: Selector = selector.parse().ok()?;
    let selected = facts.nodes().filter(|node| selector.matches(&node.labels));
    Some(Arc::new(selected.map(|node| node.name.clone()).collect()))
}

/// Agents dial; they listen only where a port is set
/// (cilium/cilium:Documentation/network/bgp-control-plane/bgp-control-plane-configuration.rst).
fn cilium(facts: &Facts<'_>, find: &mut Find) {
    for manifest in facts.snapshot.of(CILIUM, "CiliumBGPClusterConfig") {
        let spec = &manifest.value["spec"];
        for instance in list(&spec["bgpInstances"]) {
            for peer in list(&instance["peers"]) {
                let port = transport_port(facts, peer["peerConfigRef"]["name"].as_str());
                outward(facts, find, &[&spec["nodeSelector"]], &peer["peerAddress"], port, manifest);
            }
            if let Some(port) = instance["localPort"].as_u64().and_then(|port| u16::try_from(port).ok()) {
                for peer in list(&instance["peers"]) {
                    inward(facts, find, &spec["nodeSelector"], &peer["peerAddress"], port);
                }
            }
        }
    }
    for manifest in facts.snapshot.of(CILIUM, "CiliumBGPPeeringPolicy") {
        let spec = &manifest.value["spec"];
        for neighbor in list(&spec["virtualRouters"]).iter().flat_map(|router| list(&router["neighbors"])) {
            let port = neighbor["peerPort"].as_u64().and_then(|port| u16::try_from(port).ok());
            outward(facts, find, &[&spec["nodeSelector"]], &neighbor["peerAddress"], port, manifest);
        }
    }
}

fn transport_port(facts: &Facts<'_>, config: Option<&str>) -> Option<u16> {
    let manifest =
        facts.snapshot.of(CILIUM, "CiliumBGPPeerConfig").find(|manifest| Some(manifest.key.name.as_str()) == config)?;
    u16::try_from(manifest.value["spec"]["transport"]["peerPort"].as_u64()?).ok()
}

/// metallb/metallb:api/v1beta2/bgppeer_types.go
fn metallb(facts: &Facts<'_>, find: &mut Find) {
    for manifest in facts.snapshot.of("metallb.io", "BGPPeer") {
        let spec = &manifest.value["spec"];
        let port = spec["peerPort"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        let selectors: Vec<&Value> = list(&spec["nodeSelectors"]).iter().collect();
        let selectors = if selectors.is_empty() { vec![&Value::Null] } else { selectors };
        outward(facts, find, &selectors, &spec["peerAddress"], port, manifest);
    }
}

/// From nodes under any of some label selectors to a router.
fn outward(
    facts: &Facts<'_>,
    find: &mut Find,
    selectors: &[&Value],
    address: &Value,
    port: Option<u16>,
    told: &Manifest,
) {
    let Some((address, _)) = address.as_str().and_then(peer) else { return };
    let nodes = selectors.iter().flat_map(|selector| labelled(facts, selector)).collect();
    let router = addresses("router", vec![IpNet::from(address)]);
    if find.flow(Party::Nodes(Arc::new(nodes)), router, &[Traffic::tcp(port.unwrap_or(PORT))]) {
        find.because([whole(told)]);
    }
}

fn inward(facts: &Facts<'_>, find: &mut Find, selector: &Value, address: &Value, port: u16) {
    let Some((address, _)) = address.as_str().and_then(peer) else { return };
    let router = addresses("router", vec![IpNet::from(address)]);
    find.flow(router, Party::Nodes(Arc::new(labelled(facts, selector))), &[Traffic::tcp(port)]);
}

fn labelled(facts: &Facts<'_>, selector: &Value) -> BTreeSet<String> {
    let selector = match selector {
        Value::Null => LabelSelector::default(),
        selector => match serde_json::from_value(selector.clone()) {
            Ok(selector) => selector,
            Err(_) => return BTreeSet::new(),
        },
    };
    facts.nodes().filter(|node| selector.matches(&node.labels)).map(|node| node.name.clone()).collect()
}

fn both_ways(find: &mut Find, nodes: Party, peer: Party, port: u16) {
    find.flow(nodes.clone(), peer.clone(), &[Traffic::tcp(port)]);
    find.flow(peer, nodes, &[Traffic::tcp(port)]);
}

/// An address with or without a port or a prefix length.
fn peer(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.split_once('/').map_or(text, |(address, _)| address);
    let (host, port) = host_and_port(text);
    Some((host.parse().ok()?, port))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn whole(manifest: &Manifest) -> Origin {
    origin(manifest.key.clone(), "spec")
}
