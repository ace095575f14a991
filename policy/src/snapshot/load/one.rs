//! One object put into a snapshot, or taken out of it.

use std::sync::Arc;

use super::document::documents;
use super::{KEPT_GROUPS, LoadError, key, raw};
use crate::snapshot::{Key, Manifest, Snapshot, Source};

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
        raw::take(cluster, &manifest.key, &manifest.value).map_err(|mistake| {
            let nowhere = || Arc::new(Source { file: "-".to_owned(), document: 0, item: None, line: 1 });
            LoadError::Field {
                at: manifest.source.clone().unwrap_or_else(nowhere),
                key: manifest.key.clone(),
                path: mistake.path,
                message: mistake.message,
            }
        })?;
        cluster.sort();
        Ok(next)
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
