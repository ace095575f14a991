//! A state that is kept warm.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::compile::{Assumptions, Memory, Parts};
use super::endpoint::{Interface, owners};
use super::evaluate::{BUDGET, Kept, Known, Selected, Steps, before_tracking, lost, passing};
use super::question::{Conntrack, Path, Question, Translation, Workloads};
use super::settings::{Dataplane, Settings};
use super::state::{HostEndpoint, Interfaces, State};
use crate::packet::{Exhausted, Held, Region, SharedSpace, Space};
use crate::snapshot::{Key, Manifest, Snapshot};
use crate::warm::{Lost, SLACK, SLACK_ENTRIES, SLACK_NODES, lock};

/// A compiled snapshot that answers many questions, and from which that of a changed snapshot is made at the cost of the
/// change. Cheap to clone; the engines before and after a change share what they have in common.
///
/// Its answers are those of [`compile()`](super::compile::compile) and [`evaluate()`](super::evaluate::evaluate).
#[derive(Clone, Debug)]
pub struct Engine {
    assumptions: Assumptions,
    snapshot: Snapshot,
    parts: Arc<Parts>,
    state: Arc<State>,
    selected: Arc<Selected>,
    alike: Arc<Vec<Alike>>,
    /// States with the same frame differ in nothing but policies.
    frame: usize,
    line: Arc<Line>,
}

/// Where the settings of a node are, and its endpoints: their interfaces, and a number for what they have in common.
type Likeness<'s> = (usize, Vec<(&'s Interfaces, usize)>);

/// Nodes with the same settings, and with endpoints of the same groups on the same interfaces.
#[derive(Debug)]
struct Alike {
    settings: usize,
    /// The endpoints of one of them: interfaces and position.
    endpoints: Vec<(Interfaces, usize)>,
    nodes: Vec<String>,
}

/// What engines that come from one another share. Everything in it is known by what it was made of.
struct Line {
    memory: Mutex<Memory>,
    known: Arc<Mutex<Known>>,
    work: Mutex<Work>,
}

/// A space, and what was worked out in it.
struct Work {
    space: SharedSpace,
    kept: Kept,
    answers: HashMap<(usize, Asked), Held>,
    frames: usize,
    /// Sizes when work began: policies, entries, and after the first answer nodes.
    began: (usize, usize, Option<usize>),
}

impl Work {
    /// The packets of a region that is made with what is kept.
    fn make(&mut self, region: impl FnOnce(&mut Space, &mut Kept) -> Region) -> Result<Held, Exhausted> {
        let Self { space, kept, .. } = self;
        // What was kept while the steps ran out is wrong.
        space.make(|space| region(space, kept)).inspect_err(|_| *kept = Kept::default())
    }
}

/// All of a question and of the node's place in its state that the answer depends on, within one frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    /// Where the settings of the node are; they live as long as the frame does.
    settings: usize,
    path: [Option<Place>; 3],
    kind: u8,
    translation: Option<Translation>,
    conntrack: Option<Conntrack>,
    workloads: Workloads,
    /// Only in eBPF mode, which knows a node's own addresses from those of the others.
    node: Option<String>,
}

/// A node, as far as answers about some of its interfaces depend on it. Means nothing to an engine with other groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeClass {
    settings: usize,
    interfaces: Vec<Place>,
    /// Only in eBPF mode.
    node: Option<String>,
}

/// What an interface is to policy: numbers of endpoints' lists, or of their groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    own: Option<usize>,
    wildcard: Option<usize>,
    workload: bool,
    /// Only in eBPF mode.
    programs: bool,
}

impl Engine {
    /// Compiles a snapshot.
    pub fn new(snapshot: &Snapshot, assumptions: &Assumptions) -> Self {
        let line = Arc::new(Line { memory: Mutex::default(), known: Arc::default(), work: Mutex::default() });
        let parts = Parts::new(snapshot, assumptions, None, &mut lock(&line.memory));
        lock(&line.work).began.0 = lock(&line.memory).len();
        let state = parts.state();
        let selected = Selected::new(&state, None, &line.known);
        Self {
            assumptions: *assumptions,
            snapshot: snapshot.clone(),
            parts: Arc::new(parts),
            alike: Arc::new(alike(snapshot, &state, &selected)),
            state: Arc::new(state),
            selected: Arc::new(selected),
            frame: 0,
            line,
        }
    }

