//! The JSON Schema of a matrix, for editors and for whoever writes one.

/// The JSON Schema (2020-12) of a matrix.
///
/// It refuses what can be seen without knowing the names and values that a matrix defines; the reader refuses more. What
/// the reader takes, the schema takes.
pub const SCHEMA: &str = include_str!("../../schema/portmatrix.v1alpha1.json");
