//! What a CNI lets by or drops on its own, whatever the rows say.

use policy::calico::settings::{Dataplane, Settings};
use policy::calico::state::State;
use policy::cilium::settings::Settings as CiliumSettings;
use policy::cilium::version::Version;
use policy::net::{Cidr, Family};
use policy::packet::{Cube, IcmpSet, IpSet, PortSet, ProtocolSet, Region, Space, protocol};

use crate::matrix::Direction;

/// What passes and what is dropped.
#[derive(Clone, Copy)]
pub(super) struct Own {
    pub(super) passes: Region,
    pub(super) drops: Region,
}

impl Own {
    pub(super) const NOTHING: Self = Self { passes: Space::EMPTY, drops: Space::EMPTY };

    fn of(space: &mut Space, passes: &[Cube], drops: &[Cube]) -> Self {
        let mut union = |cubes: &[Cube]| {
            let regions: Vec<Region> = cubes.iter().map(|cube| space.cube(cube, 1)).collect();
            space.first_match(&regions)
        };
        let (passes, drops) = (union(passes), union(drops));
        Self { passes, drops: space.without(drops, passes) }
    }
}

const IPIP: u8 = 4;
/// ICMPv6 that Calico's eBPF programs never ask a policy about (projectcalico/calico:felix/bpf-gpl/icmp6.h).
const NEIGHBOURS: [u8; 6] = [130, 131, 132, 133, 135, 136];

/// Calico's overlay: tunnels between hosts that Felix knows are accepted before any policy, other packets that look like
/// one are dropped (projectcalico/calico:felix/rules/static.go filterInputChain, filterOutputChain).
pub(super) fn calico(space: &mut Space, state: &State, settings: &Settings, node: &str, direction: Direction) -> Own {
    if settings.dataplane.value == Dataplane::Bpf {
        return ebpf(space, state, settings, node, direction);
    }
    let known = |nets: &[ipnet::IpNet]| -> IpSet { nets.iter().copied().collect() };
    let mut passes = Vec::new();
    let mut drops = Vec::new();
    let mut tunnel = |cube: Cube, known: &IpSet| {
        passes.push(between(cube.clone(), direction, known));
        if direction == Direction::Ingress {
            drops.push(cube);
        }
    };
    if settings.ipip.value {
        let cube = Cube { protocols: IPIP.into(), source: IpSet::family(Family::IPv4), ..Cube::any() };
        tunnel(cube, &known(&state.hosts.ipip));
    }
    for (on, family) in [(settings.vxlan.value, Family::IPv4), (settings.vxlan_v6.value, Family::IPv6)] {
        if on {
            tunnel(udp(settings.vxlan_port.value, family), &known(&state.hosts.vxlan));
        }
    }
    for (on, port, family) in [
        (settings.wireguard.value, settings.wireguard_port.value, Family::IPv4),
        (settings.wireguard_v6.value, settings.wireguard_port_v6.value, Family::IPv6),
    ] {
        if on {
            tunnel(udp(port, family), &IpSet::all());
        }
    }
    Own::of(space, &passes, &drops)
}

/// The same in eBPF (projectcalico/calico:felix/bpf-gpl/tc.c).
fn ebpf(space: &mut Space, state: &State, settings: &Settings, node: &str, direction: Direction) -> Own {
    let others: IpSet =
        state.hosts.nodes.iter().filter(|(name, _)| name != node).map(|(_, address)| *address).collect();
    let v4 = IpSet::family(Family::IPv4);
    let ipip = Cube { protocols: IPIP.into(), source: v4, ..Cube::any() };
    let port = PortSet::from(settings.wireguard_port.value);
    let udp = Cube { protocols: protocol::UDP.into(), ..Cube::any() };
    let vxlan = Cube { destination_ports: settings.vxlan_port.value.into(), ..udp.clone() };
    let wireguard = Cube { source_ports: port.clone(), destination_ports: port, ..udp };
    let passes = [
        between(ipip.clone(), direction, &others),
        between(vxlan, direction, &others),
        between(wireguard, direction, &others),
        icmp(Family::IPv6, kinds(NEIGHBOURS)),
    ];
    Own::of(space, &passes, &[ipip])
}

/// What Cilium's datapath never asks policy about on a network interface (cilium/cilium:bpf/lib/icmp6.h,
/// bpf/lib/host_firewall.h), by version.
pub(super) fn cilium(space: &mut Space, settings: &CiliumSettings) -> Own {
    let lived_on = kinds((1..=4).chain(130..=136).chain(141..=143).chain(148..=149).chain(151..=153));
    let judged = kinds(128..=129);
    // The policy map knows protocols by number alone, so a rule for ICMP holds for its number in either family.
    let foreign = |family, number: u8| Cube { source: IpSet::family(family), protocols: number.into(), ..Cube::any() };
    let mut passes = vec![
        icmp(Family::IPv6, lived_on.clone()),
        foreign(Family::IPv6, protocol::ICMP),
        foreign(Family::IPv4, protocol::ICMPV6),
    ];
    if settings.icmp_frag_needed.value {
        passes.push(icmp(Family::IPv4, IcmpSet::code(3, 4)));
    }
    let mut drops = vec![icmp(Family::IPv6, lived_on.union(&judged).complement())];
    if settings.version.value < Version::V1_20 && !settings.extended_protocols.value {
        let sctp = settings.sctp.value.then_some(protocol::SCTP);
        let tracked: ProtocolSet =
            [protocol::TCP, protocol::UDP, protocol::ICMP, protocol::ICMPV6].into_iter().chain(sctp).collect();
        drops.push(Cube { protocols: tracked.complement(), ..Cube::any() });
    }
    Own::of(space, &passes, &drops)
}

fn between(cube: Cube, direction: Direction, peers: &IpSet) -> Cube {
    match direction {
        Direction::Ingress => Cube { source: cube.source.intersection(peers), ..cube },
        Direction::Egress => Cube { destination: cube.destination.intersection(peers), ..cube },
    }
}

fn udp(port: u16, family: Family) -> Cube {
    let source = IpSet::from(Cidr::all(family));
    Cube { source, protocols: protocol::UDP.into(), destination_ports: port.into(), ..Cube::any() }
}

fn icmp(family: Family, icmp: IcmpSet) -> Cube {
    Cube { source: IpSet::family(family), protocols: protocol::icmp(family).into(), icmp, ..Cube::any() }
}

fn kinds(kinds: impl IntoIterator<Item = u8>) -> IcmpSet {
    kinds.into_iter().fold(IcmpSet::empty(), |all, kind| all.union(&IcmpSet::kind(kind)))
}
