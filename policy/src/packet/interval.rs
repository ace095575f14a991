//! Sets of integers as sorted ranges.

use std::fmt;
use std::ops::{BitOr, Shl, Shr};
use std::sync::Arc;

/// An unsigned integer that ranges are made of.
pub(super) trait Bound:
    Copy + Ord + fmt::Debug + From<u8> + BitOr<Output = Self> + Shl<u32, Output = Self> + Shr<u32, Output = Self>
{
    const MIN: Self;
    const MAX: Self;
    /// The number after this one; `None` after the greatest.
    fn next(self) -> Option<Self>;
    /// The number before this one; `None` before the least.
    fn previous(self) -> Option<Self>;
    /// The greatest number of so many bits.
    fn ones(bits: u32) -> Self;
    /// The last eight bits.
    fn low(self) -> u8;
    fn wide(self) -> u128;
    /// Back from [`wide`](Self::wide); what does not fit is cut off.
    fn narrow(wide: u128) -> Self;
}

macro_rules! bound {
    ($($type:ty),*) => {$(
        impl Bound for $type {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn ones(bits: u32) -> Self {
                Self::MAX.checked_shr(Self::BITS - bits).unwrap_or(0)
            }

            fn low(self) -> u8 {
                self as u8
            }

            fn wide(self) -> u128 {
                self as u128
            }

            fn narrow(wide: u128) -> Self {
                wide as Self
            }
        }
    )*};
}
bound!(u16, u32, u128);

/// A set of integers: ranges with both ends in them, ascending, with a gap between any two. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Intervals<T> {
    ranges: Arc<[(T, T)]>,
}

impl<T: Bound> Intervals<T> {
    pub(super) fn empty() -> Self {
        Self { ranges: Arc::default() }
    }

    pub(super) fn full() -> Self {
        Self { ranges: Arc::new([(T::MIN, T::MAX)]) }
    }

    /// The union of ranges in any order. A range whose end is before its start is empty.
    pub(super) fn of(ranges: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut ranges: Vec<(T, T)> = ranges.into_iter().filter(|(first, last)| first <= last).collect();
        if !ranges.is_sorted() {
            ranges.sort_unstable();
        }
        let mut joined = Joined::with_capacity(ranges.len());
        for range in ranges {
            joined.push(range);
        }
        joined.finish()
    }

    pub(super) fn ranges(&self) -> &[(T, T)] {
        &self.ranges
    }

    pub(super) fn shared(&self) -> &Arc<[(T, T)]> {
        &self.ranges
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(*self.ranges, [(first, last)] if first == T::MIN && last == T::MAX)
    }

    pub(super) fn contains(&self, value: T) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= value);
        after > 0 && value <= self.ranges[after - 1].1
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_full() || Arc::ptr_eq(&self.ranges, &other.ranges) {
            return other.clone();
        }
        if other.is_empty() || self.is_full() {
            return self.clone();
        }
        let (mut left, mut right) = (&*self.ranges, &*other.ranges);
        let mut joined = Joined::with_capacity(left.len() + right.len());
        loop {
            match (left, right) {
                ([a, rest @ ..], [b, ..]) if a.0 <= b.0 => {
                    joined.push(*a);
                    left = rest;
                }
                (_, [b, rest @ ..]) => {
                    joined.push(*b);
                    right = rest;
                }
                ([a, rest @ ..], []) => {
                    joined.push(*a);
                    left = rest;
                }
                ([], []) => return joined.finish(),
            }
        }
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        if self.is_full() || Arc::ptr_eq(&self.ranges, &other.ranges) {
            return other.clone();
        }
        if other.is_full() {
            return self.clone();
        }
        let (mut left, mut right) = (&*self.ranges, &*other.ranges);
        let mut common = Vec::new();
        while let ([a, after_a @ ..], [b, after_b @ ..]) = (left, right) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common.push((first, last));
            }
            if a.1 <= b.1 {
                left = after_a;
            } else {
                right = after_b;
            }
        }
        Self { ranges: common.into() }
    }

    pub(super) fn complement(&self) -> Self {
        let mut gaps = Vec::with_capacity(self.ranges.len() + 1);
        let mut from = Some(T::MIN);
        for (first, last) in &*self.ranges {
            if let (Some(from), Some(to)) = (from, first.previous())
                && from <= to
            {
                gaps.push((from, to));
            }
            from = last.next();
        }
        if let Some(from) = from {
            gaps.push((from, T::MAX));
        }
        Self { ranges: gaps.into() }
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() { self.clone() } else { self.intersection(&other.complement()) }
    }

    pub(super) fn size(&self) -> u128 {
        let sizes = self.ranges.iter().map(|(first, last)| (last.wide() - first.wide()).saturating_add(1));
        sizes.fold(0, u128::saturating_add)
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.ranges.len() <= other.ranges.len() {
            (&self.ranges, &other.ranges)
        } else {
            (&other.ranges, &self.ranges)
        };
        few.iter().any(|(first, last)| {
            let after = many.partition_point(|(start, _)| start <= last);
            after > 0 && *first <= many[after - 1].1
        })
    }

    pub(super) fn is_subset(&self, other: &Self) -> bool {
        // Ranges have gaps between them, so one range lies in the set only if it lies in one range of the set.
        self.ranges.iter().all(|(first, last)| {
            let after = other.ranges.partition_point(|(start, _)| start <= first);
            after > 0 && *last <= other.ranges[after - 1].1
        })
    }
}

/// Ranges that come by ascending start, joined where they touch or overlap.
struct Joined<T> {
    ranges: Vec<(T, T)>,
}

impl<T: Bound> Joined<T> {
    fn with_capacity(capacity: usize) -> Self {
        Self { ranges: Vec::with_capacity(capacity) }
    }

    fn push(&mut self, (first, last): (T, T)) {
        match self.ranges.last_mut() {
            Some(open) if open.1.next().is_none_or(|next| first <= next) => open.1 = open.1.max(last),
            _ => self.ranges.push((first, last)),
        }
    }

    fn finish(self) -> Intervals<T> {
        Intervals { ranges: self.ranges.into() }
    }
}
