//! Rules for exactly what is lost.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::{Base, Found, Step, calico, cilium, manifest};
use crate::lifeline::judge::{Change, ChangeError, Cni, Deciding, Loss, Outcome};
use crate::snapshot::{Key, Manifest};

/// How often rules are added before it is given up: behind one policy there may be another.
const MOST_ROUNDS: usize = 6;

/// What a policy that drops packets needs, for one loss.
pub(super) struct Gap<'g> {
    pub(super) loss: &'g Loss,
    pub(super) deciding: Deciding,
}

/// Where rules go for what an object drops that is not among the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elsewhere {
    /// Into a changed policy.
    Changed,
    /// Into a new one.
    New,
}

pub(super) fn mend(base: &Base<'_, '_>, changes: &[Change], outcome: &Outcome) -> Result<Option<Found>, ChangeError> {
    for elsewhere in [Elsewhere::Changed, Elsewhere::New] {
        if let Some(found) = attempt(base, changes, outcome, elsewhere)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn attempt(
    base: &Base<'_, '_>,
    changes: &[Change],
    first: &Outcome,
    elsewhere: Elsewhere,
) -> Result<Option<Found>, ChangeError> {
    if first.losses.is_empty() || !first.stops.is_empty() {
        return Ok(None);
    }
    let patches = vec![Vec::new(); changes.len()];
    let mut attempt = Attempt { elsewhere, changes: changes.to_vec(), patches, added: 0 };
    let mut next = None;
    for _ in 0..MOST_ROUNDS {
        let outcome = next.as_ref().unwrap_or(first);
        if !attempt.round(outcome) {
            return Ok(None);
        }
        let Some(judged) = base.outcome(&attempt.changes)? else { return Ok(None) };
        if judged.mends(first) {
            return Ok(Some(attempt.found()));
        }
        if judged.losses.is_empty() || !judged.stops.is_empty() {
            return Ok(None);
        }
        next = Some(judged);
    }
    Ok(None)
}

/// Changes with what was added to them so far.
struct Attempt {
    elsewhere: Elsewhere,
    /// New objects, then the changes.
    changes: Vec<Change>,
    /// What was patched of each change that is not new.
    patches: Vec<Vec<PatchOperation>>,
    /// How many are new.
    added: usize,
}

impl Attempt {
    /// Adds what one state lacks; whether anything could be added for each loss.
    fn round(&mut self, outcome: &Outcome) -> bool {
        let gaps: Vec<Gap<'_>> =
            outcome.losses.iter().map(|loss| Gap { loss, deciding: outcome.deciding(loss) }).collect();
        let mut open: Vec<&Gap<'_>> = gaps.iter().collect();
        for index in 0..self.changes.len() {
            let Some(key) = manifest(&self.changes[index]).map(|manifest| manifest.key.clone()) else { continue };
            let (mine, others) = open.into_iter().partition(|gap| gap.deciding.object.as_ref() == Some(&key));
            open = others;
            if !self.patch(index, outcome, &mine) {
                open.extend(mine);
            }
        }
        [Cni::Calico, Cni::Cilium].into_iter().all(|cni| {
            let own: Vec<&Gap<'_>> = open.iter().filter(|gap| gap.deciding.cni == cni).copied().collect();
            own.is_empty()
                || match self.elsewhere {
                    Elsewhere::Changed => self.patch_another(cni, outcome, &own),
                    Elsewhere::New => self.beside(cni, outcome, &own),
                }
        })
    }

    /// Patches the first changed policy of a CNI.
    fn patch_another(&mut self, cni: Cni, outcome: &Outcome, gaps: &[&Gap<'_>]) -> bool {
        let kind = match cni {
            Cni::Calico => "GlobalNetworkPolicy",
            Cni::Cilium => "CiliumClusterwideNetworkPolicy",
        };
        let is_one = |change: &Change| manifest(change).is_some_and(|manifest| manifest.key.kind == kind);
        let policy = self.changes.iter().position(is_one);
        policy.is_some_and(|index| self.patch(index, outcome, gaps))
    }

    /// Patches what a change puts; whether there is a way to.
    fn patch(&mut self, index: usize, outcome: &Outcome, gaps: &[&Gap<'_>]) -> bool {
        let Change::Put(manifest) = &mut self.changes[index] else {
            return gaps.is_empty();
        };
        let operations = match manifest.key.kind.as_str() {
            _ if gaps.is_empty() => return true,
            "GlobalNetworkPolicy" => calico::into_policy(outcome, manifest, gaps),
            "CiliumClusterwideNetworkPolicy" => cilium::into_policy(manifest, gaps),
            _ => Vec::new(),
        };
        let Ok(patch) = serde_json::from_value::<Patch>(Value::Array(operations)) else {
            return false;
        };
        if patch.0.is_empty() || json_patch::patch(&mut manifest.value, &patch).is_err() {
            return false;
        }
        if let Some(own) = index.checked_sub(self.added).and_then(|index| self.patches.get_mut(index)) {
            own.extend(patch.0);
        }
        true
    }

    /// Puts objects beside the changes, in front of them.
    fn beside(&mut self, cni: Cni, outcome: &Outcome, gaps: &[&Gap<'_>]) -> bool {
        let objects = match cni {
            Cni::Calico => calico::beside(outcome, gaps),
            Cni::Cilium => cilium::beside(outcome, gaps),
        };
        // One of a name that is there already would only replace it.
        let known = |key: &Key| {
            self.changes.iter().any(|change| change.key() == key) || outcome.world.snapshot.objects.contains_key(key)
        };
        let Some(objects) = objects.filter(|objects| !objects.iter().any(|object| known(&object.key))) else {
            return false;
        };
        self.added += objects.len();
        self.changes.splice(0..0, objects.into_iter().map(Change::Put));
        true
    }

    fn found(self) -> Found {
        let (new, same) = self.changes.split_at(self.added);
        let new = new.iter().filter_map(manifest);
        let new = new.map(|one| Step::Add { object: one.key.clone(), manifest: one.value.clone() });
        let patched = self.patches.into_iter().zip(same).filter(|(patch, _)| !patch.is_empty());
        let patched = patched.filter_map(|(patch, change)| {
            let Manifest { key, value, .. } = manifest(change)?;
            Some(Step::Patch { object: key.clone(), patch, manifest: value.clone() })
        });
        Found { steps: new.chain(patched).collect(), changes: self.changes.clone() }
    }
}
