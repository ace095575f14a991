//! Which flows open and which close between two states of a cluster: who -> whom with which packets.
//!
//! A flow passes if the CNIs of the node that sends it and of the node that receives it let it by, whichever of the known
//! ways it takes. Nodes that are answered alike in both states are one group.

mod lines;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::compare::free_of_policy;
use super::ends::{End, Other, PeerKind, Place, Role, ends, ways};
use super::hosts::{Hosts, hosts};
use super::world::{Asker, Assumptions, Way, World};
use crate::lifeline::model::{Flow, Party, Traffic};
use crate::net::Cidr;
use crate::packet::{Cube, Exhausted, Held, IpSet, PacketSet, Place as In};
use crate::snapshot::Snapshot;
use crate::snapshot::sources::{CILIUM, STORED};

pub use lines::{Between, Line, MOST_LINES};

/// Pairs of groups that are looked at.
const MOST_PAIRS: usize = 100_000;
/// Names and prefixes of one end that are shown.
const MOST_NAMES: usize = 8;

/// What opens and what closes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flows {
    /// Nodes that only the second state has. Nothing is said about them.
    pub joined: Vec<String>,
    /// Nodes that only the first state has.
    pub left: Vec<String>,
    /// The differences, in the order of their ends.
    pub lines: Vec<Line>,
}

/// Compares what passes between nodes, pods and everybody else.
///
/// # Errors
///
/// The policies are too large for the work that this may take.
pub fn reach(before: &Snapshot, after: &Snapshot, assumptions: &Assumptions) -> Result<Flows, Exhausted> {
    let names = |state: &Snapshot| -> BTreeSet<String> {
        let own = state.cluster.nodes.iter().filter(|node| node.cluster.is_empty());
        own.map(|node| node.name.clone()).collect()
    };
    let (old, new) = (names(before), names(after));
    let both: BTreeSet<String> = old.intersection(&new).cloned().collect();
    let before = World::new(before, assumptions);
    let after = before.with(after);
    let (before, after) = (before.clone().beside(&after), after.beside(&before));
    let hosts = hosts(&before, &after);
    let mut comparison = Comparison {
        hosts: &hosts,
        roles: roles(&after.snapshot, &both),
        named: named(&before.snapshot, &after.snapshot),
        states: [Asker::new(&before), Asker::new(&after)],
        sets: Sets::default(),
        free: free_of_policy(),
        flows: Flows {
            joined: new.difference(&old).cloned().collect(),
            left: old.difference(&new).cloned().collect(),
            lines: Vec::new(),
        },
    };
    comparison.run(&both)?;
    let mut flows = comparison.flows;
    flows.lines.sort();
    Ok(flows)
}

struct Comparison<'c> {
    hosts: &'c Hosts,
    /// Nodes by role.
    roles: BTreeMap<String, BTreeSet<String>>,
    /// Sets of addresses that policies name, with their objects.
    named: Vec<(IpSet, String)>,
    states: [Asker<'c>; 2],
    sets: Sets,
    /// What no policy of Calico is asked about.
    free: PacketSet,
    flows: Flows,
}

/// Ends that are answered alike.
struct Group {
    name: String,
    kind: PeerKind,
    ends: Vec<End>,
    sources: IpSet,
    destinations: IpSet,
}

impl Group {
    fn of(name: String, ends: Vec<End>) -> Self {
        let union = |of: fn(&End) -> &IpSet| ends.iter().fold(IpSet::empty(), |all, end| all.union(of(end)));
        let (sources, destinations) = (union(|end| &end.sources), union(|end| &end.destinations));
        let kind = ends.first().map_or(PeerKind::Outside, |end| end.place.kind());
        Self { name, kind, ends, sources, destinations }
    }
}

/// The answers of Calico and of Cilium, as numbers of sets.
type Answer = [usize; 2];

/// Sets by number: equal ones have one.
#[derive(Default)]
struct Sets {
    all: Vec<PacketSet>,
    numbers: HashMap<PacketSet, usize>,
    known: HashMap<In, usize>,
}

impl Sets {
    /// The number of a set that is held as long as this is.
    fn held(&mut self, held: &Held) -> usize {
        match self.known.get(&held.place()) {
            Some(number) => *number,
            None => {
                let number = self.number(held.set());
                self.known.insert(held.place(), number);
                number
            }
        }
    }

