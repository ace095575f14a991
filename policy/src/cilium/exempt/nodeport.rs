//! Node ports under kube-proxy replacement (cilium/cilium:bpf/bpf_host.c, `handle_ipv4`): translated before the host
//! firewall, which then sees the backend.

use crate::cilium::compile::State;
use crate::cilium::identity::View;
use crate::cilium::question::Question;
use crate::packet::{Packet, protocol};
use crate::snapshot::ServicePort;

/// The node port, where the packet goes to one and no backend of its service is an address of this host.
///
/// Where one is, the packet may be judged by policy, on the backend's port; the answer is then left to policy with the
/// port of the packet, and compiling says that it is not known.
pub(super) fn translated(state: &State, view: &View<'_>, _question: &Question<'_>, packet: &Packet) -> Option<u16> {
    let port = packet.destination_port()?;
    if !state.settings.kube_proxy_replacement.value || !view.is_own(packet.destination()) {
        return None;
    }
    let found = state.node_ports().iter().find(|one| one.port == port && one.protocol == packet.protocol())?;
    (!found.backends.iter().any(|backend| view.is_own(*backend))).then_some(port)
}

/// Number of a service port's protocol.
pub(in crate::cilium) fn number(port: &ServicePort) -> Option<u8> {
    match port.protocol.as_str() {
        "" | "TCP" => Some(protocol::TCP),
        "UDP" => Some(protocol::UDP),
        "SCTP" => Some(protocol::SCTP),
        _ => None,
    }
}
