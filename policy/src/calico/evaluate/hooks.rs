//! The hooks, each handing on the packets that it leaves.

use ipnet::IpNet;

use super::chain::{ACCEPTED, Chain, DROPPED, FAILSAFE, Kind, udp_to};
use super::rule::Builder;
use crate::calico::endpoint::{Interface, Owners, owners};
use crate::calico::question::{
    Conntrack, ICMP_NEW, ICMPV6_FROM_PODS, ICMPV6_NEW, ICMPV6_UNTRACKED, Path, Question, Workloads,
};
use crate::calico::settings::{Dataplane, Settings, ToHost};
use crate::calico::state::{HostEndpoint, Side, State};
use crate::net::Family;
use crate::packet::{Cube, IcmpSet, IpSet, Region, Space, protocol};

/// IP in IP.
pub(super) const IPIP: u8 = 4;

/// Packets on their way through the hooks of one question.
pub(super) struct Fold<'b, 's> {
    pub(super) builder: &'b mut Builder<'s>,
    pub(super) state: &'s State,
    pub(super) settings: &'s Settings,
    pub(super) question: &'b Question,
}

/// Packets that are still under way.
#[derive(Clone, Copy)]
pub(super) struct Flow {
    /// All of them.
    pub(super) alive: Region,
    /// Those that carry the accept mark.
    pub(super) marked: Region,
    /// Those that have a connection.
    pub(super) tracked: Region,
    /// Those that connection tracking calls invalid.
    pub(super) invalid: Region,
}

impl<'b, 's> Fold<'b, 's> {
    pub(super) fn new(builder: &'b mut Builder<'s>, question: &'b Question) -> Self {
        let state = builder.state;
        Self { builder, state, settings: state.settings(&question.node), question }
    }

    pub(super) fn ingress(&mut self, interface: &Interface) -> Region {
        let flow = self.arrive(interface);
        self.after_nat(flow, |fold, flow| fold.input(flow, interface))
    }

    pub(super) fn egress(&mut self, interface: &Interface) -> Region {
        let fresh = self.fresh();
        let flow = self.before_tracking(fresh, Side::Egress, interface);
        let flow = self.untrack_vxlan(flow);
        self.after_nat(flow, |fold, flow| fold.output(flow, interface))
    }

    pub(super) fn forward(&mut self, from: &Interface, to: &Interface) -> Region {
        let flow = self.arrive(from);
        self.after_nat(flow, |fold, flow| fold.routed(flow, from, to))
    }

    /// Out and in again. What NAT has done on the way out, it has done to all that sees the packets on their way in.
    pub(super) fn local(&mut self, interface: &Interface) -> Region {
        let out = self.egress(interface);
        let fresh = self.fresh();
        let flow = self.before_tracking(fresh, Side::Egress, interface);
        let flow = self.untrack_vxlan(flow);
        let back = self.per_nat(flow, |fold| {
            let flow = fold.arrive(interface);
            fold.input(flow, interface)
        });
        self.builder.space.within(out, back)
    }

    fn arrive(&mut self, interface: &Interface) -> Flow {
        let fresh = self.fresh();
        let flow = self.untrack_vxlan(fresh);
        let flow = if self.settings.is_workload(&interface.name) {
            flow
        } else {
            self.before_tracking(flow, Side::Ingress, interface)
        };
        self.before_nat(flow, interface)
    }

    /// Every packet, with the state that connection tracking gives it.
    pub(super) fn fresh(&mut self) -> Flow {
        let all = Space::ALL;
        let (tracked, invalid) = match self.question.conntrack {
            Some(Conntrack::New) => (all, Space::EMPTY),
            Some(Conntrack::Invalid) => (Space::EMPTY, all),
            Some(Conntrack::Untracked) => (Space::EMPTY, Space::EMPTY),
            None => {
                let icmp = self.icmp(Family::IPv4, None);
                let icmpv6 = self.icmp(Family::IPv6, None);
                let fresh = self.icmp(Family::IPv4, Some(&ICMP_NEW));
                let freshv6 = self.icmp(Family::IPv6, Some(&ICMPV6_NEW));
                let never = self.icmp(Family::IPv6, Some(&ICMPV6_UNTRACKED));
                let space = &mut self.builder.space;
                let answers = space.without(icmp, fresh);
                let answersv6 = space.without(icmpv6, freshv6);
                let untracked_or_invalid = space.first_match(&[answers, answersv6]);
                (space.complement(untracked_or_invalid), space.without(untracked_or_invalid, never))
            }
        };
        Flow { alive: all, marked: Space::EMPTY, tracked, invalid }
    }

