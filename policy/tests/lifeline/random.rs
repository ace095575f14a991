//! Random changes on small clusters, held against every packet that matters, traced one by one.
//!
//! The oracle knows nothing of sets, and of judging only what a cut is. `LIFELINE_CASES=100000 cargo test --release -p policy
//! --test lifeline random -- --nocapture` runs more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

mod clusterwide;

use policy::calico;
use policy::calico::settings::Dataplane;
use policy::cilium;
use policy::lifeline::detect::Detected;
use policy::lifeline::judge::{Assumptions, Change, Judge, Side};
use policy::lifeline::{Flow, Lifeline, Party, Ports, Severity, Traffic};
use policy::packet::{Direction, Packet, Transport};
use policy::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::lab::{assumptions, put, snapshot};

/// Cases of a run of the suite.
const CASES: u64 = 2_000;

/// Port that the oracle sends from.
const CLIENT: u16 = 40_000;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    pub(crate) fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn some<T: Clone>(&mut self, choices: &[T]) -> Vec<T> {
        let some: Vec<T> = choices.iter().filter(|_| self.one_in(2)).cloned().collect();
        if some.is_empty() { vec![self.of(choices)] } else { some }
    }
}

const CLUSTERWIDE: &str = "CiliumClusterwideNetworkPolicy";
const NAMES: [&str; 3] = ["a", "b", "c"];
const PORTS: [u16; 5] = [22, 443, 6443, 9100, 10250];

fn address(node: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(node + 1).expect("few")])
}

/// The pod of a node.
fn pod(node: usize) -> IpAddr {
    IpAddr::from([10, 244, u8::try_from(node).expect("few"), 7])
}

fn client() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

fn node(index: usize, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NAMES[index], "labels": labels},
        "spec": {"podCIDRs": [format!("10.244.{index}.0/24")]},
        "status": {"addresses": [{"type": "InternalIP", "address": address(index)}]},
    })
}

fn labels(random: &mut Random, index: usize) -> Value {
    let mut labels = json!({"name": NAMES[index]});
    if random.one_in(2) {
        labels["role"] = json!(random.of(&["x", "y"]));
    }
    labels
}

const SELECTORS: [&str; 6] = ["all()", "has(role)", "role == 'x'", "name == 'a'", "!has(role)", "role in {'x', 'y'}"];

fn ports(random: &mut Random) -> Value {
    if random.one_in(4) {
        return json!([random.of(&["1:442", "443:6443", "9100:10250", "6444:65535", "10000:10249"])]);
    }
    json!(random.some(&PORTS))
}

fn rule(random: &mut Random, ingress: bool) -> Value {
    let mut rule = json!({"action": random.of(&["Allow", "Allow", "Allow", "Deny", "Pass", "Log"])});
    let (peer, own) = if ingress { ("source", "destination") } else { ("destination", "source") };
    match random.below(5) {
        0 => rule[peer] = json!({"selector": random.of(&SELECTORS)}),
        1 => {
            let nets = ["10.0.0.0/30", "10.0.0.2/32", "10.244.0.0/16", "10.244.1.0/24", "192.0.2.0/24", "0.0.0.0/0"];
            rule[peer] = json!({"nets": random.some(&nets)});
        }
        2 => rule[peer] = json!({"notNets": ["10.0.0.1/32"]}),
        3 => rule[own] = json!({"nets": ["10.0.0.0/24"]}),
        _ => {}
    }
    if random.one_in(2) {
        rule["protocol"] = json!(random.of(&["TCP", "TCP", "UDP"]));
        if random.one_in(2) {
            rule["destination"]["ports"] = ports(random);
        }
    }
    rule
}

fn calico_policy(random: &mut Random, name: &str) -> Value {
    let mut spec = json!({"selector": random.of(&SELECTORS), "order": random.below(4)});
    let mut types = Vec::new();
    for (kind, list) in [("Ingress", "ingress"), ("Egress", "egress")] {
        if random.one_in(2) {
            types.push(kind);
            let count = random.below(3);
            spec[list] = json!((0..count).map(|_| rule(random, list == "ingress")).collect::<Vec<_>>());
        }
    }
    if types.is_empty() {
        types.push("Ingress");
    }
    match random.below(8) {
        0 => spec["applyOnForward"] = json!(true),
        1 => {
            spec["applyOnForward"] = json!(true);
            spec["preDNAT"] = json!(true);
            types = vec!["Ingress"];
            spec.as_object_mut().expect("an object").remove("egress");
        }
        2 => {
            spec["applyOnForward"] = json!(true);
            spec["doNotTrack"] = json!(true);
            for list in ["ingress", "egress"] {
                for rule in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                    let plain = rule.pointer("/destination/ports").is_none() && rule.get("protocol").is_some();
                    if plain && random.one_in(2) {
                        // As answers have them.
                        rule["source"]["ports"] = ports(random);
                    }
                }
            }
        }
        _ => {}
    }
    spec["types"] = json!(types);
    let name = if random.one_in(4) {
        spec["tier"] = json!("early");
        format!("early.{name}")
    } else {
        name.to_owned()
    };
    object("projectcalico.org/v3", "GlobalNetworkPolicy", &name, &json!({}), &spec)
}

