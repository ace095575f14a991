//! What is read from the API server: one table, for the watches, for RBAC and for the self-test.

/// Objects of one kind, and why they are read.
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

const CALICO: [&str; 2] = ["projectcalico.org", "crd.projectcalico.org"];

const fn row(group: &'static str, versions: &'static [&'static str], names: (&'static str, &'static str)) -> Row {
    let (kind, resource) = names;
    Row { group, versions, kind, resource, namespace: None, name: None, class: Class::Fact, why: "" }
}

impl Row {
    const fn policy(self, why: &'static str) -> Self {
        Self { class: Class::Policy, why, ..self }
    }

    const fn fact(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    const fn of(self, namespace: &'static str) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    const fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

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

    /// Whether it is the one of objects of a group and kind with this place.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.namespace.is_none_or(|own| own == namespace) && self.name.is_none_or(|own| own == name)
    }
}

/// Whether a group is one of Calico's, which hold the same objects where its API server is aggregated.
pub fn is_calico(group: &str) -> bool {
    CALICO.contains(&group)
}

const V1: &[&str] = &["v1"];
const V3: &[&str] = &["v3"];
const CILIUM: &[&str] = &["v2", "v2alpha1"];
const CORE: &str = "";
const CONFIG_MAP: (&str, &str) = ("ConfigMap", "configmaps");
const DAEMON_SET: (&str, &str) = ("DaemonSet", "daemonsets");

const TIERS: &str = "order and default of Calico's policies";
const POLICIES: &str = "Calico's host policies";
const ENDPOINTS: &str = "interfaces that Calico polices";
const SETS: &str = "addresses that Calico's policies name";
const FELIX: &str = "failsafe ports and settings of calico-node";
const CONTROLLERS: &str = "host endpoints that Calico makes for every node";
const POOLS: &str = "tunnels and masquerading of Calico";
const BGP: &str = "routers that Calico's nodes talk to";
const AGENTS: &str = "agents of CNIs: version, environment and arguments";
const SETTINGS: &str = "configuration of CNIs, kube-proxy and kubeadm";
const CILIUM_BGP: &str = "routers that Cilium's nodes talk to";

/// Everything that is read to judge.
pub const ROWS: [Row; 50] = [
    row(CALICO[0], V3, ("GlobalNetworkPolicy", "globalnetworkpolicies")).policy(POLICIES),
    row(CALICO[0], V3, ("Tier", "tiers")).policy(TIERS),
    row(CALICO[0], V3, ("GlobalNetworkSet", "globalnetworksets")).policy(SETS),
    row(CALICO[0], V3, ("NetworkSet", "networksets")).policy(SETS),
    row(CALICO[0], V3, ("HostEndpoint", "hostendpoints")).policy(ENDPOINTS),
    row(CALICO[0], V3, ("FelixConfiguration", "felixconfigurations")).policy(FELIX),
    row(CALICO[0], V3, ("KubeControllersConfiguration", "kubecontrollersconfigurations")).policy(CONTROLLERS),
    row(CALICO[0], V3, ("IPPool", "ippools")).policy(POOLS),
    row(CALICO[0], V3, ("Profile", "profiles")).fact("labels and rules that Calico's endpoints have by default"),
    row(CALICO[0], V3, ("BGPConfiguration", "bgpconfigurations")).fact(BGP),
    row(CALICO[0], V3, ("BGPPeer", "bgppeers")).fact(BGP),
    row(CALICO[1], V1, ("GlobalNetworkPolicy", "globalnetworkpolicies")).policy(POLICIES),
    row(CALICO[1], V1, ("Tier", "tiers")).policy(TIERS),
    row(CALICO[1], V1, ("GlobalNetworkSet", "globalnetworksets")).policy(SETS),
    row(CALICO[1], V1, ("NetworkSet", "networksets")).policy(SETS),
    row(CALICO[1], V1, ("HostEndpoint", "hostendpoints")).policy(ENDPOINTS),
    row(CALICO[1], V1, ("FelixConfiguration", "felixconfigurations")).policy(FELIX),
    row(CALICO[1], V1, ("KubeControllersConfiguration", "kubecontrollersconfigurations")).policy(CONTROLLERS),
    row(CALICO[1], V1, ("IPPool", "ippools")).policy(POOLS),
    row(CALICO[1], V1, ("BGPConfiguration", "bgpconfigurations")).fact(BGP),
    row(CALICO[1], V1, ("BGPPeer", "bgppeers")).fact(BGP),
    row("cilium.io", CILIUM, ("CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"))
        .policy("Cilium's host policies"),
    row("cilium.io", CILIUM, ("CiliumCIDRGroup", "ciliumcidrgroups")).policy("addresses that Cilium's policies name"),
    row("cilium.io", CILIUM, ("CiliumNode", "ciliumnodes")).fact("addresses that Cilium knows of nodes"),
    row("cilium.io", CILIUM, ("CiliumNodeConfig", "ciliumnodeconfigs")).fact("settings of Cilium by node"),
    row("cilium.io", CILIUM, ("CiliumBGPClusterConfig", "ciliumbgpclusterconfigs")).fact(CILIUM_BGP),
    row("cilium.io", CILIUM, ("CiliumBGPPeerConfig", "ciliumbgppeerconfigs")).fact(CILIUM_BGP),
    row("cilium.io", CILIUM, ("CiliumBGPPeeringPolicy", "ciliumbgppeeringpolicies")).fact(CILIUM_BGP),
    row("metallb.io", &["v1beta2"], ("BGPPeer", "bgppeers")).fact("routers that MetalLB talks to"),
    row(CORE, V1, ("Node", "nodes")).fact("labels, addresses and roles of nodes"),
    row(CORE, V1, ("Pod", "pods")).fact("addresses that selectors and identities stand for; ports on hosts"),
    row(CORE, V1, ("Namespace", "namespaces")).fact("labels that selectors of pods ask for"),
    row(CORE, V1, ("ServiceAccount", "serviceaccounts")).fact("labels that selectors of pods ask for"),
    row(CORE, V1, ("Service", "services")).fact("node ports, and what webhooks and policies name"),
    row(CORE, V1, ("PersistentVolume", "persistentvolumes")).fact("storage that nodes reach over the network"),
    row("discovery.k8s.io", V1, ("EndpointSlice", "endpointslices")).fact("where the API server and webhooks are"),
    row("admissionregistration.k8s.io", V1, ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"))
        .fact("webhooks that the API server calls"),
    row("admissionregistration.k8s.io", V1, ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"))
        .fact("webhooks that the API server calls"),
    row("apiregistration.k8s.io", V1, ("APIService", "apiservices")).fact("API servers that are aggregated"),
    row(CORE, V1, CONFIG_MAP).of("kube-system").fact(SETTINGS),
    row(CORE, V1, CONFIG_MAP).of("kube-flannel").fact(SETTINGS),
    row(CORE, V1, CONFIG_MAP).of("cilium").fact(SETTINGS),
    row(CORE, V1, CONFIG_MAP).of("kube-public").named("cluster-info").fact("where nodes dial the API server"),
    row("apps", V1, DAEMON_SET).of("kube-system").fact(AGENTS),
    row("apps", V1, DAEMON_SET).of("calico-system").fact(AGENTS),
    row("apps", V1, DAEMON_SET).of("kube-flannel").fact(AGENTS),
    row("apps", V1, DAEMON_SET).of("cilium").fact(AGENTS),
    row("apps", V1, DAEMON_SET).of("openshift-ovn-kubernetes").fact(AGENTS),
    row("apps", V1, DAEMON_SET).of("harvester-system").fact("the virtual address of Harvester's control plane"),
    row("apps", V1, ("Deployment", "deployments"))
        .of("cattle-system")
        .named("cattle-cluster-agent")
        .fact("where Rancher is"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use policy::lifeline::detect;
    use policy::snapshot::Key;

    use super::*;

    #[test]
    fn no_row_stands_twice_and_each_says_why() {
        let rows: BTreeSet<_> = ROWS.iter().map(|row| (row.group, row.kind, row.namespace, row.name)).collect();
        assert_eq!(rows.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| !row.why.is_empty() && !row.versions.is_empty()));
    }

    #[test]
    fn what_is_guarded_is_read_again_for_each_change() {
        let guarded = [
            "GlobalNetworkPolicy",
            "HostEndpoint",
            "Tier",
            "GlobalNetworkSet",
            "NetworkSet",
            "FelixConfiguration",
            "KubeControllersConfiguration",
            "IPPool",
        ];
        for group in CALICO {
            let policy =
                |kind: &&str| ROWS.iter().any(|row| (row.group, row.kind, row.class) == (group, *kind, Class::Policy));
            assert!(guarded.iter().all(policy), "{group}");
        }
        // Whatever else tells of lifelines is a fact, and what is not a fact is policy or read by detection too.
        let key = |row: &Row| Key {
            group: row.group.to_owned(),
            kind: row.kind.to_owned(),
            namespace: String::new(),
            name: String::new(),
        };
        let facts = ROWS.iter().filter(|row| row.class == Class::Fact);
        assert!(facts.filter(|row| row.kind != "Profile").all(|row| detect::reads(&key(row))));
    }
}
