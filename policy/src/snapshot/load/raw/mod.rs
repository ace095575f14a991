//! Objects of the API server into the lean ones of [`Cluster`].

mod agent;
mod node;
mod pod;
mod service;
mod volume;

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use self::agent::{RawConfigMap, containers};
use self::node::node;
use self::pod::{RawPod, pod};
use self::service::{service, slice};
use self::volume::volume;
use crate::snapshot::cluster::Map;
use crate::snapshot::sources::is_configuration;
use crate::snapshot::{Cluster, ConfigMap, DaemonSet, Deployment, Key, Namespace, ServiceAccount};

/// A field that is not what the API server makes of it.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) path: String,
    pub(super) message: String,
}

type Read<T> = Result<T, Mistake>;

/// Adds an object to the cluster, unless it is of a kind that no verdict reads.
pub(super) fn take(cluster: &mut Cluster, key: &Key, value: &Value) -> Read<bool> {
    match (key.group.as_str(), key.kind.as_str()) {
        ("", "Node") => cluster.nodes.push(node(key, typed(value)?)?),
        ("", "Pod") => {
            let raw: RawPod = typed(value)?;
            if !raw.has_ended() {
                cluster.pods.push(pod(key, raw)?);
            }
        }
        ("", "Namespace") => {
            let raw: RawMeta = typed(value)?;
            cluster.namespaces.push(Namespace { name: key.name.clone(), labels: raw.metadata.labels });
        }
        ("", "ServiceAccount") => {
            let raw: RawMeta = typed(value)?;
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            cluster.service_accounts.push(ServiceAccount { namespace, name, labels: raw.metadata.labels });
        }
        ("", "Service") => cluster.services.push(service(key, typed(value)?)?),
        ("", "ConfigMap") if is_configuration(&key.name) => {
            let raw: RawConfigMap = typed(value)?;
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            cluster.config_maps.push(ConfigMap { namespace, name, data: raw.data });
        }
        ("discovery.k8s.io", "EndpointSlice") => cluster.slices.push(slice(key, typed(value)?)?),
        ("apps", "DaemonSet") => {
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            cluster.daemon_sets.push(DaemonSet { namespace, name, containers: containers(typed(value)?) });
        }
        ("apps", "Deployment") => {
            let (namespace, name) = (key.namespace.clone(), key.name.clone());
            cluster.deployments.push(Deployment { namespace, name, containers: containers(typed(value)?) });
        }
        ("", "PersistentVolume") => match volume(key, typed(value)?) {
            Some(volume) => cluster.volumes.push(volume),
            None => return Ok(false),
        },
        _ => return Ok(false),
    }
    Ok(true)
}

fn typed<T: DeserializeOwned>(value: &Value) -> Read<T> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| Mistake { path: error.path().to_string(), message: error.inner().to_string() })
}

impl Cluster {
    /// Takes out what was read of an object before.
    pub(in crate::snapshot) fn forget(&mut self, key: &Key) {
        self.retain(&key.group, &key.kind, |namespace, name| namespace != key.namespace || name != key.name);
    }

    /// Takes out objects of a kind that are not to be kept, by namespace and name.
    pub(in crate::snapshot) fn retain(&mut self, group: &str, kind: &str, keep: impl Fn(&str, &str) -> bool) {
        match (group, kind) {
            ("", "Node") => self.nodes.retain(|node| keep("", &node.name)),
            ("", "Pod") => self.pods.retain(|pod| keep(&pod.namespace, &pod.name)),
            ("", "Namespace") => self.namespaces.retain(|namespace| keep("", &namespace.name)),
            ("", "ServiceAccount") => self.service_accounts.retain(|account| keep(&account.namespace, &account.name)),
            ("", "Service") => self.services.retain(|service| keep(&service.namespace, &service.name)),
            ("", "ConfigMap") => self.config_maps.retain(|map| keep(&map.namespace, &map.name)),
            ("discovery.k8s.io", "EndpointSlice") => self.slices.retain(|slice| keep(&slice.namespace, &slice.name)),
            ("apps", "DaemonSet") => self.daemon_sets.retain(|set| keep(&set.namespace, &set.name)),
            ("apps", "Deployment") => self.deployments.retain(|it| keep(&it.namespace, &it.name)),
            ("", "PersistentVolume") => self.volumes.retain(|volume| keep("", &volume.name)),
            _ => {}
        }
    }

    /// Namespaces and names of the objects of a kind.
    pub(in crate::snapshot) fn names(&self, group: &str, kind: &str) -> Vec<(&str, &str)> {
        match (group, kind) {
            ("", "Node") => self.nodes.iter().map(|node| ("", node.name.as_str())).collect(),
            ("", "Pod") => self.pods.iter().map(|pod| (pod.namespace.as_str(), pod.name.as_str())).collect(),
            ("", "Namespace") => self.namespaces.iter().map(|namespace| ("", namespace.name.as_str())).collect(),
            ("", "ServiceAccount") => {
                self.service_accounts.iter().map(|it| (it.namespace.as_str(), it.name.as_str())).collect()
            }
            ("", "Service") => self.services.iter().map(|it| (it.namespace.as_str(), it.name.as_str())).collect(),
            ("", "ConfigMap") => self.config_maps.iter().map(|it| (it.namespace.as_str(), it.name.as_str())).collect(),
            ("discovery.k8s.io", "EndpointSlice") => {
                self.slices.iter().map(|it| (it.namespace.as_str(), it.name.as_str())).collect()
            }
            ("apps", "DaemonSet") => {
                self.daemon_sets.iter().map(|it| (it.namespace.as_str(), it.name.as_str())).collect()
            }
            ("apps", "Deployment") => {
                self.deployments.iter().map(|it| (it.namespace.as_str(), it.name.as_str())).collect()
            }
            ("", "PersistentVolume") => self.volumes.iter().map(|volume| ("", volume.name.as_str())).collect(),
            _ => Vec::new(),
        }
    }

    /// How many objects it holds.
    pub(in crate::snapshot) fn count(&self) -> usize {
        let Self { nodes, pods, namespaces, service_accounts, services, slices, .. } = self;
        let Self { config_maps, daemon_sets, deployments, volumes, .. } = self;
        let lists = [nodes.len(), pods.len(), namespaces.len(), service_accounts.len(), services.len(), slices.len()];
        let agents = [config_maps.len(), daemon_sets.len(), deployments.len(), volumes.len()];
        lists.iter().chain(&agents).sum()
    }

    pub(in crate::snapshot) fn sort(&mut self) {
        self.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        self.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        // Pods of one workload are neighbours.
        for at in 1..self.pods.len() {
            if self.pods[at - 1].labels == self.pods[at].labels {
                self.pods[at].labels = self.pods[at - 1].labels.clone();
            }
        }
        self.namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.service_accounts.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.services.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.slices.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.config_maps.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.daemon_sets.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.deployments.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        self.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// What `null` and an absent field have in common.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    #[serde(deserialize_with = "or_default")]
    labels: Map,
    #[serde(deserialize_with = "or_default")]
    annotations: Map,
}

#[derive(Deserialize)]
struct RawMeta {
    metadata: Meta,
}

/// What the API server fills in for a port without a protocol.
fn tcp() -> String {
    "TCP".to_owned()
}

fn all(texts: &[String], path: &str) -> Read<Vec<IpAddr>> {
    texts.iter().map(|text| address(text, path)).collect()
}

fn address(text: &str, path: &str) -> Read<IpAddr> {
    text.parse().map_err(|_| Mistake { path: path.to_owned(), message: format!("`{text}` is not an address") })
}