fn endpoint(random: &mut Random, index: usize) -> Value {
    let labels = labels(random, index);
    let name = random.of(&["eth0", "*", "*", ""]);
    let mut spec = json!({"node": NAMES[index], "expectedIPs": [address(index)]});
    if !name.is_empty() {
        spec["interfaceName"] = json!(name);
    }
    if !random.one_in(4) {
        spec["profiles"] = json!(["projectcalico-default-allow"]);
    }
    object("projectcalico.org/v3", "HostEndpoint", &format!("{}-{}", NAMES[index], random.below(2)), &labels, &spec)
}

fn object(version: &str, kind: &str, name: &str, labels: &Value, spec: &Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec})
}

fn any(random: &mut Random, cilium: bool) -> Value {
    let name = random.of(&["p", "q", "r"]);
    match random.below(8) {
        0 | 1 => {
            let index = random.below(3);
            endpoint(random, index)
        }
        2 if cilium => clusterwide::policy(random, name),
        3 if cilium => clusterwide::policy(random, name),
        5 if cilium && random.one_in(2) => clusterwide::group(random),
        4 => object(
            "projectcalico.org/v3",
            "GlobalNetworkSet",
            name,
            &json!({"role": random.of(&["x", "y"])}),
            &json!({
                "nets": random.some(&["192.0.2.0/25", "10.0.0.3/32", "10.244.2.0/24"]),
            }),
        ),
        _ => calico_policy(random, name),
    }
}

pub(crate) fn state(random: &mut Random, cilium: bool) -> Vec<Value> {
    let mut objects: Vec<Value> = (0..NAMES.len())
        .map(|index| {
            let labels = labels(random, index);
            node(index, &labels)
        })
        .collect();
    let passes = random.of(&["Pass", "Deny"]);
    objects.push(object(
        "projectcalico.org/v3",
        "Tier",
        "early",
        &json!({}),
        &json!({"order": 1, "defaultAction": passes}),
    ));
    let to_host = random.of(&["Accept", "Drop", "Return"]);
    let felix =
        json!({"defaultEndpointToHostAction": to_host, "failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22}]});
    objects.push(object("projectcalico.org/v3", "FelixConfiguration", "default", &json!({}), &felix));
    objects.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cilium-config", "namespace": "kube-system"},
        "data": clusterwide::settings(random, cilium),
    }));
    if cilium && random.one_in(4) {
        // Two agents may take one address for their host's own.
        let (one, other) = (random.below(3), random.below(3));
        objects.extend(NAMES.iter().enumerate().map(|(index, name)| {
            let listed = if index == one { [index, other] } else { [index; 2] };
            let listed = listed.map(|index| json!({"type": "InternalIP", "ip": address(index)}));
            object("cilium.io/v2", "CiliumNode", name, &json!({}), &json!({"addresses": listed}))
        }));
    }
    for index in 0..NAMES.len() {
        if !random.one_in(3) {
            objects.push(endpoint(random, index));
        }
    }
    for _ in 0..random.below(7) {
        objects.push(any(random, cilium));
    }
    let mut seen = BTreeSet::new();
    objects.retain(|object| seen.insert((object["kind"].to_string(), object["metadata"]["name"].to_string())));
    objects
}

