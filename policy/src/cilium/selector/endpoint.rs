//! What the agent adds to selectors as it takes them (cilium/cilium:pkg/k8s/apis/cilium.io/utils/utils.go,
//! `ParseToCiliumRule`).

use super::{Requirement, Selector};
use crate::cilium::label::{ANY, CIDR_GROUP, CLUSTER, K8S, NAMESPACE, RESERVED};
use crate::object::{LabelSelector, Operator};

/// A selector as written: that of the hosts a rule is for.
pub fn written(selector: &LabelSelector) -> Vec<Requirement> {
    Selector::requirements(selector, ANY)
}

/// `fromEndpoints` and `toEndpoints` of a cluster-wide policy.
///
/// Unless a key is reserved, it means pods (a namespace must exist) and, with `cluster`, those of this cluster, where
/// the selector does not itself speak of namespace or cluster.
pub fn endpoints(selector: &LabelSelector, cluster: Option<&str>) -> Selector {
    let mut requirements = Selector::requirements(selector, ANY);
    if requirements.iter().any(|one| one.label.source == RESERVED) {
        return Selector::of(requirements);
    }
    if !speaks_of(&requirements, NAMESPACE) {
        requirements.push(Requirement::new(&format!("{K8S}:{NAMESPACE}"), Operator::Exists, Vec::new()));
    }
    add_cluster(&mut requirements, cluster);
    Selector::of(requirements)
}

/// `fromNodes` and `toNodes`: other nodes only, never this one.
pub fn nodes(selector: &LabelSelector, cluster: Option<&str>) -> Selector {
    let mut requirements = Selector::requirements(selector, ANY);
    requirements.push(Requirement::new(&format!("{RESERVED}:remote-node"), Operator::Exists, Vec::new()));
    add_cluster(&mut requirements, cluster);
    Selector::of(requirements)
}

/// `cidrGroupSelector`: bare keys are labels of CIDR groups.
pub fn groups(selector: &LabelSelector) -> Vec<Requirement> {
    Selector::requirements(selector, CIDR_GROUP)
}

fn add_cluster(requirements: &mut Vec<Requirement>, cluster: Option<&str>) {
    if let Some(cluster) = cluster
        && !speaks_of(requirements, CLUSTER)
    {
        requirements.push(Requirement::new(&format!("{K8S}:{CLUSTER}"), Operator::In, vec![cluster.to_owned()]));
    }
}

/// Whether a requirement is on this key, of Kubernetes or of any source.
fn speaks_of(requirements: &[Requirement], key: &str) -> bool {
    requirements.iter().any(|one| one.label.key == key && (one.label.source == K8S || one.label.source == ANY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(key: &str) -> LabelSelector {
        LabelSelector { match_labels: [(key.to_owned(), "x".to_owned())].into(), match_expressions: Vec::new() }
    }

    #[test]
    fn pods_of_the_local_cluster_are_meant_unless_said_otherwise() {
        let text = |key: &str| endpoints(&selector(key), Some("c1")).to_string();
        assert_eq!(
            text("app"),
            "any:app=x and k8s:io.kubernetes.pod.namespace and k8s:io.cilium.k8s.policy.cluster=c1"
        );
        assert_eq!(text("reserved:health"), "reserved:health=x");
        assert_eq!(
            text("io.kubernetes.pod.namespace"),
            "any:io.kubernetes.pod.namespace=x and k8s:io.cilium.k8s.policy.cluster=c1"
        );
        assert_eq!(
            text("k8s:io.cilium.k8s.policy.cluster"),
            "k8s:io.cilium.k8s.policy.cluster=x and k8s:io.kubernetes.pod.namespace"
        );
        assert_eq!(endpoints(&selector("app"), None).to_string(), "any:app=x and k8s:io.kubernetes.pod.namespace");
    }

    #[test]
    fn nodes_are_remote_ones() {
        assert_eq!(
            nodes(&LabelSelector::default(), Some("c1")).to_string(),
            "reserved:remote-node and k8s:io.cilium.k8s.policy.cluster=c1"
        );
    }

    #[test]
    fn bare_keys_of_a_group_selector_are_group_labels() {
        assert_eq!(groups(&selector("team"))[0].to_string(), "cidrgroup:team=x");
        assert_eq!(groups(&selector("any:team"))[0].to_string(), "any:team=x");
        assert_eq!(groups(&selector("k8s:team"))[0].to_string(), "k8s:team=x");
    }
}
