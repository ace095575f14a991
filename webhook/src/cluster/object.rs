//! One object as the API server sends it, without what no verdict reads.

use std::borrow::Cow;
use std::fmt;

use kube::api::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use policy::snapshot::{Key, Manifest};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

/// Fields that are skipped while reading, by their path; `*` is any name. Most of a Pod or a Node is made of them.
const SKIPPED: [&[&str]; 15] = [
    &["metadata", "managedFields"],
    &["metadata", "ownerReferences"],
    &["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"],
    &["spec", "volumes"],
    &["spec", "tolerations"],
    &["spec", "initContainers"],
    &["spec", "ephemeralContainers"],
    &["spec", "template", "spec", "volumes"],
    &["spec", "template", "spec", "initContainers"],
    &["status", "conditions"],
    &["status", "containerStatuses"],
    &["status", "initContainerStatuses"],
    &["status", "images"],
    &["webhooks", "clientConfig", "caBundle"],
    // What an agent hands out, and what of it is taken: thousands of addresses on some clouds.
    &["spec", "ipam"],
];

/// An object, untyped.
#[derive(Clone, Debug)]
pub struct Object {
    meta: ObjectMeta,
    value: Value,
}

impl Object {
    /// As part of a snapshot. The items of a list have neither kind nor version of their own.
    pub fn into_manifest(self, resource: &ApiResource) -> Manifest {
        let ObjectMeta { name, namespace, .. } = self.meta;
        let key = Key {
            group: resource.group.clone(),
            kind: resource.kind.clone(),
            namespace: namespace.unwrap_or_default(),
            name: name.unwrap_or_default(),
        };
        let mut value = self.value;
        if let Value::Object(fields) = &mut value {
            fields.entry("apiVersion").or_insert_with(|| resource.api_version.clone().into());
            fields.entry("kind").or_insert_with(|| resource.kind.clone().into());
        }
        Manifest { key, version: resource.version.clone(), value, source: None }
    }
}

/// What storage tells one write of an object from the next by.
pub fn revision(value: &Value) -> Option<&str> {
    value["metadata"]["resourceVersion"].as_str().filter(|text| !text.is_empty())
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Part { skipped: SKIPPED.to_vec() }.deserialize(deserializer)?;
        let text = |field: &str| value["metadata"][field].as_str().map(str::to_owned);
        let meta = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        if meta.name.is_none() {
            return Err(de::Error::missing_field("metadata.name"));
        }
        Ok(Self { meta, value })
    }
}

impl kube::Resource for Object {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Reads a value without fields that are skipped. Each path is what is left of it below this value.
struct Part {
    skipped: Vec<&'static [&'static str]>,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.skipped.is_empty() { Value::deserialize(deserializer) } else { deserializer.deserialize_any(self) }
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let below = self.skipped.iter().filter(|path| path[0] == name).map(|path| &path[1..]);
            let below: Vec<_> = below.collect();
            if below.iter().any(|path| path.is_empty()) {
                access.next_value::<IgnoredAny>()?;
            } else {
                let value = access.next_value_seed(Self { skipped: below })?;
                fields.insert(name, value);
            }
        }
        Ok(Value::Object(fields))
    }

    /// Items of a list stand where the list does.
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Self { skipped: self.skipped.clone() })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(kind: &str) -> ApiResource {
        ApiResource {
            group: "example.com".to_owned(),
            version: "v1".to_owned(),
            api_version: "example.com/v1".to_owned(),
            kind: kind.to_owned(),
            plural: "things".to_owned(),
        }
    }

    #[test]
    fn what_no_verdict_reads_is_not_kept() {
        let text = r#"{"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7",
            "managedFields": [{"f": {"deep": [1, 2]}}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "x"}},
            "spec": {"volumes": [{"name": "v"}], "containers": [{"env": [{"name": "A"}]}], "on": true, "n": -1, "x": null},
            "status": {"images": [{"names": ["i"]}], "addresses": [{"type": "InternalIP"}], "ratio": 0.5},
            "webhooks": [{"clientConfig": {"caBundle": "AAAA", "url": "https://h"}}]}"#;
        let object: Object = serde_json::from_str(text).expect("an object");
        let manifest = object.into_manifest(&resource("Thing"));
        let expected = json!({
            "apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": {"name": "a", "namespace": "n", "resourceVersion": "7", "annotations": {"mine": "x"}},
            "spec": {"containers": [{"env": [{"name": "A"}]}], "on": true, "n": -1, "x": null},
            "status": {"addresses": [{"type": "InternalIP"}], "ratio": 0.5},
            "webhooks": [{"clientConfig": {"url": "https://h"}}],
        });
        assert_eq!(manifest.value, expected);
        assert_eq!((revision(&manifest.value), manifest.key.namespace.as_str()), (Some("7"), "n"));
        assert_eq!(manifest.key.to_string(), "Thing/n/a");
    }

    #[test]
    fn a_policy_stays_as_written() {
        let policy = json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "p"},
            "spec": {"selector": "all()", "ingress": [{"action": "Allow"}], "order": 1.5, "unheard": {"of": [[]]}}});
        let object: Object = serde_json::from_str(&policy.to_string()).expect("an object");
        assert_eq!(object.into_manifest(&resource("GlobalNetworkPolicy")).value, policy);
    }

    #[test]
    fn one_without_a_name_is_an_error() {
        let error = serde_json::from_str::<Object>(r#"{"metadata": {}}"#).expect_err("no object");
        assert!(error.to_string().contains("metadata.name"));
        assert!(serde_json::from_str::<Object>("[]").is_err() && serde_json::from_str::<Object>("3").is_err());
    }
}
