//! The ipcache: identities by prefix (cilium/cilium:pkg/ipcache/metadata.go).

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::members::{Members, PodMember, is_ciliums};
use super::{Identity, NamedPorts, Number};
use crate::cilium::label::{self, CIDR, CIDR_GROUP, GROUP_NAME, Label, Labels, NODE};
use crate::cilium::settings::Settings;
use crate::packet::protocol::{SCTP, TCP, UDP};

/// What all agents have in common: labels by prefix, from which each derives its own view.
#[derive(Clone, Debug)]
pub struct Ipcache {
    families: (bool, bool),
    nodes_by_prefix: bool,
    nodes_by_label: bool,
    /// Labels by prefix, nodes left out.
    entries: BTreeMap<IpNet, Labels>,
    /// Which node an address is known to belong to.
    nodes: BTreeMap<IpAddr, String>,
    pods: BTreeMap<IpAddr, Identity>,
    /// Identity of each prefix as an agent sees it to which every node is another one.
    resolved: BTreeMap<IpNet, Identity>,
    ports: NamedPorts,
    members: Arc<Members>,
}

/// What one node's agent sees.
#[derive(Clone, Debug)]
pub struct View<'c> {
    cache: &'c Ipcache,
    host: Identity,
    node: Option<&'c super::members::Member>,
}

/// A CIDR group: name, labels, prefixes.
pub type Group = (String, BTreeMap<String, String>, Vec<IpNet>);

