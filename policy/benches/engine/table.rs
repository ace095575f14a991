//! The figures that the project promises, measured and printed.

use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use policy::calico::compile::Assumptions;
use policy::calico::endpoint::Interface;
use policy::calico::question::{Path, Question};
use policy::cilium::compile::Options;
use policy::cilium::question::{Layer, Path as CiliumPath, Question as CiliumQuestion, Verdict};
use policy::packet::{Direction, Held, Packet, Transport};
use policy::snapshot::{Manifest, Snapshot};
use policy::{calico, cilium};

use crate::cluster::{self, ROLES, RULES, Size};
use crate::yardstick;

/// An engine under test.
pub(crate) trait Cni: Sized {
    const NAME: &'static str;
    fn snapshot(size: Size) -> Snapshot;
    fn compile(snapshot: Snapshot) -> Self;
    /// A cluster, compiled, with nothing asked yet.
    fn new(size: Size) -> Self {
        Self::compile(Self::snapshot(size))
    }
    /// The same state compiled again.
    fn compiled_anew(&self) -> Self;
    /// Asks so many classes about both directions; how many there are.
    fn classes(&self, most: usize) -> usize;
    /// Another version of one policy.
    fn policy(policy: usize, salt: usize, prefix: bool) -> Manifest;
    /// Changes one policy and asks every class about both directions. The state before stays as it is.
    fn change(&self, policy: Manifest) -> usize;
    /// What passes to a node.
    fn ingress(&self) -> Held;
    /// What a walk over the rules says about a packet to a node.
    fn walk(&self, packet: &Packet) -> bool;
}

pub(crate) struct Calico {
    snapshot: Snapshot,
    engine: calico::engine::Engine,
}

impl Calico {
    fn ask(engine: &calico::engine::Engine, most: usize) -> usize {
        let classes = engine.classes();
        for class in classes.iter().take(most) {
            for path in [Path::Ingress, Path::Egress] {
                let question = Question::new(class[0], path(Interface::new("eth0", [])));
                engine.evaluate(&question).expect("within the budget");
            }
        }
        classes.len()
    }
}

impl Cni for Calico {
    const NAME: &'static str = "Calico";

    fn snapshot(size: Size) -> Snapshot {
        cluster::calico::cluster(size)
    }

    fn compile(snapshot: Snapshot) -> Self {
        let engine = calico::engine::Engine::new(&snapshot, &Assumptions::default());
        assert!(engine.state().refused.is_empty() && engine.state().unknown.is_empty());
        Self { snapshot, engine }
    }

    fn compiled_anew(&self) -> Self {
        Self::compile(self.snapshot.clone())
    }

    fn classes(&self, most: usize) -> usize {
        Self::ask(&self.engine, most)
    }

    fn policy(policy: usize, salt: usize, _: bool) -> Manifest {
        cluster::calico::policy(policy, RULES, salt)
    }

    fn change(&self, policy: Manifest) -> usize {
        Self::ask(&self.engine.with(&self.snapshot.with(policy)), usize::MAX)
    }

    fn ingress(&self) -> Held {
        let path = Path::Ingress(Interface::new("eth0", []));
        self.engine.evaluate(&Question::new(cluster::node_name(0), path)).expect("within the budget")
    }

    fn walk(&self, packet: &Packet) -> bool {
        let path = Path::Ingress(Interface::new("eth0", []));
        let question = Question::new(cluster::node_name(0), path);
        calico::trace::trace(self.engine.state(), &question, packet).verdict.passes()
    }
}

pub(crate) struct Cilium {
    snapshot: Snapshot,
    engine: cilium::engine::Engine,
}

impl Cilium {
    fn question(node: &str, direction: Direction) -> CiliumQuestion<'_> {
        CiliumQuestion { node, direction, layer: Layer::Host, path: CiliumPath::Device(None) }
    }

    fn ask(engine: &cilium::engine::Engine, most: usize) -> usize {
        let classes = engine.classes();
        for class in classes.iter().take(most) {
            for direction in [Direction::Ingress, Direction::Egress] {
                engine.evaluate(&Self::question(class[0], direction)).expect("within the budget");
            }
        }
        classes.len()
    }
}

impl Cni for Cilium {
    const NAME: &'static str = "Cilium";

    fn snapshot(size: Size) -> Snapshot {
        cluster::cilium::cluster(size)
    }

    fn compile(snapshot: Snapshot) -> Self {
        let stated = cluster::cilium::settings();
        let engine = cilium::engine::Engine::new(&snapshot, Options { stated: &stated, ..Options::default() });
        assert!(engine.state().refused.is_empty() && engine.state().unknown.is_empty());
        Self { snapshot, engine }
    }

    fn compiled_anew(&self) -> Self {
        Self::compile(self.snapshot.clone())
    }

    fn classes(&self, most: usize) -> usize {
        Self::ask(&self.engine, most)
    }

    fn policy(policy: usize, salt: usize, prefix: bool) -> Manifest {
        cluster::cilium::policy(policy, RULES, salt, prefix)
    }

    fn change(&self, policy: Manifest) -> usize {
        Self::ask(&self.engine.with(&self.snapshot.with(policy)), usize::MAX)
    }

    fn ingress(&self) -> Held {
        let node = cluster::node_name(0);
        self.engine.evaluate(&Self::question(&node, Direction::Ingress)).expect("within the budget").packets
    }

    fn walk(&self, packet: &Packet) -> bool {
        let node = cluster::node_name(0);
        let question = Self::question(&node, Direction::Ingress);
        cilium::trace::trace(self.engine.state(), &question, packet).verdict != Verdict::Deny
    }
}

