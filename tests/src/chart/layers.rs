//! What can be put on the base, and the value of the chart that does.

use serde_json::{Value, json};

/// An overlay or a component.
#[derive(Debug)]
pub struct Layer {
    /// Its folder under `manifests/`.
    pub folder: &'static str,
    /// Whether it is a component, which stands on no base of its own.
    pub component: bool,
    /// The condition in a template under which it holds.
    pub(super) when: &'static str,
    /// The values that make the condition hold, as JSON.
    values: &'static str,
}

impl Layer {
    /// The values that switch it on.
    ///
    /// # Panics
    /// Never: they are constants, and all of them are tested.
    #[must_use]
    pub fn values(&self) -> Value {
        serde_json::from_str(self.values).unwrap_or_else(|error| json!({"unreadable": error.to_string()}))
    }
}

const fn overlay(folder: &'static str, when: &'static str, values: &'static str) -> Layer {
    Layer { folder, component: false, when, values }
}

const fn component(folder: &'static str, when: &'static str, values: &'static str) -> Layer {
    Layer { folder, component: true, when, values }
}

/// All of them, but for overlays that only name the base or a component.
pub const LAYERS: [Layer; 8] = [
    overlay("overlays/observe", r#"eq .Values.mode "observe""#, r#"{"mode": "observe"}"#),
    overlay("overlays/high-availability", ".Values.highAvailability", r#"{"highAvailability": true}"#),
    overlay("overlays/control-plane", r#"eq .Values.placement "control-plane""#, r#"{"placement": "control-plane"}"#),
    overlay(
        "overlays/cert-manager",
        r#"eq .Values.certificates "cert-manager""#,
        r#"{"certificates": "cert-manager"}"#,
    ),
    component("components/monitoring", ".Values.monitoring", r#"{"monitoring": true}"#),
    component("components/config-resource", ".Values.configResource", r#"{"configResource": true}"#),
    component(
        "components/agents-in-cilium",
        r#"has "cilium" .Values.agentNamespaces"#,
        r#"{"agentNamespaces": ["cilium"]}"#,
    ),
    component(
        "components/agents-in-kube-flannel",
        r#"has "kube-flannel" .Values.agentNamespaces"#,
        r#"{"agentNamespaces": ["kube-flannel"]}"#,
    ),
];