impl Ipcache {
    /// Builds it from what is known of the cluster, the prefixes that policies name, and CIDR groups.
    pub fn build(
        members: Arc<Members>,
        settings: &Settings,
        prefixes: impl IntoIterator<Item = IpNet>,
        groups: &[Group],
    ) -> Self {
        let mut cache = Self {
            families: (settings.ipv4.value, settings.ipv6.value),
            nodes_by_prefix: settings.cidr_matches().nodes,
            nodes_by_label: settings.node_selectors.value,
            entries: BTreeMap::new(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            resolved: BTreeMap::new(),
            ports: NamedPorts::default(),
            members,
        };
        let members = Arc::clone(&cache.members);
        for address in &members.api_servers {
            cache.put(IpNet::from(*address), [Label::reserved("kube-apiserver")]);
        }
        for (name, node) in &members.nodes {
            for address in node.published.iter().filter(|_| node.known) {
                cache.nodes.insert(*address, name.clone());
            }
            for address in &node.health {
                cache.put(IpNet::from(*address), [Label::reserved("health")]);
            }
            for address in &node.ingress {
                cache.put(IpNet::from(*address), [Label::reserved("ingress")]);
            }
        }
        for prefix in prefixes {
            let world = cache.world(prefix.addr());
            cache.put(prefix.trunc(), [Label::cidr(prefix), world]);
        }
        cache.add_groups(groups);
        cache.reserve_world();
        cache.resolve(settings.cidr_matches().pods);
        cache
    }

    /// A prefix can be in several groups; where they disagree about a label, the first by name counts.
    fn add_groups(&mut self, groups: &[Group]) {
        for (name, labels, prefixes) in groups {
            let mut all = vec![Label::new(CIDR_GROUP, &format!("{GROUP_NAME}/{name}"), "")];
            for (key, value) in labels.iter().filter(|(key, _)| !is_ciliums(key)) {
                all.push(Label::new(CIDR_GROUP, key, value));
                all.push(Label::new(CIDR_GROUP, &format!("{key}+{value}"), ""));
            }
            for prefix in prefixes {
                let world = self.world(prefix.addr());
                self.put(prefix.trunc(), all.iter().cloned().chain([world]));
            }
        }
    }

    /// The agent takes the prefixes of length 0 for itself (cilium/cilium:daemon/cmd/hostips-sync.go): no group adds to
    /// them. It does so for the families in use; the host can have addresses of the other one all the same.
    fn reserve_world(&mut self) {
        for prefix in [IpNet::V4(Default::default()), IpNet::V6(Default::default())] {
            if !self.has_family(prefix.addr()) {
                continue;
            }
            let world = self.world(prefix.addr());
            self.entries.entry(prefix).and_modify(|labels| *labels = [world].into_iter().collect());
        }
    }

    fn put(&mut self, prefix: IpNet, labels: impl IntoIterator<Item = Label>) {
        self.entries.entry(prefix).or_default().fill(&labels.into_iter().collect());
    }

    fn resolve(&mut self, pods_by_prefix: bool) {
        let mut known = Known::default();
        let addresses = self.nodes.keys().map(|address| IpNet::from(*address));
        let prefixes: Vec<IpNet> = self.entries.keys().copied().chain(addresses).collect();
        for prefix in prefixes {
            let mut labels = Labels::default();
            let node =
                (prefix.prefix_len() == prefix.max_prefix_len()).then(|| self.nodes.get(&prefix.addr())).flatten();
            if let Some(node) = node.and_then(|name| self.members.nodes.get(name)) {
                labels.insert(Label::reserved("remote-node"));
                labels.merge(&node.labels);
                if self.nodes_by_prefix {
                    labels.insert(Label::cidr(prefix));
                }
            }
            let labels = self.complete(labels, prefix);
            let identity = known.share(Identity::of(labels, self.nodes_by_prefix || self.nodes_by_label));
            self.resolved.insert(prefix, identity);
        }
        for (address, pod) in &self.members.pods {
            let identity = known.share(self.pod(*address, pod, pods_by_prefix));
            // A pod has one port of a name, the last, whatever the protocol (cilium/cilium:pkg/types/portmap.go, `AddPort`).
            let valid = pod.ports.iter().filter(|(_, _, port)| *port != 0);
            let named = valid.filter_map(|(name, protocol, port)| Some((name, (transport(protocol)?, *port))));
            for (name, (protocol, port)) in named.collect::<BTreeMap<_, _>>() {
                self.ports.add(&identity, name, protocol, port);
            }
            self.pods.insert(*address, identity);
        }
    }

    /// A pod's own labels, and in the mode where prefixes match pods also those of the prefixes around it
    /// (cilium/cilium:pkg/endpoint/endpoint.go, `computeCIDRLabelsRLocked`).
    fn pod(&self, address: IpAddr, pod: &PodMember, by_prefix: bool) -> Identity {
        if pod.unmanaged {
            return Identity::of([Label::reserved("unmanaged")].into_iter().collect(), false);
        }
        let mut labels = Arc::clone(&pod.labels);
        if by_prefix {
            let labels = Arc::make_mut(&mut labels);
            let mut around = Labels::default();
            self.inherit(&mut around, IpNet::from(address));
            let mut has_prefix = false;
            for label in around.iter().filter(|label| label.source == CIDR || label.source == CIDR_GROUP) {
                has_prefix |= label.source == CIDR;
                labels.insert_beside(label.clone());
            }
            if !has_prefix {
                labels.insert_beside(Label::new(CIDR, if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" }, ""));
            }
        }
        Identity { number: Number::Pod { own_cluster: pod.own_cluster }, labels }
    }

    /// Takes in the labels of a prefix and of those around it, longer ones first, and only one of source `cidr`.
    fn inherit(&self, labels: &mut Labels, prefix: IpNet) {
        let mut has_prefix = labels.iter().any(|label| label.source == CIDR);
        let mut around = Some(prefix);
        while let Some(current) = around {
            if let Some(found) = self.entries.get(&current) {
                let mut taken = found.clone();
                if has_prefix {
                    taken.retain(|label| label.source != CIDR);
                }
                labels.fill(&taken);
                has_prefix = labels.iter().any(|label| label.source == CIDR);
            }
            around = current.supernet();
        }
    }

    /// Takes in what surrounds a prefix, then sees to it that members of the cluster are not outside of it, and that
    /// prefixes select them only where they may (`resolveLabels`).
    fn complete(&self, mut labels: Labels, prefix: IpNet) -> Labels {
        self.inherit(&mut labels, prefix);
        let node = labels.is_node();
        let inside = node || labels.has_reserved("health") || labels.has_reserved("ingress");
        if inside {
            for name in ["world", "world-ipv4", "world-ipv6"] {
                let world = Label::reserved(name);
                labels.retain(|label| *label != world);
            }
        }
        if inside && !(node && self.nodes_by_prefix) {
            labels.retain(|label| label.source != CIDR && label.source != CIDR_GROUP && label.source != "fqdn");
        }
        if !(node && self.nodes_by_label) {
            labels.retain(|label| label.source != NODE);
        }
        if !inside {
            labels.insert(self.world(prefix.addr()));
        }
        labels
    }

    fn world(&self, address: IpAddr) -> Label {
        label::world(address, self.families.0, self.families.1)
    }

    /// Names of the nodes, sorted.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.members.nodes.keys().map(String::as_str)
    }

    /// Named ports of peers.
    pub fn ports(&self) -> &NamedPorts {
        &self.ports
    }

    /// Whether an address is a node's own.
    pub fn is_node(&self, address: IpAddr) -> bool {
        self.members.nodes.values().any(|member| member.own.contains(&address))
    }

    /// The addresses of a node that are the host to itself.
    pub fn own(&self, node: &str) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.members.nodes.get(node).into_iter().flat_map(|member| member.own.iter().copied())
    }

    /// What a node's agent sees. A name that no node has gets a view without addresses of its own.
    pub fn view(&self, node: &str) -> View<'_> {
        let node = self.members.nodes.get(node);
        let mut host: Labels = [Label::reserved("host")].into_iter().collect();
        if let Some(member) = node {
            // What only the agent itself finds on the host's interfaces it takes for families in use alone
            // (cilium/cilium:daemon/cmd/hostips-sync.go).
            let counts = |address: &&IpAddr| self.has_family(**address) || member.published.contains(*address);
            for address in member.own.iter().filter(counts) {
                host.merge(&self.host_labels(node, *address));
            }
        }
        View { cache: self, host: Identity { number: Identity::HOST, labels: Arc::new(host) }, node }
    }

