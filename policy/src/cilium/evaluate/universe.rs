//! Identities with their addresses, and which of them a selector selects.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;

use crate::cilium::compile::State;
use crate::cilium::identity::{Aggregate, Identity, Number, View};
use crate::cilium::label::{ANY, CIDR, Label, Labels, RESERVED};
use crate::cilium::selector::{CidrSelector, Requirement, Selector};
use crate::cilium::settings::CidrMatchMode;
use crate::cilium::version::Version;
use crate::object::Operator;
use crate::packet::IpSet;

/// Every identity that some address has, and the aggregate identities after them.
pub(in crate::cilium) struct Universe {
    /// Another one for each universe.
    id: u64,
    identities: Vec<(Identity, IpSet)>,
    /// Which identities each aggregate stands for.
    members: Vec<Mask>,
    /// Identities and aggregates by the keys of their labels, with the label.
    keys: HashMap<String, Vec<(Label, usize)>>,
    /// The same for labels that are prefixes, by address.
    prefixes: Vec<(IpNet, usize)>,
    /// Whom prefixes and groups may select at all.
    open: Mask,
    /// Their addresses.
    open_addresses: OnceLock<IpSet>,
    mode: CidrMatchMode,
    families: (bool, bool),
}

/// A set of positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask(Vec<u64>);

impl Universe {
    /// Peers as every agent sees them: the universe of a node without addresses of its own.
    pub(in crate::cilium) fn of_peers(state: &State) -> Self {
        Self::new(state, addresses(&state.ipcache().outsider()))
    }

    /// A host as its own peer, at every address.
    pub(super) fn of_host(state: &State, view: &View<'_>) -> Self {
        Self::new(state, vec![(view.host().clone(), IpSet::all())])
    }

