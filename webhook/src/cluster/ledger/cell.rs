//! Where replicas keep what they have allowed and not yet seen done: one value, replaced only by who knows it.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use policy::lifeline::judge::Change;
use policy::snapshot::{Key, Manifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A change that was allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Of the review.
    pub id: String,
    /// API group of the object.
    pub group: String,
    /// Version that it was written in.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The `resourceVersion` that it replaces; absent: it is new. Storage takes the change only in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The object as it is to be; absent: it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl Entry {
    /// The object.
    pub fn key(&self) -> Key {
        let [group, kind] = [&self.group, &self.kind].map(Clone::clone);
        Key { group, kind, namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// What is done.
    pub fn change(&self) -> Change {
        match &self.after {
            None => Change::Delete(self.key()),
            Some(value) => {
                let (version, value) = (self.version.clone(), value.clone());
                Change::Put(Manifest { key: self.key(), version, value, source: None })
            }
        }
    }
}

/// What a cell holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Which value it is.
    pub version: String,
    /// The value; or what stands there instead.
    pub entries: Result<Vec<Entry>, String>,
}

/// What came of replacing the value of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// It was done, and this is the version now.
    Done(String),
    /// The cell held another value.
    Conflict,
}

/// A value that all replicas see.
pub trait Cell: Send + Sync + 'static {
    /// Reads it.
    fn get(&self) -> BoxFuture<'_, Result<Held, String>>;

    /// Replaces it, if it is still the one of this version.
    fn swap<'s>(&'s self, version: &'s str, entries: &'s [Entry]) -> BoxFuture<'s, Result<Swap, String>>;
}

/// A cell in memory, for one replica alone.
#[derive(Debug, Default)]
pub struct Memory(Mutex<(u64, Vec<Entry>)>);

impl Cell for Memory {
    fn get(&self) -> BoxFuture<'_, Result<Held, String>> {
        let (version, entries) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move { Ok(Held { version: version.to_string(), entries: Ok(entries) }) })
    }

    fn swap<'s>(&'s self, version: &'s str, entries: &'s [Entry]) -> BoxFuture<'s, Result<Swap, String>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let swap = if held.0.to_string() == version {
            *held = (held.0 + 1, entries.to_vec());
            Swap::Done(held.0.to_string())
        } else {
            Swap::Conflict
        };
        Box::pin(async move { Ok(swap) })
    }
}
