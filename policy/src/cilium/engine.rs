//! A state that is kept warm.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compile::{Options, State};
use super::evaluate::{BUDGET, evaluate};
use super::question::Question;
use super::version::Version;
use crate::packet::{Exhausted, Held, SharedSpace};
use crate::snapshot::Snapshot;

/// A compiled snapshot that answers many questions, and from which that of a changed snapshot is made at the cost of the
/// change. Cheap to clone; the engines before and after a change share what they have in common.
///
/// Its answers are those of [`State::compile`] and [`evaluate()`].
#[derive(Clone, Debug)]
pub struct Engine {
    snapshot: Snapshot,
    /// The same with the version of each refused object that agents still enforce.
    enforced: Snapshot,
    schema: bool,
    version: Option<Version>,
    stated: Arc<BTreeMap<String, String>>,
    state: Arc<State>,
    space: SharedSpace,
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
        let state = State::compile(snapshot, options);
        Self {
            snapshot: snapshot.clone(),
            enforced: enforced(snapshot, options.previous, &state),
            schema: options.schema,
            version: options.version,
            stated: Arc::new(options.stated.clone()),
            state: Arc::new(state),
            space: SharedSpace::new(BUDGET),
        }
    }

    /// The engine of another snapshot, which should have most objects in common with this one's. Of an object that the
    /// agents refuse they go on with the version that they have.
    #[must_use]
    pub fn with(&self, snapshot: &Snapshot) -> Self {
        let previous = Some(&self.enforced);
        let options = Options { previous, schema: self.schema, version: self.version, stated: &self.stated };
        let state = State::compile(snapshot, options);
        Self {
            snapshot: snapshot.clone(),
            enforced: enforced(snapshot, previous, &state),
            state: Arc::new(state),
            ..self.clone()
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

    /// The packets that pass a node in a direction.
    ///
    /// # Errors
    ///
    /// The policies are too large to judge.
    pub fn evaluate(&self, question: &Question<'_>) -> Result<Passing, Exhausted> {
        let admitted = evaluate(&self.state, question)?;
        Ok(Passing {
            packets: self.space.hold(&admitted.packets)?,
            not_judged: self.space.hold(&admitted.not_judged)?,
            conditional: self.space.hold(&admitted.conditional)?,
        })
    }
}

/// A snapshot with what agents still enforce in the place of what they refuse.
fn enforced(snapshot: &Snapshot, previous: Option<&Snapshot>, state: &State) -> Snapshot {
    let kept = state.refused.iter().filter(|refusal| refusal.keeps_previous);
    let kept = kept.filter_map(|refusal| previous?.objects.get(&refusal.key));
    kept.fold(snapshot.clone(), |snapshot, manifest| snapshot.with(manifest.as_ref().clone()))
}