/// Processor time of a few runs, the median. Wall time would be that of whatever else the machine does.
pub(crate) fn median(runs: usize, mut run: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|index| {
            let start = used(UsageWho::RUSAGE_SELF);
            run(index);
            used(UsageWho::RUSAGE_SELF) - start
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Processor time used so far.
pub(crate) fn used(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("every system counts it");
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(time.num_microseconds().unsigned_abs())
}

const THOUSAND: Size = Size { nodes: 1_000, policies: 100, rules: RULES };
const TEN_THOUSAND: Size = Size { nodes: 1_000, policies: 1_000, rules: RULES };
const COLD: Size = Size { nodes: 5_000, policies: 1_000, rules: RULES };

pub(crate) fn print() {
    println!("Processor time, medians.");
    println!("{:<8} {:<66} {:>12} {:>12}", "CNI", "what", "median", "target");
    both::<Calico>();
    both::<Cilium>();
    yardstick::print();
}

fn both<C: Cni>() {
    let line = |what: &str, time: Duration, target: &str| {
        println!("{:<8} {:<66} {:>12} {:>12}", C::NAME, what, format!("{:.1?}", time), target);
    };
    for rules in [10, 100, 1_000, 10_000] {
        let warm = C::new(Size { nodes: 10, policies: rules / 10, rules: 10 });
        let mut anew: Vec<C> = (0..5).map(|_| warm.compiled_anew()).collect();
        let time = median(5, |_| {
            anew.pop().map(|state| state.classes(1));
        });
        line(&format!("one class, both directions, first time after compiling, {rules} rules"), time, "");
    }
    for (size, rules, target) in [(THOUSAND, "1,000", "1 ms"), (TEN_THOUSAND, "10,000", "10 ms")] {
        let warm = C::new(size);
        let first = median(1, |_| {
            warm.classes(usize::MAX);
        });
        line(&format!("1,000 nodes, {ROLES} classes x {rules} rules, first time after compiling"), first, "");
        let again = median(9, |_| {
            warm.classes(usize::MAX);
        });
        line(&format!("1,000 nodes, {ROLES} classes x {rules} rules, warm"), again, target);
        for (what, prefix) in [("", false), (" and its prefix", true)] {
            let time = changes(&warm, 101, prefix);
            line(&format!("one policy's port{what} changed, {rules} rules, all classes asked"), time, "100 us");
        }
    }
    let output = std::env::current_exe().and_then(|this| Command::new(this).args(["once", C::NAME, "cold"]).output());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_else(|error| error.to_string());
    println!(
        "{:<8} {:<66} {:>25} {:>12}",
        C::NAME,
        "5,000 nodes x 1,000 policies x 10 rules, cold",
        text.trim(),
        "1 s, 300 MiB"
    );
    walk::<C>();
}

/// Median time of a change of one policy with every class asked.
fn changes<C: Cni>(warm: &C, count: usize, prefix: bool) -> Duration {
    let mut policies: Vec<Manifest> = (1..=count).map(|salt| C::policy(salt % 89 + 1, salt, prefix)).collect();
    median(count, |_| {
        policies.pop().map(|policy| warm.change(policy));
    })
}

/// The exact set against a walk over sampled packets.
fn walk<C: Cni>() {
    let warm = C::new(THOUSAND);
    warm.classes(usize::MAX);
    let packets: Vec<Packet> = (0..1_000_u32).map(packet).collect();
    let passed = warm.ingress();
    let exact = median(9, |_| {
        std::hint::black_box(warm.ingress());
    });
    let looked = median(3, |_| {
        assert!(packets.iter().filter(|packet| passed.contains(packet)).count() < packets.len());
    });
    let walked = median(3, |_| {
        assert!(packets.iter().all(|packet| passed.contains(packet) == warm.walk(packet)));
    });
    println!(
        "{:<8} 1,000 sampled packets at 1,000 rules: trace {walked:.1?}, looked up {looked:.1?}, the exact set {exact:.1?}",
        C::NAME
    );
}

/// A packet to the first node that rules speak about, or nearly.
fn packet(index: u32) -> Packet {
    let source = std::net::Ipv4Addr::new(10, 64 + (index % 8) as u8, (index * 7 % 256) as u8, 9);
    let cluster::Rule { port, .. } = cluster::rule(index as usize % 100, index as usize % 10, 0);
    let [a, b, c, d] = cluster::address(0);
    let transport = Transport::Ports { protocol: 6, source: 40_000, destination: port + (index % 2) as u16 };
    Packet::new(source.into(), std::net::Ipv4Addr::new(a, b, c, d).into(), transport).expect("one family")
}

/// One run of one thing, in a process of its own.
pub(crate) fn once(cni: &str, what: &str) {
    match cni.to_ascii_lowercase().as_str() {
        "calico" => alone::<Calico>(what),
        "cilium" => alone::<Cilium>(what),
        _ => eprintln!("calico or cilium"),
    }
}

fn alone<C: Cni>(what: &str) {
    match what {
        "cold" => {
            let given = C::snapshot(COLD);
            let mut given = Some(given);
            let time = median(1, |_| {
                given.take().map(|given| C::compile(given).classes(usize::MAX));
            });
            println!("{time:.0?}, {}", peak());
        }
        "changed" => {
            let warm = C::new(THOUSAND);
            warm.classes(usize::MAX);
            println!("{:?}", changes(&warm, 200, false));
        }
        "class" => {
            C::new(Size { nodes: 10, ..TEN_THOUSAND }).classes(1);
        }
        _ => eprintln!("cold, changed or class"),
    }
}

/// Peak of the memory in use, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.map_or_else(|| "memory unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}
