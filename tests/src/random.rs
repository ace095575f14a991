//! Random cases for the upstream engines: equal seeds give equal cases, on every machine.

pub mod calico;
pub mod cilium;

use std::ops::RangeBounds;

/// A source of random choices.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The choices of one case of a run. Neighbouring cases have nothing in common.
    #[must_use]
    pub fn new(seed: u64, case: u64) -> Self {
        let mut mixed = fastrand::Rng::with_seed(seed);
        let run = mixed.u64(..);
        Self(fastrand::Rng::with_seed(fastrand::Rng::with_seed(run ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..)))
    }

    /// Whether something happens that does so in so many of 100 cases.
    pub fn chance(&mut self, percent: u8) -> bool {
        self.0.u8(..100) < percent
    }

    /// A number in a range.
    pub fn number(&mut self, range: impl RangeBounds<usize>) -> usize {
        self.0.usize(range)
    }

    /// One of several things.
    ///
    /// # Panics
    ///
    /// There are none.
    pub fn pick<T: Clone>(&mut self, things: &[T]) -> T {
        things[self.0.usize(..things.len())].clone()
    }

    /// One of several things, each as often as its weight says.
    ///
    /// # Panics
    ///
    /// There are none.
    pub fn weighted<T: Copy>(&mut self, things: &[(u32, T)]) -> T {
        let sum: u32 = things.iter().map(|(weight, _)| *weight).sum();
        let mut left = self.0.u32(..sum);
        for (weight, thing) in things {
            if left < *weight {
                return *thing;
            }
            left -= weight;
        }
        unreachable!("the number is below the sum of the weights")
    }

    /// So many of several things, each at most once, in any order.
    pub fn several<T: Clone>(&mut self, things: &[T], count: impl RangeBounds<usize>) -> Vec<T> {
        let count = self.0.usize(count).min(things.len());
        self.0.choose_multiple(things, count).into_iter().cloned().collect()
    }

    /// So many things, made one by one.
    pub fn list<T>(&mut self, count: impl RangeBounds<usize>, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.0.usize(count)).map(|_| make(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_choices_and_others_do_not() {
        let choices = |seed, case| Dice::new(seed, case).list(20..=20, |dice| dice.number(..1_000));
        assert_eq!(choices(1, 2), choices(1, 2));
        assert_ne!(choices(1, 2), choices(1, 3));
        assert_ne!(choices(1, 2), choices(2, 2));
    }

    #[test]
    fn weights_and_chances_hold() {
        let mut dice = Dice::new(1, 1);
        assert!(!dice.chance(0) && dice.chance(100));
        let picked = dice.list(1_000..=1_000, |dice| dice.weighted(&[(0, 'a'), (9, 'b'), (1, 'c')]));
        let count = |one| picked.iter().filter(|picked| **picked == one).count();
        assert_eq!(count('a'), 0);
        assert!(count('b') > 5 * count('c') && count('c') > 0, "{picked:?}");
        assert_eq!(dice.several(&[1, 2, 3], 5..=5).len(), 3);
    }
}
