//! A failing case made small: parts of it are left out as long as what remains still fails.

use serde_json::Value;

/// How many candidates are tried at most. A case of some hundred parts needs a few thousand.
const MOST: usize = 20_000;

/// Leaves out elements of lists and members of objects, from the outside in, until nothing more can go.
///
/// `fails` says whether a candidate still fails in the way of the whole. A candidate that is no case any more does not.
#[must_use]
pub fn shrink(mut value: Value, mut fails: impl FnMut(&Value) -> bool) -> Value {
    let mut left = MOST;
    loop {
        let before = parts(&value);
        let mut done = 0;
        // The list of containers changes with each part that goes, so they are counted, not held.
        while let Some(pointer) = containers(&value).into_iter().nth(done) {
            shrink_at(&mut value, &pointer, &mut left, &mut fails);
            done += 1;
        }
        if parts(&value) == before || left == 0 {
            return value;
        }
    }
}

fn shrink_at(value: &mut Value, pointer: &str, left: &mut usize, fails: &mut impl FnMut(&Value) -> bool) {
    let mut size = length(value, pointer);
    while size > 0 {
        let mut start = 0;
        while start < length(value, pointer) {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let mut candidate = value.clone();
            cut(&mut candidate, pointer, start, size);
            if fails(&candidate) {
                *value = candidate;
            } else {
                start += size;
            }
        }
        size /= 2;
    }
}

fn length(value: &Value, pointer: &str) -> usize {
    match value.pointer(pointer) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(members)) => members.len(),
        _ => 0,
    }
}

fn cut(value: &mut Value, pointer: &str, start: usize, size: usize) {
    match value.pointer_mut(pointer) {
        Some(Value::Array(items)) => {
            let end = (start + size).min(items.len());
            items.drain(start..end);
        }
        Some(Value::Object(members)) => {
            let names: Vec<String> = members.keys().skip(start).take(size).cloned().collect();
            for name in names {
                members.remove(&name);
            }
        }
        _ => {}
    }
}

/// How many parts there are, the whole included.
fn parts(value: &Value) -> usize {
    let mut count = 0;
    walk(value, |_, _| count += 1);
    count
}

/// Pointers to lists and objects, outer ones first.
fn containers(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(value, |pointer, value| {
        if value.is_array() || value.is_object() {
            found.push(pointer.to_owned());
        }
    });
    found
}

/// Breadth first, without recursion.
fn walk(value: &Value, mut visit: impl FnMut(&str, &Value)) {
    let mut level = vec![(String::new(), value)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (pointer, value) in level {
            visit(&pointer, value);
            match value {
                Value::Array(items) => {
                    next.extend(items.iter().enumerate().map(|(index, item)| (format!("{pointer}/{index}"), item)));
                }
                Value::Object(members) => next.extend(members.iter().map(|(name, member)| {
                    (format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), member)
                })),
                _ => {}
            }
        }
        level = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_makes_it_fail_stays() {
        let value = json!({"a/b": [1, 2, {"x": [7, 8], "y": 1}, 4], "other": {"deep": [1, 2, 3]}});
        let holds_eight = |value: &Value| value.to_string().contains('8');
        assert_eq!(shrink(value, holds_eight), json!({"a/b": [{"x": [8]}]}));
    }

    #[test]
    fn a_case_that_does_not_fail_without_a_part_keeps_it() {
        let value = json!({"id": "c", "list": [1, 2, 3]});
        let kept = shrink(value, |value| value["id"] == "c" && value["list"].is_array());
        assert_eq!(kept, json!({"id": "c", "list": []}));
    }
}
