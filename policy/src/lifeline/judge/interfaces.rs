//! Interfaces of nodes. A snapshot does not hold them; those that host endpoints tell apart follow from the endpoints.

use std::net::IpAddr;

use super::world::World;
use crate::calico::endpoint::{Interface, owners};
use crate::calico::settings::Settings;
use crate::calico::state::{HostEndpoint, Interfaces as Of, State};
use crate::net::Family;
use crate::packet::IpSet;
use crate::snapshot::Node;
use crate::snapshot::sources::CALICO;

/// Interfaces of one node.
#[derive(Clone, Debug)]
pub(super) struct Interfaces {
    /// Those that lead out, each with the addresses that it may carry. One address may be on one of several.
    pub(super) out: Vec<(Interface, IpSet)>,
    /// That of the overlay, where packets for pods elsewhere go into one.
    pub(super) tunnel: Option<Interface>,
    /// Whether packets for pods elsewhere may also go out as they are.
    pub(super) bare: bool,
    /// One that leads to a pod of the node.
    pub(super) pod: Interface,
    /// Loopback.
    pub(super) loopback: Interface,
}

impl Interfaces {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Interface> {
        self.out.iter().map(|(one, _)| one).chain(&self.tunnel).chain([&self.pod, &self.loopback])
    }
}

pub(super) fn interfaces(
    node: &Node,
    addresses: &[IpAddr],
    tunnels: &[IpAddr],
    before: &World,
    after: &World,
) -> Interfaces {
    let states: Vec<&State> = [before, after].into_iter().map(|world| world.calico.state()).collect();
    let settings: Vec<&Settings> = states.iter().map(|state| state.settings(&node.name)).collect();
    // What the plugin calls the interfaces of pods does not change with what Felix takes for them.
    let prefix = settings.first().and_then(|settings| settings.workload_prefixes.value.first());
    let pod = Interface::new(format!("{}0", prefix.map_or("cali", String::as_str)), []);
    let tunnel = tunnel(node, after).map(|name| Interface::new(name, tunnels));
    Interfaces {
        out: outward(node, addresses, &states, &settings),
        bare: tunnel.is_none() || !is_always(after),
        tunnel,
        pod,
        loopback: Interface::new("lo", ["127.0.0.1", "::1"].iter().flat_map(|text| text.parse()).collect::<Vec<_>>()),
    }
}

/// Interfaces by name and by address, as the host endpoints of all states mean them, and one that none of them means.
fn outward(node: &Node, addresses: &[IpAddr], states: &[&State], settings: &[&Settings]) -> Vec<(Interface, IpSet)> {
    let local: Vec<&HostEndpoint> =
        states.iter().flat_map(|state| state.endpoints.of(&node.name)).map(|(_, endpoint)| endpoint).collect();
    let mut named: Vec<(String, Vec<IpAddr>)> = Vec::new();
    let mut carried: Vec<Vec<IpAddr>> = Vec::new();
    for endpoint in local {
        let own = beside(addresses, &endpoint.addresses);
        match &endpoint.interfaces {
            Of::All => {}
            Of::Named(name) => match named.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => known.extend(own),
                None => named.push((name.clone(), own)),
            },
            Of::ByAddress if own.is_empty() => {}
            Of::ByAddress => carried.push(own),
        }
    }
    // What is on an interface of a known name is on no other.
    for own in &mut carried {
        own.retain(|address| !named.iter().any(|(_, known)| known.contains(address)));
    }
    let claimed: Vec<IpAddr> = named.iter().map(|(_, own)| own).chain(&carried).flatten().copied().collect();
    let free: Vec<IpAddr> = addresses.iter().copied().filter(|address| !claimed.contains(address)).collect();
    let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let unheard = unheard(&names, settings);
    let mut all: Vec<(Interface, IpSet)> = Vec::new();
    for (name, own) in named {
        let own = if own.is_empty() { free.clone() } else { own };
        all.push((Interface::new(name, own.as_slice()), own.iter().copied().collect()));
    }
    for own in carried.into_iter().chain([free]) {
        all.push((Interface::new(unheard.clone(), own.as_slice()), own.iter().copied().collect()));
    }
    all.retain(|(_, own)| !own.is_empty());
    merge(node, all, states, settings)
}

/// The addresses of a node that an endpoint expects. Where they are InternalIPs of one family, those of the other are
/// on the same interface.
fn beside(addresses: &[IpAddr], expected: &[IpAddr]) -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = addresses.iter().copied().filter(|address| expected.contains(address)).collect();
    let families: Vec<Family> = own.iter().map(|address| Family::of(*address)).collect();
    if let [first, rest @ ..] = families.as_slice()
        && rest.iter().all(|family| family == first)
    {
        own.extend(addresses.iter().filter(|address| Family::of(**address) != *first));
    }
    own
}

/// Endpoint of an interface itself and of all of them, by name.
type Owned<'n> = [Option<&'n str>; 2];

/// Interfaces that have the same endpoints in every state are one.
fn merge(
    node: &Node,
    all: Vec<(Interface, IpSet)>,
    states: &[&State],
    settings: &[&Settings],
) -> Vec<(Interface, IpSet)> {
    let mut merged: Vec<(Vec<Owned<'_>>, Interface, IpSet)> = Vec::new();
    for (interface, own) in all {
        let found = states.iter().zip(settings).map(|(state, settings)| {
            let found = owners(state, settings, &node.name, &interface);
            [found.own, found.wildcard].map(|endpoint| endpoint.map(|endpoint| endpoint.key.name.as_str()))
        });
        let found: Vec<_> = found.collect();
        match merged.iter_mut().find(|(known, _, _)| *known == found) {
            Some((_, _, known)) => *known = known.union(&own),
            None => merged.push((found, interface, own)),
        }
    }
    merged.into_iter().map(|(_, interface, own)| (interface, own)).collect()
}

/// A name that no endpoint means, and that is neither a pod's nor excluded.
fn unheard(named: &[String], settings: &[&Settings]) -> String {
    let free = |name: &String| !named.contains(name) && settings.iter().all(|settings| settings.can_be_owned(name));
    let names =
        ["eth", "ens", "enp", "bond"].into_iter().flat_map(|kind| (0..10).map(move |index| format!("{kind}{index}")));
    names.into_iter().find(free).unwrap_or_else(|| "eth0".to_owned())
}

/// The device of the overlay between pods, if there is one.
fn tunnel(node: &Node, after: &World) -> Option<&'static str> {
    let settings = after.calico.state().settings(&node.name);
    if settings.wireguard.value || settings.wireguard_v6.value {
        Some("wireguard.cali")
    } else if settings.vxlan.value || settings.vxlan_v6.value {
        Some("vxlan.calico")
    } else if settings.ipip.value {
        Some("tunl0")
    } else {
        let flannel = node.annotations.get("flannel.alpha.coreos.com/backend-type");
        flannel.filter(|kind| *kind == "vxlan").map(|_| "flannel.1")
    }
}

/// Whether every packet between pods of two nodes goes into the overlay.
fn is_always(world: &World) -> bool {
    let mut pools = CALICO.iter().flat_map(|group| world.snapshot.of(group, "IPPool")).peekable();
    let mode =
        |value: &serde_json::Value, path: &str| value.pointer(path).and_then(|mode| mode.as_str()) == Some("Always");
    // Without pools the device is flannel's, which sends everything through it.
    pools.peek().is_none()
        || pools.all(|pool| mode(&pool.value, "/spec/vxlanMode") || mode(&pool.value, "/spec/ipipMode"))
}
