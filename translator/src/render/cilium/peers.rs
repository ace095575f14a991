//! Who is on the other side of a row, in the narrowest form that the agent's configuration allows.
//!
//! Cilium knows other nodes and pods by identity and everyone else by address; an address range does not match a node or
//! pod (trap 3 of its host firewall). So a row becomes up to four kinds of peers. The entity `kube-apiserver` is never
//! used: it follows the live EndpointSlice of the API server, and what etcd and joining nodes need must not depend on an
//! API server that is up.

use std::collections::BTreeSet;

use policy::net::{Cidr, Family};
use policy::object::LabelSelector;

use super::context::Context;
use super::element::{CidrList, Side};
use super::labels;
use super::reach::{FAMILIES, Inside, Reach};
use super::report::Report;
use super::traffic;
use crate::finding::codes::cilium::{
    CIDR_MISSES_NODES, CILIUM_EXCEPT_NOT_APPLIED, CILIUM_FAMILY_NOT_EXPRESSIBLE, CILIUM_MESH_PEERS_WIDER,
};
use crate::matrix::{Direction, Peer, Row, Traffic};
use crate::render::loss::{Change, Known};

/// Identities beside nodes, pods and the outside world: only [`Peer::Any`] means them.
const OTHERS: [&str; 4] = ["health", "ingress", "init", "unmanaged"];

/// The peers of a row as element sides; `None` when all of them are loopback, which Cilium never polices.
pub(super) fn sides(context: &Context<'_>, report: &mut Report<'_>) -> Option<Vec<Side>> {
    let mut draft = Draft::new(context, report);
    let meant: Vec<&Peer> = report.row.peers.iter().filter(|peer| **peer != Peer::Localhost).collect();
    if meant.is_empty() {
        return None;
    }
    // With one family in use there is nothing else to hold everyone to.
    let unlimited = draft.limit.is_none_or(|family| !context.uses_other_than(family));
    if meant.contains(&&Peer::Any) && draft.except.is_empty() && unlimited {
        return Some(vec![Side::Entities(vec!["all"])]);
    }
    refuse_names(&meant, report);
    draft.cidr_lists(&meant);
    draft.everyone(&meant, report);
    draft.nodes(&meant, report);
    draft.pods(&meant, report);
    draft.missed(report);
    Some(draft.sides())
}

/// Which nodes are peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Nodes {
    #[default]
    None,
    /// Every one.
    All,
    /// By label.
    Selected(Vec<LabelSelector>),
}

/// Peers in the making.
pub(super) struct Draft<'a> {
    pub(super) context: &'a Context<'a>,
    /// The only family that the row holds for.
    pub(super) limit: Option<Family>,
    pub(super) except: Vec<Cidr>,
    pub(super) nodes: Nodes,
    /// Cilium's probes of the nodes: they also go to an endpoint of its own on each node, with an identity of its own.
    probes: bool,
    /// Further identities.
    others: bool,
    endpoints: Vec<LabelSelector>,
    pub(super) cidrs: Vec<CidrList>,
    /// Nodes or pods in an address range of the row that it does not match.
    missed: Vec<Known>,
}

