//! Calico: tier, sets, policies, failsafe ports, host endpoints.
//!
//! The way of a row: its peers become selectors and prefixes (`peers`), its packets protocol parts, and both together
//! rules (`rules`, `row`); the rules of a role become policies (`policies`). The waves of the output are in `wave`.

mod endpoints;
mod failsafe;
mod fleet;
#[cfg(test)]
mod language;
mod lifelines;
mod names;
mod nodeports;
mod options;
mod peers;
mod policies;
mod row;
mod rules;
mod selector;
mod sets;
#[cfg(test)]
mod tests;

pub use options::{Api, Dataplane, Failsafe, HostEndpoints, Options, Version};
pub use selector::{SelectorError, selector};

use policy::calico::api::{DefaultAction, TierSpec};
use policy::object::{Object, ObjectMeta};

use fleet::Fleet;
use peers::Peers;
use policies::{Policies, Stage};
use row::{Line, compile, default, list};

use crate::finding::codes::calico as codes;
use crate::finding::{Finding, has_errors};
use crate::matrix::{Default, Direction, Expanded, Row};
use crate::render::loss::Change;
use crate::render::meta::{REASON, metadata};
use crate::render::{AnyObject, Fate, Manifest, Node, Outcome, Rendered};

/// Waves of the output. Every prefix leaves alive what the whole admits: sets are there before a rule names them, allows and
/// failsafe ports before anything is denied, and a host endpoint, whenever it appears, finds them in place.
mod wave {
    pub(super) const SETS: u8 = 0;
    pub(super) const TIER: u8 = 1;
    pub(super) const POLICIES: u8 = 2;
    pub(super) const FAILSAFE: u8 = 3;
    pub(super) const ENDPOINTS: u8 = 4;
    /// What denies: rows with `action: deny`, and what drops the rest, the last of all.
    pub(super) const CLOSE: u8 = 5;
}

/// Turns a matrix into Calico's objects.
///
/// `nodes` are the nodes of the cluster, where they are known: peers that are nodes then match by address too, and host
/// endpoints can be written out.
///
/// With a finding of [`Severity::Error`](crate::finding::Severity::Error) there are no objects.
pub fn render(matrix: &Expanded, nodes: Option<&[Node]>, options: &Options) -> Rendered {
    let mut findings = options.check();
    let fleet = Fleet::new(matrix, nodes, &mut findings);
    let mut peers = Peers::new(matrix, &fleet, &options.name_prefix, &mut findings);
    let failsafes = failsafe::lists(matrix, &fleet, options);

    let mut row_findings = Vec::new();
    let mut lines: Vec<Line<'_>> = matrix
        .frame_rows
        .iter()
        .chain(&matrix.rows)
        .map(|row| compile(matrix, options, &mut peers, row, &mut row_findings))
        .collect();
    joining(&failsafes, &mut lines, &mut row_findings);

    let roles = (0..matrix.roles.len()).map(|role| peers.role(role).to_vec()).collect();
    let mut policies = Policies::new(matrix, options, roles);
    for role in 0..matrix.roles.len() {
        for direction in [Direction::Ingress, Direction::Egress] {
            let of_role = |row: &Row| row.direction == direction && row.roles.contains(&role);
            let lines: Vec<&Line<'_>> = lines.iter().filter(|line| of_role(line.row)).collect();
            policies.role(role, Stage::Node(direction), &lines, &mut findings);
        }
    }
    nodeports::write(matrix, options, &mut peers, &mut policies, &mut lines, &mut row_findings);
    policies.close(&mut findings);
    let policies = policies.objects;
    let mut losses = failsafe::report(matrix, &fleet, options, &failsafes, &mut lines, &mut row_findings);

    let outcome = |line: &Line<'_>| Outcome { row: line.row.origin, direction: line.row.direction, fate: line.fate };
    let outcomes = lines.iter().map(outcome).collect();
    losses.extend(lines.into_iter().flat_map(|line| line.losses));
    frame(matrix, options, &failsafes, &mut findings);
    let endpoints = endpoints::objects(matrix, options, &fleet, &mut findings, &mut losses);
    findings.append(&mut row_findings);
    if has_errors(&findings) {
        return Rendered { objects: Vec::new(), findings, outcomes, losses };
    }
    let mut objects = peers.sets.objects(matrix, options.api);
    if !policies.is_empty() {
        objects.push(tier(matrix, options));
    }
    objects.extend(policies);
    objects.extend(failsafe::object(matrix, options, &failsafes));
    objects.extend(endpoints);
    // Stable, so that the order within a wave stays the one in which objects were made.
    objects.sort_by_key(|manifest| manifest.wave);
    Rendered { objects, findings, outcomes, losses }
}

