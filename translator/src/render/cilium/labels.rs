//! Label selectors in Cilium's spelling, and whether the labels that they look at exist for it.

use std::collections::BTreeMap;

use policy::cilium::label_filter::{K8S, LabelFilter, NODE};
use policy::object::{LabelSelector, Operator, Requirement};

/// Name of the namespace of a pod.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Prefix of the labels that a pod has from its namespace.
const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels.";
/// Name of the cluster.
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";

/// A role's nodes, as the subject of a policy. The source is named because a bare key would also match reserved labels:
/// a key `host` would select every node.
pub(super) fn host(selector: &LabelSelector) -> LabelSelector {
    rename(selector, |key| format!("{K8S}:{key}"))
}

/// Other nodes, as peers.
pub(super) fn nodes(selector: &LabelSelector, cluster: Option<&str>) -> LabelSelector {
    of_cluster(rename(selector, |key| format!("{NODE}:{key}")), cluster)
}

/// Pods, as peers. An empty selector means the pods of the cluster: the agent adds that they must have a namespace.
pub(super) fn pods(namespaces: Option<&LabelSelector>, pods: &LabelSelector, cluster: Option<&str>) -> LabelSelector {
    let mut selector = rename(pods, |key| format!("{K8S}:{key}"));
    if let Some(namespaces) = namespaces {
        // The name of a namespace is a label of its own, but only in the positive: the agent leaves out that the pod must
        // have a namespace when a selector speaks of it, so a negative would match more than pods.
        for (key, value) in &namespaces.match_labels {
            let key = if key == NAMESPACE_NAME { format!("{K8S}:{NAMESPACE}") } else { namespace_label(key) };
            selector.match_labels.insert(key, value.clone());
        }
        for requirement in &namespaces.match_expressions {
            let name = requirement.key == NAMESPACE_NAME && requirement.operator == Operator::In;
            let key = if name { format!("{K8S}:{NAMESPACE}") } else { namespace_label(&requirement.key) };
            selector.match_expressions.push(Requirement { key, ..requirement.clone() });
        }
    }
    of_cluster(selector, cluster)
}

fn namespace_label(key: &str) -> String {
    format!("{K8S}:{NAMESPACE_LABELS}{key}")
}

fn of_cluster(mut selector: LabelSelector, cluster: Option<&str>) -> LabelSelector {
    if let Some(cluster) = cluster {
        selector.match_labels.insert(format!("{K8S}:{CLUSTER}"), cluster.to_owned());
    }
    selector
}

fn rename(selector: &LabelSelector, key: impl Fn(&str) -> String) -> LabelSelector {
    LabelSelector {
        match_labels: selector
            .match_labels
            .iter()
            .map(|(name, value)| (key(name), value.clone()))
            .collect::<BTreeMap<_, _>>(),
        match_expressions: selector
            .match_expressions
            .iter()
            .map(|requirement| Requirement { key: key(&requirement.key), ..requirement.clone() })
            .collect(),
    }
}

/// The first key of a role's selector that Cilium drops.
pub(super) fn dropped_of_host<'a>(filter: &LabelFilter, selector: &'a LabelSelector) -> Option<&'a str> {
    selector.keys().find(|key| !filter.keeps(K8S, key))
}

/// The first key of a node peer's selector that Cilium drops.
pub(super) fn dropped_of_node<'a>(filter: &LabelFilter, selector: &'a LabelSelector) -> Option<&'a str> {
    selector.keys().find(|key| !filter.keeps(NODE, key))
}

/// The first key of a pod peer's selectors that Cilium drops.
pub(super) fn dropped_of_pod<'a>(
    filter: &LabelFilter,
    namespaces: Option<&'a LabelSelector>,
    pods: &'a LabelSelector,
) -> Option<&'a str> {
    let namespace_key = |key: &&str| !filter.keeps(K8S, &format!("{NAMESPACE_LABELS}{key}"));
    let of_namespaces = namespaces.and_then(|namespaces| namespaces.keys().find(namespace_key));
    dropped_of_host(filter, pods).or(of_namespaces)
}
