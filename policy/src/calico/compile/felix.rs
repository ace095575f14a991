//! How Felix takes a policy or a profile: the conversion that quietly drops parts, and the validation after it.
//!
//! projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/{rules,selectors,globalnetworkpolicyprocessor}.go
//! and libcalico-go/lib/validator/v1/validator.go, which felix/calc/validation_filter.go asks. What fails there is absent.

use ipnet::IpNet;

use super::api::{Faults, hints, rule};
use super::decode::{Entity, Icmp, PolicySpec, Port, Protocol, Rule as Written, ServiceAccounts};
use super::sets::{Content, Sets};
use crate::calico::address;
use crate::calico::selector::Selector;
use crate::calico::state::{Action, Families, Peer, Rule};
use crate::object::{MAX_ENTRIES, MAX_RULES};

/// Label that every endpoint in a namespace has.
const NAMESPACE: &str = "projectcalico.org/namespace";
/// Label of the endpoints of a service account.
const ACCOUNT: &str = "projectcalico.org/serviceaccount";
/// Prefix of labels that a pod inherits from its namespace.
const NAMESPACE_PREFIX: &str = "pcns.";
/// Prefix of labels that a pod inherits from its service account.
const ACCOUNT_PREFIX: &str = "pcsa.";

/// Which endpoints a policy applies to. Joined as text, as upstream does: what is unbalanced on its own can be whole
/// when joined, and `all()` is replaced in all of it.
pub(super) fn policy_selector(faults: &mut Faults, spec: &PolicySpec) -> Option<Selector> {
    let mut text = spec.selector.clone();
    for (more, prefix, label) in [
        (&spec.namespace_selector, NAMESPACE_PREFIX, NAMESPACE),
        (&spec.service_account_selector, ACCOUNT_PREFIX, ACCOUNT),
    ] {
        if more.is_empty() {
            continue;
        }
        // A selector that does not parse is dropped, and the policy is broader for it.
        if let Some(prefixed) = prefixed(more, prefix) {
            text = if text.is_empty() { prefixed } else { format!("({text}) && {prefixed}") };
        }
        text = text.replace("all()", &format!("has({label})"));
    }
    hints(faults, &spec.performance_hints);
    faults.selector(&text, "spec.selector")
}

/// The rules of one direction.
pub(super) fn rules(faults: &mut Faults, sets: &mut Sets, written: &[Written], path: &str) -> Vec<Rule> {
    let mut limits = Faults::default();
    limits.limit(written.len(), MAX_RULES, path);
    for (index, rule) in written.iter().enumerate() {
        for (side, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
            let lengths = [
                ("nets", entity.nets.len()),
                ("notNets", entity.not_nets.len()),
                ("ports", entity.ports.len()),
                ("notPorts", entity.not_ports.len()),
            ];
            for (field, length) in lengths.into_iter().filter(|(_, length)| *length > MAX_ENTRIES) {
                limits.limit(length, MAX_ENTRIES, format_args!("{path}[{index}].{side}.{field}"));
            }
        }
    }
    if !limits.is_empty() {
        faults.append(limits);
        return Vec::new();
    }
    let rules = written.iter().enumerate();
    rules.filter_map(|(index, written)| rule_of(faults, sets, written, index, &format!("{path}[{index}]"))).collect()
}

fn rule_of(faults: &mut Faults, sets: &mut Sets, written: &Written, index: usize, path: &str) -> Option<Rule> {
    let action = action(&written.action);
    faults.check(action.is_some(), format_args!("{path}.action"), "not an action");
    faults.check(matches!(written.ip_version, None | Some(4 | 6)), format_args!("{path}.ipVersion"), "neither 4 nor 6");
    let protocol = protocol(faults, written.protocol.as_ref(), &format!("{path}.protocol"));
    let not_protocol = self::protocol(faults, written.not_protocol.as_ref(), &format!("{path}.notProtocol"));
    let icmp = icmp(faults, written.icmp, &format!("{path}.icmp"));
    let not_icmp = self::icmp(faults, written.not_icmp, &format!("{path}.notICMP"));
    let ports_of = written.protocol.as_ref().map(lower);
    let mut source = peer(faults, sets, &written.source, ports_of.as_ref(), false, &format!("{path}.source"));
    let mut destination =
        peer(faults, sets, &written.destination, ports_of.as_ref(), true, &format!("{path}.destination"));
    let families = families(written, &source, &destination);
    (source.overlooked, destination.overlooked) = overlooked(&source, &destination, families);
    Some(Rule { index, action: action?, families, protocol, not_protocol, icmp, not_icmp, source, destination })
}

