//! Everything compiled: what both `trace` and `evaluate` read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use super::settings::{Settings, Sourced};
use super::version::Version;
use crate::net::Family;
use crate::snapshot::Key;

/// The policy state of a cluster, checked, resolved and ordered.
#[derive(Clone, Debug)]
pub struct State {
    /// Version of Calico.
    pub version: Sourced<Version>,
    /// Settings of nodes without a FelixConfiguration of their own.
    pub settings: Arc<Settings>,
    /// Settings of the others, by node.
    pub node_settings: Arc<BTreeMap<String, Arc<Settings>>>,
    /// Tiers in the order they are asked, each with its policies in order.
    pub tiers: Vec<Tier>,
    /// Profiles by name.
    pub profiles: Arc<BTreeMap<String, Arc<Profile>>>,
    /// Host endpoints by name, of every node; those of nodes that do not exist too.
    pub endpoints: Arc<Endpoints>,
    /// Addresses that rules refer to, by [`SetId`].
    pub sets: Vec<Arc<AddressSet>>,
    /// Hosts whose tunnels are accepted.
    pub hosts: Arc<Hosts>,
    /// What Calico refused, and so acts as if it were absent.
    pub refused: Vec<Refusal>,
    /// What this engine does not understand. A verdict that could rest on one proves nothing.
    pub unknown: Vec<Unknown>,
    /// Objects that upstream accepts, and that break the agent or mean something else than they say.
    pub dangers: Vec<Danger>,
}

impl State {
    /// Settings of a node.
    pub fn settings(&self, node: &str) -> &Settings {
        self.node_settings.get(node).unwrap_or(&self.settings)
    }

    /// Whether any policy is asked before connection tracking.
    pub fn has_untracked(&self) -> bool {
        let mut policies = self.tiers.iter().flat_map(|tier| &tier.policies);
        policies.any(|policy| policy.class == Class::Untracked && !policy.staged)
    }

    /// A set of addresses.
    pub fn set(&self, id: SetId) -> &Arc<AddressSet> {
        // Every id is handed out by the compiler together with an entry of `sets`.
        &self.sets[id.0]
    }
}

/// A tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Name.
    pub name: String,
    /// Whether a Tier object of this name exists. Policies of a missing tier are enforced all the same, after all others.
    pub exists: bool,
    /// Lower is earlier.
    pub order: Option<f64>,
    /// Whether a packet that no policy of the tier decided goes on to the next tier.
    pub passes: bool,
    /// Policies, first to last.
    pub policies: Vec<Arc<Policy>>,
}

/// A policy that can select host endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The object.
    pub key: Key,
    /// Lower is earlier; infinite where the object has none.
    pub order: f64,
    /// The endpoints it applies to.
    pub selector: super::selector::Selector,
    /// When it is asked.
    pub class: Class,
    /// Whether it is staged: its presence is noted, its rules are not enforced.
    pub staged: bool,
    /// Rules for packets to the endpoint, where it applies to them.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for packets from the endpoint, where it applies to them.
    pub egress: Option<Vec<Rule>>,
}

impl Policy {
    /// Rules of a direction, where the policy applies to it.
    pub fn rules(&self, side: Side) -> Option<&[Rule]> {
        match side {
            Side::Ingress => self.ingress.as_deref(),
            Side::Egress => self.egress.as_deref(),
        }
    }
}

/// When a policy is asked (projectcalico/calico:felix/calc/event_sequencer.go tierInfoToProtoTierInfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// `doNotTrack`: before connection tracking.
    Untracked,
    /// `preDNAT`: before destination NAT, ingress only.
    PreDnat,
    /// Local traffic.
    Normal,
    /// `applyOnForward`: local and forwarded traffic.
    Forward,
}

/// Direction, seen from the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// To the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

/// Rules that are tried when no tier decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The object; absent for the one that Calico has built in.
    pub key: Option<Key>,
    /// Rules for packets to the endpoint.
    pub ingress: Vec<Rule>,
    /// Rules for packets from the endpoint.
    pub egress: Vec<Rule>,
    /// Labels that its endpoints inherit.
    pub labels: BTreeMap<String, String>,
}

/// What a rule does with a packet that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Action {
    /// Accept.
    Allow,
    /// Drop.
    Deny,
    /// Write a line and go on.
    Log,
    /// Leave the tier.
    Pass,
}

/// A rule. All that is present must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Position in the object's list, from 0.
    pub index: usize,
    /// What happens on a match.
    pub action: Action,
    /// Families that the rule exists for.
    pub families: Families,
    /// Protocol number.
    pub protocol: Option<u8>,
    /// Any protocol number but this.
    pub not_protocol: Option<u8>,
    /// ICMP type, and code.
    pub icmp: Option<(u8, Option<u8>)>,
    /// Any ICMP packet but of this type, and code.
    pub not_icmp: Option<(u8, Option<u8>)>,
    /// The sender.
    pub source: Peer,
    /// The receiver.
    pub destination: Peer,
}

/// Families that a rule exists for.
///
/// A rule is left out for a family that its `ipVersion` or ICMP protocol rules out, for which one of its address lists
/// has no entry, or whose every address `notNets` excludes (projectcalico/calico:felix/rules/policy.go
/// FilterRuleToIPVersion).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Whether the rule exists for a family.
    pub fn has(self, family: Family) -> bool {
        match family {
            Family::IPv4 => self.v4,
            Family::IPv6 => self.v6,
        }
    }
}

