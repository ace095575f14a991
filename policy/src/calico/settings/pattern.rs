//! Patterns of interface names.

use std::fmt;

use regex_lite::Regex;
use serde::{Serialize, Serializer};

/// A regular expression, or a plain name that must match whole.
///
/// Felix writes a regular expression of `interfaceExclude` between slashes
/// (projectcalico/calico:felix/config/param_types.go RegexpPatternListParam).
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Option<Regex>,
}

impl Pattern {
    /// A whole name.
    pub fn name(text: &str) -> Self {
        Self { text: text.to_owned(), regex: None }
    }

    /// A regular expression; matches anywhere in the name unless anchored. `None` where this engine cannot read it.
    pub fn regex(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), regex: Some(Regex::new(text).ok()?) })
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(name),
            None => self.text == name,
        }
    }

    fn identity(&self) -> (&str, bool) {
        (&self.text, self.regex.is_some())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.regex {
            Some(_) => write!(formatter, "/{}/", self.text),
            None => formatter.write_str(&self.text),
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