    /// What a node without addresses of its own would see: what all nodes see of others.
    pub fn outsider(&self) -> View<'_> {
        let labels = [Label::reserved("host")].into_iter().collect();
        View { cache: self, host: Identity { number: Identity::HOST, labels: Arc::new(labels) }, node: None }
    }

    /// What an address of the node itself adds to the identity of the host (`updateReservedHostLabels`).
    fn host_labels(&self, node: Option<&super::members::Member>, address: IpAddr) -> Labels {
        let mut labels: Labels = [Label::reserved("host")].into_iter().collect();
        if let Some(member) = node.filter(|member| member.published.contains(&address)) {
            if self.nodes_by_prefix {
                for known in member.published.iter().filter(|known| self.has_family(**known)) {
                    labels.insert(Label::cidr(IpNet::from(*known)));
                }
                labels.insert(Label::cidr(IpNet::from(address)));
            }
            labels.merge(&member.labels);
        }
        self.complete(labels, IpNet::from(address))
    }

    fn has_family(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.families.0 } else { self.families.1 }
    }
}

/// Identities met so far, so that equal ones share their labels.
#[derive(Default)]
struct Known(HashSet<Identity>);

impl Known {
    fn share(&mut self, identity: Identity) -> Identity {
        if let Some(known) = self.0.get(&identity) {
            return known.clone();
        }
        self.0.insert(identity.clone());
        identity
    }
}

/// Number of a protocol that container ports can have.
fn transport(name: &str) -> Option<u8> {
    match name {
        "" | "TCP" => Some(TCP),
        "UDP" => Some(UDP),
        "SCTP" => Some(SCTP),
        _ => None,
    }
}

impl<'c> View<'c> {
    /// The identity of an address: that of its longest prefix.
    pub fn identity(&self, address: IpAddr) -> Identity {
        if self.is_own(address) {
            return self.host.clone();
        }
        if let Some(pod) = self.cache.pods.get(&address) {
            return pod.clone();
        }
        let mut around = Some(IpNet::from(address));
        while let Some(prefix) = around {
            if let Some(identity) = self.cache.resolved.get(&prefix) {
                return identity.clone();
            }
            around = prefix.supernet();
        }
        self.outside(address)
    }

    /// The identity of the host.
    pub fn host(&self) -> &Identity {
        &self.host
    }

    /// Whether an address is the node's own.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.node.is_some_and(|member| member.own.contains(&address))
    }

    /// The node's own addresses.
    pub fn own(&self) -> impl Iterator<Item = IpAddr> + use<'c> {
        self.node.into_iter().flat_map(|member| member.own.iter().copied())
    }

    /// Labels by which host policies select the node.
    pub fn subject(&self) -> Option<&'c Labels> {
        self.node.map(|member| &member.host_labels)
    }

    /// Whether the family of an address is in use.
    pub fn has_family(&self, address: IpAddr) -> bool {
        self.cache.has_family(address)
    }

    /// Named ports of peers.
    pub fn ports(&self) -> &'c NamedPorts {
        &self.cache.ports
    }

    /// Every prefix with an identity of its own, the node's own addresses and pods included.
    pub fn prefixes(&self) -> BTreeMap<IpNet, Identity> {
        let mut prefixes = self.cache.resolved.clone();
        prefixes.extend(self.cache.pods.iter().map(|(address, pod)| (IpNet::from(*address), pod.clone())));
        let own = self.node.into_iter().flat_map(|member| &member.own);
        prefixes.extend(own.map(|address| (IpNet::from(*address), self.host.clone())));
        prefixes
    }

    /// The identity of what nothing is known of.
    pub fn outside(&self, address: IpAddr) -> Identity {
        Identity::of([self.cache.world(address)].into_iter().collect(), false)
    }
}
