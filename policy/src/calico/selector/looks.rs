//! What selectors look at: all that a label can mean to them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Comparison, Node, Selector};

/// Labels of something.
type Labels = BTreeMap<String, String>;

/// All that some selectors look at. Values of a label that look the same in each way are one value to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::calico) struct Looks(BTreeMap<String, Values>);

/// What the values of a label are compared with. With nothing, it only matters whether the label is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Values {
    whole: BTreeSet<String>,
    parts: BTreeMap<Comparison, BTreeSet<String>>,
}

/// One look at a label.
#[derive(Clone, Copy)]
enum Look<'n> {
    /// Whether it is there.
    Presence,
    /// Whether its value is this one.
    Whole(&'n str),
    /// Whether its value has this in it, or at one of its ends.
    Part(Comparison, &'n str),
}

impl Looks {
    /// With what a selector looks at.
    pub(in crate::calico) fn add(&mut self, selector: &Selector) {
        looks(&selector.0, &mut |label, look| {
            if self.has(label, look) {
                return;
            }
            let values = self.0.entry(label.to_owned()).or_default();
            match look {
                Look::Presence => {}
                Look::Whole(value) => {
                    values.whole.insert(value.to_owned());
                }
                Look::Part(comparison, value) => {
                    values.parts.entry(comparison).or_default().insert(value.to_owned());
                }
            }
        });
    }

    /// Whether a selector looks at nothing else.
    pub(in crate::calico) fn cover(&self, selector: &Selector) -> bool {
        let mut all = true;
        looks(&selector.0, &mut |label, look| all = all && self.has(label, look));
        all
    }

    /// Without labels that nothing looks at, and for each value the first of those that look the same. No selector tells
    /// the two apart.
    pub(in crate::calico) fn reduce(&self, all: &[&Labels]) -> Vec<Labels> {
        let mut reduced = vec![Labels::new(); all.len()];
        for (label, values) in &self.0 {
            let mut firsts: BTreeMap<_, &str> = BTreeMap::new();
            let mut found = Vec::with_capacity(all.len());
            for value in all.iter().map(|labels| labels.get(label)) {
                let appearance = value.map(|value| values.appearance(value));
                if let (Some(value), Some(appearance)) = (value, &appearance) {
                    let first = firsts.entry(appearance.clone()).or_insert(value);
                    *first = (*first).min(value);
                }
                found.push(appearance);
            }
            for (labels, appearance) in reduced.iter_mut().zip(found) {
                if let Some(first) = appearance.and_then(|appearance| firsts.get(&appearance)) {
                    labels.insert(label.clone(), (*first).to_owned());
                }
            }
        }
        reduced
    }

    fn has(&self, label: &str, look: Look<'_>) -> bool {
        self.0.get(label).is_some_and(|values| match look {
            Look::Presence => true,
            Look::Whole(value) => values.whole.contains(value),
            Look::Part(comparison, part) => values.parts.get(&comparison).is_some_and(|parts| parts.contains(part)),
        })
    }
}

impl Values {
    /// What every comparison says of a value.
    fn appearance(&self, value: &str) -> (Option<&str>, Vec<bool>) {
        let parts = self.parts.iter().flat_map(|(comparison, parts)| parts.iter().map(move |part| (comparison, part)));
        let parts = parts.map(|(comparison, part)| comparison.holds(value, part)).collect();
        (self.whole.get(value).map(String::as_str), parts)
    }
}

fn looks<'n>(node: &'n Node, see: &mut impl FnMut(&'n str, Look<'n>)) {
    match node {
        Node::All | Node::Global => {}
        Node::Has(label) => see(label, Look::Presence),
        Node::Compare { label, comparison, value } => match comparison {
            Comparison::Equal | Comparison::NotEqual => see(label, Look::Whole(value)),
            Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith => {
                see(label, Look::Part(*comparison, value));
            }
        },
        Node::In { label, values, .. } => {
            // An empty list still looks whether the label is there.
            see(label, Look::Presence);
            values.iter().for_each(|value| see(label, Look::Whole(value)));
        }
        Node::Not(node) => looks(node, see),
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().for_each(|node| looks(node, see)),
    }
}
