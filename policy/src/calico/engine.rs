//! A state that is kept warm.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::compile::{Assumptions, Memory, Parts};
use super::endpoint::{Interface, owners};
use super::evaluate::{BUDGET, Kept, Known, Selected, lock, passing};
use super::question::{Conntrack, Path, Question, Translation, Workloads};
use super::settings::{Dataplane, Settings};
use super::state::{HostEndpoint, Interfaces, State};
use crate::packet::{Exhausted, Held, SharedSpace};
use crate::snapshot::Snapshot;

/// Entries that a line of engines may gather beyond twice what it began with, before a new line begins.
const SLACK: usize = 100_000;
/// Nodes of diagrams, likewise. A node takes some 60 bytes.
const SLACK_NODES: usize = 2_000_000;

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
    /// States with the same frame differ in nothing but policies.
    frame: usize,
    line: Arc<Line>,
}

/// What engines that come from one another share. Everything in it is known by what it was made of.
struct Line {
    space: SharedSpace,
    memory: Mutex<Memory>,
    known: Arc<Mutex<Known>>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    kept: Kept,
    answers: HashMap<(usize, Asked), Held>,
    frames: usize,
    /// Sizes after the first answer: entries and nodes.
    first: Option<(usize, usize)>,
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

/// What an interface is to policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    own: Option<usize>,
    wildcard: Option<usize>,
    workload: bool,
    programs: bool,
}

impl Engine {
    /// Compiles a snapshot.
    pub fn new(snapshot: &Snapshot, assumptions: &Assumptions) -> Self {
        let line = Arc::new(Line {
            space: SharedSpace::new(BUDGET),
            memory: Mutex::default(),
            known: Arc::default(),
            work: Mutex::default(),
        });
        let parts = Parts::new(snapshot, assumptions, None, &mut lock(&line.memory));
        let state = parts.state();
        let selected = Selected::new(&state, None, &line.known);
        Self {
            assumptions: *assumptions,
            snapshot: snapshot.clone(),
            parts: Arc::new(parts),
            state: Arc::new(state),
            selected: Arc::new(selected),
            frame: 0,
            line,
        }
    }

    /// The engine of another snapshot, which should have most objects in common with this one's.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        if self.line.is_full() {
            return Self::new(snapshot, &self.assumptions);
        }
        let parts = {
            let mut memory = lock(&self.line.memory);
            if !memory.fits(snapshot, &self.assumptions) {
                return Self::new(snapshot, &self.assumptions);
            }
            Parts::new(snapshot, &self.assumptions, Some(&self.parts), &mut memory)
        };
        let state = parts.state();
        let selected = Selected::new(&state, Some(&self.selected), &self.line.known);
        let frame = if parts.has_frame_of(&self.parts) {
            self.frame
        } else {
            let mut work = lock(&self.line.work);
            work.frames += 1;
            work.frames
        };
        Self {
            assumptions: self.assumptions,
            snapshot: snapshot.clone(),
            parts: Arc::new(parts),
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
        let kept = &mut work.kept;
        let answer = self.line.space.make(|space| passing(&self.state, &self.selected, question, space, kept));
        if answer.is_err() {
            // What was kept while the steps ran out is wrong.
            work.kept = Kept::default();
        }
        let answer = answer?;
        work.answers.insert(asked, answer.clone());
        if work.first.is_none() {
            work.first = Some((self.line.entries(&work), self.line.space.size()));
        }
        Ok(answer)
    }

    /// Nodes in groups that no question tells apart but by their own addresses: those with the same policies and settings
    /// on the same interfaces. In the order of names.
    pub fn classes(&self) -> Vec<Vec<&str>> {
        let mut nodes: BTreeMap<&str, Vec<(&Interfaces, usize)>> = BTreeMap::new();
        for node in &self.snapshot.cluster.nodes {
            nodes.entry(&node.name).or_default();
        }
        for (position, endpoint) in self.state.endpoints.iter().enumerate() {
            let lists = self.selected.of_position(&self.state, position);
            nodes.entry(&endpoint.node).or_default().push((&endpoint.interfaces, lists.id));
        }
        let mut classes: HashMap<(usize, Vec<(&Interfaces, usize)>), Vec<&str>> = HashMap::new();
        for (node, endpoints) in nodes {
            let settings = std::ptr::from_ref(self.state.settings(node)).addr();
            classes.entry((settings, endpoints)).or_default().push(node);
        }
        let mut classes: Vec<Vec<&str>> = classes.into_values().collect();
        classes.sort_unstable();
        classes
    }

    fn asked(&self, question: &Question) -> Asked {
        let settings = self.state.settings(&question.node);
        let place = |interface| Some(self.place(settings, &question.node, interface));
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

    fn place(&self, settings: &Settings, node: &str, interface: &Interface) -> Place {
        let owners = owners(&self.state, settings, node, interface);
        let lists = |endpoint: &HostEndpoint| self.selected.of(&self.state, endpoint).id;
        Place {
            own: owners.own.map(lists),
            wildcard: owners.wildcard.map(lists),
            workload: settings.is_workload(&interface.name),
            programs: settings.has_programs(&interface.name),
        }
    }
}

impl Line {
    /// Whether so much is out of use that a new line is better.
    fn is_full(&self) -> bool {
        let work = lock(&self.work);
        let (entries, nodes) = work.first.unwrap_or_default();
        self.entries(&work) > entries * 2 + SLACK || self.space.size() > nodes * 2 + SLACK_NODES
    }

    fn entries(&self, work: &Work) -> usize {
        work.kept.len() + work.answers.len() + lock(&self.known).len() + lock(&self.memory).len()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").field("space", &self.space).finish_non_exhaustive()
    }
}