pub(crate) fn change(random: &mut Random, state: &[Value], cilium: bool) -> Change {
    let deletable = ["GlobalNetworkPolicy", "HostEndpoint", "GlobalNetworkSet", CLUSTERWIDE, "CiliumCIDRGroup", "Tier"];
    let old: Vec<&Value> =
        state.iter().filter(|object| deletable.contains(&object["kind"].as_str().unwrap_or_default())).collect();
    if random.one_in(4) && old.len() > 1 {
        let gone = old[random.below(old.len())];
        if gone["kind"] != "Tier" {
            return Change::Delete(put(&gone.to_string())[0].key().clone());
        }
    }
    let edited = if random.one_in(3) { edited(random, state) } else { None };
    if let Some(policy) = edited {
        return put(&policy.to_string()).remove(0);
    }
    let new = match random.below(10) {
        0 => {
            let index = random.below(3);
            let labels = labels(random, index);
            node(index, &labels)
        }
        1 => {
            let passes = random.of(&["Pass", "Deny"]);
            object("projectcalico.org/v3", "Tier", "early", &json!({}), &json!({"order": 1, "defaultAction": passes}))
        }
        2 => {
            let to_host = random.of(&["Accept", "Drop"]);
            object(
                "projectcalico.org/v3",
                "FelixConfiguration",
                "default",
                &json!({}),
                &json!({
                    "defaultEndpointToHostAction": to_host, "failsafeInboundHostPorts": [],
                }),
            )
        }
        _ => any(random, cilium),
    };
    put(&new.to_string()).remove(0)
}

/// A policy of the state with something else about it, or one like it: as people change them.
fn edited(random: &mut Random, state: &[Value]) -> Option<Value> {
    let clusterwide = random.one_in(2) && state.iter().any(|object| object["kind"] == CLUSTERWIDE);
    let kind = if clusterwide { CLUSTERWIDE } else { "GlobalNetworkPolicy" };
    let is_policy = |object: &&Value| object["kind"] == kind;
    let policies: Vec<&Value> = state.iter().filter(is_policy).collect();
    let mut policy = (!policies.is_empty()).then(|| policies[random.below(policies.len())].clone())?;
    if clusterwide {
        clusterwide::edit(random, &mut policy);
        return Some(policy);
    }
    match random.below(8) {
        0 => {
            let name = policy["metadata"]["name"].as_str()?;
            policy["metadata"]["name"] = json!(format!("{}z", name));
        }
        1 => policy["spec"]["order"] = json!(random.below(4)),
        2 => policy["spec"]["selector"] = json!(random.of(&SELECTORS)),
        _ => {}
    }
    for (list, ingress) in [("ingress", true), ("egress", false)] {
        let Some(rules) = policy["spec"][list].as_array_mut() else { continue };
        let index = random.below(rules.len() + 1);
        match random.below(6) {
            0 => rules.insert(index, rule(random, ingress)),
            1 => {
                let mut one = rule(random, ingress);
                one["protocol"] = json!("TCP");
                one["destination"]["ports"] = json!([random.of(&PORTS)]);
                rules.insert(index, one);
            }
            2 if index < rules.len() => drop(rules.remove(index)),
            3 if index < rules.len() => {
                rules[index]["action"] = json!(random.of(&["Allow", "Deny", "Pass", "Log"]));
            }
            4 if index < rules.len() => rules.swap(0, index),
            _ => {}
        }
    }
    Some(policy)
}

pub(crate) fn lifelines(random: &mut Random) -> Vec<Lifeline> {
    (0..=random.below(3))
        .map(|index| {
            let flows = (0..=random.below(2)).map(|_| flow(random)).collect();
            Lifeline {
                id: format!("l{index}"),
                severity: Severity::Blocker,
                flows,
                breaks: String::new(),
                documented: String::new(),
                origins: Vec::new(),
            }
        })
        .collect()
}

fn flow(random: &mut Random) -> Flow {
    let first = random.of(&PORTS);
    let last = first + u16::try_from(random.below(2)).expect("0 or 1");
    let traffic = vec![Traffic::of(random.of(&[6, 6, 17]), Ports::Range(first, last))];
    let (from, to) = (party(random), party(random));
    let to = match from {
        Party::Nodes(_) if random.one_in(6) => Party::Itself,
        Party::Nodes(_) if random.one_in(6) => Party::Loopback,
        Party::Nodes(_) if random.one_in(6) => Party::OwnPods((0..3).map(|index| pod(index).into()).collect()),
        _ => to,
    };
    Flow { from, to, traffic }
}

fn party(random: &mut Random) -> Party {
    let nets = |addresses: Vec<IpAddr>| addresses.into_iter().map(ipnet::IpNet::from).collect();
    match random.below(6) {
        0 => Party::Addresses { name: "clients".to_owned(), nets: nets(vec![client()]) },
        1 => {
            let some = random.some(&[0, 1, 2]);
            Party::Addresses { name: "pods".to_owned(), nets: nets(some.into_iter().map(pod).collect()) }
        }
        _ => {
            let some = random.some(&NAMES);
            Party::Nodes(Arc::new(some.into_iter().map(str::to_owned).collect()))
        }
    }
}

