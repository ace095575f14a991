//! A state that is kept warm.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

use super::compile::{Memory, Open, Options, Parts, Rule, State};
use super::evaluate::{BUDGET, Kept, Universe, lost, regions, with_others};
use super::question::{Layer, Path, Question};
use super::settings::Enforcement;
use super::version::Version;
use crate::packet::{Direction, Exhausted, Held, Region, SharedSpace, Space};
use crate::snapshot::{Key, Manifest, Snapshot};
use crate::warm::{Lost, SLACK, SLACK_ENTRIES, SLACK_NODES, lock};

/// A compiled snapshot that answers many questions, and from which that of a changed snapshot is made at the cost of the
/// change. Cheap to clone; the engines before and after a change share what they have in common.
///
/// Its answers are those of [`State::compile`] and [`evaluate()`](super::evaluate::evaluate).
#[derive(Clone, Debug)]
pub struct Engine {
    snapshot: Snapshot,
    /// The same with the version of each refused object that agents still enforce.
    enforced: Snapshot,
    schema: bool,
    version: Option<Version>,
    stated: Arc<BTreeMap<String, String>>,
    parts: Arc<Parts>,
    state: Arc<State>,
    /// Peers, as all states with this frame have them.
    frame: Arc<Frame>,
    line: Arc<Line>,
}

/// All of a node, its addresses left out, that what passes it can depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeClass {
    group: Option<usize>,
    /// Node ports that it is behind, by their places.
    backs: Vec<usize>,
}

/// What states have in common that differ in nothing but rules.
#[derive(Default)]
struct Frame {
    peers: OnceLock<Universe>,
}

/// What engines that come from one another share. Everything in it is known by what it was made of.
#[derive(Default)]
struct Line {
    memory: Mutex<Memory>,
    work: Mutex<Work>,
}

/// A space, and what was worked out in it.
struct Work {
    space: SharedSpace,
    kept: Kept,
    /// Each with the rules that it is known by, so that their places stand for nothing else.
    answers: HashMap<Asked, (Vec<Arc<Rule>>, Passing)>,
    /// Sizes when work began: policies, and after the first answer nodes.
    began: (usize, Option<usize>),
}

/// All of a question and its state that an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    /// The universe of peers, which stands for the frame.
    peers: u64,
    node: String,
    /// Places of the rules.
    rules: Vec<usize>,
    direction: Direction,
    host: bool,
    path: Option<Option<String>>,
}

/// The packets that pass; see [`Admitted`](super::evaluate::Admitted).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// Everything that passes, judged or not.
    pub packets: Held,
    /// The part that passes without policy having been asked.
    pub not_judged: Held,
    /// The part that an allow lets by on a condition: mutual authentication, or the agent's proxy.
    pub conditional: Held,
}

impl Engine {
    /// Compiles a snapshot.
    pub fn new(snapshot: &Snapshot, options: Options<'_>) -> Self {
        let line = Line::default();
        let (parts, state) = Parts::new(snapshot, options, None, &mut lock(&line.memory));
        lock(&line.work).began.0 = lock(&line.memory).len();
        Self {
            snapshot: snapshot.clone(),
            enforced: enforced(snapshot, options.previous, &state),
            schema: options.schema,
            version: options.version,
            stated: Arc::new(options.stated.clone()),
            parts: Arc::new(parts),
            state: Arc::new(state),
            frame: Arc::default(),
            line: Arc::new(line),
        }
    }

