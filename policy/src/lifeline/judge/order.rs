//! An order of changes in which no step cuts what the whole does not.

use std::collections::HashSet;

use super::{Change, ChangeError, Judge};

/// States that a search may judge at the least, and at the most.
const STATES: (usize, usize) = (16, 200);

/// Searches for one, trying first what commonly goes first: what others refer to, then allows, then what closes; and
/// deletions last.
pub(super) fn find(base: &Judge<'_>, changes: &[Change]) -> Result<Option<Vec<usize>>, ChangeError> {
    let mut common: Vec<usize> = (0..changes.len()).collect();
    common.sort_by_key(|index| rank(&changes[*index]));
    let mut search = Search { base, changes, common, left: base.tries(STATES), bad: HashSet::new() };
    let mut taken = Vec::new();
    Ok(search.extend(&mut taken)?.then_some(taken))
}

struct Search<'s, 'b> {
    base: &'s Judge<'b>,
    changes: &'s [Change],
    common: Vec<usize>,
    /// States that it may still judge.
    left: usize,
    /// Sets of changes, sorted, after which something is cut or no way leads on.
    bad: HashSet<Vec<usize>>,
}

impl Search<'_, '_> {
    /// Extends a safe beginning to all changes. As deep as there are changes.
    fn extend(&mut self, taken: &mut Vec<usize>) -> Result<bool, ChangeError> {
        // The whole is known to be safe.
        if taken.len() + 1 >= self.changes.len() {
            taken.extend(self.common.iter().filter(|index| !taken.contains(index)).copied().collect::<Vec<_>>());
            return Ok(true);
        }
        for next in self.common.clone() {
            if taken.contains(&next) {
                continue;
            }
            taken.push(next);
            let mut set = taken.clone();
            set.sort_unstable();
            if !self.bad.contains(&set) {
                let Some(left) = self.left.checked_sub(1) else { return Ok(false) };
                self.left = left;
                let some: Vec<Change> = taken.iter().map(|index| self.changes[*index].clone()).collect();
                // A deletion of what a later change brings about is no step at all.
                let safe = self.base.outcome(&some).is_ok_and(|outcome| !outcome.is_bad() && outcome.open.is_empty());
                if safe && self.extend(taken)? {
                    return Ok(true);
                }
                self.bad.insert(set);
            }
            taken.pop();
        }
        Ok(false)
    }
}

fn rank(change: &Change) -> u8 {
    let place = match change.key().kind.as_str() {
        "GlobalNetworkSet" | "CiliumCIDRGroup" => 0,
        "Tier" => 1,
        "GlobalNetworkPolicy" | "CiliumClusterwideNetworkPolicy" => 2,
        "FelixConfiguration" => 3,
        "HostEndpoint" | "KubeControllersConfiguration" => 4,
        _ => 5,
    };
    match change {
        Change::Put(_) => place,
        Change::Delete(_) => 20 - place,
    }
}
