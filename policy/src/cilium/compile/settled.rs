//! Rules that mean the same addresses whichever prefixes other policies name.
//!
//! A prefix that a policy names gets an entry in the ipcache, and its addresses an identity with a label of their own in
//! the place of that of a wider prefix. To nearly all rules that makes no difference: who names a prefix finds every address
//! in it, by whichever prefix within it that is known; and all labels but those of prefixes stay. It does to these:
//!
//! - who selects endpoints by the label of a prefix names it to nobody, and finds addresses that others name;
//! - addresses without an entry are of no aggregate, others of that of the world, from 1.20 on. Who selects that one and not
//!   the world itself, as a selector by what is absent does, finds addresses that others name;
//! - where prefixes match nodes or pods too, these have identities by the prefixes around them;
//! - the label of a CIDR group can have a key that is written as a prefix, and stands in the place of that one's.

use super::model::{Peers, Rule};
use crate::cilium::identity::{Aggregate, Group};
use crate::cilium::label::{ANY, CIDR, Label, Labels};
use crate::cilium::selector::{Requirement, Selector};
use crate::cilium::settings::{CidrMatchMode, Settings};
use crate::cilium::version::Version;

/// Whether it can be left to rules which addresses they mean.
pub(super) fn are_settled(settings: &Settings, groups: &[Group]) -> bool {
    let mut keys = groups.iter().flat_map(|(_, labels, _)| labels.keys());
    settings.cidr_matches() == CidrMatchMode::default() && !keys.any(|key| is_prefix(key))
}

/// Whether a rule means the same addresses whichever prefixes others name, provided that [`are_settled`].
pub(super) fn is_settled(rule: &Rule, settings: &Settings) -> bool {
    let aggregates = settings.version.value >= Version::V1_20;
    rule.elements.iter().all(|element| match &element.peers {
        Peers::Nobody => true,
        Peers::Some(selectors) => {
            selectors.iter().all(names_what_it_means) && !(aggregates && means_the_named(selectors))
        }
    })
}

/// Whether a selector asks for no label of a prefix that it does not name.
fn names_what_it_means(selector: &Selector) -> bool {
    let by_key = |one: &Requirement| one.label.source == ANY && is_prefix(&one.label.key);
    match selector {
        Selector::Everyone | Selector::EveryGroup | Selector::Unknown(_) => true,
        Selector::Cidr(cidr) => !cidr.requirements.iter().any(by_key),
        Selector::Labels(all) => !all.iter().any(|one| one.label.source == CIDR || by_key(one)),
    }
}

/// Whether selectors mean every address outside that somebody names, and not every other one.
fn means_the_named(selectors: &[Selector]) -> bool {
    let selects = |labels: &Labels| {
        selectors.iter().any(|selector| match selector {
            Selector::Everyone | Selector::EveryGroup => true,
            Selector::Labels(all) => all.iter().all(|one| one.matches(labels)),
            Selector::Cidr(_) | Selector::Unknown(_) => false,
        })
    };
    let world = ["world", "world-ipv4", "world-ipv6"];
    selects(Aggregate::World.labels())
        && !world.iter().all(|name| selects(&[Label::reserved(name)].into_iter().collect()))
}

/// Whether a key can be that of a label of a prefix.
fn is_prefix(key: &str) -> bool {
    Label::new(CIDR, key, "").prefix().is_some()
}
