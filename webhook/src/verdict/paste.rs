//! Repairs as commands that can be pasted.

use json_patch::diff;
use policy::lifeline::repair::{Repair, Step};
use policy::snapshot::Key;
use serde_json::Value;

use super::guarded::{content, resource};
use crate::review::{Cause, Operation};
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
        Step::Patch { object, patch, .. } => patched(object, &serde_json::json!(patch), change),
    }
}

fn patched(object: &Key, patch: &Value, change: &Change<'_>) -> Vec<String> {
    let resource = resource(&object.group, &object.kind);
    match (&change.before, &change.after, resource) {
        // The API server has the object as it was: the patch makes the change, and then its repair.
        (Some(before), Some(after), Some(resource)) => {
            let mut whole = serde_json::json!(diff(&content(&before.value), &content(&after.value)));
            if let (Some(whole), Some(patch)) = (whole.as_array_mut(), patch.as_array()) {
                whole.extend(patch.iter().cloned());
            }
            let command = format!("kubectl patch {resource} {} --type=json -p {}", object.name, quoted(&whole));
            vec!["repair: this makes your change without the cut".to_owned(), command]
        }
        _ => {
            let command = format!("kubectl patch --local -f FILE --type=json -p {} -o yaml", quoted(patch));
            vec!["repair: put this into your file".to_owned(), format!("{command} | kubectl create -f -")]
        }
    }
}

/// A repair as a cause, for whoever reads those: there it has all the room it needs.
pub(super) fn cause(lines: &[String]) -> Option<Cause> {
    const LONGEST: usize = 16 << 10;
    let message = lines.join("\n");
    let fits = !message.is_empty() && message.len() <= LONGEST;
    fits.then(|| Cause { reason: "repair".to_owned(), message, field: String::new() })
}

/// JSON as one word of a shell.
fn quoted(value: &Value) -> String {
    format!("'{}'", value.to_string().replace('\'', "\\u0027"))
}