/// Reports rows whose peers are nodes that may not be known yet.
fn joining(failsafes: &failsafe::Lists, lines: &mut [Line<'_>], findings: &mut Vec<Finding>) {
    let mut by_endpoint_only = Vec::new();
    for line in lines {
        let row = line.row;
        if line.by_endpoint_only {
            by_endpoint_only.push(row.origin.to_string());
            line.lose(&codes::NODE_PEERS_BY_ENDPOINT_ONLY, Change::ByEndpoint);
        }
        if line.not_joining && !failsafes.admit(row) {
            line.fate = Fate::Narrower;
            findings.push(
                Finding::new(
                    &codes::JOINING_NODES_UNKNOWN,
                    format!("{} does not admit a node that is only joining", row.title()),
                )
                .at(row.path(), row.at.clone())
                .lost("packets of nodes without a host endpoint and a registered address are dropped")
                .help("state the prefixes of the node network in `cluster.nodeCIDRs`"),
            );
        }
    }
    if !by_endpoint_only.is_empty() {
        let message = format!("nodes are matched by their host endpoints alone in {}", list(&by_endpoint_only));
        findings.push(
            Finding::new(&codes::NODE_PEERS_BY_ENDPOINT_ONLY, message)
                .at("spec.cluster.nodeCIDRs", None)
                .lost("packets of a node are dropped until its host endpoint exists")
                .help("state `cluster.nodeCIDRs`, or give `--nodes`"),
        );
    }
}

/// Reports what of the frame Calico says differently.
fn frame(matrix: &Expanded, options: &Options, failsafes: &failsafe::Lists, findings: &mut Vec<Finding>) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let Default { deny: true, log: Some(log) } = default(matrix, direction) else { continue };
        let stated = [("prefix", &log.prefix), ("rate", &log.rate), ("level", &log.level)];
        let stated: Vec<String> =
            stated.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.to_owned()).collect();
        if !stated.is_empty() {
            let message =
                format!("the {} of the {direction} log is Felix's own setting, not the policy's", stated.join(", "));
            findings.push(
                Finding::new(&codes::LOG_SETTINGS_GLOBAL, message)
                    .at(format!("spec.enforcement.{direction}.log"), None),
            );
        }
    }
    let judged_twice = !matches!(options.dataplane, Some(Dataplane::Iptables | Dataplane::Ebpf));
    if matrix.frame.egress.deny && judged_twice {
        let api = if failsafes.admit_service_address { "; the API server's is kept open" } else { "" };
        let message = format!("on nftables, packets from the node to a service address are dropped before DNAT{api}");
        findings.push(
            Finding::new(&codes::SERVICE_ADDRESS_JUDGED, message)
                .at("spec.enforcement.egress", None)
                .lost("packets from the node to service addresses are dropped unless a row admits the address itself")
                .help("add an egress row to the service prefixes, or state `--dataplane iptables` or `ebpf`"),
        );
    }
}

fn tier(matrix: &Expanded, options: &Options) -> Manifest {
    let mut metadata = metadata(matrix, options.tier.clone());
    let reason = "passes what it does not decide, so that nothing is dropped before the closing policy is there";
    metadata.annotations.insert(REASON.to_owned(), reason.to_owned());
    let spec = TierSpec { order: Some(options.tier_order), default_action: Some(DefaultAction::Pass) };
    Manifest { wave: wave::TIER, shared: false, object: AnyObject::Tier(object(options.api, "Tier", metadata, spec)) }
}

/// Metadata of an object that is not ours alone: without labels, which others may have set.
fn shared_metadata(matrix: &Expanded, reason: &str) -> ObjectMeta {
    let mut metadata = metadata(matrix, "default".to_owned());
    metadata.labels.clear();
    metadata.annotations.insert(REASON.to_owned(), reason.to_owned());
    metadata
}

fn object<S>(api: Api, kind: &str, metadata: ObjectMeta, spec: S) -> Object<S> {
    let api_version = match api {
        Api::V3 => policy::calico::api::V3,
        Api::V1 => policy::calico::api::V1,
    };
    Object { api_version: api_version.to_owned(), kind: kind.to_owned(), metadata, spec }
}
