//! GlobalNetworkSets: prefixes that rules match by label.

use std::collections::BTreeMap;

use policy::calico::api::GlobalNetworkSetSpec;
use policy::net::Cidr;

use super::names::Names;
use super::object;
use super::options::Api;
use super::wave;
use crate::matrix::Expanded;
use crate::render::meta::{REASON, SET_LABEL, metadata};
use crate::render::{AnyObject, Manifest};

/// Prefixes in one object. Client-side `kubectl apply` keeps the whole object in an annotation of at most 256 KiB.
const MOST_NETS: usize = 2_000;
/// Characters of a label value, and the set's name is one.
const MOST_CHARACTERS: usize = 63;

/// The sets of one rendering, made as rules need them.
#[derive(Debug)]
pub(super) struct Sets {
    prefix: String,
    names: Names,
    /// By what they stand for and what they hold, so that a set that is asked for twice is made once.
    sets: BTreeMap<(String, Vec<Cidr>), Set>,
}

#[derive(Debug)]
struct Set {
    name: String,
    reason: String,
}

impl Sets {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), names: Names::default(), sets: BTreeMap::new() }
    }

    /// A term that matches the set, without the exclusion of namespaced sets; `None` when there is nothing in it.
    ///
    /// `reason` is for people who read the object.
    pub(super) fn term(&mut self, base: &str, nets: Vec<Cidr>, reason: &str) -> Option<String> {
        if nets.is_empty() {
            return None;
        }
        let key = (base.to_owned(), nets);
        if !self.sets.contains_key(&key) {
            let origin = key.1.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let name = self.names.take(&format!("{}-{base}", self.prefix), &origin, MOST_CHARACTERS);
            self.sets.insert(key.clone(), Set { name, reason: reason.to_owned() });
        }
        Some(format!("{SET_LABEL} == '{}'", self.sets[&key].name))
    }

    /// The objects, sorted by name.
    pub(super) fn objects(mut self, matrix: &Expanded, api: Api) -> Vec<Manifest> {
        let mut sets: Vec<(Set, Vec<Cidr>)> =
            std::mem::take(&mut self.sets).into_iter().map(|((_, nets), set)| (set, nets)).collect();
        sets.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let mut objects = Vec::new();
        for (set, nets) in &sets {
            for (index, nets) in nets.chunks(MOST_NETS).enumerate() {
                let name = match index {
                    0 => set.name.clone(),
                    _ => self.names.take(&format!("{}-{}", set.name, index + 1), &set.name, 253),
                };
                let mut metadata = metadata(matrix, name);
                metadata.labels.insert(SET_LABEL.to_owned(), set.name.clone());
                metadata.annotations.insert(REASON.to_owned(), set.reason.clone());
                let nets = nets.iter().map(ToString::to_string).collect();
                objects.push(Manifest {
                    wave: wave::SETS,
                    shared: false,
                    object: AnyObject::GlobalNetworkSet(object(
                        api,
                        "GlobalNetworkSet",
                        metadata,
                        GlobalNetworkSetSpec { nets: Some(nets) },
                    )),
                });
            }
        }
        objects
    }
}

/// Sorted, without repetition, and without prefixes that another one contains.
pub(super) fn normalise(mut nets: Vec<Cidr>) -> Vec<Cidr> {
    nets.sort_unstable();
    let mut kept: Vec<Cidr> = Vec::with_capacity(nets.len());
    for net in nets {
        // Prefixes nest or are apart, so a contained one follows the one that contains it.
        if !kept.last().is_some_and(|last| last.contains(net)) {
            kept.push(net);
        }
    }
    kept
}
