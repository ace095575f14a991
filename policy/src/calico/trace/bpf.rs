//! The eBPF dataplane: programs on interfaces
//! (projectcalico/calico:felix/bpf/polprog/pol_prog_builder.go, felix/bpf-gpl/{tc,xdp}.c, felix/bpf-gpl/parsing.h,
//! felix/dataplane/linux/bpf_ep_mgr.go).
//!
//! What differs from the chains: nothing is enforced on interfaces without programs; `*` never leaks onto an interface
//! with an endpoint of its own; neighbour discovery is let through; failsafe ports help local traffic only, by the port
//! after NAT; tunnels are recognised by their form and the addresses of nodes, whatever the settings switch on.

use std::net::IpAddr;

use super::chain::{End, Kind};
use super::step::{Hook, Outcome, Stage, Verdict};
use super::walk::{IPIP, UDP, Walk};
use crate::calico::endpoint::{Interface, owners};
use crate::calico::question::{ICMPV6_FROM_PODS, Path};
use crate::calico::state::{HostEndpoint, Side};
use crate::net::Family;

impl<'s> Walk<'s> {
    pub(super) fn bpf(&mut self, path: &Path) -> Verdict {
        self.seen = true;
        match path {
            Path::Ingress(interface) => self.bpf_ingress(interface),
            Path::Egress(interface) => self.bpf_egress(interface),
            Path::Forward { from, to } => {
                let verdict = self.bpf_enter(from, false);
                verdict.unwrap_or_else(|| self.bpf_leave(to, false))
            }
            Path::Local(interface) => {
                let original = self.packet;
                let out = self.bpf_egress(interface);
                if !out.passes() {
                    return out;
                }
                (self.packet, self.accepted) = (original, false);
                let back = self.bpf_ingress(interface);
                if back == Verdict::NotJudged { out } else { back }
            }
        }
    }

    fn bpf_ingress(&mut self, interface: &Interface) -> Verdict {
        match self.bpf_enter(interface, true) {
            Some(verdict) => verdict,
            None if self.settings.is_workload(&interface.name) => self.workload_to_host(),
            None => self.passed(),
        }
    }

    fn bpf_egress(&mut self, interface: &Interface) -> Verdict {
        // Untracked egress policy is still a matter of the raw table, before NAT.
        if let Some(verdict) = self.untracked(Hook::RawOutput, Side::Egress, interface) {
            return verdict;
        }
        if self.accepted {
            return Verdict::Allow;
        }
        self.translate();
        let translation = self.question.translation.as_ref();
        let rerouted = translation.and_then(|translation| translation.interface.as_ref());
        self.bpf_leave(rerouted.unwrap_or(interface), true)
    }

    /// Programs of the interface that a packet enters through; `local` where it is for the host. `None` goes on.
    fn bpf_enter(&mut self, interface: &Interface, local: bool) -> Option<Verdict> {
        let hook = Hook::TcIngress;
        let before = self.packet;
        self.translate();
        let after = self.packet;
        let pod = self.settings.is_workload(&interface.name);
        if !self.is_attached(hook, interface) {
            return None;
        }
        let endpoint = self.bpf_endpoint(hook, interface);
        self.packet = before;
        if let Some(endpoint) = endpoint.filter(|_| !pod)
            && self.xdp(endpoint) == End::Dropped
        {
            return Some(Verdict::Deny);
        }
        let tunnel = if pod || self.accepted { None } else { self.bpf_tunnel(hook, before.source(), local) };
        self.packet = after;
        match tunnel {
            Some(Verdict::Deny) => return Some(Verdict::Deny),
            Some(verdict) if local => return Some(verdict),
            Some(_) => return None,
            None => {}
        }
        if self.accepted || self.neighbour(hook) {
            return None;
        }
        if !pod && local && self.is_failsafe(hook, Kind::Normal, Side::Ingress) {
            self.judged = true;
            return Some(Verdict::Allow);
        }
        let endpoint = endpoint?;
        self.judged = true;
        self.packet = before;
        let early = self.tiers(hook, Kind::PreDnat, Side::Ingress, endpoint);
        self.packet = after;
        let end = match early {
            Some(end) => end,
            // Pods to their own node: the host's normal policies are left out.
            None if local && pod => End::Undecided,
            None if local => self.bpf_normal(hook, Side::Ingress, endpoint),
            None => self.tiers(hook, Kind::Forward, Side::Ingress, endpoint).unwrap_or(End::Undecided),
        };
        if end != End::Dropped {
            return None;
        }
        let overridden =
            self.question.translation.is_none() && local && !pod && self.is_wireguard_of_node(hook, before.source());
        (!overridden).then_some(Verdict::Deny)
    }

