//! The LifelineConfig of a cluster, read again while it is in force.
//!
//! It is a custom resource, where the cluster has that kind and one of the name; otherwise an entry of a ConfigMap;
//! otherwise there is none, and everything is as it is by default. One that is broken leaves the last good one in force.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Client, Error};
use policy::lifeline::config::{Config, ConfigError};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::discover::short;
use super::events::{Events, Subject};
use crate::health::Readiness;
use crate::metrics::Metrics;

/// Entry of the ConfigMap.
pub const KEY: &str = "lifeline.yaml";
/// How often it is read.
const EVERY: Duration = Duration::from_secs(3);
/// Part of readiness.
const PART: &str = "configuration";
/// Mistakes that are told at a time.
const TOLD: usize = 3;

/// Where it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Namespace of the ConfigMap.
    pub namespace: String,
    /// Name of the ConfigMap, and of the custom resource.
    pub name: String,
}

/// A text, and what it is the text of.
struct Found {
    text: String,
    subject: Subject,
}

/// Keeps it up to date, until it is told to stop.
pub(super) struct Follow {
    pub(super) client: Client,
    pub(super) place: Place,
    pub(super) current: watch::Sender<Arc<Config>>,
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Arc<Events>,
}

impl Follow {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut last: Option<String> = None;
        let mut was_read = false;
        self.readiness.set(PART, Err("not read yet".to_owned()));
        loop {
            match self.find().await {
                Ok(found) => {
                    let text = found.as_ref().map(|found| found.text.clone()).unwrap_or_default();
                    if !was_read || last.as_ref() != Some(&text) {
                        self.take(found).await;
                    }
                    (last, was_read) = (Some(text), true);
                }
                // What was read stays in force. What cannot be read at first may say anything.
                Err(reason) if !was_read => self.readiness.set(PART, Err(reason)),
                Err(reason) => tracing::debug!(%reason, "the configuration cannot be read again"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => break,
            }
        }
    }

    async fn take(&self, found: Option<Found>) {
        let Some(Found { text, subject }) = found else {
            self.current.send_replace(Arc::default());
            self.metrics.cluster.config(true);
            self.readiness.set(PART, Ok("none; everything is as it is by default".to_owned()));
            return;
        };
        match Config::read(&text) {
            Ok(config) => {
                tracing::info!(object = %subject, "the configuration is in force");
                self.current.send_replace(Arc::new(config));
                self.metrics.cluster.config(true);
                self.readiness.set(PART, Ok(format!("{subject} is in force")));
            }
            Err(errors) => {
                let errors = told(&errors);
                tracing::error!(object = %subject, %errors, "the configuration is broken");
                self.metrics.cluster.config(false);
                let detail = format!("{subject} is broken, and the last good one stays in force: {errors}");
                self.readiness.set(PART, Ok(detail));
                self.events.warn(&subject, "ConfigurationBroken", "Configure", &errors).await;
            }
        }
    }

    async fn find(&self) -> Result<Option<Found>, String> {
        match find(&self.client, &self.place).await {
            Ok(found) => Ok(found),
            Err(error) => Err(format!("the configuration {}: {}", self.place.name, short(&error))),
        }
    }
}

/// Reads the configuration once.
///
/// # Errors
///
/// It cannot be read, or is broken.
pub async fn read(client: &Client, place: &Place) -> Result<Config, String> {
    match find(client, place).await.map_err(|error| short(&error))? {
        None => Ok(Config::default()),
        Some(found) => Config::read(&found.text).map_err(|errors| format!("{}: {}", found.subject, told(&errors))),
    }
}

fn told(errors: &[ConfigError]) -> String {
    let mut told: Vec<String> = errors.iter().take(TOLD).map(ToString::to_string).collect();
    if errors.len() > TOLD {
        told.push(format!("and {} more", errors.len() - TOLD));
    }
    told.join("; ")
}

async fn find(client: &Client, place: &Place) -> Result<Option<Found>, Error> {
    if let Some(found) = resource(client, place).await? {
        return Ok(Some(found));
    }
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &place.namespace);
    let map = maps.get_opt(&place.name).await?;
    let text = map.as_ref().and_then(|map| map.data.as_ref()?.get(KEY).cloned());
    let uid = map.and_then(|map| map.metadata.uid);
    Ok(text.filter(|text| !text.trim().is_empty()).map(|text| {
        let subject = Subject::new("v1", "ConfigMap", &place.namespace, &place.name, uid);
        Found { text, subject }
    }))
}

/// The custom resource, where there is such a kind.
async fn resource(client: &Client, place: &Place) -> Result<Option<Found>, Error> {
    const VERSION: &str = "lifeline.dev/v1alpha1";
    const KIND: &str = "LifelineConfig";
    let groups = client.list_api_groups().await?;
    let served = groups.groups.iter().flat_map(|group| &group.versions).any(|it| it.group_version == VERSION);
    if !served {
        return Ok(None);
    }
    let (group, version) = VERSION.split_once('/').unwrap_or_default();
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: VERSION.to_owned(),
        kind: KIND.to_owned(),
        plural: "lifelineconfigs".to_owned(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let Some(object) = api.get_opt(&place.name).await? else { return Ok(None) };
    // What the API server adds to an object is no part of the configuration.
    let text =
        json!({"apiVersion": VERSION, "kind": KIND, "metadata": {"name": place.name}, "spec": object.data["spec"]});
    let subject = Subject::new(VERSION, KIND, "", &place.name, object.metadata.uid);
    Ok(Some(Found { text: text.to_string(), subject }))
}