    /// The engine of another snapshot, which should have most objects in common with this one's.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        self.line.tidy();
        let parts = {
            let mut memory = lock(&self.line.memory);
            if !memory.fits(snapshot, &self.assumptions) {
                return Self::new(snapshot, &self.assumptions);
            }
            Parts::new(snapshot, &self.assumptions, Some(&self.parts), &mut memory)
        };
        let state = parts.state();
        let selected = Selected::new(&state, Some((&self.state, &self.selected)), &self.line.known);
        let frame = if parts.has_frame_of(&self.parts) {
            self.frame
        } else {
            let mut work = lock(&self.line.work);
            work.frames += 1;
            work.frames
        };
        let same_nodes = parts.has_nodes_of(&self.parts) && selected.has_groups_of(&self.selected);
        let alike = if same_nodes { Arc::clone(&self.alike) } else { Arc::new(alike(snapshot, &state, &selected)) };
        Self {
            assumptions: self.assumptions,
            snapshot: snapshot.clone(),
            parts: Arc::new(parts),
            alike,
            state: Arc::new(state),
            selected: Arc::new(selected),
            frame,
            line: Arc::clone(&self.line),
        }
    }

    /// What was compiled.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What is common to nodes on which every question about these interfaces has the same answer.
    pub(crate) fn node_class<'i>(&self, node: &str, interfaces: impl Iterator<Item = &'i Interface>) -> NodeClass {
        let settings = self.state.settings(node);
        let group = |endpoint: &HostEndpoint| self.selected.group_of(endpoint);
        let interfaces = interfaces.map(|interface| self.place(settings, node, interface, group)).collect();
        let bpf = settings.dataplane.value == Dataplane::Bpf;
        NodeClass { settings: std::ptr::from_ref(settings).addr(), interfaces, node: bpf.then(|| node.to_owned()) }
    }

    /// Whether groups have the endpoints that they have in another engine, from which this one comes.
    pub(crate) fn has_groups_of(&self, before: &Self) -> bool {
        self.selected.has_groups_of(&before.selected)
    }

    /// Whether nodes, their endpoints and their settings are those of another engine, from which this one comes.
    pub(crate) fn has_nodes_of(&self, before: &Self) -> bool {
        self.parts.has_nodes_of(&before.parts)
    }

    /// The state, for [`trace()`](super::trace::trace).
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The packets that pass, before destination NAT. Nodes of one class are worked out once.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub fn evaluate(&self, question: &Question) -> Result<Held, Exhausted> {
        let asked = (self.frame, self.asked(question));
        let mut work = lock(&self.line.work);
        if let Some(known) = work.answers.get(&asked) {
            return Ok(known.clone());
        }
        let answer = work.make(|space, kept| passing(self.framed(), &self.selected, question, space, kept))?;
        work.answers.insert(asked, answer.clone());
        if work.began.2.is_none() {
            work.began.2 = Some(work.space.size());
        }
        Ok(answer)
    }

    /// What passes where there is no Felix: every packet.
    ///
    /// # Errors
    ///
    /// Like every answer in its space, though it takes no work.
    pub(crate) fn everything(&self) -> Result<Held, Exhausted> {
        lock(&self.line.work).make(|_, _| Space::ALL)
    }

    fn framed(&self) -> (&State, usize) {
        (&self.state, self.frame)
    }

    /// What may be lost on any node when one policy is put in, or taken away where none is given.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub(crate) fn may_lose(&self, key: &Key, policy: Option<&Manifest>) -> Result<Lost, Exhausted> {
        // About what is not understood there is more to say.
        if !self.state.unknown.is_empty() {
            return Ok(Lost::Unknown);
        }
        let swap = self.parts.swap(key, policy, &mut lock(&self.line.memory));
        let Some(steps) = swap.as_ref().and_then(|swap| Steps::of(&self.state, &self.selected, swap)) else {
            return Ok(Lost::Unknown);
        };
        if steps.is_empty() {
            return Ok(Lost::Nothing);
        }
        self.line.tidy();
        let mut work = lock(&self.line.work);
        let held = work.make(|space, kept| lost(self.framed(), &self.selected, &steps, space, kept))?;
        Ok(if held.is_empty() { Lost::Nothing } else { Lost::AtMost(held) })
    }

    /// What policies before connection tracking accept of a question's packets where these begin, and what they drop. `None`
    /// where there are no such policies.
    pub(crate) fn before_tracking(&self, question: &Question) -> Result<Option<[Held; 2]>, Exhausted> {
        let mut work = lock(&self.line.work);
        let mut regions = None;
        let accepted = work.make(|space, kept| {
            regions = before_tracking(self.framed(), &self.selected, question, space, kept);
            regions.map_or(Space::EMPTY, |[accepted, _]| accepted)
        })?;
        let Some([_, dropped]) = regions else { return Ok(None) };
        Ok(Some([accepted, work.make(|_, _| dropped)?]))
    }

    /// Nodes in groups that no question tells apart but by their own addresses: those with the same policies and settings
    /// on the same interfaces. In the order of names.
    pub fn classes(&self) -> Vec<Vec<&str>> {
        let mut classes: HashMap<Likeness<'_>, Vec<&str>> = HashMap::new();
        for Alike { settings, endpoints, nodes } in &*self.alike {
            let lists = |position: &usize| self.selected.of_position(&self.state, *position).id;
            let endpoints = endpoints.iter().map(|(interfaces, position)| (interfaces, lists(position))).collect();
            classes.entry((*settings, endpoints)).or_default().extend(nodes.iter().map(String::as_str));
        }
        let mut classes: Vec<Vec<&str>> = classes.into_values().collect();
        classes.iter_mut().for_each(|nodes| nodes.sort_unstable());
        classes.sort_unstable();
        classes
    }

    fn asked(&self, question: &Question) -> Asked {
        let settings = self.state.settings(&question.node);
        let lists = |endpoint: &HostEndpoint| self.selected.of(&self.state, endpoint).id;
        let place = |interface| Some(self.place(settings, &question.node, interface, lists));
        let (kind, path) = match &question.path {
            Path::Ingress(interface) => (0, [place(interface), None]),
            Path::Egress(interface) => (1, [place(interface), None]),
            Path::Forward { from, to } => (2, [place(from), place(to)]),
            Path::Local(interface) => (3, [place(interface), None]),
        };
        let [first, second] = path;
        let third =
            question.translation.as_ref().and_then(|translation| translation.interface.as_ref()).and_then(place);
        let bpf = settings.dataplane.value == Dataplane::Bpf;
        Asked {
            settings: std::ptr::from_ref(settings).addr(),
            path: [first, second, third],
            kind,
            translation: question.translation.clone(),
            conntrack: question.conntrack,
            workloads: question.workloads,
            node: bpf.then(|| question.node.clone()),
        }
    }

    fn place(
        &self,
        settings: &Settings,
        node: &str,
        interface: &Interface,
        number: impl Fn(&HostEndpoint) -> usize,
    ) -> Place {
        let owners = owners(&self.state, settings, node, interface);
        Place {
            own: owners.own.map(&number),
            wildcard: owners.wildcard.map(&number),
            workload: settings.is_workload(&interface.name),
            programs: settings.dataplane.value == Dataplane::Bpf && settings.has_programs(&interface.name),
        }
    }
}