    /// Programs of the interface that a packet leaves through; `local` where it is from the host.
    fn bpf_leave(&mut self, interface: &Interface, local: bool) -> Verdict {
        let hook = Hook::TcEgress;
        let pod = self.settings.is_workload(&interface.name);
        if self.unknown_pods(hook, pod, local) {
            return Verdict::Deny;
        }
        if !self.is_attached(hook, interface) || (pod && local) {
            return self.passed();
        }
        let destination = self.packet.destination();
        if !pod && let Some(verdict) = self.bpf_tunnel(hook, destination, local) {
            return verdict;
        }
        if self.neighbour(hook) || (!pod && local && self.is_failsafe(hook, Kind::Normal, Side::Egress)) {
            return Verdict::Allow;
        }
        let Some(endpoint) = self.bpf_endpoint(hook, interface) else {
            return self.passed();
        };
        self.judged = true;
        let end = if local {
            self.bpf_normal(hook, Side::Egress, endpoint)
        } else {
            self.tiers(hook, Kind::Forward, Side::Egress, endpoint).unwrap_or(End::Undecided)
        };
        let overridden = end == End::Dropped
            && local
            && self.question.translation.is_none()
            && self.is_wireguard_of_node(hook, destination);
        if end == End::Dropped && !overridden { Verdict::Deny } else { Verdict::Allow }
    }

    /// Whether the packet is routed to or from an interface behind which no pod is known.
    fn unknown_pods(&mut self, hook: Hook, to_pod: bool, local: bool) -> bool {
        let from_pod = match &self.question.path {
            Path::Forward { from, .. } => self.settings.is_workload(&from.name),
            Path::Ingress(_) | Path::Egress(_) | Path::Local(_) => false,
        };
        !local && (to_pod || from_pod) && self.unknown_workload(hook)
    }

    fn bpf_normal(&mut self, hook: Hook, side: Side, endpoint: &'s HostEndpoint) -> End {
        match self.tiers(hook, Kind::Normal, side, endpoint) {
            Some(end) => end,
            None => self.profiles(hook, side, endpoint),
        }
    }

    fn is_attached(&mut self, hook: Hook, interface: &Interface) -> bool {
        let attached = self.settings.is_workload(&interface.name) || self.settings.has_programs(&interface.name);
        if !attached {
            let reason = format!("no program is attached to {}", interface.name);
            self.step(hook, Stage::Endpoint, None, Outcome::Continue, &reason);
        }
        attached
    }

    /// The endpoint of an interface: its own, else `*`.
    fn bpf_endpoint(&mut self, hook: Hook, interface: &Interface) -> Option<&'s HostEndpoint> {
        let endpoint = owners(self.state, self.settings, &self.question.node, interface).main();
        let (key, reason) = match endpoint {
            Some(endpoint) => (Some(&endpoint.key), format!("governs {}", interface.name)),
            None => (None, format!("none governs {}", interface.name)),
        };
        self.step(hook, Stage::Endpoint, key, Outcome::Continue, &reason);
        endpoint
    }

    /// Untracked ingress policy. The program is there only if exactly one tier has such policies
    /// (bpf_ep_mgr.go: `len(ep.UntrackedTiers) == 1`).
    fn xdp(&mut self, endpoint: &'s HostEndpoint) -> End {
        let one = self.count_tiers(endpoint, Kind::Untracked) == 1;
        if !one || self.is_failsafe(Hook::Xdp, Kind::Untracked, Side::Ingress) {
            return End::Undecided;
        }
        let end = self.tiers(Hook::Xdp, Kind::Untracked, Side::Ingress, endpoint).unwrap_or(End::Undecided);
        self.accepted = end == End::Accepted;
        end
    }

    /// Neighbour discovery and multicast listeners.
    fn neighbour(&mut self, hook: Hook) -> bool {
        let neighbour = self.packet.family() == Family::IPv6
            && self.packet.icmp().is_some_and(|(kind, _)| ICMPV6_FROM_PODS.contains(&kind));
        if neighbour {
            self.judged = true;
            self.step(hook, Stage::Tunnel, None, Outcome::Accept, "neighbour discovery or a multicast listener");
        }
        neighbour
    }

    /// IP in IP is between nodes or dropped; VXLAN of nodes passes policy, other VXLAN does not.
    fn bpf_tunnel(&mut self, hook: Hook, peer: IpAddr, local: bool) -> Option<Verdict> {
        let known = self.is_remote_node(peer);
        let port = self.settings.vxlan_port.value;
        let (verdict, reason) = if self.packet.family() == Family::IPv4 && self.packet.protocol() == IPIP {
            match known {
                true => (Verdict::Allow, "IP in IP of a node"),
                false => (Verdict::Deny, "IP in IP of a host that is no node"),
            }
        } else if local && known && self.packet.protocol() == UDP && self.packet.destination_port() == Some(port) {
            (Verdict::Allow, "VXLAN of a node")
        } else {
            return None;
        };
        self.judged = true;
        let outcome = if verdict == Verdict::Allow { Outcome::Accept } else { Outcome::Drop };
        self.step(hook, Stage::Tunnel, None, outcome, reason);
        Some(verdict)
    }

    /// WireGuard between nodes, which passes although a policy dropped it.
    fn is_wireguard_of_node(&mut self, hook: Hook, peer: IpAddr) -> bool {
        let port = Some(self.settings.wireguard_port.value);
        let wireguard = self.packet.protocol() == UDP
            && self.packet.source_port() == port
            && self.packet.destination_port() == port
            && self.is_remote_node(peer);
        if wireguard {
            self.step(hook, Stage::Tunnel, None, Outcome::Accept, "WireGuard between nodes passes all the same");
        }
        wireguard
    }

    fn is_remote_node(&self, address: IpAddr) -> bool {
        self.state.hosts.nodes.iter().any(|(node, known)| *node != self.question.node && *known == address)
    }
}
