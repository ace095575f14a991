//! Codes of the cilium part.

use crate::finding::Code;

/// The codes of this part.
pub const CODES: &[&Code] = &[];
