//! Whose named ports a rule for everyone means, where some `cidrGroupSelector` is empty.
//!
//! The two selectors have one key, and so one entry in the agent's selector cache, with the peers of whichever comes first:
//! of the rules for the node, those to it before those from it, each in the order of its object
//! (cilium/cilium:pkg/policy/selectorcache.go, `addSelectorLocked`; repository.go, `resolvePolicyLocked`). Ports by number are
//! for everyone all the same; ports by name are looked up for the peers of the entry. And as a rule for everyone covers others
//! that say the same of a port, these are left out, by name too (l4.go, `toMapState`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Unknown;
use super::model::{Condition, Element, Peers, Port, Ports, Rule, index};
use crate::cilium::selector::{CidrSelector, Selector};
use crate::cilium::settings::{Enforcement, Settings};
use crate::packet::Direction;

/// The rules of a node, with ports by name of everyone told.
pub(super) fn as_met(rules: Vec<Arc<Rule>>, group_of_everyone: bool, settings: &Settings) -> Vec<Arc<Rule>> {
    let always = settings.enforcement.value == Enforcement::Always;
    if !group_of_everyone || !groups_come_first(&rules, always) {
        return rules;
    }
    let of_everyone = of_everyone(&rules);
    let told = |rule: Arc<Rule>| {
        let elements: Vec<Element> = rule.elements.iter().flat_map(|element| tell(element, &of_everyone)).collect();
        if elements == rule.elements { rule } else { Arc::new(Rule { elements, ..Rule::clone(&rule) }) }
    };
    rules.into_iter().map(told).collect()
}

/// Where rules mean named ports of everyone. An agent that has met policies in another order, or some that are gone, or those
/// of pods, means others.
pub(super) fn unknown(rules: &[Arc<Rule>]) -> Vec<Unknown> {
    let elements = rules.iter().flat_map(|rule| rule.of(Direction::Egress).map(move |element| (rule, element)));
    let named = elements.filter(|(_, element)| everyone(element).is_some() && by_name(element).next().is_some());
    let what = "whose named ports are meant depends on the order in which the agent meets an empty cidrGroupSelector";
    named.map(|(rule, element)| Unknown::of(&rule.key.to_string(), &element.path, what)).collect()
}

/// Whether the agent meets an empty group selector before everyone.
fn groups_come_first(rules: &[Arc<Rule>], always: bool) -> bool {
    for direction in [Direction::Ingress, Direction::Egress] {
        let mut elements = rules.iter().flat_map(|rule| rule.of(direction)).peekable();
        let is_any = elements.peek().is_some();
        // A list of ports without any leaves nothing to look peers up for.
        let looked_up = elements.filter(|element| element.ports.as_ref().is_none_or(|ports| !ports.is_empty()));
        let mut selectors = looked_up.filter_map(everyone);
        if let Some(first) = selectors.next() {
            return !first.contains(&Selector::Everyone);
        }
        // Where nothing is denied by default the agent adds a rule for everyone after the others.
        if is_any && !always && !rules.iter().any(|rule| rule.default_deny[index(direction)]) {
            return false;
        }
    }
    false
}

/// The selectors of an element that is for everyone.
fn everyone(element: &Element) -> Option<&[Selector]> {
    match &element.peers {
        Peers::Some(selectors) if selectors.iter().any(Selector::is_everyone) => Some(selectors),
        _ => None,
    }
}

/// What is said of a port.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Says {
    deny: bool,
    condition: Option<Condition>,
}

impl Says {
    fn of(element: &Element) -> Self {
        Self { deny: element.deny, condition: element.condition }
    }
}

/// What rules for everyone say together of ports by name.
fn of_everyone(rules: &[Arc<Rule>]) -> BTreeMap<Port, Says> {
    let mut all: BTreeMap<Port, Says> = BTreeMap::new();
    let elements = rules.iter().flat_map(|rule| rule.of(Direction::Egress));
    for element in elements.filter(|element| everyone(element).is_some()) {
        let says = Says::of(element);
        for port in by_name(element) {
            let known = all.entry(port.clone()).or_insert(says);
            // A deny goes before an allow, and of allows one with a condition.
            if says.deny || (!known.deny && says.condition.is_some()) {
                *known = says;
            }
        }
    }
    all
}

/// An element as one by number and one by name, where it is for everyone; otherwise less what those for everyone cover.
fn tell(element: &Element, of_everyone: &BTreeMap<Port, Says>) -> Vec<Element> {
    if element.direction != Direction::Egress || by_name(element).next().is_none() {
        return vec![element.clone()];
    }
    let with = |ports| Element { ports: Some(ports), ..element.clone() };
    let (names, mut numbers): (Vec<Port>, Vec<Port>) = element.ports.iter().flatten().cloned().partition(is_named);
    if everyone(element).is_none() {
        let says = Says::of(element);
        numbers.extend(names.into_iter().filter(|port| of_everyone.get(port) != Some(&says)));
        return vec![with(numbers)];
    }
    let groups = Selector::Cidr(CidrSelector { requirements: Vec::new(), encoded: true });
    let of_groups = Element { peers: Peers::Some(vec![groups]), ..with(names) };
    let of_all = (!numbers.is_empty()).then(|| with(numbers));
    of_all.into_iter().chain([of_groups]).collect()
}

/// The ports of an element that it has by name.
fn by_name(element: &Element) -> impl Iterator<Item = &Port> {
    element.ports.iter().flatten().filter(|port| is_named(port))
}

fn is_named(port: &Port) -> bool {
    matches!(port.ports, Ports::Named(_))
}
