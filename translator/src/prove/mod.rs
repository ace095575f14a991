//! The proof that the objects do what the matrix means.
//!
//! What the rows mean is worked out as an exact set of packets for each kind of node and each direction (`intent`), apart
//! from the renderers; what the CNI does with the objects is worked out by its engine in `policy`. The two must be equal,
//! but for what findings report ([`Packets`](crate::render::loss::Packets)) and what the CNI does whatever it is told
//! (`own`). Whatever else differs is a defect, and comes with one packet.
//!
//! The same holds on the way: for every prefix of the apply order and of the delete order, what the rows allow is alive.

mod calico;
mod check;
mod cilium;
mod cluster;
mod defect;
mod difference;
mod facts;
mod fleet;
mod intent;
mod labels;
mod own;
mod put;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use policy::packet::IpSet;
use policy::snapshot::Snapshot;

pub use defect::{Defect, Disagreement};
pub use difference::difference;

use check::Checker;
use defect::Obstacle;
use facts::{Facts, Member};
use fleet::Fleet;
use intent::Intent;

use crate::finding::Finding;
use crate::finding::codes::proof as codes;
use crate::matrix::Expanded;
use crate::render::{self, Node, Rendered};

/// What was rendered, and how.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The matrix.
    pub matrix: &'s Expanded,
    /// The nodes that were given, if any.
    pub nodes: Option<&'s [Node]>,
    /// The cluster that was given, if any.
    pub snapshot: Option<&'s Snapshot>,
    /// The objects, in apply order, with what is reported of them.
    pub rendered: &'s Rendered,
    /// The CNI and its settings.
    pub target: Target<'s>,
}

/// The CNI and its settings.
#[derive(Clone, Copy, Debug)]
pub enum Target<'s> {
    /// Calico.
    Calico(&'s render::calico::Options),
    /// Cilium.
    Cilium(&'s render::cilium::Options),
}

/// What was proved.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// How many states were looked at; none where nothing was proved.
    pub states: usize,
    /// What was not proved, and why.
    pub findings: Vec<Finding>,
}

/// Proves a rendering.
///
/// # Errors
///
/// The objects admit something else than the rows and findings say.
pub fn prove(subject: Subject<'_>) -> Result<Proof, Defect> {
    let mut proof = in_plain_cluster(subject)?;
    if let Some(snapshot) = subject.snapshot.filter(|_| proof.states > 0) {
        proof.findings.extend(as_it_is(subject, snapshot));
    }
    Ok(proof)
}

/// The proof in a cluster that has nothing but the objects: no other policies and no settings of its own.
fn in_plain_cluster(subject: Subject<'_>) -> Result<Proof, Defect> {
    let Subject { matrix, nodes, rendered, target, .. } = subject;
    let is_cilium = matches!(target, Target::Cilium(_));
    if let Some(snapshot) = subject.snapshot {
        return finish(in_cluster(subject, rendered, cluster::plain(snapshot, is_cilium), &[], Scope::Order));
    }
    let Rendered { objects, outcomes, losses, .. } = rendered;
    let fleet = nodes.map(|nodes| Fleet::new(matrix, nodes, objects)).transpose()?;
    let few = fleet.as_ref().map(|fleet| Rendered {
        objects: fleet.objects.clone(),
        outcomes: outcomes.clone(),
        losses: losses.clone(),
        findings: Vec::new(),
    });
    let (snapshot, missing) = cluster::model(matrix, fleet.as_ref().map(|fleet| fleet.nodes.as_slice()), is_cilium);
    finish(in_cluster(subject, few.as_ref().unwrap_or(rendered), snapshot, &missing, Scope::Order))
}

/// What the cluster does with everything that is in it: other policies, settings of the agents. A difference is no defect
/// of the objects then, but worth knowing.
fn as_it_is(subject: Subject<'_>, snapshot: &Snapshot) -> Vec<Finding> {
    match in_cluster(subject, subject.rendered, snapshot.clone(), &[], Scope::Whole) {
        Ok(_) => Vec::new(),
        Err(Obstacle::Defect(defect)) => {
            vec![Finding::new(&codes::CLUSTER_DISAGREES, format!("in the cluster as it is, {}", defect.sentence()))]
        }
        Err(Obstacle::Unknown(reasons)) => vec![unknown("nothing is known about the cluster as it is", reasons)],
    }
}

