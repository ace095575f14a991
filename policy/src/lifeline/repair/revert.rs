//! Part of a changed object taken back: one difference to what it was, or what stops an agent. Or one field added.

use json_patch::{Patch, PatchOperation};
use serde_json::{Map, Value, json};

use super::{Base, Found, MOST_TRIES, Step, manifest, mend, pointer};
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

/// Takes what stops an agent out of a changed policy: the code of an ICMP type, or else the rule that it stands in. What the
/// rest cuts is mended.
pub(super) fn without_what_stops(
    base: &Base<'_, '_>,
    changes: &[Change],
    outcome: &Outcome,
) -> Result<Option<Found>, ChangeError> {
    if outcome.stops.is_empty() {
        return Ok(None);
    }
    let mut repaired = changes.to_vec();
    let mut steps = Vec::new();
    for change in repaired.iter_mut().take(MOST_TRIES) {
        let Change::Put(manifest) = change else { continue };
        let object = manifest.key.to_string();
        let stops = outcome.stops.iter().filter(|stop| stop.object == object);
        let mut places: Vec<_> = stops.filter_map(|stop| stopping(&manifest.value, &stop.path)).collect();
        // From the last to the first, so that taking one out moves none that is still to come.
        places.sort_unstable();
        places.dedup();
        let operations = places.iter().rev().map(|(_, pointer)| json!({"op": "remove", "path": pointer})).collect();
        let Ok(Patch(patch)) = serde_json::from_value(Value::Array(operations)) else { continue };
        if !patch.is_empty() && json_patch::patch(&mut manifest.value, &patch).is_ok() {
            steps.push(Step::Patch { object: manifest.key.clone(), patch, manifest: manifest.value.clone() });
        }
    }
    if steps.is_empty() {
        return Ok(None);
    }
    let Some(rest) = base.outcome(&repaired)? else { return Ok(None) };
    if rest.mends(outcome) {
        return Ok(Some(Found { steps, changes: repaired }));
    }
    let Some(found) = mend::mend(base, &repaired, &rest)? else { return Ok(None) };
    // A change that is patched again has both patches in one step.
    let mut all = found.steps;
    for step in steps {
        let Step::Patch { object, patch, .. } = step else { continue };
        let known = all.iter_mut().find_map(|step| match step {
            Step::Patch { object: own, patch, .. } if *own == object => Some(patch),
            _ => None,
        });
        match (known, repaired.iter().find(|change| *change.key() == object)) {
            (Some(own), _) => drop(own.splice(0..0, patch)),
            (None, Some(Change::Put(own))) => {
                all.push(Step::Patch { object, patch, manifest: own.value.clone() });
            }
            (None, _) => {}
        }
    }
    Ok(Some(Found { steps: all, changes: found.changes }))
}

/// What to take out of an object for what stops an agent at a path: the index of the rule that it stands in, and a pointer.
fn stopping(value: &Value, path: &str) -> Option<(usize, String)> {
    let (before, after) = path.split_once(']')?;
    let (_, index) = before.rsplit_once('[')?;
    let is_icmp = after.ends_with(".icmp") || after.ends_with(".notICMP");
    // The rule else: without a part of it, it would say more than was meant.
    let pointer = if is_icmp { pointer(&format!("{path}.code")) } else { pointer(before) };
    value.pointer(&pointer)?;
    Some((index.parse().ok()?, pointer))
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
