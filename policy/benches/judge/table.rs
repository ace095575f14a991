//! The figures that the project promises, measured and printed.

use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use policy::lifeline::detect::detect;
use policy::lifeline::judge::{Assumptions, Change, Judge, Judgement, Verdict};
use policy::snapshot::Snapshot;

use crate::cluster::{self, Cni, Size};

/// A warm state.
pub(crate) struct Subject {
    cni: Cni,
    size: Size,
    judge: Judge<'static>,
}

/// What is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The port of one rule of one policy.
    Port,
    /// And its peers.
    Prefix,
    /// The policy that lets lifelines by, without one of them.
    Cut,
}

impl Subject {
    pub(crate) fn new(cni: Cni, size: Size) -> Self {
        let judge = judge(&cluster::cluster(cni, size));
        let subject = Self { cni, size, judge };
        // What the first change works out is there for the others.
        for what in [What::Port, What::Prefix] {
            let judgement = subject.decide(&subject.change(what, 1));
            assert_eq!(judgement.verdict, Verdict::Safe, "{:?} {:?}", judgement.cuts.first(), judgement.doubts);
        }
        subject
    }

    pub(crate) fn change(&self, what: What, salt: usize) -> Vec<Change> {
        let index = salt % self.size.policies.saturating_sub(2).max(1) + 1;
        vec![Change::Put(match what {
            What::Port | What::Prefix => cluster::policy(self.cni, self.size, index, salt, what == What::Prefix),
            What::Cut => cluster::lifelines(self.cni, false),
        })]
    }

    pub(crate) fn decide(&self, changes: &[Change]) -> Judgement {
        self.judge.decide(changes).expect("a change")
    }
}

fn judge(snapshot: &Snapshot) -> Judge<'static> {
    let config = cluster::config();
    Judge::new(snapshot, move |snapshot| detect(snapshot, &config), &Assumptions::default())
}

/// Processor time of a few runs, ascending. Wall time would be that of whatever else the machine does.
fn times(runs: usize, mut run: impl FnMut(usize)) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..runs)
        .map(|index| {
            let start = used();
            run(index);
            used() - start
        })
        .collect();
    times.sort_unstable();
    times
}

/// Processor time used so far.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("every system counts it");
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(time.num_microseconds().unsigned_abs())
}

/// The most memory used so far, in MiB. That of `getrusage` would be at least what the process had that started this one.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn line(cni: Cni, what: &str, times: &[Duration], target: &str) {
    let of = |share: usize| format!("{:.1?}", times[(times.len() * share / 100).min(times.len() - 1)]);
    println!("{:<8} {:<72} {:>10} {:>10}   {target}", cni.name(), what, of(50), of(99));
}

pub(crate) fn print() {
    println!("Processor time.");
    println!("{:<8} {:<72} {:>10} {:>10}   target", "CNI", "what", "median", "p99");
    for cni in [Cni::Calico, Cni::Cilium] {
        for policies in [10, 50, 100] {
            let size = Size { nodes: 1_000, classes: 3, pods: 0, policies };
            changes(cni, size, 300, "1 ms, p99 5 ms");
        }
        changes(cni, Size { nodes: 5_000, classes: 100, pods: 0, policies: 1_000 }, 50, "50 ms");
        let size = Size { nodes: 1_000, classes: 3, pods: 30_000, policies: 100 };
        let subject = Subject::new(cni, size);
        let cut = times(3, |salt| assert_eq!(subject.decide(&subject.change(What::Cut, salt)).verdict, Verdict::Cuts));
        line(cni, "1,000 nodes, 30,000 pods x 1,000 rules: decide about a change that cuts", &cut, "1 s");
        let cut = times(3, |salt| {
            let judgement = subject.judge.judge(&subject.change(What::Cut, salt)).expect("a change");
            assert_eq!((judgement.verdict, judgement.repair.is_some()), (Verdict::Cuts, true));
        });
        line(cni, "the same with its repair", &cut, "1 s");
        let name = cni.name().to_lowercase();
        for (what, nodes, policies, pods, target) in [
            ("detect", 1_000, 100, 30_000, ""),
            ("memory", 1_000, 100, 30_000, "64 MiB"),
            ("cold", 1_000, 100, 30_000, ""),
            ("cold", 5_000, 1_000, 0, "1 s, 300 MiB"),
        ] {
            let arguments = [nodes, policies, pods].map(|number| number.to_string());
            let this = std::env::current_exe().map(Command::new);
            let output = this.and_then(|mut this| this.args(["once", &name, what]).args(arguments).output());
            let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
            println!("{:<8} {}   {target}", cni.name(), text.unwrap_or_else(|error| error.to_string()));
        }
    }
}

