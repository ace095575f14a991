//! One object put into a snapshot, or taken out of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::document::documents;
use super::{KEPT_GROUPS, LoadError, key, raw};
use crate::snapshot::{Key, Manifest, Snapshot, Source};

/// What becomes of an object: how it is from now on, or that it is gone.
type Edit = (Key, Option<Manifest>);

/// The objects of a text, untyped, each with its place: one, several in a stream, or lists of them.
///
/// # Errors
///
/// The text is neither YAML nor JSON, or a document is no Kubernetes object.
pub fn manifests(file: &str, text: &str) -> Result<Vec<Manifest>, LoadError> {
    let documents = documents(file, text)?.into_iter();
    documents
        .map(|document| {
            let source = Arc::new(document.source);
            let (key, version) = key(&document.value, &source)?;
            Ok(Manifest { key, version, value: document.value, source: Some(source) })
        })
        .collect()
}

/// Whether objects of a group are kept as written.
pub(super) fn is_kept(group: &str) -> bool {
    KEPT_GROUPS.contains(&group)
}

impl Snapshot {
    /// With an object of any kind put in, in the place of one with the same key. One of a kind that no verdict reads
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// A field of a Node, Pod, ... has another type than the API server gives it.
    pub fn put(&self, manifest: &Manifest) -> Result<Self, LoadError> {
        if is_kept(&manifest.key.group) {
            return Ok(self.with(manifest.clone()));
        }
        let mut next = self.clone();
        let cluster = Arc::make_mut(&mut next.cluster);
        cluster.forget(&manifest.key);
        raw::take(cluster, &manifest.key, &manifest.value).map_err(|mistake| field(manifest, mistake))?;
        cluster.sort();
        Ok(next)
    }

    /// Puts many objects in and takes many out (`None`), at the cost of one change. Returns those with a field of another
    /// type than the API server gives; they are left out.
    pub fn update(&mut self, edits: BTreeMap<Key, Option<Manifest>>) -> Vec<LoadError> {
        let mut mistakes = Vec::new();
        let mut of_cluster: BTreeMap<(String, String), Vec<Edit>> = BTreeMap::new();
        for (key, manifest) in edits {
            if !is_kept(&key.group) {
                of_cluster.entry((key.group.clone(), key.kind.clone())).or_default().push((key, manifest));
                continue;
            }
            match manifest {
                Some(manifest) => drop(Arc::make_mut(&mut self.objects).insert(Arc::new(manifest))),
                None => drop(Arc::make_mut(&mut self.objects).remove(&key)),
            }
        }
        if of_cluster.is_empty() {
            return mistakes;
        }
        let cluster = Arc::make_mut(&mut self.cluster);
        for ((group, kind), edits) in of_cluster {
            let names: HashSet<(&str, &str)> =
                edits.iter().map(|(key, _)| (key.namespace.as_str(), key.name.as_str())).collect();
            cluster.retain(&group, &kind, |namespace, name| !names.contains(&(namespace, name)));
            for manifest in edits.iter().filter_map(|(_, manifest)| manifest.as_ref()) {
                if let Err(mistake) = raw::take(cluster, &manifest.key, &manifest.value) {
                    mistakes.push(field(manifest, mistake));
                }
            }
        }
        cluster.sort();
        mistakes
    }

    /// Namespaces and names of the objects of a kind, as far as a verdict reads them.
    pub fn names(&self, group: &str, kind: &str) -> Vec<(&str, &str)> {
        if is_kept(group) {
            let keys = self.of(group, kind).map(|manifest| &manifest.key);
            keys.map(|key| (key.namespace.as_str(), key.name.as_str())).collect()
        } else {
            self.cluster.names(group, kind)
        }
    }

    /// Takes out objects of a kind that are not to be kept, by namespace and name.
    pub fn retain(&mut self, group: &str, kind: &str, keep: impl Fn(&str, &str) -> bool) {
        if is_kept(group) {
            let gone = |key: &Key| key.group == group && key.kind == kind && !keep(&key.namespace, &key.name);
            if self.of(group, kind).any(|manifest| gone(&manifest.key)) {
                Arc::make_mut(&mut self.objects).retain(|key| !gone(key));
            }
        } else {
            Arc::make_mut(&mut self.cluster).retain(group, kind, keep);
        }
    }

    /// Without an object of any kind; `None` if it is not there.
    pub fn remove(&self, key: &Key) -> Option<Self> {
        if is_kept(&key.group) {
            return self.objects.contains_key(key).then(|| self.without(key));
        }
        let mut next = self.clone();
        let cluster = Arc::make_mut(&mut next.cluster);
        let before = cluster.count();
        cluster.forget(key);
        (cluster.count() < before).then_some(next)
    }
}

fn field(manifest: &Manifest, mistake: raw::Mistake) -> LoadError {
    let nowhere = || Arc::new(Source { file: "-".to_owned(), document: 0, item: None, line: 1 });
    LoadError::Field {
        at: manifest.source.clone().unwrap_or_else(nowhere),
        key: manifest.key.clone(),
        path: mistake.path,
        message: mistake.message,
    }
}
