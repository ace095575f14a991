//! What happens to one packet, step by step, and why.
//!
//! Written apart from `evaluate`: the two share the compiled rules and the ipcache, nothing else.

mod step;

pub use step::{Answer, Miss, Step, Trace};

use super::compile::{Element, Peers, Port, Ports, Rule, State, index};
use super::exempt;
use super::identity::{Aggregate, Identity, View};
use super::label::Labels;
use super::question::{Layer, Question, Verdict};
use super::selector::{CidrSelector, Requirement, Selector};
use super::settings::Enforcement;
use super::version::Version;
use crate::object::Operator;
use crate::packet::{Direction, Packet, protocol};

/// Says what becomes of a packet.
///
/// With [`Layer::Host`] the datapath is asked first, which lets some packets by and drops others before any policy.
pub fn trace(state: &State, question: &Question<'_>, packet: &Packet) -> Trace {
    let view = state.view(question.node);
    let mut steps = Vec::new();
    if question.layer == Layer::Host
        && let Some(exemption) = exempt::exemption(state, &view, question, packet)
    {
        let verdict = exemption.verdict();
        steps.push(Step::Datapath { exemption });
        return Trace { verdict, condition: None, steps };
    }
    let mut trace = policy(state, &view, question, packet, steps);
    if trace.verdict == Verdict::Deny && question.layer == Layer::Host && state.settings.audit.value {
        trace.steps.push(Step::Audit);
        trace.verdict = Verdict::Allow;
    }
    trace
}

/// What policy says (cilium/cilium:pkg/policy/repository.go, `computePolicyEnforcementAndRules`; mapstate.go, `lookup`).
fn policy(state: &State, view: &View<'_>, question: &Question<'_>, packet: &Packet, mut steps: Vec<Step>) -> Trace {
    let settings = &state.settings;
    let allowed = |steps| Trace { verdict: Verdict::Allow, condition: None, steps };
    let direction = question.direction;
    if !settings.host_firewall.value {
        steps.push(not_enforced(format!("enable-host-firewall is false ({})", settings.host_firewall.origin)));
        return allowed(steps);
    }
    if settings.enforcement.value == Enforcement::Never {
        steps.push(not_enforced(format!("enable-policy is never ({})", settings.enforcement.origin)));
        return allowed(steps);
    }
    let subject = view.subject();
    let own = state
        .rules
        .iter()
        .filter(|rule| subject.is_some_and(|labels| rule.subject.iter().all(|one| holds(one, labels))))
        .cloned()
        .collect();
    let met = state.as_met(own);
    let rules: Vec<&Rule> = met.iter().map(AsRef::as_ref).filter(|rule| rule.of(direction).next().is_some()).collect();
    let always = settings.enforcement.value == Enforcement::Always;
    if rules.is_empty() && !always {
        steps.push(not_enforced("no rule selects the node in this direction".to_owned()));
        return allowed(steps);
    }
    let address = if direction == Direction::Egress { packet.destination() } else { packet.source() };
    let peer = Peer {
        identity: view.identity(address),
        aggregates: settings.version.value >= Version::V1_20,
        by_nodes: settings.cidr_matches().nodes,
        by_pods: settings.cidr_matches().pods,
        ipv4: settings.ipv4.value,
        ipv6: settings.ipv6.value,
        view,
        direction,
        protocol: packet.protocol(),
        port: port(packet, question.layer == Layer::Host && !settings.sctp.value),
    };
    steps.push(Step::Peer { address, identity: peer.identity.to_string() });
    for deny in [true, false] {
        for rule in &rules {
            for element in rule.of(direction).filter(|element| element.deny == deny) {
                let answer = peer.answer(element);
                let matched = matches!(answer, Answer::Matches { .. });
                steps.push(Step::element(rule, element, answer));
                if matched {
                    let verdict = if deny { Verdict::Deny } else { Verdict::Allow };
                    return Trace { verdict, condition: element.condition, steps };
                }
            }
        }
    }
    let deciding = rules.iter().find(|rule| rule.default_deny[index(direction)]);
    if let Some(rule) = deciding {
        steps.push(Step::default_deny(rule));
        return Trace { verdict: Verdict::Deny, condition: None, steps };
    }
    if always {
        steps.push(Step::AlwaysDeny);
        return Trace { verdict: Verdict::Deny, condition: None, steps };
    }
    steps.push(Step::DefaultAllow);
    allowed(steps)
}

fn not_enforced(why: String) -> Step {
    Step::NotEnforced { why }
}

/// What policy reads as the port: the destination port of TCP, UDP and SCTP, the type of ICMP. Absent for what has
/// none, which only a rule for all ports matches.
fn port(packet: &Packet, without_sctp: bool) -> Option<u16> {
    match packet.protocol() {
        protocol::TCP | protocol::UDP => packet.destination_port(),
        protocol::SCTP if !without_sctp => packet.destination_port(),
        _ => packet.icmp().map(|(kind, _)| u16::from(kind)),
    }
}