    fn new(state: &State, identities: Vec<(Identity, IpSet)>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mode = state.settings.cidr_matches();
        let aggregates: &[Aggregate] =
            if state.settings.version.value >= Version::V1_20 { &Aggregate::ALL } else { &[] };
        let mut universe = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            members: aggregates
                .iter()
                .map(|aggregate| {
                    let of =
                        |(_, (identity, _)): &(usize, &(Identity, IpSet))| identity.aggregate() == Some(*aggregate);
                    identities.iter().enumerate().filter(of).map(|(at, _)| at).collect()
                })
                .collect(),
            identities,
            keys: HashMap::new(),
            prefixes: Vec::new(),
            open: Mask::default(),
            open_addresses: OnceLock::new(),
            mode,
            families: (state.settings.ipv4.value, state.settings.ipv6.value),
        };
        let own: Vec<Arc<Labels>> =
            universe.identities.iter().map(|(identity, _)| Arc::clone(&identity.labels)).collect();
        let aggregates = aggregates.iter().map(|aggregate| aggregate.labels());
        for (at, labels) in own.iter().map(AsRef::as_ref).chain(aggregates).enumerate() {
            universe.index(at, labels);
        }
        universe.prefixes.sort_by_key(|(prefix, _)| prefix.network());
        universe
    }

    fn index(&mut self, at: usize, labels: &Labels) {
        for label in labels.iter() {
            self.keys.entry(label.key.clone()).or_default().push((label.clone(), at));
            self.prefixes.extend(label.prefix().map(|prefix| (prefix, at)));
        }
        let open = if labels.is_world() {
            true
        } else if labels.is_node() {
            self.mode.nodes
        } else {
            self.mode.pods
        };
        if open {
            self.open.insert(at);
        }
    }

    pub(in crate::cilium) fn id(&self) -> u64 {
        self.id
    }

    /// How many positions there are, aggregates included.
    fn len(&self) -> usize {
        self.identities.len() + self.members.len()
    }

    fn everyone(&self) -> Mask {
        (0..self.len()).collect()
    }

    /// The identities that a selector selects themselves, and aggregates.
    fn select(&self, selector: &Selector) -> Mask {
        match selector {
            Selector::Everyone | Selector::EveryGroup => self.everyone(),
            Selector::Labels(requirements) => self.all_of(requirements, |requirement| self.satisfying(requirement)),
            Selector::Cidr(cidr) => self.covered(cidr),
            Selector::Unknown(_) => Mask::default(),
        }
    }

    /// The identities that one of some selectors selects themselves, which is whose named ports are meant; and the addresses
    /// of these and of those that are selected by way of their aggregate.
    pub(super) fn selected(&self, selectors: &[Selector]) -> (Mask, IpSet) {
        let mut selected = Mask::default();
        for selector in selectors {
            selected.add(&self.select(selector));
        }
        let addresses = self.addresses(&self.with_members(&selected));
        (selected, addresses)
    }

    /// With those that selected aggregates stand for.
    fn with_members(&self, selected: &Mask) -> Mask {
        let mut all = selected.clone();
        for (index, members) in self.members.iter().enumerate() {
            if selected.contains(self.identities.len() + index) {
                all.add(members);
            }
        }
        all
    }

    /// The same where they may name prefixes by which nobody here has an identity. Who is selected by a prefix has no ports
    /// with names, so of these there are addresses only.
    pub(super) fn meant(&self, selectors: &[Selector]) -> (Mask, IpSet) {
        let mut selected = Mask::default();
        let mut of_prefixes = IpSet::empty();
        for selector in selectors {
            match selector {
                Selector::Cidr(cidr) => of_prefixes = of_prefixes.union(&self.within(cidr)),
                _ => selected.add(&self.select(selector)),
            }
        }
        let addresses = self.addresses(&self.with_members(&selected)).union(&of_prefixes);
        (selected, addresses)
    }

    /// The addresses that a selector by prefix or group means: those of the prefixes themselves, as far as prefixes may
    /// select them.
    fn within(&self, selector: &CidrSelector) -> IpSet {
        let (mut only, mut except) = (IpSet::all(), IpSet::empty());
        let mut others = self.open.clone();
        for requirement in &selector.requirements {
            match (requirement.label.prefix(), requirement.operator) {
                (Some(prefix), Operator::Exists) => only = only.intersection(&prefix.into()),
                (Some(prefix), Operator::DoesNotExist) => except = except.union(&prefix.into()),
                _ => others.keep(&self.covering(requirement, selector.encoded)),
            }
        }
        let addresses = if others == self.open {
            self.open_addresses.get_or_init(|| self.addresses(&self.open)).clone()
        } else {
            self.addresses(&others)
        };
        only.intersection(&addresses).difference(&except)
    }

    fn covered(&self, selector: &CidrSelector) -> Mask {
        let covering = |requirement: &Requirement| self.covering(requirement, selector.encoded);
        let mut covered = self.all_of(&selector.requirements, covering);
        covered.keep(&self.open);
        covered
    }

    /// Who satisfies a requirement of a selector by prefix or group, provided that these may select him.
    fn covering(&self, requirement: &Requirement, encoded: bool) -> Mask {
        if encoded && !requirement.values.is_empty() {
            let values = requirement.values.iter().map(|value| {
                let label = requirement.encoded(value);
                self.having(&label, |_| true)
            });
            let found = values.fold(Mask::default(), |mut found, one| {
                found.add(&one);
                found
            });
            return if requirement.operator == Operator::NotIn { self.complement(&found) } else { found };
        }
        let mut satisfying = self.satisfying(requirement);
        if !encoded {
            satisfying.add(&self.under_everything(requirement));
        }
        satisfying
    }

    /// With prefixes matching pods, whoever has a prefix is under the one of length 0, which stands as a world label.
    fn under_everything(&self, requirement: &Requirement) -> Mask {
        let (ipv4, ipv6) = self.families;
        if !self.mode.pods || requirement.label.source != RESERVED {
            return Mask::default();
        }
        let key = requirement.label.key.as_str();
        let four = ipv4 && matches!(key, "world" | "world-ipv4");
        let six = ipv6 && matches!(key, "world" | "world-ipv6");
        let under = self.prefixes.iter().filter(|(prefix, _)| match prefix {
            IpNet::V4(_) => four,
            IpNet::V6(_) => six,
        });
        under.map(|(_, at)| *at).collect()
    }

    fn all_of(&self, requirements: &[Requirement], satisfying: impl Fn(&Requirement) -> Mask) -> Mask {
        let Some((first, others)) = requirements.split_first() else { return self.everyone() };
        let mut all = satisfying(first);
        for requirement in others {
            all.keep(&satisfying(requirement));
        }
        all
    }

    fn satisfying(&self, requirement: &Requirement) -> Mask {
        let among = |label: &Label| requirement.values.contains(&label.value);
        match requirement.operator {
            Operator::In => self.having(&requirement.label, among),
            Operator::Exists => self.having(&requirement.label, |_| true),
            Operator::NotIn => self.complement(&self.having(&requirement.label, among)),
            Operator::DoesNotExist => self.complement(&self.having(&requirement.label, |_| true)),
        }
    }

    /// Who has a label that is found by the one wanted and suits.
    fn having(&self, wanted: &Label, suits: impl Fn(&Label) -> bool) -> Mask {
        if wanted.source == CIDR {
            let Some(prefix) = wanted.prefix() else { return Mask::default() };
            let start = self.prefixes.partition_point(|(own, _)| own.network() < prefix.network());
            let end = self.prefixes.partition_point(|(own, _)| own.network() <= prefix.broadcast());
            let within = self.prefixes[start..end].iter().filter(|(own, _)| prefix.contains(own));
            return if suits(wanted) { within.map(|(_, at)| *at).collect() } else { Mask::default() };
        }
        let found = self.keys.get(&wanted.key).into_iter().flatten();
        let of_source = found.filter(|(label, _)| wanted.source == ANY || wanted.source == label.source);
        let mut first: BTreeMap<usize, &Label> = BTreeMap::new();
        for (label, at) in of_source {
            first.entry(*at).or_insert(label);
        }
        first.into_iter().filter(|(_, label)| suits(label)).map(|(at, _)| at).collect()
    }

    fn complement(&self, mask: &Mask) -> Mask {
        (0..self.len()).filter(|at| !mask.contains(*at)).collect()
    }

    /// The addresses of identities.
    pub(super) fn addresses(&self, mask: &Mask) -> IpSet {
        if (0..self.identities.len()).all(|at| mask.contains(at)) {
            return IpSet::all();
        }
        let mut chosen: Vec<IpSet> = self.iter(mask).map(|(_, addresses)| addresses.clone()).collect();
        // Halves instead of one at a time, so that long lists are not walked again and again.
        while chosen.len() > 1 {
            chosen =
                chosen.chunks(2).map(|pair| pair.iter().skip(1).fold(pair[0].clone(), |a, b| a.union(b))).collect();
        }
        chosen.pop().unwrap_or_else(IpSet::empty)
    }

    /// Identities with their addresses.
    pub(super) fn iter<'u>(&'u self, mask: &'u Mask) -> impl Iterator<Item = (&'u Identity, &'u IpSet)> {
        // Aggregates stand after the identities and have no addresses of their own.
        let chosen = mask.iter().map_while(|at| self.identities.get(at));
        chosen.map(|(identity, addresses)| (identity, addresses))
    }
}

