//! Snapshots of live clusters, by reading alone: every kind that a verdict reads, and of their objects what it reads.
//!
//! All or nothing: half a state proves nothing. Secrets are never asked for; environments of pods, which may hold some, are
//! not kept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kube::api::{Api, DynamicObject, ListParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::discovery::Discovery;
use kube::{Client, Config, Error};
use policy::object::{LAST_APPLIED, strip};
use policy::snapshot::Key;
use policy::snapshot::sources::{CALICO, Namespaces, Resource, STORED, is_agent, reads, resources};
use serde_json::{Value, json};

/// Objects of one answer of the API server.
const PAGE: u32 = 500;
/// Calico's objects as its API server shows them.
const SHOWN: &str = CALICO[1];

/// Which cluster, and as whom; what is left out comes from the kubeconfig as kubectl finds it, or from within the cluster.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Path of a kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it.
    pub context: Option<String>,
    /// User to act as.
    pub user: Option<String>,
    /// Groups to act as.
    pub groups: Vec<String>,
    /// How long one answer may take.
    pub timeout: Option<Duration>,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Nothing says which cluster.
    #[error("no cluster to read from: {0}; give --kubeconfig and --context")]
    Configuration(String),
    /// No answer.
    #[error("{what}: the API server does not answer: {why}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// Why.
        why: String,
    },
    /// Some kinds may not be listed.
    #[error(
        "the user may not list {kinds}, and without them a judgement proves nothing; grant get and list on them, for all \
         namespaces unless one is named", kinds = .0.join(", ")
    )]
    Forbidden(Vec<String>),
    /// The API server refuses for another reason.
    #[error("{what}: the API server says: {message} ({code})")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its message.
        message: String,
        /// Its HTTP status.
        code: u16,
    },
}

/// All objects of one kind, as a list that kubectl could have printed.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// A file name without its ending, such as `tiers.projectcalico.org`.
    pub name: String,
    /// The list.
    pub list: Value,
}

/// Reads a cluster. `progress` is told what is being read.
///
/// # Errors
///
/// It cannot be read whole.
pub fn capture(connection: &Connection, progress: &dyn Fn(&str)) -> Result<Vec<Captured>, LiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LiveError::Configuration(error.to_string()))?;
    runtime.block_on(async {
        let client = client(connection).await?;
        Reader { client, progress, forbidden: BTreeSet::new(), captured: Vec::new() }.all().await
    })
}

async fn client(connection: &Connection) -> Result<Client, LiveError> {
    let wrong = |error: &dyn std::error::Error| LiveError::Configuration(cause(error));
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &connection.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| wrong(&error))?
        }
        None if options.context.is_some() => Config::from_kubeconfig(&options).await.map_err(|error| wrong(&error))?,
        None => Config::infer().await.map_err(|error| wrong(&error))?,
    };
    let AuthInfo { impersonate, impersonate_groups, .. } = &mut config.auth_info;
    if let Some(user) = &connection.user {
        *impersonate = Some(user.clone());
    }
    if !connection.groups.is_empty() {
        *impersonate_groups = Some(connection.groups.clone());
    }
    config.read_timeout = connection.timeout.or(Some(Duration::from_secs(60)));
    Client::try_from(config).map_err(|error| wrong(&error))
}

struct Reader<'r> {
    client: Client,
    progress: &'r dyn Fn(&str),
    /// What may not be listed, as `kubectl auth can-i list` takes it.
    forbidden: BTreeSet<String>,
    captured: Vec<Captured>,
}

