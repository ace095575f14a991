//! Many regions into one, so that a change of one of them is cheap.

use std::collections::HashMap;

use super::{Region, Space};

/// Depth at which a tree of regions is halved instead.
const DEEPEST: usize = 64;

/// What came of joining regions of one space before.
#[derive(Default)]
pub(crate) struct Joins(HashMap<(Region, Region), Region>);

impl Joins {
    /// The first of several regions to have a label, as [`Space::first_match`], each with a number by
    /// [`chance`](Self::chance) that stays with it.
    ///
    /// The greatest number is the root of a tree, what stands before and after it the branches: when one region is changed,
    /// put in or taken out, only the roots above it are made anew.
    pub(crate) fn first_match(&mut self, space: &mut Space, regions: &[(u64, Region)]) -> Region {
        self.tree(space, regions, 0)
    }

    /// A number by chance that is always the same for a name (Fowler, Noll and Vo, 1a).
    pub(crate) fn chance(name: &str) -> u64 {
        name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// How many it knows.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn tree(&mut self, space: &mut Space, regions: &[(u64, Region)], depth: usize) -> Region {
        let root = match regions {
            [] => return Space::EMPTY,
            [(_, region)] => return *region,
            // Names that somebody chose could make a list of the tree.
            _ if depth > DEEPEST => regions.len() / 2,
            _ => regions.iter().enumerate().max_by_key(|(_, (number, _))| number).map_or(0, |(index, _)| index),
        };
        let front = self.tree(space, &regions[..root], depth + 1);
        let back = self.tree(space, &regions[root + 1..], depth + 1);
        let front = self.join(space, front, regions[root].1);
        self.join(space, front, back)
    }

    fn join(&mut self, space: &mut Space, first: Region, second: Region) -> Region {
        if first == Space::EMPTY {
            return second;
        }
        *self.0.entry((first, second)).or_insert_with(|| space.or_else(first, second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Cube, protocol};

    #[test]
    fn regions_join_as_the_first_that_matches() {
        let (mut space, mut joins) = (Space::new(), Joins::default());
        let regions: Vec<(u64, Region)> = (0..200_u16)
            .map(|index| {
                let ports = (index * 13 % 150..=index * 13 % 150 + 20).into();
                let cube = Cube { protocols: protocol::TCP.into(), destination_ports: ports, ..Cube::any() };
                (Joins::chance(&index.to_string()), space.cube(&cube, 1 + index % 3))
            })
            .collect();
        let plain: Vec<Region> = regions.iter().map(|(_, region)| *region).collect();
        let expected = space.first_match(&plain);
        assert_eq!(joins.first_match(&mut space, &regions), expected);
        // Numbers in ascending order make the deepest tree there is.
        let ascending: Vec<(u64, Region)> =
            plain.iter().copied().zip(0..).map(|(region, number)| (number, region)).collect();
        assert_eq!(joins.first_match(&mut space, &ascending), expected);
        assert_eq!(joins.first_match(&mut space, &[]), Space::EMPTY);
    }
}
