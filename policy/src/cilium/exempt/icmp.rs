//! ICMP that never reaches policy (cilium/cilium:bpf/lib/icmp6.h, `icmp6_host_handle`).

use super::Exemption;
use crate::cilium::compile::State;
use crate::cilium::question::{Path, Question};
use crate::net::Family;
use crate::packet::{Direction, Packet};

/// What the datapath does with an ICMPv6 type on a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    Passed,
    Judged,
    Dropped,
}

pub(super) fn exemption(state: &State, question: &Question<'_>, packet: &Packet) -> Option<Exemption> {
    let (kind, code) = packet.icmp()?;
    if packet.family() == Family::IPv4 {
        let fragmentation = kind == 3 && code == 4;
        return (fragmentation && state.settings.icmp_frag_needed.value).then_some(Exemption::FragmentationNeeded);
    }
    // On the way in from pods, the overlay or WireGuard there is no such list: policy judges every type.
    if question.direction == Direction::Ingress && question.path == Path::Cilium {
        return None;
    }
    match treatment(kind) {
        Treatment::Passed => Some(Exemption::NeighbourDiscovery(kind)),
        Treatment::Judged => None,
        Treatment::Dropped => Some(Exemption::ForbiddenIcmp(kind)),
    }
}

fn treatment(kind: u8) -> Treatment {
    match kind {
        1..=4 | 130..=136 | 141..=143 | 148..=149 | 151..=153 => Treatment::Passed,
        128 | 129 => Treatment::Judged,
        _ => Treatment::Dropped,
    }
}
