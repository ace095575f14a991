//! Lists that are too long for this engine. Upstream takes them, as far as the API server does.

use std::fmt;

use serde_json::Value;

use super::Context;
use crate::object::{MAX_ENTRIES, MAX_RULES, excess};

/// Lists of rules, and of their elements.
const RULES: [&str; 5] = ["specs", "ingress", "ingressDeny", "egress", "egressDeny"];

/// Whether all that an object says can be read. What is too long is noted as not known.
pub(super) fn is_readable(object: &Value, context: &mut Context<'_>) -> bool {
    let fields = ["spec", "specs"].into_iter().filter_map(|name| Some((name, object.get(name)?)));
    let found: Vec<(String, String)> =
        fields.flat_map(|(name, value)| beneath(name, value, format_args!("{name}"))).collect();
    found.iter().for_each(|(path, what)| context.unknown(path, what));
    found.is_empty()
}

/// Paths of lists in the field of a name that are too long, and why each is not read. Recursion is no deeper than values are,
/// which readers limit.
fn too_long(name: &str, value: &Value) -> Vec<(String, String)> {
    let (length, found): (usize, Vec<_>) = match value {
        Value::Array(items) => {
            let found = items.iter().enumerate();
            (items.len(), found.flat_map(|(index, item)| beneath(name, item, format_args!("[{index}]"))).collect())
        }
        Value::Object(map) => {
            (map.len(), map.iter().flat_map(|(name, value)| beneath(name, value, format_args!(".{name}"))).collect())
        }
        _ => return Vec::new(),
    };
    let most = if value.is_array() && RULES.contains(&name) { MAX_RULES } else { MAX_ENTRIES };
    excess(length, most).map(|what| (String::new(), what)).into_iter().chain(found).collect()
}

fn beneath(name: &str, value: &Value, place: fmt::Arguments<'_>) -> Vec<(String, String)> {
    let found = too_long(name, value);
    found.into_iter().map(|(path, what)| (format!("{place}{path}"), what)).collect()
}
