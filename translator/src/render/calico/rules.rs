//! Rules: one kind of packet, one form of peer, one or both families.

use policy::calico::api::{self, EntityRule, IcmpFields, Rule};
use policy::net::{Cidr, Family};
use policy::object::IntOrString;

use super::options::Dataplane;
use super::peers::{MOST_NETS, Refusal, Who};
use crate::matrix::{Direction, PortRange, Traffic};

/// Destination ports that a rule may list.
const MOST_PORTS: usize = 50;
/// Source ports that a rule may list: as many ranges as one match of the packet filter holds. Of lists that take more than one
/// match, Felix overlooks the third of a rule (projectcalico/calico:felix/rules/policy.go SplitPortList, finishPositiveBlock).
const MOST_SOURCE_PORTS: usize = 7;

/// The protocol part of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Protocol {
    /// The only family that it exists in.
    family: Option<Family>,
    protocol: Option<IntOrString>,
    icmp: Option<IcmpFields>,
    ports: Option<Vec<IntOrString>>,
    source_ports: Option<Vec<IntOrString>>,
}

/// The protocol parts of a kind of packet, ORed, and whether an ICMP code was left out of one.
pub(super) fn protocols(traffic: &Traffic, dataplane: Option<Dataplane>) -> Result<(Vec<Protocol>, bool), Refusal> {
    let plain = Protocol { family: None, protocol: None, icmp: None, ports: None, source_ports: None };
    match traffic {
        Traffic::Any => Ok((vec![plain], false)),
        Traffic::Number(0) => Err(Refusal::new(
            "has the protocol number 0, which Calico does not take",
            "name the protocol that follows the hop-by-hop header",
        )),
        Traffic::Number(number) => {
            Ok((vec![Protocol { protocol: Some(IntOrString::Int(i64::from(*number))), ..plain }], false))
        }
        Traffic::Ports { transport, ports, source_ports } => {
            let mut protocols = Vec::new();
            for source_ports in lists(source_ports, MOST_SOURCE_PORTS) {
                for ports in lists(ports, MOST_PORTS) {
                    protocols.push(Protocol {
                        protocol: Some(transport.name().into()),
                        ports,
                        source_ports: source_ports.clone(),
                        ..plain.clone()
                    });
                }
            }
            Ok((protocols, false))
        }
        Traffic::Icmp { family, types } => {
            let name = match family {
                Family::IPv4 => "ICMP",
                Family::IPv6 => "ICMPv6",
            };
            let plain = Protocol { family: Some(*family), protocol: Some(name.into()), ..plain };
            if types.is_empty() {
                return Ok((vec![plain], false));
            }
            // nft refuses what Felix writes for a type with a code, and Felix stops over it.
            let codes = matches!(dataplane, Some(Dataplane::Iptables | Dataplane::Ebpf));
            let mut protocols: Vec<Protocol> = Vec::new();
            let mut left_out = false;
            for icmp in types {
                if icmp.icmp_type == 255 {
                    return Err(Refusal::new(
                        format!("has the {name} type 255, and Calico takes types up to 254"),
                        "leave the type out; 255 is reserved and never sent",
                    ));
                }
                left_out |= icmp.code.is_some() && !codes;
                let fields = IcmpFields {
                    icmp_type: Some(i64::from(icmp.icmp_type)),
                    code: icmp.code.filter(|_| codes).map(i64::from),
                };
                let protocol = Protocol { icmp: Some(fields), ..plain.clone() };
                if !protocols.contains(&protocol) {
                    protocols.push(protocol);
                }
            }
            Ok((protocols, left_out))
        }
    }
}

