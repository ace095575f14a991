//! Which lifelines a cluster has, told by its objects.
//!
//! Each lifeline names the objects and fields that tell of it. What no object tells, and nobody states, is listed as missing
//! together with the parameter that states it. Nothing is assumed of ends that are not known.

mod agents;
mod api;
mod bgp;
mod etcd;
mod facts;
mod kubelet;
mod node;
mod overlay;
mod servers;
mod stated;
mod tunnel;
mod webhook;

use serde::Serialize;

use self::facts::Facts;
use super::catalogue;
use super::config::{self, Config};
use super::model::{Flow, Lifeline, Origin, Party, Severity, Traffic};
use crate::snapshot::sources::{CALICO, CILIUM};
use crate::snapshot::{Key, Snapshot};

/// The lifelines of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detected {
    /// Those that were found, in the order of the catalogue.
    pub lifelines: Vec<Lifeline>,
    /// What could not be found out.
    pub missing: Vec<Missing>,
    /// Those that the configuration leaves out.
    pub switched_off: Vec<SwitchedOff>,
}

/// A lifeline that the configuration leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchedOff {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
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
        let missing = find.missing.into_iter().map(|unknown| Missing {
            id: entry.id,
            severity: if unknown.blocks { Severity::Blocker } else { entry.severity.min(Severity::Major) },
            what: unknown.what,
            parameter: unknown.parameter,
        });
        detected.missing.extend(missing);
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
    config::apply(config, &snapshot.cluster, &mut detected);
    detected
}

/// Whether an object can tell of lifelines. A change of any other leaves what is detected as it was: it only says what is
/// admitted.
pub fn reads(key: &Key) -> bool {
    reads_kind(&key.group, &key.kind)
}

/// Whether the objects that can tell of lifelines are the same in two snapshots.
pub fn reads_the_same(one: &Snapshot, other: &Snapshot) -> bool {
    let kinds = one.objects.kinds().chain(other.objects.kinds());
    kinds
        .filter(|(group, kind)| reads_kind(group, kind))
        .all(|(group, kind)| one.objects.shares(&other.objects, group, kind))
}

fn reads_kind(group: &str, kind: &str) -> bool {
    const UNREAD: [&str; 12] = [
        "CiliumCIDRGroup",
        "CiliumClusterwideNetworkPolicy",
        "CiliumNetworkPolicy",
        "GlobalNetworkPolicy",
        "GlobalNetworkSet",
        "HostEndpoint",
        "KubeControllersConfiguration",
        "NetworkPolicy",
        "StagedGlobalNetworkPolicy",
        "StagedKubernetesNetworkPolicy",
        "StagedNetworkPolicy",
        "Tier",
    ];
    let of_policies = group == CILIUM || CALICO.contains(&group);
    !(of_policies && UNREAD.contains(&kind))
}

type Detector = fn(&Facts<'_>, &mut Find);

/// One for each entry of the catalogue.
const DETECTORS: [(&str, Detector); 30] = [
    ("kubelet-api", kubelet::kubelet_api),
    ("kube-apiserver", api::kube_apiserver),
    ("exec-tunnel", tunnel::exec_tunnel),
    ("supervisor", servers::supervisor),
    ("node-join", servers::node_join),
    ("etcd-client", etcd::client),
    ("etcd-peer", etcd::peer),
    ("webhook-path", webhook::webhook_path),
    ("lifeline-webhook", webhook::own),
    ("vip", node::vip),
    ("rancher", stated::rancher),
    ("overlay", overlay::overlay),
    ("bgp", bgp::bgp),
    ("cni-control", agents::cni_control),
    ("icmp-health", agents::icmp_health),
    ("host-to-pod", node::host_to_pod),
    ("kubelet-probes", node::kubelet_probes),
    ("pod-to-node", node::pod_to_node),
    ("nodeport", node::nodeport),
    ("storage", stated::storage),
    ("loopback", node::loopback),
    ("admin-ssh", stated::admin_ssh),
    ("admin-talos", stated::admin_talos),
    ("dhcp4", stated::dhcp4),
    ("dhcp6", stated::dhcp6),
    ("icmp6-nd", node::icmp6_nd),
    ("icmp-pmtu", node::icmp_pmtu),
    ("dns", stated::dns),
    ("ntp", stated::ntp),
    ("image-pull", stated::image_pull),
];

/// What was found of one lifeline.
#[derive(Debug, Default)]
struct Find {
    flows: Vec<Flow>,
    origins: Vec<Origin>,
    missing: Vec<Unknown>,
}

/// What is not known of a lifeline.
#[derive(Debug)]
struct Unknown {
    /// Whether the cluster certainly lives on it.
    blocks: bool,
    parameter: &'static str,
    what: String,
}

impl Find {
    /// Adds a flow, unless one end is nobody, or both are one node.
    fn flow(&mut self, from: Party, to: Party, traffic: &[Traffic]) -> bool {
        let nobody = |party: &Party| match party {
            Party::Nodes(nodes) => nodes.is_empty(),
            Party::Addresses { nets, .. } | Party::OwnPods(nets) => nets.is_empty(),
            Party::Itself | Party::Loopback => false,
        };
        let alone = |nodes: &Party| matches!(nodes, Party::Nodes(nodes) if nodes.len() == 1) && from == to;
        if nobody(&from) || nobody(&to) || alone(&from) || traffic.is_empty() {
            return false;
        }
        let flow = Flow { from, to, traffic: traffic.to_vec() };
        let new = !self.flows.contains(&flow);
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
    fn missing(&mut self, parameter: &'static str, what: impl Into<String>) {
        self.missing.push(Unknown { blocks: false, parameter, what: what.into() });
    }

    /// Notes what is not known of a flow that the cluster certainly lives on.
    fn blocked(&mut self, parameter: &'static str, what: impl Into<String>) {
        self.missing.push(Unknown { blocks: true, parameter, what: what.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_catalogue_has_a_detector() {
        let entries: Vec<&str> = catalogue::all().map(|entry| entry.id).collect();
        assert_eq!(DETECTORS.map(|(id, _)| id).as_slice(), entries);
    }
}