    pub(super) fn icmp(&mut self, family: Family, kinds: Option<&[u8]>) -> Region {
        let addresses = IpSet::family(family);
        let cube = Cube { source: addresses, protocols: protocol::icmp(family).into(), ..Cube::any() };
        let Some(kinds) = kinds else {
            return self.builder.space.cube(&cube, 1);
        };
        let icmp = kinds.iter().fold(IcmpSet::empty(), |all, kind| all.union(&IcmpSet::kind(*kind)));
        self.builder.space.cube(&Cube { icmp, ..cube }, 1)
    }

    fn untrack_vxlan(&mut self, flow: Flow) -> Flow {
        let vxlan = self.vxlan(|family| (IpSet::family(family), IpSet::all()));
        self.untrack(flow, vxlan)
    }

    fn untrack(&mut self, flow: Flow, packets: Region) -> Flow {
        let space = &mut self.builder.space;
        let (tracked, invalid) = (space.without(flow.tracked, packets), space.without(flow.invalid, packets));
        Flow { tracked, invalid, ..flow }
    }

    /// `doNotTrack` policies; only of an endpoint that owns the interface itself.
    pub(super) fn before_tracking(&mut self, flow: Flow, side: Side, interface: &Interface) -> Flow {
        let Some(region) = self.untracked(side, interface) else {
            return flow;
        };
        let (flow, accepted) = self.apply(flow, region);
        self.untrack(flow, accepted)
    }

    /// What such policies accept and drop where the packets of the question begin.
    pub(super) fn by_untracked(&mut self) -> Option<[Region; 2]> {
        let (side, interface) = match &self.question.path {
            Path::Ingress(interface) | Path::Forward { from: interface, .. } => (Side::Ingress, interface),
            Path::Egress(interface) => (Side::Egress, interface),
            Path::Local(_) => return None,
        };
        if side == Side::Ingress && self.settings.is_workload(&interface.name) {
            return None;
        }
        let region = self.untracked(side, interface)?;
        Some([ACCEPTED, DROPPED].map(|label| self.builder.space.labelled(region, label)))
    }

    fn untracked(&mut self, side: Side, interface: &Interface) -> Option<Region> {
        let endpoint = self.owners(interface).own?;
        let chain = self.chain_of(endpoint, side, Kind::BeforeTracking);
        chain.is_present().then(|| chain.region(self.builder, Space::EMPTY))
    }

    /// `preDNAT` policies of the endpoint of the interface, or of `*` where that has none.
    fn before_nat(&mut self, flow: Flow, interface: &Interface) -> Flow {
        let Owners { own, wildcard } = self.owners(interface);
        let chains = [own, wildcard].into_iter().flatten();
        let mut chains = chains.map(|endpoint| self.chain_of(endpoint, Side::Ingress, Kind::BeforeNat));
        let Some(chain) = chains.find(Chain::is_present) else {
            return flow;
        };
        let region = chain.region(self.builder, flow.invalid);
        let region = self.builder.space.without(region, flow.marked);
        self.apply(flow, region).0
    }

    /// Takes what a chain dropped out, and marks what it accepted. Also returns that.
    pub(super) fn apply(&mut self, flow: Flow, region: Region) -> (Flow, Region) {
        let space = &mut self.builder.space;
        let dropped = space.labelled(region, DROPPED);
        let accepted = space.labelled(region, ACCEPTED);
        let marked = space.first_match(&[flow.marked, accepted]);
        let (alive, marked) = (space.without(flow.alive, dropped), space.without(marked, dropped));
        (Flow { alive, marked, ..flow }, accepted)
    }

    /// Goes on with packets as NAT leaves them: those with a connection are translated.
    pub(super) fn after_nat(&mut self, flow: Flow, mut next: impl FnMut(&mut Self, Flow) -> Region) -> Region {
        let Some(translation) = &self.question.translation else {
            return next(self, flow);
        };
        let space = &mut self.builder.space;
        let translated = Flow { alive: space.within(flow.alive, flow.tracked), ..flow };
        let others = Flow { alive: space.without(flow.alive, flow.tracked), ..flow };
        let others = next(self, others);
        self.builder.translated = Some(translation.clone());
        let translated = next(self, translated);
        self.builder.translated = None;
        self.builder.space.first_match(&[translated, others])
    }