/// One end, as the oracle sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Node(usize),
    Pod(usize),
    /// A pod behind its node.
    Behind(usize),
    Client,
}

impl Place {
    fn address(&self) -> IpAddr {
        match self {
            Self::Node(index) | Self::Behind(index) => address(*index),
            Self::Pod(index) => pod(*index),
            Self::Client => client(),
        }
    }

    fn on(&self) -> Option<usize> {
        match self {
            Self::Node(index) | Self::Pod(index) | Self::Behind(index) => Some(*index),
            Self::Client => None,
        }
    }
}

fn places(party: &Party, sender: bool) -> Vec<Place> {
    match party {
        Party::Nodes(names) => (0..3).filter(|index| names.contains(NAMES[*index])).map(Place::Node).collect(),
        Party::Addresses { nets, .. } => nets
            .iter()
            .flat_map(|net| {
                let index = (0..3).find(|index| pod(*index) == net.addr());
                match index {
                    Some(index) if sender => vec![Place::Pod(index), Place::Behind(index)],
                    Some(index) => vec![Place::Pod(index)],
                    None => vec![Place::Client],
                }
            })
            .collect(),
        Party::OwnPods(_) => (0..3).map(Place::Pod).collect(),
        Party::Itself | Party::Loopback => Vec::new(),
    }
}

/// The states of one snapshot.
struct States {
    calico: calico::state::State,
    cilium: cilium::compile::State,
}

impl States {
    fn new(snapshot: &Snapshot, previous: Option<&Snapshot>, assumptions: &Assumptions) -> Self {
        let options = cilium::compile::Options { previous, ..cilium::compile::Options::default() };
        Self {
            calico: calico::compile::compile(snapshot, &assumptions.calico),
            cilium: cilium::compile::State::compile(snapshot, options),
        }
    }

    /// Whether a packet passes a node.
    fn passes(
        &self,
        node: usize,
        path: &calico::question::Path,
        direction: Option<(Direction, bool)>,
        packet: &Packet,
    ) -> bool {
        let calico = self.converses(node, path, packet);
        let cilium = direction.is_none_or(|(direction, inside)| {
            use cilium::question::{Layer, Path, Question, Verdict};
            let path = if inside { Path::Cilium } else { Path::Device(None) };
            let question = Question { node: NAMES[node], direction, layer: Layer::Host, path };
            cilium::trace::trace(&self.cilium, &question, packet).verdict != Verdict::Deny
        });
        calico && cilium
    }

    /// Whether a packet passes a node, and what follows it both ways, as the kernel tracks them.
    fn converses(&self, node: usize, path: &calico::question::Path, packet: &Packet) -> bool {
        use calico::question::Path;
        let back = match path {
            Path::Ingress(one) => Path::Egress(one.clone()),
            Path::Egress(one) => Path::Ingress(one.clone()),
            Path::Forward { from, to } => Path::Forward { from: to.clone(), to: from.clone() },
            Path::Local(_) => {
                let question = calico::question::Question::new(NAMES[node], path.clone());
                return calico::trace::trace(&self.calico, &question, packet).verdict.passes();
            }
        };
        let Transport::Ports { protocol, source, destination } = packet.transport() else { panic!("no ports") };
        let turned = Transport::Ports { protocol, source: destination, destination: source };
        let answer = Packet::new(packet.destination(), packet.source(), turned).expect("one family");
        let mut connection = Connection::None;
        // SYN, SYN-ACK, ACK and what is in them; of UDP the questions and answers.
        (0..6).all(|step| match step % 2 {
            0 => self.follows(node, path, packet, step, &mut connection),
            _ => self.follows(node, &back, &answer, step, &mut connection),
        })
    }

