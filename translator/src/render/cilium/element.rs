//! Rule elements: one kind of peer, and ports or ICMP types, within Cilium's limits.

use policy::cilium::api::{CidrRule, EgressRule, IcmpField, IcmpRule, IngressRule, PortProtocol, PortRule};
use policy::net::Cidr;
use policy::object::LabelSelector;

use super::groups::Groups;

/// Most ports in one entry of `toPorts`, and most types in one entry of `icmps`
/// (cilium/cilium:pkg/policy/api/rule_validation.go). More go to further entries, which are ORed.
pub(super) const MOST_FIELDS: usize = 40;

/// One element of `ingress`, `egress` and their deny twins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element {
    pub(super) peer: Side,
    pub(super) traffic: Kind,
}

/// The other side. An element has exactly one kind of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Side {
    /// Well-known peers.
    Entities(Vec<&'static str>),
    /// Other nodes by label.
    Nodes(Vec<LabelSelector>),
    /// Pods by label.
    Endpoints(Vec<LabelSelector>),
    /// Address ranges.
    Cidrs(Vec<CidrList>),
}

/// A list of prefixes, with exceptions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CidrList {
    /// Name in the matrix, if it has one.
    pub(super) name: Option<String>,
    pub(super) cidrs: Vec<Cidr>,
    pub(super) except: Vec<Cidr>,
}

/// What an element is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Every protocol.
    Any,
    /// These ports.
    Ports(Vec<PortProtocol>),
    /// These ICMP types.
    Icmp(Vec<IcmpField>),
}

impl CidrList {
    /// The list as rules. A prefix that is wholly excepted is left out; the others carry the exceptions inside them.
    pub(super) fn rules(&self) -> impl Iterator<Item = CidrRule> {
        self.kept().map(|cidr| {
            let except: Vec<String> =
                self.except.iter().filter(|hole| cidr.contains(**hole)).map(ToString::to_string).collect();
            CidrRule {
                cidr: Some(cidr.to_string()),
                except: (!except.is_empty()).then_some(except),
                ..CidrRule::default()
            }
        })
    }

    /// The prefixes that are not wholly excepted.
    pub(super) fn kept(&self) -> impl Iterator<Item = Cidr> {
        self.cidrs.iter().copied().filter(|cidr| !self.except.iter().any(|hole| hole.contains(*cidr)))
    }
}

impl Side {
    /// Whether it selects nobody, so that the element must not be written: an empty list would mean the same, but reads
    /// like a mistake.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Entities(entities) => entities.is_empty(),
            Self::Nodes(selectors) | Self::Endpoints(selectors) => selectors.is_empty(),
            Self::Cidrs(lists) => lists.iter().all(|list| list.kept().next().is_none()),
        }
    }
}

impl Element {
    /// As an element of `ingress` or `ingressDeny`.
    pub(super) fn ingress(&self, groups: &Groups) -> IngressRule {
        let (to_ports, icmps) = self.traffic();
        let mut rule = IngressRule { to_ports, icmps, ..IngressRule::default() };
        match &self.peer {
            Side::Entities(entities) => rule.from_entities = Some(texts(entities)),
            Side::Nodes(selectors) => rule.from_nodes = Some(selectors.clone()),
            Side::Endpoints(selectors) => rule.from_endpoints = Some(selectors.clone()),
            Side::Cidrs(lists) => rule.from_cidr_set = Some(groups.rules(lists)),
        }
        rule
    }

    /// As an element of `egress` or `egressDeny`.
    pub(super) fn egress(&self, groups: &Groups) -> EgressRule {
        let (to_ports, icmps) = self.traffic();
        let mut rule = EgressRule { to_ports, icmps, ..EgressRule::default() };
        match &self.peer {
            Side::Entities(entities) => rule.to_entities = Some(texts(entities)),
            Side::Nodes(selectors) => rule.to_nodes = Some(selectors.clone()),
            Side::Endpoints(selectors) => rule.to_endpoints = Some(selectors.clone()),
            Side::Cidrs(lists) => rule.to_cidr_set = Some(groups.rules(lists)),
        }
        rule
    }

    fn traffic(&self) -> (Option<Vec<PortRule>>, Option<Vec<IcmpRule>>) {
        match &self.traffic {
            Kind::Any => (None, None),
            Kind::Ports(ports) => {
                let chunks = ports.chunks(MOST_FIELDS);
                let rules = chunks.map(|ports| PortRule { ports: Some(ports.to_vec()), ..PortRule::default() });
                (Some(rules.collect()), None)
            }
            Kind::Icmp(fields) => {
                let chunks = fields.chunks(MOST_FIELDS);
                (None, Some(chunks.map(|fields| IcmpRule { fields: Some(fields.to_vec()) }).collect()))
            }
        }
    }
}

fn texts(entities: &[&'static str]) -> Vec<String> {
    entities.iter().map(|entity| (*entity).to_owned()).collect()
}
