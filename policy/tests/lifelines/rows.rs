//! What was detected, as the rows of a table.

use std::collections::BTreeSet;

use policy::lifeline::Party;
use policy::lifeline::detect::Detected;
use policy::snapshot::Snapshot;

fn party(party: &Party, snapshot: &Snapshot) -> String {
    match party {
        Party::Nodes(nodes) if nodes.len() == snapshot.cluster.nodes.len() => "every node".to_owned(),
        Party::Nodes(nodes) => nodes.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
        Party::Addresses { name, nets } => {
            format!("{name}: {}", nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        Party::OwnPods(nets) => {
            format!("own pods: {}", nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        Party::Itself => "itself".to_owned(),
        Party::Loopback => "its loopback".to_owned(),
    }
}

pub(crate) fn flows(detected: &Detected, snapshot: &Snapshot) -> BTreeSet<String> {
    let row = |id: &str, flow: &policy::lifeline::Flow| {
        let traffic: Vec<String> = flow.traffic.iter().map(ToString::to_string).collect();
        format!("{id} | {} | {} | {}", party(&flow.from, snapshot), party(&flow.to, snapshot), traffic.join(" "))
    };
    let lifelines = detected.lifelines.iter();
    lifelines.flat_map(|lifeline| lifeline.flows.iter().map(|flow| row(&lifeline.id, flow))).collect()
}

pub(crate) fn missing(detected: &Detected) -> BTreeSet<String> {
    detected.missing.iter().map(|it| format!("{} | {} | {}", it.id, it.severity, it.parameter)).collect()
}
