//! The entries of the fuzz targets over their corpus, and over random changes of it: hundreds or thousands of inputs in each run,
//! the same in every run. `FUZZ_ROUNDS=1000000 cargo test --release -p policy --test fuzz` goes on for longer.

#[expect(unreachable_pub, reason = "the library of another package")]
#[path = "../../../fuzz/src/lib.rs"]
mod entries;

use std::path::Path;

/// A stream of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// What breaks parsers, and words that objects are made of.
const WORDS: [&str; 44] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "(",
    "!",
    "&&",
    "||",
    "null",
    "0",
    "-1",
    "65536",
    "1e400",
    "9999999999999999999",
    "\u{0}",
    "\u{feff}",
    "all()",
    "has(",
    "has(a)",
    " in {",
    "not in",
    "global()",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.1",
    "10.0.0.0/33",
    "Pass",
    "Deny",
    "TCP",
    "ICMP",
    "\"ports\": [0]",
    "\"selector\": \"!has(a)\"",
    "\"notNets\": [\"10.0.0.0/8\"]",
    "- &a [*a]",
    "\"preDNAT\": true",
    "\"doNotTrack\": true",
    "\"fromEntities\": [\"all\"]",
    "\"toPorts\": []",
    "\"icmps\": []",
    "\n---\n",
];

/// One or several changes: bytes flipped, cut out, doubled, taken from another input; words put in.
fn mutate(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(24)).min(input.len());
        match random.below(6) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 => drop(input.drain(at..end)),
            2 => {
                let doubled = input[at..end].to_vec();
                input.splice(at..at, doubled);
            }
            3 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => drop(input.splice(at..end, WORDS[random.below(WORDS.len())].bytes())),
        }
    }
    input
}

/// `rounds`: changes of the corpus, unless `FUZZ_ROUNDS` says how many.
fn run(name: &str, entry: fn(&[u8]), rounds: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).expect("a corpus").flatten().map(|file| file.path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("readable")).collect();
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|input| entry(input));
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(rounds);
    let mut random = Random(7);
    for round in 0..rounds {
        let input = mutate(&mut random, &corpus);
        let result = std::panic::catch_unwind(|| entry(&input));
        assert!(result.is_ok(), "{name}, round {round}:\n{}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn selectors() {
    run("selector", entries::selector, 2_000);
}

#[test]
fn manifests() {
    run("manifests", entries::manifests, 2_000);
}

#[test]
fn calico() {
    run("calico", entries::calico, 2_000);
}

#[test]
fn cilium() {
    run("cilium", entries::cilium, 2_000);
}

#[test]
fn check() {
    run("check", entries::check, 200);
}
