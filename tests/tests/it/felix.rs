//! Felix itself, with real packets, against our engine.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use policy::calico::settings::Dataplane;
use tests::coverage::Run;
use tests::felix::Rig;
use tests::live::calico::{Filters, run};
use tests::progress::Progress;
use tests::verdicts::calico::{Answer, Case};

type Test = Result<(), Box<dyn std::error::Error>>;

/// How many random states. `fuzz-verdicts` takes as many as wanted, and gives each to both packet filters.
const STATES: u64 = 300;

/// Every so many of the random recordings; all would take an hour.
const STEP: usize = 70;

/// Felix and this project do the same in states that nobody wrote down.
#[test]
fn random_states_have_equal_verdicts() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let report = run(Run::of(STATES), Filters::InTurn, &Progress::default())?;
    assert_eq!((report.totals.mismatches, report.totals.cases), (0, STATES), "{report}");
    assert_eq!(report.coverage.undecided("stage"), [""; 0], "never decides:\n{report}");
    assert!(report.totals.accepts > 5_000 && report.totals.denies > 5_000, "{}", report.totals);
    Ok(())
}

/// Recorded cases, and Felix as it runs here, agree: so the rig does what the recording did. Our engine agrees with both, and
/// with Felix in iptables mode too, which the recording did not see.
#[test]
fn recorded_cases_are_what_felix_does() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let mut rig = Rig::start(&[Dataplane::Nftables, Dataplane::Iptables])?;
    let mut compared = 0;
    for file in ["calico-statements", "calico-all", "calico-host"] {
        let recordings = lines(&format!("{file}.cases")).zip(lines(&format!("{file}.verdicts")));
        for (case, recorded) in recordings.step_by(if file == "calico-statements" { 3 } else { STEP }) {
            let case: Case = serde_json::from_str(&case)?;
            let recorded: Answer = serde_json::from_str(&recorded)?;
            if !replayable(&case, &recorded) {
                continue;
            }
            for pair in rig.compare(&case)? {
                // The recording did not make custom resources, whose schema refuses some objects.
                if case.raw && !pair.felix.invalid.is_empty() {
                    continue;
                }
                assert!(pair.agrees(), "{pair}");
                if pair.case.dataplane == Some(Dataplane::Nftables) {
                    assert!(pair.felix.agrees(&recorded), "{pair}\nrecorded: {recorded:?}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared >= 100, "{compared} comparisons");
    Ok(())
}

/// Whether a live Felix can be given the case. Profiles are no objects in Kubernetes but made of namespaces, and rules with
/// an ICMP code end a Felix in nftables mode; the recording saw both in another way.
fn replayable(case: &Case, recorded: &Answer) -> bool {
    let code = |object: &serde_json::Value| object.to_string().contains("\"code\"");
    case.objects.iter().all(|object| object["kind"] != "Profile" && !code(object)) && recorded.errors.is_empty()
}

fn lines(name: &str) -> impl Iterator<Item = String> + use<> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/conformance").join(format!("{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("readable"))
}
