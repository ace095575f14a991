//! What judging costs on a warm state: `cargo bench -p policy --bench judge`.
//!
//! Prints a table first. `valgrind --tool=callgrind BENCH once calico port 1000 100` counts the instructions of one line,
//! those of getting ready included; `perf record BENCH ...` tells where they go.

mod cluster;
mod table;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group};

use cluster::{Cni, Size};
use table::{Subject, What};

fn changed(criterion: &mut Criterion) {
    for cni in [Cni::Calico, Cni::Cilium] {
        let mut group =
            criterion.benchmark_group(format!("{}: decide about one changed policy, 1,000 nodes", cni.name()));
        group.sample_size(20);
        for policies in [10, 50, 100] {
            let subject = Subject::new(cni, Size { nodes: 1_000, classes: 3, pods: 0, policies });
            let mut salt = 0;
            group.bench_with_input(BenchmarkId::from_parameter(policies * cluster::RULES), &policies, |bencher, _| {
                let change = || {
                    salt += 1;
                    subject.change(What::Port, salt)
                };
                bencher.iter_batched(change, |change| black_box(subject.decide(&change)), BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

fn tables(_: &mut Criterion) {
    // Not when criterion only counts or tests its benches.
    if std::env::args().any(|argument| argument == "--bench") {
        table::print();
    }
}

criterion_group!(benches, tables, changed);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["once", cni, what, nodes, policies, ..] = words[..] {
        return table::once(cni, what, nodes, policies, words.get(5).copied());
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
