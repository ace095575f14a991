//! What a translation costs, by nodes and by rows: `cargo bench -p translator`.
//!
//! The figures of whole processes are those of the bench `process`.

mod support;

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use translator::matrix::{Settings, expand};
use translator::render::{calico, cilium, read_nodes};
use translator::{output, presets};

fn matrix(rows: usize) -> String {
    let mut text = String::from(
        "apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: bench}\nspec:\n  roles: {node: {nodeSelector: {}}}\n  rows:\n  - {roles: all, ports: 22, from: any, flow: admin-ssh}\n",
    );
    for index in 0..rows {
        let _ = writeln!(
            text,
            "  - {{roles: all, ports: {}, from: 10.{}.{}.0/24}}",
            1024 + index,
            index / 250,
            index % 250
        );
    }
    text
}

fn settings(cni: &str) -> Settings {
    Settings { cni: Some(cni.to_owned()), ..Settings::default() }
}

fn by_nodes(criterion: &mut Criterion) {
    let preset = presets::find("harvester").expect("it ships");
    let mut group = criterion.benchmark_group("calico, harvester, by nodes");
    for count in [0, 100, 1_000, 5_000] {
        let list = support::nodes(count);
        group.throughput(Throughput::Elements(count.max(1) as u64));
        group.bench_with_input(BenchmarkId::from_parameter(count), &list, |bencher, list| {
            bencher.iter(|| {
                let nodes = read_nodes(list).expect("valid");
                let (matrix, _) = expand(preset.text, "bench", &settings("calico"));
                let matrix = matrix.expect("valid");
                let options = calico::Options::new(&matrix.name);
                let rendered = calico::render(&matrix, Some(&nodes), &options);
                black_box(output::yaml(&rendered.objects, None).expect("written"))
            });
        });
    }
    group.finish();
}

fn by_rows(criterion: &mut Criterion) {
    for cni in ["calico", "cilium"] {
        let mut group = criterion.benchmark_group(format!("{cni}, by rows"));
        for count in [10, 100, 1_000] {
            let text = matrix(count);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(BenchmarkId::from_parameter(count), &text, |bencher, text| {
                bencher.iter(|| {
                    let (matrix, _) = expand(text, "bench", &settings(cni));
                    let matrix = matrix.expect("valid");
                    let rendered = if cni == "calico" {
                        calico::render(&matrix, None, &calico::Options::new(&matrix.name))
                    } else {
                        cilium::render(&matrix, None, &cilium::Options::new(&matrix.name))
                    };
                    black_box(output::yaml(&rendered.objects, None).expect("written"))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, by_nodes, by_rows);
criterion_main!(benches);
