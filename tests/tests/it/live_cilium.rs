//! Cilium's own policy engine, asked here and now: it gives the recorded verdicts, it agrees about the facts, and it and this
//! project say the same about fresh random cases.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use tests::coverage::Run;
use tests::live::cilium::{Engine, run};
use tests::progress::Progress;
use tests::verdicts::cilium::{Outcome, facts};

type Test = Result<(), Box<dyn std::error::Error>>;

/// How many random cases. `fuzz-verdicts` takes as many as wanted.
const CASES: u64 = 2_000;

#[test]
fn random_cases_have_equal_verdicts() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let report = run(Run::of(CASES), 2, &Progress::default())?;
    assert_eq!((report.totals.mismatches, report.totals.cases), (0, CASES), "{report}");
    assert_eq!(report.coverage.missing(), [""; 0], "never reached:\n{report}");
    assert_eq!(report.coverage.undecided("stage"), [""; 0], "never decides:\n{report}");
    assert!(report.totals.accepts > 10_000 && report.totals.denies > 10_000, "{}", report.totals);
    Ok(())
}

#[test]
fn equal_seeds_give_equal_reports() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let small = Run { cases: 20, ..Run::of(0) };
    let report = |threads| run(small, threads, &Progress::default());
    assert_eq!(report(1)?.to_string(), report(2)?.to_string());
    Ok(())
}

#[test]
fn the_engine_gives_the_recorded_verdicts() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let engine = Engine::start()?;
    for (name, most) in [("cilium-statements", usize::MAX), ("cilium", 400)] {
        let verdicts = lines(&format!("{name}.verdicts"))?.map(|line| Ok(serde_json::from_str::<Outcome>(&line?)?));
        for (case, recorded) in lines(&format!("{name}.cases"))?.zip(verdicts).take(most) {
            let (case, recorded): (Value, Result<_, Box<dyn std::error::Error>>) =
                (serde_json::from_str(&case?)?, recorded);
            assert_eq!(engine.judge(&case)?, recorded?);
        }
    }
    Ok(())
}

#[test]
fn the_engine_agrees_about_the_facts() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let engine = Engine::start()?;
    for fact in facts()? {
        assert_eq!(engine.judge(&fact.case)?, fact.verdict, "{}", fact.source);
    }
    Ok(())
}

fn lines(name: &str) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>, std::io::Error> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/conformance").join(format!("{name}.jsonl.gz"));
    Ok(BufReader::new(GzDecoder::new(File::open(path)?)).lines())
}
