//! How agents are set up.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::or_default;
use crate::snapshot::Container;
use crate::snapshot::cluster::Map;

#[derive(Deserialize)]
pub(super) struct RawConfigMap {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) data: Map,
}

#[derive(Deserialize)]
pub(super) struct RawWorkload {
    spec: RawWorkloadSpec,
}

#[derive(Deserialize)]
struct RawWorkloadSpec {
    template: RawTemplate,
}

#[derive(Deserialize)]
struct RawTemplate {
    spec: RawTemplateSpec,
}

#[derive(Deserialize)]
struct RawTemplateSpec {
    containers: Vec<RawContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    name: String,
    image: String,
    #[serde(deserialize_with = "or_default")]
    env: Vec<RawVariable>,
    #[serde(deserialize_with = "or_default")]
    command: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawVariable {
    name: String,
    value: Option<String>,
    value_from: Option<IgnoredAny>,
}

/// Containers of a DaemonSet or Deployment.
pub(super) fn containers(raw: RawWorkload) -> Vec<Container> {
    let container = |raw: RawContainer| {
        let mut container = Container { name: raw.name, image: raw.image, ..Container::default() };
        container.args = raw.command.into_iter().chain(raw.args).collect();
        for variable in raw.env {
            match variable.value_from {
                Some(_) => container.env_from_elsewhere.push(variable.name),
                None => {
                    container.env.insert(variable.name, variable.value.unwrap_or_default());
                }
            }
        }
        container
    };
    raw.spec.template.spec.containers.into_iter().map(container).collect()
}
