//! A small model of a host endpoint's chains: failsafe ports, then the policies by order, then the next tier, which passes.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use policy::calico::api::{self, FelixConfigurationSpec, PolicyType, ProtoPort};

use super::super::language::matches;
use super::*;

/// One new connection, or one ICMP message.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// The node concerned, an index.
    pub(super) node: usize,
    pub(super) direction: Direction,
    /// The node's address, of the same family as the other one.
    pub(super) own: IpAddr,
    pub(super) other: IpAddr,
    /// As rules name it.
    pub(super) protocol: &'static str,
    pub(super) icmp: Option<(u8, u8)>,
    pub(super) port: u16,
    pub(super) source_port: u16,
}

/// Prefixes by selector and negative selector.
type Resolved = HashMap<(String, Option<String>), Vec<Cidr>>;

/// What is applied: a prefix of the output, and the nodes that have a host endpoint.
pub(super) struct State<'s> {
    objects: Vec<&'s AnyObject>,
    nodes: &'s [Node],
    interface: Option<&'s str>,
    pub(super) endpoints: BTreeSet<usize>,
    /// Rules of each node, ingress and egress, in the order in which they are judged.
    rules: Vec<[Vec<&'s Rule>; 2]>,
    resolved: RefCell<Resolved>,
}

impl<'s> State<'s> {
    pub(super) fn new(
        objects: &'s [Manifest],
        nodes: &'s [Node],
        interface: Option<&'s str>,
        endpoints: BTreeSet<usize>,
    ) -> Self {
        let objects: Vec<&AnyObject> = objects.iter().map(|manifest| &manifest.object).collect();
        let resolved = RefCell::default();
        let mut state = Self { objects, nodes, interface, endpoints, rules: Vec::new(), resolved };
        for node in 0..nodes.len() {
            let labels = state.labels(node);
            let of = |kind| state.rules_of(&labels, kind);
            let rules = [of(PolicyType::Ingress), of(PolicyType::Egress)];
            state.rules.push(rules);
        }
        state
    }

