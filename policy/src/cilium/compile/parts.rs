//! A compiled snapshot in parts, each of which is taken over from the state before where nothing it is made of changed.
//!
//! There is one way to compile: what starts from nothing is the same with nothing to take over.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;

use super::node_port::{self, NodePort};
use super::open;
use super::refusal::{Refusal, Unknown};
use super::selected::{self, Selected};
use super::settled::are_settled;
use super::swap::Swap;
use super::{Options, Rule, State, groups, names, settings_unknown, take};
use crate::cilium::identity::{Group, Ipcache, Members};
use crate::cilium::settings::{SettingError, Settings};
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Cluster, Key, Manifest, Snapshot};

const CLUSTERWIDE: &str = "CiliumClusterwideNetworkPolicy";
const NAMESPACED: &str = "CiliumNetworkPolicy";

/// What objects were made into before, for all states that come from one another and have the same settings and services.
#[derive(Debug, Default)]
pub(in crate::cilium) struct Memory {
    policies: take::Parts,
    selected: selected::Known,
    pub(super) read: open::Known,
}

/// What is read of CIDR groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    pub(super) refused: Vec<Refusal>,
    pub(super) unknown: Vec<Unknown>,
}

/// A compiled snapshot.
#[derive(Clone, Debug)]
pub(in crate::cilium) struct Parts {
    snapshot: Snapshot,
    settings: Arc<Settings>,
    errors: Arc<Vec<SettingError>>,
    members: Arc<Members>,
    groups: Arc<Groups>,
    policies: Vec<Arc<take::Part>>,
    prefixes: Arc<BTreeSet<IpNet>>,
    /// Whether what rules for hosts mean depends on no prefixes but their own.
    settled: bool,
    ipcache: Arc<Ipcache>,
    node_ports: Arc<Vec<NodePort>>,
    selected: Selected,
}

impl Memory {
    /// How many policies it holds.
    pub(in crate::cilium) fn len(&self) -> usize {
        self.policies.len()
    }

    /// Forgets policies of no snapshot any more.
    pub(in crate::cilium) fn forget(&mut self) {
        self.policies.retain(|_, (manifest, _)| Arc::strong_count(manifest) > 1);
        self.selected.forget();
        self.read.clear();
    }
}

impl Parts {
    /// With the state that they are the parts of. What was before must have been read with the same options and must
    /// [fit](Self::fits), and the memory be its own.
    pub(in crate::cilium) fn new(
        snapshot: &Snapshot,
        options: Options<'_>,
        before: Option<&Self>,
        memory: &mut Memory,
    ) -> (Self, State) {
        let cluster = &snapshot.cluster;
        let known = |same: &dyn Fn(&Self) -> bool| before.filter(|before| same(before));
        let (settings, errors) = match before {
            Some(before) => (Arc::clone(&before.settings), Arc::clone(&before.errors)),
            None => {
                let (settings, errors) = Settings::read(cluster, options.stated, options.version);
                (Arc::new(settings), Arc::new(errors))
            }
        };
        let members = match known(&|before| before.has_members_of(snapshot)) {
            Some(before) => Arc::clone(&before.members),
            None => Arc::new(Members::read(snapshot, &settings)),
        };
        let mut taken = take::Taken::default();
        if settings.clusterwide.value {
            take::policies(snapshot, CLUSTERWIDE, &settings, options, &mut memory.policies, &mut taken);
        }
        // Their prefixes are in the ipcache as well, though they are never for hosts.
        take::policies(snapshot, NAMESPACED, &settings, options, &mut memory.policies, &mut taken);
        let groups = match known(&|before| before.has_kind_of(snapshot, "CiliumCIDRGroup")) {
            Some(before) => Arc::clone(&before.groups),
            None => Arc::new(groups(snapshot)),
        };
        let prefixes = match known(&|before| names_same(&before.policies, &taken.parts)) {
            Some(before) => Arc::clone(&before.prefixes),
            None => {
                let named = taken.parts.iter().flat_map(|part| part.prefixes().iter().copied()).collect();
                match known(&|before| *before.prefixes == named) {
                    Some(before) => Arc::clone(&before.prefixes),
                    None => Arc::new(named),
                }
            }
        };
        let ipcache = match known(&|before| {
            Arc::ptr_eq(&before.members, &members)
                && Arc::ptr_eq(&before.groups, &groups)
                && Arc::ptr_eq(&before.prefixes, &prefixes)
        }) {
            Some(before) => Arc::clone(&before.ipcache),
            None => {
                let prefixes = prefixes.iter().copied();
                Arc::new(Ipcache::build(Arc::clone(&members), &settings, prefixes, &groups.groups))
            }
        };
        let node_ports = match known(&|before| before.has_facts_of(cluster, |cluster| &cluster.slices)) {
            Some(before) => Arc::clone(&before.node_ports),
            None => Arc::new(node_port::read(cluster)),
        };
        let as_met = |own| names::as_met(own, taken.group_of_everyone, &settings);
        let selected =
            Selected::new(&members, &taken.rules, as_met, before.map(|before| &before.selected), &mut memory.selected);
        let mut unknown: Vec<Unknown> =
            members.unknown.iter().map(|what| Unknown::of("CiliumNode", "", what)).collect();
        unknown.extend(settings_unknown(&settings));
        unknown.append(&mut taken.unknown);
        unknown.extend(taken.modes_differ());
        unknown.extend_from_slice(&groups.unknown);
        for manifest in snapshot.of(CILIUM, "CiliumNodeConfig") {
            unknown.push(Unknown::of(&manifest.key.to_string(), "spec", "settings of single nodes are not read"));
        }
        let settled = !taken.unsettled && are_settled(&settings, &groups.groups);
        if !settled {
            open::unsettle(&mut unknown);
        }
        let mut refused = taken.refused;
        refused.extend_from_slice(&groups.refused);
        refused.sort_by(|one, other| one.key.cmp(&other.key));
        let mut state = State {
            settings: Arc::clone(&settings),
            setting_errors: errors.to_vec(),
            rules: taken.rules,
            refused,
            unknown,
            ipcache: Arc::clone(&ipcache),
            node_ports: Arc::clone(&node_ports),
            selected: selected.clone(),
            group_of_everyone: taken.group_of_everyone,
        };
        let led = node_port::unknown(&state);
        state.unknown.extend(led);
        let ambiguous = state.ambiguous_names(&state.rules);
        state.unknown.extend(ambiguous);
        if taken.group_of_everyone {
            let named = names::unknown(&state.rules);
            state.unknown.extend(named);
        }
        let snapshot = snapshot.clone();
        let policies = taken.parts;
        let parts = Self {
            snapshot,
            settings,
            errors,
            members,
            groups,
            policies,
            prefixes,
            settled,
            ipcache,
            node_ports,
            selected,
        };
        (parts, state)
    }

