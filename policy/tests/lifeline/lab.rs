//! A small cluster with what it lives on, written as manifests.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::calico::compile::Assumptions as CalicoAssumptions;
use policy::calico::settings::Dataplane;
use policy::calico::version::Version;
use policy::lifeline::detect::Detected;
use policy::lifeline::judge::{Assumptions, Change};
use policy::lifeline::{Flow, Lifeline, Party, Ports, Severity, Traffic};
use policy::snapshot::{Loader, Snapshot, manifests};

/// A snapshot of manifests.
pub(crate) fn snapshot(texts: &[&str]) -> Snapshot {
    let mut loader = Loader::default();
    for text in texts {
        loader.read("state.yaml", text).expect("manifests");
    }
    loader.finish().snapshot
}

/// Objects as they will be.
pub(crate) fn put(text: &str) -> Vec<Change> {
    manifests("change.yaml", text).expect("manifests").into_iter().map(Change::Put).collect()
}

/// Objects to go.
pub(crate) fn delete(text: &str) -> Vec<Change> {
    manifests("change.yaml", text)
        .expect("manifests")
        .into_iter()
        .map(|manifest| Change::Delete(manifest.key))
        .collect()
}

/// What the tests take for granted about the agents.
pub(crate) fn assumptions() -> Assumptions {
    let version = Some(Version { major: 3, minor: 31 });
    let calico = CalicoAssumptions { version, dataplane: Some(Dataplane::Nftables), native: false };
    Assumptions { calico, ..Assumptions::default() }
}

pub(crate) fn others(name: &str, nets: &[&str]) -> Party {
    Party::Addresses { name: name.to_owned(), nets: nets.iter().map(|net| net.parse().expect(net)).collect() }
}

pub(crate) fn tcp(first: u16, last: u16) -> Traffic {
    Traffic::of(6, Ports::Range(first, last))
}

pub(crate) fn udp(port: u16) -> Traffic {
    Traffic::of(17, Ports::Range(port, port))
}

pub(crate) fn lifeline(id: &str, severity: Severity, flows: Vec<(Party, Party, Vec<Traffic>)>) -> Lifeline {
    Lifeline {
        id: id.to_owned(),
        severity,
        flows: flows.into_iter().map(|(from, to, traffic)| Flow { from, to, traffic }).collect(),
        breaks: format!("{id} breaks"),
        documented: String::new(),
        origins: Vec::new(),
    }
}

/// What the cluster lives on, worked out from the labels of its nodes.
pub(crate) fn lifelines(snapshot: &Snapshot) -> Detected {
    let names = |of: &dyn Fn(&policy::snapshot::Node) -> bool| {
        let all = snapshot.cluster.nodes.iter().filter(|node| of(node)).map(|node| node.name.clone());
        Party::Nodes(Arc::new(all.collect::<BTreeSet<_>>()))
    };
    let control = |node: &policy::snapshot::Node| node.labels.contains_key("node-role.kubernetes.io/control-plane");
    let (all, api) = (names(&|_| true), names(&control));
    let pods = others("pods", &["10.244.0.0/16"]);
    let admins = others("administrators", &["192.0.2.0/24"]);
    let mut found = vec![
        lifeline(
            "kube-apiserver",
            Severity::Blocker,
            vec![
                (all.clone(), api.clone(), vec![tcp(6443, 6443)]),
                (pods.clone(), api.clone(), vec![tcp(6443, 6443)]),
                (admins.clone(), api.clone(), vec![tcp(6443, 6443)]),
            ],
        ),
        lifeline(
            "kubelet-api",
            Severity::Blocker,
            vec![
                (api.clone(), all.clone(), vec![tcp(10250, 10250)]),
                (pods.clone(), all.clone(), vec![tcp(10250, 10250)]),
            ],
        ),
        lifeline("etcd-peer", Severity::Blocker, vec![(api.clone(), api.clone(), vec![tcp(2379, 2380)])]),
        lifeline("overlay", Severity::Blocker, vec![(all.clone(), all.clone(), vec![udp(4789)])]),
        lifeline("supervisor", Severity::Blocker, vec![(all.clone(), api.clone(), vec![tcp(9345, 9345)])]),
        lifeline("bgp", Severity::Major, vec![(all.clone(), all.clone(), vec![tcp(179, 179)])]),
        lifeline("cni-control", Severity::Major, vec![(all.clone(), api.clone(), vec![tcp(5473, 5473)])]),
        lifeline(
            "dns",
            Severity::Major,
            vec![(all.clone(), others("resolvers", &["192.0.2.53/32"]), vec![udp(53), tcp(53, 53)])],
        ),
        lifeline("admin-ssh", Severity::Blocker, vec![(admins, all.clone(), vec![tcp(22, 22)])]),
        lifeline(
            "webhook-path",
            Severity::Blocker,
            vec![(api, others("webhook pods", &["10.244.1.9/32"]), vec![tcp(8443, 8443)])],
        ),
        lifeline("pod-to-pod", Severity::Major, vec![(pods.clone(), pods, vec![tcp(8080, 8080)])]),
        lifeline(
            "icmp-health",
            Severity::Minor,
            vec![(all.clone(), all.clone(), vec![Traffic::of(1, Ports::Icmp(8, None))])],
        ),
        lifeline("loopback", Severity::Blocker, vec![(all, Party::Loopback, vec![Traffic::ANY])]),
    ];
    let v6 = snapshot.cluster.nodes.iter().any(|node| node.internal.iter().any(std::net::IpAddr::is_ipv6));
    if v6 {
        let link = others("the link", &["fe80::/10"]);
        let kinds = (133..=136).map(|kind| Traffic::of(58, Ports::Icmp(kind, None)));
        let all = names(&|_| true);
        found.push(lifeline("icmp6-nd", Severity::Blocker, vec![(link, all, kinds.collect())]));
    }
    Detected { lifelines: found, ..Detected::default() }
}
