//! What is answered to a change, from a state of the cluster. Pure: where the state comes from is not decided here.

mod denial;
mod guarded;
mod paste;

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::lifeline::Severity;
use policy::lifeline::config::{Config, Mode, Tolerate};
use policy::lifeline::detect::detect;
use policy::lifeline::judge::{Assumptions, Change as Judged, Cut, Doubt, Judge, Judgement, Stop, Verdict};
use policy::lifeline::repair::Repair;
use policy::snapshot::Snapshot;

use crate::review::{Answer, Operation};
use crate::validate::Change;

pub use guarded::{GUARDED, content, is_guarded, is_relevant};

/// What changes are judged against. Kept warm: many threads judge against one at once, and the next one is made from it at
/// the cost of what differs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    judge: Judge<'static>,
    config: Arc<Config>,
}

impl State {
    /// A state of a cluster, what its operators say about it, and what is known of it otherwise than from its objects.
    pub fn new(snapshot: &Snapshot, config: Arc<Config>, assumptions: &Assumptions) -> Self {
        let stated = Arc::clone(&config);
        let judge = Judge::new(snapshot, move |snapshot: &Snapshot| detect(snapshot, &stated), assumptions);
        Self { judge, config }
    }

    /// The state with another snapshot, which should have most in common with this one.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        Self { judge: self.judge.with(snapshot), config: Arc::clone(&self.config) }
    }

    /// The cluster.
    pub fn snapshot(&self) -> &Snapshot {
        self.judge.snapshot()
    }

    /// The judge of it.
    pub fn judge(&self) -> &Judge<'static> {
        &self.judge
    }
}

/// What is answered, and why.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The answer.
    pub answer: Answer,
    /// What was found, refused or not.
    pub findings: Vec<Finding>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its code, such as `cuts-kubelet-api`.
    pub code: String,
    /// Whether it is refused.
    pub mode: Mode,
}

impl Decision {
    /// Nothing to say.
    pub fn allowed() -> Self {
        Self::default()
    }
}

/// Decides about a change.
///
/// # Errors
///
/// No verdict is possible, and why.
pub fn verdict(state: &State, change: &Change<'_>) -> Result<Decision, String> {
    if is_relevant(change) { decide(state, change) } else { Ok(Decision::allowed()) }
}

/// Decides about a change that [`is_relevant`].
///
/// # Errors
///
/// No verdict is possible, and why.
pub fn decide(state: &State, change: &Change<'_>) -> Result<Decision, String> {
    let Some(judged) = judged(change) else { return Ok(Decision::allowed()) };
    let unable = |error: &dyn std::error::Error| error.to_string();
    // What the API server says is there, is there, also where the state has not heard of it.
    let unheard = change.before.as_ref().filter(|_| judged.replaced(state.snapshot()).is_none());
    let heard = match unheard {
        Some(before) => Some(state.with(&state.snapshot().put(before).map_err(|error| unable(&error))?)),
        None => None,
    };
    let State { judge, config } = heard.as_ref().unwrap_or(state);
    let changes = [judged];
    let judgement = judge.review(&changes).map_err(|error| unable(&error))?;
    let sorted = Sorted::of(&judgement, config);
    Ok(sorted.decision(change))
}

/// The change as judging has it; none if there is nothing to judge, such as the deletion of what is gone already.
fn judged(change: &Change<'_>) -> Option<Judged> {
    match change.operation {
        Operation::Create | Operation::Update => change.after.clone().map(Judged::Put),
        Operation::Delete => change.before.as_ref().map(|before| Judged::Delete(before.key.clone())),
    }
}

/// A judgement, taken apart into what is refused and what is only said.
struct Sorted<'j> {
    refused: Findings<'j>,
    observed: Findings<'j>,
    tolerated: Vec<(&'j Doubt, &'j Tolerate)>,
    broken: &'j [Cut],
    repair: Option<&'j Repair>,
    verdict: Verdict,
}

#[derive(Default)]
struct Findings<'j> {
    stops: Vec<&'j Stop>,
    cuts: Vec<&'j Cut>,
    doubts: Vec<&'j Doubt>,
}

impl<'j> Sorted<'j> {
    fn of(judgement: &'j Judgement, config: &'j Config) -> Self {
        let (mut refused, mut observed) = (Findings::default(), Findings::default());
        let is_refused = |severity| config.mode.of(severity) == Mode::Enforce;
        for cut in &judgement.cuts {
            let findings = if is_refused(cut.severity) { &mut refused } else { &mut observed };
            findings.cuts.push(cut);
        }
        // What is not about one lifeline counts as a blocker.
        let findings = if is_refused(Severity::Blocker) { &mut refused } else { &mut observed };
        findings.stops.extend(&judgement.stops);
        let mut tolerated = Vec::new();
        for doubt in &judgement.doubts {
            match config.tolerate.iter().find(|tolerate| tolerate.covers(doubt)) {
                Some(by) => tolerated.push((doubt, by)),
                None => findings.doubts.push(doubt),
            }
        }
        let (broken, repair) = (judgement.broken.as_slice(), judgement.repair.as_ref());
        Self { refused, observed, tolerated, broken, repair, verdict: judgement.verdict }
    }

    fn decision(&self, change: &Change<'_>) -> Decision {
        let denial = denial::denial(self, change);
        let warnings = denial::warnings(self);
        let findings: Vec<Finding> = [(&self.refused, Mode::Enforce), (&self.observed, Mode::Observe)]
            .into_iter()
            .flat_map(|(findings, mode)| findings.codes().map(move |code| Finding { code, mode }))
            .collect();
        let mut audit = BTreeMap::from([("verdict", self.verdict.to_string())]);
        if !findings.is_empty() {
            audit.insert("findings", findings.iter().map(|it| it.code.as_str()).collect::<Vec<_>>().join(","));
        }
        if let Some(repair) = self.repair.and_then(|repair| serde_json::to_string(&repair.steps).ok())
            && repair.len() <= denial::AUDIT
        {
            audit.insert("repair", repair);
        }
        Decision { answer: Answer { denial, warnings, audit }, findings }
    }
}

impl Findings<'_> {
    /// Codes, each once, the worst first.
    fn codes(&self) -> impl Iterator<Item = String> {
        let stops = (!self.stops.is_empty()).then(|| "stops-agent".to_owned());
        let doubts = (!self.doubts.is_empty()).then(|| "cannot-prove".to_owned());
        let mut codes: Vec<String> = stops.into_iter().collect();
        for cut in &self.cuts {
            let code = denial::code(cut);
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes.extend(doubts);
        codes.into_iter()
    }

    fn is_empty(&self) -> bool {
        self.stops.is_empty() && self.cuts.is_empty() && self.doubts.is_empty()
    }
}

#[cfg(test)]
mod tests;
