//! Label selectors, with sources in their keys (cilium/cilium:pkg/policy/types/{requirements,selector}.go).

mod cidr;
mod endpoint;
mod entity;
pub mod validate;

pub use cidr::{CidrSelector, Covering};
pub use endpoint::{endpoints, groups, nodes, written};
pub use entity::{ENTITIES, Entity};

use std::fmt;

use super::label::{ANY, Label, Labels};
use crate::object::{LabelSelector, Operator};

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Source and key of the label; its value is not looked at.
    pub label: Label,
    /// What is required of it.
    pub operator: Operator,
    /// Values, for `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Requirement {
    /// A requirement on a key that may carry a source; without one, any source will do.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Self {
        let (source, key) = key.split_once(':').unwrap_or((ANY, key));
        Self { label: Label::new(source, key, ""), operator, values }
    }

    /// Whether labels satisfy it. `NotIn` and `DoesNotExist` hold for an absent label.
    pub fn matches(&self, labels: &Labels) -> bool {
        let found = labels.find(&self.label);
        match self.operator {
            Operator::In => found.is_some_and(|label| self.values.contains(&label.value)),
            Operator::NotIn => found.is_none_or(|label| !self.values.contains(&label.value)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = format!("{}:{}", self.label.source, self.label.key);
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(formatter, "{key}={}", self.values[0]),
            Operator::In => write!(formatter, "{key} in ({})", self.values.join(", ")),
            Operator::NotIn => write!(formatter, "{key} not in ({})", self.values.join(", ")),
            Operator::Exists => write!(formatter, "{key}"),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
        }
    }
}

/// Selects identities by their labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Everyone: an empty label selector, such as that of the entity `all`.
    Everyone,
    /// An empty `cidrGroupSelector`: everyone too, as it has the key of [`Everyone`](Self::Everyone) in the agent's cache.
    /// Whose named ports the two mean, whichever of them a node's agent meets first decides.
    EveryGroup,
    /// By labels; every requirement must hold.
    Labels(Vec<Requirement>),
    /// By prefix or CIDR group; see [`CidrSelector`].
    Cidr(CidrSelector),
    /// By what a snapshot does not hold (DNS answers, provider groups): no known identity.
    Unknown(String),
}

impl Selector {
    /// A selector by labels; without requirements it is everyone.
    pub fn of(requirements: Vec<Requirement>) -> Self {
        if requirements.is_empty() { Self::Everyone } else { Self::Labels(requirements) }
    }

    /// Whether it is everyone on ports by number.
    pub fn is_everyone(&self) -> bool {
        matches!(self, Self::Everyone | Self::EveryGroup)
    }

    /// The requirements of a label selector, in the order written. Keys without a source get the one given.
    pub fn requirements(selector: &LabelSelector, bare: &str) -> Vec<Requirement> {
        let sourced = |key: &str| if key.contains(':') { key.to_owned() } else { format!("{bare}:{key}") };
        let labels = selector
            .match_labels
            .iter()
            .map(|(key, value)| Requirement::new(&sourced(key), Operator::In, vec![value.clone()]));
        let expressions = selector
            .match_expressions
            .iter()
            .map(|one| Requirement::new(&sourced(&one.key), one.operator, one.values.clone()));
        labels.chain(expressions).collect()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => formatter.write_str("everyone"),
            Self::EveryGroup => formatter.write_str("everyone (an empty cidrGroupSelector)"),
            Self::Labels(requirements) => list(formatter, requirements),
            Self::Cidr(selector) => selector.fmt(formatter),
            Self::Unknown(what) => formatter.write_str(what),
        }
    }
}

fn list(formatter: &mut fmt::Formatter<'_>, requirements: &[Requirement]) -> fmt::Result {
    for (index, requirement) in requirements.iter().enumerate() {
        if index > 0 {
            formatter.write_str(" and ")?;
        }
        write!(formatter, "{requirement}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Labels {
        texts
            .iter()
            .map(|text| {
                let (source, rest) = text.split_once(':').expect(text);
                let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
                Label::new(source, key, value)
            })
            .collect()
    }

    #[test]
    fn negative_operators_hold_for_an_absent_label() {
        let pod = labels(&["k8s:app=web"]);
        assert!(Requirement::new("tier", Operator::NotIn, vec!["gold".to_owned()]).matches(&pod));
        assert!(Requirement::new("tier", Operator::DoesNotExist, vec![]).matches(&pod));
        assert!(!Requirement::new("tier", Operator::In, vec![String::new()]).matches(&pod));
    }

    #[test]
    fn a_source_limits_a_key_and_a_bare_key_takes_any() {
        let host = labels(&["reserved:host"]);
        assert!(Requirement::new("host", Operator::In, vec![String::new()]).matches(&host));
        assert!(!Requirement::new("k8s:host", Operator::Exists, vec![]).matches(&host));
        assert!(Requirement::new("any:host", Operator::Exists, vec![]).matches(&host));
    }
}
