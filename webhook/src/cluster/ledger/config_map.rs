//! A cell in a ConfigMap, made by the manifests. The API server compares its `resourceVersion`.

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::json;

use super::cell::{Cell, Entry, Held, Swap};
use crate::cluster::discover::short;

/// The one entry of the ConfigMap.
const KEY: &str = "entries";
/// Longest value. An object may have 1 MiB of data (kubernetes/api:core/v1/types.go), and this has a little more than that.
const LONGEST: usize = 960 << 10;

/// A cell in a ConfigMap.
#[derive(Clone, Debug)]
pub struct Shared {
    api: Api<ConfigMap>,
    namespace: String,
    name: String,
}

impl Shared {
    /// The ConfigMap of a name.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn failed(&self, error: &Error) -> String {
        let Self { namespace, name, .. } = self;
        match error {
            Error::Api(status) if status.code == 404 => {
                format!("the ledger, ConfigMap {namespace}/{name}, is missing; apply the manifests of Lifeline again")
            }
            error => format!("the ledger, ConfigMap {namespace}/{name}: {}", short(error)),
        }
    }
}

impl Cell for Shared {
    fn get(&self) -> BoxFuture<'_, Result<Held, String>> {
        Box::pin(async {
            let map = self.api.get(&self.name).await.map_err(|error| self.failed(&error))?;
            let text = map.data.as_ref().and_then(|data| data.get(KEY)).map(String::as_str).unwrap_or_default();
            let entries = if text.trim().is_empty() { Ok(Vec::new()) } else { serde_json::from_str(text) };
            let version = map.metadata.resource_version.unwrap_or_default();
            Ok(Held { version, entries: entries.map_err(|error| error.to_string()) })
        })
    }

    fn swap<'s>(&'s self, version: &'s str, entries: &'s [Entry]) -> BoxFuture<'s, Result<Swap, String>> {
        Box::pin(async move {
            let text = serde_json::to_string(entries).map_err(|error| error.to_string())?;
            if text.len() > LONGEST {
                return Err(format!(
                    "the changes of the last half minute make {} bytes, and the ledger takes {LONGEST}; \
                     try again in half a minute, or split the object",
                    text.len()
                ));
            }
            // With a resourceVersion, a patch is refused where the object is of another one.
            let patch = json!({"metadata": {"resourceVersion": version}, "data": {KEY: text}});
            match self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(map) => Ok(Swap::Done(map.metadata.resource_version.unwrap_or_default())),
                Err(Error::Api(status)) if status.code == 409 => Ok(Swap::Conflict),
                Err(error) => Err(self.failed(&error)),
            }
        })
    }
}
