//! The static chains (projectcalico/calico:felix/rules/static.go), hook by hook.

use ipnet::IpNet;

use super::chain::{End, Kind};
use super::step::{Hook, Outcome, Stage, Step, Trace, Verdict};
use crate::calico::endpoint::{Interface, owners};
use crate::calico::question::{Conntrack, ICMPV6_FROM_PODS, Question, Translation, Workloads};
use crate::calico::settings::{Dataplane, Settings, ToHost};
use crate::calico::state::{Side, State};
use crate::net::Family;
use crate::packet::{Packet, Transport};
use crate::snapshot::Key;

/// Protocol number of IP in IP.
pub(super) const IPIP: u8 = 4;
/// Protocol number of UDP.
pub(super) const UDP: u8 = 17;

/// A packet on its way. Whatever ends it is returned as a verdict; `None` goes on.
pub(super) struct Walk<'s> {
    pub(super) state: &'s State,
    pub(super) settings: &'s Settings,
    pub(super) packet: Packet,
    pub(super) conntrack: Conntrack,
    pub(super) steps: Vec<Step>,
    pub(super) question: &'s Question,
    /// State before `doNotTrack` and tunnels had their say.
    fresh: Conntrack,
    /// Whether connection tracking has seen the packet.
    pub(super) seen: bool,
    /// Calico's accept mark.
    pub(super) accepted: bool,
    /// Calico's pass mark: some rule of the last tier that was asked passed the packet on.
    pub(super) passed: bool,
    /// Whether some chain was asked.
    pub(super) judged: bool,
    /// Whether the packet has been out of the host and comes in again; NAT is then behind it.
    returned: bool,
}

impl<'s> Walk<'s> {
    pub(super) fn new(state: &'s State, question: &'s Question, packet: &Packet) -> Self {
        let fresh = question.conntrack.unwrap_or_else(|| Conntrack::of(packet));
        Self {
            state,
            settings: state.settings(&question.node),
            packet: *packet,
            conntrack: fresh,
            steps: Vec::new(),
            question,
            fresh,
            seen: false,
            accepted: false,
            passed: false,
            judged: false,
            returned: false,
        }
    }

    pub(super) fn finish(self, verdict: Verdict) -> Trace {
        let conntrack = if self.seen { self.conntrack } else { Conntrack::New };
        Trace { verdict, conntrack, steps: self.steps }
    }

    pub(super) fn step(&mut self, hook: Hook, stage: Stage, object: Option<&Key>, outcome: Outcome, reason: &str) {
        let (object, reason) = (object.cloned(), reason.to_owned());
        self.steps.push(Step { hook, stage, object, rule: None, outcome, reason });
    }

    pub(super) fn ingress(&mut self, interface: &Interface) -> Verdict {
        self.raw_prerouting(interface)
            .or_else(|| self.mangle_prerouting(interface))
            .or_else(|| self.translate())
            .unwrap_or_else(|| self.input(interface))
    }

    pub(super) fn egress(&mut self, interface: &Interface) -> Verdict {
        self.raw_output(interface)
            .or_else(|| self.translate())
            .or_else(|| self.output(interface))
            .unwrap_or_else(|| self.mangle_postrouting(interface))
    }

    pub(super) fn forward(&mut self, from: &Interface, to: &Interface) -> Verdict {
        self.raw_prerouting(from)
            .or_else(|| self.mangle_prerouting(from))
            .or_else(|| self.translate())
            .unwrap_or_else(|| self.filter_forward(from, to))
    }

    /// Out of the host and in again, judged both times.
    pub(super) fn local(&mut self, interface: &Interface) -> Verdict {
        let out = self.egress(interface);
        if !out.passes() {
            return out;
        }
        (self.conntrack, self.accepted, self.returned) = (self.fresh, false, true);
        let back = self.ingress(interface);
        if back == Verdict::NotJudged { out } else { back }
    }

