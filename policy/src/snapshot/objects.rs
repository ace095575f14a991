//! Objects by key, in shares that a change leaves alone.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Key, Manifest};

/// Objects in the order of their keys. To copy it, and to put an object into a copy, costs no more than the objects of
/// one kind; the others stay shared, which tells at a glance that nothing about them has changed.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// One share for each group and kind that has objects, in their order.
    kinds: Vec<Kind>,
}

/// Objects of one group and kind.
type Kind = Arc<BTreeSet<ByKey>>;

/// A manifest, found and ordered by its key.
#[derive(Clone, Debug)]
struct ByKey(Arc<Manifest>);

impl Objects {
    /// An object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Manifest>> {
        Some(&self.kind(&key.group, &key.kind)?.get(key)?.0)
    }

    /// Puts an object in; returns the one it takes the place of.
    pub fn insert(&mut self, manifest: Arc<Manifest>) -> Option<Arc<Manifest>> {
        match self.place(&manifest.key.group, &manifest.key.kind) {
            Ok(place) => Arc::make_mut(&mut self.kinds[place]).replace(ByKey(manifest)).map(|before| before.0),
            Err(place) => {
                self.kinds.insert(place, Arc::new([ByKey(manifest)].into()));
                None
            }
        }
    }

    /// Takes an object out.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Manifest>> {
        let place = self.place(&key.group, &key.kind).ok()?;
        let kind = Arc::make_mut(&mut self.kinds[place]);
        let taken = kind.take(key);
        if kind.is_empty() {
            self.kinds.remove(place);
        }
        taken.map(|manifest| manifest.0)
    }

    /// Takes out the objects whose keys are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        for kind in &mut self.kinds {
            if !kind.iter().all(|manifest| keep(&manifest.0.key)) {
                Arc::make_mut(kind).retain(|manifest| keep(&manifest.0.key));
            }
        }
        self.kinds.retain(|kind| !kind.is_empty());
    }

    /// All objects, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        self.kinds.iter().flat_map(|kind| kind.iter().map(|manifest| &manifest.0))
    }

    /// Keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.values().map(|manifest| &manifest.key)
    }

    /// Keys with objects, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<Manifest>)> {
        self.values().map(|manifest| (&manifest.key, manifest))
    }

    /// Whether there is an object with this key.
    pub fn contains_key(&self, key: &Key) -> bool {
        self.get(key).is_some()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.kinds.iter().map(|kind| kind.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Objects of a group and kind, in the order of their keys.
    pub fn of(&self, group: &str, kind: &str) -> impl Iterator<Item = &Arc<Manifest>> + use<'_> {
        self.kind(group, kind).into_iter().flat_map(|kind| kind.iter().map(|manifest| &manifest.0))
    }

    fn kind(&self, group: &str, kind: &str) -> Option<&Kind> {
        self.place(group, kind).ok().map(|place| &self.kinds[place])
    }

    /// Groups and kinds of which there are objects, in order.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = self.kinds.iter().filter_map(|kind| kind.first());
        first.map(|manifest| (manifest.0.key.group.as_str(), manifest.0.key.kind.as_str()))
    }

    /// Whether the objects of a group and kind are those of another snapshot: not only equal, but the same.
    pub(crate) fn shares(&self, other: &Self, group: &str, kind: &str) -> bool {
        match (self.kind(group, kind), other.kind(group, kind)) {
            (Some(own), Some(other)) => {
                let same = |(own, other): (&ByKey, &ByKey)| Arc::ptr_eq(&own.0, &other.0);
                Arc::ptr_eq(own, other) || (own.len() == other.len() && own.iter().zip(other.iter()).all(same))
            }
            (own, other) => own.is_none() && other.is_none(),
        }
    }

    fn place(&self, group: &str, kind: &str) -> Result<usize, usize> {
        self.kinds.binary_search_by(|share| {
            // A share is never empty.
            share.first().map_or(Ordering::Less, |first| {
                let key = &first.0.key;
                (key.group.as_str(), key.kind.as_str()).cmp(&(group, kind))
            })
        })
    }
}

impl FromIterator<Arc<Manifest>> for Objects {
    fn from_iter<I: IntoIterator<Item = Arc<Manifest>>>(manifests: I) -> Self {
        let mut objects = Self::default();
        for manifest in manifests {
            objects.insert(manifest);
        }
        objects
    }
}

impl From<BTreeMap<Key, Arc<Manifest>>> for Objects {
    fn from(objects: BTreeMap<Key, Arc<Manifest>>) -> Self {
        objects.into_values().collect()
    }
}

impl Borrow<Key> for ByKey {
    fn borrow(&self) -> &Key {
        &self.0.key
    }
}

impl PartialEq for Objects {
    fn eq(&self, other: &Self) -> bool {
        self.values().eq(other.values())
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(group: &str, kind: &str, name: &str) -> Arc<Manifest> {
        let [group, kind, name] = [group, kind, name].map(str::to_owned);
        let key = Key { group, kind, namespace: String::new(), name };
        Arc::new(Manifest { key, version: "v3".to_owned(), value: json!({}), source: None })
    }

    #[test]
    fn objects_are_in_the_order_of_their_keys() {
        let all = [("b", "X", "2"), ("a", "Y", "1"), ("b", "X", "1"), ("a", "X", "9"), ("a", "Z", "0")];
        let objects: Objects = all.iter().map(|(group, kind, name)| manifest(group, kind, name)).collect();
        let mut keys: Vec<Key> =
            all.iter().map(|(group, kind, name)| manifest(group, kind, name).key.clone()).collect();
        keys.sort();
        assert_eq!(objects.keys().cloned().collect::<Vec<_>>(), keys);
        assert_eq!(objects.len(), 5);
        assert!(keys.iter().all(|key| objects.contains_key(key)));
    }

    #[test]
    fn a_change_touches_one_share() {
        let objects: Objects = [("a", "X", "1"), ("b", "X", "1")].iter().map(|(g, k, n)| manifest(g, k, n)).collect();
        let mut next = objects.clone();
        next.insert(manifest("a", "X", "2"));
        assert_eq!((objects.shares(&next, "a", "X"), objects.shares(&next, "b", "X")), (false, true));
        assert_eq!((objects.len(), next.len()), (2, 3));
        for name in ["1", "2"] {
            assert!(next.remove(&manifest("a", "X", name).key).is_some());
        }
        assert!(next.of("a", "X").next().is_none() && !next.is_empty());
        assert!(next.remove(&manifest("a", "X", "1").key).is_none());
    }
}
