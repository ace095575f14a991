//! Changes with what is to come of them, one file each under `cases/`.

use std::path::{Path, PathBuf};

use policy::lifeline::judge::{Change, Judgement, Verdict, judge};
use policy::lifeline::repair::{Repair, Step};
use policy::snapshot::Snapshot;
use serde::Deserialize;

use crate::lab::{assumptions, delete, lifelines, put, snapshot};

/// A change, and what is to come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Files under `bases/`, without their ending.
    bases: Vec<String>,
    /// Further objects of the state.
    #[serde(default)]
    state: String,
    /// Objects as they will be.
    #[serde(default)]
    change: String,
    /// Objects to go, after that.
    #[serde(default)]
    delete: String,
    /// `safe`, `cuts` or `cannot-prove`.
    verdict: String,
    /// Lifelines that must be among those cut, each with who decides: `LIFELINE KIND/NAME PATH`.
    #[serde(default)]
    cuts: Vec<String>,
    /// Lifelines that must not be.
    #[serde(default)]
    spares: Vec<String>,
    /// A text in what stops an agent.
    #[serde(default)]
    stops: Option<String>,
    /// A text in what stands in the way of a proof.
    #[serde(default)]
    doubts: Option<String>,
    /// What makes the change harmless, step by step: `add`, `patch` or `withhold`, with `KIND/NAME`.
    #[serde(default)]
    repair: Vec<String>,
}

impl Case {
    pub(crate) fn read(name: &str) -> Self {
        serde_saphyr::from_str(&text(&format!("cases/{name}.yaml"))).expect(name)
    }

    /// Every case, by name.
    pub(crate) fn all() -> impl Iterator<Item = (String, Self)> {
        let files = std::fs::read_dir(root().join("cases")).expect("cases");
        let mut names: Vec<String> = files
            .map(|file| file.expect("a case").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.into_iter().map(|name| {
            let case = Self::read(&name);
            (name, case)
        })
    }

    /// What there is before the change.
    pub(crate) fn state(&self) -> Snapshot {
        let bases: Vec<String> = self.bases.iter().map(|base| text(&format!("bases/{base}.yaml"))).collect();
        let mut texts: Vec<&str> = bases.iter().map(String::as_str).collect();
        texts.push(&self.state);
        snapshot(&texts)
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = put(&self.change);
        changes.extend(delete(&self.delete));
        changes
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lifeline")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

fn run(name: &str) {
    let case = Case::read(name);
    let (state, changes) = (case.state(), case.changes());
    let judgement = judge(&state, &changes, &lifelines, &assumptions()).expect(name);
    check(&case, &judgement);
    if judgement.verdict == Verdict::Cuts {
        let repair = judgement.repair.expect("a repair");
        let steps: Vec<String> = repair.steps.iter().map(shown).collect();
        assert_eq!(steps, case.repair, "{}", serde_json::to_string_pretty(&repair).expect("JSON"));
        let repaired = repaired(changes, &repair);
        let judgement = judge(&state, &repaired, &lifelines, &assumptions()).expect(name);
        assert_eq!(judgement.verdict, Verdict::Safe, "{:#?}", judgement.cuts);
    }
}

fn shown(step: &Step) -> String {
    match step {
        Step::Add { object, .. } => format!("add {object}"),
        Step::Patch { object, .. } => format!("patch {object}"),
        Step::Withhold { object, .. } => format!("withhold {object}"),
    }
}

/// The changes with a repair, as whoever follows it would make them.
fn repaired(mut changes: Vec<Change>, repair: &Repair) -> Vec<Change> {
    let mut new = Vec::new();
    for step in &repair.steps {
        match step {
            Step::Add { manifest, .. } => new.extend(put(&manifest.to_string())),
            Step::Withhold { object, .. } => changes.retain(|change| change.key() != object),
            Step::Patch { object, patch, manifest } => {
                let found = changes.iter_mut().find(|change| change.key() == object);
                let Some(Change::Put(change)) = found else { panic!("no change of {object}") };
                let patch = json_patch::Patch(patch.clone());
                json_patch::patch(&mut change.value, &patch).expect("a patch");
                assert_eq!(change.value, *manifest);
            }
        }
    }
    new.append(&mut changes);
    new
}

fn check(case: &Case, judgement: &Judgement) {
    let found: Vec<String> = judgement
        .cuts
        .iter()
        .map(|cut| {
            let object = cut.deciding.object.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{} {object} {}", cut.lifeline, cut.deciding.path).trim().to_owned()
        })
        .collect();
    let shown = format!("cuts {found:#?}\nstops {:#?}\ndoubts {:#?}", judgement.stops, judgement.doubts);
    assert_eq!(judgement.verdict.to_string(), case.verdict, "{shown}");
    for wanted in &case.cuts {
        assert!(found.iter().any(|cut| cut.starts_with(wanted.as_str())), "{wanted} is not among {shown}");
    }
    for spared in &case.spares {
        assert!(!judgement.cuts.iter().any(|cut| cut.lifeline == *spared), "{spared} is among {shown}");
    }
    for (wanted, found) in [
        (&case.stops, judgement.stops.iter().map(ToString::to_string).collect::<Vec<_>>()),
        (&case.doubts, judgement.doubts.iter().map(ToString::to_string).collect()),
    ] {
        if let Some(wanted) = wanted {
            assert!(found.iter().any(|text| text.contains(wanted.as_str())), "{wanted} is not in {shown}");
        }
    }
}

/// A test for each file.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_file_is_a_test() {
            let files: Vec<String> = Case::all().map(|(name, _)| name).collect();
            let mut tests = vec![$(stringify!($name)),*];
            tests.sort_unstable();
            assert_eq!(files, tests);
        }
    };
}

include!("cases.list");
