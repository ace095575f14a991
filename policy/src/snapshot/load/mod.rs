//! Manifests into a snapshot: files, `kubectl get -o yaml|json` lists, streams of several.
//!
//! Nothing is dropped in silence. What is not kept is counted by kind, what stands twice is noted, and what cannot be read is
//! an error that says where.

mod document;
mod one;
mod raw;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use self::document::{Document, documents};
use self::one::is_kept;
pub use self::one::manifests;
use super::sources::{CILIUM, STORED};
use super::{Cluster, Key, Manifest, Objects, Snapshot, Source};

/// Groups whose objects are kept as written.
pub(super) const KEPT_GROUPS: [&str; 6] =
    ["admissionregistration.k8s.io", "apiregistration.k8s.io", CILIUM, STORED, "metallb.io", "projectcalico.org"];

/// A snapshot, and what is to be known about how it was read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The facts.
    pub snapshot: Snapshot,
    /// Objects that were given more than once, in the order read. The last one counts, as it would for the API server.
    pub duplicates: Vec<Duplicate>,
    /// How many objects of each group and kind were read; those not in [`Loaded::ignored`] are in the snapshot.
    pub read: BTreeMap<(String, String), usize>,
    /// How many objects of each group and kind no verdict reads, and which are therefore not in the snapshot.
    pub ignored: BTreeMap<(String, String), usize>,
}

/// An object that was given more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Which.
    pub key: Key,
    /// Where it stood before.
    pub before: Arc<Source>,
    /// Where it stands again.
    pub again: Arc<Source>,
}

/// Why a text is not manifests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Neither YAML nor JSON.
    #[error("{file}: it is neither YAML nor JSON: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// What the reader says, with line and column.
        message: String,
    },
    /// A text of more bytes than are read.
    #[error("{file}: {bytes} bytes, and no more than {most} are read; split it into several files")]
    TooLong {
        /// The file.
        file: String,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// An object of more values than any API server takes.
    #[error("{file}:{line}: the object has more than {most} values, which no API server takes", file = at.file, line = at.line)]
    TooLarge {
        /// Where.
        at: Arc<Source>,
        /// How many it may have.
        most: usize,
    },
    /// A document without `apiVersion`, `kind` or `metadata.name`.
    #[error("{file}:{line}: {what}", file = at.file, line = at.line)]
    NoObject {
        /// Where.
        at: Arc<Source>,
        /// What is missing.
        what: String,
    },
    /// A field of a Node, Pod, ... that has another type than the API server gives it.
    #[error("{file}:{line}: {key}: {path}: {message}", file = at.file, line = at.line)]
    Field {
        /// Where the object is.
        at: Arc<Source>,
        /// Which object.
        key: Key,
        /// Path of the field.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Reads manifests, one text after another.
#[derive(Debug, Default)]
pub struct Loader {
    objects: Objects,
    cluster: Cluster,
    seen: BTreeMap<Key, Arc<Source>>,
    loaded: Loaded,
}

impl Loader {
    /// Reads the objects of a text: one, several in a stream, or lists of them.
    ///
    /// # Errors
    ///
    /// The text is neither YAML nor JSON, a document is no Kubernetes object, or a fact about the cluster has the wrong type.
    /// Objects before the mistake have been taken.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), LoadError> {
        for document in documents(file, text)? {
            self.document(document)?;
        }
        Ok(())
    }

    /// Everything that was read.
    pub fn finish(mut self) -> Loaded {
        self.cluster.sort();
        self.loaded.snapshot = Snapshot { objects: Arc::new(self.objects), cluster: Arc::new(self.cluster) };
        self.loaded
    }

    fn document(&mut self, document: Document) -> Result<(), LoadError> {
        let source = Arc::new(document.source);
        let (key, version) = key(&document.value, &source)?;
        let kind = (key.group.clone(), key.kind.clone());
        *self.loaded.read.entry(kind.clone()).or_default() += 1;
        if let Some(before) = self.seen.insert(key.clone(), source.clone()) {
            self.loaded.duplicates.push(Duplicate { key: key.clone(), before, again: source.clone() });
            self.cluster.forget(&key);
        }
        if is_kept(&key.group) {
            let manifest = Manifest { key, version, value: document.value, source: Some(source) };
            self.objects.insert(Arc::new(manifest));
            return Ok(());
        }
        let taken = raw::take(&mut self.cluster, &key, &document.value).map_err(|mistake| LoadError::Field {
            at: source,
            key,
            path: mistake.path,
            message: mistake.message,
        })?;
        if !taken {
            *self.loaded.ignored.entry(kind).or_default() += 1;
        }
        Ok(())
    }
}

/// Which object a value is, and its version.
fn key(value: &Value, source: &Arc<Source>) -> Result<(Key, String), LoadError> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let missing = |what: &str| LoadError::NoObject {
        at: source.clone(),
        what: format!("it is no Kubernetes object: {what} is missing"),
    };
    let api_version = text(&value["apiVersion"]).ok_or_else(|| missing("`apiVersion`"))?;
    let kind = text(&value["kind"]).ok_or_else(|| missing("`kind`"))?;
    let metadata = &value["metadata"];
    let name = text(&metadata["name"]).or_else(|| text(&metadata["generateName"]));
    let name = name.ok_or_else(|| missing("`metadata.name`"))?;
    let namespace = text(&metadata["namespace"]).unwrap_or_default();
    let (group, version) = match api_version.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), api_version),
    };
    Ok((Key { group, kind, namespace, name }, version))
}

#[cfg(test)]
mod tests;
