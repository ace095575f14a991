//! What is in an object, and says nothing about what anybody wants.

use serde_json::{Map, Value};

/// Metadata that the API server keeps for itself.
const METADATA: [&str; 7] =
    ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "finalizers"];
/// Annotation with the copy of the object that `kubectl apply` keeps in it.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes out of an object what the API server and its clients keep there for themselves, and no verdict reads. What tells
/// that it is being deleted stays.
pub fn strip(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    metadata.retain(|name, _| !METADATA.contains(&name.as_str()));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
}

/// Whether two objects are the same but for that, and for the fields whose names are given.
pub fn is_same_without(one: &Value, other: &Value, fields: &[&str]) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    are_same(one, other, fields, |name, one, other| match (name, one, other) {
        ("metadata", Value::Object(one), Value::Object(other)) => {
            are_same(one, other, &METADATA, |name, one, other| match (name, one, other) {
                ("annotations", Value::Object(one), Value::Object(other)) => {
                    are_same(one, other, &[LAST_APPLIED], |_, one, other| one == other)
                }
                _ => one == other,
            })
        }
        _ => one == other,
    })
}

/// Whether two maps have the same entries, but for those that are left out.
fn are_same(
    one: &Map<String, Value>,
    other: &Map<String, Value>,
    without: &[&str],
    same: impl Fn(&str, &Value, &Value) -> bool,
) -> bool {
    let count = |map: &Map<String, Value>| map.keys().filter(|name| !without.contains(&name.as_str())).count();
    let mut counting = one.iter().filter(|(name, _)| !without.contains(&name.as_str()));
    count(one) == count(other)
        && counting.all(|(name, one)| other.get(name).is_some_and(|other| same(name, one, other)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_stripped_makes_no_difference_and_all_else_does() {
        let object = json!({"kind": "Tier", "metadata": {"name": "a", "labels": {"uid": "1"}, "annotations": {"b": "c"}},
            "spec": {"order": 1}, "status": {"x": 1}});
        let mut kept = object.clone();
        for (name, value) in [("uid", json!("7")), ("generation", json!(3)), ("managedFields", json!([{}]))] {
            kept["metadata"][name] = value;
        }
        kept["metadata"]["annotations"][LAST_APPLIED] = json!("{}");
        assert!(is_same_without(&object, &kept, &[]) && is_same_without(&kept, &object, &[]));
        for place in ["/spec/order", "/metadata/labels/uid", "/metadata/annotations/b", "/metadata/name", "/status/x"] {
            let mut other = kept.clone();
            *other.pointer_mut(place).expect("it is there") = json!("other");
            assert!(!is_same_without(&object, &other, &[]), "{place}");
            assert_eq!(is_same_without(&object, &other, &["status"]), place == "/status/x", "{place}");
        }
        let mut ending = kept.clone();
        ending["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        assert!(!is_same_without(&kept, &ending, &[]));
        strip(&mut kept);
        assert_eq!(kept, object);
    }
}
