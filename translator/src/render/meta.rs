//! Names, labels and annotations that every object carries.

use std::collections::BTreeMap;

use policy::object::ObjectMeta;

use crate::matrix::{Expanded, Row};

/// Label that a GlobalNetworkSet is matched by; its value is the set's name.
pub(crate) const SET_LABEL: &str = "lifeline.dev/set";
/// Label of a host endpoint that stands for one interface; its value is the interface's name.
pub(crate) const INTERFACE_LABEL: &str = "lifeline.dev/interface";
/// Annotation: digest of the matrix and the settings.
pub(crate) const DIGEST: &str = "lifeline.dev/source-digest";
/// Annotation of a rule: the row that it says.
pub(crate) const ROW: &str = "lifeline.dev/row";
/// Annotation: the rows that an object stands for.
pub(crate) const ROWS: &str = "lifeline.dev/rows";
/// Annotation: why an object is there.
pub(crate) const REASON: &str = "lifeline.dev/reason";

/// Metadata of an object of ours.
pub(crate) fn metadata(matrix: &Expanded, name: String) -> ObjectMeta {
    ObjectMeta {
        name,
        namespace: None,
        labels: BTreeMap::from([
            ("app.kubernetes.io/component".to_owned(), "host-firewall".to_owned()),
            ("app.kubernetes.io/managed-by".to_owned(), "lifeline".to_owned()),
            ("app.kubernetes.io/part-of".to_owned(), matrix.name.clone()),
        ]),
        annotations: BTreeMap::from([(DIGEST.to_owned(), matrix.digest.clone())]),
    }
}

/// The value of [`ROWS`]: `rows[6] SSH; rows[7] kubelet API`.
pub(crate) fn rows_annotation<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    rows.into_iter()
        .map(
            |row| {
                if row.purpose.is_empty() { row.origin.to_string() } else { format!("{} {}", row.origin, row.purpose) }
            },
        )
        .collect::<Vec<_>>()
        .join("; ")
}

/// `adminCIDRs` as part of an object name: `admin-cidrs`.
pub(crate) fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    let mut previous_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            if previous_lower {
                kebab.push('-');
            }
            previous_lower = false;
        } else {
            previous_lower = character.is_ascii_lowercase() || character.is_ascii_digit();
        }
        kebab.push(if character == '_' { '-' } else { character.to_ascii_lowercase() });
    }
    kebab
}
