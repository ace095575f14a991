//! Cilium's own policy engine against this project's, over random cases.

mod facts;
mod traps;

use std::fmt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::Result;
use crate::coverage::{Coverage, Run, Totals};
use crate::line_server::LineServer;
use crate::progress::Progress;
use crate::random;
use crate::shrink::shrink;
use crate::verdicts::cilium::{Case, Judged, Outcome, judge};
use parts::{Program, program};

/// After so many differences a run ends.
const ENOUGH: u64 = 5;

/// A process that drives `pkg/policy` of Cilium.
#[derive(Debug)]
pub struct Engine(LineServer);

impl Engine {
    /// Starts it, and builds it first if it has to be.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(program(Program::CiliumVerdicts)?);
        // What a case leaves behind is garbage, and little of it: a quarter of the time goes to looking for it early.
        command.env("GOGC", "1000");
        LineServer::start("cilium-verdicts", &mut command).map(Self)
    }

    /// What it says about a case.
    ///
    /// # Errors
    /// When it is gone, as it is after something that is not a case.
    pub fn judge(&self, case: &Value) -> Result<Outcome> {
        let line = self.0.ask(&case.to_string())?;
        serde_json::from_str(&line).map_err(|_| self.0.odd(&line))
    }
}

/// A case about which the two differ.
#[derive(Debug)]
pub struct Mismatch {
    /// The case.
    pub case: Value,
    /// What Cilium says.
    pub upstream: Outcome,
    /// What this project says, or why it says nothing.
    pub own: std::result::Result<Judged, String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.case)?;
        writeln!(formatter, "Cilium:   {}", json(&self.upstream))?;
        match &self.own {
            Err(reason) => writeln!(formatter, "Lifeline: {reason}"),
            Ok(judged) => {
                writeln!(formatter, "evaluate: {}", json(&judged.evaluated))?;
                writeln!(formatter, "trace:    {}", judged.traced().collect::<Vec<_>>().join(" "))?;
                judged.traces.iter().flatten().try_for_each(|trace| writeln!(formatter, "{trace}"))
            }
        }
    }
}

fn json(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).unwrap_or_else(|error| error.to_string())
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Totals.
    pub totals: Totals,
    /// What was reached.
    pub coverage: Coverage,
    /// The differences, made small.
    pub mismatches: Vec<Mismatch>,
}

impl Report {
    fn merge(&mut self, other: Self) {
        self.totals.merge(other.totals);
        self.coverage.merge(other.coverage);
        self.mismatches.extend(other.mismatches);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n\n{}", self.totals, self.coverage)?;
        self.mismatches.iter().try_for_each(|mismatch| writeln!(formatter, "{mismatch}"))
    }
}

/// Asks both engines about random cases, on so many threads. What is found does not depend on how many.
///
/// # Errors
/// When Cilium's engine cannot be built or started, or ends.
pub fn run(run: Run, threads: usize, progress: &Progress) -> Result<Report> {
    let next = AtomicU64::new(0);
    let found = AtomicU64::new(0);
    let whole = Mutex::new(Report::default());
    whole.lock().unwrap_or_else(PoisonError::into_inner).coverage = facts::declared();
    let worker = || -> Result<()> {
        let mut engine = Engine::start()?;
        let mut own = Report::default();
        while found.load(Ordering::Relaxed) < ENOUGH {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= run.cases || !progress.goes_on(index, run.cases) {
                break;
            }
            let case = random::cilium::case(run.seed, index);
            if let Some(mismatch) = one(&engine, &case, &mut own)? {
                found.fetch_add(1, Ordering::Relaxed);
                own.mismatches.push(small(&mut engine, mismatch)?);
            }
        }
        whole.lock().unwrap_or_else(PoisonError::into_inner).merge(own);
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        // A panic in a worker is one here.
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(whole.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// One case: counted, and the difference if there is one.
fn one(engine: &Engine, case: &Value, report: &mut Report) -> Result<Option<Mismatch>> {
    let upstream = engine.judge(case)?;
    let own = own(case);
    let totals = &mut report.totals;
    totals.cases += 1;
    totals.packets += upstream.verdicts.len() as u64;
    let count = |verdict: &str| upstream.verdicts.iter().filter(|own| *own == verdict).count() as u64;
    totals.accepts += count("allow");
    totals.denies += count("deny");
    totals.invalid += upstream.invalid.len() as u64;
    if difference(&upstream, own.as_ref().ok()).is_some() {
        totals.mismatches += 1;
        return Ok(Some(Mismatch { case: case.clone(), upstream, own }));
    }
    if let Ok(judged) = &own {
        facts::count(case, judged, &mut report.coverage);
    }
    Ok(None)
}

/// What this project says. What no API server would hold is no case.
fn own(case: &Value) -> std::result::Result<Judged, String> {
    let list = |name: &str| case[name].as_array().map(Vec::as_slice).unwrap_or_default();
    if !list("nodes").iter().any(|node| node["name"] == case["node"]) {
        return Err("the case has no such node".to_owned());
    }
    let mut objects = list("policies").iter().chain(list("previous")).chain(list("cidrGroups"));
    if objects.any(|object| !object["kind"].is_string() || !object["metadata"]["name"].is_string()) {
        return Err("an object has no kind or name".to_owned());
    }
    if list("cidrGroups").iter().any(|group| !group["spec"]["externalCIDRs"].is_array()) {
        return Err("a group has no list of prefixes".to_owned());
    }
    let case: Case = serde_json::from_value(case.clone()).map_err(|error| error.to_string())?;
    judge(&case)
}

/// In what two answers differ first, if at all.
fn difference(upstream: &Outcome, own: Option<&Judged>) -> Option<&'static str> {
    let Some(judged) = own else { return Some("no answer") };
    let own = &judged.evaluated;
    let differ = [
        ("invalid", own.invalid != upstream.invalid),
        ("host labels", own.host_labels != upstream.host_labels),
        ("identities", own.identities != upstream.identities),
        ("enforced", own.enforced != upstream.enforced),
        ("default deny", own.default_deny != upstream.default_deny),
        ("evaluate", own.verdicts != upstream.verdicts),
        ("trace", !judged.traced().eq(upstream.verdicts.iter().map(String::as_str))),
        ("the rest", own != upstream),
    ];
    differ.into_iter().find(|(_, differs)| *differs).map(|(name, _)| name)
}

/// The smallest case that differs in the same way.
fn small(engine: &mut Engine, mismatch: Mismatch) -> Result<Mismatch> {
    let mut failure = None;
    let what = difference(&mismatch.upstream, mismatch.own.as_ref().ok());
    let mut smallest = mismatch;
    let case = smallest.case.clone();
    let _ = shrink(case, |candidate| {
        // What is no case any more would end Cilium's engine. One that is a case was judged by this project.
        let own = own(candidate);
        if own.is_err() || failure.is_some() {
            return false;
        }
        match engine.judge(candidate) {
            Ok(upstream) if difference(&upstream, own.as_ref().ok()) == what => {
                smallest = Mismatch { case: candidate.clone(), upstream, own };
                true
            }
            Ok(_) => false,
            Err(_) => {
                match Engine::start() {
                    Ok(new) => *engine = new,
                    Err(error) => failure = Some(error),
                }
                false
            }
        }
    });
    failure.map_or(Ok(smallest), Err)
}