/// One side of a rule. All that is present must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// In one of these prefixes.
    pub nets: Vec<IpNet>,
    /// Families in which Felix's chains overlook `nets`; its eBPF programs never do.
    ///
    /// Of ports and prefixes each list that one match of the packet filter cannot hold is looked at on its own: source ports,
    /// destination ports, source prefixes, destination prefixes. The mark of the second stays set for those after it, and so
    /// whatever matches the first two matches them too (projectcalico/calico:felix/rules/policy.go finishPositiveBlock; seen
    /// with 3.31.0).
    pub overlooked: Families,
    /// In none of these.
    pub not_nets: Vec<IpNet>,
    /// In each of these sets.
    pub sets: Vec<SetId>,
    /// In none of these sets.
    pub not_sets: Vec<SetId>,
    /// Port within one of these, or address and port in one of `named`.
    pub ports: Vec<(u16, u16)>,
    /// Named ports.
    pub named: Vec<SetId>,
    /// Port within none of these.
    pub not_ports: Vec<(u16, u16)>,
    /// Address and port in none of these.
    pub not_named: Vec<SetId>,
    /// Address, protocol and port of a service's endpoints.
    pub service: Option<SetId>,
}

impl Peer {
    /// Every set that it refers to.
    pub(super) fn all_sets(&self) -> impl Iterator<Item = SetId> {
        let lists = [&self.sets, &self.not_sets, &self.named, &self.not_named];
        lists.into_iter().flatten().chain(&self.service).copied()
    }
}

/// Index of a set of addresses in its [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub(super) usize);

/// Addresses that a selector, a named port or a service stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSet {
    /// What it stands for, for a person.
    pub meaning: String,
    /// The members.
    pub members: Members,
}

/// Members of an [`AddressSet`], sorted, without doubles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Prefixes.
    Nets(Vec<IpNet>),
    /// Address, protocol number and port.
    Ports(Vec<(IpAddr, u8, u16)>),
}

/// One or all interfaces of a node, made subject to policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEndpoint {
    /// The object.
    pub key: Key,
    /// Node, as Felix must know it.
    pub node: String,
    /// Which interfaces.
    pub interfaces: Interfaces,
    /// Expected addresses; what rule selectors that select the endpoint match.
    pub addresses: Vec<IpAddr>,
    /// Own labels, and below them those of its profiles.
    pub labels: BTreeMap<String, String>,
    /// Profiles, tried in order.
    pub profiles: Vec<String>,
    /// Named ports: name, protocol number, port.
    pub ports: Vec<(String, u8, u16)>,
    /// Whether calico-kube-controllers is going to create it: the settings ask for it, the object is not there.
    pub expected: bool,
}

/// Which interfaces a host endpoint is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interfaces {
    /// `*`: all that no other endpoint of the node owns.
    All,
    /// The one of this name.
    Named(String),
    /// Those that carry one of the expected addresses.
    ByAddress,
}

/// Host endpoints, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    all: Vec<HostEndpoint>,
    /// Positions by node.
    by_node: HashMap<String, Vec<usize>>,
}

impl Endpoints {
    /// Of all nodes.
    pub fn new(mut all: Vec<HostEndpoint>) -> Self {
        all.sort_by(|left, right| left.key.name.cmp(&right.key.name));
        let mut by_node: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, endpoint) in all.iter().enumerate() {
            by_node.entry(endpoint.node.clone()).or_default().push(index);
        }
        Self { all, by_node }
    }

    /// Those of a node, with their positions, in the order of their names.
    pub fn of(&self, node: &str) -> impl Iterator<Item = (usize, &HostEndpoint)> + Clone {
        self.by_node.get(node).into_iter().flatten().map(|index| (*index, &self.all[*index]))
    }
}

impl Deref for Endpoints {
    type Target = [HostEndpoint];

    fn deref(&self) -> &[HostEndpoint] {
        &self.all
    }
}

/// Hosts whose tunnels are accepted, every list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// Of IP in IP (the IP set `all-hosts-net`).
    pub ipip: Vec<IpNet>,
    /// Of VXLAN (`all-vxlan-net`).
    pub vxlan: Vec<IpNet>,
    /// Nodes and the addresses that Calico knows them by, at most one of each family.
    pub nodes: Vec<(String, IpAddr)>,
}

/// Who refused an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is not of the object's type. Written raw, it stops the whole list of its kind from being read.
    Decode,
    /// The API validates and refuses it.
    Api,
    /// It is stored, and Felix acts as if it were absent.
    Felix,
}

/// An object that is without effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The object.
    pub key: Key,
    /// Who refused it.
    pub stage: Stage,
    /// Path of the field.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Something this engine does not understand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unknown {
    /// The object, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Path of the field.
    pub path: String,
    /// What about it.
    pub reason: String,
}

/// An object that is not refused, and yet does not do what it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Danger {
    /// The object.
    pub key: Key,
    /// Path of the field.
    pub path: String,
    /// What happens.
    pub effect: String,
    /// How bad it is.
    pub hazard: Hazard,
}

/// What a [`Danger`] leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hazard {
    /// Felix ends again and again on nodes that the object applies to.
    Stops,
    /// Felix gives up on nodes with nftables.
    StopsNftables,
    /// Felix gives up on nodes with iptables.
    StopsIptables,
    /// Packets are treated otherwise than the text says.
    Misleads,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.key, self.path, self.reason)
    }
}