    fn rules_of(&self, labels: &BTreeMap<String, String>, kind: PolicyType) -> Vec<&'s Rule> {
        let specs = self.objects.iter().filter_map(|object| match object {
            AnyObject::GlobalNetworkPolicy(policy) => Some(&policy.spec),
            _ => None,
        });
        let mut policies: Vec<_> = specs
            .filter(|spec| spec.pre_dnat.is_none() && spec.types.as_ref().is_some_and(|types| types.contains(&kind)))
            .filter(|spec| spec.selector.as_ref().is_some_and(|selector| matches(selector, labels)))
            .collect();
        policies.sort_by(|a, b| a.order.partial_cmp(&b.order).expect("finite orders"));
        let rules = policies.into_iter().flat_map(|spec| match kind {
            PolicyType::Ingress => spec.ingress.iter().flatten(),
            PolicyType::Egress => spec.egress.iter().flatten(),
        });
        rules.collect()
    }

    fn labels(&self, node: usize) -> BTreeMap<String, String> {
        let mut labels = self.nodes[node].labels.clone();
        labels.extend(self.interface.map(|name| ("lifeline.dev/interface".to_owned(), name.to_owned())));
        labels
    }

    pub(super) fn admits(&self, packet: &Packet) -> bool {
        if !self.endpoints.contains(&packet.node) || self.failsafe(packet) {
            return true;
        }
        let rules = &self.rules[packet.node][usize::from(packet.direction == Direction::Egress)];
        let decided = rules.iter().filter(|rule| matches!(rule.action, api::Action::Allow | api::Action::Deny));
        let first = decided.into_iter().find(|rule| self.matches(rule, packet));
        first.is_none_or(|rule| rule.action == api::Action::Allow)
    }

    pub(super) fn failsafe(&self, packet: &Packet) -> bool {
        let written = self.objects.iter().find_map(|object| match object {
            AnyObject::FelixConfiguration(object) => Some(&object.spec),
            _ => None,
        });
        let list = |spec: &FelixConfigurationSpec| match packet.direction {
            Direction::Ingress => spec.failsafe_inbound_host_ports.clone(),
            Direction::Egress => spec.failsafe_outbound_host_ports.clone(),
        };
        let entries = written.and_then(list).unwrap_or_else(|| own(packet.direction));
        entries.iter().any(|entry| {
            entry.protocol == packet.protocol
                && entry.port == i64::from(packet.port)
                && entry.net.as_ref().is_none_or(|net| within(packet.other, net))
        })
    }

    fn matches(&self, rule: &Rule, packet: &Packet) -> bool {
        let version = if packet.other.is_ipv4() { 4 } else { 6 };
        let (source, destination) = match packet.direction {
            Direction::Ingress => (packet.other, packet.own),
            Direction::Egress => (packet.own, packet.other),
        };
        rule.ip_version.is_none_or(|only| only == version)
            && rule.protocol.as_ref().is_none_or(|protocol| text(protocol) == packet.protocol)
            && rule.icmp.is_none_or(|fields| {
                let same = |wanted: Option<i64>, is: u8| wanted.is_none_or(|wanted| wanted == i64::from(is));
                packet.icmp.is_some_and(|(kind, code)| same(fields.icmp_type, kind) && same(fields.code, code))
            })
            && self.side(&rule.source, source, packet.source_port)
            && self.side(&rule.destination, destination, packet.port)
    }

    fn side(&self, side: &EntityRule, address: IpAddr, port: u16) -> bool {
        let known = |nets: &[String]| nets.iter().any(|net| net.contains(':') != address.is_ipv4());
        side.nets.as_ref().is_none_or(|nets| nets.iter().any(|net| within(address, net)))
            && side.not_nets.as_ref().is_none_or(|nets| known(nets) && !nets.iter().any(|net| within(address, net)))
            && side.ports.as_ref().is_none_or(|ports| ports.iter().any(|range| in_range(port, &text(range))))
            && match (&side.selector, &side.not_selector) {
                (None, None) => true,
                (None, Some(not)) => !self.selected(not, None, address),
                (Some(selector), not) => self.selected(selector, not.as_deref(), address),
            }
    }

    /// Whether the address is one of an endpoint or set that meets the selector and not the other one.
    fn selected(&self, selector: &str, not: Option<&str>, address: IpAddr) -> bool {
        let key = (selector.to_owned(), not.map(str::to_owned));
        let mut resolved = self.resolved.borrow_mut();
        let nets = resolved.entry(key).or_insert_with(|| self.resolve(selector, not));
        nets.iter().any(|net| net.contains(Cidr::host(address)))
    }

    fn resolve(&self, selector: &str, not: Option<&str>) -> Vec<Cidr> {
        let meets = |labels: &BTreeMap<String, String>| {
            matches(selector, labels) && !not.is_some_and(|not| matches(not, labels))
        };
        let endpoints = self.endpoints.iter().filter(|node| meets(&self.labels(**node)));
        let addresses = endpoints.flat_map(|node| self.nodes[*node].internal.iter().chain(&self.nodes[*node].tunnel));
        let mut nets: Vec<Cidr> = addresses.map(|address| Cidr::host(*address)).collect();
        for object in &self.objects {
            match object {
                AnyObject::GlobalNetworkSet(set) if meets(&set.metadata.labels) => {
                    nets.extend(set.spec.nets.iter().flatten().map(|net| net.parse::<Cidr>().expect("a prefix")));
                }
                _ => {}
            }
        }
        nets
    }
}

fn within(address: IpAddr, net: &str) -> bool {
    net.parse::<Cidr>().expect("a prefix").contains(Cidr::host(address))
}

fn in_range(port: u16, range: &str) -> bool {
    let (first, last) = range.split_once(':').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().expect("a port");
    (number(first)..=number(last)).contains(&port)
}

/// Calico's own failsafe ports.
fn own(direction: Direction) -> Vec<ProtoPort> {
    let entry = |protocol: &str, port: i64| ProtoPort { protocol: protocol.to_owned(), port, net: None };
    let both = [179, 2379, 2380, 5473, 6443, 6666, 6667].map(|port| entry("TCP", port));
    match direction {
        Direction::Ingress => [entry("TCP", 22), entry("UDP", 68)].into_iter().chain(both).collect(),
        Direction::Egress => [entry("UDP", 53), entry("UDP", 67)].into_iter().chain(both).collect(),
    }
}
