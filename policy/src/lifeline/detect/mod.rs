//! Which lifelines a cluster has, told by its objects.
//!
//! Each lifeline names the objects and fields that tell of it. What no object tells, and nobody states, is listed as missing
//! together with the parameter that states it. Nothing is assumed of ends that are not known.

mod api;
mod etcd;
mod facts;
mod kubelet;
mod overlay;
mod servers;

use serde::Serialize;

use self::facts::Facts;
use super::catalogue;
use super::config::Config;
use super::model::{Flow, Lifeline, Origin, Party, Severity, Traffic};
use crate::snapshot::Snapshot;

/// The lifelines of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Detected {
    /// Those that were found, in the order of the catalogue.
    pub lifelines: Vec<Lifeline>,
    /// What could not be found out.
    pub missing: Vec<Missing>,
}

/// Ends of a lifeline that no object tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The lifeline.
    pub id: &'static str,
    /// How much a judgement is worth without it. Blocker: the cluster certainly has the flow and lives on it, so that nothing
    /// can be proved safe.
    pub severity: Severity,
    /// What is not known, in one sentence.
    pub what: String,
    /// The parameter of a LifelineConfig that states it.
    pub parameter: &'static str,
}

/// Finds the lifelines of a cluster.
pub fn detect(snapshot: &Snapshot, config: &Config) -> Detected {
    let facts = Facts::of(snapshot, &config.parameters);
    let mut detected = Detected::default();
    for entry in catalogue::all() {
        let Some((_, detector)) = DETECTORS.iter().find(|(id, _)| *id == entry.id) else { continue };
        let mut find = Find::default();
        detector(&facts, &mut find);
        detected.missing.extend(find.missing.into_iter().map(|it| Missing { id: entry.id, ..it }));
        if !find.flows.is_empty() {
            detected.lifelines.push(Lifeline {
                id: entry.id.to_owned(),
                severity: entry.severity,
                flows: find.flows,
                breaks: entry.breaks.to_owned(),
                documented: entry.documented.to_owned(),
                origins: find.origins,
            });
        }
    }
    detected
}

type Detector = fn(&Facts<'_>, &mut Find);

const DETECTORS: [(&str, Detector); 7] = [
    ("kubelet-api", kubelet::kubelet_api),
    ("kube-apiserver", api::kube_apiserver),
    ("supervisor", servers::supervisor),
    ("node-join", servers::node_join),
    ("etcd-client", etcd::client),
    ("etcd-peer", etcd::peer),
    ("overlay", overlay::overlay),
];

/// What was found of one lifeline.
#[derive(Debug, Default)]
struct Find {
    flows: Vec<Flow>,
    origins: Vec<Origin>,
    missing: Vec<Missing>,
}

impl Find {
    /// Adds a flow, unless one end is nobody, or both are one node.
    fn flow(&mut self, from: Party, to: Party, traffic: &[Traffic]) -> bool {
        let nobody = |party: &Party| match party {
            Party::Nodes(nodes) => nodes.is_empty(),
            Party::Addresses { nets, .. } => nets.is_empty(),
            Party::Itself => false,
        };
        let alone = |nodes: &Party| matches!(nodes, Party::Nodes(nodes) if nodes.len() == 1) && from == to;
        let flow = Flow { from: from.clone(), to: to.clone(), traffic: traffic.to_vec() };
        let new = !(nobody(&from) || nobody(&to) || alone(&from) || traffic.is_empty() || self.flows.contains(&flow));
        if new {
            self.flows.push(flow);
        }
        new
    }

    /// Adds what tells of the flows.
    fn because(&mut self, origins: impl IntoIterator<Item = Origin>) {
        for origin in origins {
            if !self.origins.contains(&origin) {
                self.origins.push(origin);
            }
        }
    }

    /// Notes what is not known.
    fn missing(&mut self, severity: Severity, parameter: &'static str, what: impl Into<String>) {
        self.missing.push(Missing { id: "", severity, what: what.into(), parameter });
    }
}
