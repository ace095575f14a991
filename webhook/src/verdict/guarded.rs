//! Which changes can change a verdict at all.

use policy::object::{is_same_without, strip};
use serde_json::Value;

use crate::validate::Change;

/// Guarded kinds: group, kind, plural. The rules of the webhook configuration list the same.
pub const GUARDED: [(&str, &str, &str); 18] = [
    ("projectcalico.org", "GlobalNetworkPolicy", "globalnetworkpolicies"),
    ("projectcalico.org", "HostEndpoint", "hostendpoints"),
    ("projectcalico.org", "Tier", "tiers"),
    ("projectcalico.org", "GlobalNetworkSet", "globalnetworksets"),
    ("projectcalico.org", "NetworkSet", "networksets"),
    ("projectcalico.org", "FelixConfiguration", "felixconfigurations"),
    ("projectcalico.org", "KubeControllersConfiguration", "kubecontrollersconfigurations"),
    ("projectcalico.org", "IPPool", "ippools"),
    ("crd.projectcalico.org", "GlobalNetworkPolicy", "globalnetworkpolicies"),
    ("crd.projectcalico.org", "HostEndpoint", "hostendpoints"),
    ("crd.projectcalico.org", "Tier", "tiers"),
    ("crd.projectcalico.org", "GlobalNetworkSet", "globalnetworksets"),
    ("crd.projectcalico.org", "NetworkSet", "networksets"),
    ("crd.projectcalico.org", "FelixConfiguration", "felixconfigurations"),
    ("crd.projectcalico.org", "KubeControllersConfiguration", "kubecontrollersconfigurations"),
    ("crd.projectcalico.org", "IPPool", "ippools"),
    ("cilium.io", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"),
    ("cilium.io", "CiliumCIDRGroup", "ciliumcidrgroups"),
];

/// Whether changes of a kind are judged.
pub fn is_guarded(group: &str, kind: &str) -> bool {
    GUARDED.iter().any(|(guarded, its, _)| *guarded == group && *its == kind)
}

/// Plural of a guarded kind, with its group, as kubectl takes it.
pub(super) fn resource(group: &str, kind: &str) -> Option<String> {
    let found = GUARDED.iter().find(|(guarded, its, _)| *guarded == group && *its == kind);
    found.map(|(group, _, plural)| format!("{plural}.{group}"))
}

/// Whether a change can change a verdict: one of bookkeeping or status alone cannot.
pub fn is_relevant(change: &Change<'_>) -> bool {
    let kind = &change.request.kind;
    if !is_guarded(&kind.group, &kind.kind) {
        return false;
    }
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => !is_same_without(&before.value, &after.value, &["status"]),
        _ => true,
    }
}

/// An object without what no verdict reads.
pub fn content(value: &Value) -> Value {
    let mut object = value.clone();
    strip(&mut object);
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}