    /// What an object put in or taken away does to the rules for hosts. `None` where it may do more than that, or where there
    /// is something to be said about the object besides.
    pub(in crate::cilium) fn swap(
        &self,
        state: &State,
        key: &Key,
        new: Option<&Manifest>,
        through_api: bool,
        memory: &mut Memory,
    ) -> Option<Swap> {
        let is_read = match key.kind.as_str() {
            CLUSTERWIDE => self.settings.clusterwide.value,
            kind => kind == NAMESPACED,
        };
        if key.group != CILIUM || !is_read {
            return None;
        }
        let known = |manifest| take::part(manifest, &self.snapshot, &self.settings, through_api, &mut memory.policies);
        let old = self.snapshot.objects.get(key).map(known);
        let new = new.map(|manifest| take::Part::make(manifest, &self.snapshot, &self.settings, through_api));
        Swap::of(self, state, old.as_deref(), new.as_ref())
    }

    /// The same with the host firewall off. Only what is said not to be known depends on it besides, and stays as it is.
    pub(in crate::cilium) fn without_host_firewall(&self, state: &State) -> (Self, State) {
        let mut settings = Settings::clone(&self.settings);
        settings.host_firewall.value = false;
        let settings = Arc::new(settings);
        let parts = Self { settings: Arc::clone(&settings), ..self.clone() };
        (parts, State { settings, ..state.clone() })
    }

    /// The same with rules in the place of others, for the same nodes and of the same prefixes.
    pub(super) fn with_rules(&self, state: &State, rules: Vec<Arc<Rule>>, memory: &mut Memory) -> (Self, State) {
        // These rules mean who may be their peers, which is no matter of entries in the agent's cache.
        let selected = Selected::new(&self.members, &rules, |own| own, Some(&self.selected), &mut memory.selected);
        let state = State { rules, selected: selected.clone(), group_of_everyone: false, ..state.clone() };
        (Self { selected, ..self.clone() }, state)
    }

    /// Whether some policy names a prefix.
    pub(super) fn names(&self, prefix: &IpNet) -> bool {
        self.prefixes.contains(prefix)
    }

    /// Whether what rules for hosts mean depends on no prefixes but their own.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether a snapshot has the settings and services of this one, so that its parts can be taken over.
    pub(in crate::cilium) fn fits(&self, snapshot: &Snapshot) -> bool {
        self.has_facts_of(&snapshot.cluster, |cluster| (&cluster.daemon_sets, &cluster.config_maps, &cluster.services))
    }

    /// Whether the state differs from another, from whose parts these come, in nothing but its rules.
    pub(in crate::cilium) fn has_frame_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.ipcache, &before.ipcache) && Arc::ptr_eq(&self.node_ports, &before.node_ports)
    }

    /// Whether nodes, and what never reaches policy on each, are those of another state, from whose parts these come.
    pub(in crate::cilium) fn has_datapath_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.settings, &before.settings)
            && Arc::ptr_eq(&self.members, &before.members)
            && Arc::ptr_eq(&self.node_ports, &before.node_ports)
    }

    /// Whether the groups of nodes are those of another state, taken over.
    pub(in crate::cilium) fn has_groups_of(&self, before: &Self) -> bool {
        self.selected.has_groups_of(&before.selected)
    }

    /// The group of a node: of one group are those that no rule tells apart.
    pub(in crate::cilium) fn group(&self, node: &str) -> Option<usize> {
        self.selected.group(node)
    }

    fn has_members_of(&self, snapshot: &Snapshot) -> bool {
        self.has_kind_of(snapshot, "CiliumNode")
            && self.has_facts_of(&snapshot.cluster, |cluster| {
                (&cluster.nodes, &cluster.pods, &cluster.namespaces, &cluster.slices)
            })
    }

    fn has_kind_of(&self, snapshot: &Snapshot, kind: &str) -> bool {
        self.snapshot.objects.shares(&snapshot.objects, CILIUM, kind)
    }

    fn has_facts_of<'c, T: PartialEq>(&'c self, now: &'c Arc<Cluster>, facts: impl Fn(&'c Cluster) -> T) -> bool {
        Arc::ptr_eq(&self.snapshot.cluster, now) || facts(&self.snapshot.cluster) == facts(now)
    }
}

/// Whether objects name the same prefixes.
fn names_same(before: &[Arc<take::Part>], now: &[Arc<take::Part>]) -> bool {
    let same = |(before, now): (&Arc<take::Part>, &Arc<take::Part>)| {
        Arc::ptr_eq(before, now) || before.prefixes() == now.prefixes()
    };
    before.len() == now.len() && before.iter().zip(now).all(same)
}
