//! Every code, in one list per part.

pub mod calico;
pub mod cilium;
pub mod command;
pub mod judging;
pub mod lifelines;
pub mod matrix;
pub mod proof;
pub mod shared;

use super::Code;

/// Every code, sorted by id.
pub fn all() -> Vec<&'static Code> {
    let mut codes: Vec<&'static Code> = [
        command::CODES,
        judging::codes(),
        lifelines::CODES,
        matrix::CODES,
        proof::CODES,
        shared::CODES,
        calico::CODES,
        cilium::CODES,
    ]
    .concat();
    codes.sort_by_key(|code| code.id);
    codes
}

/// The code with this id.
pub fn find(id: &str) -> Option<&'static Code> {
    all().into_iter().find(|code| code.id == id)
}
