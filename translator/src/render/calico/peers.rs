//! Peers as what a rule can match: selectors over endpoints and sets, and prefixes.

use policy::net::Cidr;
use policy::object::LabelSelector;

use super::fleet::Fleet;
use super::lifelines::joins;
use super::selector::{MOST_CHARACTERS, SelectorError, terms};
use super::sets::{Sets, normalise};
use crate::finding::codes::calico as codes;
use crate::finding::codes::shared::ROW_NOT_EXPRESSIBLE;
use crate::finding::{Code, Finding};
use crate::matrix::{Action, Expanded, Origin, Peer, Row};
use crate::render::meta::kebab;

/// Holds for pods and namespaced sets, never for a host endpoint or a set of ours.
const IN_NAMESPACE: &str = "has(projectcalico.org/namespace)";
/// Holds for nobody that has a namespace.
pub(super) const NO_NAMESPACE: &str = "!has(projectcalico.org/namespace)";
/// Every node has this label, and so has every host endpoint that carries a node's labels.
pub(super) const NODE: &str = "has(kubernetes.io/hostname)";
/// Every pod has this label; namespaced sets do not.
const POD: &str = "has(projectcalico.org/orchestrator)";
/// Prefixes that a rule may list.
pub(super) const MOST_NETS: usize = 256;

/// One form of the other side of a packet. Several forms of a peer are ORed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Everyone, both families.
    Anyone,
    /// The loopback network, on both sides.
    Loopback,
    /// Endpoints and sets by label.
    Selected {
        /// Over their labels.
        selector: String,
        /// Over the labels of their namespaces.
        namespaces: Option<String>,
    },
    /// Prefixes, without the endpoints and sets that `but_not` selects.
    Nets {
        /// The prefixes, both families.
        nets: Vec<Cidr>,
        /// A selector.
        but_not: Option<String>,
    },
}

/// Why a row, or a part of it, has no form.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static Code,
    /// Goes on after the row's title: "asks for ...".
    pub(super) what: String,
    pub(super) help: String,
}

impl Refusal {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code: &ROW_NOT_EXPRESSIBLE, what: what.into(), help: help.into() }
    }
}

impl From<SelectorError> for Refusal {
    fn from(error: SelectorError) -> Self {
        Self {
            code: &codes::SELECTOR_REFUSED,
            what: format!("has a peer that cannot be selected: {error}"),
            help: "give the nodes or pods one label that says the same".to_owned(),
        }
    }
}

/// What a row's peers became.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Forms, ORed.
    pub(super) who: Vec<Who>,
    /// Names and selectors of node peers that also admit what no endpoint claims.
    pub(super) by_network: Vec<(String, LabelSelector)>,
    /// A node peer is matched by endpoints alone.
    pub(super) by_endpoint_only: bool,
    /// A node that is only joining is not matched, and the row is one that it needs.
    pub(super) not_joining: bool,
}

/// Turns peers into forms.
#[derive(Debug)]
pub(super) struct Peers<'a> {
    matrix: &'a Expanded,
    fleet: &'a Fleet<'a>,
    /// Requirements of each role, to be ANDed.
    roles: Vec<Vec<String>>,
    /// Selector of every node, once it was asked for: with thousands of nodes it is dear to make.
    every_node: Option<String>,
    /// Selector of the set of each role's nodes, likewise.
    role_sets: Vec<Option<Option<String>>>,
    pub(super) sets: Sets,
}

impl<'a> Peers<'a> {
    pub(super) fn new(matrix: &'a Expanded, fleet: &'a Fleet<'a>, prefix: &str, findings: &mut Vec<Finding>) -> Self {
        let mut role_terms = Vec::with_capacity(matrix.roles.len());
        for role in &matrix.roles {
            role_terms.push(terms(&role.selector).unwrap_or_else(|error| {
                let message = format!("the role `{}` cannot be selected: {error}", role.name);
                findings.push(
                    Finding::new(&codes::SELECTOR_REFUSED, message)
                        .at(format!("spec.roles.{}", role.name), role.at.clone()),
                );
                Vec::new()
            }));
        }
        let role_sets = vec![None; matrix.roles.len()];
        Self { matrix, fleet, roles: role_terms, every_node: None, role_sets, sets: Sets::new(prefix) }
    }

    /// The requirements of a role.
    pub(super) fn role(&self, role: usize) -> &[String] {
        &self.roles[role]
    }