    /// Whether one packet of a conversation passes, and what connection tracking knows after it.
    fn follows(
        &self,
        node: usize,
        path: &calico::question::Path,
        packet: &Packet,
        step: usize,
        connection: &mut Connection,
    ) -> bool {
        use calico::question::{Conntrack, Question};
        use calico::trace::Hook;
        let tcp = packet.protocol() == 6;
        let (state, next) = match (&connection, tcp, step) {
            (Connection::Whole, ..) | (Connection::Half, true, 1) | (Connection::Half, false, 1 | 3 | 5) => {
                (None, Connection::Whole)
            }
            (Connection::Half, true, _) => (Some(Conntrack::Invalid), Connection::Half),
            (Connection::Half, false, _) => (Some(Conntrack::New), Connection::Half),
            (Connection::None, true, 1) => (Some(Conntrack::Invalid), Connection::None),
            (Connection::None, _, 0) => (Some(Conntrack::New), Connection::Half),
            (Connection::None, ..) => (Some(Conntrack::New), Connection::Whole),
        };
        let conntrack = Some(state.unwrap_or(Conntrack::New));
        let question = Question { conntrack, ..Question::new(NAMES[node], path.clone()) };
        let trace = calico::trace::trace(&self.calico, &question, packet);
        let raw = |hook: Hook| matches!(hook, Hook::RawPrerouting | Hook::RawOutput);
        let early = !trace.verdict.passes() && trace.steps.last().is_some_and(|step| raw(step.hook));
        if !early && trace.conntrack == Conntrack::Untracked {
            return trace.verdict.passes();
        }
        // Policies after connection tracking are not asked about packets of a connection.
        let passes = !early && (state.is_none() || trace.verdict.passes());
        if passes {
            *connection = next;
        }
        passes
    }

    /// Whether a packet leaves where it comes from, and arrives where it goes to.
    fn ends(&self, from: &Place, to: &Place, packet: &Packet) -> [bool; 2] {
        use calico::endpoint::Interface;
        use calico::question::Path;
        let out = |index: usize| Interface::new("eth0", [address(index)]);
        let veth = || Interface::new("cali0", []);
        let here = from.on().is_some() && from.on() == to.on();
        let leaves = match *from {
            Place::Node(index) if here => {
                self.passes(index, &Path::Egress(veth()), Some((Direction::Egress, true)), packet)
            }
            Place::Node(index) => {
                self.passes(index, &Path::Egress(out(index)), Some((Direction::Egress, false)), packet)
            }
            Place::Pod(index) => match to {
                Place::Pod(_) if here => self.passes(index, &Path::Forward { from: veth(), to: veth() }, None, packet),
                _ if here => true,
                _ => self.passes(index, &Path::Forward { from: veth(), to: out(index) }, None, packet),
            },
            Place::Behind(_) | Place::Client => true,
        };
        let arrives = match *to {
            Place::Node(index) if here => {
                self.passes(index, &Path::Ingress(veth()), Some((Direction::Ingress, true)), packet)
            }
            Place::Node(index) => {
                self.passes(index, &Path::Ingress(out(index)), Some((Direction::Ingress, false)), packet)
            }
            Place::Pod(_) if here => true,
            Place::Pod(index) => self.passes(index, &Path::Forward { from: out(index), to: veth() }, None, packet),
            Place::Behind(_) | Place::Client => true,
        };
        [leaves, arrives]
    }

    fn inside(&self, index: usize, packet: &Packet) -> bool {
        let loopback = calico::endpoint::Interface::new("lo", ["127.0.0.1".parse::<IpAddr>().expect("an address")]);
        self.passes(index, &calico::question::Path::Local(loopback), None, packet)
    }
}

/// What the kernel knows of a conversation: nothing, its first packet, or both ways of it.
enum Connection {
    None,
    Half,
    Whole,
}

type Cuts = BTreeMap<(String, Side), BTreeSet<(Place, Place)>>;