    fn number(&mut self, set: PacketSet) -> usize {
        if let Some(number) = self.numbers.get(&set) {
            return *number;
        }
        self.all.push(set.clone());
        self.numbers.insert(set, self.all.len() - 1);
        self.all.len() - 1
    }
}

/// The answers of both states on each way of an end, in their order.
type Answers = Vec<[Answer; 2]>;

impl Comparison<'_> {
    fn run(&mut self, both: &BTreeSet<String>) -> Result<(), Exhausted> {
        let everybody = Party::Nodes(Arc::new(both.clone()));
        let flow = Flow { from: everybody.clone(), to: everybody, traffic: vec![Traffic::ANY] };
        let nodes = ends(self.hosts, &flow, Role::From, false);
        let there = self.hosts.all.iter().enumerate().filter(|(_, host)| both.contains(host.name.as_ref()));
        let pods: Vec<End> = there.filter_map(|(index, _)| self.pods(index)).collect();
        let inside = nodes.iter().chain(&pods).fold(IpSet::empty(), |all, end| all.union(&end.sources));
        let beyond = inside.complement();
        let outside = End {
            name: "outside".to_owned(),
            place: Place::Outside,
            sources: beyond.clone(),
            destinations: beyond,
            known: Vec::new(),
        };
        let mut groups = self.groups(nodes, "")?;
        for group in &groups {
            self.with_own_pods(group)?;
        }
        groups.extend(self.groups(pods, "pods on ")?);
        groups.push(Group::of(outside.name.clone(), vec![outside]));
        if groups.len() * groups.len() > MOST_PAIRS {
            return Err(Exhausted);
        }
        for from in &groups {
            for to in &groups {
                let alone = from.name == to.name && from.ends.len() == 1;
                if !alone {
                    self.between(from, to, false)?;
                }
            }
        }
        Ok(())
    }

    /// The pods of a node, if it has any.
    fn pods(&self, index: usize) -> Option<End> {
        let host = self.hosts.all.get(index)?;
        let (sources, destinations) = (host.pods.clone(), host.pods.clone());
        let (name, place) = (host.name.to_string(), Place::Pods(index));
        (!sources.is_empty()).then_some(End { name, place, sources, destinations, known: Vec::new() })
    }

    /// Nodes and what runs on themselves.
    fn with_own_pods(&mut self, nodes: &Group) -> Result<(), Exhausted> {
        let own: Vec<End> = nodes.ends.iter().filter_map(|end| self.pods(end.place.on()?)).collect();
        if own.is_empty() {
            return Ok(());
        }
        let own = Group::of("their own pods".to_owned(), own);
        self.between(nodes, &own, true)?;
        self.between(&own, nodes, true)
    }

    /// Ends by the answers to every question about them, and by how many ways there are.
    fn groups(&mut self, all: Vec<End>, prefix: &str) -> Result<Vec<Group>, Exhausted> {
        let mut groups: BTreeMap<Vec<Answers>, Vec<End>> = BTreeMap::new();
        for end in all {
            let mut key = Vec::new();
            for role in [Role::From, Role::To] {
                for (pods, here) in [(false, false), (true, false), (true, true)] {
                    let answers = self.answers(&end, Other { pods, here }, role)?;
                    key.push(answers);
                }
            }
            groups.entry(key).or_default().push(end);
        }
        let named = groups.into_values().map(|ends| {
            let on = ends.iter().filter_map(|end| end.place.on());
            let names: BTreeSet<String> = on.map(|index| self.hosts.all[index].name.to_string()).collect();
            Group::of(format!("{prefix}{}", self.name(&names)), ends)
        });
        Ok(named.collect())
    }

    fn answers(&mut self, end: &End, other: Other, role: Role) -> Result<Answers, Exhausted> {
        let ways = ways(self.hosts, end, other, role);
        let Self { states: [before, after], sets, .. } = self;
        ways.iter().map(|(way, _)| Ok([ask(before, sets, way)?, ask(after, sets, way)?])).collect()
    }

    /// What passes from one group to another, in both states.
    fn between(&mut self, from: &Group, to: &Group, here: bool) -> Result<(), Exhausted> {
        let mut passes: [PacketSet; 2] = std::array::from_fn(|_| {
            PacketSet::from(&Cube { source: from.sources.clone(), destination: to.destinations.clone(), ..Cube::any() })
        });
        let mut differ = false;
        for (role, own, peers) in [(Role::From, from, to), (Role::To, to, from)] {
            let other = Other { pods: peers.kind == PeerKind::Pods, here };
            // Equal answers mean as many ways; only the addresses on each differ from end to end.
            let mut sides: Vec<IpSet> = Vec::new();
            for end in &own.ends {
                for (index, (_, side)) in ways(self.hosts, end, other, role).into_iter().enumerate() {
                    let mine = end.addresses(role);
                    let mine = side.map_or_else(|| mine.clone(), |side| mine.intersection(&side));
                    match sides.get_mut(index) {
                        Some(known) => *known = known.union(&mine),
                        None => sides.push(mine),
                    }
                }
            }
            let Some(first) = own.ends.first() else { continue };
            for (side, [before, after]) in sides.into_iter().zip(self.answers(first, other, role)?) {
                let elsewhere = side.complement();
                let elsewhere = match role {
                    Role::From => Cube { source: elsewhere, ..Cube::any() },
                    Role::To => Cube { destination: elsewhere, ..Cube::any() },
                };
                let elsewhere = PacketSet::from(&elsewhere);
                for (passes, answer) in passes.iter_mut().zip([before, after]) {
                    *passes = passes.intersection(&self.allowed(answer).union(&elsewhere));
                }
                differ |= before != after;
            }
        }
        if differ {
            let [before, after] = &passes;
            for (opens, set) in [(true, after.difference(before)), (false, before.difference(after))] {
                self.lines(from, to, opens, &set);
            }
        }
        Ok(())
    }

    /// What both CNIs let by.
    fn allowed(&self, [calico, cilium]: Answer) -> PacketSet {
        self.sets.all[calico].union(&self.free).intersection(&self.sets.all[cilium])
    }

    fn lines(&mut self, from: &Group, to: &Group, opens: bool, set: &PacketSet) {
        let (source, destination) = ((from.name.as_str(), &from.sources), (to.name.as_str(), &to.destinations));
        self.flows.lines.extend(Between { source, destination, named: &self.named }.lines(opens, set));
    }

    /// Nodes, for a person.
    fn name(&self, names: &BTreeSet<String>) -> String {
        if let (1, Some(name)) = (names.len(), names.first()) {
            return name.clone();
        }
        let all: BTreeSet<&String> = self.roles.values().flatten().collect();
        if all.len() == names.len() {
            return "every node".to_owned();
        }
        match self.roles.iter().find(|(_, nodes)| *nodes == names) {
            Some((role, nodes)) => format!("{role} nodes ({})", nodes.len()),
            None => {
                let shown = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
                match names.len().saturating_sub(MOST_NAMES) {
                    0 => shown,
                    more => format!("{shown} and {more} more"),
                }
            }
        }
    }
}

