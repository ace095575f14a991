//! The API server, asked without kubectl: a process for each object that a test only prepares would be most of its time.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use kube::api::{Api as Objects, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};
use parts::Doing;

/// One user of one API server.
pub struct Api {
    runtime: &'static Runtime,
    client: Client,
}

/// The objects of manifests, lists opened.
///
/// # Errors
/// When they are none.
pub fn objects(manifests: &str) -> Result<Vec<Value>> {
    let all = policy::snapshot::manifests("manifests", manifests).map_err(answer)?;
    Ok(all.into_iter().map(|manifest| manifest.value).collect())
}

/// The kinds that were asked for, in one call.
type Known = HashMap<GroupVersionKind, (ApiResource, Scope)>;

impl Api {
    /// The user and cluster of a kubeconfig file.
    ///
    /// # Errors
    /// When the file is none.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        let runtime = runtime()?;
        let client = runtime.block_on(async {
            let file = Kubeconfig::read_from(kubeconfig).map_err(answer)?;
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(answer)?;
            Client::try_from(config).map_err(answer)
        })?;
        Ok(Self { runtime, client })
    }

    /// Creates objects, in their order.
    ///
    /// # Errors
    /// When the API server refuses one of them.
    pub fn create(&self, objects: &[Value]) -> Result<()> {
        self.each(objects, &async |api, name, value| {
            let object: DynamicObject = serde_json::from_value(value.clone()).map_err(answer)?;
            api.create(&PostParams::default(), &object).await.map(drop).map_err(|error| about(&name, &error))
        })
    }

    /// Deletes objects at once, whichever of them there are.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn delete(&self, objects: &[Value]) -> Result<()> {
        self.each(objects, &async |api, name, _| {
            let now = DeleteParams::default().grace_period(0);
            match api.delete(&name, &now).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                Err(error) => Err(about(&name, &error)),
                Ok(_) => Ok(()),
            }
        })
    }

    /// Deletes all objects of the kinds of these.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn delete_kinds(&self, objects: &[Value]) -> Result<()> {
        self.each(objects, &async |api, name, _| {
            let all = api.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
            all.map(drop).map_err(|error| about(&name, &error))
        })
    }

    /// Merges what is given into objects that are there (RFC 7386).
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn merge(&self, objects: &[Value]) -> Result<()> {
        self.each(objects, &async |api, name, value| {
            let merged = api.patch(&name, &PatchParams::default(), &Patch::Merge(value)).await;
            merged.map(drop).map_err(|error| about(&name, &error))
        })
    }

    fn each(
        &self,
        objects: &[Value],
        act: &impl AsyncFn(Objects<DynamicObject>, String, &Value) -> Result<()>,
    ) -> Result<()> {
        self.runtime.block_on(async {
            let mut known = Known::new();
            for object in objects {
                let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                act(self.objects(object, &mut known).await?, name, object).await?;
            }
            Ok(())
        })
    }

    /// Where objects like this one are.
    async fn objects(&self, object: &Value, known: &mut Known) -> Result<Objects<DynamicObject>> {
        let types: TypeMeta = serde_json::from_value(object.clone()).map_err(answer)?;
        let kind = GroupVersionKind::try_from(&types).map_err(answer)?;
        if !known.contains_key(&kind) {
            let (resource, capabilities) = pinned_kind(&self.client, &kind).await.map_err(answer)?;
            known.insert(kind.clone(), (resource, capabilities.scope));
        }
        let (resource, scope) = &known[&kind];
        Ok(match scope {
            Scope::Cluster => Objects::all_with(self.client.clone(), resource),
            Scope::Namespaced => {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
                Objects::namespaced_with(self.client.clone(), namespace, resource)
            }
        })
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Api").finish_non_exhaustive()
    }
}

/// That of all clients: one that ended with its client could not be dropped by those who run in another.
fn runtime() -> Result<&'static Runtime> {
    static SHARED: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = SHARED.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.doing(|| "start a runtime".to_owned())?;
    Ok(SHARED.get_or_init(|| runtime))
}

fn about(name: &str, error: &kube::Error) -> Error {
    answer(format!("{name}: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err takes")]
fn answer(said: impl ToString) -> Error {
    Error::Answer { part: "the API server", answer: said.to_string() }
}
