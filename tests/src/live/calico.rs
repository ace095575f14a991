//! Felix with real packets against this project, over random cases.

mod facts;
mod traps;

use std::fmt;

use policy::calico::settings::Dataplane;

use crate::coverage::{Coverage, Run, Totals};
use crate::felix::Rig;
use crate::felix::compare::Pair;
use crate::progress::Progress;
use crate::random;
use crate::verdicts::calico::Case;
use crate::{Error, Result};

/// After so many differences a run ends.
const ENOUGH: usize = 5;

/// What a run came to. Its cases are those of one packet filter, so a state that both filters are given is two.
#[derive(Debug, Default)]
pub struct Report {
    /// Totals.
    pub totals: Totals,
    /// What was reached.
    pub coverage: Coverage,
    /// The differences, made small.
    pub mismatches: Vec<Pair>,
    /// Why the run ended before its last state: Felix did not get to one. Nothing of that one is counted.
    pub outage: Option<Error>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n\n{}", self.totals, self.coverage)?;
        self.mismatches.iter().try_for_each(|pair| writeln!(formatter, "{pair}"))?;
        self.outage.iter().try_for_each(|outage| writeln!(formatter, "{outage}"))
    }
}

/// Which packet filters a state is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filters {
    /// Both at once.
    Both,
    /// One, each for a stretch of states.
    InTurn,
}

/// Puts random states to Felix, in nftables mode and in iptables mode.
///
/// # Errors
///
/// A part cannot be had, or fails over a difference that is made small.
pub fn run(run: Run, filters: Filters, progress: &Progress) -> Result<Report> {
    let mut report = Report { coverage: facts::declared(), ..Report::default() };
    let mut rig = Rig::start(&[Dataplane::Nftables, Dataplane::Iptables])?;
    for index in 0..run.cases {
        let mut case = random::calico::case(run.seed, index);
        if filters == Filters::InTurn && case.dataplane.is_none() {
            let turn = [Dataplane::Nftables, Dataplane::Iptables];
            case.dataplane = turn.get((index / random::calico::BLOCK % 2) as usize).copied();
        }
        if !report.put(&mut rig, &case)? || !progress.goes_on(index + 1, run.cases) {
            break;
        }
    }
    Ok(report)
}

/// Puts cases to Felix that somebody wrote down, a JSON object a line, in the packet filter that each names, or in both.
///
/// # Errors
///
/// A line is no case, a part cannot be had, or fails over a difference that is made small.
pub fn replay(lines: &str) -> Result<Report> {
    let cases = lines.lines().enumerate().map(|(number, line)| {
        serde_json::from_str(line).map_err(|error| Error::Answer {
            part: "the file",
            answer: format!("line {} is no case: {error}", number + 1),
        })
    });
    let cases = cases.collect::<Result<Vec<Case>>>()?;
    let (mut report, mut rig) = (Report::default(), Rig::start(&[Dataplane::Nftables, Dataplane::Iptables])?);
    for case in &cases {
        if !report.put(&mut rig, case)? {
            break;
        }
    }
    Ok(report)
}

impl Report {
    /// Puts one case to Felix. `false` ends the run.
    fn put(&mut self, rig: &mut Rig, case: &Case) -> Result<bool> {
        let pairs = match rig.compare(case) {
            Ok(pairs) => pairs,
            Err(error) => {
                let state = serde_json::to_string(case).unwrap_or_default();
                let answer = format!("{error}\nin the state\n{state}");
                self.outage = Some(Error::Answer { part: "felix", answer });
                return Ok(false);
            }
        };
        for pair in pairs {
            self.count(&pair);
            if !pair.agrees() && self.mismatches.len() < ENOUGH {
                self.mismatches.push(rig.shrink(&pair)?);
            }
        }
        Ok(self.mismatches.len() < ENOUGH)
    }

    fn count(&mut self, pair: &Pair) {
        let totals = &mut self.totals;
        totals.cases += 1;
        totals.packets += pair.felix.verdicts.len() as u64;
        let accepts = pair.felix.verdicts.iter().filter(|verdict| *verdict == "accept").count() as u64;
        totals.accepts += accepts;
        totals.denies += pair.felix.verdicts.len() as u64 - accepts;
        totals.invalid += pair.felix.invalid.len() as u64;
        totals.mismatches += u64::from(!pair.agrees());
        facts::count(pair, &mut self.coverage);
    }
}
