//! Which rules select which nodes. Nodes whose labels no rule tells apart are one group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::model::Rule;
use crate::cilium::identity::Members;
use crate::cilium::label::{Label, Labels};
use crate::packet::Direction;

/// Groups of the nodes of a state, and the rules of each.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    members: Arc<Members>,
    /// Labels that some rule looks at.
    wanted: Arc<BTreeSet<Label>>,
    /// The group of each node.
    groups: Arc<BTreeMap<String, usize>>,
    /// Rules of each group by direction, in order.
    lists: Arc<BTreeMap<usize, [Vec<Arc<Rule>>; 2]>>,
}

/// What was found out about groups before. Each entry keeps the rule that it is known by, so that its place stands for
/// nothing else.
#[derive(Debug, Default)]
pub(super) struct Known {
    groups: HashMap<Labels, usize>,
    /// Whether a rule selects a group.
    matches: HashMap<(usize, usize), (Arc<Rule>, bool)>,
}

impl Known {
    /// Forgets what can be found out again. Groups keep their numbers.
    pub(super) fn forget(&mut self) {
        self.matches.clear();
    }
}

impl Selected {
    pub(super) fn new(members: &Arc<Members>, rules: &[Arc<Rule>], before: Option<&Self>, known: &mut Known) -> Self {
        let mut wanted: BTreeSet<&Label> = BTreeSet::new();
        wanted.extend(rules.iter().flat_map(|rule| rule.subject.iter().map(|one| &one.label)));
        let same =
            |before: &&Self| Arc::ptr_eq(&before.members, members) && before.wanted.iter().eq(wanted.iter().copied());
        let (wanted, groups) = match before.filter(same) {
            Some(before) => (Arc::clone(&before.wanted), Arc::clone(&before.groups)),
            None => {
                let group = |labels: &Labels| {
                    let counts = |label: &&Label| wanted.iter().any(|wanted| label.is_found_by(wanted));
                    labels.iter().filter(counts).cloned().collect::<Labels>()
                };
                let groups = members.nodes.iter().map(|(name, member)| {
                    let next = known.groups.len();
                    (name.clone(), *known.groups.entry(group(&member.host_labels)).or_insert(next))
                });
                let groups = groups.collect();
                (Arc::new(wanted.into_iter().cloned().collect()), Arc::new(groups))
            }
        };
        let mut lists: BTreeMap<usize, [Vec<Arc<Rule>>; 2]> = BTreeMap::new();
        for (name, group) in &*groups {
            let Some(member) = members.nodes.get(name) else { continue };
            lists.entry(*group).or_insert_with(|| {
                let mut selects = |rule: &&Arc<Rule>| {
                    let selects = || rule.subject.iter().all(|one| one.matches(&member.host_labels));
                    let found = || (Arc::clone(rule), selects());
                    known.matches.entry((Arc::as_ptr(rule).addr(), *group)).or_insert_with(found).1
                };
                let own: Vec<&Arc<Rule>> = rules.iter().filter(&mut selects).collect();
                [Direction::Ingress, Direction::Egress].map(|direction| {
                    let of = own.iter().filter(|rule| rule.of(direction).next().is_some());
                    of.map(|rule| Arc::clone(rule)).collect()
                })
            });
        }
        Self { members: Arc::clone(members), wanted, groups, lists: Arc::new(lists) }
    }

    /// The rules that select a node, by direction.
    pub(super) fn of(&self, node: &str) -> Option<&[Vec<Arc<Rule>>; 2]> {
        self.lists.get(self.groups.get(node)?)
    }

    /// The group of a node. Its number means the same in all states with the same [`Known`].
    pub(super) fn group(&self, node: &str) -> Option<usize> {
        self.groups.get(node).copied()
    }

    /// Whether the groups are those of another state, taken over.
    pub(super) fn has_groups_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.groups, &before.groups)
    }

    /// Nodes with the same rules, in the order of names.
    pub(super) fn classes(&self) -> Vec<Vec<&str>> {
        let mut classes: BTreeMap<[Vec<usize>; 2], Vec<&str>> = BTreeMap::new();
        let mut ids: BTreeMap<usize, [Vec<usize>; 2]> = BTreeMap::new();
        for (group, lists) in &*self.lists {
            let places = |rules: &Vec<Arc<Rule>>| rules.iter().map(|rule| Arc::as_ptr(rule).addr()).collect();
            ids.insert(*group, lists.each_ref().map(places));
        }
        let mut by_group: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for (name, group) in &*self.groups {
            by_group.entry(*group).or_default().push(name);
        }
        for (group, mut nodes) in by_group {
            classes.entry(ids.remove(&group).unwrap_or_default()).or_default().append(&mut nodes);
        }
        let mut classes: Vec<Vec<&str>> = classes.into_values().collect();
        classes.iter_mut().for_each(|nodes| nodes.sort_unstable());
        classes.sort_unstable();
        classes
    }
}
