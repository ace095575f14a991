//! From a snapshot to a [`State`]: typed, checked as upstream checks, resolved, ordered.

mod api;
mod decode;
mod endpoints;
mod felix;
mod hosts;
mod names;
mod owners;
mod policies;
mod profiles;
mod sets;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use self::api::Fault;
use self::decode::{Decoded, SetSpec};
use self::owners::Owner;
use self::sets::Sets;
use super::address;
use super::settings::{self, Dataplane, Provenance, Settings, Sourced, nodes_with_their_own};
use super::state::{Danger, Hazard, Refusal, Stage, State, Unknown};
use super::version::Version;
use crate::snapshot::{Key, Manifest, Snapshot};

/// Facts that a snapshot may not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assumptions {
    /// Version of Calico; else the image of calico-node tells, else 3.31.
    pub version: Option<Version>,
    /// What moves packets; else the settings tell.
    pub dataplane: Option<Dataplane>,
    /// Whether `projectcalico.org/v3` is served by CRDs and not by calico-apiserver. The defaults of `types` differ.
    pub native: bool,
}

/// Compiles a snapshot.
pub fn compile(snapshot: &Snapshot, assumptions: &Assumptions) -> State {
    let version = version(snapshot, assumptions.version);
    let settings_of = |node| Arc::new(settings::read(snapshot, node, version.value, assumptions.dataplane));
    let settings = settings_of(None);
    let node_settings: BTreeMap<_, _> =
        nodes_with_their_own(snapshot).map(|node| (node.to_owned(), settings_of(Some(node)))).collect();
    let mut compiler = Compiler {
        snapshot,
        version: version.value,
        native: assumptions.native,
        sets: Sets::default(),
        refused: Vec::new(),
        unknown: Vec::new(),
        dangers: Vec::new(),
    };
    compiler.note_settings(&version, &settings, &node_settings);
    let profiles = compiler.profiles();
    let tiers = compiler.tiers();
    let endpoints = compiler.endpoints(&profiles);
    let mut owners: Vec<Owner> = endpoints.iter().map(Owner::of_endpoint).collect();
    owners.extend(snapshot.cluster.pods.iter().filter_map(|pod| Owner::of_pod(pod, &profiles)));
    owners.extend(compiler.network_sets(&profiles));
    let Compiler { sets, refused, unknown, dangers, .. } = compiler;
    State {
        sets: sets.resolve(&owners, &snapshot.cluster),
        hosts: hosts::hosts(&snapshot.cluster, &settings),
        version,
        settings,
        node_settings,
        tiers,
        profiles,
        endpoints,
        refused,
        unknown,
        dangers,
    }
}

fn version(snapshot: &Snapshot, given: Option<Version>) -> Sourced<Version> {
    if let Some(value) = given {
        return Sourced { value, from: Provenance::Given };
    }
    let image = settings::agent(snapshot).and_then(|agent| Some((Version::of_image(&agent.image)?, &agent.image)));
    match image {
        Some((value, image)) => Sourced { value, from: Provenance::Derived(format!("image {image}")) },
        None => Sourced { value: Version::ASSUMED, from: Provenance::Default },
    }
}

/// Name under which calico-apiserver stores an object up to 3.31: a policy's with its tier in front.
pub(crate) fn stored_name(kind: &str, name: &str) -> String {
    let policy = matches!(kind, "GlobalNetworkPolicy" | "StagedGlobalNetworkPolicy");
    if policy { names::tiered(name) } else { name.to_owned() }
}

struct Compiler<'s> {
    snapshot: &'s Snapshot,
    version: Version,
    native: bool,
    sets: Sets,
    refused: Vec<Refusal>,
    unknown: Vec<Unknown>,
    dangers: Vec<Danger>,
}

/// An object that was decoded.
struct Read<S> {
    key: Key,
    object: Decoded<S>,
    /// Whether it was written to `crd.projectcalico.org/v1`, past the API's defaults and checks.
    raw: bool,
}