impl Reader<'_> {
    async fn all(mut self) -> Result<Vec<Captured>, LiveError> {
        let groups: BTreeSet<&str> = resources().map(|resource| resource.group).collect();
        let groups: Vec<&str> = groups.into_iter().collect();
        let discovery = Discovery::new(self.client.clone()).filter(&groups).run().await;
        let discovery = discovery.map_err(|error| refused("which kinds there are", error))?;
        let served = |resource: &Resource| {
            let (found, _) = discovery.get(resource.group)?.recommended_kind(resource.kind)?;
            Some(found)
        };
        // Where ConfigMaps are to be looked for is known once DaemonSets are.
        let of_agents = |resource: &Resource| matches!(resource.namespaces, Namespaces::OfAgents(_));
        let mut all: Vec<Resource> = resources().collect();
        all.sort_by_key(|resource| (of_agents(resource), resource.group != "apiregistration.k8s.io"));
        for resource in all {
            let Some(found) = served(&resource) else { continue };
            if resource.group == SHOWN && discovery.has_group(STORED) && self.is_aggregated() {
                continue;
            }
            let namespaces = match resource.namespaces {
                Namespaces::None | Namespaces::All => vec![None],
                Namespaces::OfAgents(fixed) => self.namespaces(fixed),
            };
            let mut items = Vec::new();
            for namespace in namespaces {
                items.extend(self.list(&found, namespace.as_deref()).await?);
            }
            self.keep(&resource, &found, items);
        }
        if self.forbidden.is_empty() {
            Ok(self.captured)
        } else {
            Err(LiveError::Forbidden(self.forbidden.into_iter().collect()))
        }
    }

    /// Every object, page by page. A list that grew too old on the way is begun again, as one page.
    async fn list(&mut self, resource: &ApiResource, namespace: Option<&str>) -> Result<Vec<DynamicObject>, LiveError> {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        };
        let plural = if resource.group.is_empty() {
            resource.plural.clone()
        } else {
            format!("{}.{}", resource.plural, resource.group)
        };
        let what = namespace.map_or_else(|| plural.clone(), |namespace| format!("{plural} in {namespace}"));
        let mut items = Vec::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            (self.progress)(&format!("{what} ({})", items.len()));
            match api.list(&page).await {
                Ok(list) => {
                    items.extend(list.items);
                    match list.metadata.continue_.filter(|next| !next.is_empty()) {
                        Some(next) => page = page.continue_token(&next),
                        None => return Ok(items),
                    }
                }
                Err(Error::Api(status)) if status.code == 403 => {
                    self.forbidden.insert(what);
                    return Ok(Vec::new());
                }
                Err(Error::Api(status)) if status.code == 410 && page.limit.is_some() => {
                    items.clear();
                    page = ListParams::default();
                }
                Err(error) => return Err(refused(&what, error)),
            }
        }
    }

    fn keep(&mut self, resource: &Resource, found: &ApiResource, items: Vec<DynamicObject>) {
        let items: Vec<Value> = items
            .into_iter()
            .filter(|item| {
                let name = item.metadata.name.clone().unwrap_or_default();
                let namespace = item.metadata.namespace.clone().unwrap_or_default();
                reads(&Key { group: resource.group.to_owned(), kind: resource.kind.to_owned(), namespace, name })
            })
            .filter_map(|item| serde_json::to_value(item).ok())
            .map(|mut item| {
                item["apiVersion"] = json!(found.api_version);
                item["kind"] = json!(resource.kind);
                lean(resource, &mut item);
                item
            })
            .collect();
        let name = match resource.group {
            "" => resource.plural.to_owned(),
            group => format!("{}.{group}", resource.plural),
        };
        if !items.is_empty() {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            self.captured.push(Captured { name, list });
        }
    }

    fn items(&self, name: &str) -> impl Iterator<Item = &Value> {
        let lists = self.captured.iter().filter(move |captured| captured.name == name);
        lists.filter_map(|captured| captured.list["items"].as_array()).flatten()
    }

    /// Whether `projectcalico.org` shows what is stored in the other group, with defaults filled in.
    fn is_aggregated(&self) -> bool {
        let mut services = self.items("apiservices.apiregistration.k8s.io");
        services.any(|service| {
            service["metadata"]["name"] == "v3.projectcalico.org" && service["spec"]["service"].is_object()
        })
    }

    /// The given namespaces, and those in which agents run.
    fn namespaces(&self, fixed: &[&str]) -> Vec<Option<String>> {
        let mut all: BTreeSet<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
        for set in self.items("daemonsets.apps") {
            let containers = set.pointer("/spec/template/spec/containers").and_then(Value::as_array);
            let runs = containers.into_iter().flatten().any(|one| one["name"].as_str().is_some_and(is_agent));
            all.extend(set["metadata"]["namespace"].as_str().filter(|_| runs).map(str::to_owned));
        }
        all.into_iter().map(Some).collect()
    }
}

/// Takes out what no verdict reads and what may be nobody else's business.
fn lean(resource: &Resource, item: &mut Value) {
    let annotations = item.pointer("/metadata/annotations");
    // What was applied tells what the next apply takes away. Of other kinds it may hold what is taken out below.
    let policies = resource.group.ends_with("projectcalico.org") || resource.group == "cilium.io";
    let last = annotations.and_then(|annotations| annotations.get(LAST_APPLIED)).filter(|_| policies).cloned();
    strip(item);
    if let Some(last) = last {
        item["metadata"]["annotations"][LAST_APPLIED] = last;
    }
    let (spec, variables): (&str, &[&str]) = match resource.kind {
        "Pod" => ("/spec", &[]),
        // What Rancher's agent dials (`policy::lifeline::detect`).
        "Deployment" => ("/spec/template/spec", &["CATTLE_SERVER"]),
        // Variables of the network's agents are settings.
        _ => return,
    };
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        let containers = item.pointer_mut(&format!("{spec}/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            container.remove("envFrom");
            if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
                env.retain(|one| one["name"].as_str().is_some_and(|name| variables.contains(&name)));
            }
        }
    }
}

fn refused(what: &str, error: Error) -> LiveError {
    let what = what.to_owned();
    match error {
        Error::Api(status) => LiveError::Refused { what, message: status.message.clone(), code: status.code },
        other => LiveError::Unreachable { what, why: cause(&other) },
    }
}

/// The cause of an error is what tells: refused, timed out, certificate unknown.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
