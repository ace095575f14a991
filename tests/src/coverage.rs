//! What a run of random cases reached: how often each rule field, stage and trap occurred and how often it decided, the totals,
//! and the options that such runs have in common.
//!
//! A generator that never reaches a feature proves nothing about it, so the rows that must not stay empty are declared.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The variable that fixes the seed of every random test; `.cargo/config.toml` sets it.
const SEED: &str = "PROPTEST_RNG_SEED";

/// How often something was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// In how many cases it occurs.
    pub occurred: u64,
    /// For how many packets it decides.
    pub decided: u64,
}

/// Counters, in groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, BTreeMap<String, Count>>);

impl Coverage {
    /// Rows that are shown, and reported as missing, even if nothing counts on them.
    pub fn declare(&mut self, group: &'static str, names: &[&str]) {
        for name in names {
            self.row(group, name);
        }
    }

    /// One more case has it.
    pub fn occurred(&mut self, group: &'static str, name: &str) {
        self.row(group, name).occurred += 1;
    }

    /// It decides one more packet.
    pub fn decided(&mut self, group: &'static str, name: &str) {
        self.row(group, name).decided += 1;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: Self) {
        for (group, rows) in other.0 {
            for (name, count) in rows {
                let own = self.row(group, &name);
                own.occurred += count.occurred;
                own.decided += count.decided;
            }
        }
    }

    /// What it has counted for a row.
    #[must_use]
    pub fn count(&self, group: &str, name: &str) -> Count {
        self.0.get(group).and_then(|rows| rows.get(name)).copied().unwrap_or_default()
    }

    /// Rows that never occurred, as `group: name`.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.rows()
            .filter(|(_, _, count)| count.occurred == 0)
            .map(|(group, name, _)| format!("{group}: {name}"))
            .collect()
    }

    /// Rows of a group that never decided anything.
    #[must_use]
    pub fn undecided(&self, group: &str) -> Vec<String> {
        let rows = self.rows().filter(|(own, _, count)| *own == group && count.decided == 0);
        rows.map(|(_, name, _)| name.to_owned()).collect()
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &str, Count)> {
        self.0.iter().flat_map(|(group, rows)| rows.iter().map(|(name, count)| (*group, name.as_str(), *count)))
    }

    fn row(&mut self, group: &'static str, name: &str) -> &mut Count {
        let rows = self.0.entry(group).or_default();
        // Rows are met far more often than they are made.
        if !rows.contains_key(name) {
            rows.insert(name.to_owned(), Count::default());
        }
        rows.entry(name.to_owned()).or_default()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows().map(|(_, name, _)| name.chars().count()).max().unwrap_or_default().max(20);
        for (group, rows) in &self.0 {
            writeln!(formatter, "{group:<width$} {:>12} {:>12}", "cases", "decided")?;
            for (name, Count { occurred, decided }) in rows {
                writeln!(formatter, "  {name:<0$} {occurred:>12} {decided:>12}", width.saturating_sub(2))?;
            }
        }
        Ok(())
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Cases.
    pub cases: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that pass.
    pub accepts: u64,
    /// Packets that are dropped.
    pub denies: u64,
    /// Objects that upstream refuses.
    pub invalid: u64,
    /// Cases in which the engines differ.
    pub mismatches: u64,
}

impl Totals {
    /// Adds what another has counted.
    pub fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        self.packets += other.packets;
        self.accepts += other.accepts;
        self.denies += other.denies;
        self.invalid += other.invalid;
        self.mismatches += other.mismatches;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, packets, accepts, denies, invalid, mismatches } = self;
        writeln!(formatter, "cases {cases}, packets {packets}, accepts {accepts}, denies {denies}")?;
        write!(formatter, "invalid objects {invalid}, mismatches {mismatches}")
    }
}

/// How many cases, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub cases: u64,
    /// Where the randomness begins. Equal seeds give equal cases.
    pub seed: u64,
}

impl Run {
    /// A run of so many cases, from the seed that all random tests have.
    #[must_use]
    pub fn of(cases: u64) -> Self {
        // The harness of proptest reads the variable in the same way.
        let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
        Self { cases, seed: seed.unwrap_or_default() }
    }

    /// Reads `--cases N` and `--seed S`, in any order, over what the run is without them.
    ///
    /// # Errors
    ///
    /// An argument is another, or its value is missing or no number.
    pub fn with_args(mut self, args: &[String]) -> Result<Self, String> {
        let mut args = args.iter();
        while let Some(name) = args.next() {
            let field = match name.as_str() {
                "--cases" => &mut self.cases,
                "--seed" => &mut self.seed,
                other => return Err(format!("`{other}` is not an option; there are --cases N and --seed S")),
            };
            let value = args.next().ok_or_else(|| format!("{name} needs a number"))?;
            *field = u64::from_str(value).map_err(|error| format!("{name} {value}: {error}"))?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_says_what_is_missing() {
        let mut coverage = Coverage::default();
        coverage.declare("field", &["port", "icmps"]);
        coverage.occurred("field", "port");
        coverage.decided("field", "port");
        coverage.decided("field", "port");
        assert_eq!(coverage.count("field", "port"), Count { occurred: 1, decided: 2 });
        assert_eq!(coverage.missing(), ["field: icmps"]);
        assert_eq!(coverage.undecided("field"), ["icmps"]);
        assert_eq!(
            coverage.to_string(),
            "field                       cases      decided\n  icmps                         0            0\n  \
             port                          1            2\n"
        );
    }

    #[test]
    fn options_come_in_any_order() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let run = Run { cases: 10, seed: 1 };
        assert_eq!(run.with_args(&args("--seed 7 --cases 3")), Ok(Run { cases: 3, seed: 7 }));
        assert_eq!(run.with_args(&[]), Ok(run));
        assert_eq!(run.with_args(&args("--seed")), Err("--seed needs a number".to_owned()));
        assert!(run.with_args(&args("--seed x")).is_err());
        assert!(run.with_args(&args("--case 3")).is_err());
    }
}
