//! One difference of an updated object taken back, or one field added.

use json_patch::PatchOperation;
use serde_json::{Map, Value, json};

use super::{Base, Found, MOST_TRIES, Step, manifest};
use crate::lifeline::judge::{Change, ChangeError, Outcome};

/// Tries each difference of each updated object that the state keeps as written, one at a time.
pub(super) fn one_difference(
    base: &Base<'_, '_>,
    changes: &[Change],
    outcome: &Outcome,
) -> Result<Option<Found>, ChangeError> {
    for (index, change) in changes.iter().enumerate().take(MOST_TRIES) {
        let (Some(new), Some(old)) = (manifest(change), change.replaced(base.judge.snapshot())) else {
            continue;
        };
        let back: Vec<PatchOperation> = json_patch::diff(&own(&new.value), &own(&old.value)).0;
        // A single difference taken back is the change left out.
        if back.len() < 2 {
            continue;
        }
        for operation in back.into_iter().take(MOST_TRIES) {
            if let Some(found) = patched(base, changes, index, operation, outcome)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Gives a changed host endpoint the profile that allows what no policy is about.
pub(super) fn with_profile(
    base: &Base<'_, '_>,
    changes: &[Change],
    outcome: &Outcome,
) -> Result<Option<Found>, ChangeError> {
    for (index, change) in changes.iter().enumerate().take(MOST_TRIES) {
        if manifest(change).is_none_or(|manifest| manifest.key.kind != "HostEndpoint") {
            continue;
        }
        let profile = json!({"op": "add", "path": "/spec/profiles", "value": ["projectcalico-default-allow"]});
        let Ok(operation) = serde_json::from_value(profile) else { continue };
        if let Some(found) = patched(base, changes, index, operation, outcome)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The changes with one patched, if that is safe.
fn patched(
    base: &Base<'_, '_>,
    changes: &[Change],
    index: usize,
    operation: PatchOperation,
    outcome: &Outcome,
) -> Result<Option<Found>, ChangeError> {
    let Some(mut new) = manifest(&changes[index]).cloned() else {
        return Ok(None);
    };
    let patch = vec![operation];
    if json_patch::patch(&mut new.value, &patch).is_err() {
        return Ok(None);
    }
    let step = Step::Patch { object: new.key.clone(), patch, manifest: new.value.clone() };
    let mut repaired = changes.to_vec();
    repaired[index] = Change::Put(new);
    let safe = base.mends(&repaired, outcome)?;
    Ok(safe.then(|| Found { steps: vec![step], changes: repaired }))
}

/// What people write of an object: no status, no bookkeeping of the API server.
fn own(value: &Value) -> Value {
    let mut own = Map::new();
    for (name, part) in value.as_object().into_iter().flatten() {
        let part = match name.as_str() {
            "status" | "apiVersion" | "kind" => continue,
            "metadata" => {
                let kept = ["labels", "annotations"].into_iter();
                let kept = kept.filter_map(|name| Some((name.to_owned(), part.get(name)?.clone())));
                Value::Object(kept.collect())
            }
            _ => part.clone(),
        };
        own.insert(name.clone(), part);
    }
    Value::Object(own)
}