/// Exactly `Pass` becomes `next-tier`, everything else is put in lower case; an empty action allows
/// (projectcalico/calico:felix/rules/policy.go CombineMatchAndActionsForProtoRule).
fn action(text: &str) -> Option<Action> {
    match text {
        "Pass" => Some(Action::Pass),
        _ => match text.to_lowercase().as_str() {
            "allow" | "" => Some(Action::Allow),
            "deny" => Some(Action::Deny),
            "log" => Some(Action::Log),
            "next-tier" => Some(Action::Pass),
            _ => None,
        },
    }
}

fn lower(protocol: &Protocol) -> Protocol {
    match protocol {
        Protocol::Name(name) => Protocol::Name(name.to_lowercase()),
        number @ Protocol::Number(_) => number.clone(),
    }
}

fn protocol(faults: &mut Faults, written: Option<&Protocol>, path: &str) -> Option<u8> {
    let number = match lower(written?) {
        Protocol::Number(number) => Some(number).filter(|number| *number > 0),
        Protocol::Name(name) => named_protocol(&name),
    };
    faults.check(number.is_some(), path, "not a protocol");
    number
}

/// Number of a protocol's name in lower case.
fn named_protocol(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(6),
        "udp" => Some(17),
        "icmp" => Some(1),
        "icmpv6" => Some(58),
        "sctp" => Some(132),
        "udplite" => Some(136),
        _ => None,
    }
}

/// Felix does not ask for a type with the code; without a type there is no match at all.
fn icmp(faults: &mut Faults, written: Option<Icmp>, path: &str) -> Option<(u8, Option<u8>)> {
    let Icmp { kind, code } = written?;
    let kind = kind.map(|kind| u8::try_from(kind).ok().filter(|kind| *kind < 255));
    let code = code.map(|code| u8::try_from(code).ok());
    faults.check(kind != Some(None), format_args!("{path}.type"), "not 0 to 254");
    faults.check(code != Some(None), format_args!("{path}.code"), "not 0 to 255");
    Some((kind??, code.flatten()))
}

