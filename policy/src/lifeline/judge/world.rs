//! One state of a cluster, as both CNIs see it, and the questions that judging asks of it. All that judging knows of the
//! engines is here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::calico::compile::Assumptions as CalicoAssumptions;
use crate::calico::endpoint::{Interface, owners};
use crate::calico::evaluate::Evaluator;
use crate::calico::question::{Path as CalicoPath, Question as CalicoQuestion};
use crate::calico::settings::Dataplane;
use crate::calico::state::{HostEndpoint, State as CalicoState};
use crate::calico::trace as calico_trace;
use crate::cilium::compile::{Options, State as CiliumState};
use crate::cilium::evaluate::evaluate as cilium_evaluate;
use crate::cilium::question::{Layer, Path as CiliumPath, Question as CiliumQuestion};
use crate::cilium::trace as cilium_trace;
use crate::cilium::version::Version as CiliumVersion;
use crate::packet::{Direction, Exhausted, Packet, PacketSet};
use crate::snapshot::{Key, Snapshot};

/// Facts that a snapshot may not tell.
#[derive(Clone, Debug, Default)]
pub struct Assumptions {
    /// About Calico.
    pub calico: CalicoAssumptions,
    /// Version of Cilium's agents, where it is known otherwise than from their image.
    pub cilium_version: Option<CiliumVersion>,
    /// Settings of Cilium's agents that go before those of the snapshot, by their keys in `cilium-config`.
    pub cilium_settings: BTreeMap<String, String>,
}

/// A state, compiled for both CNIs.
#[derive(Clone, Debug)]
pub(in crate::lifeline) struct World {
    pub(in crate::lifeline) snapshot: Snapshot,
    pub(in crate::lifeline) calico: Arc<CalicoState>,
    pub(in crate::lifeline) cilium: Arc<CiliumState>,
}

impl World {
    pub(in crate::lifeline) fn new(snapshot: &Snapshot, assumptions: &Assumptions) -> Self {
        Self {
            snapshot: snapshot.clone(),
            calico: Arc::new(crate::calico::compile::compile(snapshot, &assumptions.calico)),
            cilium: Arc::new(cilium(snapshot, None, assumptions)),
        }
    }

    /// The state after changes to objects of the given keys. A CNI that reads none of them stays as it is.
    pub(in crate::lifeline) fn next(&self, snapshot: &Snapshot, keys: &[&Key], assumptions: &Assumptions) -> Self {
        let only = |group: fn(&str) -> bool| keys.iter().all(|key| group(&key.group));
        let calico = if only(|group| group == "cilium.io") {
            Arc::clone(&self.calico)
        } else {
            Arc::new(crate::calico::compile::compile(snapshot, &assumptions.calico))
        };
        let cilium = if only(|group| group.ends_with("projectcalico.org")) {
            Arc::clone(&self.cilium)
        } else {
            Arc::new(cilium(snapshot, Some(&self.snapshot), assumptions))
        };
        Self { snapshot: snapshot.clone(), calico, cilium }
    }
}

fn cilium(snapshot: &Snapshot, previous: Option<&Snapshot>, assumptions: &Assumptions) -> CiliumState {
    let (version, stated) = (assumptions.cilium_version, &assumptions.cilium_settings);
    CiliumState::compile(snapshot, Options { previous, version, stated, ..Options::default() })
}

/// A way of packets past one node, as each CNI asks about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::lifeline) struct Way {
    pub(in crate::lifeline) node: Arc<str>,
    pub(in crate::lifeline) calico: CalicoPath,
    /// Absent where Cilium's host firewall is not asked: it judges nothing that passes through, or stays inside.
    pub(in crate::lifeline) cilium: Option<(Direction, CiliumPlace)>,
}

/// Where a packet meets Cilium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::lifeline) enum CiliumPlace {
    /// A network interface that is policed.
    Device,
    /// From pods of the node or the overlay, or to them.
    Cilium,
}

impl Way {
    pub(in crate::lifeline) fn question(&self) -> CalicoQuestion {
        CalicoQuestion::new(self.node.as_ref(), self.calico.clone())
    }

    fn cilium_question(&self) -> Option<CiliumQuestion<'_>> {
        let (direction, place) = self.cilium?;
        let path = match place {
            CiliumPlace::Device => CiliumPath::Device(None),
            CiliumPlace::Cilium => CiliumPath::Cilium,
        };
        Some(CiliumQuestion { node: &self.node, direction, layer: Layer::Host, path })
    }
}

/// An answer, as a place in the list of a [`Asker`]; equal places are equal sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::lifeline) struct Answer(usize);

impl Answer {
    /// The place: equal ones of one [`Asker`] are equal sets.
    pub(in crate::lifeline) fn number(self) -> usize {
        self.0
    }
}

/// Asks one state, and remembers the answers. Nodes that the engines cannot tell apart are asked about once.
pub(in crate::lifeline) struct Asker<'w> {
    pub(in crate::lifeline) world: &'w World,
    calico: Evaluator<'w>,
    sets: Vec<PacketSet>,
    places: HashMap<PacketSet, Answer>,
    by_class: HashMap<Class, Answer>,
    by_question: HashMap<(Arc<str>, Direction, CiliumPlace), Answer>,
    endpoints: HashMap<*const HostEndpoint, usize>,
    chains: HashMap<(Vec<usize>, Vec<String>), usize>,
}

