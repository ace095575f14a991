//! The eBPF dataplane (see the sources named in the trace's room): programs on interfaces instead of chains.

use super::chain::{Chain, DROPPED, Kind};
use super::hooks::{Flow, Fold, IPIP};
use crate::calico::endpoint::Interface;
use crate::calico::question::{ICMPV6_FROM_PODS, Path, Workloads};
use crate::calico::state::{HostEndpoint, Side};
use crate::net::Family;
use crate::packet::{Cube, IpSet, PortSet, Region, Space, protocol};

impl<'s> Fold<'_, 's> {
    pub(super) fn bpf(&mut self, path: &Path) -> Region {
        match path {
            Path::Ingress(interface) => self.for_host(interface),
            Path::Egress(interface) => self.out_of_host(interface),
            Path::Forward { from, to } => {
                let fresh = self.fresh();
                let flow = self.enter(fresh, from, false);
                let pods = [from, to].iter().any(|interface| self.settings.is_workload(&interface.name));
                if pods && self.question.workloads == Workloads::Unknown {
                    return Space::EMPTY;
                }
                self.after_nat(flow, |fold, flow| fold.leave_through(flow, to, false))
            }
            Path::Local(interface) => {
                let (out, back) = (self.out_of_host(interface), self.for_host(interface));
                self.builder.space.within(out, back)
            }
        }
    }

    fn for_host(&mut self, interface: &Interface) -> Region {
        let fresh = self.fresh();
        let flow = self.enter(fresh, interface, true);
        if self.settings.is_workload(&interface.name) { self.pod_to_host(flow) } else { flow.alive }
    }

    fn out_of_host(&mut self, interface: &Interface) -> Region {
        let fresh = self.fresh();
        let flow = self.before_tracking(fresh, Side::Egress, interface);
        let space = &mut self.builder.space;
        let marked = space.within(flow.alive, flow.marked);
        let flow = Flow { alive: space.without(flow.alive, flow.marked), ..flow };
        let translation = self.question.translation.as_ref();
        let interface = translation.and_then(|translation| translation.interface.as_ref()).unwrap_or(interface);
        let passed = self.after_nat(flow, |fold, flow| fold.leave_through(flow, interface, true));
        self.builder.space.first_match(&[marked, passed])
    }

    /// What the programs of an interface let in. Regions are of packets before NAT throughout, but for what comes after.
    fn enter(&mut self, flow: Flow, interface: &Interface, local: bool) -> Flow {
        let pod = self.settings.is_workload(&interface.name);
        if !pod && !self.settings.has_programs(&interface.name) {
            return flow;
        }
        let endpoint = self.owners(interface).main();
        let flow = match endpoint.filter(|_| !pod) {
            Some(endpoint) => self.xdp(flow, endpoint),
            None => flow,
        };
        let tunnels = if pod { Tunnels::NONE } else { self.node_tunnels(Side::Ingress, local) };
        let neighbours = self.icmp(Family::IPv6, Some(&ICMPV6_FROM_PODS));
        let early = match endpoint {
            Some(endpoint) => {
                let chain = self.chain_of(endpoint, Side::Ingress, Kind::BeforeNat);
                chain.tiers(self.builder)
            }
            None => Space::EMPTY,
        };
        let space = &mut self.builder.space;
        let dropped_tunnels = space.without(tunnels.dropped, flow.marked);
        let exempt = space.first_match(&[flow.marked, tunnels.accepted, neighbours]);
        let translates = self.question.translation.is_some();
        let overridden = if local && !pod && !translates { self.node_wireguard(Side::Ingress) } else { Space::EMPTY };
        let mut denied = vec![dropped_tunnels];
        if let Some(endpoint) = endpoint {
            let judged = self.per_nat(flow, |fold| fold.entering(endpoint, early, local, pod));
            let space = &mut self.builder.space;
            let judged = space.without(judged, exempt);
            denied.push(space.without(judged, overridden));
        }
        let space = &mut self.builder.space;
        let denied = space.first_match(&denied);
        Flow { alive: space.without(flow.alive, denied), ..flow }
    }

    /// What the policies of an endpoint drop on entering, as packets are after NAT.
    fn entering(&mut self, endpoint: &'s HostEndpoint, early: Region, local: bool, pod: bool) -> Region {
        let later = match (local, pod) {
            (true, true) => Space::EMPTY,
            (true, false) => self.normal(endpoint, Side::Ingress),
            (false, _) => self.chain_of(endpoint, Side::Ingress, Kind::Routed).tiers(self.builder),
        };
        let failsafe = if local && !pod { self.failsafe(endpoint, Side::Ingress, Kind::Local) } else { Space::EMPTY };
        let space = &mut self.builder.space;
        let all = space.first_match(&[early, later]);
        let dropped = space.labelled(all, DROPPED);
        space.without(dropped, failsafe)
    }

    /// What the programs of an interface let out, as packets are after NAT.
    fn leave_through(&mut self, flow: Flow, interface: &Interface, local: bool) -> Region {
        let pod = self.settings.is_workload(&interface.name);
        if (pod && local) || (!pod && !self.settings.has_programs(&interface.name)) {
            return flow.alive;
        }
        let tunnels = if pod { Tunnels::NONE } else { self.node_tunnels(Side::Egress, local) };
        let neighbours = self.icmp(Family::IPv6, Some(&ICMPV6_FROM_PODS));
        let mut dropped = Space::EMPTY;
        if let Some(endpoint) = self.owners(interface).main() {
            let region = if local {
                self.normal(endpoint, Side::Egress)
            } else {
                self.chain_of(endpoint, Side::Egress, Kind::Routed).tiers(self.builder)
            };
            let failsafe = if local { self.failsafe(endpoint, Side::Egress, Kind::Local) } else { Space::EMPTY };
            let translates = self.question.translation.is_some();
            let overridden = if local && !translates { self.node_wireguard(Side::Egress) } else { Space::EMPTY };
            let space = &mut self.builder.space;
            let exempt = space.first_match(&[failsafe, neighbours, tunnels.accepted, overridden]);
            dropped = space.labelled(region, DROPPED);
            dropped = space.without(dropped, exempt);
        }
        let space = &mut self.builder.space;
        let dropped = space.first_match(&[dropped, tunnels.dropped]);
        space.without(flow.alive, dropped)
    }

    fn normal(&mut self, endpoint: &'s HostEndpoint, side: Side) -> Region {
        self.chain_of(endpoint, side, Kind::Local).tiers(self.builder)
    }

    fn failsafe(&mut self, endpoint: &'s HostEndpoint, side: Side, kind: Kind) -> Region {
        let regions = self.chain_of(endpoint, side, kind).failsafe(self.builder);
        self.builder.space.first_match(&regions)
    }

    fn xdp(&mut self, flow: Flow, endpoint: &'s HostEndpoint) -> Flow {
        let chain: Chain<'s> = self.chain_of(endpoint, Side::Ingress, Kind::BeforeTracking);
        if chain.count_tiers() != 1 {
            return flow;
        }
        let failsafe = self.failsafe(endpoint, Side::Ingress, Kind::BeforeTracking);
        let region = chain.tiers(self.builder);
        let region = self.builder.space.without(region, failsafe);
        self.apply(flow, region).0
    }

    /// Addresses of the other nodes.
    fn other_nodes(&self) -> IpSet {
        let nodes = self.state.hosts.nodes.iter().filter(|(node, _)| *node != self.question.node);
        nodes.map(|(_, address)| *address).collect()
    }

    /// Tunnels between nodes, and those that are dropped because the peer is none.
    fn node_tunnels(&mut self, side: Side, local: bool) -> Tunnels {
        let nodes = self.other_nodes();
        let v4 = IpSet::family(Family::IPv4);
        let between = |peers: IpSet, cube: Cube| match side {
            Side::Ingress => Cube { source: peers, ..cube },
            Side::Egress => Cube { destination: peers, ..cube },
        };
        let ipip = || Cube { protocols: IPIP.into(), ..Cube::any() };
        let known = between(nodes.intersection(&v4), ipip());
        let unknown = between(v4.difference(&nodes), ipip());
        let destination_ports = PortSet::from(self.settings.vxlan_port.value);
        let vxlan = between(nodes, Cube { protocols: protocol::UDP.into(), destination_ports, ..Cube::any() });
        let mut accepted = vec![self.builder.cube(&known, 1)];
        if local {
            accepted.push(self.builder.cube(&vxlan, 1));
        }
        let dropped = self.builder.cube(&unknown, 1);
        Tunnels { accepted: self.builder.space.first_match(&accepted), dropped }
    }

    /// WireGuard between nodes.
    fn node_wireguard(&mut self, side: Side) -> Region {
        let port = PortSet::from(self.settings.wireguard_port.value);
        let peers = self.other_nodes();
        let (source, destination) = match side {
            Side::Ingress => (peers, IpSet::all()),
            Side::Egress => (IpSet::all(), peers),
        };
        let protocols = protocol::UDP.into();
        let cube =
            Cube { source, destination, protocols, source_ports: port.clone(), destination_ports: port, ..Cube::any() };
        self.builder.cube(&cube, 1)
    }
}

struct Tunnels {
    accepted: Region,
    dropped: Region,
}

impl Tunnels {
    const NONE: Self = Self { accepted: Space::EMPTY, dropped: Space::EMPTY };
}
