//! Which policies a host endpoint has. Endpoints that no selector and no profile tells apart are one group.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use crate::calico::selector::{Looks, Selector};
use crate::calico::state::{Endpoints, HostEndpoint, Policy, State};
use crate::warm::lock;

/// Groups of the endpoints of a state, and the policies of each.
#[derive(Debug)]
pub(in crate::calico) struct Selected {
    endpoints: Arc<Endpoints>,
    /// What policies look at.
    looks: Arc<Looks>,
    /// The group of each endpoint.
    groups: Arc<Vec<usize>>,
    /// The first endpoint of each group.
    firsts: OnceLock<Vec<usize>>,
    lists: Mutex<HashMap<usize, Arc<Lists>>>,
    known: Arc<Mutex<Known>>,
}

/// Policies of one group, by tier, in their order.
#[derive(Debug)]
pub(in crate::calico) struct Lists {
    /// Equal for groups with the same policies and profiles, also of other states with the same [`Known`].
    pub(in crate::calico) id: usize,
    pub(super) tiers: Vec<Vec<Arc<Policy>>>,
}

/// Places of policies by tier, and profiles.
type Listed = (Vec<Vec<usize>>, Vec<String>);

/// What was found out about groups before. Each entry keeps the policies that it is known by, so that their places stand
/// for nothing else.
#[derive(Default)]
pub(in crate::calico) struct Known {
    /// Groups by labels, as far as policies tell them apart, and profiles.
    groups: HashMap<(BTreeMap<String, String>, Vec<String>), usize>,
    labels: Vec<BTreeMap<String, String>>,
    profiles: Vec<Vec<String>>,
    /// Whether a policy selects a group.
    matches: HashMap<(usize, usize), (Arc<Policy>, bool)>,
    lists: HashMap<Listed, Arc<Lists>>,
    /// Numbers of lists are given once.
    next: usize,
}

impl Selected {
    /// Groups the endpoints of a state. What is the same in the state before is taken over.
    pub(in crate::calico) fn new(state: &State, before: Option<(&State, &Self)>, known: &Arc<Mutex<Known>>) -> Self {
        let endpoints = Arc::clone(&state.endpoints);
        let looks = match before.filter(|(before, selected)| selected.looks_at_all(before, state)) {
            Some((_, selected)) => Arc::clone(&selected.looks),
            None => {
                let mut looks = Looks::default();
                policies(state).for_each(|policy| looks.add(&policy.selector));
                Arc::new(looks)
            }
        };
        let before = before.map(|(_, selected)| selected).filter(|before| Arc::ptr_eq(&before.endpoints, &endpoints));
        let groups = match before.filter(|before| before.looks == looks) {
            Some(before) => Arc::clone(&before.groups),
            None => {
                let labels: Vec<_> = endpoints.iter().map(|endpoint| &endpoint.labels).collect();
                let labels = looks.reduce(&labels).into_iter().zip(endpoints.iter());
                let mut known = lock(known);
                let groups: Vec<usize> = labels.map(|(labels, endpoint)| known.group(labels, endpoint)).collect();
                match before.filter(|before| *before.groups == groups) {
                    Some(before) => Arc::clone(&before.groups),
                    None => Arc::new(groups),
                }
            }
        };
        let (firsts, lists) = (OnceLock::new(), Mutex::default());
        Self { endpoints, looks, groups, firsts, lists, known: Arc::clone(known) }
    }

    /// Whether the policies of a state look at what those of the one before do, as can be told from those that are not in
    /// both.
    fn looks_at_all(&self, before: &State, state: &State) -> bool {
        let same = |(one, other): &(&Arc<Policy>, &Arc<Policy>)| Arc::ptr_eq(one, other);
        let mut tiers = before.tiers.iter().zip(&state.tiers);
        before.tiers.len() == state.tiers.len()
            && tiers.all(|(before, now)| {
                let (before, now) = (&before.policies, &now.policies);
                let first = before.iter().zip(now).take_while(same).count();
                let rest = (&before[first..], &now[first..]);
                let last = rest.0.iter().rev().zip(rest.1.iter().rev()).take_while(same).count();
                let (gone, new) = (&rest.0[..rest.0.len() - last], &rest.1[..rest.1.len() - last]);
                let mut looks = Looks::default();
                new.iter().for_each(|policy| looks.add(&policy.selector));
                new.iter().all(|policy| self.looks.cover(&policy.selector))
                    && gone.iter().all(|policy| looks.cover(&policy.selector))
            })
    }

