//! Objects of `-f` as they will be, where the state has them already.

use policy::lifeline::judge::Change;
use policy::object::{apply, lacking, last_applied};
use policy::snapshot::{Manifest, Snapshot};
use serde_json::Value;

/// Fields that one line names.
const MOST_FIELDS: usize = 8;

/// Changes as they come out of `kubectl apply`, and what was taken for granted about them. An object whose last applied copy
/// is in the state loses what that has and the change lacks, and keeps the rest; with `merge`, every object keeps what the
/// change lacks. Others are taken as they are written, and what they lose by that is said.
pub(super) fn applied(state: &Snapshot, changes: Vec<Change>, merge: bool) -> (Vec<Change>, Vec<String>) {
    let mut taken = Vec::new();
    let changes = changes.into_iter().map(|change| match (change.replaced(state), change) {
        (Some(old), Change::Put(manifest)) => Change::Put(put(old, manifest, merge, &mut taken)),
        (_, change) => change,
    });
    (changes.collect(), taken)
}

fn put(old: &Manifest, manifest: Manifest, merge: bool, taken: &mut Vec<String>) -> Manifest {
    // Calico keeps metadata of its API elsewhere in what it stores.
    let same = old.key.group == manifest.key.group;
    let last = last_applied(&old.value).filter(|_| same && has_whole_lists(&manifest));
    if last.is_some() || (merge && same) {
        let value = apply(&old.value, &last.unwrap_or(Value::Null), &manifest.value);
        return Manifest { value, ..manifest };
    }
    if merge {
        let mut value = manifest.value.clone();
        if let (Some(new), Some(old)) = (value.get_mut("spec"), old.value.get("spec")) {
            *new = apply(old, &Value::Null, new);
        }
        return Manifest { value, ..manifest };
    }
    let lost: Vec<String> =
        lacking(&old.value, &manifest.value).into_iter().filter(|path| same || path.starts_with("spec.")).collect();
    if !lost.is_empty() {
        let more = match lost.len().saturating_sub(MOST_FIELDS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown = lost.iter().take(MOST_FIELDS).map(String::as_str).collect::<Vec<_>>().join(", ");
        taken.push(format!(
            "{} loses {shown}{more}: the state has it, the change does not, and nothing tells who applied it; --merge keeps it",
            manifest.key
        ));
    }
    // The API server takes no status with the rest of an object.
    keep_status(manifest, old)
}

fn keep_status(mut manifest: Manifest, old: &Manifest) -> Manifest {
    if let (Some(fields), Some(status)) = (manifest.value.as_object_mut(), old.value.get("status")) {
        fields.entry("status").or_insert_with(|| status.clone());
    }
    manifest
}

/// Whether the lists of a kind are replaced whole when it is applied. In built-in kinds most are merged entry by entry.
fn has_whole_lists(manifest: &Manifest) -> bool {
    manifest.key.group.contains("projectcalico.org")
        || manifest.key.group == "cilium.io"
        || (manifest.key.group.is_empty() && ["ConfigMap", "Node"].contains(&manifest.key.kind.as_str()))
}
