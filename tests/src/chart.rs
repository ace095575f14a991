//! The templates of the Helm chart, made from the kustomize manifests: what overlays and components change in the base becomes
//! conditions on values, so that nothing is written twice.

mod knobs;
mod layers;
mod write;

use std::collections::BTreeMap;

use policy::snapshot::manifests;
use serde_json::Value;

pub use layers::{LAYERS, Layer};

use crate::kubectl::Kubectl;
use crate::scratch::Scratch;
use crate::{Error, Result};
use parts::workspace;

/// The folder of the templates, in the workspace.
pub const TEMPLATES: &str = "manifests/chart/templates";

/// What kubectl's kustomize makes of a layer, or of the base.
///
/// # Errors
/// When kubectl cannot be had, or refuses the manifests.
pub fn kustomized(layer: Option<&Layer>) -> Result<Vec<Value>> {
    // It asks no cluster.
    let kubectl = Kubectl::new("none")?;
    let manifests_folder = workspace().join("manifests");
    let text = match layer {
        Some(Layer { component: true, folder, .. }) => {
            let scratch = Scratch::new()?;
            // From target/tmp/NAME: kustomize takes no absolute paths.
            let whole = format!(
                "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../../manifests/base]\n\
                 components: [../../../manifests/{folder}]\n"
            );
            scratch.write("kustomization.yaml", whole)?;
            kubectl.ok(&["kustomize", &scratch.path().to_string_lossy()], "")?
        }
        Some(Layer { folder, .. }) => {
            kubectl.ok(&["kustomize", &manifests_folder.join(folder).to_string_lossy()], "")?
        }
        None => kubectl.ok(&["kustomize", &manifests_folder.join("base").to_string_lossy()], "")?,
    };
    let objects = manifests("manifests", &text)
        .map_err(|error| Error::Answer { part: "kubectl kustomize", answer: error.to_string() })?;
    Ok(objects.into_iter().map(|object| object.value).collect())
}

/// The templates: file names under [`TEMPLATES`], and what is in them.
///
/// # Errors
/// When kubectl cannot be had, two layers contradict each other, or a value has no place in the manifests any more.
pub fn templates() -> Result<BTreeMap<String, String>> {
    let base = by_name(kustomized(None)?);
    let mut layers = Vec::new();
    for layer in &LAYERS {
        layers.push((layer, by_name(kustomized(Some(layer))?)));
    }
    let mut names: Vec<&Name> = base.keys().chain(layers.iter().flat_map(|(_, objects)| objects.keys())).collect();
    names.sort();
    names.dedup();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut writer = write::Writer::default();
    for name in names {
        let variants: Vec<_> = layers.iter().map(|(layer, objects)| (*layer, objects.get(name))).collect();
        let text = writer.object(base.get(name), &variants)?;
        files.entry(file_name(&name.0)).or_insert_with(|| write::HEAD.to_owned()).push_str(&text);
    }
    writer.finish()?;
    Ok(files)
}

/// Kind, namespace and name: no two groups have a kind in common here.
type Name = (String, String, String);

fn by_name(objects: Vec<Value>) -> BTreeMap<Name, Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |object: &Value| {
        let metadata = &object["metadata"];
        (text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
    };
    objects.into_iter().map(|object| (name(&object), object)).collect()
}

/// `ClusterRole` is in `cluster-role.yaml`.
fn file_name(kind: &str) -> String {
    let mut name = String::new();
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name + ".yaml"
}
