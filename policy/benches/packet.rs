//! What packet sets cost by number and shape of rules: `cargo bench -p policy --bench packet`.
//!
//! Wall time depends on the machine; `perf stat -e instructions:u BENCH --test --exact first_match/nested/1000` counts
//! the instructions of a single run, and those repeat. `cargo bench -p policy --bench packet sizes` prints how large the
//! diagrams are.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ipnet::IpNet;
use policy::packet::{Cube, IpSet, Label, PacketSet, PortSet, Preference, Region, Space, protocol};

/// Rules with what they say: 1 allow, 2 deny.
type Rules = Vec<(Cube, Label)>;

const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];

fn v4(bits: u32) -> IpAddr {
    Ipv4Addr::from_bits(bits).into()
}

fn label(index: u32) -> Label {
    1 + Label::from(index % 3 == 2)
}

fn tcp(source: IpSet, ports: PortSet) -> Cube {
    Cube { source, destination_ports: ports, protocols: protocol::TCP.into(), ..Cube::any() }
}

fn port(number: u32) -> u16 {
    (number % 65536) as u16
}

/// A stream of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

/// One port from one /24, each its own.
fn disjoint(count: u32) -> Rules {
    let rule = |index| {
        tcp(IpSet::between(v4(0x0a00_0000 + index * 256), v4(0x0a00_00ff + index * 256)), port(1024 + index).into())
    };
    (0..count).map(|index| (rule(index), label(index))).collect()
}

/// Every rule inside the next, in ports and in addresses, the innermost first: each adds a ring.
fn nested(count: u32) -> Rules {
    let rule = |index: u32| {
        let source = IpSet::between(v4(0x0a80_0000 - index * 100), v4(0x0a80_0000 + index * 100));
        tcp(source, (port(32768 - index * 3)..=port(32768 + index * 3)).into())
    };
    (0..count).map(|index| (rule(index), label(index))).collect()
}

/// Every rule overlaps half of all others, in ports and in addresses.
fn interleaved(count: u32) -> Rules {
    let step = 32_000 / count.max(1);
    let rule = |index: u32| {
        let source = IpSet::between(v4(0x0a00_0000 + index * 100), v4(0x0a00_0000 + (index + count / 2) * 100));
        tcp(source, (port(index * step)..=port((index + count / 2) * step)).into())
    };
    (0..count).map(|index| (rule(index), label(index))).collect()
}

/// Prefixes of any length, ports and ranges, protocols, and some destinations.
fn random(count: u32) -> Rules {
    let mut random = Random(7);
    let mut net = |least: u32| {
        let length = least + random.below(33 - least);
        IpNet::new_assert(v4(0x0a00_0000 | random.below(1 << 24)), length as u8).trunc()
    };
    let mut sources: Vec<IpNet> = (0..count).map(|_| net(12)).collect();
    let mut destinations: Vec<IpNet> = (0..count).map(|_| net(20)).collect();
    let mut rule = |index: u32| {
        let first = random.below(65000);
        let ports = match random.below(4) {
            0 => PortSet::all(),
            1 => (port(first)..=port(first + random.below(500))).into(),
            _ => port(first).into(),
        };
        let protocols = match random.below(8) {
            0 => protocol::UDP.into(),
            1 if ports.is_all() => protocol::ICMP.into(),
            _ => protocol::TCP.into(),
        };
        let source = sources.pop().map_or_else(IpSet::all, IpSet::from);
        let destination = destinations.pop().filter(|_| index.is_multiple_of(4)).map_or_else(IpSet::all, IpSet::from);
        Cube { source, destination, protocols, destination_ports: ports, ..Cube::any() }
    };
    (0..count).map(|index| (rule(index), label(index))).collect()
}

/// The same with source and destination in each other's place, as egress has it.
fn mirrored(count: u32) -> Rules {
    let swap = |(cube, label): (Cube, Label)| {
        let (source, destination) = (cube.destination, cube.source);
        (Cube { source, destination, ..cube }, label)
    };
    random(count).into_iter().map(swap).collect()
}

/// A deny of every protocol from one /24, then an allow of one port from another, and so on.
fn alternating(count: u32) -> Rules {
    let net = |index: u32| IpSet::between(v4(0x0a00_0000 + index * 256), v4(0x0a00_00ff + index * 256));
    let rule = |index: u32| match index % 2 {
        0 => (Cube { source: net(index), ..Cube::any() }, 2),
        _ => (tcp(net(index), port(1024 + index).into()), 1),
    };
    (0..count).map(rule).collect()
}

