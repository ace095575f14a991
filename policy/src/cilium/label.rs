//! Labels as identities carry them: a source, a key and a value (cilium/cilium:pkg/labels/labels.go).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Source of labels that Kubernetes objects carry.
pub const K8S: &str = "k8s";
/// Source of labels of nodes, as peers see them.
pub const NODE: &str = "node";
/// Source of labels that name what an identity is: `host`, `remote-node`, `world`, ...
pub const RESERVED: &str = "reserved";
/// Source of labels that are a prefix.
pub const CIDR: &str = "cidr";
/// Source of labels of CIDR groups.
pub const CIDR_GROUP: &str = "cidrgroup";
/// In a selector: any source.
pub const ANY: &str = "any";
/// Key of a pod's namespace.
pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Key prefix of the labels of a pod's namespace.
pub const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels";
/// Key of a pod's service account.
pub const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
/// Key of the cluster that a pod or node belongs to.
pub const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
/// Key prefix of the name of a CIDR group.
pub const GROUP_NAME: &str = "io.cilium.policy.cidrgroupname";

/// One label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Where it comes from.
    pub source: String,
    /// Key.
    pub key: String,
    /// Value; empty for most labels that are not of Kubernetes.
    pub value: String,
    /// The prefix that a label of source `cidr` means.
    prefix: Option<IpNet>,
}

impl Label {
    /// A label. Its key is a prefix when its source is `cidr`.
    pub fn new(source: &str, key: &str, value: &str) -> Self {
        let prefix = (source == CIDR).then(|| key.replace('-', ":").parse().ok()).flatten();
        Self { source: source.to_owned(), key: key.to_owned(), value: value.to_owned(), prefix }
    }

    /// A label of source `reserved`.
    pub fn reserved(name: &str) -> Self {
        Self::new(RESERVED, name, "")
    }

    /// The label of a prefix, which must have a length other than 0.
    ///
    /// Colons become dashes, and a dash at either end gets a zero, because a selector key takes neither
    /// (cilium/cilium:pkg/labels/cidr.go).
    pub fn cidr(prefix: IpNet) -> Self {
        let prefix = prefix.trunc();
        let text = prefix.addr().to_string();
        let mut key = text.replace(':', "-");
        if key.starts_with('-') {
            key.insert(0, '0');
        }
        if key.ends_with('-') {
            key.push('0');
        }
        let key = format!("{key}/{}", prefix.prefix_len());
        Self { source: CIDR.to_owned(), key, value: String::new(), prefix: Some(prefix) }
    }

    /// The prefix that a label of source `cidr` means.
    pub fn prefix(&self) -> Option<IpNet> {
        self.prefix
    }

    /// Whether a requirement on `wanted` finds this label: same key, and same source unless any will do; a prefix is
    /// found by every prefix that contains it.
    pub fn is_found_by(&self, wanted: &Self) -> bool {
        if wanted.source != ANY && wanted.source != self.source {
            return false;
        }
        if wanted.source == CIDR {
            return match (wanted.prefix, self.prefix) {
                (Some(wanted), Some(own)) => wanted.prefix_len() <= own.prefix_len() && wanted.contains(&own.addr()),
                _ => false,
            };
        }
        wanted.key == self.key
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.source, self.key)?;
        if !self.value.is_empty() {
            write!(formatter, "={}", self.value)?;
        }
        Ok(())
    }
}

/// A set of labels with one label to a key, whatever its source, as upstream keeps them.
///
/// A pod's labels of source `cidr` and `cidrgroup` are kept beside the others, not in their place.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(BTreeMap<(bool, String), Label>);

impl Labels {
    /// Puts a label in, in the place of one with the same key.
    pub fn insert(&mut self, label: Label) {
        self.0.insert((false, label.key.clone()), label);
    }

    /// Puts a label in beside one that has the same key and another source.
    pub fn insert_beside(&mut self, label: Label) {
        self.0.insert((true, format!("{}:{}", label.source, label.key)), label);
    }

