//! Node ports under kube-proxy replacement (cilium/cilium:bpf/bpf_host.c, `handle_ipv4`): translated before the host
//! firewall, which then sees the backend.

use crate::cilium::compile::State;
use crate::cilium::identity::View;
use crate::packet::Packet;

/// The node port, where the packet goes to one and no backend of its service is an address of this host.
///
/// Where one is, policy judges the packet on the backend's port, which is not followed here: policy is asked about the
/// packet as it is, and compiling has listed the node port as unknown.
pub(super) fn translated(state: &State, view: &View<'_>, packet: &Packet) -> Option<u16> {
    let port = packet.destination_port()?;
    if !state.settings.kube_proxy_replacement.value || !view.is_own(packet.destination()) {
        return None;
    }
    let found = state.node_ports().iter().find(|one| one.port == port && one.protocol == packet.protocol())?;
    (!found.is_behind(view)).then_some(port)
}