fn peer(
    faults: &mut Faults,
    sets: &mut Sets,
    entity: &Entity,
    protocol: Option<&Protocol>,
    destination: bool,
    path: &str,
) -> Peer {
    let with_ports = protocol.is_some_and(rule::has_ports);
    for (field, ports) in [("ports", &entity.ports), ("notPorts", &entity.not_ports)] {
        let path = format!("{path}.{field}");
        let fits = ports.is_empty() || with_ports;
        faults.check(fits, &path, "rules that specify ports must set protocol to TCP or UDP or SCTP");
        faults.check(ports.iter().all(rule::is_port), &path, "not a port or the name of one");
    }
    // Each part is validated alone; only what passes reaches the joined text.
    let accounts = entity.service_accounts.as_ref();
    for (field, text) in [
        ("selector", entity.selector.as_str()),
        ("namespaceSelector", &entity.namespace_selector),
        ("notSelector", &entity.not_selector),
        ("serviceAccounts.selector", accounts.map_or("", |accounts| &accounts.selector)),
    ] {
        faults.selector(text, format_args!("{path}.{field}"));
    }
    let (positive, negative) = selectors(faults, entity, path);
    let named_of = |sets: &mut Sets, ports: &[Port]| -> Vec<_> {
        let names = ports.iter().filter_map(|port| match port {
            Port::Name(name) => Some(name.clone()),
            Port::Range(..) => None,
        });
        let selector = positive.clone().unwrap_or(Selector::ALL);
        let protocol = named_port_protocol(protocol);
        names.map(|name| sets.id(Content::NamedPort { selector: selector.clone(), name, protocol })).collect()
    };
    let named = named_of(sets, &entity.ports);
    let not_named = named_of(sets, &entity.not_ports);
    let ports = numbers(&entity.ports);
    let mut peer = Peer {
        nets: nets(&entity.nets),
        not_nets: nets(&entity.not_nets),
        not_ports: numbers(&entity.not_ports),
        not_named,
        ..Peer::default()
    };
    // Named ports alone are within the selector already, and so it is left out
    // (projectcalico/calico:felix/calc/rule_scanner.go ruleToParsedRule).
    if let Some(selector) = positive
        && (named.is_empty() || !ports.is_empty())
    {
        peer.sets.push(sets.id(Content::Selector(selector)));
    }
    if let Some(selector) = negative {
        peer.not_sets.push(sets.id(Content::Selector(selector)));
    }
    if let Some(service) = entity.services.as_ref().filter(|service| !service.name.is_empty()) {
        let (namespace, name) = (service.namespace.clone(), service.name.clone());
        let id = sets.id(Content::Service { namespace, name, with_ports: destination });
        if destination {
            peer.service = Some(id);
        } else {
            peer.sets.push(id);
        }
    }
    Peer { ports, named, ..peer }
}

/// The endpoints that an entity means, and those it excludes. Beside a positive selector a negative one is judged per
/// endpoint, and so becomes a part of it (rule_scanner.go combineMatchesIfPossible).
fn selectors(faults: &mut Faults, entity: &Entity, path: &str) -> (Option<Selector>, Option<Selector>) {
    let joined = entity_selector(entity);
    let negative = faults.selector(&entity.not_selector, format_args!("{path}.notSelector"));
    let negative = negative.filter(|_| !entity.not_selector.is_empty());
    if joined.is_empty() {
        return (None, negative);
    }
    if faults.selector(&joined, format_args!("{path}.selector")).is_none() {
        return (None, None);
    }
    let text = match entity.not_selector.as_str() {
        "" => joined,
        excluded => format!("({joined}) && (!({excluded}))"),
    };
    (faults.selector(&text, format_args!("{path}.notSelector")), None)
}

/// Whether each text can be read and both together cannot, because one of them is blank. Felix joins them after validation and
/// panics then (rule_scanner.go extractSelectors); seen with 3.31.0.
pub(super) fn selectors_end_felix(entity: &Entity) -> bool {
    let joined = entity_selector(entity);
    let readable = |text: &str| text.parse::<Selector>().is_ok();
    let blank = |text: &str| text.trim_matches([' ', '\t']).is_empty();
    !joined.is_empty()
        && !entity.not_selector.is_empty()
        && readable(&joined)
        && readable(&entity.not_selector)
        && (blank(&joined) || blank(&entity.not_selector))
}

/// Namespaces, service accounts and selector in one text (rules.go getEndpointSelector).
fn entity_selector(entity: &Entity) -> String {
    let accounts = entity.service_accounts.as_ref().and_then(account_selector);
    let selector = match (accounts, entity.selector.as_str()) {
        (Some(accounts), "") => accounts,
        (Some(accounts), selector) => format!("({accounts}) && ({selector})"),
        (None, selector) => selector.to_owned(),
    };
    if entity.namespace_selector.is_empty() {
        return selector;
    }
    let namespaces = prefixed(&entity.namespace_selector, NAMESPACE_PREFIX)
        .unwrap_or_default()
        .replace("all()", &format!("has({NAMESPACE})"))
        .replace("global()", &format!("!has({NAMESPACE})"));
    match (namespaces.as_str(), selector.as_str()) {
        ("", _) => selector,
        (_, "") => namespaces,
        _ => format!("({namespaces}) && ({selector})"),
    }
}

