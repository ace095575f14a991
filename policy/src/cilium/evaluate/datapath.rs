//! What the datapath lets by or drops before policy, as sets (cilium/cilium:bpf/bpf_host.c,
//! bpf/lib/{host_firewall.h,icmp6.h}).

use ipnet::IpNet;

use crate::cilium::compile::State;
use crate::cilium::identity::View;
use crate::cilium::question::{Path, Question};
use crate::cilium::version::Version;
use crate::net::Family;

use crate::packet::{Cube, Direction, IcmpSet, IpSet, PortSet, ProtocolSet, Region, Space, protocol};

/// What policy is not asked about.
pub(super) struct Regions {
    /// What passes.
    pub(super) passed: Region,
    /// What is dropped.
    pub(super) dropped: Region,
}

impl Default for Regions {
    fn default() -> Self {
        Self { passed: Space::EMPTY, dropped: Space::EMPTY }
    }
}

pub(super) fn regions(state: &State, view: &View<'_>, question: &Question<'_>, space: &mut Space) -> Regions {
    if !state.settings.host_firewall.value || question.direction == Direction::Forward || !is_policed(state, question) {
        return Regions { passed: Space::ALL, dropped: Space::EMPTY };
    }
    let own: IpSet = view.own().collect();
    let elsewhere = own.complement();
    let elsewhere = match question.direction {
        Direction::Egress => Cube { source: elsewhere, ..Cube::any() },
        Direction::Ingress | Direction::Forward => Cube { destination: elsewhere, ..Cube::any() },
    };
    let inside = Cube { source: own.clone(), destination: own.clone(), ..Cube::any() };
    let passed = [elsewhere, inside].into_iter().chain(translated(state, view, question.direction, &own));
    common(state, question, passed.collect(), space)
}

/// The same of packets between the addresses of the host, whichever these are, and those of others. The host firewall is on, and
/// the question is about no device by name.
pub(super) fn with_others(state: &State, view: &View<'_>, question: &Question<'_>, space: &mut Space) -> Regions {
    common(state, question, translated(state, view, question.direction, &IpSet::all()), space)
}

/// What does not depend on the host's addresses, beside some that passes.
fn common(state: &State, question: &Question<'_>, mut passed: Vec<Cube>, space: &mut Space) -> Regions {
    let loopback: IpSet = ["127.0.0.0/8", "::1/128"].iter().map(|text| prefix(text)).collect();
    passed.push(Cube { destination: loopback, ..Cube::any() });
    if state.settings.icmp_frag_needed.value {
        passed.push(Cube { icmp: IcmpSet::code(3, 4), ..icmp(Family::IPv4) });
    }
    let mut dropped = vec![Cube { protocols: untracked(state), ..Cube::any() }];
    if !(question.direction == Direction::Ingress && question.path == Path::Cilium) {
        let kinds = |ranges: &[std::ops::RangeInclusive<u8>]| {
            let all = ranges.iter().cloned().flatten();
            all.fold(IcmpSet::empty(), |set, kind| set.union(&IcmpSet::kind(kind)))
        };
        let lived_on = kinds(&[1..=4, 130..=136, 141..=143, 148..=149, 151..=153]);
        let forbidden = lived_on.union(&kinds(&[128..=129])).complement();
        passed.push(Cube { icmp: lived_on, ..icmp(Family::IPv6) });
        dropped.push(Cube { icmp: forbidden, ..icmp(Family::IPv6) });
    }
    let mut union = |cubes: &[Cube]| {
        let regions: Vec<Region> = cubes.iter().map(|cube| space.cube(cube, 1)).collect();
        space.first_match(&regions)
    };
    let (passed, dropped) = (union(&passed), union(&dropped));
    Regions { passed, dropped: space.without(dropped, passed) }
}

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a constant prefix")
}

fn icmp(family: Family) -> Cube {
    Cube { source: IpSet::family(family), protocols: ProtocolSet::from(protocol::icmp(family)), ..Cube::any() }
}

fn is_policed(state: &State, question: &Question<'_>) -> bool {
    let Path::Device(Some(name)) = question.path else { return true };
    let devices = &state.settings.devices.value;
    let matches =
        |pattern: &String| pattern == name || pattern.strip_suffix('+').is_some_and(|start| name.starts_with(start));
    name != "lo" && (devices.is_empty() || devices.iter().any(matches))
}

/// Node ports of services without a backend on this host, under kube-proxy replacement.
fn translated(state: &State, view: &View<'_>, direction: Direction, own: &IpSet) -> Vec<Cube> {
    if direction == Direction::Egress || !state.settings.kube_proxy_replacement.value {
        return Vec::new();
    }
    let elsewhere = state.node_ports().iter().filter(|port| !port.is_behind(view));
    elsewhere
        .map(|port| Cube {
            destination: own.clone(),
            protocols: ProtocolSet::from(port.protocol),
            destination_ports: PortSet::from(port.port),
            ..Cube::any()
        })
        .collect()
}

/// Protocols that are dropped because they are not tracked; none from 1.20 on.
fn untracked(state: &State) -> ProtocolSet {
    let settings = &state.settings;
    if settings.version.value >= Version::V1_20 || settings.extended_protocols.value {
        return ProtocolSet::EMPTY;
    }
    let tracked = [protocol::TCP, protocol::UDP, protocol::ICMP, protocol::ICMPV6];
    let sctp = settings.sctp.value.then_some(protocol::SCTP);
    tracked.into_iter().chain(sctp).collect::<ProtocolSet>().complement()
}