/// The rules for one protocol part and one form of peer.
///
/// `except` are addresses of the other side that are not meant. A list of prefixes makes a rule absent for the family it has
/// none of (projectcalico/calico:felix/rules/policy.go FilterRuleToIPVersion), so the families are parted whenever a list
/// is there.
pub(super) fn rules(
    action: api::Action,
    direction: Direction,
    only: Option<Family>,
    protocol: &Protocol,
    who: &Who,
    except: &[Cidr],
) -> Vec<Rule> {
    let base = Rule { protocol: protocol.protocol.clone(), icmp: protocol.icmp, ..Rule::new(action) };
    let listed = matches!(who, Who::Nets { .. } | Who::Loopback) || !except.is_empty();
    let mut rules = Vec::new();
    if only.is_none() && !listed {
        rules.push((base, side(who), EntityRule::default()));
    } else {
        let families = [Family::IPv4, Family::IPv6].into_iter();
        for family in families.filter(|family| [only, protocol.family].iter().flatten().all(|only| only == family)) {
            let except = of_family(except, family);
            // A protocol of one family says which on its own.
            let version = if protocol.family.is_some() { None } else { Some(number(family)) };
            let base = Rule { ip_version: version, ..base.clone() };
            match who {
                Who::Loopback => {
                    let net = Cidr::loopback(family);
                    if except.iter().any(|except| except.contains(net)) {
                        continue;
                    }
                    let except: Vec<Cidr> = except.into_iter().filter(|except| net.contains(*except)).collect();
                    let own = EntityRule { nets: Some(texts(&[net])), ..EntityRule::default() };
                    rules.push((base, with_exceptions(own.clone(), &except), own));
                }
                Who::Nets { nets, .. } => {
                    let nets: Vec<Cidr> = of_family(nets, family)
                        .into_iter()
                        .filter(|net| !except.iter().any(|except| except.contains(*net)))
                        .collect();
                    // Rules with too many prefixes become several, each without the same exceptions.
                    for nets in nets.chunks(MOST_NETS) {
                        let except: Vec<Cidr> = except
                            .iter()
                            .copied()
                            .filter(|except| nets.iter().any(|net| net.contains(*except)))
                            .collect();
                        let nets = (!nets.iter().any(|net| net.is_all())).then(|| texts(nets));
                        rules.push((
                            base.clone(),
                            with_exceptions(EntityRule { nets, ..side(who) }, &except),
                            EntityRule::default(),
                        ));
                    }
                }
                _ if except.iter().any(|except| except.is_all()) => {}
                _ => rules.push((base, with_exceptions(side(who), &except), EntityRule::default())),
            }
        }
    }
    rules
        .into_iter()
        .map(|(mut rule, other, own)| {
            let (source, destination) = match direction {
                Direction::Ingress => (other, own),
                Direction::Egress => (own, other),
            };
            rule.source = EntityRule { ports: protocol.source_ports.clone(), ..source };
            rule.destination = EntityRule { ports: protocol.ports.clone(), ..destination };
            rule
        })
        .collect()
}

fn side(who: &Who) -> EntityRule {
    match who {
        Who::Anyone | Who::Loopback => EntityRule::default(),
        Who::Selected { selector, namespaces } => EntityRule {
            selector: Some(selector.clone()),
            namespace_selector: namespaces.clone(),
            ..EntityRule::default()
        },
        Who::Nets { but_not, .. } => EntityRule { not_selector: but_not.clone(), ..EntityRule::default() },
    }
}

fn with_exceptions(side: EntityRule, except: &[Cidr]) -> EntityRule {
    EntityRule { not_nets: (!except.is_empty()).then(|| texts(except)), ..side }
}

/// Lists of ports as rules take them; no ports are one list that is absent.
fn lists(ports: &[PortRange], most: usize) -> Vec<Option<Vec<IntOrString>>> {
    if ports.is_empty() {
        return vec![None];
    }
    ports.chunks(most).map(|ports| Some(ports.iter().map(|range| port(*range)).collect())).collect()
}

/// A range with a colon: Calico takes `30000-32767` for the name of a port.
fn port(range: PortRange) -> IntOrString {
    if range.first == range.last {
        range.first.into()
    } else {
        IntOrString::String(format!("{}:{}", range.first, range.last))
    }
}

fn of_family(nets: &[Cidr], family: Family) -> Vec<Cidr> {
    nets.iter().copied().filter(|net| net.family() == family).collect()
}

fn texts(nets: &[Cidr]) -> Vec<String> {
    nets.iter().map(ToString::to_string).collect()
}

fn number(family: Family) -> i64 {
    match family {
        Family::IPv4 => 4,
        Family::IPv6 => 6,
    }
}
