//! The recorded verdicts of Felix v3.31.0, decided by the kernel's nftables, against this project's engine.
//!
//! Every packet is answered by `trace` and by `evaluate`; a difference between the two is an error of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use tests::verdicts::calico::{Answer, Case};

#[test]
fn statements() {
    assert_eq!(compare("calico-statements"), (105, 139));
}

#[test]
fn host_traffic() {
    assert_eq!(compare("calico-host"), (2_500, 50_000));
}

#[test]
fn host_and_forwarded_traffic() {
    assert_eq!(compare("calico-all"), (2_500, 50_000));
}

/// How many cases and packets agree. Any other ends the test.
fn compare(name: &str) -> (usize, usize) {
    let (mut cases, mut packets) = (0, 0);
    let mut verdicts = lines(&format!("{name}.verdicts"));
    for line in lines(&format!("{name}.cases")) {
        let case: Case = serde_json::from_str(&line).expect("a case");
        let recorded = verdicts.next().expect("as many verdicts as cases");
        let recorded: Answer = serde_json::from_str(&recorded).expect("a verdict");
        let answer = case.answer().unwrap_or_else(|error| panic!("{}: {error}", case.id));
        assert!(answer.agrees(&recorded), "{}\nrecorded {recorded:?}\nanswered {answer:?}", case.id);
        cases += 1;
        packets += recorded.verdicts.len();
    }
    assert!(verdicts.next().is_none(), "as many cases as verdicts");
    (cases, packets)
}

fn lines(name: &str) -> impl Iterator<Item = String> + use<> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/conformance").join(format!("{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("readable"))
}
