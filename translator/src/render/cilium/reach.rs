//! What a list of prefixes reaches of addresses that Cilium knows by identity: nodes and pods.

use ipnet::IpNet;
use policy::net::{Cidr, Family};

/// Both families.
pub(super) const FAMILIES: [Family; 2] = [Family::IPv4, Family::IPv6];

/// How much of the nodes' or pods' addresses of one family is in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// None of them.
    Nothing,
    /// Some of them, or it cannot be told.
    Some,
    /// All of them.
    All,
}

/// Addresses that are known by identity.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    /// Prefixes that hold all of them, or nothing if that is not known.
    known: Option<Vec<Cidr>>,
    /// Families that they may have.
    families: Vec<Family>,
}

impl Inside {
    /// `known` prefixes hold all of the addresses; when there are none, nothing is known. `used` tells which families
    /// the agent uses.
    pub(super) fn new(known: Vec<Cidr>, used: impl Fn(Family) -> bool) -> Self {
        let known = (!known.is_empty()).then_some(known);
        let families = FAMILIES
            .into_iter()
            .filter(|family| used(*family))
            .filter(|family| known.as_ref().is_none_or(|known| known.iter().any(|cidr| cidr.family() == *family)))
            .collect();
        Self { known, families }
    }

    /// Families that the addresses may have.
    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }

    /// Whether some address may have another family than this.
    pub(super) fn has_other_than(&self, family: Family) -> bool {
        self.families.iter().any(|other| *other != family)
    }

    /// How much of the addresses of one family is in `list` and not in `except`.
    pub(super) fn reach(&self, list: &[Cidr], except: &[Cidr], family: Family) -> Reach {
        let list = of_family(list, family);
        let except = of_family(except, family);
        match &self.known {
            Some(known) => known_reach(&list, &except, &of_family(known, family)),
            None => unknown_reach(&list, &except),
        }
    }
}

/// Prefixes of one family, adjacent ones joined.
fn of_family(cidrs: &[Cidr], family: Family) -> Vec<IpNet> {
    IpNet::aggregate(&cidrs.iter().filter(|cidr| cidr.family() == family).map(|cidr| cidr.net()).collect())
}

fn known_reach(list: &[IpNet], except: &[IpNet], known: &[IpNet]) -> Reach {
    let mut reach = None;
    for net in known {
        let listed = list.iter().any(|entry| entry.contains(net));
        let touched = listed || list.iter().any(|entry| net.contains(entry));
        let spared = except.iter().any(|entry| entry.contains(net));
        let holed = spared || except.iter().any(|entry| net.contains(entry));
        let this = match (listed, touched) {
            _ if spared => Reach::Nothing,
            (true, _) if !holed => Reach::All,
            (_, true) => Reach::Some,
            (_, false) => Reach::Nothing,
        };
        if *reach.get_or_insert(this) != this {
            return Reach::Some;
        }
    }
    reach.unwrap_or(Reach::Nothing)
}

/// Without knowing the addresses: everything is inside a whole family, nothing inside public prefixes, and private ones
/// may hold some.
fn unknown_reach(list: &[IpNet], except: &[IpNet]) -> Reach {
    let holed = except.iter().any(may_be_inside);
    let spared = except.iter().any(|entry| entry.prefix_len() == 0);
    if spared {
        Reach::Nothing
    } else if list.iter().any(|entry| entry.prefix_len() == 0) {
        if holed { Reach::Some } else { Reach::All }
    } else if list.iter().any(|entry| may_be_inside(entry) && !except.iter().any(|hole| hole.contains(entry))) {
        Reach::Some
    } else {
        Reach::Nothing
    }
}

/// Whether a cluster may have addresses in a prefix: it meets a range for private use or shared address space.
fn may_be_inside(net: &IpNet) -> bool {
    const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];
    PRIVATE
        .iter()
        .filter_map(|text| text.parse::<IpNet>().ok())
        .any(|private| private.contains(net) || net.contains(&private))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn reach(known: &[&str], list: &[&str], except: &[&str]) -> Reach {
        Inside::new(cidrs(known), |_| true).reach(&cidrs(list), &cidrs(except), Family::IPv4)
    }

    #[test]
    fn known_addresses_are_all_some_or_not_in_a_list() {
        let nodes = ["10.1.0.0/24", "10.2.0.0/24"];
        assert_eq!(reach(&nodes, &["10.0.0.0/8"], &[]), Reach::All);
        assert_eq!(reach(&nodes, &["10.1.0.0/16"], &[]), Reach::Some);
        assert_eq!(reach(&nodes, &["10.1.0.7/32"], &[]), Reach::Some);
        assert_eq!(reach(&nodes, &["192.168.0.0/16"], &[]), Reach::Nothing);
        assert_eq!(reach(&["10.1.0.0/24"], &["10.1.0.0/25", "10.1.0.128/25"], &[]), Reach::All, "joined");
    }

    #[test]
    fn exceptions_take_away() {
        let nodes = ["10.1.0.0/24"];
        assert_eq!(reach(&nodes, &["10.0.0.0/8"], &["10.1.0.0/16"]), Reach::Nothing);
        assert_eq!(reach(&nodes, &["10.0.0.0/8"], &["10.1.0.7/32"]), Reach::Some);
        assert_eq!(reach(&nodes, &["10.0.0.0/8"], &["10.9.0.0/16"]), Reach::All);
        assert_eq!(reach(&[], &["0.0.0.0/0"], &["10.0.0.0/8"]), Reach::Some);
        assert_eq!(reach(&[], &["0.0.0.0/0"], &["203.0.113.0/24"]), Reach::All);
        assert_eq!(reach(&[], &["10.0.0.0/8"], &["10.0.0.0/8"]), Reach::Nothing);
    }

    #[test]
    fn unknown_addresses_may_be_private_but_not_public() {
        assert_eq!(reach(&[], &["192.168.5.0/24"], &[]), Reach::Some);
        assert_eq!(reach(&[], &["203.0.113.0/24"], &[]), Reach::Nothing);
        assert_eq!(reach(&[], &["0.0.0.0/0"], &[]), Reach::All);
        assert_eq!(reach(&[], &["128.0.0.0/1"], &[]), Reach::Some, "holds 192.168.0.0/16");
    }

    #[test]
    fn families_are_those_in_use_and_known() {
        assert_eq!(Inside::new(Vec::new(), |_| true).families(), FAMILIES);
        assert_eq!(Inside::new(Vec::new(), |family| family == Family::IPv4).families(), [Family::IPv4]);
        assert!(!Inside::new(cidrs(&["10.0.0.0/8"]), |_| true).has_other_than(Family::IPv4));
    }
}
