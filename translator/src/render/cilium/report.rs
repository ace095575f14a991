//! What becomes of one row: its fate, and the findings that explain it.

use crate::finding::codes::shared::{OPTIONAL_ROW_LEFT_OUT, ROW_NOT_EXPRESSIBLE};
use crate::finding::{Code, Finding};
use crate::matrix::{Action, Row};
use crate::render::Fate;
use crate::render::loss::{Change, Loss, Packets};

/// Collects what is lost of one row.
///
/// Losses are told, for people and for the proof, by what the rule elements match, [`over`](Self::over) or [`under`](Self::under) what the row says.
/// For an allow row, matching more admits more. For a deny row it would drop packets that other rows admit, lifelines
/// among them, so there it is no loss but a refusal.
pub(super) struct Report<'a> {
    pub(super) row: &'a Row,
    over: bool,
    under: bool,
    refusal: Option<(String, String)>,
    findings: Vec<Finding>,
    losses: Vec<Loss>,
}

impl<'a> Report<'a> {
    pub(super) fn new(row: &'a Row) -> Self {
        Self { row, over: false, under: false, refusal: None, findings: Vec::new(), losses: Vec::new() }
    }

    /// Whether the row denies.
    pub(super) fn denies(&self) -> bool {
        self.row.action == Action::Deny
    }

    /// The elements match packets that the row does not mean.
    pub(super) fn over(
        &mut self,
        (code, changes): (&'static Code, impl IntoIterator<Item = Change>),
        what: &str,
        lost: impl Into<String>,
        help: &str,
    ) {
        if self.denies() {
            self.refuse(&format!("a deny would take more packets than the row says: {what}"), help);
            return;
        }
        self.over = true;
        self.lose(code, changes);
        self.push(self.finding(code, what).lost(format!("admitted: {}", lost.into())).help(help));
    }

    /// The elements do not match all packets that the row means.
    pub(super) fn under(
        &mut self,
        (code, changes): (&'static Code, impl IntoIterator<Item = Change>),
        what: &str,
        lost: impl Into<String>,
        help: &str,
    ) {
        self.under = true;
        self.lose(code, changes);
        let effect = if self.denies() { "not denied" } else { "not admitted" };
        self.push(self.finding(code, what).lost(format!("{effect}: {}", lost.into())).help(help));
    }

    /// Worth knowing; the elements match what the row says.
    pub(super) fn remark(&mut self, code: &'static Code, what: &str, help: &str) {
        self.push(self.finding(code, what).help(help));
    }

    /// The row cannot be written. The first reason counts.
    pub(super) fn refuse(&mut self, reason: &str, help: &str) {
        self.refusal.get_or_insert_with(|| (reason.to_owned(), help.to_owned()));
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// The row's fate, findings and losses.
    pub(super) fn finish(mut self) -> (Fate, Vec<Finding>, Vec<Loss>) {
        if let Some((reason, help)) = self.refusal.take() {
            let code = if self.row.optional { &OPTIONAL_ROW_LEFT_OUT } else { &ROW_NOT_EXPRESSIBLE };
            return (Fate::Refused, vec![self.finding(code, &reason).help(help)], Vec::new());
        }
        let fate = match (self.over, self.under, self.denies()) {
            (true, ..) | (_, true, true) => Fate::Wider,
            (_, true, false) => Fate::Narrower,
            _ => Fate::Exact,
        };
        (fate, self.findings, self.losses)
    }

    fn lose(&mut self, code: &'static Code, changes: impl IntoIterator<Item = Change>) {
        let (row, direction) = (self.row.origin, self.row.direction);
        let loss = |change| Loss { code, packets: Packets::Row { row, direction, change } };
        self.losses.extend(changes.into_iter().map(loss));
    }

    /// Two peers of a row can lose the same; it is said once.
    fn push(&mut self, finding: Finding) {
        let same = |other: &Finding| other.code == finding.code && other.message == finding.message;
        if !self.findings.iter().any(same) {
            self.findings.push(finding);
        }
    }

    fn finding(&self, code: &'static Code, what: &str) -> Finding {
        Finding::new(code, format!("{}: {what}", self.row.title())).at(self.row.path(), self.row.at.clone())
    }
}
