//! What `kubectl apply` makes of an object that is there.

use serde_json::{Map, Value};

use super::bookkeeping::{LAST_APPLIED, strip};

/// What was applied last, as `kubectl apply` keeps it in the object.
pub fn last_applied(object: &Value) -> Option<Value> {
    let text = object.pointer("/metadata/annotations")?.get(LAST_APPLIED)?.as_str()?;
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// What becomes of an object when another is applied to it: fields of `last` that `new` lacks go, those of `new` are set,
/// and what neither has stays. Lists are replaced whole, which is what custom resources get
/// (kubernetes/kubernetes:staging/src/k8s.io/apimachinery/pkg/util/jsonmergepatch/patch.go). The bookkeeping goes.
pub fn apply(current: &Value, last: &Value, new: &Value) -> Value {
    let (mut next, mut last) = (current.clone(), last.clone());
    for object in [&mut next, &mut last] {
        strip(object);
    }
    forget(&mut next, &last, new);
    merge(&mut next, new);
    next
}

/// Maps are merged, everything else is replaced; what is null goes.
pub fn merge(there: &mut Value, new: &Value) {
    match (there, new) {
        (Value::Object(there), Value::Object(new)) => {
            for (name, value) in new {
                if value.is_null() {
                    there.remove(name);
                } else {
                    merge(there.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (there, new) => *there = new.clone(),
    }
}

/// Fields of one object that another lacks, the outermost of each. Not among them: who it is, the bookkeeping, and the
/// status, which nobody applies.
pub fn lacking(object: &Value, other: &Value) -> Vec<String> {
    let mut object = object.clone();
    strip(&mut object);
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, _| !["apiVersion", "kind", "status"].contains(&name.as_str()));
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| ["labels", "annotations"].contains(&name.as_str()));
    }
    let mut found = Vec::new();
    find_lacking(&object, other, &mut Vec::new(), &mut found);
    found
}

/// Takes out of an object what was there last and is wanted no more.
fn forget(object: &mut Value, last: &Value, new: &Value) {
    let (Some(object), Some(last)) = (object.as_object_mut(), last.as_object()) else { return };
    let nothing = Map::new();
    let new = new.as_object().unwrap_or(&nothing);
    for (name, last) in last {
        match (object.get_mut(name), new.get(name)) {
            (Some(_), None) => {
                object.remove(name);
            }
            (Some(own), Some(new)) => forget(own, last, new),
            (None, _) => {}
        }
    }
}

fn find_lacking<'o>(object: &'o Value, other: &Value, path: &mut Vec<&'o str>, found: &mut Vec<String>) {
    let (Some(object), Some(other)) = (object.as_object(), other.as_object()) else { return };
    for (name, value) in object {
        path.push(name);
        match other.get(name) {
            Some(other) if !other.is_null() => find_lacking(value, other, path, found),
            _ if value.is_null() => {}
            _ => found.push(path.join(".")),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn felix(spec: &Value) -> Value {
        json!({"apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration", "metadata": {"name": "default"}, "spec": spec})
    }

    #[test]
    fn what_others_set_stays_and_what_is_no_longer_applied_goes() {
        let last =
            felix(&json!({"vxlanPort": 4790, "failsafeInboundHostPorts": [{"port": 22}], "deep": {"a": 1, "b": 2}}));
        let mut current = felix(&json!({"vxlanEnabled": true, "vxlanPort": 4790, "logSeverityScreen": "Info",
            "failsafeInboundHostPorts": [{"port": 22}], "deep": {"a": 1, "b": 2, "c": 3}}));
        current["metadata"]["annotations"] = json!({LAST_APPLIED: last.to_string(), "mine": "x"});
        current["metadata"]["resourceVersion"] = json!("7");
        let new = felix(&json!({"failsafeInboundHostPorts": [], "deep": {"a": 4}, "logSeverityScreen": null}));
        let applied = apply(&current, &last_applied(&current).expect("a copy"), &new);
        let mut wanted =
            felix(&json!({"vxlanEnabled": true, "failsafeInboundHostPorts": [], "deep": {"a": 4, "c": 3}}));
        wanted["metadata"]["annotations"] = json!({"mine": "x"});
        assert_eq!(applied, wanted);
        // Applied for the first time, nothing goes.
        assert_eq!(apply(&current, &Value::Null, &new)["spec"]["vxlanPort"], 4790);
    }

    #[test]
    fn a_copy_that_is_none_is_none() {
        for text in ["", "[]", "{", "null"] {
            let object = json!({"metadata": {"annotations": {LAST_APPLIED: text}}});
            assert_eq!(last_applied(&object), None, "{text}");
        }
        assert_eq!(last_applied(&json!({})), None);
    }

    #[test]
    fn fields_that_are_lacking_are_named_once() {
        let there = json!({"kind": "A", "metadata": {"name": "a", "uid": "1", "labels": {"x": "y"}},
            "spec": {"list": [1, 2], "map": {"a": 1, "b": {"c": 1}}, "empty": null}, "status": {"x": 1}});
        let new = json!({"kind": "A", "metadata": {"name": "a"}, "spec": {"list": [], "map": {"a": null}}});
        assert_eq!(lacking(&there, &new), ["metadata.labels", "spec.map.a", "spec.map.b"]);
        assert_eq!(lacking(&new, &there), [] as [&str; 0]);
    }
}