    /// A region over packets after NAT, put together from those that are translated and those that are not.
    pub(super) fn per_nat(&mut self, flow: Flow, mut region: impl FnMut(&mut Self) -> Region) -> Region {
        let untouched = region(self);
        let Some(translation) = &self.question.translation else {
            return untouched;
        };
        self.builder.translated = Some(translation.clone());
        let translated = region(self);
        self.builder.translated = None;
        let space = &mut self.builder.space;
        let (translated, untouched) = (space.within(translated, flow.tracked), space.without(untouched, flow.tracked));
        space.first_match(&[translated, untouched])
    }

    fn input(&mut self, flow: Flow, interface: &Interface) -> Region {
        let (tunnels, flow) = self.tunnels_in(flow);
        let rest = if self.settings.is_workload(&interface.name) {
            self.pod_to_host(flow)
        } else {
            let judged = self.judge(flow, Side::Ingress, interface);
            let space = &mut self.builder.space;
            let marked = space.within(flow.alive, flow.marked);
            space.first_match(&[marked, judged])
        };
        self.builder.space.first_match(&[tunnels, rest])
    }

    pub(super) fn pod_to_host(&mut self, flow: Flow) -> Region {
        let neighbours = self.icmp(Family::IPv6, Some(&ICMPV6_FROM_PODS));
        let to_host = self.settings.to_host.value;
        if self.question.workloads == Workloads::Admitting && to_host != ToHost::Drop {
            return flow.alive;
        }
        self.builder.space.within(flow.alive, neighbours)
    }

    fn output(&mut self, flow: Flow, interface: &Interface) -> Region {
        let space = &mut self.builder.space;
        let marked = space.within(flow.alive, flow.marked);
        let flow = Flow { alive: space.without(flow.alive, flow.marked), ..flow };
        let passed = if self.settings.is_workload(&interface.name) {
            self.leave(flow, interface)
        } else {
            let tunnels = self.tunnels_out();
            let space = &mut self.builder.space;
            let accepted = space.within(flow.alive, tunnels);
            let flow = Flow { alive: space.without(flow.alive, tunnels), ..flow };
            let rest = self.asked(flow, interface);
            self.builder.space.first_match(&[accepted, rest])
        };
        self.builder.space.first_match(&[marked, passed])
    }

    /// The dispatch of filter OUTPUT, and after it mangle POSTROUTING. On nftables the former asks about everything that
    /// has a connection, elsewhere about everything that is not translated.
    fn asked(&mut self, flow: Flow, interface: &Interface) -> Region {
        let nftables = self.settings.dataplane.value == Dataplane::Nftables;
        let translated = self.builder.translated.is_some();
        if !nftables {
            return if translated { self.leave(flow, interface) } else { self.judge(flow, Side::Egress, interface) };
        }
        let space = &mut self.builder.space;
        let without = space.without(flow.alive, flow.tracked);
        let flow = Flow { alive: space.within(flow.alive, flow.tracked), ..flow };
        let passed = if translated { self.twice(flow, interface) } else { self.judge(flow, Side::Egress, interface) };
        self.builder.space.first_match(&[without, passed])
    }

    /// Judged before routing anew, and what that left without a mark after it too.
    fn twice(&mut self, flow: Flow, interface: &Interface) -> Region {
        let Some(endpoint) = self.owners(interface).main() else {
            return self.leave(flow, interface);
        };
        let chain = self.chain_of(endpoint, Side::Egress, Kind::Local);
        let region = chain.region(self.builder, flow.invalid);
        let space = &mut self.builder.space;
        let (accepted, failsafe) = (space.labelled(region, ACCEPTED), space.labelled(region, FAILSAFE));
        let accepted = space.within(flow.alive, accepted);
        let again = Flow { alive: space.within(flow.alive, failsafe), ..flow };
        let again = self.leave(again, interface);
        self.builder.space.first_match(&[accepted, again])
    }

    /// Mangle POSTROUTING, which judges what was translated.
    fn leave(&mut self, flow: Flow, interface: &Interface) -> Region {
        let question = self.question;
        let Some(translation) = question.translation.as_ref().filter(|_| self.builder.translated.is_some()) else {
            return flow.alive;
        };
        let interface = translation.interface.as_ref().unwrap_or(interface);
        if self.settings.is_workload(&interface.name) {
            return flow.alive;
        }
        self.judge(flow, Side::Egress, interface)
    }

    /// Normal policies about packets without a mark.
    fn judge(&mut self, flow: Flow, side: Side, interface: &Interface) -> Region {
        let unmarked = self.builder.space.without(flow.alive, flow.marked);
        let Some(endpoint) = self.owners(interface).main() else {
            return unmarked;
        };
        let region = self.chain_of(endpoint, side, Kind::Local).region(self.builder, flow.invalid);
        let space = &mut self.builder.space;
        let dropped = space.labelled(region, DROPPED);
        space.without(unmarked, dropped)
    }