fn in_cluster(
    subject: Subject<'_>,
    rendered: &Rendered,
    snapshot: Snapshot,
    missing: &[usize],
    scope: Scope,
) -> Result<Proof, Obstacle> {
    let Subject { matrix, target, .. } = subject;
    let facts = Facts::of(matrix, &snapshot);
    let cluster = Cluster::new(subject, snapshot, &facts);
    let mut findings = Vec::new();
    findings.extend(roles_left_out(matrix, missing, &facts));
    findings.extend(cluster.left_out());
    let intent = Intent::new(matrix, &facts, matches!(target, Target::Cilium(_)));
    let mut checker = Checker::new(&intent, rendered);
    let states = match target {
        Target::Calico(options) => calico::prove(&cluster, &mut checker, options, rendered, scope)?,
        Target::Cilium(options) => cilium::prove(&cluster, &mut checker, options, rendered, scope)?,
    };
    Ok(Proof { states, findings })
}

fn finish(result: Result<Proof, Obstacle>) -> Result<Proof, Defect> {
    match result {
        Ok(proof) => Ok(proof),
        Err(Obstacle::Defect(defect)) => Err(defect),
        Err(Obstacle::Unknown(reasons)) => {
            Ok(Proof { states: 0, findings: vec![unknown("nothing is proved about these objects", reasons)] })
        }
    }
}

fn unknown(what: &str, reasons: Vec<String>) -> Finding {
    let reasons: BTreeSet<String> = reasons.into_iter().collect();
    let reasons: Vec<String> = reasons.into_iter().collect();
    Finding::new(&codes::NOT_PROVED, format!("{what}: {}", reasons.join("; ")))
}

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Everything applied, and every state on the way.
    Order,
    /// Everything applied.
    Whole,
}

/// Ranges of addresses that a message names before it only counts.
const MOST_NAMED: usize = 8;

/// The cluster of a proof.
struct Cluster<'c> {
    /// Everything but the objects that are proved.
    snapshot: Snapshot,
    facts: &'c Facts,
    /// Addresses that no claim is made about.
    strays: IpSet,
    /// Addresses of nodes that are known by host endpoints alone.
    late: IpSet,
    /// Addresses of a pod.
    pod: Vec<IpAddr>,
}

impl<'c> Cluster<'c> {
    fn new(subject: Subject<'_>, snapshot: Snapshot, facts: &'c Facts) -> Self {
        let Subject { matrix, nodes, target, .. } = subject;
        let strays = match target {
            // Who is who by address is known to Calico from the same facts as here.
            Target::Calico(_) => facts.external(),
            Target::Cilium(_) => facts.external().union(&facts.strays(matrix)),
        };
        let late = if nodes.is_some() { IpSet::empty() } else { facts.outside(&matrix.cluster.node_cidrs) };
        let mut own = snapshot.cluster.pods.iter().filter(|pod| !pod.host_network && !pod.addresses.is_empty());
        let pod = own.next().map(|pod| pod.addresses.clone()).unwrap_or_default();
        Self { snapshot, facts, strays, late, pod }
    }

    /// One node of each class: nodes of the same roles differ in nothing that a rule looks at.
    fn classes(&self) -> Vec<&'c Member> {
        let mut seen: BTreeSet<&[usize]> = BTreeSet::new();
        self.facts.nodes.iter().filter(|node| !node.addresses.is_empty() && seen.insert(&node.roles)).collect()
    }

    fn left_out(&self) -> Option<Finding> {
        (!self.strays.is_empty()).then(|| {
            let named: IpSet = self
                .strays
                .ranges()
                .take(MOST_NAMED)
                .map(|(first, last)| IpSet::between(first, last))
                .fold(IpSet::empty(), |named, range| named.union(&range));
            let more = self.strays.ranges().count().saturating_sub(MOST_NAMED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more ranges") };
            let message = format!("nothing is proved about packets of {named}{more}");
            Finding::new(&codes::PROOF_LEAVES_OUT, message)
                .help("state every prefix of nodes and pods in `cluster.nodeCIDRs` and `cluster.podCIDRs`")
        })
    }
}

/// Roles without a node, and those that no node could be made for.
fn roles_left_out(matrix: &Expanded, missing: &[usize], facts: &Facts) -> Option<Finding> {
    let empty = |role: &usize| missing.contains(role) || !facts.nodes.iter().any(|node| node.roles.contains(role));
    let names: Vec<&str> = (0..matrix.roles.len()).filter(empty).map(|role| matrix.roles[role].name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let message = format!("nothing is proved about nodes of {}", names.join(", "));
        Finding::new(&codes::PROOF_LEAVES_OUT, message)
            .at("spec.roles", None)
            .help("the cluster has none, or no labels could be found that only this role selects; give `--nodes`")
    })
}
