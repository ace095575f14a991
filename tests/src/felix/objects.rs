//! Where the API server keeps an object.

use serde_json::{Value, json};

use super::process::Request;

/// The label of the rig's own objects, which stay when those of a case go.
pub(super) const OWN: &str = "lifeline-rig";

/// How objects reach Felix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// Calico's own API server, which fills in, validates and stores as `crd.projectcalico.org/v1`.
    Aggregated,
    /// Custom resources as they are stored.
    Stored,
}

impl Api {
    const fn group(self) -> &'static str {
        match self {
            Self::Aggregated => "projectcalico.org/v3",
            Self::Stored => "crd.projectcalico.org/v1",
        }
    }
}

/// Kinds of Calico that a case may have, with their plurals, and whether they are in a namespace.
const KINDS: [(&str, &str, bool); 10] = [
    ("GlobalNetworkPolicy", "globalnetworkpolicies", false),
    ("NetworkPolicy", "networkpolicies", true),
    ("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies", false),
    ("HostEndpoint", "hostendpoints", false),
    ("Tier", "tiers", false),
    ("GlobalNetworkSet", "globalnetworksets", false),
    ("NetworkSet", "networksets", true),
    ("FelixConfiguration", "felixconfigurations", false),
    ("IPPool", "ippools", false),
    ("KubeControllersConfiguration", "kubecontrollersconfigurations", false),
];

/// The only namespace that cases use.
const NAMESPACE: &str = "default";

/// A request that makes an object, or nothing if its kind cannot be stored.
pub(super) fn create(api: Api, object: &Value) -> Option<Request> {
    let mut body = object.clone();
    let path = match object["apiVersion"].as_str() {
        Some(version) if !version.contains("projectcalico.org/") => kubernetes(version, object["kind"].as_str()?)?,
        _ => {
            body["apiVersion"] = json!(api.group());
            collection(api, object["kind"].as_str()?)?
        }
    };
    Some(Request { method: "POST", path: format!("{path}?fieldValidation=Strict"), body })
}

/// A request that makes or changes one of the rig's own objects.
pub(super) fn own(kind: &str, name: &str, labels: Value, spec: Value) -> Option<Request> {
    let mut labels = labels;
    labels[OWN] = json!("yes");
    let mut body = json!({"apiVersion": Api::Stored.group(), "kind": kind, "metadata": {"name": name}});
    body["metadata"]["labels"] = labels;
    body["spec"] = spec;
    let collection = collection(Api::Stored, kind)?;
    Some(Request { method: "PATCH", path: format!("{collection}/{name}?fieldManager=rig&force=true"), body })
}

/// Requests that remove every object but the rig's own and those of the kinds that are kept.
pub(super) fn clear(kept: &[&str]) -> Vec<Request> {
    let kinds = KINDS.iter().filter(|(kind, ..)| !kept.contains(kind));
    let stored = kinds.filter_map(|(kind, ..)| collection(Api::Stored, kind));
    let slices = kubernetes("discovery.k8s.io/v1", "EndpointSlice");
    let paths = stored.chain(slices);
    paths
        .map(|path| Request { method: "DELETE", path: format!("{path}?labelSelector=%21{OWN}"), body: Value::Null })
        .collect()
}

fn collection(api: Api, kind: &str) -> Option<String> {
    let (_, plural, namespaced) = KINDS.iter().find(|(known, ..)| *known == kind)?;
    let group = api.group();
    Some(if *namespaced {
        format!("/apis/{group}/namespaces/{NAMESPACE}/{plural}")
    } else {
        format!("/apis/{group}/{plural}")
    })
}

fn kubernetes(version: &str, kind: &str) -> Option<String> {
    match (version, kind) {
        ("discovery.k8s.io/v1", "EndpointSlice") => {
            Some(format!("/apis/{version}/namespaces/{NAMESPACE}/endpointslices"))
        }
        _ => None,
    }
}