/// One packet as policy sees it.
struct Peer<'p> {
    identity: Identity,
    aggregates: bool,
    by_nodes: bool,
    by_pods: bool,
    ipv4: bool,
    ipv6: bool,
    view: &'p View<'p>,
    direction: Direction,
    protocol: u8,
    port: Option<u16>,
}

impl Peer<'_> {
    fn answer(&self, element: &Element) -> Answer {
        let Peers::Some(selectors) = &element.peers else {
            return Answer::Misses(Miss::Nobody);
        };
        let found = selectors.iter().find_map(|selector| Some((selector, self.selected(selector)?)));
        let Some((selector, aggregate)) = found else {
            return Answer::Misses(Miss::Peer(selectors.iter().map(ToString::to_string).collect()));
        };
        let peer = selector.to_string();
        let Some(ports) = &element.ports else {
            return Answer::Matches { peer, aggregate, port: None };
        };
        // Whoever is selected by way of an aggregate has no port of his own in its name.
        let named = selectors.iter().any(|selector| self.selects(selector, &self.identity.labels));
        match ports.iter().find(|port| self.reaches(port, named)) {
            Some(port) => Answer::Matches { peer, aggregate, port: Some(port.to_string()) },
            None => {
                let texts = ports.iter().map(ToString::to_string).collect();
                let has_name = !named && ports.iter().any(|port| self.reaches(port, true));
                Answer::Misses(if has_name { Miss::NamesOfAggregate(texts) } else { Miss::Port(texts) })
            }
        }
    }

    /// Whether the peer is selected; if only through its aggregate, which.
    fn selected(&self, selector: &Selector) -> Option<Option<&'static str>> {
        if self.selects(selector, &self.identity.labels) {
            return Some(None);
        }
        let aggregate = self.identity.aggregate().filter(|_| self.aggregates)?;
        self.selects(selector, Aggregate::labels(aggregate)).then_some(Some(aggregate.name()))
    }

    fn selects(&self, selector: &Selector, labels: &Labels) -> bool {
        match selector {
            Selector::Everyone | Selector::EveryGroup => true,
            Selector::Labels(requirements) => requirements.iter().all(|one| holds(one, labels)),
            Selector::Cidr(cidr) => self.covers(cidr, labels),
            Selector::Unknown(_) => false,
        }
    }

    fn covers(&self, selector: &CidrSelector, labels: &Labels) -> bool {
        let open = match (labels.is_world(), labels.is_node()) {
            (true, _) => true,
            (false, true) => self.by_nodes,
            (false, false) => self.by_pods,
        };
        open && selector.requirements.iter().all(|requirement| {
            if selector.encoded {
                encoded(requirement, labels)
            } else {
                (self.by_pods && self.is_everything(requirement, labels)) || holds(requirement, labels)
            }
        })
    }

    /// In the mode where prefixes match pods, one of length 0 matches whoever has a prefix of its family.
    fn is_everything(&self, requirement: &Requirement, labels: &Labels) -> bool {
        let (four, six) = match (requirement.label.source.as_str(), requirement.label.key.as_str()) {
            ("reserved", "world") => (true, true),
            ("reserved", "world-ipv4") => (true, false),
            ("reserved", "world-ipv6") => (false, true),
            _ => return false,
        };
        labels.iter().filter_map(|label| label.prefix()).any(|prefix| match prefix {
            ipnet::IpNet::V4(_) => four && self.ipv4,
            ipnet::IpNet::V6(_) => six && self.ipv6,
        })
    }

    /// Whether it is the port of the packet. `named` is whether the peer may have ports by name.
    fn reaches(&self, port: &Port, named: bool) -> bool {
        if port.protocol != self.protocol {
            return false;
        }
        match (&port.ports, self.port) {
            (Ports::All, _) => true,
            (Ports::Range(first, last), Some(own)) => (*first..=*last).contains(&own),
            (Ports::Named(name), Some(own)) if named && self.direction == Direction::Egress => {
                own != 0 && self.view.ports().get(&self.identity, name, self.protocol) == Some(own)
            }
            _ => false,
        }
    }
}

fn holds(requirement: &Requirement, labels: &Labels) -> bool {
    requirement.matches(labels)
}

/// A requirement on labels of CIDR groups, whose values stand in keys.
fn encoded(requirement: &Requirement, labels: &Labels) -> bool {
    let any = || requirement.values.iter().any(|value| labels.find(&requirement.encoded(value)).is_some());
    match requirement.operator {
        Operator::In => any(),
        Operator::NotIn => !any(),
        Operator::Exists | Operator::DoesNotExist => requirement.matches(labels),
    }
}
