//! Whether label selectors can hold together: decided exactly, key by key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use policy::object::{LabelSelector, Operator};

/// The values that a label may have under some requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    /// The label may be absent.
    absent: bool,
    values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    Only(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

/// A label selector as the allowed values per key.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    keys: BTreeMap<String, Allowed>,
}

/// Labels of a node, as an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels(BTreeMap<String, Option<String>>);

/// Combinations of requirements that are tried before the question is left open.
const MOST_COMBINATIONS: usize = 1_000;

impl Allowed {
    fn anything() -> Self {
        Self { absent: true, values: Values::AllBut(BTreeSet::new()) }
    }

    fn and(&self, other: &Self) -> Self {
        let values = match (&self.values, &other.values) {
            (Values::Only(a), Values::Only(b)) => Values::Only(a & b),
            (Values::Only(only), Values::AllBut(but)) | (Values::AllBut(but), Values::Only(only)) => {
                Values::Only(only - but)
            }
            (Values::AllBut(a), Values::AllBut(b)) => Values::AllBut(a | b),
        };
        Self { absent: self.absent && other.absent, values }
    }

    fn not(&self) -> Self {
        let values = match &self.values {
            Values::Only(values) => Values::AllBut(values.clone()),
            Values::AllBut(values) => Values::Only(values.clone()),
        };
        Self { absent: !self.absent, values }
    }

    fn is_empty(&self) -> bool {
        !self.absent && self.values == Values::Only(BTreeSet::new())
    }

    /// One allowed value; absence is preferred.
    fn example(&self) -> Option<Option<String>> {
        if self.absent {
            return Some(None);
        }
        match &self.values {
            Values::Only(values) => values.first().cloned().map(Some),
            Values::AllBut(values) => ["true", "", "other"]
                .into_iter()
                .find(|value| !values.contains(*value))
                .map(|value| Some(value.to_owned())),
        }
    }
}

impl Selector {
    pub(crate) fn new(selector: &LabelSelector) -> Self {
        let mut keys: BTreeMap<String, Allowed> = BTreeMap::new();
        let mut require = |key: &str, allowed: Allowed| {
            let entry = keys.entry(key.to_owned()).or_insert_with(Allowed::anything);
            *entry = entry.and(&allowed);
        };
        for (key, value) in &selector.match_labels {
            require(key, Allowed { absent: false, values: Values::Only(BTreeSet::from([value.clone()])) });
        }
        for requirement in &selector.match_expressions {
            let values: BTreeSet<String> = requirement.values.iter().cloned().collect();
            let allowed = match requirement.operator {
                Operator::In => Allowed { absent: false, values: Values::Only(values) },
                Operator::NotIn => Allowed { absent: true, values: Values::AllBut(values) },
                Operator::Exists => Allowed { absent: false, values: Values::AllBut(BTreeSet::new()) },
                Operator::DoesNotExist => Allowed { absent: true, values: Values::Only(BTreeSet::new()) },
            };
            require(&requirement.key, allowed);
        }
        Self { keys }
    }

    pub(crate) fn is_satisfiable(&self) -> bool {
        self.keys.values().all(|allowed| !allowed.is_empty())
    }

    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (key, allowed) in &other.keys {
            both.restrict(key, allowed);
        }
        both
    }

    fn restrict(&mut self, key: &str, allowed: &Allowed) {
        let entry = self.keys.entry(key.to_owned()).or_insert_with(Allowed::anything);
        *entry = entry.and(allowed);
    }

    /// Whether every node of this selector is in `other` too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        other.keys.iter().all(|(key, allowed)| {
            let mut outside = self.clone();
            outside.restrict(key, &allowed.not());
            !outside.is_satisfiable()
        })
    }

    /// Labels of a node in both, if there can be one.
    pub(crate) fn overlap(&self, other: &Self) -> Option<Labels> {
        let both = self.and(other);
        both.is_satisfiable().then(|| both.example()).flatten()
    }

    fn example(&self) -> Option<Labels> {
        self.keys
            .iter()
            .map(|(key, allowed)| Some((key.clone(), allowed.example()?)))
            .collect::<Option<BTreeMap<_, _>>>()
            .map(Labels)
    }
}

/// Labels of a node that no selector selects, if there can be one.
///
/// Such a node breaks one requirement of each selector; every choice of these is tried, up to a bound beyond which the
/// answer is that none was found.
pub(crate) fn gap(selectors: &[Selector]) -> Option<Labels> {
    let mut partial = vec![Selector { keys: BTreeMap::new() }];
    for selector in selectors {
        let mut next = Vec::new();
        'next: for base in &partial {
            for (key, allowed) in &selector.keys {
                if next.len() >= MOST_COMBINATIONS {
                    break 'next;
                }
                let mut outside = base.clone();
                outside.restrict(key, &allowed.not());
                if outside.is_satisfiable() {
                    next.push(outside);
                }
            }
        }
        partial = next;
    }
    let examples: Vec<Labels> = partial.iter().filter_map(Selector::example).collect();
    examples.iter().find(|example| example.is_unlabelled()).or_else(|| examples.first()).cloned()
}

impl Labels {
    /// Whether none of the labels is there.
    pub(crate) fn is_unlabelled(&self) -> bool {
        self.0.values().all(Option::is_none)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there: Vec<String> =
            self.0.iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("`{key}={value}`"))).collect();
        let absent: Vec<String> =
            self.0.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| format!("`{key}`")).collect();
        match (there.is_empty(), absent.is_empty()) {
            (false, false) => write!(formatter, "{} and without {}", there.join(", "), absent.join(", ")),
            (false, true) => write!(formatter, "{}", there.join(", ")),
            (true, _) => write!(formatter, "none of {}", absent.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::object::Requirement;

    use super::*;

    fn requirement(key: &str, operator: Operator, values: &[&str]) -> Selector {
        Selector::new(&LabelSelector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![Requirement {
                key: key.to_owned(),
                operator,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }],
        })
    }

    #[test]
    fn presence_and_absence_exclude_each_other_and_leave_no_gap() {
        let with = requirement("cp", Operator::Exists, &[]);
        let without = requirement("cp", Operator::DoesNotExist, &[]);
        assert_eq!(with.overlap(&without), None);
        assert_eq!(gap(&[with, without]), None);
    }

    #[test]
    fn a_value_beside_absence_leaves_other_values_out() {
        let with = requirement("cp", Operator::In, &["true"]);
        let without = requirement("cp", Operator::DoesNotExist, &[]);
        assert_eq!(gap(&[with, without]).expect("a gap").to_string(), "`cp=`");
    }

    #[test]
    fn a_positive_role_alone_misses_the_unlabelled_node() {
        assert!(gap(&[requirement("worker", Operator::Exists, &[])]).expect("a gap").is_unlabelled());
    }

    #[test]
    fn selectors_on_different_keys_may_meet() {
        let a = requirement("a", Operator::In, &["1"]);
        let b = requirement("b", Operator::In, &["1"]);
        assert_eq!(a.overlap(&b).expect("both").to_string(), "`a=1`, `b=1`");
        assert!(!a.is_within(&b));
    }

    #[test]
    fn everything_contains_every_selector() {
        let all = Selector::new(&LabelSelector::default());
        let one = requirement("a", Operator::Exists, &[]);
        assert!(one.is_within(&all));
        assert!(!all.is_within(&one));
        assert_eq!(gap(&[all]), None);
    }
}