    /// Puts in the labels whose keys are not there yet.
    pub fn fill(&mut self, labels: &Self) {
        for (key, label) in &labels.0 {
            self.0.entry(key.clone()).or_insert_with(|| label.clone());
        }
    }

    /// Puts labels in, in the place of those with the same keys.
    pub fn merge(&mut self, labels: &Self) {
        self.0.extend(labels.0.iter().map(|(key, label)| (key.clone(), label.clone())));
    }

    /// Takes out what the condition does not hold for.
    pub fn retain(&mut self, mut keep: impl FnMut(&Label) -> bool) {
        self.0.retain(|_, label| keep(label));
    }

    /// Whether there is a label of source `reserved` with this name.
    pub fn has_reserved(&self, name: &str) -> bool {
        self.0.get(&(false, name.to_owned())).is_some_and(|label| label.source == RESERVED && label.value.is_empty())
    }

    /// Whether there is any label of source `reserved`.
    pub fn is_reserved(&self) -> bool {
        self.0.values().any(|label| label.source == RESERVED)
    }

    /// Whether there is a label that says the peer is outside of the cluster.
    pub fn is_world(&self) -> bool {
        ["world", "world-ipv4", "world-ipv6"].iter().any(|name| self.has_reserved(name))
    }

    /// Whether there is a label that says the peer is a node.
    pub fn is_node(&self) -> bool {
        self.has_reserved("host") || self.has_reserved("remote-node")
    }

    /// The first label that a requirement on `wanted` finds.
    pub fn find(&self, wanted: &Label) -> Option<&Label> {
        self.0.values().find(|label| label.is_found_by(wanted))
    }

    /// Every label.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every label as text, sorted.
    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    }
}

impl FromIterator<Label> for Labels {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut set = Self::default();
        labels.into_iter().for_each(|label| set.insert(label));
        set
    }
}

/// The label of the world outside, as addresses of this family see it: qualified by family unless only this family is
/// in use (cilium/cilium:pkg/labels/cidr.go).
pub fn world(address: IpAddr, ipv4: bool, ipv6: bool) -> Label {
    Label::reserved(match address {
        IpAddr::V4(_) if ipv6 => "world-ipv4",
        IpAddr::V6(_) if ipv4 => "world-ipv6",
        _ => "world",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect(text)
    }

    #[test]
    fn prefixes_are_written_without_colons() {
        for (prefix, label) in [
            ("10.0.0.5/8", "cidr:10.0.0.0/8"),
            ("fd00::3/128", "cidr:fd00--3/128"),
            ("::1/128", "cidr:0--1/128"),
            ("fd00::/8", "cidr:fd00--0/8"),
            ("::/1", "cidr:0--0/1"),
        ] {
            assert_eq!(Label::cidr(net(prefix)).to_string(), label);
        }
    }

    #[test]
    fn a_prefix_is_found_by_those_that_contain_it() {
        let narrow = Label::cidr(net("10.1.0.0/16"));
        assert!(narrow.is_found_by(&Label::cidr(net("10.0.0.0/8"))));
        assert!(!Label::cidr(net("10.0.0.0/8")).is_found_by(&narrow));
        assert!(narrow.is_found_by(&Label::new(CIDR, "10.0.0.0/8", "")), "as a selector key writes it");
        assert!(Label::cidr(net("fd00::3/128")).is_found_by(&Label::new(CIDR, "fd00--0/8", "")));
    }

    #[test]
    fn any_source_includes_reserved() {
        assert!(Label::reserved("host").is_found_by(&Label::new(ANY, "host", "")));
        assert!(!Label::reserved("host").is_found_by(&Label::new(K8S, "host", "")));
    }

    #[test]
    fn one_key_holds_one_label_whatever_its_source() {
        let mut labels: Labels = [Label::reserved("remote-node")].into_iter().collect();
        labels.insert(Label::new(NODE, "remote-node", "yes"));
        assert!(!labels.has_reserved("remote-node"));
        labels.insert_beside(Label::new(CIDR_GROUP, "remote-node", ""));
        assert_eq!(labels.texts(), ["cidrgroup:remote-node", "node:remote-node=yes"]);
    }
}
