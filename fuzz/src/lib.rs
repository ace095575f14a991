//! What is done with arbitrary bytes. Each function must return, soon, without a panic; some check laws on the way.
//!
//! The fuzz targets call them, and so does `policy/tests/fuzz`, with a corpus and random changes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use policy::calico::compile::{Assumptions, compile};
use policy::calico::endpoint::Interface;
use policy::calico::evaluate::Evaluator;
use policy::calico::question::{Path, Question};
use policy::calico::selector::{Selector, SelectorError};
use policy::cilium::compile::{Options, State};
use policy::cilium::question::{Layer, Path as CiliumPath, Question as CiliumQuestion, Verdict};
use policy::lifeline::config::Config;
use policy::lifeline::detect::detect;
use policy::lifeline::judge::{self, Change};
use policy::packet::{Direction, Packet, Transport};
use policy::snapshot::{Loader, Snapshot};
use policy::{calico, cilium};

/// Steps that the policies of one input may take.
const STEPS: u64 = 1 << 20;
/// Changes of one input: each step of them is judged.
const MOST_CHANGES: usize = 3;

/// A selector of Calico's. What is read is written in a form that reads the same, but for a negation of a negation: Calico
/// writes both, and reads them as none.
pub fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(selector) = text.parse::<Selector>() else { return };
    let labels = [BTreeMap::new(), BTreeMap::from([("a".to_owned(), "b".to_owned())])];
    let answers = |selector: &Selector| labels.each_ref().map(|labels| selector.matches(labels));
    let written = selector.to_string();
    match written.parse::<Selector>() {
        Ok(again) => {
            assert!(again == selector || written.contains("!!"), "{written}: {again:?}, and was {selector:?}");
            assert_eq!(answers(&again), answers(&selector), "{written}");
        }
        // The canonical form has more parentheses.
        Err(SelectorError::TooLong | SelectorError::TooDeep) => {}
        Err(error) => panic!("{written}: {error}"),
    }
}

/// Manifests, as files hold them.
pub fn manifests(bytes: &[u8]) {
    load(bytes);
}

fn load(bytes: &[u8]) -> Snapshot {
    let mut loader = Loader::default();
    // Objects before a mistake are taken, so what is broken further down still is a state.
    let _ = loader.read("fuzz", &String::from_utf8_lossy(bytes));
    loader.finish().snapshot
}

/// Manifests that Calico enforces: `evaluate`, `trace` and a warm engine must agree.
pub fn calico(bytes: &[u8]) {
    let snapshot = load(bytes);
    let assumptions = Assumptions::default();
    let state = compile(&snapshot, &assumptions);
    let node = state.endpoints.first().map_or("n", |endpoint| endpoint.node.as_str());
    let engine = calico::engine::Engine::new(&Snapshot::default(), &assumptions).with(&snapshot);
    let mut evaluator = Evaluator::with_budget(&state, STEPS);
    let interface = || Interface::new("eth0", [IpAddr::from([10, 0, 0, 1])]);
    let paths = [
        Path::Ingress(interface()),
        Path::Egress(interface()),
        Path::Forward { from: interface(), to: Interface::new("eth1", []) },
        Path::Local(Interface::new("lo", [])),
    ];
    for path in paths {
        let question = Question::new(node, path);
        let Ok(set) = evaluator.evaluate(&question) else { return };
        assert!(engine.evaluate(&question).is_ok_and(|warm| warm.set() == set), "{question:?}");
        for packet in packets() {
            let trace = calico::trace::trace(&state, &question, &packet);
            assert_eq!(set.contains(&packet), trace.verdict.passes(), "{question:?} {packet}\n{trace}");
        }
    }
}

/// Manifests that Cilium enforces, the same way.
pub fn cilium(bytes: &[u8]) {
    let snapshot = load(bytes);
    let stated = BTreeMap::from([("enable-host-firewall".to_owned(), "true".to_owned())]);
    let options = || Options { stated: &stated, ..Options::default() };
    let state = State::compile(&snapshot, options());
    let node = snapshot.cluster.nodes.first().map_or("n", |node| node.name.as_str());
    let engine = cilium::engine::Engine::new(&Snapshot::default(), options()).with(&snapshot);
    for direction in [Direction::Ingress, Direction::Egress] {
        for layer in [Layer::Policy, Layer::Host] {
            let question = CiliumQuestion { node, direction, layer, path: CiliumPath::Device(None) };
            let Ok(set) = cilium::evaluate::evaluate(&state, &question) else { return };
            assert!(engine.evaluate(&question).is_ok_and(|warm| warm.packets.set() == set.packets), "{question:?}");
            for packet in packets() {
                let trace = cilium::trace::trace(&state, &question, &packet);
                let passes = trace.verdict != Verdict::Deny;
                assert_eq!(set.packets.contains(&packet), passes, "{question:?} {packet}\n{trace}");
            }
        }
    }
}

/// Lines between the parts of an input of [`check`].
const PARTS: &str = "\n=====\n";

/// The whole way of `translate check`: a state, objects as they will be, objects to go, and a LifelineConfig, in this order.
/// What is judged can be shown, and an object put again as it is cuts nothing.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split(PARTS);
    let mut part = || parts.next().unwrap_or_default();
    let (state, put, delete, config) = (part(), part(), part(), part());
    let state = load(state.as_bytes());
    let config = Config::read(config).unwrap_or_default();
    let detect = |state: &Snapshot| detect(state, &config);
    let objects = |text: &str| policy::snapshot::manifests("fuzz", text).unwrap_or_default();
    let put = objects(put).into_iter().map(Change::Put);
    let delete = objects(delete).into_iter().map(|manifest| Change::Delete(manifest.key));
    let changes: Vec<Change> = put.chain(delete).take(MOST_CHANGES).collect();
    let assumptions = judge::Assumptions::default();
    let judgement = match judge::judge(&state, &changes, &detect, &assumptions) {
        Ok(judgement) => judgement,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(serde_json::to_value(&judgement).is_ok());
    let bad = !judgement.cuts.is_empty() || !judgement.stops.is_empty();
    assert_eq!(judgement.verdict == judge::Verdict::Cuts, bad);
    if let Some(same) = state.objects.values().next() {
        let same = [Change::Put(same.as_ref().clone())];
        let judged = judge::decide(&state, &same, &detect, &assumptions);
        assert!(judged.is_ok_and(|judged| judged.cuts.is_empty()), "{same:?}");
    }
}

fn packets() -> Vec<Packet> {
    let addresses = ["10.0.0.1", "10.0.0.2", "192.0.2.7", "fd00::1", "2001:db8::9"];
    let addresses: Vec<IpAddr> = addresses.iter().filter_map(|text| text.parse().ok()).collect();
    let ports = |protocol, destination| Transport::Ports { protocol, source: 40_000, destination };
    let transports = [
        ports(6, 22),
        ports(6, 443),
        ports(17, 53),
        ports(132, 80),
        Transport::Icmp { kind: 8, code: 0 },
        Transport::Icmp { kind: 135, code: 0 },
        Transport::Other(4),
        Transport::Other(112),
    ];
    let mut packets = Vec::new();
    for source in &addresses {
        for destination in &addresses {
            packets.extend(transports.iter().filter_map(|one| Packet::new(*source, *destination, *one).ok()));
        }
    }
    packets
}
