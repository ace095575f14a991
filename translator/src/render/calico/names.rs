//! Object names: valid, unique, and the same in every run.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// `wanted` in at most `most` characters, made unique. `origin` tells apart what would be called the same.
    pub(super) fn take(&mut self, wanted: &str, origin: &str, most: usize) -> String {
        let wanted = tidy(wanted);
        if wanted.len() <= most && self.0.insert(wanted.clone()) {
            return wanted;
        }
        for salt in 0_u32.. {
            let tail = digest(&format!("{salt} {wanted} {origin}"));
            let head = &wanted[..wanted.len().min(most - tail.len() - 1)];
            let name = format!("{}-{tail}", head.trim_end_matches(['-', '.']));
            if self.0.insert(name.clone()) {
                return name;
            }
        }
        unreachable!("a salt among four billion leads to a free name")
    }
}

/// Only what a DNS subdomain may have; anything else becomes a dash. Dots stay where they part two labels.
fn tidy(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            character @ ('a'..='z' | '0'..='9' | '-' | '.') => character,
            _ => '-',
        })
        .collect();
    plain
        .split('.')
        .map(|label| label.trim_matches('-'))
        .filter(|label| !label.is_empty())
        .collect::<Vec<_>>()
        .join(".")
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(4).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_stays_as_it_is() {
        assert_eq!(Names::default().take("harvester-admin-cidrs", "", 63), "harvester-admin-cidrs");
    }

    #[test]
    fn equal_and_long_names_get_a_digest() {
        let mut names = Names::default();
        let first = names.take("a-b", "x", 63);
        let second = names.take("a-b", "y", 63);
        assert_eq!(first, "a-b");
        assert!(second.starts_with("a-b-") && second != first, "{second}");
        let long = names.take(&"n".repeat(300), "", 253);
        assert_eq!(long.len(), 253);
    }

    #[test]
    fn what_a_name_cannot_hold_becomes_a_dash() {
        assert_eq!(Names::default().take("node-ETH0_1.7", "", 63), "node-eth0-1.7");
        assert_eq!(Names::default().take("tier.-a-", "", 63), "tier.a");
    }
}