impl<'a> Draft<'a> {
    fn new(context: &'a Context<'a>, report: &Report<'_>) -> Self {
        let limit = limit(report.row);
        let meant = |cidr: &Cidr| limit.is_none_or(|family| cidr.family() == family);
        Self {
            context,
            limit,
            except: report.row.except.iter().copied().filter(meant).collect(),
            nodes: Nodes::None,
            probes: probes(report.row),
            others: false,
            endpoints: Vec::new(),
            cidrs: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// Adds prefixes as far as the row's family and exceptions leave them.
    pub(super) fn add_cidrs(&mut self, name: Option<&str>, cidrs: &[Cidr]) {
        let meant = |cidr: &Cidr| self.limit.is_none_or(|family| cidr.family() == family);
        let list = CidrList {
            name: name.map(str::to_owned),
            cidrs: cidrs.iter().copied().filter(meant).collect(),
            except: self.except.clone(),
        };
        if !list.cidrs.is_empty() && !self.cidrs.contains(&list) {
            self.cidrs.push(list);
        }
    }

    fn cidr_lists(&mut self, peers: &[&Peer]) {
        for peer in peers {
            if let Peer::Cidrs { name, cidrs } = peer {
                self.add_cidrs(name.as_deref(), cidrs);
            }
        }
    }

    /// Everyone, less some: the world by address, and the cluster's own by identity.
    fn everyone(&mut self, peers: &[&Peer], report: &mut Report<'_>) {
        if !peers.contains(&&Peer::Any) {
            return;
        }
        let whole = self.whole();
        self.add_cidrs(None, &whole);
        self.others = self.add_pods(LabelSelector::default(), report);
    }

    /// Every address of the families that the row holds for.
    pub(super) fn whole(&self) -> Vec<Cidr> {
        FAMILIES.into_iter().filter(|family| self.limit.is_none_or(|limit| limit == *family)).map(Cidr::all).collect()
    }

    /// The row's address ranges that match neither nodes nor pods, as far as `matched` does not say that they do.
    fn listed(&self, matched: impl Fn(Cidr) -> bool) -> Vec<Cidr> {
        self.cidrs.iter().flat_map(|list| list.cidrs.iter().copied()).filter(|cidr| !matched(*cidr)).collect()
    }

    fn pods(&mut self, peers: &[&Peer], report: &mut Report<'_>) {
        if peers.contains(&&Peer::Pods) {
            self.add_pods(LabelSelector::default(), report);
        }
        for peer in peers {
            let Peer::PodSelector { name, namespaces, pods } = peer else { continue };
            if let Some(key) = labels::dropped_of_pod(&self.context.pod_labels, namespaces.as_ref(), pods) {
                report.refuse(
                    &format!("the peer `{name}` looks at the label `{key}`, which Cilium does not show to policies"),
                    "select the pods by another label, or keep this one with the agent's setting `labels`",
                );
                continue;
            }
            let cluster = self.context.cluster_to_name();
            self.add_pods(labels::pods(namespaces.as_ref(), pods, cluster), report);
        }
        let mode = self.context.mode;
        let list = self.listed(|_| mode.pods);
        if !self.endpoints.contains(&self.every_pod())
            && self.reaches(&self.context.pod_addresses, &list, Known::Pods, report)
        {
            self.add_pods(LabelSelector::default(), report);
        }
    }

    fn every_pod(&self) -> LabelSelector {
        labels::pods(None, &LabelSelector::default(), self.context.cluster_to_name())
    }

    /// Adds pods by label, an empty selector being every one, unless the row excepts every address that they have.
    fn add_pods(&mut self, selector: LabelSelector, report: &mut Report<'_>) -> bool {
        let selector = if selector.is_empty() { self.every_pod() } else { selector };
        if self.endpoints.contains(&selector) {
            return true;
        }
        let admitted = self.admits(&self.context.pod_addresses, Known::Pods, report);
        if admitted {
            if self.context.in_mesh() && !self.context.can_mean_this_cluster() {
                let lost = format!("{} the pods of the mesh's other clusters", traffic::with_preposition(report.row));
                report.over(
                    (&CILIUM_MESH_PEERS_WIDER, [Change::OtherClusters]),
                    "pods of other clusters cannot be told from this one's",
                    lost,
                    "state `cluster-name`, or set `policy-default-local-cluster: \"true\"`",
                );
            }
            self.endpoints.push(selector);
        }
        admitted
    }

    /// Whether peers that Cilium knows by identity are admitted at all, given the row's family and exceptions, which an
    /// identity cannot be held to.
    pub(super) fn admits(&self, inside: &Inside, who: Known, report: &mut Report<'_>) -> bool {
        let families = inside.families().iter().filter(|family| self.limit.is_none_or(|limit| limit == **family));
        let reach: Vec<Reach> =
            families.map(|family| inside.reach(&[Cidr::all(*family)], &self.except, *family)).collect();
        if reach.iter().all(|reach| *reach == Reach::Nothing) {
            return false;
        }
        if let Some(family) = self.limit.filter(|family| inside.has_other_than(*family)) {
            family_lost(report, family, who);
        }
        if reach.iter().any(|reach| *reach != Reach::All) {
            let lost = format!("{} excepted addresses of {who}", traffic::with_preposition(report.row));
            report.over(
                (&CILIUM_EXCEPT_NOT_APPLIED, [Change::NoExceptions(who)]),
                &format!("the exceptions hold or may hold addresses of {who}, and cannot be applied to them"),
                lost,
                "state `spec.cluster.nodeCIDRs` and `podCIDRs` if the exceptions hold none, or name the peers one by one",
            );
        }
        true
    }

    /// Whether address ranges hold all nodes or all pods, so that these are to be added by identity. Notes where the
    /// ranges hold only some, which they then do not match.
    pub(super) fn reaches(&mut self, inside: &Inside, list: &[Cidr], who: Known, report: &mut Report<'_>) -> bool {
        let meant = |family: &Family| self.limit.is_none_or(|limit| limit == *family);
        let reach: Vec<(Family, Reach)> = inside
            .families()
            .iter()
            .copied()
            .filter(meant)
            .map(|family| (family, inside.reach(list, &self.except, family)))
            .collect();
        // A whole family is everyone of it, so what it reaches is added even where exceptions cannot be applied.
        let everyone = |family: Family| list.contains(&Cidr::all(family));
        let all = |(family, reach): &(Family, Reach)| {
            *reach == Reach::All || (*reach == Reach::Some && everyone(*family) && !report.denies())
        };
        let nothing = reach.iter().all(|(_, reach)| *reach == Reach::Nothing);
        if nothing {
            return false;
        }
        let others = reach.iter().filter(|entry| !all(entry));
        if others.clone().any(|(_, reach)| *reach == Reach::Some) {
            self.missed.push(who);
            return false;
        }
        // One family is in the list and the other is not.
        if let (Some((family, _)), Some(_)) = (reach.iter().find(|entry| all(entry)), others.clone().next()) {
            if report.denies() {
                self.missed.push(who);
                return false;
            }
            family_lost(report, *family, who);
        }
        true
    }

    fn missed(&self, report: &mut Report<'_>) {
        if self.missed.is_empty() {
            return;
        }
        let who = self.missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let lists = self.cidrs.iter().flat_map(|list| list.name.as_deref());
        let names = lists.map(|name| format!("`{name}`")).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let names = if names.is_empty() { "its address ranges".to_owned() } else { names.join(", ") };
        let lost = format!("{} {who} in {names}", traffic::with_preposition(report.row));
        report.under(
            (&CIDR_MISSES_NODES, self.missed.iter().map(|who| Change::NotByPrefix(*who))),
            &format!("{names} may hold addresses of {who}, which address ranges do not match"),
            lost,
            "state `spec.cluster.nodeCIDRs` and `podCIDRs`, or add `nodes` or `pods` to the row if they are meant",
        );
    }

    fn sides(self) -> Vec<Side> {
        let mut entities = Vec::new();
        let mut nodes = Vec::new();
        match self.nodes {
            Nodes::None => {}
            Nodes::All if self.probes => entities.extend(["remote-node", "health"]),
            Nodes::All => entities.push("remote-node"),
            Nodes::Selected(selectors) => nodes = selectors,
        }
        if self.others {
            entities.extend(OTHERS);
        }
        let sides =
            [Side::Entities(entities), Side::Nodes(nodes), Side::Endpoints(self.endpoints), Side::Cidrs(self.cidrs)];
        sides.into_iter().filter(|side| !side.is_empty()).collect()
    }
}

/// The family that peers must be held to. ICMP types carry their family themselves.
fn limit(row: &Row) -> Option<Family> {
    let family = row.family?;
    let of_family = |traffic: &Traffic| matches!(traffic, Traffic::Icmp { family: of, .. } if *of == family);
    if row.traffic.iter().all(of_family) { None } else { Some(family) }
}

fn family_lost(report: &mut Report<'_>, family: Family, who: Known) {
    let other = match family {
        Family::IPv4 => Family::IPv6,
        Family::IPv6 => Family::IPv4,
    };
    let lost = format!("{} {other} addresses of {who}", traffic::with_preposition(report.row));
    report.over(
        (&CILIUM_FAMILY_NOT_EXPRESSIBLE, [Change::AnyFamily(who)]),
        &format!("{who} cannot be held to {family}"),
        lost,
        "state that the other family is not in use, or give the node and pod prefixes of one family only",
    );
}

/// Whether the row is about Cilium's probes of the nodes.
fn probes(row: &Row) -> bool {
    const PORT: u16 = 4240;
    let probe = |traffic: &Traffic| match traffic {
        Traffic::Ports { ports, .. } => ports.iter().any(|range| (range.first..=range.last).contains(&PORT)),
        Traffic::Icmp { .. } => true,
        Traffic::Any | Traffic::Number(_) => false,
    };
    row.direction == Direction::Egress && row.flow.as_deref() == Some("cni-control") && row.traffic.iter().any(probe)
}

/// Names that Cilium cannot hold a host to.
fn refuse_names(peers: &[&Peer], report: &mut Report<'_>) {
    for peer in peers {
        match peer {
            Peer::Services => report.refuse(
                "the peer `services` has no form, because a service address is translated to a pod or node before the host \
                 firewall sees the packet",
                "name what stands behind the services: `pods`, `nodes` or address ranges",
            ),
            Peer::Fqdns { name, .. } if report.row.direction == Direction::Ingress => report.refuse(
                &format!("the peer `{name}` is made of DNS names, which can only be destinations"),
                "name address ranges",
            ),
            Peer::Fqdns { name, .. } => report.refuse(
                &format!(
                    "the peer `{name}` is made of DNS names, which would send every DNS query of the node through the \
                     agent's proxy, so that a node whose agent is down resolves nothing"
                ),
                "name address ranges, such as those of a registry mirror or an outbound proxy",
            ),
            _ => {}
        }
    }
}
