//! One state of a cluster, as both CNIs see it, and the questions that judging asks of it. All that judging knows of the
//! engines is here.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use super::answers::{Lost, lost, unanswered};
use crate::calico::compile::Assumptions as CalicoAssumptions;
use crate::calico::engine::Engine as Calico;
use crate::calico::question::{Path as CalicoPath, Question as CalicoQuestion};
use crate::calico::settings;
use crate::calico::trace as calico_trace;
use crate::cilium::compile::{Open, Options};
use crate::cilium::engine::{Engine as Cilium, NodeClass as CiliumClass};
use crate::cilium::question::{Layer, Path as CiliumPath, Question as CiliumQuestion};
use crate::cilium::trace as cilium_trace;
use crate::cilium::version::Version as CiliumVersion;
use crate::packet::{Direction, Exhausted, Held, Packet};
use crate::snapshot::sources::{CALICO, CILIUM};
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
    pub(in crate::lifeline) calico: Calico,
    pub(in crate::lifeline) cilium: Cilium,
    /// Whether there is an agent or an object of Calico's: Felix's defaults hold where Felix is.
    pub(super) has_calico: bool,
    /// Whether answers have to be looked at; known once it was asked.
    answers: OnceLock<bool>,
}

impl World {
    pub(in crate::lifeline) fn new(snapshot: &Snapshot, assumptions: &Assumptions) -> Self {
        let (version, stated) = (assumptions.cilium_version, &assumptions.cilium_settings);
        let cilium = Cilium::new(snapshot, Options { version, stated, ..Options::default() });
        Self::of(snapshot, Calico::new(snapshot, &assumptions.calico), cilium)
    }

    fn of(snapshot: &Snapshot, calico: Calico, cilium: Cilium) -> Self {
        let has_calico =
            settings::agent(snapshot).is_some() || snapshot.objects.kinds().any(|(group, _)| CALICO.contains(&group));
        Self { snapshot: snapshot.clone(), calico, cilium, has_calico, answers: OnceLock::new() }
    }

    /// The same where Calico is there in another state: it was before its first object, and is after its last.
    pub(super) fn beside(mut self, other: &Self) -> Self {
        self.has_calico |= other.has_calico;
        self
    }

    /// Another state, which should have most in common with this one.
    pub(in crate::lifeline) fn with(&self, snapshot: &Snapshot) -> Self {
        Self::of(snapshot, self.calico.with(snapshot), self.cilium.with(snapshot))
    }

    /// The state after changes to objects of the given keys. A CNI that reads none of them stays as it is.
    pub(in crate::lifeline) fn next(&self, snapshot: &Snapshot, keys: &[&Key]) -> Self {
        let only = |group: fn(&str) -> bool| keys.iter().all(|key| group(&key.group));
        let calico = if only(|group| group == CILIUM) { self.calico.clone() } else { self.calico.with(snapshot) };
        let cilium = if only(|group| group.ends_with("projectcalico.org")) {
            self.cilium.clone()
        } else {
            self.cilium.with(snapshot)
        };
        Self::of(snapshot, calico, cilium)
    }

    /// The same cluster with nothing that closes its hosts: what does not pass there, no host policy is to blame for.
    pub(super) fn bare(&self) -> Self {
        let mut open = self.snapshot.clone();
        Arc::make_mut(&mut open.objects)
            .retain(|key| !["HostEndpoint", "KubeControllersConfiguration"].contains(&key.kind.as_str()));
        Self::of(&open, self.calico.with(&open), self.cilium.without_host_firewall())
    }

    /// The same with what Cilium's rules leave open read as everyone, or as nobody. `None` where that makes no difference.
    pub(super) fn read(&self, is_everyone: &dyn Fn(&Open) -> bool) -> Option<Self> {
        Some(Self { cilium: self.cilium.read(is_everyone)?, ..self.clone() })
    }

    /// What Calico lets by on a way, and the answers to it too.
    pub(super) fn passes_calico(&self, way: &Way) -> Result<Held, Exhausted> {
        if !self.has_calico {
            return self.calico.everything();
        }
        let passes = self.calico.evaluate(&way.question())?;
        if !self.looks_at_answers() {
            return Ok(passes);
        }
        match unanswered(self, way)? {
            Some(lost) => passes.difference(&passes.space().hold(&lost)?),
            None => Ok(passes),
        }
    }

    fn looks_at_answers(&self) -> bool {
        *self.answers.get_or_init(|| self.calico.state().has_untracked())
    }

    /// Whether Cilium's host firewall is on.
    pub(super) fn has_host_firewall(&self) -> bool {
        self.cilium.state().settings.host_firewall.value
    }

