//! What every Kubernetes object has, and reading one without losing what no type claims.

mod apply;
mod bookkeeping;
mod limits;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use apply::{apply, lacking, last_applied, merge};
pub use bookkeeping::{LAST_APPLIED, is_same_without, strip};
pub(crate) use limits::excess;
pub use limits::{MAX_ENTRIES, MAX_RULES};

/// A Kubernetes object whose `spec` is `S`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<S> {
    /// Group and version, such as `projectcalico.org/v3`.
    pub api_version: String,
    /// Kind, such as `GlobalNetworkPolicy`.
    pub kind: String,
    /// Name, labels and annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The desired state.
    pub spec: S,
}

/// The part of `metadata` that a person writes. What the API server adds (uid, managedFields, ...) is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// Name; empty when only `generateName` is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace, absent for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A Kubernetes label selector (`matchLabels` and `matchExpressions`, all ANDed). Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels that must be present with exactly this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// How the label is compared.
    pub operator: Operator,
    /// Values, for `In` and `NotIn` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// Operator of a [`Requirement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// The label is present with one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether a set of labels satisfies every requirement.
    ///
    /// `NotIn` and `DoesNotExist` hold for an absent label (kubernetes/apimachinery:pkg/labels/selector.go).
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// Every label key that the selector looks at, in the order written.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.match_labels
            .keys()
            .map(String::as_str)
            .chain(self.match_expressions.iter().map(|requirement| requirement.key.as_str()))
    }

    /// Whether the selector selects everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// An object together with the paths of the fields that no type claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The object.
    pub object: T,
    /// Paths such as `spec.ingress[0].souce`, in document order. What the API server itself writes (`status`, and under
    /// `metadata` all but name, labels and annotations) is not listed.
    pub unknown: Vec<String>,
}

/// A value that does not fit the type it was read as.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ParseError {
    /// Path of the field, such as `spec.ingress[0].action`; `.` is the whole object.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// Reads an object and collects the fields that its type does not know.
///
/// # Errors
///
/// A field has the wrong type, or an enumeration a value that is not one of its own.
pub fn parse<T: DeserializeOwned>(value: &serde_json::Value) -> Result<Parsed<T>, ParseError> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    let result = serde_ignored::deserialize(deserializer, |path| {
        let path = with_brackets(&path.to_string().replace(".?", ""));
        if path != "status" && !path.starts_with("status.") && !path.starts_with("metadata.") {
            unknown.push(path);
        }
    });
    match result {
        Ok(object) => Ok(Parsed { object, unknown }),
        Err(error) => Err(ParseError { path: track.path().to_string(), message: error.to_string() }),
    }
}

/// `spec.ingress.0.souce` as everybody else writes it.
fn with_brackets(path: &str) -> String {
    let mut written = String::with_capacity(path.len() + 1);
    for part in path.split('.') {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            written.extend(["[", part, "]"]);
        } else {
            if !written.is_empty() {
                written.push('.');
            }
            written.push_str(part);
        }
    }
    written
}

/// A JSON value that may be an integer or a string, kept as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// An integer.
    Int(i64),
    /// A string.
    String(String),
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = IntOrString;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an integer or a string")
            }

            fn visit_i64<E>(self, value: i64) -> Result<IntOrString, E> {
                Ok(IntOrString::Int(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<IntOrString, E> {
                i64::try_from(value)
                    .map(IntOrString::Int)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
            }

            fn visit_str<E>(self, value: &str) -> Result<IntOrString, E> {
                Ok(IntOrString::String(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl From<u16> for IntOrString {
    fn from(value: u16) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for IntOrString {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn requirement(operator: Operator, values: &[&str]) -> LabelSelector {
        LabelSelector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![Requirement {
                key: "role".to_owned(),
                operator,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }],
        }
    }

    #[test]
    fn an_absent_label_satisfies_the_negative_operators_only() {
        let none = labels(&[]);
        assert!(!requirement(Operator::In, &["a"]).matches(&none));
        assert!(requirement(Operator::NotIn, &["a"]).matches(&none));
        assert!(!requirement(Operator::Exists, &[]).matches(&none));
        assert!(requirement(Operator::DoesNotExist, &[]).matches(&none));
    }

    #[test]
    fn an_empty_value_is_present() {
        let empty = labels(&[("role", "")]);
        assert!(requirement(Operator::Exists, &[]).matches(&empty));
        assert!(requirement(Operator::In, &[""]).matches(&empty));
        assert!(!requirement(Operator::NotIn, &[""]).matches(&empty));
    }

    #[test]
    fn an_empty_selector_selects_everything() {
        assert!(LabelSelector::default().is_empty());
        assert!(LabelSelector::default().matches(&labels(&[("a", "b")])));
    }
}