fn alike(snapshot: &Snapshot, state: &State, selected: &Selected) -> Vec<Alike> {
    let mut nodes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for node in &snapshot.cluster.nodes {
        nodes.entry(&node.name).or_default();
    }
    for (position, endpoint) in state.endpoints.iter().enumerate() {
        nodes.entry(&endpoint.node).or_default().push(position);
    }
    let mut found: HashMap<Likeness<'_>, Alike> = HashMap::new();
    for (node, positions) in nodes {
        let settings = std::ptr::from_ref(state.settings(node)).addr();
        let of = |position: &usize| (&state.endpoints[*position].interfaces, selected.group(*position));
        let alike = found.entry((settings, positions.iter().map(of).collect())).or_insert_with(|| {
            let endpoints = positions.iter().map(|position| (state.endpoints[*position].interfaces.clone(), *position));
            Alike { settings, endpoints: endpoints.collect(), nodes: Vec::new() }
        });
        alike.nodes.push(node.to_owned());
    }
    found.into_values().collect()
}

impl Line {
    /// Forgets what is out of use, where that has become much: the policies of past changes, and the space. Sets that
    /// somebody holds stay in the old one.
    fn tidy(&self) {
        let mut work = lock(&self.work);
        let (mut memory, mut known) = (lock(&self.memory), lock(&self.known));
        let entries = |work: &Work, known: &Known| work.kept.len() + work.answers.len() + known.len();
        let (policies, before, nodes) = work.began;
        if memory.len() <= policies * 2 + SLACK
            && entries(&work, &known) <= before * 2 + SLACK_ENTRIES
            && nodes.is_none_or(|nodes| work.space.size() <= nodes * 2 + SLACK_NODES)
        {
            return;
        }
        memory.forget();
        known.forget();
        *work = Work { frames: work.frames, ..Work::default() };
        work.began = (memory.len(), entries(&work, &known), None);
    }
}

impl Default for Work {
    fn default() -> Self {
        Self {
            space: SharedSpace::new(BUDGET),
            kept: Kept::default(),
            answers: HashMap::new(),
            frames: 0,
            began: (0, 0, None),
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").finish_non_exhaustive()
    }
}