    fn raw_prerouting(&mut self, interface: &Interface) -> Option<Verdict> {
        self.untrack_vxlan();
        if self.settings.is_workload(&interface.name) {
            self.seen = true;
            return None;
        }
        self.untracked(Hook::RawPrerouting, Side::Ingress, interface)
    }

    fn raw_output(&mut self, interface: &Interface) -> Option<Verdict> {
        let end = self.untracked(Hook::RawOutput, Side::Egress, interface);
        self.untrack_vxlan();
        end
    }

    /// Only an endpoint of the interface itself has such chains, never `*`
    /// (projectcalico/calico:felix/dataplane/linux/endpoint_mgr.go updateHostEndpoints).
    pub(super) fn untracked(&mut self, hook: Hook, side: Side, interface: &Interface) -> Option<Verdict> {
        let own = owners(self.state, self.settings, &self.question.node, interface).own;
        let end = match own.filter(|own| self.has_policies(own, Kind::Untracked)) {
            Some(own) => self.chain(hook, Kind::Untracked, side, own),
            None => End::Undecided,
        };
        match end {
            End::Dropped => return Some(Verdict::Deny),
            End::Accepted => {
                self.accepted = true;
                self.conntrack = Conntrack::Untracked;
            }
            End::Failsafe | End::Undecided => {}
        }
        self.seen = true;
        None
    }

    /// VXLAN is not tracked, from whomever.
    fn untrack_vxlan(&mut self) {
        if self.is_vxlan() {
            self.conntrack = Conntrack::Untracked;
        }
    }

    /// Policies before destination NAT, on the packet as it arrived. An endpoint of the interface without such policies
    /// leaves the packet to `*` (updateHostEndpoints: only endpoints with such policies are dispatched to).
    fn mangle_prerouting(&mut self, interface: &Interface) -> Option<Verdict> {
        if self.accepted {
            return None;
        }
        let owners = owners(self.state, self.settings, &self.question.node, interface);
        let mut candidates = owners.own.into_iter().chain(owners.wildcard);
        let endpoint = candidates.find(|endpoint| self.has_policies(endpoint, Kind::PreDnat))?;
        match self.chain(Hook::ManglePrerouting, Kind::PreDnat, Side::Ingress, endpoint) {
            End::Dropped => return Some(Verdict::Deny),
            End::Accepted => self.accepted = true,
            End::Failsafe | End::Undecided => {}
        }
        None
    }

    /// Destination NAT. A packet that is not tracked is not translated.
    pub(super) fn translate(&mut self) -> Option<Verdict> {
        let translation = self.translation().filter(|_| !self.returned)?;
        let transport = match (self.packet.transport(), translation.port) {
            (Transport::Ports { protocol, source, .. }, Some(destination)) => {
                Transport::Ports { protocol, source, destination }
            }
            (transport, _) => transport,
        };
        // A translation into the other family is none that NAT can do; the packet then stays as it is.
        if let Ok(packet) = Packet::new(self.packet.source(), translation.destination, transport) {
            self.packet = packet;
        }
        None
    }

