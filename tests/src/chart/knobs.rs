//! What users of the chart change beyond the layers: a place in the manifests, and what the template has there.

/// What a template has in a place.
#[derive(Debug)]
pub(super) enum What {
    /// The value in this expression; `@` in it is what the manifests have.
    Value(&'static str),
    /// This value if it is set; else what the manifests have.
    Whole(&'static str),
    /// What the manifests have, and after it these lines of the same map or list.
    More(&'static [&'static str]),
    /// A LifelineConfig with `spec` merged over what the manifests have.
    Config,
    /// Only under this condition.
    If(&'static str),
}

/// A place and what is there.
#[derive(Debug)]
pub(super) struct Knob {
    /// Kinds of the object.
    pub(super) kinds: &'static [&'static str],
    /// The end of the path: keys, and names of list items.
    pub(super) path: &'static str,
    pub(super) what: What,
}

const PODS: &[&str] = &["DaemonSet", "Deployment"];

pub(super) const KNOBS: [Knob; 8] = [
    // Made by `helm install --create-namespace`, or by whoever gives it labels.
    Knob { kinds: &["Namespace"], path: "", what: What::If(".Values.createNamespace") },
    Knob {
        kinds: PODS,
        path: "/containers/webhook/image",
        what: What::Value("printf \"%s:%s\" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion)"),
    },
    Knob {
        kinds: PODS,
        path: "/spec/template/spec",
        what: What::More(&["{{- with .Values.image.pullSecrets }}", "imagePullSecrets: {{ toJson . }}", "{{- end }}"]),
    },
    Knob { kinds: PODS, path: "/containers/webhook/resources", what: What::Whole(".Values.resources") },
    Knob {
        kinds: PODS,
        path: "/containers/webhook/args",
        what: What::More(&[
            "{{- if ne .Release.Namespace \"lifeline-system\" }}",
            "- {{ printf \"--namespace=%s\" .Release.Namespace | quote }}",
            "{{- end }}",
            "{{- range .Values.extraArgs }}",
            "- {{ . | quote }}",
            "{{- end }}",
        ]),
    },
    Knob { kinds: &["Deployment"], path: "/spec/replicas", what: What::Value(".Values.replicas | default @") },
    Knob {
        kinds: &["ValidatingWebhookConfiguration"],
        path: "/webhooks/write.lifeline.dev/failurePolicy",
        what: What::Value(".Values.failurePolicy | default @"),
    },
    Knob { kinds: &["ConfigMap"], path: "/data/lifeline.yaml", what: What::Config },
];
