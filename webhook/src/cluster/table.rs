//! What is read from the API server, row by row: for the watches, for RBAC and for the self-test.
//!
//! Kinds and reasons are those of [`policy::snapshot::sources`]; here is which version is understood, and where exactly.

use std::sync::LazyLock;

use policy::snapshot::sources::{Namespaces, Resource, resources};

use crate::verdict::is_guarded;

/// Objects of one kind, in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Versions that are understood, the preferred first. The first that is served is read.
    pub versions: &'static [&'static str],
    /// Kind.
    pub kind: &'static str,
    /// Resource, as in URLs and in RBAC.
    pub resource: &'static str,
    /// The one namespace in which they are read; absent: cluster-scoped, or all namespaces.
    pub namespace: Option<&'static str>,
    /// The one object that is read; absent: all.
    pub name: Option<&'static str>,
    /// What they are for.
    pub class: Class,
    /// Whether the right to read them is given only where they are needed. Forbidden is then as good as absent: what is
    /// missed shows as a setting of an agent that is not known.
    pub optional: bool,
    /// What is not known without them.
    pub why: &'static str,
}

/// What objects are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Host policy: guarded, and read again for each change that a verdict depends on.
    Policy,
    /// Facts about the cluster: read from a cache.
    Fact,
}

/// Everything that is read to judge.
pub static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| resources().flat_map(rows).collect());

/// Where agents of the network may run besides the namespaces that every cluster has.
const OF_AGENTS: [&str; 2] = ["cilium", "kube-flannel"];

fn rows(resource: Resource) -> Vec<Row> {
    let Resource { group, kind, plural, namespaces, why } = resource;
    let class = if is_guarded(group, kind) { Class::Policy } else { Class::Fact };
    let versions = versions(group);
    let row = Row { group, versions, kind, resource: plural, namespace: None, name: None, class, optional: false, why };
    match (kind, namespaces) {
        // Calico makes these of namespaces and service accounts, and stores none.
        ("Profile", _) if group == "crd.projectcalico.org" => Vec::new(),
        // Where Rancher is. What else runs in a cluster is not for us to know.
        ("Deployment", _) => vec![Row { name: Some("cattle-cluster-agent"), ..row }],
        (_, Namespaces::None | Namespaces::All) => vec![row],
        (_, Namespaces::OfAgents(fixed)) => {
            let fixed = fixed.iter().map(|namespace| {
                // The one that everybody may read is of kubeadm.
                let name = (*namespace == "kube-public").then_some("cluster-info");
                Row { namespace: Some(namespace), name, ..row }
            });
            let others = OF_AGENTS.iter().map(|namespace| Row { namespace: Some(namespace), optional: true, ..row });
            fixed.chain(others).collect()
        }
    }
}

fn versions(group: &str) -> &'static [&'static str] {
    match group {
        "projectcalico.org" => &["v3"],
        "cilium.io" => &["v2", "v2alpha1"],
        "metallb.io" => &["v1beta2"],
        _ => &["v1"],
    }
}

impl Row {
    /// Kind and group, as kubectl writes resources, with the place where they are read.
    pub fn title(&self) -> String {
        let mut title = self.resource.to_owned();
        if !self.group.is_empty() {
            title = format!("{title}.{}", self.group);
        }
        match (self.namespace, self.name) {
            (Some(namespace), Some(name)) => format!("{title} {namespace}/{name}"),
            (Some(namespace), None) => format!("{title} in {namespace}"),
            (None, Some(name)) => format!("{title} {name}"),
            (None, None) => title,
        }
    }

    /// Whether an object of its kind, with this place, is one of its own.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.namespace.is_none_or(|own| own == namespace) && self.name.is_none_or(|own| own == name)
    }
}

/// Whether a group is one of Calico's, which hold the same objects where its API server is aggregated.
pub fn is_calico(group: &str) -> bool {
    ["projectcalico.org", "crd.projectcalico.org"].contains(&group)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::verdict::GUARDED;

    #[test]
    fn no_row_stands_twice_and_each_says_why() {
        let places: BTreeSet<_> = ROWS.iter().map(|row| (row.group, row.kind, row.namespace, row.name)).collect();
        assert_eq!(places.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| !row.why.is_empty() && !row.versions.is_empty()));
    }

    #[test]
    fn what_is_guarded_is_read_again_for_each_change_whole() {
        let policy = ROWS.iter().filter(|row| row.class == Class::Policy);
        let policy: BTreeSet<_> = policy.map(|row| (row.group, row.kind, row.resource)).collect();
        assert_eq!(policy, GUARDED.into_iter().collect());
        let whole = |row: &Row| row.namespace.is_none() && row.name.is_none() && !row.optional;
        assert!(ROWS.iter().filter(|row| row.class == Class::Policy).all(whole));
    }

    #[test]
    fn config_maps_are_read_where_agents_are_and_nowhere_else() {
        let maps: Vec<String> = ROWS.iter().filter(|row| row.kind == "ConfigMap").map(Row::title).collect();
        let expected = [
            "configmaps kube-public/cluster-info",
            "configmaps in kube-system",
            "configmaps in cilium",
            "configmaps in kube-flannel",
        ];
        assert_eq!(maps, expected);
        assert!(!ROWS.iter().any(|row| row.kind == "Secret"));
    }
}