    /// What the peers of a row became.
    pub(super) fn resolve(&mut self, row: &Row) -> Result<Resolved, Refusal> {
        let mut resolved = Resolved::default();
        // Everyone includes all others, even those that have no form of their own.
        if row.peers.contains(&Peer::Any) {
            resolved.who.push(Who::Anyone);
            return Ok(resolved);
        }
        for peer in &row.peers {
            self.peer(row, peer, &mut resolved)?;
        }
        resolved.who.dedup();
        Ok(resolved)
    }

    /// Every node, by label and by address; the form that a packet's own side takes in a rule before DNAT.
    pub(super) fn every_node(&mut self) -> String {
        if let Some(selector) = &self.every_node {
            return selector.clone();
        }
        let mut nets = self.matrix.cluster.node_cidrs.clone();
        nets.extend(self.fleet.addresses());
        let set = self.sets.term("nodes", normalise(nets), "addresses of the nodes, those that will join included");
        self.every_node.insert(nodes(&[], set)).clone()
    }

    fn peer(&mut self, row: &Row, peer: &Peer, resolved: &mut Resolved) -> Result<(), Refusal> {
        let matrix = self.matrix;
        match peer {
            Peer::Any => resolved.who.push(Who::Anyone),
            Peer::Localhost => resolved.who.push(Who::Loopback),
            Peer::Nodes => {
                let selector = self.every_node();
                resolved.who.push(selected(selector)?);
                if matrix.cluster.node_cidrs.is_empty() && row.action == Action::Allow {
                    resolved.by_endpoint_only |= !self.fleet.is_known();
                    resolved.not_joining |= joins(self.matrix, row);
                }
            }
            Peer::Role(role) => {
                let terms = self.roles[*role].clone();
                let name = &matrix.roles[*role].name;
                let set = self.role_set(*role);
                resolved.who.push(selected(nodes(&terms, set))?);
                if self.needs_network(row, resolved) {
                    let others: Vec<usize> = (0..matrix.roles.len()).filter(|other| other != role).collect();
                    let sets = others.into_iter().filter_map(|other| self.role_set(other)).collect();
                    resolved.who.push(self.unclaimed(&terms, sets)?);
                    resolved.by_network.push((name.clone(), matrix.roles[*role].selector.clone()));
                }
            }
            Peer::NodeSelector { name, selector } => {
                let terms = terms(selector)?;
                let set = self.node_set(name, selector);
                resolved.who.push(selected(nodes(&terms, set))?);
                if self.needs_network(row, resolved) {
                    resolved.who.push(self.unclaimed(&terms, Vec::new())?);
                    resolved.by_network.push((name.clone(), selector.clone()));
                }
            }
            Peer::Pods => {
                let set = self.sets.term("pods", matrix.cluster.pod_cidrs.clone(), "prefixes of the pods");
                let selector = match set {
                    Some(set) => format!("{NO_NAMESPACE} && {set}"),
                    None => format!("{IN_NAMESPACE} && {POD}"),
                };
                resolved.who.push(selected(selector)?);
            }
            Peer::PodSelector { namespaces, pods, .. } => resolved.who.push(pod_selector(namespaces.as_ref(), pods)?),
            Peer::Cidrs { name: Some(name), cidrs } => {
                let set = self.sets.term(&kebab(name), cidrs.clone(), &format!("prefixes of the peer `{name}`"));
                let Some(set) = set else { return Ok(()) };
                resolved.who.push(selected(format!("{NO_NAMESPACE} && {set}"))?);
            }
            Peer::Cidrs { name: None, cidrs } => resolved.who.push(self.inline(row, cidrs)),
            Peer::Services => {
                return Err(Refusal::new(
                    "has `services` as a peer, and Calico judges a packet by the address of the backend, not of the service",
                    "name who is behind the services: pods, nodes, or prefixes",
                ));
            }
            Peer::Fqdns { name, .. } => {
                return Err(Refusal::new(
                    format!("has DNS names as a peer (`{name}`), which open-source Calico does not resolve"),
                    "give the prefixes that the names stand for",
                ));
            }
        }
        Ok(())
    }

    /// Prefixes written in the row: in the rule itself while they fit, otherwise as a set.
    fn inline(&mut self, row: &Row, cidrs: &[Cidr]) -> Who {
        let fits = |v4: bool| cidrs.iter().filter(|cidr| cidr.net().addr().is_ipv4() == v4).count() <= MOST_NETS;
        if fits(true) && fits(false) {
            return Who::Nets { nets: cidrs.to_vec(), but_not: None };
        }
        match self.row_set(row, cidrs.to_vec()) {
            Some(selector) => Who::Selected { selector, namespaces: None },
            None => Who::Nets { nets: Vec::new(), but_not: None },
        }
    }

