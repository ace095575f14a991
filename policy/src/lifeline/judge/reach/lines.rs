//! Differences between two ends, as they are shown.

use serde::Serialize;

use crate::net::Family;
use crate::packet::{Cube, IpSet, PacketSet};

/// Lines of one difference.
pub const MOST_LINES: usize = 64;

/// Packets that pass in one of the states only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Who sends them.
    pub source: String,
    /// Who gets them.
    pub destination: String,
    /// Whether they pass in the second state, and not in the first; otherwise the other way round.
    pub opens: bool,
    /// Protocols, ports, types: `TCP 22,6443`.
    pub traffic: String,
    /// The addresses of the source, where it is only about some of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The addresses of the destination, where it is only about some of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Two ends, as differences between them are shown: each with its name and all of its addresses.
#[derive(Clone, Copy, Debug)]
pub struct Between<'b> {
    /// Who sends.
    pub source: (&'b str, &'b IpSet),
    /// Who gets it.
    pub destination: (&'b str, &'b IpSet),
    /// Sets of addresses that have names.
    pub named: &'b [(IpSet, String)],
}

impl Between<'_> {
    /// A set of packets between the two as lines, at most [`MOST_LINES`].
    pub fn lines(&self, opens: bool, set: &PacketSet) -> Vec<Line> {
        const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];
        let has = |set: &IpSet, family: Family| !IpSet::family(family).intersection(set).is_empty();
        // Each line with the families that it is for.
        let mut lines: Vec<(Line, [bool; 2])> = Vec::new();
        for cube in set.cubes(MOST_LINES) {
            let own = FAMILIES.map(|family| has(&cube.source, family));
            let families = FAMILIES.into_iter().zip(own).filter(|(_, own)| *own);
            let families = families.fold(IpSet::empty(), |all, (family, _)| all.union(&IpSet::family(family)));
            let part = |whole: &IpSet, part: &IpSet| {
                (!whole.intersection(&families).is_subset(part)).then(|| self.addresses(part))
            };
            let (from, to) = (part(self.source.1, &cube.source), part(self.destination.1, &cube.destination));
            let plain = Cube { source: IpSet::all(), destination: IpSet::all(), ..cube }.to_string();
            let traffic = plain.strip_suffix(" from any to any").unwrap_or(&plain).to_owned();
            let (source, destination) = (self.source.0.to_owned(), self.destination.0.to_owned());
            let line = Line { source, destination, opens, traffic, from, to };
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, known)) => *known = [known[0] || own[0], known[1] || own[1]],
                None => lines.push((line, own)),
            }
        }
        let both = FAMILIES.map(|family| has(self.source.1, family) && has(self.destination.1, family));
        let lines = lines.into_iter().map(|(line, own)| match (&line.from, &line.to) {
            (None, None) if both == [true; 2] && own != both => {
                let family = if own[0] { "IPv4" } else { "IPv6" };
                Line { from: Some(format!("any {family}")), ..line }
            }
            _ => line,
        });
        lines.collect()
    }

    /// Addresses, by the name of just these where there is one.
    fn addresses(&self, part: &IpSet) -> String {
        match self.named.iter().find(|(set, _)| set == part) {
            Some((_, name)) => name.clone(),
            None => format!("{part:.8}"),
        }
    }
}
