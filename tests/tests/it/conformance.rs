//! The recorded verdicts of the upstream engines against this project's: Felix v3.31.0, decided by the kernel's nftables, and
//! Cilium v1.20.2.
//!
//! Every packet is answered by `trace` and by `evaluate`; a difference between the two is an error of its own. The counts are
//! asserted, so that a file cut short does not pass.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::GzDecoder;
use policy::calico::settings::Dataplane;
use serde_json::json;
use tests::verdicts::calico::{self, Answer, Case};
use tests::verdicts::cilium::{self, Outcome};

#[test]
fn calico_statements() {
    assert_eq!(compare("calico-statements", recorded_calico), (105, 139));
}

#[test]
fn calico_host_traffic() {
    assert_eq!(compare("calico-host", recorded_calico), (2_500, 50_000));
}

#[test]
fn calico_host_and_forwarded_traffic() {
    assert_eq!(compare("calico-all", recorded_calico), (2_500, 50_000));
}

#[test]
fn calico_profiles() {
    assert_eq!(compare("calico-profiles", recorded_calico), (454, 8_172));
}

#[test]
fn cilium_statements() {
    assert_eq!(compare("cilium-statements", recorded_cilium), (142, 304));
}

#[test]
fn cilium_host_policies() {
    assert_eq!(compare("cilium", recorded_cilium), (5_000, 160_000));
}

/// Upstream's own tables, and what once was a mistake here.
#[test]
fn cilium_facts() {
    let facts = cilium::facts().expect("facts");
    for fact in &facts {
        let case = fact.case.to_string();
        let answer = cilium::line(&case).unwrap_or_else(|error| panic!("{}: {error}", fact.source));
        assert_eq!(serde_json::from_str::<Outcome>(&answer).expect("our own form"), fact.verdict, "{}", fact.source);
    }
    let packets: usize = facts.iter().map(|fact| fact.verdict.verdicts.len()).sum();
    assert_eq!((facts.len(), packets), (161, 1_117));
}

/// Upstream's table of policy programs, in every packet filter.
#[test]
fn calico_programs() {
    let facts = calico::programs().expect("facts");
    for calico::Fact { source, case, verdicts } in &facts {
        for dataplane in [Dataplane::Nftables, Dataplane::Iptables, Dataplane::Bpf] {
            let case = Case { dataplane: Some(dataplane), ..case.clone() };
            let answer = case.answer().unwrap_or_else(|error| panic!("{}: {error}", case.id));
            assert_eq!(answer.verdicts, *verdicts, "{} on {dataplane:?} ({source}): {answer:?}", case.id);
            assert!(answer.invalid.is_empty() && answer.errors.is_empty(), "{answer:?}");
        }
    }
    let packets: usize = facts.iter().map(|fact| fact.verdicts.len()).sum();
    assert_eq!((facts.len(), packets), (87, 517));
}

/// Upstream's tables of valid and of other objects.
#[test]
fn calico_validity() {
    let facts = calico::validity().expect("facts");
    for (index, fact) in facts.iter().enumerate() {
        let case = json!({
            "id": format!("line {}", index + 1), "node": "n", "interfaces": [], "objects": [fact.object], "packets": [],
        });
        let case: Case = serde_json::from_value(case).expect("a case");
        let answer = case.answer().unwrap_or_else(|error| panic!("{}: {error}", case.id));
        assert_eq!(answer.invalid.is_empty(), fact.valid, "{} {answer:?}", fact.object);
    }
    assert_eq!((facts.len(), facts.iter().filter(|fact| fact.valid).count()), (188, 92));
}

/// How many packets a case has. Ends the test where the answer to one is not the recorded one.
fn recorded_calico(case: &str, recorded: &str) -> usize {
    let case: Case = serde_json::from_str(case).expect("a case");
    let recorded: Answer = serde_json::from_str(recorded).expect("a verdict");
    let answer = case.answer().unwrap_or_else(|error| panic!("{}: {error}", case.id));
    assert!(answer.agrees(&recorded), "{}\nrecorded {recorded:?}\nanswered {answer:?}", case.id);
    recorded.verdicts.len()
}

fn recorded_cilium(case: &str, recorded: &str) -> usize {
    let recorded: Outcome = serde_json::from_str(recorded).expect("a verdict");
    let answer = cilium::line(case).unwrap_or_else(|error| panic!("{}: {error}", recorded.id));
    let answer: Outcome = serde_json::from_str(&answer).expect("our own form");
    assert_eq!(answer, recorded);
    recorded.verdicts.len()
}

/// How many cases and packets agree.
fn compare(name: &str, agree: fn(&str, &str) -> usize) -> (usize, usize) {
    let (mut cases, mut packets) = (0, 0);
    let mut verdicts = lines(&format!("{name}.verdicts"));
    for case in lines(&format!("{name}.cases")) {
        packets += agree(&case, &verdicts.next().expect("as many verdicts as cases"));
        cases += 1;
    }
    assert!(verdicts.next().is_none(), "as many cases as verdicts");
    (cases, packets)
}

fn lines(name: &str) -> impl Iterator<Item = String> + use<> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/conformance").join(format!("{name}.jsonl.gz"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file)).lines().map(|line| line.expect("readable"))
}
