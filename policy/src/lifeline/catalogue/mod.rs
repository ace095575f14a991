//! Every lifeline that is known, before looking at a cluster.
//!
//! Severities: without a blocker the cluster, or the way to repair it, is lost; without a major one parts of it stop; a
//! minor one is missed only later.

mod control_plane;
mod network;
mod node;

use serde::Serialize;

use super::model::Severity;

/// A flow that clusters live on.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Stable id, as the `flow` of a row in a matrix has it.
    pub id: &'static str,
    /// How bad a cut is.
    pub severity: Severity,
    /// Who opens it.
    pub from: &'static str,
    /// Who answers.
    pub to: &'static str,
    /// Which packets.
    pub packets: &'static str,
    /// What in a cluster tells of it.
    pub detected: &'static str,
    /// What breaks without it, for the one who is paged.
    pub breaks: &'static str,
    /// Where it is documented: a URL, or `owner/repo:path`.
    pub documented: &'static str,
}

/// The catalogue, in the order in which lifelines are reported.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    [control_plane::ENTRIES, network::ENTRIES, node::ENTRIES].into_iter().flatten()
}

/// An entry by its id.
pub fn find(id: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_whole_and_unique() {
        let mut ids: Vec<&str> = all().map(|entry| entry.id).collect();
        for entry in all() {
            for text in [entry.from, entry.to, entry.packets, entry.detected, entry.breaks] {
                assert!(!text.is_empty() && !text.ends_with('.'), "{}: {text}", entry.id);
            }
            let documented = entry.documented;
            assert!(documented.starts_with("https://") || documented.contains(':'), "{}: {documented}", entry.id);
        }
        assert_eq!(ids.len(), 30);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 30);
    }

    #[test]
    fn what_a_cluster_is_lost_without_is_a_blocker() {
        let blockers: Vec<&str> = all().filter(|it| it.severity == Severity::Blocker).map(|it| it.id).collect();
        for id in [
            "kube-apiserver",
            "kubelet-api",
            "exec-tunnel",
            "supervisor",
            "etcd-client",
            "etcd-peer",
            "overlay",
            "webhook-path",
            "lifeline-webhook",
            "loopback",
            "admin-ssh",
            "admin-talos",
            "dhcp4",
            "icmp6-nd",
        ] {
            assert!(blockers.contains(&id), "{id}");
        }
    }
}
