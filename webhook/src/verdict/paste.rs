//! Repairs as commands that can be pasted.

use json_patch::diff;
use policy::lifeline::repair::{Repair, Step};
use policy::snapshot::{Key, Manifest};
use serde_json::Value;

use super::guarded::{content, resource};
use crate::review::Operation;
use crate::validate::Change;

/// A repair as lines: what to do, and a command where there is one that does it.
pub(super) fn lines(repair: &Repair, change: &Change<'_>) -> Vec<String> {
    repair.steps.iter().flat_map(|step| of(step, change)).collect()
}

fn of(step: &Step, change: &Change<'_>) -> Vec<String> {
    match step {
        Step::Withhold { object, deletion: true } => vec![format!("repair: do not delete {object}")],
        Step::Withhold { object, deletion: false } if change.operation == Operation::Update => {
            vec![format!("repair: leave {object} as it is")]
        }
        Step::Withhold { object, deletion: false } => vec![format!("repair: do not create {object}")],
        Step::Add { object, manifest } => {
            let command = format!("kubectl create -f - <<< {}", quoted(manifest));
            vec![format!("repair: create {object} first"), command]
        }
        Step::Patch { object, patch, manifest } => patched(object, &serde_json::json!(patch), manifest, change),
    }
}

fn patched(object: &Key, patch: &Value, manifest: &Value, change: &Change<'_>) -> Vec<String> {
    let resource = resource(&object.group, &object.kind);
    match (&change.before, resource) {
        // The API server has the object as it was: the patch makes the change and its repair in one.
        (Some(before), Some(resource)) => {
            let whole = whole(before, manifest);
            let command = format!("kubectl patch {resource} {} --type=json -p {}", object.name, quoted(&whole));
            vec!["repair: this makes your change without the cut".to_owned(), command]
        }
        _ => {
            let command = format!("kubectl patch --local -f FILE --type=json -p {} -o yaml", quoted(patch));
            vec!["repair: put this into your file".to_owned(), format!("{command} | kubectl create -f -")]
        }
    }
}

/// The patch from what is stored to what is proved.
fn whole(before: &Manifest, manifest: &Value) -> Value {
    let patch = diff(&content(&before.value), &content(manifest));
    serde_json::json!(patch)
}

/// JSON as one word of a shell.
fn quoted(value: &Value) -> String {
    format!("'{}'", value.to_string().replace('\'', "\\u0027"))
}