/// All of a question that can change Calico's answer to it.
#[derive(PartialEq, Eq, Hash)]
struct Class {
    settings: *const crate::calico::settings::Settings,
    shape: u8,
    ends: Vec<EndClass>,
    /// The eBPF dataplane knows the node's own addresses.
    node: Option<Arc<str>>,
}

#[derive(PartialEq, Eq, Hash)]
struct EndClass {
    own: Option<usize>,
    wildcard: Option<usize>,
    workload: bool,
    programs: bool,
}

impl<'w> Asker<'w> {
    /// That everything passes.
    pub(in crate::lifeline) const EVERYTHING: Answer = Answer(0);

    pub(in crate::lifeline) fn new(world: &'w World) -> Self {
        let mut asker = Self {
            world,
            calico: Evaluator::new(&world.calico),
            sets: Vec::new(),
            places: HashMap::new(),
            by_class: HashMap::new(),
            by_question: HashMap::new(),
            endpoints: HashMap::new(),
            chains: HashMap::new(),
        };
        asker.keep(PacketSet::all());
        asker
    }

    pub(in crate::lifeline) fn set(&self, answer: Answer) -> &PacketSet {
        // Every answer is handed out together with an entry of the list.
        &self.sets[answer.0]
    }

    /// What passes a way in Calico.
    pub(in crate::lifeline) fn calico(&mut self, way: &Way) -> Result<Answer, Exhausted> {
        let class = self.class(way);
        if let Some(answer) = self.by_class.get(&class) {
            return Ok(*answer);
        }
        let set = self.calico.evaluate(&way.question())?;
        let answer = self.keep(set);
        self.by_class.insert(class, answer);
        Ok(answer)
    }

    /// What passes a way in Cilium.
    pub(in crate::lifeline) fn cilium(&mut self, way: &Way) -> Result<Answer, Exhausted> {
        let state = &self.world.cilium;
        let (Some(question), Some((direction, place))) = (way.cilium_question(), way.cilium) else {
            return Ok(Self::EVERYTHING);
        };
        if !state.settings.host_firewall.value {
            return Ok(Self::EVERYTHING);
        }
        let known = (Arc::clone(&way.node), direction, place);
        if let Some(answer) = self.by_question.get(&known) {
            return Ok(*answer);
        }
        let set = cilium_evaluate(state, &question)?.packets;
        let answer = self.keep(set);
        self.by_question.insert(known, answer);
        Ok(answer)
    }

    fn keep(&mut self, set: PacketSet) -> Answer {
        if let Some(answer) = self.places.get(&set) {
            return *answer;
        }
        let answer = Answer(self.sets.len());
        self.places.insert(set.clone(), answer);
        self.sets.push(set);
        answer
    }

    fn class(&mut self, way: &Way) -> Class {
        let state: &'w CalicoState = &self.world.calico;
        let settings = state.settings(&way.node);
        let (shape, interfaces): (u8, Vec<&Interface>) = match &way.calico {
            CalicoPath::Ingress(interface) => (0, vec![interface]),
            CalicoPath::Egress(interface) => (1, vec![interface]),
            CalicoPath::Forward { from, to } => (2, vec![from, to]),
            CalicoPath::Local(interface) => (3, vec![interface]),
        };
        let ends = interfaces
            .into_iter()
            .map(|interface| {
                let found = owners(state, settings, &way.node, interface);
                EndClass {
                    own: found.own.map(|endpoint| self.chain(endpoint)),
                    wildcard: found.wildcard.map(|endpoint| self.chain(endpoint)),
                    workload: settings.is_workload(&interface.name),
                    programs: settings.has_programs(&interface.name),
                }
            })
            .collect();
        let bpf = settings.dataplane.value == Dataplane::Bpf;
        Class { settings, shape, ends, node: bpf.then(|| Arc::clone(&way.node)) }
    }

    /// Number of the policies and profiles of an endpoint; equal ones have equal chains.
    fn chain(&mut self, endpoint: &'w HostEndpoint) -> usize {
        if let Some(chain) = self.endpoints.get(&std::ptr::from_ref(endpoint)) {
            return *chain;
        }
        let policies = self.world.calico.tiers.iter().flat_map(|tier| &tier.policies).enumerate();
        let selected = policies.filter(|(_, policy)| policy.selector.matches(&endpoint.labels));
        let key = (selected.map(|(index, _)| index).collect(), endpoint.profiles.clone());
        let next = self.chains.len();
        let chain = *self.chains.entry(key).or_insert(next);
        self.endpoints.insert(endpoint, chain);
        chain
    }
}

/// What a CNI does with one packet on a way.
pub(in crate::lifeline) enum Traced {
    Calico(calico_trace::Trace),
    Cilium(cilium_trace::Trace),
}

impl Traced {
    pub(in crate::lifeline) fn passes(&self) -> bool {
        match self {
            Self::Calico(trace) => trace.verdict.passes(),
            Self::Cilium(trace) => trace.verdict != crate::cilium::question::Verdict::Deny,
        }
    }
}

/// The traces of a packet on a way, of both CNIs.
pub(in crate::lifeline) fn trace(world: &World, way: &Way, packet: &Packet) -> Vec<Traced> {
    let calico = Traced::Calico(calico_trace::trace(&world.calico, &way.question(), packet));
    let cilium = way.cilium_question().map(|question| {
        let trace = cilium_trace::trace(&world.cilium, &question, packet);
        Traced::Cilium(trace)
    });
    std::iter::once(calico).chain(cilium).collect()
}
