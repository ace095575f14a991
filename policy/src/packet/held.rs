//! Sets of packets that stay in the space they were made in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Exhausted, Packet, PacketSet, Preference, Region, Space};

/// A [`Space`] that lasts, and whose sets several owners hold. What was worked out once in it is known from then on.
#[derive(Clone)]
pub struct SharedSpace {
    space: Arc<Mutex<Space>>,
    steps: u64,
}

/// A set of packets in a [`SharedSpace`].
///
/// Made, copied and compared without a look at its packets, where a [`PacketSet`] has to be written out. What two sets of
/// one space have in common is never gone through, so the difference of a state before and after a small change is cheap.
#[derive(Clone)]
pub struct Held {
    space: SharedSpace,
    region: Region,
}

/// Where a set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place(usize, Region);

/// Sets of shared spaces, taken into one space of one's own: what several have in common is taken in once.
#[derive(Default)]
pub(crate) struct Loaded(HashMap<usize, (SharedSpace, Vec<u32>)>);

impl Loaded {
    /// Takes a set in, with label 1. The space must always be the same one.
    pub(crate) fn load(&mut self, space: &mut Space, held: &Held) -> Region {
        let place = Arc::as_ptr(&held.space.space).addr();
        // The space is kept, so that its place stands for nothing else.
        let (from, copies) = self.0.entry(place).or_insert_with(|| (held.space.clone(), Vec::new()));
        space.copy(&from.lock(), held.region, copies)
    }
}

impl SharedSpace {
    /// A space in which one operation may take so many steps; see [`Space::with_budget`].
    pub fn new(steps: u64) -> Self {
        Self { space: Arc::new(Mutex::new(Space::with_budget(steps))), steps }
    }

    /// Takes a set in.
    ///
    /// # Errors
    ///
    /// It is too large for the steps of one operation.
    pub fn hold(&self, set: &PacketSet) -> Result<Held, Exhausted> {
        self.make(|space| space.load(set))
    }

    /// The set that an operation makes: the packets to which its region gives a label.
    pub(crate) fn make(&self, operation: impl FnOnce(&mut Space) -> Region) -> Result<Held, Exhausted> {
        let region = self.attempt(|space| {
            let region = operation(space);
            space.relabel(region, 1)
        })?;
        Ok(Held { space: self.clone(), region })
    }

    /// Runs an operation that may take all steps. Regions made before stay right when it fails.
    pub(crate) fn attempt<T>(&self, operation: impl FnOnce(&mut Space) -> T) -> Result<T, Exhausted> {
        let mut space = self.lock();
        space.refill(self.steps);
        let result = operation(&mut space);
        space.check()?;
        Ok(result)
    }

    /// How many nodes all sets together have.
    pub fn size(&self) -> usize {
        self.lock().size()
    }

    fn lock(&self) -> MutexGuard<'_, Space> {
        // Nodes are only ever added, so one that panicked leaves no region wrong.
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.space, &other.space)
    }
}

impl Held {
    /// What is in either.
    ///
    /// # Errors
    ///
    /// As of the other operations: it takes more steps than the space allows one operation.
    pub fn union(&self, other: &Self) -> Result<Self, Exhausted> {
        self.with(other, Space::or_else)
    }

    /// What is in both.
    ///
    /// # Errors
    ///
    /// See [`union`](Self::union).
    pub fn intersection(&self, other: &Self) -> Result<Self, Exhausted> {
        self.with(other, Space::within)
    }

    /// What is in this one and not in the other.
    ///
    /// # Errors
    ///
    /// See [`union`](Self::union).
    pub fn difference(&self, other: &Self) -> Result<Self, Exhausted> {
        self.with(other, Space::without)
    }

    /// Whether no packet is in it.
    pub fn is_empty(&self) -> bool {
        self.region == Space::EMPTY
    }

    /// Whether a packet is in it.
    pub fn contains(&self, packet: &Packet) -> bool {
        self.space.lock().label(self.region, packet).is_some()
    }

