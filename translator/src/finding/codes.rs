//! Every code, in one list per part.

mod calico;
mod cilium;
mod matrix;

pub use calico::*;
pub use cilium::*;
pub use matrix::*;

use super::Code;

/// Every code, sorted by id.
pub fn all() -> Vec<&'static Code> {
    let mut codes: Vec<&'static Code> = [matrix::CODES, calico::CODES, cilium::CODES].concat();
    codes.sort_by_key(|code| code.id);
    codes
}

/// The code with this id.
pub fn find(id: &str) -> Option<&'static Code> {
    all().into_iter().find(|code| code.id == id)
}
