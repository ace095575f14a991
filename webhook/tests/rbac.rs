//! The rights that the manifests give are those that watching needs, and no others.

use std::collections::{BTreeMap, BTreeSet};

use policy::snapshot::{Manifest, manifests};
use serde_json::Value;
use webhook::cluster::table::ROWS;

/// Namespace or none, group, resource, name or none.
type Right = (Option<String>, String, String, Option<String>);

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What may be listed and watched, by the bindings of a file.
fn rights(text: &str) -> BTreeSet<Right> {
    let objects = manifests("rbac.yaml", text).expect("manifests");
    let roles: BTreeMap<(&str, &str), &Manifest> =
        objects.iter().map(|object| ((object.key.kind.as_str(), object.key.name.as_str()), object)).collect();
    let mut rights = BTreeSet::new();
    for binding in objects.iter().filter(|object| object.key.kind.ends_with("Binding")) {
        let role = &binding.value["roleRef"];
        let text = |field: &str| role[field].as_str().expect("text");
        // A component binds a role that the base has.
        let Some(role) = roles.get(&(text("kind"), text("name"))) else { continue };
        let namespace = (binding.key.kind == "RoleBinding").then(|| binding.key.namespace.clone());
        for rule in role.value["rules"].as_array().expect("rules") {
            let verbs = texts(&rule["verbs"]);
            assert!(!verbs.iter().any(|verb| verb == "*"), "{rule}");
            if !["list", "watch"].iter().any(|verb| verbs.iter().any(|given| given == verb)) {
                continue;
            }
            assert_eq!(verbs, ["list", "watch"], "{rule}");
            let names = texts(&rule["resourceNames"]);
            let names: Vec<Option<String>> =
                if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            for (group, resource) in texts(&rule["apiGroups"])
                .into_iter()
                .flat_map(|group| texts(&rule["resources"]).into_iter().map(move |resource| (group.clone(), resource)))
            {
                rights.extend(
                    names.iter().map(|name| (namespace.clone(), group.clone(), resource.clone(), name.clone())),
                );
            }
        }
    }
    rights
}

#[test]
fn what_is_watched_may_be_watched_and_nothing_else() {
    let given = rights(include_str!("../../manifests/base/rbac.yaml"));
    let owned = |text: &Option<&str>| text.map(str::to_owned);
    let needed = ROWS.iter().filter(|row| !row.optional);
    let needed: BTreeSet<Right> = needed
        .map(|row| (owned(&row.namespace), row.group.to_owned(), row.resource.to_owned(), owned(&row.name)))
        .collect();
    assert_eq!(needed.difference(&given).collect::<Vec<_>>(), Vec::<&Right>::new(), "needed and not given");
    assert_eq!(given.difference(&needed).collect::<Vec<_>>(), Vec::<&Right>::new(), "given and not needed");
}