fn changes(cni: Cni, size: Size, runs: usize, target: &str) {
    let subject = Subject::new(cni, size);
    for (name, what) in [("port", What::Port), ("peers", What::Prefix)] {
        let mut changes: Vec<_> = (0..runs).map(|salt| subject.change(what, salt + 2)).collect();
        let times = times(runs, |_| {
            if let Some(change) = changes.pop() {
                assert_eq!(subject.decide(&change).verdict, Verdict::Safe);
            }
        });
        let Size { nodes, classes, policies, .. } = size;
        let rules = policies * cluster::RULES;
        let what = format!("{nodes} nodes in {classes} classes x {rules} rules: decide about one policy's {name}");
        line(cni, &what, &times, target);
    }
}

/// One line of the table in a process of its own.
pub(crate) fn once(cni: &str, what: &str, nodes: &str, policies: &str, pods: Option<&str>) {
    let cni = if cni.eq_ignore_ascii_case("calico") { Cni::Calico } else { Cni::Cilium };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let nodes = number(nodes);
    let classes = if nodes > 1_000 { 100 } else { 3 };
    let repair = what == "repair";
    let size = Size { nodes, classes, pods: pods.map_or(0, number), policies: number(policies) };
    let rules = size.policies * cluster::RULES;
    let shape = format!("{nodes} nodes, {} pods x {rules} rules", size.pods);
    match what {
        "port" | "prefix" | "cut" | "repair" => {
            let subject = Subject::new(cni, size);
            let what = if what == "port" {
                What::Port
            } else if what == "prefix" {
                What::Prefix
            } else {
                What::Cut
            };
            let runs = if what == What::Cut { 3 } else { 200 };
            let times = times(runs, |salt| {
                let change = subject.change(what, salt + 2);
                if repair {
                    assert!(subject.judge.judge(&change).expect("a change").repair.is_some());
                } else {
                    subject.decide(&change);
                }
            });
            line(cni, &shape, &times, "");
        }
        "detect" => {
            let (snapshot, config) = (cluster::cluster(cni, size), cluster::config());
            let mut found = 0;
            let times = times(5, |_| found = detect(&snapshot, &config).lifelines.len());
            println!("{:<72} {:>10.1?}", format!("{shape}: detect its {found} lifelines"), times[2]);
        }
        "memory" | "cold" => {
            let start = used();
            let snapshot = cluster::cluster(cni, size);
            let (made, before) = (used(), peak());
            let judge = judge(&snapshot);
            let judgement = judge.state();
            let spent = used() - made;
            if what == "cold" {
                let what = format!("{shape}: first judgement of the whole state ({:?})", judgement.verdict);
                println!("{what:<72} {spent:>10.1?}, {} MiB (the snapshot alone {before} MiB)", peak());
                assert!(made >= start);
                return;
            }
            let subject = Subject { cni, size, judge };
            for salt in 0..100 {
                subject.decide(&subject.change(What::Port, salt));
            }
            let what = format!("{shape}: memory at the most, after 100 judgements");
            println!("{what:<72} {:>6} MiB (the snapshot alone {before} MiB)", peak());
        }
        _ => println!("port, prefix, cut, repair, detect, memory or cold"),
    }
}