fn account_selector(accounts: &ServiceAccounts) -> Option<String> {
    let labels = Some(&accounts.selector).filter(|text| !text.is_empty());
    let labels = labels.and_then(|text| prefixed(text, ACCOUNT_PREFIX));
    if accounts.names.is_empty() {
        return labels;
    }
    let names = format!("{ACCOUNT} in {{ '{}' }}", accounts.names.join("', '"));
    let names = names.parse::<Selector>().ok()?.to_string();
    Some(match labels {
        Some(labels) => format!("({labels}) && ({names})"),
        None => names,
    })
}

fn prefixed(text: &str, prefix: &str) -> Option<String> {
    Some(text.parse::<Selector>().ok()?.prefixed(prefix).to_string())
}

/// Protocol that a named port is looked up with.
fn named_port_protocol(protocol: Option<&Protocol>) -> u8 {
    let number = protocol.and_then(|protocol| match protocol {
        Protocol::Number(number) => Some(*number),
        Protocol::Name(name) => named_protocol(name),
    });
    number.filter(|number| matches!(number, 17 | 132)).unwrap_or(6)
}

fn numbers(ports: &[Port]) -> Vec<(u16, u16)> {
    let ranges = ports.iter().filter_map(|port| match port {
        Port::Range(from, to) => Some((*from, *to)),
        Port::Name(_) => None,
    });
    ranges.collect()
}

/// Prefixes that can be read. The others are dropped; if none is left, nothing is left to match either.
fn nets(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| address::prefix_or_address(text)).collect()
}

/// Which families of the prefixes of each side are overlooked, by [`Peer::overlooked`].
fn overlooked(source: &Peer, destination: &Peer, families: Families) -> (Families, Families) {
    let long_ports = [source, destination].into_iter().filter(|peer| matches_of(&peer.ports) + peer.named.len() > 1);
    let long_ports = long_ports.count();
    let of_family = |v4: bool| {
        let is_long = |peer: &Peer| peer.nets.iter().filter(|net| net.addr().is_ipv4() == v4).count() > 1;
        let (first, second) = (is_long(source), is_long(destination));
        (first && long_ports > 1, second && long_ports + usize::from(first) > 1)
    };
    let (v4, v6) = (of_family(true), of_family(false));
    let both = |v4: bool, v6: bool| Families { v4: v4 && families.v4, v6: v6 && families.v6 };
    (both(v4.0, v6.0), both(v4.1, v6.1))
}

/// How many matches of the packet filter ports take. One holds 15, and a range is two (felix/rules/policy.go SplitPortList).
fn matches_of(ports: &[(u16, u16)]) -> usize {
    let (mut matches, mut left) = (0, 0);
    for (first, last) in ports {
        let size = if first == last { 1 } else { 2 };
        if left < size {
            (matches, left) = (matches + 1, 15);
        }
        left -= size;
    }
    matches
}

fn families(rule: &Written, source: &Peer, destination: &Peer) -> Families {
    // The protocol's name fixes the family only where no ipVersion does; its number never does
    // (projectcalico/calico:felix/calc/rule_convert.go ipVersionToProtoIPVersion).
    let version = rule.ip_version.or_else(|| match rule.protocol.as_ref().map(lower) {
        Some(Protocol::Name(name)) if name == "icmp" => Some(4),
        Some(Protocol::Name(name)) if name == "icmpv6" => Some(6),
        _ => None,
    });
    let exists = |number: i64, v4: bool| {
        let of_family = |net: &&IpNet| net.addr().is_ipv4() == v4;
        let kept = |nets: &[IpNet]| nets.is_empty() || nets.iter().any(|net| of_family(&net));
        let possible = |nets: &[IpNet]| kept(nets) && !nets.iter().filter(of_family).any(|net| net.prefix_len() == 0);
        version.is_none_or(|version| version == number)
            && [source, destination].iter().all(|peer| kept(&peer.nets) && possible(&peer.not_nets))
    };
    Families { v4: exists(4, true), v6: exists(6, false) }
}
