//! Replicas, API servers and their clocks through years of rotations: no handshake fails.

use std::time::{Duration, SystemTime};

use crate::peer::{Connection, DAY, MINUTE, NAME, client, names, server, start};
use certs::{Authorities, Entries, Leaf, Lifetimes, Resolver};
use proptest::prelude::*;

const LIFETIMES: Lifetimes = Lifetimes { authority: DAY.saturating_mul(30), leaf: DAY.saturating_mul(7) };

/// A cluster: what is stored, what is published, what the API server has noticed of it, and the replicas' leaves.
struct Cluster {
    now: SystemTime,
    stored: Entries,
    published: String,
    /// What API servers trust: what was published when they last looked.
    trusted: String,
    leaves: [Option<Leaf>; 3],
    authorities: std::collections::BTreeSet<String>,
}

impl Cluster {
    fn new() -> Self {
        let mut stored = Entries::new();
        let first = Authorities::new(start(), LIFETIMES).expect("an authority");
        first.write(&mut stored);
        let mut cluster = Self {
            now: start(),
            stored,
            published: first.bundle(),
            trusted: first.bundle(),
            leaves: [None, None, None],
            authorities: std::collections::BTreeSet::new(),
        };
        (0..3).for_each(|replica| cluster.tick(replica));
        cluster
    }

    /// What a replica does each minute: read, take a step, store, publish, renew.
    fn tick(&mut self, replica: usize) {
        let mut authorities = Authorities::read(&self.stored, LIFETIMES).expect("readable").expect("stored");
        if authorities.turn(self.now, &self.published).expect("a step") {
            authorities.write(&mut self.stored);
        }
        self.published = authorities.bundle();
        self.authorities.insert(authorities.current().certificate().to_owned());
        let jitter = f64::from(u8::try_from(replica).expect("few")) / 2.0;
        let leaf = &mut self.leaves[replica];
        if leaf.as_ref().is_none_or(|leaf| leaf.is_due(self.now, jitter, authorities.current())) {
            *leaf = Some(authorities.issue(&names(), self.now).expect("a leaf"));
        }
    }

    fn connects(&self) -> Result<(), rustls::Error> {
        for leaf in self.leaves.iter().flatten() {
            let resolver = Resolver::new(leaf.certified_key().expect("a key"));
            Connection::open(client(&self.trusted, self.now, None)?, server(&resolver, None), NAME)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    /// Replicas wake in any order, sometimes hours apart; the API server notices a bundle within a minute.
    #[test]
    fn no_handshake_fails_through_rotations(
        steps in prop::collection::vec((0..3_usize, prop_oneof![
            3 => Just(MINUTE), 2 => Just(5 * MINUTE), 1 => Just(DAY / 3), 1 => Just(DAY)
        ]), 200),
    ) {
        let mut cluster = Cluster::new();
        for (first, pause) in steps {
            cluster.now += pause;
            for turn in 0..3 {
                cluster.tick((first + turn) % 3);
                // It has not noticed yet what was published this very moment.
                prop_assert_eq!(cluster.connects().map_err(|error| error.to_string()), Ok(()));
            }
            cluster.trusted.clone_from(&cluster.published);
        }
        let life = cluster.now.duration_since(start()).expect("forwards");
        prop_assert!(cluster.authorities.len() > usize::try_from(life.as_secs() / LIFETIMES.authority.as_secs()).expect("few"));
    }

    /// Whatever the clock does, the next minute finds everything in order again, and the bundle stays small.
    #[test]
    fn clock_jumps_are_survived(
        jumps in prop::collection::vec((any::<bool>(), 0..900_u32), 1..12),
    ) {
        let mut cluster = Cluster::new();
        for (forward, days) in jumps {
            let jump = DAY * days;
            cluster.now = if forward { cluster.now + jump } else { cluster.now - jump };
            for _ in 0..4 {
                (0..3).for_each(|replica| cluster.tick(replica));
                cluster.trusted.clone_from(&cluster.published);
                prop_assert_eq!(cluster.connects().map_err(|error| error.to_string()), Ok(()));
                cluster.now += MINUTE;
            }
            prop_assert!(cluster.published.matches("BEGIN").count() <= 4, "{}", cluster.published);
        }
    }
}

#[test]
fn the_steps_come_in_order_and_no_sooner_than_they_may() {
    let mut authorities = Authorities::new(start(), LIFETIMES).expect("an authority");
    let first = authorities.current().certificate().to_owned();
    let mut turn = |now: Duration, published: &str| {
        let changed = authorities.turn(start() + now, published).expect("a step");
        (changed, authorities.bundle(), authorities.current().certificate().to_owned())
    };
    let due = 20 * DAY;
    assert_eq!(turn(due - DAY, &first), (false, first.clone(), first.clone()), "not due");
    let (changed, both, current) = turn(due, &first);
    assert!(changed && both.starts_with(&first) && both.len() > first.len());
    assert_eq!(current, first, "published first, used later");

    assert!(!turn(due + MINUTE, &first).0, "it is not published yet");
    let crlf = both.replace('\n', "\r\n");
    assert!(turn(due + 2 * MINUTE, &crlf).0, "read back, however it is wrapped");
    assert!(!turn(due + 3 * MINUTE - Duration::from_secs(1), &both).0, "the minute is not over");
    assert!(
        turn(due + 3 * MINUTE - Duration::from_secs(1), &first).0,
        "somebody took it back: the minute starts again"
    );
    assert!(turn(due + 4 * MINUTE, &both).0);
    let (changed, after, current) = turn(due + 5 * MINUTE, &both);
    assert!(changed && current != first && after.starts_with(&current) && after.ends_with(&first));

    assert!(!turn(due + 5 * MINUTE + 7 * DAY - MINUTE, &after).0, "leaves of the old one may still be served");
    assert_eq!(turn(due + 5 * MINUTE + 7 * DAY, &after), (true, current.clone(), current));
}
