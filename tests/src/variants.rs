//! Every preset with every toggle, for each kind of output.

use std::collections::BTreeMap;

use serde::Deserialize;
use translator::finding::{Finding, has_errors};
use translator::matrix::{Expanded, Settings, expand};
use translator::presets::{self, Preset};
use translator::render::{Rendered, calico, cilium};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// `projectcalico.org/v3`.
    CalicoV3,
    /// `crd.projectcalico.org/v1`.
    CalicoV1,
    /// `cilium.io/v2`.
    Cilium,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CalicoV3, Self::CalicoV1, Self::Cilium];

    /// The value of `--cni`.
    #[must_use]
    pub const fn cni(self) -> &'static str {
        match self {
            Self::CalicoV3 | Self::CalicoV1 => "calico",
            Self::Cilium => "cilium",
        }
    }

    /// A short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CalicoV3 => "calico-v3",
            Self::CalicoV1 => "calico-v1",
            Self::Cilium => "cilium",
        }
    }
}

/// A preset with its settings.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The preset.
    pub preset: &'static Preset,
    /// The toggle that is turned, such as `enableNodePort=false`; empty for the defaults.
    pub toggle: String,
    /// Settings, for the target.
    pub settings: Settings,
}

impl Variant {
    /// `harvester` or `harvester, enableNodePort=false`.
    #[must_use]
    pub fn title(&self) -> String {
        if self.toggle.is_empty() {
            self.preset.name.to_owned()
        } else {
            format!("{}, {}", self.preset.name, self.toggle)
        }
    }

    /// Expands the matrix.
    ///
    /// # Panics
    ///
    /// When it does not expand: presets with their toggles are valid.
    #[must_use]
    pub fn expand(&self) -> Expanded {
        let (matrix, findings) = expand(self.preset.text, &format!("preset {}", self.preset.name), &self.settings);
        matrix.unwrap_or_else(|| panic!("{}: {}", self.title(), list(&findings)))
    }

    /// Renders the matrix under a name prefix and, on Calico, a tier of its own.
    ///
    /// # Panics
    ///
    /// When a row is refused: presets can be said on both CNIs.
    #[must_use]
    pub fn render(&self, target: Target, prefix: &str) -> Rendered {
        let matrix = self.expand();
        let rendered = match target {
            Target::CalicoV3 | Target::CalicoV1 => {
                let mut options = calico::Options::new(prefix);
                prefix.clone_into(&mut options.tier);
                if target == Target::CalicoV1 {
                    options.api = calico::Api::V1;
                }
                calico::render(&matrix, None, &options)
            }
            Target::Cilium => cilium::render(&matrix, None, &cilium::Options::new(prefix)),
        };
        let errors = list(&rendered.findings);
        assert!(!has_errors(&rendered.findings), "{} for {}: {errors}", self.title(), target.name());
        rendered
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{}: {}", finding.code.id, finding.message)).collect::<Vec<_>>().join("\n")
}

/// What presets demand: facts that differ from cluster to cluster.
fn demanded(preset: &str, cni: &str) -> Vec<(&'static str, &'static str)> {
    let canal_or_cilium = if cni == "calico" { "canal" } else { "cilium" };
    match preset {
        "aks" => vec![("apiServerSources", "10.225.0.0/28")],
        "eks" => vec![("encapsulation", "none"), ("controlPlaneCIDRs", "10.0.16.0/20,10.0.32.0/20")],
        "gke" => vec![("controlPlaneCIDRs", "172.16.0.0/28")],
        "k0s" => vec![("controllerCIDRs", "10.20.0.0/24")],
        "k3s" | "rke2" => vec![("cni", canal_or_cilium)],
        "lke" => vec![("apiServerSources", "172.31.0.0/16")],
        "talos" => vec![("adminCIDRs", "10.9.0.0/16")],
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
struct Matrix {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    addons: BTreeMap<String, Addon>,
}

#[derive(Deserialize)]
struct Parameter {
    r#type: String,
    #[serde(default)]
    default: Option<serde_json::Value>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
struct Addon {
    default: bool,
}

/// Every preset for a CNI: with its defaults first, then with each toggle turned alone. Toggles are read from the preset
/// itself, so a new one is covered without being named here.
///
/// # Panics
///
/// When a preset cannot be read.
#[must_use]
pub fn all(cni: &str) -> Vec<Variant> {
    presets::all().iter().flat_map(|preset| of(preset, cni)).collect()
}

fn of(preset: &'static Preset, cni: &str) -> Vec<Variant> {
    let matrix: Matrix = serde_saphyr::from_str(preset.text).expect("a preset is YAML");
    let base: Vec<(String, String)> =
        demanded(preset.name, cni).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let settings = |set: Option<(String, String)>, addon: Option<(String, bool)>| Settings {
        set: base.iter().cloned().chain(set).collect(),
        addons: addon.into_iter().collect(),
        cni: Some(cni.to_owned()),
        ..Settings::default()
    };
    let mut variants = vec![Variant { preset, toggle: String::new(), settings: settings(None, None) }];
    for (name, parameter) in &matrix.spec.parameters {
        let default = base
            .iter()
            .find(|(base, _)| base == name)
            .map(|(_, value)| serde_json::Value::String(value.clone()))
            .or_else(|| parameter.default.clone());
        let values: Vec<String> = match parameter.r#type.as_str() {
            "bool" => vec![(default != Some(serde_json::Value::Bool(true))).to_string()],
            "enum" => parameter
                .values
                .iter()
                .filter(|value| default.as_ref() != Some(&(*value).as_str().into()))
                .cloned()
                .collect(),
            _ => Vec::new(),
        };
        for value in values {
            let toggle = format!("{name}={value}");
            variants.push(Variant { preset, toggle, settings: settings(Some((name.clone(), value)), None) });
        }
    }
    for (name, addon) in &matrix.spec.addons {
        let toggle = format!("{name}={}", if addon.default { "off" } else { "on" });
        variants.push(Variant { preset, toggle, settings: settings(None, Some((name.clone(), !addon.default))) });
    }
    variants
}
