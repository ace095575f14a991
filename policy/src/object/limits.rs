//! How much of one object is read.

/// Most rules of one list that are read. An object of the API server's greatest size, 3 MiB, has room for more only if they
/// say next to nothing.
pub const MAX_RULES: usize = 10_000;
/// Most entries of a list in a rule or a set, likewise.
pub const MAX_ENTRIES: usize = 100_000;

/// Why a list is not read, unless it is short enough.
pub(crate) fn excess(length: usize, most: usize) -> Option<String> {
    (length > most).then(|| format!("{length} entries, and this engine reads no more than {most}"))
}
