//! How much of a node's policy map the rows take.
//!
//! An endpoint's map has an entry per peer identity and masked port, 16384 in all unless the agent is told otherwise
//! (cilium/cilium:pkg/maps/policymap). The estimate counts identities that the matrix makes known: one per prefix, a few
//! for nodes, and for pods a number that stands for the unknown one.

use policy::cilium::api::PortProtocol;
use policy::net::Cidr;

use super::Version;
use super::context::Context;
use super::element::{Element, Kind, Side};
use super::row::Written;
use crate::finding::Finding;
use crate::finding::codes::cilium::{CILIUM_POLICY_MAP_NEARLY_FULL, CILIUM_POLICY_MAP_OVERFLOW};

/// `bpf-policy-map-max` when it is not stated.
const DEFAULT_MAX: usize = 16384;
/// Identities that a cluster's pods are taken to have. From 1.20 on all of them together take one entry.
const POD_IDENTITIES: usize = 256;

/// At most one finding per role.
pub(super) fn findings(context: &Context<'_>, rows: &[Written<'_>]) -> Vec<Finding> {
    let max = context.options.config.bpf_policy_map_max.unwrap_or(DEFAULT_MAX);
    let prefixes = Prefixes::of(rows);
    let cost = |written: &Written<'_>| -> (usize, usize) {
        let sums = written.elements.iter().map(|element| {
            let keys = keys(&element.traffic);
            let (sure, likely) = identities(context, &prefixes, element);
            (sure.saturating_mul(keys), likely.saturating_mul(keys))
        });
        sums.fold((0, 0), |sum, (sure, likely)| (sum.0 + sure, sum.1 + likely))
    };
    let costs: Vec<(usize, usize)> = rows.iter().map(cost).collect();
    let roles = context.matrix.roles.iter().enumerate();
    roles
        .filter_map(|(role, named)| {
            let of_role = rows.iter().zip(&costs).filter(|(written, _)| written.row.roles.contains(&role));
            let (sure, likely) = of_role.fold((0, 0), |sum, (_, cost)| (sum.0 + cost.0, sum.1 + cost.1));
            let (code, entries) = if sure > max {
                (&CILIUM_POLICY_MAP_OVERFLOW, sure)
            } else if likely > max / 4 * 3 {
                (&CILIUM_POLICY_MAP_NEARLY_FULL, likely)
            } else {
                return None;
            };
            let message =
                format!("the rows of role `{}` take about {entries} of the policy map's {max} entries", named.name);
            let path = format!("spec.roles.{}", named.name);
            Some(Finding::new(code, message).at(path, named.at.clone()).help("summarise prefixes and port ranges"))
        })
        .collect()
}

/// Identities that an element matches: for certain, and likely.
fn identities(context: &Context<'_>, prefixes: &Prefixes, element: &Element) -> (usize, usize) {
    let per_node = context.mode.nodes || context.selects_nodes_by_label();
    let nodes = if per_node { context.nodes.map_or(1, <[_]>::len).max(1) } else { 2 };
    match &element.peer {
        Side::Entities(entities) => {
            let count = entities.iter().map(|entity| if *entity == "remote-node" { nodes } else { 1 }).sum();
            (count, count)
        }
        Side::Nodes(_) => (1, nodes),
        Side::Endpoints(selectors) => {
            let pods = if context.version() >= Version::new(1, 20) { 1 } else { POD_IDENTITIES };
            (selectors.len(), selectors.len() * pods)
        }
        Side::Cidrs(lists) => {
            let count = lists.iter().flat_map(|list| list.kept()).map(|cidr| prefixes.within(cidr)).sum();
            (count, count)
        }
    }
}

/// Every prefix that the rows name. Each has an identity of its own, and a wider one matches it too.
struct Prefixes(Vec<Cidr>);

impl Prefixes {
    fn of(rows: &[Written<'_>]) -> Self {
        let lists = rows.iter().flat_map(|written| &written.elements).filter_map(|element| match &element.peer {
            Side::Cidrs(lists) => Some(lists),
            _ => None,
        });
        let mut prefixes: Vec<Cidr> =
            lists.flatten().flat_map(|list| list.cidrs.iter().chain(&list.except)).copied().collect();
        prefixes.sort_unstable_by_key(|cidr| (cidr.net().addr(), cidr.net().prefix_len()));
        prefixes.dedup();
        Self(prefixes)
    }

    /// How many there are in one of them, itself included.
    fn within(&self, cidr: Cidr) -> usize {
        let (first, last) = (cidr.net().network(), cidr.net().broadcast());
        let start = self.0.partition_point(|other| other.net().addr() < first);
        let end = self.0.partition_point(|other| other.net().addr() <= last);
        // Wider ones with the same address sort before it.
        let wider = self.0[start..end].iter().take_while(|other| other.net().prefix_len() < cidr.net().prefix_len());
        end - start - wider.count()
    }
}

/// Masked ports, or ICMP types.
fn keys(kind: &Kind) -> usize {
    match kind {
        Kind::Any => 1,
        Kind::Icmp(fields) => fields.len(),
        Kind::Ports(ports) => ports.iter().map(masked_ports).sum(),
    }
}

fn masked_ports(rule: &PortProtocol) -> usize {
    let first = rule.port.as_deref().and_then(|port| port.parse::<u32>().ok()).unwrap_or(0);
    let last = rule.end_port.and_then(|port| u32::try_from(port).ok()).unwrap_or(first);
    if first == 0 { 1 } else { blocks(first, last) }
}

/// Least number of aligned blocks, each a power of two, that make up an inclusive range.
fn blocks(mut first: u32, last: u32) -> usize {
    let mut count = 0;
    while first <= last {
        let aligned = first.trailing_zeros().min(16);
        let fitting = (last - first + 1).ilog2();
        first += 1 << aligned.min(fitting);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_as_many_entries_as_aligned_blocks() {
        for (first, last, count) in [(80, 80, 1), (2379, 2380, 2), (30000, 32767, 5), (1, 65534, 30), (0, 65535, 1)] {
            assert_eq!(blocks(first, last), count, "{first}-{last}");
        }
    }

    #[test]
    fn a_prefix_matches_the_identities_of_those_inside_it() {
        let mut cidrs: Vec<Cidr> = ["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.9.0.0/16", "fd00::/8"]
            .iter()
            .map(|text| text.parse().expect(text))
            .collect();
        cidrs.sort_unstable_by_key(|cidr| (cidr.net().addr(), cidr.net().prefix_len()));
        let prefixes = Prefixes(cidrs.clone());
        let counts: Vec<usize> = cidrs.iter().map(|cidr| prefixes.within(*cidr)).collect();
        assert_eq!(counts, [4, 2, 1, 1, 1]);
    }
}