    /// Whether nodes, with their interfaces and pods, are those of another state, from which this one comes.
    pub(super) fn has_nodes_of(&self, before: &Self) -> bool {
        let (now, then) = (&self.snapshot, &before.snapshot);
        let shares = |group: &str, kind: &str| now.objects.shares(&then.objects, group, kind);
        Arc::ptr_eq(&now.cluster, &then.cluster)
            && self.calico.has_nodes_of(&before.calico)
            && shares(CILIUM, "CiliumNode")
            && CALICO.iter().all(|group| shares(group, "IPPool"))
    }
}

/// A way of packets past one node, as each CNI asks about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::lifeline) struct Way {
    pub(in crate::lifeline) node: Arc<str>,
    pub(in crate::lifeline) calico: CalicoPath,
    /// Absent where Cilium's host firewall is not asked: it judges nothing that passes through, or stays inside.
    pub(in crate::lifeline) cilium: Option<(Direction, CiliumPlace)>,
    /// Whether Cilium is asked only about packets between the node's own addresses and those of others, whichever these
    /// are: then nodes of a class have one answer.
    pub(in crate::lifeline) others: bool,
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

/// What passes a way in each CNI. In Cilium it is everything where there is nothing.
pub(in crate::lifeline) type Answer = (Held, Option<Held>);

/// Asks one state, and remembers the answers.
pub(in crate::lifeline) struct Asker<'w> {
    pub(in crate::lifeline) world: &'w World,
    known: HashMap<Way, Answer>,
    /// The class in Cilium of each node that was asked about.
    nodes: HashMap<Arc<str>, CiliumClass>,
    /// What Cilium lets by between nodes of a class and others.
    classes: HashMap<(CiliumClass, Direction, CiliumPlace), Held>,
}

impl<'w> Asker<'w> {
    pub(in crate::lifeline) fn new(world: &'w World) -> Self {
        Self { world, known: HashMap::new(), nodes: HashMap::new(), classes: HashMap::new() }
    }

    /// What passes a way.
    pub(in crate::lifeline) fn ask(&mut self, way: &Way) -> Result<Answer, Exhausted> {
        if let Some(known) = self.known.get(way) {
            return Ok(known.clone());
        }
        let calico = self.world.passes_calico(way)?;
        let cilium = match way.cilium_question() {
            Some(question) if self.world.has_host_firewall() => Some(match way.cilium.filter(|_| way.others) {
                Some((direction, place)) => {
                    let class = self.nodes.entry(Arc::clone(&way.node));
                    let class = class.or_insert_with(|| self.world.cilium.class(&way.node)).clone();
                    match self.classes.entry((class, direction, place)) {
                        Entry::Occupied(known) => known.get().clone(),
                        Entry::Vacant(entry) => entry.insert(self.world.cilium.with_others(&question)?).clone(),
                    }
                }
                None => self.world.cilium.evaluate(&question)?.packets,
            }),
            _ => None,
        };
        let answer = (calico, cilium);
        self.known.insert(way.clone(), answer.clone());
        Ok(answer)
    }
}

/// What a CNI does with one packet on a way.
pub(in crate::lifeline) enum Traced {
    Calico(calico_trace::Trace),
    Cilium(cilium_trace::Trace),
    /// With a packet that follows the one asked about, and is dropped by Calico.
    Lost(Box<Lost>),
}

impl Traced {
    pub(in crate::lifeline) fn passes(&self) -> bool {
        match self {
            Self::Calico(trace) => trace.verdict.passes(),
            Self::Cilium(trace) => trace.verdict != crate::cilium::question::Verdict::Deny,
            Self::Lost(_) => false,
        }
    }
}

/// The traces of a packet on a way, of both CNIs.
pub(in crate::lifeline) fn trace(world: &World, way: &Way, packet: &Packet) -> Vec<Traced> {
    let calico = world.has_calico.then(|| calico_trace::trace(world.calico.state(), &way.question(), packet));
    let followed = calico.as_ref().filter(|calico| calico.verdict.passes() && world.looks_at_answers());
    let lost = followed.and_then(|calico| lost(world, way, packet, calico));
    let lost = lost.map(|lost| Traced::Lost(Box::new(lost)));
    let calico = calico.map(Traced::Calico);
    let cilium = way.cilium_question().map(|question| {
        let trace = cilium_trace::trace(world.cilium.state(), &question, packet);
        Traced::Cilium(trace)
    });
    calico.into_iter().chain(cilium).chain(lost).collect()
}
