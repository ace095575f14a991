//! What a configuration makes of the lifelines that were found.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::{Add, Config, End, Narrow};
use crate::lifeline::catalogue;
use crate::lifeline::detect::{Detected, SwitchedOff};
use crate::lifeline::model::{Flow, Lifeline, Origin, Party, Severity, Traffic};
use crate::net::Cidr;
use crate::snapshot::Cluster;

/// Adds, narrows and switches off.
pub(in crate::lifeline) fn apply(config: &Config, cluster: &Cluster, detected: &mut Detected) {
    for (index, add) in config.add.iter().enumerate() {
        added(detected, cluster, index, add);
    }
    for (index, narrow) in config.narrow.iter().enumerate() {
        let Some(place) = detected.lifelines.iter().position(|it| it.id == narrow.id) else { continue };
        let lifeline = &mut detected.lifelines[place];
        let flows = std::mem::take(&mut lifeline.flows).into_iter();
        lifeline.flows = flows.filter_map(|flow| narrowed(flow, narrow, cluster)).collect();
        lifeline.origins.push(said("narrow", index, &narrow.reason));
        if lifeline.flows.is_empty() {
            detected.lifelines.remove(place);
            detected.switched_off.push(SwitchedOff { id: narrow.id.clone(), reason: narrow.reason.clone() });
        }
    }
    for off in &config.switch_off {
        detected.lifelines.retain(|lifeline| lifeline.id != off.id);
        detected.missing.retain(|missing| missing.id != off.id);
        detected.switched_off.push(SwitchedOff { id: off.id.clone(), reason: off.reason.clone() });
    }
}

fn said(what: &str, index: usize, reason: &str) -> Origin {
    Origin { object: None, field: format!("spec.{what}[{index}]: {reason}") }
}

fn added(detected: &mut Detected, cluster: &Cluster, index: usize, add: &Add) {
    let flow = Flow {
        from: party(&add.from, cluster, "stated"),
        to: party(&add.to, cluster, "stated"),
        traffic: add.traffic.clone(),
    };
    let entry = catalogue::find(&add.id);
    let origin = said("add", index, &add.reason);
    match detected.lifelines.iter_mut().find(|lifeline| lifeline.id == add.id) {
        Some(lifeline) => {
            lifeline.flows.push(flow);
            lifeline.origins.push(origin);
            lifeline.severity = add.severity.unwrap_or(lifeline.severity);
        }
        None => detected.lifelines.push(Lifeline {
            id: add.id.clone(),
            severity: add.severity.or_else(|| Some(entry?.severity)).unwrap_or(Severity::Major),
            flows: vec![flow],
            breaks: add.breaks.clone().or_else(|| Some(entry?.breaks.to_owned())).unwrap_or_default(),
            documented: entry.map(|entry| entry.documented.to_owned()).unwrap_or_default(),
            origins: vec![origin],
        }),
    }
}

fn party(end: &End, cluster: &Cluster, name: &str) -> Party {
    match end {
        End::Itself => Party::Itself,
        End::Addresses(cidrs) => {
            Party::Addresses { name: name.to_owned(), nets: cidrs.iter().map(|cidr| cidr.net()).collect() }
        }
        End::Nodes(selector) => {
            let own = cluster.nodes.iter().filter(|node| node.cluster.is_empty() && selector.matches(&node.labels));
            Party::Nodes(Arc::new(own.map(|node| node.name.clone()).collect()))
        }
    }
}

/// What is left of a flow.
fn narrowed(flow: Flow, narrow: &Narrow, cluster: &Cluster) -> Option<Flow> {
    let traffic = match &narrow.traffic {
        None => flow.traffic,
        Some(only) => {
            let kept = flow.traffic.iter().flat_map(|one| only.iter().filter_map(|other| one.and(*other)));
            kept.collect::<BTreeSet<Traffic>>().into_iter().collect()
        }
    };
    let flow = Flow {
        from: within(flow.from, narrow.from.as_ref(), cluster)?,
        to: within(flow.to, narrow.to.as_ref(), cluster)?,
        traffic,
    };
    (!flow.traffic.is_empty()).then_some(flow)
}

/// The part of a party that an end names.
fn within(party: Party, end: Option<&End>, cluster: &Cluster) -> Option<Party> {
    let Some(end) = end else { return Some(party) };
    match (party, end) {
        (party @ (Party::Itself | Party::Loopback), End::Itself) => Some(party),
        (Party::Nodes(nodes), End::Nodes(selector)) => {
            let selected =
                cluster.nodes.iter().filter(|node| nodes.contains(&node.name) && selector.matches(&node.labels));
            let names: BTreeSet<String> = selected.map(|node| node.name.clone()).collect();
            (!names.is_empty()).then_some(Party::Nodes(Arc::new(names)))
        }
        (Party::Addresses { name, nets }, End::Addresses(cidrs)) => {
            let nets = both(&nets, cidrs);
            (!nets.is_empty()).then_some(Party::Addresses { name, nets })
        }
        (Party::OwnPods(nets), End::Addresses(cidrs)) => {
            let nets = both(&nets, cidrs);
            (!nets.is_empty()).then_some(Party::OwnPods(nets))
        }
        _ => None,
    }
}

/// What is in prefixes of both.
fn both(nets: &[IpNet], cidrs: &[Cidr]) -> Vec<IpNet> {
    nets.iter().flat_map(|net| cidrs.iter().filter_map(|cidr| smaller(*net, *cidr))).collect()
}

/// Prefixes overlap only by containment.
fn smaller(net: IpNet, cidr: Cidr) -> Option<IpNet> {
    let other = cidr.net();
    if other.contains(&net) { Some(net) } else { net.contains(&other).then_some(other) }
}
