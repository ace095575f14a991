//! What the engines cost: `cargo bench -p policy --bench engine`.
//!
//! Prints a table first, with the same questions put to a walk over the rules packet by packet (`trace`) and to z3, where
//! its command is there. `valgrind --tool=callgrind BENCH once calico changed` counts the instructions of one line, and those
//! repeat.

mod cluster;
mod table;
mod yardstick;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group};

use cluster::Size;
use table::{Calico, Cilium, Cni};

fn class<C: Cni>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("{}: one class from a compiled state", C::NAME));
    group.sample_size(10);
    for rules in [10, 100, 1_000, 10_000] {
        group.bench_with_input(BenchmarkId::from_parameter(rules), &rules, |bencher, rules| {
            let warm = C::new(Size { nodes: 10, policies: rules / 10, rules: 10 });
            bencher.iter_batched(
                || warm.compiled_anew(),
                |state| black_box(state.classes(1)),
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn changed<C: Cni>(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("{}: one changed policy on 1,000 nodes x 1,000 rules", C::NAME));
    let warm = C::new(Size { nodes: 1_000, policies: 100, rules: 10 });
    warm.classes(usize::MAX);
    let mut salt = 0;
    group.bench_function("with, and every class asked", |bencher| {
        let policy = || {
            salt += 1;
            C::policy(salt % 89 + 1, salt, false)
        };
        bencher.iter_batched(policy, |policy| warm.change(policy), criterion::BatchSize::SmallInput);
    });
    group.finish();
}

fn tables(_: &mut Criterion) {
    // Not when criterion only counts or tests its benches.
    if std::env::args().any(|argument| argument == "--bench") {
        table::print();
    }
}

criterion_group!(benches, tables, class::<Calico>, class::<Cilium>, changed::<Calico>, changed::<Cilium>);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["once", cni, what] = words[..] {
        return table::once(cni, what);
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
