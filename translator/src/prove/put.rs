//! Putting objects into a snapshot, as `kubectl apply` would.

use std::sync::Arc;

use policy::object::merge;
use policy::snapshot::sources::STORED;
use policy::snapshot::{Key, Manifest, Snapshot};
use serde_json::Value;

use crate::render;

/// An object as a snapshot holds it.
pub(super) fn manifest(manifest: &render::Manifest) -> Manifest {
    // The objects are made of maps with text keys, lists and scalars, which JSON has.
    let value = serde_json::to_value(&manifest.object).unwrap_or(Value::Null);
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let api_version = text("/apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or_default();
    let key =
        Key { group: group.to_owned(), kind: text("/kind"), namespace: String::new(), name: text("/metadata/name") };
    Manifest { key, version: version.to_owned(), source: None, value }
}

/// A snapshot with objects. What is there already is merged into, as server-side apply does.
pub(super) fn into<'m>(snapshot: &Snapshot, objects: impl IntoIterator<Item = &'m Manifest>) -> Snapshot {
    let mut next = snapshot.clone();
    let all = Arc::make_mut(&mut next.objects);
    for object in objects {
        let mut object = object.clone();
        // Both of Calico's groups are one store.
        let stored = Key { group: STORED.to_owned(), ..object.key.clone() };
        if object.key.group == "projectcalico.org"
            && let Some(there) = all.get(&stored)
        {
            let mut there = Manifest::clone(there);
            merge(&mut there.value["metadata"], &object.value["metadata"]);
            merge(&mut there.value["spec"], &object.value["spec"]);
            all.insert(Arc::new(there));
            continue;
        }
        if let Some(there) = all.get(&object.key) {
            let mut value = there.value.clone();
            merge(&mut value, &object.value);
            object.value = value;
        }
        all.insert(Arc::new(object));
    }
    next
}
