//! Random cases for Cilium: clusters, settings, policies of every form, and packets at their boundaries.
//!
//! The world is small, so that rules and packets meet: few addresses, prefixes that nest, few labels and ports.

mod cluster;
mod element;
mod invalid;
mod packets;
mod policy;

use serde_json::{Value, json};

use super::Dice;

/// One case, in the format of the recorded ones.
///
/// Besides, `previous` holds policies as they were before an update, in some cases. In those with `says` the objects reach the
/// agent without an API server.
#[must_use]
pub fn case(seed: u64, index: u64) -> Value {
    let mut dice = Dice::new(seed, index);
    let dice = &mut dice;
    let config = cluster::config(dice);
    let nodes = cluster::nodes(dice);
    let own: Vec<&Value> = nodes.iter().filter(|node| node.get("cluster").is_none()).collect();
    let api_servers = cluster::api_servers(dice);
    let pods = cluster::pods(dice);
    let groups = cluster::groups(dice);
    let policies: Vec<Value> = (0..dice.number(1..=4)).map(|number| policy::object(dice, number)).collect();
    let mut case = json!({
        "id": format!("{seed}/{index}"),
        "config": config,
        "node": dice.pick(&own)["name"],
        "nodes": nodes,
        "kubeAPIServers": api_servers,
        "pods": pods,
        "cidrGroups": groups,
        "policies": policies,
    });
    if dice.chance(12) {
        // Some objects were there before, and some of those there before are gone.
        let before: Vec<usize> = (0..policies.len() + 1).filter(|_| dice.chance(60)).collect();
        case["previous"] = before.into_iter().map(|number| policy::object(dice, number)).collect();
    }
    if dice.chance(10) {
        case["says"] = json!("whatever the API server would have said");
    }
    case["packets"] = packets::packets(dice, &case);
    case
}
