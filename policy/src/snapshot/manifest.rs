//! One object as somebody wrote it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// Which object it is. The version is left out: two versions of a group are one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// API group, such as `projectcalico.org`; empty for the core group.
    pub group: String,
    /// Kind, such as `GlobalNetworkPolicy`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/", self.kind)?;
        if !self.namespace.is_empty() {
            write!(formatter, "{}/", self.namespace)?;
        }
        formatter.write_str(&self.name)
    }
}

/// As text: keys are for people.
impl serde::Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An object, untyped.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Which object it is.
    pub key: Key,
    /// Version, such as `v3`.
    pub version: String,
    /// The whole object.
    pub value: Value,
    /// Where it was read.
    pub source: Option<Arc<Source>>,
}

/// A place in what a user gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File name as the user wrote it, `-` for standard input.
    pub file: String,
    /// Which document of the file, from 0.
    pub document: usize,
    /// Which item of the document, from 0, if that is a list.
    pub item: Option<usize>,
    /// Line from 1 on which the object begins; for an item of a YAML list, the line on which the list does.
    pub line: usize,
}
