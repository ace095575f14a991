//! What the failsafe ports change, and where they admit more than the matrix.

use std::collections::BTreeMap;

use super::cover::Cover;
use super::lists::calicos;
use super::{Entry, Lists};
use crate::finding::Finding;
use crate::finding::codes::calico as codes;
use crate::matrix::{Action, Direction, Expanded, Row, Traffic, Transport};
use crate::render::Fate;
use crate::render::calico::fleet::Fleet;
use crate::render::calico::options::{Failsafe, Options};
use crate::render::calico::row::{Line, from_anyone, list};
use crate::render::loss::{Loss, Packets};

/// An entry, and the roles on which it admits more than the rows.
type Beyond = (Entry, Vec<usize>);

/// Prefixes that a message names before it only counts.
const MOST_NAMED: usize = 4;

/// Reports how the lists differ from Calico's own, and from the matrix. Returns what they admit beyond that.
pub(in super::super) fn report(
    matrix: &Expanded,
    fleet: &Fleet<'_>,
    options: &Options,
    lists: &Lists,
    lines: &mut [Line<'_>],
    findings: &mut Vec<Finding>,
) -> Vec<Loss> {
    if !matches!(options.failsafe, Failsafe::Keep | Failsafe::Default) {
        let delta: Vec<String> =
            [Direction::Ingress, Direction::Egress].into_iter().filter_map(|way| delta(lists, way)).collect();
        if !delta.is_empty() {
            let message = format!("failsafe ports differ from Calico's own: {}", delta.join("; "));
            findings.push(Finding::new(&codes::FAILSAFE_DELTA, message).object("FelixConfiguration/default"));
        }
    }
    let mut beyond: Vec<Vec<Beyond>> = Vec::new();
    {
        let cover = Cover::new(matrix, fleet, lines);
        for direction in [Direction::Ingress, Direction::Egress] {
            let entries = lists.of(direction).iter().map(|entry| {
                let roles = (0..matrix.roles.len()).filter(|role| !cover.admits(*role, direction, *entry)).collect();
                (*entry, roles)
            });
            beyond.push(entries.filter(|(_, roles): &Beyond| !roles.is_empty()).collect());
        }
        for line in lines.iter() {
            let own = &beyond[usize::from(line.row.direction == Direction::Egress)];
            if let Some(finding) = defeated(&cover, line, own) {
                findings.push(finding);
            }
        }
    }
    for line in lines {
        let path = line.row.path();
        let defeats = |finding: &Finding| finding.code == &codes::FAILSAFE_DEFEATS_ROW && finding.path == path;
        if line.fate != Fate::Refused && line.fate != Fate::Implied && findings.iter().any(defeats) {
            line.fate = Fate::Wider;
        }
    }
    let mut losses = Vec::new();
    for (direction, beyond) in [Direction::Ingress, Direction::Egress].into_iter().zip(beyond) {
        findings.extend(wider(matrix, direction, &beyond));
        losses.extend(beyond.into_iter().map(|(Entry { transport, port, net }, roles)| Loss {
            code: &codes::FAILSAFE_WIDER_THAN_MATRIX,
            packets: Packets::Failsafe { roles, direction, transport, port, net },
        }));
    }
    losses
}

/// The difference to Calico's own list in words.
fn delta(lists: &Lists, direction: Direction) -> Option<String> {
    let (ours, calicos) = (lists.of(direction), calicos(direction));
    let mut parts = Vec::new();
    let of_port = |list: &[Entry], wanted: &Entry| {
        list.iter().any(|entry| entry.transport == wanted.transport && entry.port == wanted.port)
    };
    let mut new: Vec<String> = ours.iter().filter(|entry| !of_port(&calicos, entry)).map(ToString::to_string).collect();
    new.dedup();
    let gone: Vec<String> = calicos.iter().filter(|entry| !of_port(ours, entry)).map(ToString::to_string).collect();
    let mut narrowed: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in ours.iter().filter(|entry| entry.net.is_some() && of_port(&calicos, entry)) {
        narrowed.entry(entry.to_string()).or_default().push(entry);
    }
    if !new.is_empty() {
        parts.push(format!("new {}", new.join(", ")));
    }
    if !gone.is_empty() {
        parts.push(format!("gone {}", gone.join(", ")));
    }
    for (port, entries) in narrowed {
        parts.push(format!("{port} narrowed to {}", places(entries)));
    }
    let direction = match direction {
        Direction::Ingress => "inbound",
        Direction::Egress => "outbound",
    };
    (!parts.is_empty()).then(|| format!("{direction} {}", parts.join(", ")))
}

/// `10.0.0.0/24, 10.0.1.0/24 and 3 more`, or `anywhere`.
fn places<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> String {
    let mut nets: Vec<String> = Vec::new();
    for entry in entries {
        match entry.net {
            None => return "anywhere".to_owned(),
            Some(net) => nets.push(net.to_string()),
        }
    }
    nets.dedup();
    let more = nets.len().saturating_sub(MOST_NAMED);
    nets.truncate(MOST_NAMED);
    if more == 0 { nets.join(", ") } else { format!("{} and {more} more", nets.join(", ")) }
}

/// One finding for each port that is open beyond the matrix.
fn wider(matrix: &Expanded, direction: Direction, beyond: &[Beyond]) -> Vec<Finding> {
    let mut ports: BTreeMap<(Transport, u16), Vec<&Beyond>> = BTreeMap::new();
    for open in beyond {
        ports.entry((open.0.transport, open.0.port)).or_default().push(open);
    }
    let (way, where_) = match direction {
        Direction::Ingress => ("inbound", "from"),
        Direction::Egress => ("outbound", "to"),
    };
    ports
        .into_values()
        .map(|open| {
            let mut roles: Vec<usize> = open.iter().flat_map(|(_, roles)| roles.iter().copied()).collect();
            roles.sort_unstable();
            roles.dedup();
            let names: Vec<String> = roles.iter().map(|role| matrix.roles[*role].name.clone()).collect();
            let (port, places) = (open[0].0, places(open.iter().map(|(entry, _)| entry)));
            let message = format!("the failsafe port {port} is open {way} on {}, {where_} {places}", list(&names));
            Finding::new(&codes::FAILSAFE_WIDER_THAN_MATRIX, message)
                .object("FelixConfiguration/default")
                .lost(format!("{port} {where_} {places} is admitted on {}", list(&names)))
        })
        .collect()
}

/// A row that restricts a port which a failsafe port opens.
fn defeated(cover: &Cover<'_>, line: &Line<'_>, beyond: &[Beyond]) -> Option<Finding> {
    let row = line.row;
    if matches!(line.fate, Fate::Refused | Fate::Implied) {
        return None;
    }
    let restricts = row.action == Action::Deny || !from_anyone(row) || !row.except.is_empty();
    let open: Vec<&Entry> = beyond
        .iter()
        .filter(|(entry, roles)| {
            restricts
                && roles.iter().any(|role| row.roles.contains(role))
                // An allow is defeated by what is admitted beside it, a deny by what is admitted of its own.
                && match row.action {
                    Action::Allow => names_port(row, *entry),
                    Action::Deny => cover.overlaps(row, *entry),
                }
        })
        .map(|(entry, _)| entry)
        .collect();
    let first = open.first()?;
    let mut ports: Vec<String> = open.iter().map(ToString::to_string).collect();
    ports.dedup();
    let where_ = match row.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let verb = if row.action == Action::Deny { "denies" } else { "restricts" };
    let places =
        places(open.iter().copied().filter(|entry| entry.port == first.port && entry.transport == first.transport));
    let ports = ports.join(", ");
    Some(
        Finding::new(
            &codes::FAILSAFE_DEFEATS_ROW,
            format!("{} {verb} {ports}, which failsafe ports admit {where_} {places}", row.title()),
        )
        .at(row.path(), row.at.clone())
        .lost(format!("{ports} {where_} {places} is admitted before any policy"))
        .help("use `--failsafe matrix`, and let peers be known by address: `nodeCIDRs`, `podCIDRs`, `--nodes`"),
    )
}

/// Whether the row names the port itself, rather than every port.
fn names_port(row: &Row, entry: Entry) -> bool {
    row.traffic.iter().any(|traffic| match traffic {
        Traffic::Ports { transport, ports, .. } => {
            *transport == entry.transport
                && ports.iter().any(|range| range.first <= entry.port && entry.port <= range.last)
        }
        _ => false,
    })
}