    /// The policies of an endpoint of the state.
    pub(in crate::calico) fn of(&self, state: &State, endpoint: &HostEndpoint) -> Arc<Lists> {
        self.of_position(state, self.position(endpoint))
    }

    /// The group of an endpoint of the state.
    pub(in crate::calico) fn group_of(&self, endpoint: &HostEndpoint) -> usize {
        self.group(self.position(endpoint))
    }

    fn position(&self, endpoint: &HostEndpoint) -> usize {
        // Every endpoint that is asked for is one of the state's, found by its name.
        let position = self.endpoints.partition_point(|other| other.key.name < endpoint.key.name);
        let same = self.endpoints[position..].iter().take_while(|other| other.key.name == endpoint.key.name);
        let offset = same.take_while(|other| !std::ptr::eq(*other, endpoint)).count();
        position + offset
    }

    /// The group of the endpoint at a position. Its number means the same in all states with the same [`Known`].
    pub(in crate::calico) fn group(&self, position: usize) -> usize {
        self.groups[position]
    }

    /// Whether the groups are those of another state, taken over.
    pub(in crate::calico) fn has_groups_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.groups, &before.groups)
    }

    /// Whether a selector does not tell endpoints of one group apart.
    pub(in crate::calico) fn covers(&self, selector: &Selector) -> bool {
        self.looks.cover(selector)
    }

    /// The position of one endpoint of each group.
    pub(in crate::calico) fn one_of_each(&self) -> &[usize] {
        self.firsts.get_or_init(|| {
            let mut seen = HashSet::new();
            (0..self.groups.len()).filter(|position| seen.insert(self.groups[*position])).collect()
        })
    }

    /// The policies of the endpoint at a position.
    pub(in crate::calico) fn of_position(&self, state: &State, position: usize) -> Arc<Lists> {
        let group = self.groups[position];
        let mut lists = lock(&self.lists);
        Arc::clone(lists.entry(group).or_insert_with(|| lock(&self.known).lists(state, group)))
    }
}

impl Known {
    /// The group of an endpoint, given its labels as far as policies tell them apart.
    fn group(&mut self, labels: BTreeMap<String, String>, endpoint: &HostEndpoint) -> usize {
        let next = self.groups.len();
        let group = *self.groups.entry((labels.clone(), endpoint.profiles.clone())).or_insert(next);
        if group == next {
            self.labels.push(labels);
            self.profiles.push(endpoint.profiles.clone());
        }
        group
    }

    fn lists(&mut self, state: &State, group: usize) -> Arc<Lists> {
        let Self { labels, profiles, matches, lists, next, .. } = self;
        let labels = &labels[group];
        let mut selects = |policy: &&Arc<Policy>| {
            let found = || (Arc::clone(policy), policy.selector.matches(labels));
            matches.entry((Arc::as_ptr(policy).addr(), group)).or_insert_with(found).1
        };
        let tiers: Vec<Vec<Arc<Policy>>> = (state.tiers.iter())
            .map(|tier| tier.policies.iter().filter(&mut selects).map(Arc::clone).collect())
            .collect();
        let places = |policies: &Vec<Arc<Policy>>| policies.iter().map(|policy| Arc::as_ptr(policy).addr()).collect();
        let key = (tiers.iter().map(places).collect(), profiles[group].clone());
        let found = lists.entry(key).or_insert_with(|| {
            *next += 1;
            Arc::new(Lists { id: *next, tiers })
        });
        Arc::clone(found)
    }

    /// How many entries it has. A policy in a list is two places, a fraction of what any other entry takes.
    pub(in crate::calico) fn len(&self) -> usize {
        let listed: usize = self.lists.keys().map(|(tiers, _)| tiers.iter().map(Vec::len).sum::<usize>()).sum();
        self.matches.len() + listed / 8
    }

    /// Forgets what can be found out again. Groups keep their numbers.
    pub(in crate::calico) fn forget(&mut self) {
        self.matches.clear();
        self.lists.clear();
    }
}

/// All policies of a state.
fn policies(state: &State) -> impl Iterator<Item = &Arc<Policy>> {
    state.tiers.iter().flat_map(|tier| &tier.policies)
}

impl fmt::Debug for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Known").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}
