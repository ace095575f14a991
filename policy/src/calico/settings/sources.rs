//! Looking one parameter up in all its sources.

use serde_json::Value;

use super::{Provenance, faults, place};
use crate::snapshot::sources::{CALICO, STORED};
use crate::snapshot::{Key, Manifest, Snapshot};

/// Name of Felix's container, in the DaemonSets of Calico and of Canal alike.
pub(crate) const CONTAINER: &str = "calico-node";

/// The sources of one node's settings, strongest first.
pub(in crate::calico) struct Sources<'s> {
    environment: Vec<(&'s str, &'s str)>,
    elsewhere: Vec<&'s str>,
    objects: Vec<&'s Manifest>,
}

/// A parameter: its name in Felix, and its field in a FelixConfiguration.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) field: &'static str,
}

/// A value as it was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found<'s> {
    /// Text of a variable or an annotation.
    Text(&'s str),
    /// Value of a field.
    Field(&'s Value),
}

impl<'s> Sources<'s> {
    /// Of a node. `None` is a node without a FelixConfiguration of its own.
    pub(in crate::calico) fn of(snapshot: &'s Snapshot, node: Option<&str>) -> Self {
        let agent = agent(snapshot);
        let environment = agent
            .map(|container| container.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
            .unwrap_or_default();
        let elsewhere = agent
            .map(|container| container.env_from_elsewhere.iter().map(String::as_str).collect())
            .unwrap_or_default();
        let own = node.map(|node| format!("node.{node}"));
        let names = own.as_deref().into_iter().chain(["default"]);
        let objects = names.filter_map(|name| configuration(snapshot, name)).collect();
        Self { environment, elsewhere, objects }
    }

    /// The strongest value of a parameter. Names of variables are compared without regard to case
    /// (projectcalico/calico:felix/config/env_var_loader.go).
    pub(super) fn find(&self, parameter: Parameter) -> Option<(Found<'s>, Provenance)> {
        let variable = format!("FELIX_{}", parameter.name);
        if let Some((name, value)) =
            self.environment.iter().find(|(name, value)| name.eq_ignore_ascii_case(&variable) && !value.is_empty())
        {
            return Some((Found::Text(value), Provenance::Environment((*name).to_owned())));
        }
        self.objects.iter().find_map(|manifest| {
            let annotations = manifest.value.pointer("/metadata/annotations").and_then(Value::as_object);
            let wanted = format!("config.projectcalico.org/{}", parameter.name);
            let annotation = annotations
                .into_iter()
                .flatten()
                .find(|(name, _)| name.eq_ignore_ascii_case(&wanted))
                .and_then(|(name, value)| Some((name, value.as_str()?)));
            if let Some((name, value)) = annotation {
                return Some((Found::Text(value), place(&manifest.key, &format!("metadata.annotations[{name}]"))));
            }
            let value = manifest.value.get("spec")?.get(parameter.field).filter(|value| !value.is_null())?;
            Some((Found::Field(value), place(&manifest.key, &format!("spec.{}", parameter.field))))
        })
    }

    /// Whether a parameter comes from where a snapshot does not see it (a ConfigMap, a Secret).
    pub(super) fn is_hidden(&self, parameter: Parameter) -> bool {
        let variable = format!("FELIX_{}", parameter.name);
        self.elsewhere.iter().any(|name| name.eq_ignore_ascii_case(&variable))
    }
}

/// Nodes that have a FelixConfiguration of their own.
pub(crate) fn nodes_with_their_own(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    CALICO
        .into_iter()
        .flat_map(|group| snapshot.of(group, "FelixConfiguration"))
        .filter_map(|manifest| manifest.key.name.strip_prefix("node."))
}

/// The container of Felix, which Canal runs in a DaemonSet of another name (`canal`, `rke2-canal`). The variables of init
/// containers do not reach it.
pub(crate) fn agent(snapshot: &Snapshot) -> Option<&crate::snapshot::Container> {
    let containers = snapshot.cluster.daemon_sets.iter().flat_map(|set| &set.containers);
    containers.into_iter().find(|container| container.name == CONTAINER)
}

/// A FelixConfiguration. What is stored (`crd.projectcalico.org`) is what Felix reads where both groups hold it.
fn configuration<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s Manifest> {
    CALICO.into_iter().find_map(|group| {
        let key = Key {
            group: group.to_owned(),
            kind: "FelixConfiguration".to_owned(),
            namespace: String::new(),
            name: name.to_owned(),
        };
        let manifest = snapshot.objects.get(&key).map(AsRef::as_ref);
        manifest.filter(|manifest| group == STORED || faults(&manifest.value).is_empty())
    })
}
