//! Objects that upstream refuses.

use std::fmt;

use serde::Serialize;

use crate::snapshot::Key;

/// An object that upstream refuses. Nothing of it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The object.
    pub key: Key,
    /// Who refuses it.
    pub stage: Stage,
    /// Where, from the object's root.
    pub path: String,
    /// Why.
    pub reason: String,
    /// Whether an earlier, valid version goes on being enforced, until the agent restarts
    /// (cilium/cilium:pkg/policy/k8s/cilium_network_policy.go).
    pub keeps_previous: bool,
}

/// Who refuses an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The API server, by the schema of the custom resource.
    Schema,
    /// The agent, when it reads the object. This hits its whole list, not only this object.
    Decode,
    /// The agent, when it checks the object.
    Sanitize,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Schema => "schema",
            Self::Decode => "decode",
            Self::Sanitize => "sanitize",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({}): {}", self.key, self.path, self.stage, self.reason)?;
        if self.keeps_previous {
            formatter.write_str("; its previous version stays in force until the agent restarts")?;
        }
        Ok(())
    }
}

/// What stands in an object that is neither understood nor refused, or that a snapshot cannot answer: a verdict that
/// depends on it cannot be proven.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unknown {
    /// The object, or the setting.
    pub object: String,
    /// Where in it.
    pub path: String,
    /// What about it is not known.
    pub what: String,
    /// Whether it is no more than who else the peers of one element of a rule for hosts are: [`Element::open`].
    ///
    /// [`Element::open`]: super::Element::open
    pub is_open: bool,
}

impl fmt::Display for Unknown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.object, self.path, self.what)
    }
}

/// Why an object is refused, before it is known which object it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) stage: Stage,
    pub(super) path: String,
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn sanitize(path: &str, reason: impl Into<String>) -> Self {
        Self { stage: Stage::Sanitize, path: path.to_owned(), reason: reason.into() }
    }

    pub(super) fn decode(path: &str, reason: impl Into<String>) -> Self {
        Self { stage: Stage::Decode, path: path.to_owned(), reason: reason.into() }
    }

    pub(super) fn schema(path: &str, reason: impl Into<String>) -> Self {
        Self { stage: Stage::Schema, path: path.to_owned(), reason: reason.into() }
    }
}