impl Compiler<'_> {
    /// Decodes every object of a kind. What is stored (`v1`) counts where both groups hold an object.
    fn read<S>(&mut self, kind: &str) -> Vec<Read<S>>
    where
        S: Default + for<'de> Deserialize<'de>,
    {
        let mut objects: BTreeMap<(String, String), (&Manifest, bool)> = BTreeMap::new();
        for (group, raw) in [("crd.projectcalico.org", true), ("projectcalico.org", false)] {
            for manifest in self.snapshot.of(group, kind) {
                let name = self.stored_name(kind, &manifest.key.name);
                let identity = (manifest.key.namespace.clone(), name);
                if let Some((stored, true)) = objects.get(&identity)
                    && !raw
                {
                    if stored.value.get("spec") != manifest.value.get("spec") {
                        self.note(&manifest.key, "spec", "differs from what crd.projectcalico.org holds");
                    }
                    continue;
                }
                objects.insert(identity, (manifest, raw));
            }
        }
        objects.into_values().filter_map(|(manifest, raw)| self.decode(manifest, raw)).collect()
    }

    fn decode<S>(&mut self, manifest: &Manifest, raw: bool) -> Option<Read<S>>
    where
        S: Default + for<'de> Deserialize<'de>,
    {
        let key = manifest.key.clone();
        match decode::decode::<S>(&manifest.value) {
            Ok(parsed) => {
                for path in parsed.unknown {
                    self.note(&key, &path, "an unknown field");
                }
                let mut object = parsed.object;
                if raw {
                    self.overlay(&key, &mut object.metadata);
                }
                object.metadata.name.clone_from(&key.name);
                Some(Read { key, object, raw })
            }
            Err(error) => {
                if raw {
                    let reason = "Felix can no longer read any object of this kind, and keeps what it had";
                    self.note(&key, &error.path, reason);
                }
                self.refused.push(Refusal { key, stage: Stage::Decode, path: error.path, reason: error.message });
                None
            }
        }
    }

    /// Labels of a stored object are in an annotation, over those in its own metadata
    /// (projectcalico/calico:libcalico-go/lib/backend/k8s/resources/resources.go).
    fn overlay(&mut self, key: &Key, metadata: &mut decode::Metadata) {
        let Some(text) = metadata.annotations.get("projectcalico.org/metadata") else {
            return;
        };
        match serde_json::from_str::<decode::Metadata>(text) {
            Ok(inner) => metadata.labels.extend(inner.labels),
            Err(error) => {
                let reason = error.to_string();
                self.note(key, "metadata.annotations[projectcalico.org/metadata]", &reason);
            }
        }
    }

    fn stored_name(&self, kind: &str, name: &str) -> String {
        if self.version.plain_names() { name.to_owned() } else { stored_name(kind, name) }
    }

    fn network_sets(&mut self, profiles: &BTreeMap<String, super::state::Profile>) -> Vec<Owner> {
        let mut owners = Vec::new();
        for kind in ["GlobalNetworkSet", "NetworkSet"] {
            for Read { key, object, raw } in self.read::<SetSpec>(kind) {
                if !raw && !self.accept(&key, Stage::Api, api::set(&object)) {
                    continue;
                }
                let mut labels = object.metadata.labels;
                if !key.namespace.is_empty() {
                    labels.insert("projectcalico.org/namespace".to_owned(), key.namespace.clone());
                    owners::inherit(&mut labels, &[format!("kns.{}", key.namespace)], profiles);
                }
                let nets = object.spec.nets.iter().filter_map(|net| address::prefix_or_address(net)).collect();
                owners.push(Owner { labels, nets, ports: Vec::new() });
            }
        }
        owners
    }

    /// Records the faults of an object; whether it had none.
    fn accept(&mut self, key: &Key, stage: Stage, result: Result<(), Vec<Fault>>) -> bool {
        let Err(faults) = result else {
            return true;
        };
        for Fault { path, reason, limit } in faults {
            if limit {
                self.note(key, &path, &reason);
            }
            self.refused.push(Refusal { key: key.clone(), stage, path, reason });
        }
        false
    }

    fn note(&mut self, key: &Key, path: &str, reason: &str) {
        let (path, reason) = (path.to_owned(), reason.to_owned());
        self.unknown.push(Unknown { key: Some(key.clone()), path, reason });
    }

    fn danger(&mut self, key: &Key, path: String, effect: &str, hazard: Hazard) {
        self.dangers.push(Danger { key: key.clone(), path, effect: effect.to_owned(), hazard });
    }

    fn note_settings(
        &mut self,
        version: &Sourced<Version>,
        settings: &Arc<Settings>,
        node_settings: &BTreeMap<String, Arc<Settings>>,
    ) {
        if !version.value.is_known() {
            let reason = format!(
                "{}: this engine was checked against {} to {}",
                version.value,
                Version::OLDEST,
                Version::NEWEST
            );
            self.unknown.push(Unknown { key: None, path: "version".to_owned(), reason });
        }
        for settings in std::iter::once(settings).chain(node_settings.values()) {
            for (path, texts) in [("settings", &settings.unknown), ("failsafe", &settings.fatal)] {
                for reason in texts {
                    let unknown = Unknown { key: None, path: path.to_owned(), reason: reason.clone() };
                    if !self.unknown.contains(&unknown) {
                        self.unknown.push(unknown);
                    }
                }
            }
        }
        for group in ["crd.projectcalico.org", "projectcalico.org"] {
            for manifest in self.snapshot.of(group, "FelixConfiguration") {
                for (path, reason) in settings::faults(&manifest.value) {
                    if group == "projectcalico.org" {
                        let (key, reason) = (manifest.key.clone(), reason.to_owned());
                        self.refused.push(Refusal { key, stage: Stage::Api, path, reason });
                    }
                }
                if manifest.value.pointer("/spec/nodeSelector").is_some() {
                    self.note(&manifest.key, "spec.nodeSelector", "configuration by selector is not released");
                }
            }
        }
    }
}