/// The addresses of each identity: each prefix without those within it.
fn addresses(view: &View<'_>) -> Vec<(Identity, IpSet)> {
    let mut prefixes = view.prefixes();
    for text in ["0.0.0.0/0", "::/0"] {
        let all: IpNet = text.parse().expect("a constant prefix");
        prefixes.entry(all).or_insert_with(|| view.outside(all.addr()));
    }
    // By address and then by length, so that what contains a prefix stands before it.
    let mut within: HashMap<IpNet, Vec<IpNet>> = HashMap::new();
    let mut around: Vec<IpNet> = Vec::new();
    for prefix in prefixes.keys() {
        while around.last().is_some_and(|outer| !outer.contains(prefix)) {
            around.pop();
        }
        if let Some(outer) = around.last() {
            within.entry(*outer).or_default().push(*prefix);
        }
        around.push(*prefix);
    }
    // Equal identities share their labels, so they are told apart without reading them.
    let mut places: HashMap<(Number, *const Labels), usize> = HashMap::new();
    let mut found: Vec<(Identity, Vec<IpNet>, IpSet)> = Vec::new();
    for (prefix, identity) in prefixes {
        let place = *places.entry((identity.number, Arc::as_ptr(&identity.labels))).or_insert_with(|| {
            found.push((identity, Vec::new(), IpSet::empty()));
            found.len() - 1
        });
        let (_, plain, rest) = &mut found[place];
        match within.get(&prefix) {
            None => plain.push(prefix),
            Some(inner) => {
                *rest = rest.union(&IpSet::from(prefix).difference(&inner.iter().copied().collect()));
            }
        }
    }
    found.into_iter().map(|(identity, plain, rest)| (identity, rest.union(&plain.into_iter().collect()))).collect()
}

impl Mask {
    pub(super) fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Positions, ascending.
    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }

    fn insert(&mut self, at: usize) {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }

    fn keep(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(word, kept)| *word &= kept);
    }
}

impl FromIterator<usize> for Mask {
    fn from_iter<I: IntoIterator<Item = usize>>(positions: I) -> Self {
        let mut mask = Self::default();
        positions.into_iter().for_each(|at| mask.insert(at));
        mask
    }
}
