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
    let Subject { matrix, nodes, rendered, target } = subject;
    let Rendered { objects, outcomes, losses, .. } = rendered;
    let fleet = nodes.map(|nodes| Fleet::new(matrix, nodes, objects)).transpose()?;
    let few = fleet.as_ref().map(|fleet| Rendered {
        objects: fleet.objects.clone(),
        outcomes: outcomes.clone(),
        losses: losses.clone(),
        findings: Vec::new(),
    });
    let rendered = few.as_ref().unwrap_or(rendered);
    let is_cilium = matches!(target, Target::Cilium(_));
    let (snapshot, missing) = cluster::model(matrix, fleet.as_ref().map(|fleet| fleet.nodes.as_slice()), is_cilium);
    let facts = Facts::of(matrix, &snapshot.cluster);
    let cluster = Cluster::new(matrix, snapshot, &facts);
    let mut findings = Vec::new();
    findings.extend(roles_left_out(matrix, &missing));
    findings.extend(cluster.left_out());
    let intent = Intent::new(matrix, &facts, is_cilium);
    let mut checker = Checker::new(&intent, rendered);
    let result = match target {
        Target::Calico(options) => calico::prove(&cluster, &mut checker, options, rendered),
        Target::Cilium(options) => cilium::prove(&cluster, &mut checker, options, rendered),
    };
    match result {
        Ok(states) => Ok(Proof { states, findings }),
        Err(Obstacle::Defect(defect)) => Err(defect),
        Err(Obstacle::Unknown(reasons)) => {
            let reasons: BTreeSet<String> = reasons.into_iter().collect();
            let reasons: Vec<String> = reasons.into_iter().collect();
            let message = format!("nothing is proved about these objects: {}", reasons.join("; "));
            Ok(Proof { states: 0, findings: vec![Finding::new(&codes::NOT_PROVED, message)] })
        }
    }
}

/// The cluster of a proof.
struct Cluster<'c> {
    /// Everything but the objects that are proved.
    snapshot: Snapshot,
    facts: &'c Facts,
    /// Addresses that no claim is made about.
    strays: IpSet,
    /// Addresses of a pod.
    pod: Vec<IpAddr>,
}

impl<'c> Cluster<'c> {
    fn new(matrix: &Expanded, snapshot: Snapshot, facts: &'c Facts) -> Self {
        let strays = facts.strays(matrix);
        let mut own = snapshot.cluster.pods.iter().filter(|pod| !pod.host_network && !pod.addresses.is_empty());
        let pod = own.next().map(|pod| pod.addresses.clone()).unwrap_or_default();
        Self { snapshot, facts, strays, pod }
    }

    /// One node of each class: nodes of the same roles differ in nothing that a rule looks at.
    fn classes(&self) -> Vec<&'c Member> {
        let mut seen: BTreeSet<&[usize]> = BTreeSet::new();
        self.facts.nodes.iter().filter(|node| !node.addresses.is_empty() && seen.insert(&node.roles)).collect()
    }

    fn left_out(&self) -> Option<Finding> {
        (!self.strays.is_empty()).then(|| {
            let message = format!("nothing is proved about packets of {}", self.strays);
            Finding::new(&codes::PROOF_LEAVES_OUT, message)
                .help("state every prefix of nodes and pods in `cluster.nodeCIDRs` and `cluster.podCIDRs`")
        })
    }
}

fn roles_left_out(matrix: &Expanded, missing: &[usize]) -> Option<Finding> {
    let names: Vec<&str> = missing.iter().map(|role| matrix.roles[*role].name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let message = format!("nothing is proved about nodes of {}", names.join(", "));
        Finding::new(&codes::PROOF_LEAVES_OUT, message)
            .at("spec.roles", None)
            .help("no labels could be found that only this role selects; give `--nodes`")
    })
}