    /// The set as a value of its own.
    pub fn set(&self) -> PacketSet {
        self.space.lock().collect(self.region)
    }

    /// A packet of the set; see [`PacketSet::sample`].
    pub fn sample(&self, preference: &Preference) -> Option<Packet> {
        self.set().sample(preference)
    }

    /// Where it is: equal for equal sets of one space. Means nothing once the set is gone.
    pub(crate) fn place(&self) -> Place {
        Place(Arc::as_ptr(&self.space.space).addr(), self.region)
    }

    /// The space it is in.
    pub fn space(&self) -> &SharedSpace {
        &self.space
    }

    fn with(
        &self,
        other: &Self,
        operation: impl FnOnce(&mut Space, Region, Region) -> Region,
    ) -> Result<Self, Exhausted> {
        let other = if self.space.is(&other.space) { other.region } else { self.space.hold(&other.set())?.region };
        self.space.make(|space| operation(space, self.region, other))
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        if self.space.is(&other.space) { self.region == other.region } else { self.set() == other.set() }
    }
}

impl Eq for Held {}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Held").field(&self.region).finish()
    }
}

impl fmt::Debug for SharedSpace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedSpace").field("size", &self.size()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Cube, protocol};

    fn tcp(ports: std::ops::RangeInclusive<u16>) -> PacketSet {
        PacketSet::from(&Cube { protocols: protocol::TCP.into(), destination_ports: ports.into(), ..Cube::any() })
    }

    #[test]
    fn operations_are_those_of_sets() {
        let (space, other) = (SharedSpace::new(u64::MAX), SharedSpace::new(u64::MAX));
        let (low, high) = (tcp(1..=100), tcp(50..=200));
        for place in [&space, &other] {
            let (a, b) = (space.hold(&low).expect("small"), place.hold(&high).expect("small"));
            assert_eq!(a.union(&b).expect("small").set(), low.union(&high));
            assert_eq!(a.intersection(&b).expect("small").set(), low.intersection(&high));
            assert_eq!(a.difference(&b).expect("small").set(), low.difference(&high));
            assert_ne!(a, b);
            assert_eq!(b, other.hold(&high).expect("small"));
            assert!(a.difference(&a).expect("small").is_empty());
        }
    }

    #[test]
    fn sets_of_several_spaces_are_taken_into_one() {
        let spaces = [SharedSpace::new(u64::MAX), SharedSpace::new(u64::MAX)];
        let sets = [tcp(1..=100), tcp(50..=200), tcp(1..=200), PacketSet::all(), PacketSet::empty(), tcp(7..=7)];
        let (mut space, mut loaded) = (Space::new(), Loaded::default());
        for (set, from) in sets.iter().flat_map(|set| spaces.iter().map(move |from| (set, from))) {
            // A space may have grown since the last was taken out of it.
            let held = from.hold(set).expect("small");
            let region = loaded.load(&mut space, &held);
            assert_eq!(region, space.load(set));
            assert_eq!(space.store(region).as_ref(), Ok(set));
        }
    }

    #[test]
    fn a_failed_operation_leaves_the_others_right() {
        let scattered: Vec<Cube> = (0..200)
            .map(|number: u16| Cube {
                protocols: protocol::TCP.into(),
                destination_ports: (number * 300).into(),
                source_ports: (number * 200).into(),
                ..Cube::any()
            })
            .collect();
        let (small, large) = (tcp(80..=80), scattered.iter().collect::<PacketSet>());
        let space = SharedSpace::new(1_000);
        let held = space.hold(&small).expect("small");
        assert_eq!(space.hold(&large).err(), Some(Exhausted));
        assert_eq!(held.set(), small);
        let more = held.union(&space.hold(&tcp(443..=443)).expect("small")).expect("small");
        assert_eq!(more.set(), small.union(&tcp(443..=443)));
    }
}
