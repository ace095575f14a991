//! A compiled snapshot in parts, each of which is taken over from the state before where nothing it is made of changed.
//!
//! There is one way to compile: what starts from nothing is the same with nothing to take over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::owners::Owner;
use super::sets::Sets;
use super::{Assumptions, Compiler, Notes, hosts, policies, version};
use crate::calico::settings::{self, Settings, Sourced, nodes_with_their_own};
use crate::calico::state::{AddressSet, Endpoints, Hosts, Profile, State, Tier};
use crate::calico::version::Version;
use crate::snapshot::sources::CALICO;
use crate::snapshot::{Cluster, Manifest, Snapshot};

/// Sets with which a memory is still worth keeping.
const MOST_SETS: usize = 50_000;

/// What objects were made into before, for all states that come from one another.
#[derive(Debug, Default)]
pub(in crate::calico) struct Memory {
    /// Version, and whether the API is served by CRDs: what the rest was made for.
    made_for: Option<(Version, bool)>,
    /// Sets that rules refer to. Their numbers stay as long as this does.
    pub(super) sets: Sets,
    /// Policies by the place of their manifest.
    pub(super) policies: HashMap<usize, (Arc<Manifest>, Arc<policies::Part>)>,
}

type Profiles = Arc<BTreeMap<String, Arc<Profile>>>;

/// A part, and what is to be said about the objects that it is made of.
#[derive(Debug)]
struct Part<T> {
    value: T,
    notes: Notes,
}

#[derive(Debug)]
struct Configuration {
    version: Sourced<Version>,
    settings: Arc<Settings>,
    node_settings: Arc<BTreeMap<String, Arc<Settings>>>,
}

/// A compiled snapshot.
#[derive(Clone, Debug)]
pub(in crate::calico) struct Parts {
    pub(super) snapshot: Snapshot,
    native: bool,
    configuration: Arc<Part<Configuration>>,
    profiles: Arc<Part<Profiles>>,
    tiers: Arc<Part<Vec<Tier>>>,
    endpoints: Arc<Part<Arc<Endpoints>>>,
    networks: Arc<Part<Vec<Owner>>>,
    owners: Arc<Vec<Owner>>,
    hosts: Arc<Hosts>,
    pub(super) sets: Vec<Arc<AddressSet>>,
}

impl Memory {
    /// Whether states of a snapshot should be made with it. Sets are never taken out, so one day there are too many.
    pub(in crate::calico) fn fits(&self, snapshot: &Snapshot, assumptions: &Assumptions) -> bool {
        self.sets.len() <= MOST_SETS
            && self.made_for == Some((version(snapshot, assumptions.version).value, assumptions.native))
    }

    /// How many policies it holds.
    pub(in crate::calico) fn len(&self) -> usize {
        self.policies.len()
    }

    /// Forgets policies of no snapshot any more.
    pub(in crate::calico) fn forget(&mut self) {
        self.policies.retain(|_, (manifest, _)| Arc::strong_count(manifest) > 1);
    }
}

impl Parts {
    pub(in crate::calico) fn new(
        snapshot: &Snapshot,
        assumptions: &Assumptions,
        before: Option<&Self>,
        memory: &mut Memory,
    ) -> Self {
        let version = version(snapshot, assumptions.version);
        let made_for = Some((version.value, assumptions.native));
        if memory.made_for != made_for {
            *memory = Memory { made_for, ..Memory::default() };
        }
        let fits = |before: &&Self| {
            before.configuration.value.version.value == version.value && before.native == assumptions.native
        };
        let before = before.filter(fits);
        let notes = Notes::default();
        let mut compiler = Compiler { snapshot, version: version.value, native: assumptions.native, memory, notes };
        let same = Same { before, snapshot };
        let known = |kept: bool| before.filter(|_| kept);

        let kept = same.kinds(&["FelixConfiguration", "IPPool"])
            && same.of_cluster(|cluster| (&cluster.daemon_sets, &cluster.config_maps));
        let configuration = match known(kept) {
            Some(before) => Arc::clone(&before.configuration),
            None => compiler.part(|compiler| compiler.configuration(version, assumptions)),
        };
        let kept =
            same.kinds(&["Profile"]) && same.of_cluster(|cluster| (&cluster.namespaces, &cluster.service_accounts));
        let profiles = match known(kept) {
            Some(before) => Arc::clone(&before.profiles),
            None => compiler.part(|compiler| Arc::new(compiler.profiles())),
        };
        let same_profiles = known(kept).is_some();
        let tiers = match known(same.kinds(&["Tier", policies::POLICIES[0].0, policies::POLICIES[1].0])) {
            Some(before) => Arc::clone(&before.tiers),
            None => compiler.part(Compiler::tiers),
        };
        let same_nodes = same.of_cluster(|cluster| &cluster.nodes);
        let kept = same_profiles && same_nodes && same.kinds(&["HostEndpoint", "KubeControllersConfiguration"]);
        let endpoints = match known(kept) {
            Some(before) => Arc::clone(&before.endpoints),
            None => compiler.part(|compiler| Arc::new(compiler.endpoints(&profiles.value))),
        };
        let same_endpoints = known(kept).is_some();
        let kept = same_profiles && same.kinds(&["GlobalNetworkSet", "NetworkSet"]);
        let networks = match known(kept) {
            Some(before) => Arc::clone(&before.networks),
            None => compiler.part(|compiler| compiler.network_sets(&profiles.value)),
        };
        let kept = same_profiles && same_endpoints && kept && same.of_cluster(|cluster| &cluster.pods);
        let owners = match known(kept) {
            Some(before) => Arc::clone(&before.owners),
            None => {
                let endpoints = endpoints.value.iter().map(Owner::of_endpoint);
                let pods = Owner::of_pods(&snapshot.cluster.pods, &profiles.value);
                Arc::new(endpoints.chain(pods).chain(networks.value.iter().cloned()).collect())
            }
        };
        let same_owners = known(kept).is_some();
        let kept = same_nodes && known(true).is_some_and(|before| Arc::ptr_eq(&before.configuration, &configuration));
        let hosts = match known(kept) {
            Some(before) => Arc::clone(&before.hosts),
            None => Arc::new(hosts::hosts(&snapshot.cluster, &configuration.value.settings)),
        };
        let known_sets = before.map_or(&[][..], |before| &before.sets);
        let kept = same_owners && same.of_cluster(|cluster| &cluster.slices);
        let sets = compiler.memory.sets.resolve(&owners, &snapshot.cluster, known_sets, kept);
        Self {
            snapshot: snapshot.clone(),
            native: assumptions.native,
            configuration,
            profiles,
            tiers,
            endpoints,
            networks,
            owners,
            hosts,
            sets,
        }
    }

