//! Which policies a host endpoint has. Endpoints that no selector and no profile tells apart are one group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::calico::state::{Endpoints, HostEndpoint, Policy, State};
use crate::warm::lock;

/// Groups of the endpoints of a state, and the policies of each.
#[derive(Debug)]
pub(in crate::calico) struct Selected {
    endpoints: Arc<Endpoints>,
    /// Labels that some policy looks at.
    keys: Arc<BTreeSet<String>>,
    /// The group of each endpoint.
    groups: Arc<Vec<usize>>,
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
    /// Groups by the labels that count and the profiles.
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
    /// Groups the endpoints of a state. Those of the state before are taken over where they are the same.
    pub(in crate::calico) fn new(state: &State, before: Option<&Self>, known: &Arc<Mutex<Known>>) -> Self {
        let mut found = BTreeSet::new();
        for policy in state.tiers.iter().flat_map(|tier| &tier.policies) {
            policy.selector.labels(&mut |label| {
                if !found.contains(label) {
                    found.insert(label.to_owned());
                }
            });
        }
        let endpoints = Arc::clone(&state.endpoints);
        let kept = before.filter(|before| *before.keys == found && Arc::ptr_eq(&before.endpoints, &endpoints));
        let (keys, groups) = match kept {
            Some(before) => (Arc::clone(&before.keys), Arc::clone(&before.groups)),
            None => {
                let mut known = lock(known);
                let groups = endpoints.iter().map(|endpoint| known.group(endpoint, &found)).collect();
                (Arc::new(found), Arc::new(groups))
            }
        };
        Self { endpoints, keys, groups, lists: Mutex::default(), known: Arc::clone(known) }
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

    /// The policies of the endpoint at a position.
    pub(in crate::calico) fn of_position(&self, state: &State, position: usize) -> Arc<Lists> {
        let group = self.groups[position];
        let mut lists = lock(&self.lists);
        Arc::clone(lists.entry(group).or_insert_with(|| lock(&self.known).lists(state, group)))
    }
}

impl Known {
    fn group(&mut self, endpoint: &HostEndpoint, keys: &BTreeSet<String>) -> usize {
        let label = |key: &String| Some((key.clone(), endpoint.labels.get(key)?.clone()));
        let labels: BTreeMap<String, String> = keys.iter().filter_map(label).collect();
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

impl fmt::Debug for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Known").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}
