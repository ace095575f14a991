//! The selector language (projectcalico/calico:libcalico-go/lib/selector).
//!
//! ```text
//! expr    := and ( "||" and )*
//! and     := unary ( "&&" unary )*
//! unary   := "!"* atom
//! atom    := "(" expr ")" | "all()" | "global()" | "has(" label ")"
//!          | label ( "==" | "!=" | "contains" | "starts with" | "ends with" ) literal
//!          | label ( "in" | "not in" ) "{" [ literal ( "," literal )* [ "," ] ] "}"
//! label   := [A-Za-z0-9_./-]+
//! literal := '...' | "..."
//! ```
//!
//! A blank is a space or a tab, nothing else. An empty or blank text selects everything.

mod looks;
mod parse;
#[cfg(test)]
mod tests;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

pub(super) use looks::Looks;
pub use parse::SelectorError;
pub use token::is_label;

/// Longest selector that is read, in bytes. The CRDs stop at 1,024; selectors that Calico joins are longer.
pub const MAX_LENGTH: usize = 64 * 1024;
/// Deepest nesting of parentheses that is read.
pub const MAX_DEPTH: usize = 256;

/// A selector. Two that differ only in spelling are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Node);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Node {
    All,
    Global,
    Has(String),
    Compare { label: String, comparison: Comparison, value: String },
    In { label: String, negated: bool, values: BTreeSet<String> },
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// How a label is compared with a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Comparison {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
}

impl Comparison {
    fn holds(self, found: &str, value: &str) -> bool {
        match self {
            Self::Equal => found == value,
            Self::NotEqual => found != value,
            Self::Contains => found.contains(value),
            Self::StartsWith => found.starts_with(value),
            Self::EndsWith => found.ends_with(value),
        }
    }
}

impl Selector {
    /// Selects everything.
    pub const ALL: Self = Self(Node::All);

    /// Whether labels satisfy it. An absent label satisfies `!=` and `not in`, and nothing else.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.matches(labels)
    }

    /// Whether it is `global()` and nothing else.
    pub fn is_global(&self) -> bool {
        self.0 == Node::Global
    }

    /// With every label name prefixed, as Calico does to tell labels of namespaces and service accounts from those of
    /// endpoints (projectcalico/calico:libcalico-go/lib/selector/parser/ast.go PrefixVisitor).
    #[must_use]
    pub fn prefixed(mut self, prefix: &str) -> Self {
        self.0.prefix(prefix);
        self
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        parse::parse(text).map(Self)
    }
}

impl Node {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All | Self::Global => true,
            Self::Has(label) => labels.contains_key(label),
            Self::Compare { label, comparison, value } => match labels.get(label) {
                Some(found) => comparison.holds(found, value),
                None => *comparison == Comparison::NotEqual,
            },
            Self::In { label, negated, values } => {
                labels.get(label).is_some_and(|found| values.contains(found)) != *negated
            }
            Self::Not(node) => !node.matches(labels),
            Self::And(nodes) => nodes.iter().all(|node| node.matches(labels)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(labels)),
        }
    }

    fn prefix(&mut self, prefix: &str) {
        match self {
            Self::All | Self::Global => {}
            Self::Has(label) | Self::Compare { label, .. } | Self::In { label, .. } => label.insert_str(0, prefix),
            Self::Not(node) => node.prefix(prefix),
            Self::And(nodes) | Self::Or(nodes) => nodes.iter_mut().for_each(|node| node.prefix(prefix)),
        }
    }
}

/// Canonical text: what Calico derives the identity of an IP set from, and what it joins with other selectors.
impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all()"),
            Self::Global => formatter.write_str("global()"),
            Self::Has(label) => write!(formatter, "has({label})"),
            Self::Compare { label, comparison, value } => {
                let operator = match comparison {
                    Comparison::Equal => "==",
                    Comparison::NotEqual => "!=",
                    Comparison::Contains => "contains",
                    Comparison::StartsWith => "starts with",
                    Comparison::EndsWith => "ends with",
                };
                write!(formatter, "{label} {operator} ")?;
                quoted(formatter, value)
            }
            Self::In { label, negated, values } => {
                write!(formatter, "{label} {} {{", if *negated { "not in" } else { "in" })?;
                for (index, value) in values.iter().enumerate() {
                    formatter.write_str(if index > 0 { ", " } else { "" })?;
                    quoted(formatter, value)?;
                }
                formatter.write_str("}")
            }
            Self::Not(node) => write!(formatter, "!{node}"),
            Self::And(nodes) => joined(formatter, nodes, " && "),
            Self::Or(nodes) => joined(formatter, nodes, " || "),
        }
    }
}

fn quoted(formatter: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let quote = if value.contains('"') { '\'' } else { '"' };
    write!(formatter, "{quote}{value}{quote}")
}

fn joined(formatter: &mut fmt::Formatter<'_>, nodes: &[Node], operator: &str) -> fmt::Result {
    formatter.write_str("(")?;
    for (index, node) in nodes.iter().enumerate() {
        formatter.write_str(if index > 0 { operator } else { "" })?;
        write!(formatter, "{node}")?;
    }
    formatter.write_str(")")
}