    /// Whether the state differs from another, from whose parts these come, in nothing but its policies.
    pub(in crate::calico) fn has_frame_of(&self, before: &Self) -> bool {
        fn frame(tier: &Tier) -> (&str, bool) {
            (&tier.name, tier.passes)
        }
        Arc::ptr_eq(&self.configuration, &before.configuration)
            && Arc::ptr_eq(&self.profiles, &before.profiles)
            && Arc::ptr_eq(&self.hosts, &before.hosts)
            && Arc::ptr_eq(&self.owners, &before.owners)
            && (Arc::ptr_eq(&self.snapshot.cluster, &before.snapshot.cluster)
                || self.snapshot.cluster.slices == before.snapshot.cluster.slices)
            && self.tiers.value.iter().map(frame).eq(before.tiers.value.iter().map(frame))
    }

    /// Whether nodes, their endpoints and their settings are those of another state, from whose parts these come.
    pub(in crate::calico) fn has_nodes_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.configuration, &before.configuration)
            && Arc::ptr_eq(&self.endpoints, &before.endpoints)
            && (Arc::ptr_eq(&self.snapshot.cluster, &before.snapshot.cluster)
                || self.snapshot.cluster.nodes == before.snapshot.cluster.nodes)
    }

    /// Compiles single objects as those of the snapshot were.
    pub(super) fn compiler<'p>(&'p self, memory: &'p mut Memory) -> Compiler<'p> {
        let version = self.configuration.value.version.value;
        Compiler { snapshot: &self.snapshot, version, native: self.native, memory, notes: Notes::default() }
    }

    /// Whether there is an object for a tier.
    pub(super) fn has_tier(&self, name: &str) -> bool {
        self.tiers.value.iter().any(|tier| tier.name == name && tier.exists)
    }

    /// The state that these are the parts of.
    pub(in crate::calico) fn state(&self) -> State {
        let mut notes = Notes::default();
        for more in [
            &self.configuration.notes,
            &self.profiles.notes,
            &self.tiers.notes,
            &self.endpoints.notes,
            &self.networks.notes,
        ] {
            notes.extend(more);
        }
        let Configuration { version, settings, node_settings } = &self.configuration.value;
        State {
            version: version.clone(),
            settings: Arc::clone(settings),
            node_settings: Arc::clone(node_settings),
            tiers: self.tiers.value.clone(),
            profiles: Arc::clone(&self.profiles.value),
            endpoints: Arc::clone(&self.endpoints.value),
            sets: self.sets.clone(),
            hosts: Arc::clone(&self.hosts),
            refused: notes.refused,
            unknown: notes.unknown,
            dangers: notes.dangers,
        }
    }
}

impl Compiler<'_> {
    fn part<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Arc<Part<T>> {
        let value = make(self);
        Arc::new(Part { value, notes: std::mem::take(&mut self.notes) })
    }

    fn configuration(&mut self, version: Sourced<Version>, assumptions: &Assumptions) -> Configuration {
        let snapshot = self.snapshot;
        let read = |node| Arc::new(settings::read(snapshot, node, version.value, assumptions.dataplane));
        let settings = read(None);
        let nodes = nodes_with_their_own(snapshot);
        let node_settings: BTreeMap<_, _> = nodes.map(|node| (node.to_owned(), read(Some(node)))).collect();
        self.note_settings(&version, &settings, &node_settings);
        Configuration { version, settings, node_settings: Arc::new(node_settings) }
    }
}

/// What a snapshot has in common with the one before.
struct Same<'s> {
    before: Option<&'s Parts>,
    snapshot: &'s Snapshot,
}

impl Same<'_> {
    /// Whether the objects of some kinds are the same, in both groups.
    fn kinds(&self, kinds: &[&str]) -> bool {
        let Some(before) = self.before else { return false };
        CALICO
            .iter()
            .flat_map(|group| kinds.iter().map(move |kind| (group, kind)))
            .all(|(group, kind)| before.snapshot.objects.shares(&self.snapshot.objects, group, kind))
    }

    /// Whether facts about the cluster are.
    fn of_cluster<'c, T: PartialEq>(&'c self, fact: impl Fn(&'c Cluster) -> T) -> bool {
        self.before.is_some_and(|before| {
            let (before, now) = (&before.snapshot.cluster, &self.snapshot.cluster);
            Arc::ptr_eq(before, now) || fact(before) == fact(now)
        })
    }
}
