//! Traffic of lifelines as packets.

use ipnet::IpNet;

use super::world::World;
use crate::lifeline::model::{Ports, Traffic};
use crate::net::Family;
use crate::packet::{Cube, IcmpSet, IpSet, PortSet, Region, Space, protocol};

/// Packets of any of them, whatever their addresses.
pub(super) fn regions_of(space: &mut Space, traffic: &[Traffic]) -> Region {
    let regions: Vec<Region> = traffic.iter().map(|traffic| space.cube(&cube(traffic), 1)).collect();
    space.first_match(&regions)
}

/// Packets, whatever their addresses.
pub(in crate::lifeline) fn cube(traffic: &Traffic) -> Cube {
    let mut cube = Cube::any();
    if let Some(number) = traffic.protocol {
        cube.protocols = number.into();
    }
    if let Some(port) = traffic.source_port {
        cube.source_ports = PortSet::from(port..=port);
    }
    match traffic.ports {
        Ports::All => {}
        Ports::Range(first, last) => cube.destination_ports = PortSet::from(first..=last),
        Ports::Icmp(kind, code) => {
            cube.icmp = code.map_or_else(|| IcmpSet::kind(kind), |code| IcmpSet::code(kind, code));
            // The number of the one ICMP is that of no ICMP in the other family.
            let families = [Family::IPv4, Family::IPv6].into_iter();
            let own = families.filter(|family| traffic.protocol == Some(protocol::icmp(*family)));
            cube.source = own.map(IpSet::family).fold(IpSet::empty(), |all, one| all.union(&one));
        }
    }
    cube
}

/// Packets of the tunnels that Felix keeps on a node. From a loopback address nobody sends any, and Felix drops them whatever
/// policies say, as from every host that it does not know (projectcalico/calico:felix/rules/static.go filterInputChain).
pub(super) fn tunnels(space: &mut Space, world: &World, node: &str) -> Region {
    let settings = world.calico.state().settings(node);
    let vxlan = (settings.vxlan.value || settings.vxlan_v6.value).then(|| Traffic::udp(settings.vxlan_port.value));
    let ipip = settings.ipip.value.then(|| Traffic::protocol(4));
    regions_of(space, &vxlan.into_iter().chain(ipip).collect::<Vec<_>>())
}

/// Addresses of a host for itself.
pub(super) fn loopback(family: Family) -> IpSet {
    IpSet::from(net(if family == Family::IPv4 { "127.0.0.0/8" } else { "::1/128" }))
}

/// Addresses that every node has.
pub(super) fn everywhere() -> impl Iterator<Item = IpNet> {
    ["fe80::/10", "127.0.0.0/8", "::1/128"].into_iter().map(net)
}

pub(super) fn net(text: &str) -> IpNet {
    text.parse().expect("a constant prefix")
}
