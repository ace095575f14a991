//! Peers that a snapshot cannot tell, read one way or the other.
//!
//! Whoever they are, an element means no other nodes, no other direction and no other ports than it says, and turns default
//! deny on all the same. So it says something between what it says where they are nobody and where they are everyone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::model::{Element, Peers, Port, Rule};
use super::parts::{Memory, Parts};
use super::{State, Unknown};
use crate::cilium::selector::{Requirement, Selector};
use crate::packet::Direction;

/// What a rule leaves open: whether it means a packet of a host with somebody, on one port. In states with the same
/// datapath it is the same wherever it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Open {
    subject: Vec<Requirement>,
    pub(crate) direction: Direction,
    /// Whether it denies.
    pub(crate) deny: bool,
    peers: String,
    /// Absent is every packet.
    port: Option<Port>,
}

/// Rules as they were read before, by the place of the rule. Each keeps the rule that it is known by, so that its place
/// stands for nothing else.
pub(super) type Known = HashMap<usize, Vec<[Arc<Rule>; 2]>>;

impl State {
    /// Where rules that are enforced leave something open.
    pub(crate) fn left_open(&self) -> impl Iterator<Item = &Unknown> {
        self.unknown.iter().filter(|unknown| self.settings.host_firewall.value && unknown.is_open)
    }

    /// All that they leave open.
    pub(in crate::cilium) fn open(&self) -> BTreeSet<Open> {
        if self.left_open().next().is_none() {
            return BTreeSet::new();
        }
        let elements = self.rules.iter().flat_map(|rule| rule.elements.iter().map(|element| (&**rule, element)));
        elements.flat_map(|(rule, element)| ports(element).flat_map(|port| opens(rule, element, port))).collect()
    }
}

impl Parts {
    /// The state with what is open read as everyone, or as nobody. `None` where that makes no difference.
    pub(in crate::cilium) fn read(
        &self,
        state: &State,
        is_everyone: &dyn Fn(&Open) -> bool,
        memory: &mut Memory,
    ) -> Option<(Self, State)> {
        let mut rules = state.rules.clone();
        let mut moved = false;
        for rule in &mut rules {
            let Some(elements) = read(rule, is_everyone) else { continue };
            let known = memory.read.entry(Arc::as_ptr(rule).addr()).or_default();
            let made = match known.iter().find(|[_, made]| made.elements == elements) {
                Some([_, made]) => Arc::clone(made),
                None => {
                    let made = Arc::new(Rule { elements, ..Rule::clone(rule) });
                    known.push([Arc::clone(rule), Arc::clone(&made)]);
                    made
                }
            };
            (*rule, moved) = (made, true);
        }
        moved.then(|| self.with_rules(state, rules, memory))
    }
}

/// The elements of a rule with what is open told. `None` where they say what they said.
fn read(rule: &Rule, is_everyone: &dyn Fn(&Open) -> bool) -> Option<Vec<Element>> {
    let is_open = |element: &&Element| !element.open.is_empty();
    rule.elements.iter().find(is_open)?;
    let mut moved = false;
    let mut all = Vec::with_capacity(rule.elements.len());
    for element in &rule.elements {
        if element.open.is_empty() {
            all.push(element.clone());
            continue;
        }
        let (everyone, nobody): (Vec<_>, Vec<_>) =
            ports(element).partition(|port| opens(rule, element, port.clone()).any(|open| is_everyone(&open)));
        moved |= !everyone.is_empty() || !is_nobody(&element.peers);
        for (ports, peers) in [(everyone, Peers::Some(vec![Selector::Everyone])), (nobody, Peers::Nobody)] {
            if !ports.is_empty() {
                let ports = ports.into_iter().collect::<Option<Vec<Port>>>();
                all.push(Element { peers, ports, open: Vec::new(), ..element.clone() });
            }
        }
    }
    moved.then_some(all)
}

/// The ports of an element one by one.
fn ports(element: &Element) -> impl Iterator<Item = Option<Port>> {
    let (all, some) = match &element.ports {
        None => (Some(None), &[][..]),
        Some(ports) => (None, ports.as_slice()),
    };
    all.into_iter().chain(some.iter().cloned().map(Some))
}

/// What an element leaves open on one of its ports.
fn opens<'e>(rule: &'e Rule, element: &'e Element, port: Option<Port>) -> impl Iterator<Item = Open> + 'e {
    element.open.iter().map(move |peers| Open {
        subject: rule.subject.clone(),
        direction: element.direction,
        deny: element.deny,
        peers: peers.clone(),
        port: port.clone(),
    })
}

/// Whether peers are known to be none.
fn is_nobody(peers: &Peers) -> bool {
    match peers {
        Peers::Nobody => true,
        Peers::Some(all) => all.iter().all(|one| matches!(one, Selector::Unknown(_))),
    }
}

/// Who is named by DNS, in a group or behind a service gets an identity of its own. Where rules mean others by that, more is
/// not known than who the peers are.
pub(super) fn unsettle(unknown: &mut [Unknown]) {
    for one in unknown {
        one.is_open = false;
    }
}
