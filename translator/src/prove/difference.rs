//! Which flows open and which close between two matrices: what their rows mean, held against each other.

use std::collections::BTreeSet;

use policy::lifeline::judge::reach::{Between, Flows};
use policy::packet::{Cube, Exhausted, IpSet, PacketSet, Space};

use super::cluster;
use super::facts::{Facts, loopback, prefixes};
use super::intent::{Bound, Intent};
use crate::matrix::{Direction, Expanded, Peer};

/// Steps that one comparison may take.
const STEPS: u64 = 1 << 30;

/// Compares what two matrices mean, for the roles of both, in the cluster that the second describes: two nodes of each role,
/// pods of each kind that it names. Rows on single interfaces count as if packets came over these.
///
/// # Errors
///
/// The matrices are too large for the work that this may take.
pub fn difference(old: &Expanded, new: &Expanded) -> Result<Flows, Exhausted> {
    let names = |matrix: &Expanded| -> BTreeSet<String> { matrix.roles.iter().map(|role| role.name.clone()).collect() };
    let (before, after) = (names(old), names(new));
    let mut flows = Flows {
        joined: after.difference(&before).cloned().collect(),
        left: before.difference(&after).cloned().collect(),
        lines: Vec::new(),
    };
    let (snapshot, _) = cluster::model(new, None, false);
    let facts = [Facts::of(old, &snapshot), Facts::of(new, &snapshot)];
    let intents = [Intent::new(old, &facts[0], false), Intent::new(new, &facts[1], false)];
    let ends = ends(old, new, &facts[1]);
    let named = named(old, new);
    let index = |matrix: &Expanded, name: &str| matrix.roles.iter().position(|role| role.name == name);
    for name in before.intersection(&after) {
        let (Some(then), Some(now)) = (index(old, name), index(new, name)) else { continue };
        let own = format!("{name} nodes");
        for direction in [Direction::Ingress, Direction::Egress] {
            let mut space = Space::with_budget(STEPS);
            let mut admitted = |intent: &Intent<'_>, role: usize| {
                let rows: Vec<_> =
                    intent.rows(&[role], direction, None).into_iter().map(|row| (row, Vec::new())).collect();
                let region = intent.admitted(&mut space, &rows, direction, Bound::Least);
                space.store(region)
            };
            let (before, after) = (admitted(&intents[0], then)?, admitted(&intents[1], now)?);
            for (opens, set) in [(true, after.difference(&before)), (false, before.difference(&after))] {
                for (peer, addresses) in &ends {
                    // What is for loopback stays on the host, and nothing else reaches it.
                    let mine = if *addresses == loopback() { loopback() } else { loopback().complement() };
                    let (cube, source, destination) = match direction {
                        Direction::Ingress => (
                            Cube { source: addresses.clone(), destination: mine.clone(), ..Cube::any() },
                            (peer.as_str(), addresses),
                            (own.as_str(), &mine),
                        ),
                        Direction::Egress => (
                            Cube { source: mine.clone(), destination: addresses.clone(), ..Cube::any() },
                            (own.as_str(), &mine),
                            (peer.as_str(), addresses),
                        ),
                    };
                    let part = set.intersection(&PacketSet::from(&cube));
                    flows.lines.extend(Between { source, destination, named: &named }.lines(opens, &part));
                }
            }
        }
    }
    flows.lines.sort();
    Ok(flows)
}

/// Who can be at the other end; every address is somebody's, and nobody's twice.
fn ends(old: &Expanded, new: &Expanded, facts: &Facts) -> Vec<(String, IpSet)> {
    let mut ends = vec![("itself, over loopback".to_owned(), loopback())];
    for (index, role) in new.roles.iter().enumerate() {
        ends.push((format!("{} nodes", role.name), facts.nodes(|node| node.roles.first() == Some(&index))));
    }
    let network = prefixes(&old.cluster.node_cidrs).union(&prefixes(&new.cluster.node_cidrs));
    let pods = prefixes(&old.cluster.pod_cidrs).union(&prefixes(&new.cluster.pod_cidrs)).union(&facts.pods());
    ends.push(("pods".to_owned(), pods));
    ends.push(("joining nodes".to_owned(), network));
    ends.push(("outside".to_owned(), IpSet::all()));
    let mut taken = IpSet::empty();
    for (_, addresses) in &mut ends {
        let own = addresses.difference(&taken);
        taken = taken.union(addresses);
        *addresses = own;
    }
    ends.retain(|(_, addresses)| !addresses.is_empty());
    ends
}

/// Peers that are prefixes with a name.
fn named(old: &Expanded, new: &Expanded) -> Vec<(IpSet, String)> {
    let rows = [new, old].into_iter().flat_map(|matrix| &matrix.rows);
    let named = rows.flat_map(|row| &row.peers).filter_map(|peer| match peer {
        Peer::Cidrs { name: Some(name), cidrs } => Some((prefixes(cidrs), name.clone())),
        _ => None,
    });
    named.collect()
}