    fn routed(&mut self, flow: Flow, from: &Interface, to: &Interface) -> Region {
        let flow = match self.owners(from).main() {
            Some(endpoint) => {
                let region = self.chain_of(endpoint, Side::Ingress, Kind::Routed).region(self.builder, flow.invalid);
                let region = self.builder.space.without(region, flow.marked);
                self.apply(flow, region).0
            }
            None => flow,
        };
        let pods = [from, to].iter().any(|interface| self.settings.is_workload(&interface.name));
        if pods && self.question.workloads == Workloads::Unknown {
            return Space::EMPTY;
        }
        match self.owners(to).main() {
            Some(endpoint) => {
                let region = self.chain_of(endpoint, Side::Egress, Kind::Routed).region(self.builder, flow.invalid);
                self.apply(flow, region).0.alive
            }
            None => flow.alive,
        }
    }

    /// Tunnels for the host: those accepted, and the flow without all of them.
    fn tunnels_in(&mut self, flow: Flow) -> (Region, Flow) {
        let hosts = &self.state.hosts;
        let known =
            |nets: &[IpNet], family| nets.iter().copied().collect::<IpSet>().intersection(&IpSet::family(family));
        let everything = |family| (IpSet::family(family), IpSet::all());
        let ipip = self.ipip(&IpSet::all(), IpSet::all());
        let ipip_known = self.ipip(&known(&hosts.ipip, Family::IPv4), IpSet::all());
        let vxlan = self.vxlan(everything);
        let vxlan_known = self.vxlan(|family| (known(&hosts.vxlan, family), IpSet::all()));
        let wireguard = self.wireguard();
        let space = &mut self.builder.space;
        let wireguard = space.without(wireguard, vxlan);
        let accepted = space.first_match(&[ipip_known, vxlan_known, wireguard]);
        let tunnels = space.first_match(&[ipip, vxlan, wireguard]);
        let accepted = space.within(flow.alive, accepted);
        (accepted, Flow { alive: space.without(flow.alive, tunnels), ..flow })
    }

    /// Tunnels from the host to hosts that are known.
    fn tunnels_out(&mut self) -> Region {
        let hosts = &self.state.hosts;
        let ipip = self.ipip(&IpSet::all(), hosts.ipip.iter().copied().collect());
        let vxlan = self.vxlan(|family| (IpSet::family(family), hosts.vxlan.iter().copied().collect()));
        let wireguard = self.wireguard();
        self.builder.space.first_match(&[ipip, vxlan, wireguard])
    }

    fn ipip(&mut self, source: &IpSet, destination: IpSet) -> Region {
        if !self.settings.ipip.value {
            return Space::EMPTY;
        }
        let source = source.intersection(&IpSet::family(Family::IPv4));
        self.builder.cube(&Cube { source, destination, protocols: IPIP.into(), ..Cube::any() }, 1)
    }

    fn vxlan(&mut self, ends: impl Fn(Family) -> (IpSet, IpSet)) -> Region {
        let families = [(self.settings.vxlan.value, Family::IPv4), (self.settings.vxlan_v6.value, Family::IPv6)];
        let mut regions = Vec::new();
        for (_, family) in families.into_iter().filter(|(on, _)| *on) {
            let (source, destination) = ends(family);
            regions.push(self.builder.cube(&udp_to(self.settings.vxlan_port.value, source, destination), 1));
        }
        self.builder.space.first_match(&regions)
    }

    fn wireguard(&mut self) -> Region {
        let settings = self.settings;
        let mut regions = Vec::new();
        for (on, port, family) in [
            (settings.wireguard.value, settings.wireguard_port.value, Family::IPv4),
            (settings.wireguard_v6.value, settings.wireguard_port_v6.value, Family::IPv6),
        ] {
            if on {
                regions.push(self.builder.cube(&udp_to(port, IpSet::family(family), IpSet::all()), 1));
            }
        }
        self.builder.space.first_match(&regions)
    }

    pub(super) fn owners(&self, interface: &Interface) -> Owners<'s> {
        owners(self.state, self.settings, &self.question.node, interface)
    }

    pub(super) fn chain_of(&self, endpoint: &'s HostEndpoint, side: Side, kind: Kind) -> Chain<'s> {
        let lists = self.builder.selected.of(self.state, endpoint);
        Chain { state: self.state, settings: self.settings, endpoint, side, kind, lists }
    }
}