    /// The engine of another snapshot, which should have most objects in common with this one's. Of an object that the
    /// agents refuse they go on with the version that they have.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        let previous = Some(&self.enforced);
        let options = Options { previous, schema: self.schema, version: self.version, stated: &self.stated };
        if !self.parts.fits(snapshot) {
            return Self::new(snapshot, options);
        }
        self.line.tidy();
        let (parts, state) = Parts::new(snapshot, options, Some(&self.parts), &mut lock(&self.line.memory));
        let frame = if parts.has_frame_of(&self.parts) { Arc::clone(&self.frame) } else { Arc::default() };
        Self {
            snapshot: snapshot.clone(),
            enforced: enforced(snapshot, previous, &state),
            schema: self.schema,
            version: self.version,
            stated: Arc::clone(&self.stated),
            parts: Arc::new(parts),
            state: Arc::new(state),
            frame,
            line: Arc::clone(&self.line),
        }
    }

    /// The engine of a state that differs in nothing but that its agents enforce nothing on hosts.
    #[must_use]
    pub(crate) fn without_host_firewall(&self) -> Self {
        let (parts, state) = self.parts.without_host_firewall(&self.state);
        // Answers of the other are wrong here.
        Self { parts: Arc::new(parts), state: Arc::new(state), line: Arc::default(), ..self.clone() }
    }

    /// What rules leave open.
    pub(crate) fn open(&self) -> BTreeSet<Open> {
        self.state.open()
    }

    /// Whether what rules leave open is the same as in another engine, from which this one comes, where they leave the same
    /// open.
    pub(crate) fn has_open_of(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.snapshot.cluster, &before.snapshot.cluster) && self.has_datapath_of(before)
    }

    /// The engine of a state with what is open read as everyone, or as nobody. `None` where that makes no difference.
    pub(crate) fn read(&self, is_everyone: &dyn Fn(&Open) -> bool) -> Option<Self> {
        let (parts, state) = self.parts.read(&self.state, is_everyone, &mut lock(&self.line.memory))?;
        Some(Self { parts: Arc::new(parts), state: Arc::new(state), ..self.clone() })
    }

    /// What was compiled.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The same, with the version that agents still enforce of each object that they refuse: what goes before a change.
    pub fn enforced(&self) -> &Snapshot {
        &self.enforced
    }

    /// The state, for [`trace()`](super::trace::trace).
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The packets that pass a node in a direction.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub fn evaluate(&self, question: &Question<'_>) -> Result<Passing, Exhausted> {
        let peers = self.frame.peers.get_or_init(|| Universe::of_peers(&self.state));
        let asked = self.asked(question, peers.id());
        let mut work = lock(&self.line.work);
        if let Some((_, known)) = work.answers.get(&asked) {
            return Ok(known.clone());
        }
        let Work { space, kept, .. } = &mut *work;
        let regions = space.attempt(|space| regions(&self.state, peers, question, space, kept)).inspect_err(|_| {
            // What was kept while the steps ran out is wrong.
            *kept = Kept::default();
        })?;
        let passing = Passing {
            packets: space.make(|_| regions.packets)?,
            not_judged: space.make(|_| regions.not_judged)?,
            conditional: space.make(|_| regions.conditional)?,
        };
        let rules = self.state.rules_of(question.node, question.direction).to_vec();
        work.answers.insert(asked, (rules, passing.clone()));
        if work.began.1.is_none() {
            work.began.1 = Some(work.space.size());
        }
        Ok(passing)
    }

    /// What may be lost on any node when one policy is put in, or taken away where none is given.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub(crate) fn may_lose(&self, key: &Key, policy: Option<&Manifest>) -> Result<Lost, Exhausted> {
        let swap = self.parts.swap(&self.state, key, policy, self.schema, &mut lock(&self.line.memory));
        let Some(swap) = swap else { return Ok(Lost::Unknown) };
        let settings = &self.state.settings;
        if !settings.host_firewall.value || settings.audit.value || settings.enforcement.value == Enforcement::Never {
            return Ok(Lost::Nothing);
        }
        if [Direction::Ingress, Direction::Egress].iter().any(|direction| swap.closes(&self.state, *direction)) {
            return Ok(Lost::Unknown);
        }
        self.line.tidy();
        let peers = self.frame.peers.get_or_init(|| Universe::of_peers(&self.state));
        let held = self.line.make(|space, kept| lost(&self.state, peers, &swap, space, kept))?;
        Ok(if held.is_empty() { Lost::Nothing } else { Lost::AtMost(held) })
    }

    /// The packets that pass the host layer between the addresses of a node, whichever these are, and those of others: the
    /// same for nodes of a [class](Self::class). Everything else passes, as policy is not asked about it.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub(crate) fn with_others(&self, question: &Question<'_>) -> Result<Held, Exhausted> {
        if !self.state.settings.host_firewall.value {
            return lock(&self.line.work).space.make(|_| Space::ALL);
        }
        let peers = self.frame.peers.get_or_init(|| Universe::of_peers(&self.state));
        self.line.make(|space, kept| with_others(&self.state, peers, question, space, kept))
    }

    /// The class of a node: see [`with_others`](Self::with_others). It means the same in engines that come from one another.
    pub(crate) fn class(&self, node: &str) -> NodeClass {
        let state = &self.state;
        let translates = state.settings.host_firewall.value && state.settings.kube_proxy_replacement.value;
        let backs = if translates && !state.node_ports().is_empty() {
            let view = state.view(node);
            (0..).zip(state.node_ports()).filter(|(_, port)| port.is_behind(&view)).map(|(at, _)| at).collect()
        } else {
            Vec::new()
        };
        NodeClass { group: self.parts.group(node), backs }
    }

    /// The addresses of a node that are the host to itself.
    pub(crate) fn own(&self, node: &str) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.state.ipcache().own(node)
    }

    /// Whether groups have the nodes that they have in another engine, from which this one comes.
    pub(crate) fn has_groups_of(&self, before: &Self) -> bool {
        self.parts.has_groups_of(&before.parts)
    }

    /// Whether nodes, and what never reaches policy on each, are those of another engine, from which this one comes.
    pub(crate) fn has_datapath_of(&self, before: &Self) -> bool {
        self.parts.has_datapath_of(&before.parts)
    }

    fn asked(&self, question: &Question<'_>, peers: u64) -> Asked {
        let rules = self.state.rules_of(question.node, question.direction);
        Asked {
            peers,
            node: question.node.to_owned(),
            rules: rules.iter().map(|rule| Arc::as_ptr(rule).addr()).collect(),
            direction: question.direction,
            host: question.layer == Layer::Host,
            path: match question.path {
                Path::Device(name) => Some(name.map(str::to_owned)),
                Path::Cilium => None,
            },
        }
    }

    /// Nodes in groups that the same rules select: see [`State::classes`].
    pub fn classes(&self) -> Vec<Vec<&str>> {
        self.state.classes()
    }
}

