//! Findings: what is wrong with the input, and what a CNI cannot say.

pub mod codes;
pub mod show;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost; worth knowing.
    Note,
    /// Output is written, but admits more or less than the matrix says, or the matrix looks mistaken.
    Warning,
    /// No output is written.
    Error,
}

/// A documented kind of finding. Its id is stable across versions.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Kebab-case id, such as `row-not-expressible`.
    pub id: &'static str,
    /// Severity.
    pub severity: Severity,
    /// One line, no full stop.
    pub title: &'static str,
    /// What it means and why it matters, in full sentences. Paragraphs are separated by an empty line.
    pub explanation: &'static str,
    /// Input that brings it about.
    pub example: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// A place in a file. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Location {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// Byte offsets of the text concerned.
    #[serde(skip)]
    pub bytes: std::ops::Range<usize>,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What kind.
    pub code: &'static Code,
    /// One sentence about this case, no full stop, no line break.
    pub message: String,
    /// Path in the matrix, such as `spec.rows[6].ports`; empty for the whole file or no file at all.
    pub path: String,
    /// Place in the matrix.
    pub at: Option<Location>,
    /// The object concerned, such as `GlobalNetworkPolicy/lifeline.harvester-worker-ingress`.
    pub object: Option<String>,
    /// Packets that are admitted although the matrix does not say so, or refused although it does.
    pub lost: Option<String>,
    /// What to do, one sentence.
    pub help: Option<String>,
}

impl Finding {
    /// A finding with a message.
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), path: String::new(), at: None, object: None, lost: None, help: None }
    }

    /// Names the place in the matrix.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>, at: Option<Location>) -> Self {
        self.path = path.into();
        self.at = at;
        self
    }

    /// Names the object.
    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Says which packets are admitted beyond the matrix, or missing.
    #[must_use]
    pub fn lost(mut self, lost: impl Into<String>) -> Self {
        self.lost = Some(lost.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Severity of the code.
    pub fn severity(&self) -> Severity {
        self.code.severity
    }
}

/// Whether any finding forbids output.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity() == Severity::Error)
}
