//! Mistakes in a LifelineConfig.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// A mistake, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// What kind.
    pub code: Code,
    /// One sentence without full stop.
    pub message: String,
    /// Path, such as `spec.switchOff[0].reason`; empty for the whole file.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Bytes of the text concerned.
    #[serde(skip)]
    pub bytes: Range<usize>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(formatter, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The text is not YAML, or more than one document.
    ConfigSyntax,
    /// It is another kind of object, or of another version.
    ConfigWrongKind,
    /// A field that a LifelineConfig does not have.
    ConfigUnknownField,
    /// A field that must be there.
    ConfigMissingField,
    /// A value of the wrong type, or none of those that a field takes.
    ConfigWrongValue,
    /// An entry without a reason.
    ConfigNoReason,
    /// A lifeline that is not in the catalogue.
    ConfigUnknownLifeline,
    /// Two entries that do not go together.
    ConfigContradiction,
}

impl Code {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::ConfigSyntax,
        Self::ConfigWrongKind,
        Self::ConfigUnknownField,
        Self::ConfigMissingField,
        Self::ConfigWrongValue,
        Self::ConfigNoReason,
        Self::ConfigUnknownLifeline,
        Self::ConfigContradiction,
    ];

    /// Stable id.
    pub fn id(self) -> &'static str {
        match self {
            Self::ConfigSyntax => "config-syntax",
            Self::ConfigWrongKind => "config-wrong-kind",
            Self::ConfigUnknownField => "config-unknown-field",
            Self::ConfigMissingField => "config-missing-field",
            Self::ConfigWrongValue => "config-wrong-value",
            Self::ConfigNoReason => "config-no-reason",
            Self::ConfigUnknownLifeline => "config-unknown-lifeline",
            Self::ConfigContradiction => "config-contradiction",
        }
    }
}

/// The nearest of some words, if one is near.
pub(super) fn suggest<'w>(word: &str, among: impl IntoIterator<Item = &'w str>) -> Option<String> {
    let distances = among.into_iter().map(|known| (strsim::damerau_levenshtein(known, word), known));
    let most = (word.chars().count() / 3).max(1);
    let (_, near) = distances.filter(|(distance, _)| *distance <= most).min()?;
    Some(format!("did you mean `{near}`?"))
}
