//! Felix' answers beside ours.

use std::fmt;

use policy::calico::settings::Dataplane;
use policy::calico::trace::Trace;

use super::Rig;
use crate::shrink::shrink;
use crate::verdicts::calico::{Answer, Case};
use crate::{Error, Result};

/// How many smaller cases are put to Felix, at about a second each.
const SHRINKING: usize = 80;

/// What Felix and this project say to one case in one packet filter.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The case, for that packet filter alone.
    pub case: Case,
    /// What Felix does.
    pub felix: Answer,
    /// What this project says.
    pub ours: Answer,
    /// Why it says so, packet by packet.
    pub traces: Vec<Trace>,
}

impl Pair {
    /// Whether they agree.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.ours.agrees(&self.felix)
    }
}

/// A line for `--bin verdicts`, then both answers to it.
impl fmt::Display for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = serde_json::to_string(&self.case).map_err(|_| fmt::Error)?;
        writeln!(formatter, "{case}")?;
        let packets =
            self.case.packets.iter().zip(&self.traces).zip(self.felix.verdicts.iter().zip(&self.ours.verdicts));
        for ((packet, trace), (felix, ours)) in packets.filter(|(_, (felix, ours))| felix != ours) {
            writeln!(formatter, "{packet:?}: {felix} by Felix, {ours} by this project:\n{trace}")?;
        }
        if self.felix.ct != self.ours.ct {
            writeln!(formatter, "connection tracking: {:?} in Felix, {:?} here", self.felix.ct, self.ours.ct)?;
        }
        write!(formatter, "refused by Felix: {:?}\nrefused here: {:?}", self.felix.invalid, self.ours.invalid)
    }
}

impl Rig {
    /// Puts a case to Felix and to our engine, for each packet filter that it is about.
    ///
    /// Where the two differ, or Felix does not get there, it is started anew and asked once more: what it keeps from earlier
    /// states is no part of this one.
    ///
    /// # Errors
    ///
    /// The rig fails, or our engine has no answer.
    pub fn compare(&mut self, case: &Case) -> Result<Vec<Pair>> {
        let answers = match self.answer(case) {
            // On a busy machine nft may take longer than Felix waits for it, and Felix ends. What is wrong with the state ends
            // the next one too.
            Err(Error::NotReady { .. }) => self.answer_afresh(case),
            answers => answers,
        };
        let pairs = pairs(case, answers?)?;
        if pairs.iter().all(Pair::agrees) {
            return Ok(pairs);
        }
        self::pairs(case, self.answer_afresh(case)?)
    }

    /// Leaves out of a pair that does not agree what does not matter to that: objects, their fields, packets.
    ///
    /// # Errors
    ///
    /// As [`Rig::compare`], of the case that remains.
    pub fn shrink(&mut self, pair: &Pair) -> Result<Pair> {
        let odd = |error: serde_json::Error| Error::Answer { part: "shrinking", answer: error.to_string() };
        let mut tried = 0;
        let mut whole = pair.case.clone();
        if pair.felix.invalid.len() == pair.ours.invalid.len() {
            let differ = |index: usize| {
                pair.felix.verdicts.get(index) != pair.ours.verdicts.get(index)
                    || pair.felix.ct.get(index) != pair.ours.ct.get(index)
            };
            let packets = whole.packets.into_iter().enumerate();
            whole.packets = packets.filter(|(index, _)| differ(*index)).map(|(_, packet)| packet).take(1).collect();
        }
        let whole = serde_json::to_value(&whole).map_err(odd)?;
        let small = shrink(whole, |candidate| {
            let Ok(case) = serde_json::from_value::<Case>(candidate.clone()) else { return false };
            // What was refused when it was whole is not what is looked for.
            if tried == SHRINKING || case.dataplane != pair.case.dataplane || case.packets.is_empty() {
                return false;
            }
            tried += 1;
            let differs = |pair: &Pair| !pair.agrees() && pair.felix.invalid.len() <= pair.ours.invalid.len();
            self.answer(&case).and_then(|answers| pairs(&case, answers)).is_ok_and(|pairs| pairs.iter().any(differs))
        });
        let case = serde_json::from_value(small).map_err(odd)?;
        let pairs = self.compare(&case)?;
        Ok(pairs.into_iter().find(|pair| !pair.agrees()).unwrap_or_else(|| pair.clone()))
    }
}

fn pairs(case: &Case, answers: impl IntoIterator<Item = (Dataplane, Answer)>) -> Result<Vec<Pair>> {
    answers
        .into_iter()
        .map(|(dataplane, mut felix)| {
            let mut case = Case { dataplane: Some(dataplane), ..case.clone() };
            if case.raw {
                // What the schema of custom resources refuses never gets to Felix, and is no part of the state.
                let refused = std::mem::take(&mut felix.invalid);
                case.objects.retain(|object| {
                    !refused.iter().any(|one| object["kind"] == *one.kind && object["metadata"]["name"] == *one.name)
                });
            }
            let (ours, traces) = case.answer_and_traces().map_err(|error| Error::Answer {
                part: "policy",
                answer: format!("{error}, to {}", serde_json::to_string(&case).unwrap_or_default()),
            })?;
            for (index, packet) in case.packets.iter().enumerate() {
                // Before connection tracking Felix drops what comes from a pod's interface and does not belong there
                // (projectcalico/calico:felix/rules/static.go StaticRawPreroutingChain). Behind it, it drops it anyway.
                if packet.iface.starts_with("cali")
                    && felix.verdicts[index] == "drop"
                    && ours.verdicts.get(index) == Some(&felix.verdicts[index])
                {
                    felix.ct[index].clone_from(&ours.ct[index]);
                }
            }
            Ok(Pair { case, felix, ours, traces })
        })
        .collect()
}
