//! Selection by prefix and by CIDR group (cilium/cilium:pkg/policy/types/selector.go, `CIDRSelector`).

use std::fmt;

use ipnet::IpNet;

use super::Requirement;
use crate::cilium::label::{self, ANY, CIDR_GROUP, GROUP_NAME, Label};
use crate::object::Operator;

/// Selects identities outside of the cluster by prefix or CIDR group, and nodes and pods where the match mode says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrSelector {
    /// Requirements; every one must hold.
    pub requirements: Vec<Requirement>,
    /// Whether values are looked for in keys, because one prefix can belong to groups with different values
    /// (`cidrGroupSelector`).
    pub encoded: bool,
}

/// What a prefix covers, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covering {
    /// Whether IPv4 is in use.
    pub ipv4: bool,
    /// Whether IPv6 is in use.
    pub ipv6: bool,
}

impl Covering {
    /// The label that a requirement on a prefix looks for. A prefix of length 0 is the world, which is why it does not
    /// match nodes even in the mode where prefixes do.
    fn label(self, prefix: IpNet) -> Label {
        if prefix.prefix_len() == 0 { label::world(prefix.addr(), self.ipv4, self.ipv6) } else { Label::cidr(prefix) }
    }

    /// A prefix less its exceptions.
    pub fn prefix(self, prefix: IpNet, except: &[IpNet]) -> CidrSelector {
        self.build(vec![exists(self.label(prefix))], false, except)
    }

    /// The group with this name, less exceptions.
    pub fn group(self, name: &str, except: &[IpNet]) -> CidrSelector {
        let label = Label::new(CIDR_GROUP, &format!("{GROUP_NAME}/{name}"), "");
        self.build(vec![exists(label)], false, except)
    }

    /// Groups by label, less exceptions.
    pub fn groups(self, requirements: Vec<Requirement>, except: &[IpNet]) -> CidrSelector {
        self.build(requirements, true, except)
    }

    fn build(self, mut requirements: Vec<Requirement>, encoded: bool, except: &[IpNet]) -> CidrSelector {
        requirements.extend(except.iter().map(|prefix| Requirement {
            label: self.label(*prefix),
            operator: Operator::DoesNotExist,
            values: Vec::new(),
        }));
        CidrSelector { requirements, encoded }
    }
}

fn exists(label: Label) -> Requirement {
    Requirement { label, operator: Operator::Exists, values: Vec::new() }
}

impl CidrSelector {
    /// Whether it is by labels of groups, and some are such as groups do not have. Without exceptions it can then have the key
    /// that a selector of endpoints, nodes or an entity has in the agent's cache, where whichever comes first gives both its
    /// peers (cilium/cilium:pkg/policy/selectorcache.go, `addSelectorLocked`).
    pub fn may_have_key_of_others(&self) -> bool {
        let of_group = |one: &Requirement| matches!(one.label.source.as_str(), CIDR_GROUP | ANY);
        self.encoded && !self.requirements.iter().all(of_group)
    }

    /// Prefixes that it names, exceptions included: each becomes an entry of the ipcache.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.requirements.iter().filter_map(|requirement| requirement.label.prefix())
    }
}

impl Requirement {
    /// The label in which a value is written into the key, as CIDR groups carry it
    /// (cilium/cilium:pkg/labels/labels.go, `EncodedCIDRGroupLabel`).
    pub fn encoded(&self, value: &str) -> Label {
        Label::new(&self.label.source, &format!("{}+{value}", self.label.key), "")
    }
}

impl fmt::Display for CidrSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.requirements.as_slice() {
            [] => formatter.write_str("whoever a CIDR group may select"),
            some => super::list(formatter, some),
        }
    }
}