    /// A selector of prefixes that are too many for a rule.
    pub(super) fn row_set(&mut self, row: &Row, cidrs: Vec<Cidr>) -> Option<String> {
        let base = match row.origin {
            Origin::Row(index) => format!("row-{index}"),
            Origin::Frame(part) => format!("frame-{part}"),
        };
        let set = self.sets.term(&base, cidrs, &format!("prefixes of {}", row.title()))?;
        Some(format!("{NO_NAMESPACE} && {set}"))
    }

    fn role_set(&mut self, role: usize) -> Option<String> {
        if self.role_sets[role].is_none() {
            let name = &self.matrix.roles[role].name;
            let reason = format!("addresses of the nodes of the role `{name}`");
            self.role_sets[role] =
                Some(self.sets.term(&format!("role-{name}"), self.fleet.addresses_in(role), &reason));
        }
        self.role_sets[role].clone().flatten()
    }

    fn node_set(&mut self, name: &str, selector: &LabelSelector) -> Option<String> {
        let addresses = self.fleet.addresses_of(selector);
        self.sets.term(&kebab(name), addresses, &format!("addresses of the nodes of the peer `{name}`"))
    }

    /// Whether the nodes of a peer must also be admitted by network, because some are not known by label or address yet.
    fn needs_network(&self, row: &Row, resolved: &mut Resolved) -> bool {
        if row.action == Action::Deny || (self.fleet.is_known() && !joins(self.matrix, row)) {
            return false;
        }
        if self.matrix.cluster.node_cidrs.is_empty() {
            resolved.by_endpoint_only |= !self.fleet.is_known();
            resolved.not_joining |= joins(self.matrix, row);
            return false;
        }
        true
    }

    /// The node network without the nodes that are known not to meet `terms`.
    ///
    /// Prefixes and a negative selector are separate matches, both of which must hold; a positive selector beside the
    /// negative one would be merged with it endpoint by endpoint
    /// (projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/rules.go).
    fn unclaimed(&self, terms: &[String], other_sets: Vec<String>) -> Result<Who, Refusal> {
        let mut others = Vec::new();
        if !terms.is_empty() {
            others.push(format!("({NODE} && !({}))", terms.join(" && ")));
        }
        others.extend(other_sets);
        let but_not = match others.as_slice() {
            [] => None,
            [one] => Some(format!("{NO_NAMESPACE} && {one}")),
            several => Some(format!("{NO_NAMESPACE} && ({})", several.join(" || "))),
        };
        if let Some(selector) = &but_not {
            check(selector)?;
        }
        Ok(Who::Nets { nets: self.matrix.cluster.node_cidrs.clone(), but_not })
    }
}

/// Nodes that meet `terms` by label, or are in a set by address.
fn nodes(terms: &[String], set: Option<String>) -> String {
    let mut by_label = NODE.to_owned();
    for term in terms {
        by_label.push_str(" && ");
        by_label.push_str(term);
    }
    match set {
        None => format!("{NO_NAMESPACE} && {by_label}"),
        Some(set) if terms.is_empty() => format!("{NO_NAMESPACE} && ({by_label} || {set})"),
        Some(set) => format!("{NO_NAMESPACE} && (({by_label}) || {set})"),
    }
}

fn pod_selector(namespaces: Option<&LabelSelector>, pods: &LabelSelector) -> Result<Who, Refusal> {
    // A negative namespace selector alone also holds for what has no namespace; these two terms keep it to pods.
    let mut selector = format!("{IN_NAMESPACE} && {POD}");
    for term in terms(pods)? {
        selector.push_str(" && ");
        selector.push_str(&term);
    }
    check(&selector)?;
    let namespaces =
        namespaces.filter(|namespaces| !namespaces.is_empty()).map(super::selector::selector).transpose()?;
    Ok(Who::Selected { selector, namespaces })
}

fn selected(selector: String) -> Result<Who, Refusal> {
    check(&selector)?;
    Ok(Who::Selected { selector, namespaces: None })
}

fn check(selector: &str) -> Result<(), Refusal> {
    if selector.len() > MOST_CHARACTERS { Err(SelectorError::Long(selector.len()).into()) } else { Ok(()) }
}