/// Every packet of every flow, one by one.
fn enumerate(before: &States, after: &States, lifelines: &[Lifeline]) -> Cuts {
    let mut cuts = Cuts::new();
    for lifeline in lifelines {
        for flow in &lifeline.flows {
            let traffic = flow.traffic[0];
            let Ports::Range(first, last) = traffic.ports else { continue };
            for port in first..=last {
                let packet = |source, destination| {
                    let transport = Transport::Ports {
                        protocol: traffic.protocol.expect("one"),
                        source: CLIENT,
                        destination: port,
                    };
                    Packet::new(source, destination, transport).expect("one family")
                };
                let mut add = |side, from: &Place, to: &Place| {
                    cuts.entry((lifeline.id.clone(), side)).or_default().insert((from.clone(), to.clone()));
                };
                if let Party::Itself | Party::Loopback = flow.to {
                    for place in places(&flow.from, true) {
                        let index = place.on().expect("a node");
                        let own = [["127.0.0.1"; 2].map(|text| text.parse().expect("an address")), [address(index); 2]];
                        for [source, destination] in own.into_iter().take(1 + usize::from(flow.to == Party::Itself)) {
                            let packet = packet(source, destination);
                            if before.inside(index, &packet) && !after.inside(index, &packet) {
                                add(Side::Egress, &place, &place);
                            }
                        }
                    }
                    continue;
                }
                for from in places(&flow.from, true) {
                    for to in places(&flow.to, false) {
                        let pods = matches!(from, Place::Pod(_)) || matches!(to, Place::Pod(_));
                        let here = from.on().is_some() && from.on() == to.on();
                        // A node does not leave for itself, and no pod stands behind its node for that node.
                        if from == to && matches!(from, Place::Node(_))
                            || here && (!pods || matches!(from, Place::Behind(_)))
                            || !here && matches!(flow.to, Party::OwnPods(_))
                        {
                            continue;
                        }
                        let packet = packet(from.address(), to.address());
                        let (then, now) = (before.ends(&from, &to, &packet), after.ends(&from, &to, &packet));
                        if then == [true, true] {
                            for (side, passes) in [Side::Egress, Side::Ingress].into_iter().zip(now) {
                                if !passes {
                                    add(side, &from, &to);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    cuts
}

#[test]
fn random_changes_are_judged_as_their_packets_are() {
    let cases = std::env::var("LIFELINE_CASES").ok().map_or(CASES, |text| text.parse().expect("a number"));
    let mut assumptions = assumptions();
    let mut tally = [0_u64; 7];
    for seed in 0..cases {
        let mut random = Random(seed);
        assumptions.calico.dataplane = Some(random.of(&[Dataplane::Nftables, Dataplane::Iptables]));
        let cilium = random.one_in(3);
        let objects = state(&mut random, cilium);
        let text = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let before = snapshot(&[&text]);
        let change = change(&mut random, &objects, cilium);
        let mut lifelines = lifelines(&mut random);
        if text.contains("doNotTrack") || format!("{change:?}").contains("doNotTrack") {
            // Such policies tell answers by the port that they come from, and the oracle sends from one.
            let flows = lifelines.iter_mut().flat_map(|lifeline| &mut lifeline.flows);
            flows.for_each(|flow| flow.traffic[0].source_port = Some(CLIENT));
            tally[4] += 1;
        }
        let after = change.apply(&before).expect("a change");
        let states = [States::new(&before, None, &assumptions), States::new(&after, Some(&before), &assumptions)];
        let expected = enumerate(&states[0], &states[1], &lifelines);
        let detected = Detected { lifelines: lifelines.clone(), ..Detected::default() };
        let judge = Judge::new(&before, |_: &Snapshot| detected.clone(), &assumptions);
        let judgement = judge.decide(std::slice::from_ref(&change)).expect("a change");
        let shown = || format!("seed {seed}\n{text}\n{change:?}\n{lifelines:#?}\n{:#?}\n{expected:#?}", judgement.cuts);
        let found: BTreeMap<(String, Side), usize> =
            judgement.cuts.iter().map(|cut| ((cut.lifeline.clone(), cut.side), cut.pairs)).collect();
        let counted: BTreeMap<(String, Side), usize> =
            expected.iter().map(|(key, pairs)| (key.clone(), pairs.len())).collect();
        assert_eq!(found, counted, "{}", shown());
        assert!(judgement.cuts.iter().all(|cut| !cut.deciding.reason.is_empty()), "{}", shown());
        tally[0] += 1;
        tally[1] += u64::from(expected.is_empty());
        tally[2] += counted.len() as u64;
        tally[3] += counted.values().sum::<usize>() as u64;
        let told = judge.glance(&change).is_some();
        tally[if change.key().group == "cilium.io" { 6 } else { 5 }] += u64::from(told);
    }
    println!(
        "| changes | among policies without tracking | that cut nothing | as a glance told, of Calico | of Cilium | cuts | pairs | false alarms | misses |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let [changes, harmless, cuts, pairs, untracked, calico, cilium] = tally;
    println!("| {changes} | {untracked} | {harmless} | {calico} | {cilium} | {cuts} | {pairs} | 0 | 0 |");
    // A run in which hardly anything is cut would show nothing.
    let shows = cuts * 10 > changes && (calico + cilium) * 20 > changes && cilium * 100 > changes;
    assert!(shows || changes < 100, "{tally:?}");
}
