//! Every preset with every toggle is proved: what its objects admit is what its rows mean, on each CNI.

use std::sync::Mutex;

use tests::variants::{self, Target, Variant};
use translator::matrix::Expanded;
use translator::prove::{self, Subject, prove};
use translator::render::{calico, cilium};

/// How many variants have been taken so far, and what is wrong with them.
#[derive(Default)]
struct Work {
    taken: usize,
    wrong: Vec<String>,
}

#[test]
fn presets() {
    let cases: Vec<(Target, Variant)> = Target::ALL
        .into_iter()
        .flat_map(|target| variants::all(target.cni()).into_iter().map(move |variant| (target, variant)))
        .collect();
    let work = Mutex::new(Work::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = {
                        let mut work = work.lock().expect("no thread panics while it holds the lock");
                        work.taken += 1;
                        work.taken - 1
                    };
                    let Some((target, variant)) = cases.get(next) else { break };
                    if let Err(why) = proved(*target, variant) {
                        let wrong = format!("{} for {}: {why}", variant.title(), target.name());
                        work.lock().expect("no thread panics while it holds the lock").wrong.push(wrong);
                    }
                }
            });
        }
    });
    let work = work.into_inner().expect("no thread panics while it holds the lock");
    assert!(work.wrong.is_empty(), "{} of {}:\n{}", work.wrong.len(), cases.len(), work.wrong.join("\n"));
}

fn proved(target: Target, variant: &Variant) -> Result<(), String> {
    let matrix: Expanded = variant.expand();
    let rendered = variant.render(target, "proved");
    let mut options = calico::Options::new("proved");
    "proved".clone_into(&mut options.tier);
    if target == Target::CalicoV1 {
        options.api = calico::Api::V1;
    }
    let agent = cilium::Options::new("proved");
    let target = match target {
        Target::CalicoV3 | Target::CalicoV1 => prove::Target::Calico(&options),
        Target::Cilium => prove::Target::Cilium(&agent),
    };
    let subject = Subject { matrix: &matrix, nodes: None, snapshot: None, rendered: &rendered, target };
    let proof = prove(subject).map_err(|defect| defect.to_string())?;
    let unproved: Vec<&str> = proof.findings.iter().map(|finding| finding.message.as_str()).collect();
    if proof.states == 0 || !unproved.is_empty() { Err(format!("not proved: {}", unproved.join("; "))) } else { Ok(()) }
}
