//! Felix' answers beside ours.

use std::fmt;

use policy::calico::settings::Dataplane;

use super::Rig;
use crate::shrink::shrink;
use crate::verdicts::calico::{Answer, Case};
use crate::{Error, Result};

/// How many smaller cases are put to Felix, at about a second each.
const SHRINKING: usize = 150;

/// What Felix and this project say to one case in one packet filter.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The case, for that packet filter alone.
    pub case: Case,
    /// What Felix does.
    pub felix: Answer,
    /// What this project says.
    pub ours: Answer,
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
        write!(formatter, "{case}\nFelix: {:?}\nours:  {:?}", self.felix, self.ours)
    }
}

impl Rig {
    /// Puts a case to Felix and to our engine, for each packet filter that it is about.
    ///
    /// Where the two differ, Felix is started anew and asked once more: what it keeps from earlier states is no part of this
    /// one.
    ///
    /// # Errors
    ///
    /// The rig fails, or our engine has no answer.
    pub fn compare(&mut self, case: &Case) -> Result<Vec<Pair>> {
        let pairs = pairs(case, self.answer(case)?)?;
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
        let whole = serde_json::to_value(&pair.case).map_err(odd)?;
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
        .map(|(dataplane, felix)| {
            let case = Case { dataplane: Some(dataplane), ..case.clone() };
            let ours = case.answer().map_err(|error| Error::Answer {
                part: "policy",
                answer: format!("{error}, to {}", serde_json::to_string(&case).unwrap_or_default()),
            })?;
            Ok(Pair { case, felix, ours })
        })
        .collect()
}