/// One port each from the same 2,000 scattered node addresses, as a selector gives them.
fn selectors(count: u32) -> Rules {
    let mut random = Random(7);
    let nodes: IpSet = (0..2_000).map(|_| v4(0x0a00_0000 | random.below(1 << 16))).collect();
    (0..count).map(|index| (tcp(nodes.clone(), port(1024 + index).into()), label(index))).collect()
}

type Shape = (&'static str, fn(u32) -> Rules);

const SHAPES: [Shape; 7] = [
    ("disjoint", disjoint),
    ("nested", nested),
    ("interleaved", interleaved),
    ("random", random),
    ("mirrored", mirrored),
    ("alternating", alternating),
    ("selectors", selectors),
];

/// All rules at once.
fn first_match(rules: &Rules) -> (Space, Region) {
    let mut space = Space::new();
    let regions: Vec<Region> = rules.iter().map(|(cube, label)| space.cube(cube, *label)).collect();
    let decided = space.first_match(&regions);
    (space, decided)
}

/// One rule after the other: what it matches of the rest.
fn walk(rules: &Rules) -> (Space, Region) {
    let mut space = Space::new();
    let (mut rest, mut allowed) = (Space::ALL, Space::EMPTY);
    for (cube, label) in rules {
        let rule = space.cube(cube, 1);
        if *label == 1 {
            let matched = space.within(rule, rest);
            allowed = space.or_else(allowed, matched);
        }
        rest = space.without(rest, rule);
    }
    (space, allowed)
}

fn fold(criterion: &mut Criterion) {
    type Fold = fn(&Rules) -> (Space, Region);
    // One rule at a time costs the square of their number in the shapes that tie everything to everything.
    let folds: [(&str, Fold, u32); 2] = [("first_match", first_match, 10_000), ("walk", walk, 1_000)];
    for (name, fold, most) in folds {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        for (shape, make) in SHAPES {
            for size in SIZES.into_iter().filter(|size| *size <= most) {
                group.throughput(Throughput::Elements(size.into()));
                group.bench_with_input(BenchmarkId::new(shape, size), &size, |bencher, size| {
                    let rules = make(*size);
                    bencher.iter_with_large_drop(|| fold(black_box(&rules)));
                });
            }
        }
        group.finish();
    }
}

/// Not a time: how large the result is, and how large the space that made it. Asked for by name.
fn sizes(_: &mut Criterion) {
    if !std::env::args().any(|argument| argument == "sizes") {
        return;
    }
    println!("{:<12} {:>6} {:>12} {:>12}", "shape", "rules", "set nodes", "space nodes");
    for (shape, make) in SHAPES {
        for size in SIZES {
            let (mut space, decided) = first_match(&make(size));
            let allowed = space.labelled(decided, 1);
            let nodes = space.store(allowed).map_or(0, |set| set.size());
            println!("{shape:<12} {size:>6} {nodes:>12} {:>12}", space.size());
        }
    }
}

fn values(criterion: &mut Criterion) {
    let set = |count| -> PacketSet { random(count).iter().map(|(cube, _)| cube).collect() };
    let nets = |seed| -> Vec<IpNet> {
        let mut random = Random(seed);
        (0..10_000).map(|_| IpNet::new_assert(v4(random.below(u32::MAX)), 24 + random.below(9) as u8).trunc()).collect()
    };
    let mut group = criterion.benchmark_group("values");
    group.bench_function("difference of two sets of 1,000 rules", |bencher| {
        let (before, after) = (set(1_000), set(1_001));
        bencher.iter(|| black_box(&before) - &after);
    });
    group.bench_function("sample of a set of 1,000 rules", |bencher| {
        let set = set(1_000);
        bencher.iter(|| set.sample(black_box(&Preference::default())));
    });
    group.bench_function("address set of 10,000 prefixes", |bencher| {
        let nets = nets(1);
        bencher.iter_batched(|| nets.clone(), |nets| nets.into_iter().collect::<IpSet>(), BatchSize::LargeInput);
    });
    group.bench_function("union of two of them", |bencher| {
        let [first, second] = [1, 2].map(|seed| nets(seed).into_iter().collect::<IpSet>());
        bencher.iter(|| first.union(black_box(&second)));
    });
    group.finish();
}

criterion_group!(benches, sizes, fold, values);
criterion_main!(benches);
