//! From a snapshot to a [`State`]: typed, checked as upstream checks, resolved, ordered.

mod api;
mod decode;
mod endpoints;
mod felix;
mod hosts;
mod names;
mod one;
mod owners;
mod parts;
mod policies;
mod profiles;
mod sets;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use self::api::{Fault, Faults};
use self::decode::{Decoded, SetSpec};
pub(super) use self::one::Swap;
use self::owners::Owner;
pub(super) use self::parts::{Memory, Parts};
pub(super) use self::policies::Placed;
use super::address;
use super::settings::{self, Dataplane, Provenance, Settings, Sourced};
use super::state::{Danger, Hazard, Refusal, Stage, State, Unknown};
use super::version::Version;
use crate::object::MAX_ENTRIES;
use crate::snapshot::sources::{CALICO, STORED};
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
    Parts::new(snapshot, assumptions, None, &mut Memory::default()).state()
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
pub(crate) fn stored_name<'n>(kind: &str, name: &'n str) -> Cow<'n, str> {
    let policy = policies::POLICIES.iter().any(|(policy, _)| *policy == kind);
    if policy { names::tiered(name) } else { Cow::Borrowed(name) }
}

struct Compiler<'s> {
    snapshot: &'s Snapshot,
    version: Version,
    native: bool,
    memory: &'s mut Memory,
    notes: Notes,
}

/// An object, and whether it was written to `crd.projectcalico.org/v1`.
type Written<'s> = (&'s Arc<Manifest>, bool);

/// What is to be said about objects.
#[derive(Clone, Debug, Default)]
struct Notes {
    refused: Vec<Refusal>,
    unknown: Vec<Unknown>,
    dangers: Vec<Danger>,
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.unknown.is_empty() && self.dangers.is_empty()
    }

    fn extend(&mut self, more: &Self) {
        self.refused.extend_from_slice(&more.refused);
        self.unknown.extend_from_slice(&more.unknown);
        self.dangers.extend_from_slice(&more.dangers);
    }
}

/// An object that was decoded.
struct Read<S> {
    key: Key,
    object: Decoded<S>,
    /// Whether it was written to `crd.projectcalico.org/v1`, past the API's defaults and checks.
    raw: bool,
}

impl<'s> Compiler<'s> {
    /// Decodes every object of a kind.
    fn read<S>(&mut self, kind: &str) -> Vec<Read<S>>
    where
        S: Default + for<'de> Deserialize<'de>,
    {
        let manifests = self.manifests(kind);
        manifests.into_iter().filter_map(|(manifest, raw)| self.decode(manifest, raw)).collect()
    }

    /// The objects of a kind that count. What is stored (`v1`) does where both groups hold an object.
    fn manifests(&mut self, kind: &str) -> Vec<Written<'s>> {
        let snapshot = self.snapshot;
        let mut objects: BTreeMap<(&str, Cow<'_, str>), Written<'s>> = BTreeMap::new();
        for (group, raw) in CALICO.map(|group| (group, group == STORED)) {
            for manifest in snapshot.of(group, kind) {
                let identity = (manifest.key.namespace.as_str(), self.stored_name(kind, &manifest.key.name));
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
        objects.into_values().collect()
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
                self.notes.refused.push(Refusal { key, stage: Stage::Decode, path: error.path, reason: error.message });
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

    fn stored_name<'n>(&self, kind: &str, name: &'n str) -> Cow<'n, str> {
        if self.version.plain_names() { Cow::Borrowed(name) } else { stored_name(kind, name) }
    }

    fn network_sets(&mut self, profiles: &BTreeMap<String, Arc<super::state::Profile>>) -> Vec<Owner> {
        let mut owners = Vec::new();
        for kind in ["GlobalNetworkSet", "NetworkSet"] {
            for Read { key, object, raw } in self.read::<SetSpec>(kind) {
                if !raw && !self.accept(&key, Stage::Api, api::set(&object)) {
                    continue;
                }
                let mut faults = Faults::default();
                faults.limit(object.spec.nets.len(), MAX_ENTRIES, "spec.nets");
                if !self.accept(&key, Stage::Felix, faults.into_result()) {
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
            self.notes.refused.push(Refusal { key: key.clone(), stage, path, reason });
        }
        false
    }

    fn note(&mut self, key: &Key, path: &str, reason: &str) {
        let (path, reason) = (path.to_owned(), reason.to_owned());
        self.notes.unknown.push(Unknown { key: Some(key.clone()), path, reason });
    }

    fn danger(&mut self, key: &Key, path: String, effect: &str, hazard: Hazard) {
        self.notes.dangers.push(Danger { key: key.clone(), path, effect: effect.to_owned(), hazard });
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
            self.notes.unknown.push(Unknown { key: None, path: "version".to_owned(), reason });
        }
        for settings in std::iter::once(settings).chain(node_settings.values()) {
            for (path, texts) in [("settings", &settings.unknown), ("failsafe", &settings.fatal)] {
                for reason in texts {
                    let unknown = Unknown { key: None, path: path.to_owned(), reason: reason.clone() };
                    if !self.notes.unknown.contains(&unknown) {
                        self.notes.unknown.push(unknown);
                    }
                }
            }
        }
        for group in CALICO {
            for manifest in self.snapshot.of(group, "FelixConfiguration") {
                for (path, reason) in settings::faults(&manifest.value) {
                    if group != STORED {
                        let (key, reason) = (manifest.key.clone(), reason.to_owned());
                        self.notes.refused.push(Refusal { key, stage: Stage::Api, path, reason });
                    }
                }
                if manifest.value.pointer("/spec/nodeSelector").is_some() {
                    self.note(&manifest.key, "spec.nodeSelector", "configuration by selector is not released");
                }
            }
        }
    }
}
