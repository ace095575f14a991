//! Ids of the lifelines that a row can carry.

use std::sync::LazyLock;

use policy::lifeline::catalogue;

static FLOWS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut ids: Vec<&str> = catalogue::all().map(|entry| entry.id).collect();
    ids.sort_unstable();
    ids
});

/// Every id that `flow` may have, sorted: those of the catalogue.
pub fn flows() -> &'static [&'static str] {
    &FLOWS
}