    fn translation(&self) -> Option<&'s Translation> {
        self.question.translation.as_ref().filter(|_| self.conntrack == Conntrack::New)
    }

    fn input(&mut self, interface: &Interface) -> Verdict {
        let hook = Hook::Input;
        if let Some(verdict) = self.tunnels_in() {
            return verdict;
        }
        if self.settings.is_workload(&interface.name) {
            return self.workload_to_host();
        }
        if self.accepted {
            self.step(hook, Stage::End, None, Outcome::Accept, "accepted before");
            return Verdict::Allow;
        }
        self.judge(hook, Side::Ingress, interface)
    }

    /// Packets of a pod for its own node; no host endpoint sees them.
    pub(super) fn workload_to_host(&mut self) -> Verdict {
        let (hook, stage) = (Hook::Input, Stage::Workload);
        let neighbour = self.packet.family() == Family::IPv6
            && self.packet.icmp().is_some_and(|(kind, _)| ICMPV6_FROM_PODS.contains(&kind));
        if neighbour {
            self.step(hook, stage, None, Outcome::Accept, "neighbour discovery or a multicast listener");
            return Verdict::Allow;
        }
        if self.unknown_workload(hook) {
            return Verdict::Deny;
        }
        let (outcome, verdict) = match self.settings.to_host.value {
            ToHost::Drop => (Outcome::Drop, Verdict::Deny),
            ToHost::Accept => (Outcome::Accept, Verdict::Allow),
            ToHost::Return => (Outcome::Continue, Verdict::NotJudged),
        };
        let reason = format!("defaultEndpointToHostAction, {}", self.settings.to_host.from);
        self.step(hook, stage, None, outcome, &reason);
        verdict
    }

    pub(super) fn unknown_workload(&mut self, hook: Hook) -> bool {
        let unknown = self.question.workloads == Workloads::Unknown;
        if unknown {
            self.step(hook, Stage::Workload, None, Outcome::Drop, "no pod is known behind the interface");
        }
        unknown
    }

    fn output(&mut self, interface: &Interface) -> Option<Verdict> {
        let hook = Hook::Output;
        if self.accepted {
            self.step(hook, Stage::End, None, Outcome::Accept, "accepted before");
            return Some(Verdict::Allow);
        }
        if self.settings.is_workload(&interface.name) {
            self.step(hook, Stage::Workload, None, Outcome::Continue, "the host may always reach its pods");
            return None;
        }
        if let Some(verdict) = self.tunnels_out() {
            return Some(verdict);
        }
        let translated = self.translation().is_some();
        let asked = match self.settings.dataplane.value {
            // Written as `ct status != dnat`, an exact comparison: it holds for a translated packet too, and never for
            // one without a connection (projectcalico/calico:felix/nftables/match_builder.go NotConntrackStatus).
            Dataplane::Nftables => self.conntrack == Conntrack::New,
            Dataplane::Iptables | Dataplane::Bpf => !translated,
        };
        if !asked {
            let reason = if translated { "judged after NAT" } else { "nftables asks no policy without a connection" };
            self.step(hook, Stage::Conntrack, None, Outcome::Continue, reason);
            return None;
        }
        let verdict = self.judge(hook, Side::Egress, interface);
        // What a failsafe port or nothing accepts has no mark, and after NAT is judged again.
        (!translated || self.accepted || !verdict.passes()).then_some(verdict)
    }

    fn mangle_postrouting(&mut self, interface: &Interface) -> Verdict {
        let Some(translation) = self.translation() else {
            return self.passed();
        };
        let interface = translation.interface.as_ref().unwrap_or(interface);
        if self.settings.is_workload(&interface.name) {
            let reason = "the host may always reach its pods";
            self.step(Hook::ManglePostrouting, Stage::Workload, None, Outcome::Continue, reason);
            return self.passed();
        }
        self.judge(Hook::ManglePostrouting, Side::Egress, interface)
    }

    /// Normal policies of the endpoint that governs an interface.
    fn judge(&mut self, hook: Hook, side: Side, interface: &Interface) -> Verdict {
        let Some(endpoint) = owners(self.state, self.settings, &self.question.node, interface).main() else {
            let reason = format!("none governs {}", interface.name);
            self.step(hook, Stage::Endpoint, None, Outcome::Continue, &reason);
            return self.passed();
        };
        self.judged = true;
        match self.chain(hook, Kind::Normal, side, endpoint) {
            End::Dropped => Verdict::Deny,
            End::Accepted => {
                self.accepted = true;
                Verdict::Allow
            }
            End::Failsafe | End::Undecided => Verdict::Allow,
        }
    }

    fn filter_forward(&mut self, from: &Interface, to: &Interface) -> Verdict {
        let hook = Hook::Forward;
        if !self.accepted
            && let Some(verdict) = self.judge_forwarded(Side::Ingress, from)
        {
            return verdict;
        }
        for interface in [from, to] {
            if self.settings.is_workload(&interface.name) && self.unknown_workload(hook) {
                return Verdict::Deny;
            }
        }
        // Asked even about what is accepted already.
        if let Some(verdict) = self.judge_forwarded(Side::Egress, to) {
            return verdict;
        }
        self.passed()
    }

    fn judge_forwarded(&mut self, side: Side, interface: &Interface) -> Option<Verdict> {
        let Some(endpoint) = owners(self.state, self.settings, &self.question.node, interface).main() else {
            let reason = format!("none governs {}", interface.name);
            self.step(Hook::Forward, Stage::Endpoint, None, Outcome::Continue, &reason);
            return None;
        };
        self.judged |= self.has_policies(endpoint, Kind::Forward);
        match self.chain(Hook::Forward, Kind::Forward, side, endpoint) {
            End::Dropped => Some(Verdict::Deny),
            End::Accepted => {
                self.accepted = true;
                None
            }
            End::Failsafe | End::Undecided => None,
        }
    }

    pub(super) fn passed(&self) -> Verdict {
        if self.accepted || self.judged { Verdict::Allow } else { Verdict::NotJudged }
    }

    /// Tunnels for this host, before any policy of an endpoint.
    fn tunnels_in(&mut self) -> Option<Verdict> {
        let hosts = &self.state.hosts;
        let source = self.packet.source();
        let from = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&source));
        let (accept, reason) = if self.is_ipip() {
            (from(&hosts.ipip), "IP in IP")
        } else if self.is_vxlan() {
            (from(&hosts.vxlan), "VXLAN")
        } else if self.is_wireguard() {
            (true, "WireGuard")
        } else {
            return None;
        };
        let (outcome, verdict, known) = if accept {
            (Outcome::Accept, Verdict::Allow, "")
        } else {
            (Outcome::Drop, Verdict::Deny, " from a host that Calico does not know")
        };
        self.step(Hook::Input, Stage::Tunnel, None, outcome, &format!("{reason}{known}"));
        Some(verdict)
    }

    /// Tunnels from this host; those to unknown hosts are left to policy.
    fn tunnels_out(&mut self) -> Option<Verdict> {
        let hosts = &self.state.hosts;
        let destination = self.packet.destination();
        let to = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&destination));
        let reason = if self.is_ipip() && to(&hosts.ipip) {
            "IP in IP to a host of the cluster"
        } else if self.is_vxlan() && to(&hosts.vxlan) {
            "VXLAN to a host of the cluster"
        } else if self.is_wireguard() {
            "WireGuard"
        } else {
            return None;
        };
        self.step(Hook::Output, Stage::Tunnel, None, Outcome::Accept, reason);
        Some(Verdict::Allow)
    }

    fn is_ipip(&self) -> bool {
        self.settings.ipip.value && self.packet.family() == Family::IPv4 && self.packet.protocol() == IPIP
    }

    fn is_vxlan(&self) -> bool {
        let on = match self.packet.family() {
            Family::IPv4 => self.settings.vxlan.value,
            Family::IPv6 => self.settings.vxlan_v6.value,
        };
        on && self.is_udp_to(self.settings.vxlan_port.value)
    }

    fn is_wireguard(&self) -> bool {
        let (on, port) = match self.packet.family() {
            Family::IPv4 => (self.settings.wireguard.value, self.settings.wireguard_port.value),
            Family::IPv6 => (self.settings.wireguard_v6.value, self.settings.wireguard_port_v6.value),
        };
        on && self.is_udp_to(port)
    }

    fn is_udp_to(&self, port: u16) -> bool {
        self.packet.protocol() == UDP && self.packet.destination_port() == Some(port)
    }
}
