//! Which rules select which nodes. Nodes whose labels no rule tells apart are one group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::model::{Rule, index};
use crate::cilium::identity::Members;
use crate::cilium::label::{Label, Labels};
use crate::cilium::selector::Requirement;
use crate::packet::Direction;

/// Groups of the nodes of a state, and the rules of each.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    members: Arc<Members>,
    /// What rules look at.
    wanted: Arc<Wanted>,
    /// The group of each node.
    groups: Arc<BTreeMap<String, usize>>,
    /// What each group has in common.
    lists: Arc<BTreeMap<usize, Group>>,
}

/// Nodes that no rule tells apart.
#[derive(Clone, Debug)]
struct Group {
    /// One of them.
    node: String,
    /// Rules by direction, in order.
    rules: [Vec<Arc<Rule>>; 2],
}

/// Labels that some rules look at, and the values that they compare each with. All others are one value to them.
#[derive(Debug, PartialEq, Eq)]
struct Wanted(BTreeMap<Label, BTreeSet<String>>);

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

impl Wanted {
    fn of(rules: &[Arc<Rule>]) -> Self {
        let mut wanted: BTreeMap<Label, BTreeSet<String>> = BTreeMap::new();
        for Requirement { label, values, .. } in rules.iter().flat_map(|rule| &rule.subject) {
            if !wanted.contains_key(label) {
                wanted.insert(label.clone(), BTreeSet::new());
            }
            if let Some(known) = wanted.get_mut(label) {
                for value in values {
                    if !known.contains(value) {
                        known.insert(value.clone());
                    }
                }
            }
        }
        Self(wanted)
    }

    /// Whether a selector tells nodes apart by nothing else.
    fn covers(&self, subject: &[Requirement]) -> bool {
        let covers = |values: &BTreeSet<String>, one: &Requirement| one.values.iter().all(|it| values.contains(it));
        subject.iter().all(|one| self.0.get(&one.label).is_some_and(|values| covers(values, one)))
    }

    /// The labels of every node that count, and for a value that is as good as others the first of those. No rule tells
    /// the two apart.
    fn reduce<'m>(&self, members: &'m Members) -> Vec<(&'m str, Labels)> {
        let counts = |label: &Label| self.0.keys().any(|wanted| label.is_found_by(wanted));
        let is_named = |label: &Label| {
            self.0.iter().any(|(wanted, values)| values.contains(&label.value) && label.is_found_by(wanted))
        };
        let mut firsts: HashMap<(&str, &str), &Label> = HashMap::new();
        let mut found = Vec::with_capacity(members.nodes.len());
        for (name, member) in &members.nodes {
            let labels: Vec<(&Label, bool)> =
                member.host_labels.iter().filter(|label| counts(label)).map(|label| (label, is_named(label))).collect();
            for (label, _) in labels.iter().filter(|(_, named)| !named) {
                let first = firsts.entry((&label.source, &label.key)).or_insert(label);
                *first = (*first).min(label);
            }
            found.push((name.as_str(), labels));
        }
        let mut reduced = Vec::with_capacity(found.len());
        for (name, labels) in found {
            let first = |label: &Label| firsts.get(&(label.source.as_str(), label.key.as_str())).copied();
            let stand_in = |(label, named)| if named { label } else { first(label).unwrap_or(label) };
            reduced.push((name, labels.into_iter().map(stand_in).cloned().collect()));
        }
        reduced
    }
}

impl Selected {
    /// `as_met` makes of the rules of a node what its agent makes of them.
    pub(super) fn new(
        members: &Arc<Members>,
        rules: &[Arc<Rule>],
        as_met: impl Fn(Vec<Arc<Rule>>) -> Vec<Arc<Rule>>,
        before: Option<&Self>,
        known: &mut Known,
    ) -> Self {
        let wanted = Wanted::of(rules);
        let before = before.filter(|before| Arc::ptr_eq(&before.members, members));
        let (wanted, groups) = match before.filter(|before| *before.wanted == wanted) {
            Some(before) => (Arc::clone(&before.wanted), Arc::clone(&before.groups)),
            None => {
                let reduced = wanted.reduce(members);
                let groups = reduced.into_iter().map(|(name, labels)| {
                    let next = known.groups.len();
                    (name.to_owned(), *known.groups.entry(labels).or_insert(next))
                });
                let groups: BTreeMap<String, usize> = groups.collect();
                let groups = match before.filter(|before| *before.groups == groups) {
                    Some(before) => Arc::clone(&before.groups),
                    None => Arc::new(groups),
                };
                (Arc::new(wanted), groups)
            }
        };
        let mut lists: BTreeMap<usize, Group> = BTreeMap::new();
        for (name, group) in &*groups {
            let Some(member) = members.nodes.get(name) else { continue };
            lists.entry(*group).or_insert_with(|| {
                let mut selects = |rule: &&Arc<Rule>| {
                    let selects = || rule.subject.iter().all(|one| one.matches(&member.host_labels));
                    let found = || (Arc::clone(rule), selects());
                    known.matches.entry((Arc::as_ptr(rule).addr(), *group)).or_insert_with(found).1
                };
                let own = as_met(rules.iter().filter(&mut selects).cloned().collect());
                let rules = [Direction::Ingress, Direction::Egress].map(|direction| {
                    let of = own.iter().filter(|rule| rule.of(direction).next().is_some());
                    of.cloned().collect()
                });
                Group { node: name.clone(), rules }
            });
        }
        Self { members: Arc::clone(members), wanted, groups, lists: Arc::new(lists) }
    }

    /// The rules that select a node, by direction.
    pub(super) fn of(&self, node: &str) -> Option<&[Vec<Arc<Rule>>; 2]> {
        self.lists.get(self.groups.get(node)?).map(|group| &group.rules)
    }

    /// Whether at every node that a selector may select some rule denies what nothing allows.
    pub(super) fn denies_by_default(&self, subject: &[Requirement], direction: Direction) -> bool {
        // One node of each group tells of all of them, as long as the selector does not tell these apart.
        let covers = self.wanted.covers(subject);
        let passes_by = |group: &Group| {
            let labels = self.members.nodes.get(&group.node).map(|member| &member.host_labels);
            covers && !labels.is_some_and(|labels| subject.iter().all(|one| one.matches(labels)))
        };
        let denies =
            |group: &Group| group.rules[index(direction)].iter().any(|rule| rule.default_deny[index(direction)]);
        self.lists.values().all(|group| denies(group) || passes_by(group))
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
        for (group, Group { rules, .. }) in &*self.lists {
            let places = |rules: &Vec<Arc<Rule>>| rules.iter().map(|rule| Arc::as_ptr(rule).addr()).collect();
            ids.insert(*group, rules.each_ref().map(places));
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
