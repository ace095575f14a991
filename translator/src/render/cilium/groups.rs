//! CIDR groups: named lists that several elements share.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use policy::cilium::api::{CidrRule, CiliumCidrGroup, CiliumCidrGroupSpec, V2};
use policy::net::Cidr;

use super::element::{CidrList, Element, Side};
use crate::matrix::Expanded;
use crate::render::meta;

/// Longest list that the failsafe policy repeats. Longer ones are addresses of the nodes of a big role.
const LONGEST_IN_FAILSAFE: usize = 64;

/// The lists that became groups, with the groups' names.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<(String, Vec<Cidr>), String>);

impl Groups {
    /// The groups that the failsafe policy may refer to: only those too long to be repeated in every element.
    ///
    /// A group that is missing, or that an agent reads later than the policy, selects nobody, and what the cluster lives
    /// on should not hang on a second object.
    pub(super) fn for_failsafe(&self) -> Self {
        let long = self.0.iter().filter(|((_, cidrs), _)| cidrs.len() > LONGEST_IN_FAILSAFE);
        Self(long.map(|(key, name)| (key.clone(), name.clone())).collect())
    }

    /// A group for every named list without exceptions and whole families that two or more elements use.
    pub(super) fn of<'a>(elements: impl Iterator<Item = &'a Element>, prefix: &str) -> Self {
        let mut uses: BTreeMap<(String, Vec<Cidr>), usize> = BTreeMap::new();
        for element in elements {
            let Side::Cidrs(lists) = &element.peer else { continue };
            for list in lists {
                if let Some(key) = key(list) {
                    *uses.entry(key).or_default() += 1;
                }
            }
        }
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let shared = uses.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key);
        // Different names can have the same form (`adminCIDRs`, `admin-cidrs`), and one name can stand for several
        // lists, since a row's family narrows it.
        let named = shared.map(|key| {
            let base = format!("{prefix}-{}", meta::kebab(&key.0));
            let numbered = (2..).map(|number| format!("{base}-{number}"));
            let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
            let name = name.unwrap_or(base);
            taken.insert(name.clone());
            (key, name)
        });
        Self(named.collect())
    }

    /// The rules for some lists: a reference where there is a group, else the prefixes. A rule is written once.
    pub(super) fn rules(&self, lists: &[CidrList]) -> Vec<CidrRule> {
        let mut rules: Vec<CidrRule> = Vec::new();
        for list in lists {
            match key(list).and_then(|key| self.0.get(&key)) {
                Some(name) => rules.push(CidrRule { cidr_group_ref: Some(name.clone()), ..CidrRule::default() }),
                None => rules.extend(list.rules()),
            }
        }
        let mut written = HashSet::new();
        rules.retain(|rule| written.insert((rule.cidr.clone(), rule.cidr_group_ref.clone(), rule.except.clone())));
        rules
    }

    /// The objects, sorted by name.
    pub(super) fn objects(&self, matrix: &Expanded) -> Vec<CiliumCidrGroup> {
        let mut objects: Vec<CiliumCidrGroup> = self
            .0
            .iter()
            .map(|((_, cidrs), name)| CiliumCidrGroup {
                api_version: V2.to_owned(),
                kind: "CiliumCIDRGroup".to_owned(),
                metadata: meta::metadata(matrix, name.clone()),
                spec: CiliumCidrGroupSpec { external_cidrs: cidrs.iter().map(ToString::to_string).collect() },
            })
            .collect();
        objects.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        objects
    }
}

fn key(list: &CidrList) -> Option<(String, Vec<Cidr>)> {
    // The agent takes the prefixes of length 0 for itself, so that a group that has one does not select by it
    // (cilium/cilium:daemon/cmd/hostips-sync.go).
    let whole = list.cidrs.iter().any(|cidr| cidr.is_all());
    let name = list.name.clone().filter(|_| list.except.is_empty() && !whole)?;
    Some((name, list.cidrs.clone()))
}