impl Line {
    /// The packets of a region that is made with what is kept.
    fn make(&self, region: impl FnOnce(&mut Space, &mut Kept) -> Region) -> Result<Held, Exhausted> {
        let mut work = lock(&self.work);
        let Work { space, kept, .. } = &mut *work;
        // What was kept while the steps ran out is wrong.
        space.make(|space| region(space, kept)).inspect_err(|_| *kept = Kept::default())
    }

    /// Forgets what is out of use, where that has become much: the policies of past changes, and the space. Sets that
    /// somebody holds stay in the old one.
    fn tidy(&self) {
        let (mut work, mut memory) = (lock(&self.work), lock(&self.memory));
        let (policies, nodes) = work.began;
        if memory.len() <= policies * 2 + SLACK
            && work.kept.len() + work.answers.len() <= SLACK_ENTRIES
            && nodes.is_none_or(|nodes| work.space.size() <= nodes * 2 + SLACK_NODES)
        {
            return;
        }
        memory.forget();
        *work = Work { began: (memory.len(), None), ..Work::default() };
    }
}

impl Default for Work {
    fn default() -> Self {
        let space = SharedSpace::new(BUDGET);
        Self { space, kept: Kept::default(), answers: HashMap::new(), began: (0, None) }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Frame").finish_non_exhaustive()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").finish_non_exhaustive()
    }
}

/// A snapshot with what agents still enforce in the place of what they refuse.
fn enforced(snapshot: &Snapshot, previous: Option<&Snapshot>, state: &State) -> Snapshot {
    let kept = state.refused.iter().filter(|refusal| refusal.keeps_previous);
    let kept = kept.filter_map(|refusal| previous?.objects.get(&refusal.key));
    kept.fold(snapshot.clone(), |snapshot, manifest| snapshot.with(manifest.as_ref().clone()))
}
