//! What somebody wants to change.

use std::fmt;

use crate::calico::compile::stored_name;
use crate::snapshot::sources::{CALICO, Resource, STORED, resources};
use crate::snapshot::{Key, LoadError, Manifest, Snapshot};

/// One object created, replaced or deleted.
#[derive(Clone, Debug)]
pub enum Change {
    /// It will be so. It is new where the state has none of its key.
    Put(Manifest),
    /// It will be gone.
    Delete(Key),
}

/// Why a change is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// An object is to go that is not there.
    #[error("{0} is to be deleted, and the state has none; check its name, group and namespace")]
    Absent(Key),
    /// A field that the API server does not take.
    #[error(transparent)]
    Malformed(#[from] LoadError),
}

impl Change {
    /// The object.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(manifest) => &manifest.key,
            Self::Delete(key) => key,
        }
    }

    /// The state after it. With a CustomResourceDefinition goes every object of its kind.
    ///
    /// # Errors
    ///
    /// The object to be deleted is not there, or one of the cluster has a field of another type than the API server gives.
    pub fn apply(&self, state: &Snapshot) -> Result<Snapshot, ChangeError> {
        if let Self::Delete(key) = self
            && is_definition(key)
        {
            return Ok(without_kind(state, &key.name));
        }
        let twin = twin(state, self.key());
        let rest = twin.as_ref().map_or_else(|| state.clone(), |twin| state.without(twin));
        match self {
            Self::Put(manifest) => Ok(rest.put(manifest)?),
            Self::Delete(key) => match rest.remove(key) {
                Some(next) => Ok(next),
                None if twin.is_some() => Ok(rest),
                None => Err(ChangeError::Absent(key.clone())),
            },
        }
    }

    /// What it replaces or takes away, where the state keeps it as written.
    pub fn replaced<'s>(&self, state: &'s Snapshot) -> Option<&'s Manifest> {
        let own = state.objects.get(self.key());
        let stored = || twin(state, self.key()).and_then(|key| state.objects.get(&key));
        own.or_else(stored).map(AsRef::as_ref)
    }
}

/// Applies changes in their order.
///
/// # Errors
///
/// As [`Change::apply`].
pub(in crate::lifeline) fn apply<'c>(
    state: &Snapshot,
    changes: impl IntoIterator<Item = &'c Change>,
) -> Result<Snapshot, ChangeError> {
    changes.into_iter().try_fold(state.clone(), |state, change| change.apply(&state))
}

fn is_definition(key: &Key) -> bool {
    key.group == "apiextensions.k8s.io" && key.kind == "CustomResourceDefinition"
}

/// A state after the definition of a kind is deleted, which the API server does by deleting its objects
/// (kubernetes/kubernetes:staging/src/k8s.io/apiextensions-apiserver/pkg/controller/finalizer/crd_finalizer.go). A snapshot
/// holds no definitions, and those that no verdict reads take nothing of it away.
fn without_kind(state: &Snapshot, definition: &str) -> Snapshot {
    let mut next = state.clone();
    let Some((plural, group)) = definition.split_once('.') else { return next };
    for Resource { kind, .. } in resources().filter(|it| (it.plural, it.group) == (plural, group)) {
        // What Calico's API shows is stored in the other group; where that is not in the state, this stands for it.
        let is_view = group == STORED && state.of(group, kind).next().is_none();
        next.retain(if is_view { CALICO[1] } else { group }, kind, |_, _| false);
    }
    next
}

/// Whether two keys are of one object, which Calico's two groups may know by two names.
pub fn is_same(one: &Key, other: &Key) -> bool {
    let is_calico = |key: &Key| CALICO.contains(&key.group.as_str());
    let place = |key: &Key| (key.kind.clone(), key.namespace.clone());
    let name = |key: &Key| stored_name(&key.kind, &key.name).into_owned();
    one == other || (is_calico(one) && is_calico(other) && place(one) == place(other) && name(one) == name(other))
}

/// The same object of Calico under its other name: `projectcalico.org/v3` is a view of what `crd.projectcalico.org/v1`
/// stores, policies up to 3.31 with their tier in front of the name.
fn twin(state: &Snapshot, key: &Key) -> Option<Key> {
    let group = match CALICO.iter().position(|group| *group == key.group)? {
        0 => CALICO[1],
        _ => CALICO[0],
    };
    let kind = key.kind.as_str();
    let names = [Some(key.name.clone()), Some(stored_name(kind, &key.name).into_owned()), plain(kind, &key.name)];
    let keys = names.into_iter().flatten().map(|name| Key { group: group.to_owned(), name, ..key.clone() });
    keys.into_iter().find(|key| state.objects.contains_key(key))
}

/// The name that users know a policy of the default tier by.
fn plain(kind: &str, name: &str) -> Option<String> {
    let plain = name.strip_prefix("default.")?;
    (stored_name(kind, plain) == name).then(|| plain.to_owned())
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(manifest) => manifest.key.fmt(formatter),
            Self::Delete(key) => write!(formatter, "deletion of {key}"),
        }
    }
}