fn ask(state: &mut Asker<'_>, sets: &mut Sets, way: &Way) -> Result<Answer, Exhausted> {
    let (calico, cilium) = state.ask(way)?;
    let calico = sets.held(&calico);
    let cilium = match cilium {
        Some(held) => sets.held(&held),
        None => sets.number(PacketSet::all()),
    };
    Ok([calico, cilium])
}

/// Nodes by their role; those without one are workers.
fn roles(snapshot: &Snapshot, both: &BTreeSet<String>) -> BTreeMap<String, BTreeSet<String>> {
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in snapshot.cluster.nodes.iter().filter(|node| both.contains(&node.name)) {
        let role = node.labels.keys().find_map(|label| label.strip_prefix("node-role.kubernetes.io/"));
        roles.entry(role.unwrap_or("worker").to_owned()).or_default().insert(node.name.clone());
    }
    roles
}

/// Sets of addresses that have a name: GlobalNetworkSet `spec.nets`, CiliumCIDRGroup `spec.externalCIDRs`.
fn named(before: &Snapshot, after: &Snapshot) -> Vec<(IpSet, String)> {
    let kinds = [
        (STORED, "GlobalNetworkSet", "/spec/nets"),
        ("projectcalico.org", "GlobalNetworkSet", "/spec/nets"),
        (CILIUM, "CiliumCIDRGroup", "/spec/externalCIDRs"),
    ];
    let mut named = Vec::new();
    for state in [after, before] {
        for (group, kind, path) in kinds {
            for manifest in state.of(group, kind) {
                let listed = manifest.value.pointer(path).and_then(serde_json::Value::as_array).into_iter().flatten();
                let nets = listed.filter_map(|net| net.as_str()?.parse::<Cidr>().ok());
                named.push((nets.map(Cidr::net).collect(), manifest.key.to_string()));
            }
        }
    }
    named
}
