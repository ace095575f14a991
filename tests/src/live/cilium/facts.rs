//! What a case holds, and what of it decides packets.

use std::collections::{BTreeMap, BTreeSet};

use policy::cilium::trace::{Answer, Step, Trace};
use serde_json::Value;

use super::traps;
use crate::coverage::Coverage;
use crate::verdicts::cilium::Judged;

/// Fields of rules and elements.
const FIELD: &str = "rule field";
/// Forms of peers.
const PEER: &str = "peer";
/// Forms of ports and ICMP types.
const PORT: &str = "port";
/// Settings that are not the default.
const SETTING: &str = "setting";
/// What decides.
const STAGE: &str = "stage";
/// Who refuses an object.
const REFUSED: &str = "refused";
/// What peers are.
const IDENTITY: &str = "identity";
/// Ways in which Cilium surprises.
pub(super) const TRAP: &str = "trap";

const FIELDS: &[&str] = &[
    "spec",
    "specs",
    "nodeSelector",
    "endpointSelector",
    "enableDefaultDeny",
    "ingress",
    "ingressDeny",
    "egress",
    "egressDeny",
    "fromEntities",
    "fromEndpoints",
    "fromCIDR",
    "fromCIDRSet",
    "fromNodes",
    "fromGroups",
    "toEntities",
    "toEndpoints",
    "toCIDR",
    "toCIDRSet",
    "toNodes",
    "toGroups",
    "toServices",
    "toFQDNs",
    "toPorts",
    "icmps",
    "authentication",
    "serverNames",
    "rules",
    "labels",
    "log",
    "description",
];
const PEERS: &[&str] = &[
    "none",
    "empty list",
    "{}",
    "label",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "prefix",
    "prefix of length 0",
    "prefix with host bits",
    "except",
    "group by name",
    "group by labels",
    "group by {}",
];
const PORTS: &[&str] = &[
    "none",
    "no ports",
    "one",
    "range",
    "range downwards",
    "0",
    "0 with endPort",
    "not decimal",
    "name",
    "no port",
    "TCP",
    "UDP",
    "SCTP",
    "ANY",
    "no protocol",
    "VRRP",
    "IGMP",
    "GRE",
    "IPIP",
    "IPV6",
    "ESP",
    "AH",
    "ICMP number",
    "ICMP 0",
    "ICMP name",
    "ICMP IPv4",
    "ICMP IPv6",
];
const STAGES: &[&str] = &[
    "element allows",
    "element denies",
    "default deny",
    "default allow",
    "always denies",
    "not enforced",
    "family off",
];
const IDENTITIES: &[&str] = &["1", "2", "3", "4", "6", "7", "8", "9", "10", "local", "remote-node-scope", "pod"];

/// The rows that a run is to reach.
pub(super) fn declared() -> Coverage {
    let mut coverage = Coverage::default();
    coverage.declare(FIELD, FIELDS);
    coverage.declare(PEER, PEERS);
    coverage.declare(PORT, PORTS);
    coverage.declare(STAGE, STAGES);
    coverage.declare(REFUSED, &["schema", "decode", "sanitize", KEPT]);
    coverage.declare(IDENTITY, IDENTITIES);
    coverage.declare(TRAP, &traps::all());
    coverage
}

/// The row of objects whose version before stays in force.
const KEPT: &str = "version before is kept";

/// Counts what a case holds and what of it decides.
pub(super) fn count(case: &Value, judged: &Judged, coverage: &mut Coverage) {
    let objects = objects(case, judged);
    let mut seen = BTreeSet::new();
    for (object, kept) in objects.values() {
        if *kept {
            seen.insert((REFUSED, KEPT.to_owned()));
        }
        for (path, rule) in rules(object) {
            seen.extend(rule_facts(&path, rule).into_iter().map(|name| (FIELD, name)));
            for (list, elements) in lists(rule) {
                seen.extend(elements.iter().flat_map(|element| element_facts(list, element)));
            }
        }
    }
    seen.extend(judged.evaluated.invalid.iter().map(|refused| (REFUSED, refused.stage.clone())));
    let settings = settings(case);
    seen.extend(settings.iter().map(|setting| (SETTING, setting.clone())));
    for (index, trace) in judged.traces.iter().enumerate() {
        let Some(trace) = trace else {
            seen.insert((STAGE, "family off".to_owned()));
            coverage.decided(STAGE, "family off");
            continue;
        };
        let mut decides = |group: &'static str, name: &str| {
            coverage.decided(group, name);
            seen.insert((group, name.to_owned()));
        };
        decides(STAGE, stage(trace));
        let element = deciding(trace, &objects);
        if let Some(Step::Peer { identity, .. }) = trace.steps.iter().find(|step| matches!(step, Step::Peer { .. })) {
            let number = identity.split(' ').next().unwrap_or_default();
            if element.is_some() {
                decides(IDENTITY, number);
            }
        }
        if let Some(Deciding { rule, path, list, element, kept }) = &element {
            rule_facts(path, rule).iter().for_each(|name| coverage.decided(FIELD, name));
            element_facts(list, element).iter().for_each(|(group, name)| coverage.decided(group, name));
            settings.iter().for_each(|setting| coverage.decided(SETTING, setting));
            if *kept {
                coverage.decided(REFUSED, KEPT);
            }
        }
        for trap in traps::sprung(case, &case["packets"][index], trace, element.as_ref()) {
            coverage.decided(TRAP, trap);
            seen.insert((TRAP, trap.to_owned()));
        }
    }
    for (group, name) in seen {
        coverage.occurred(group, &name);
    }
}

/// An element that decides, and where it stands.
pub(super) struct Deciding<'c> {
    pub(super) rule: &'c Value,
    pub(super) path: String,
    pub(super) list: &'c str,
    pub(super) element: &'c Value,
    pub(super) kept: bool,
}

/// The objects in force by name, and whether each is the version before of a refused one.
fn objects<'c>(case: &'c Value, judged: &Judged) -> BTreeMap<String, (&'c Value, bool)> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let listed = |list: &str| case[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let refused: BTreeSet<&str> = judged.evaluated.invalid.iter().map(|refused| refused.name.as_str()).collect();
    let mut objects = BTreeMap::new();
    for object in listed("policies") {
        let name = name(object);
        if !refused.contains(name.as_str()) {
            objects.insert(name, (object, false));
        }
    }
    for object in listed("previous") {
        let name = name(object);
        let in_force = judged.traces.iter().flatten().flat_map(|trace| &trace.steps).any(|step| {
            matches!(step, Step::Element { object, .. } | Step::DefaultDeny { object, .. } if is_of(object, &name))
        });
        if refused.contains(name.as_str()) && in_force {
            objects.insert(name, (object, true));
        }
    }
    objects
}

/// Whether a step's object has this name; steps show the kind before it.
fn is_of(shown: &str, name: &str) -> bool {
    shown.rsplit([' ', '/']).next() == Some(name)
}

fn rules(object: &Value) -> Vec<(String, &Value)> {
    let listed = object["specs"].as_array().into_iter().flatten().enumerate();
    let listed = listed.map(|(index, rule)| (format!("specs[{index}]"), rule));
    object.get("spec").map(|rule| ("spec".to_owned(), rule)).into_iter().chain(listed).collect()
}

fn lists(rule: &Value) -> Vec<(&'static str, &[Value])> {
    let names = ["ingress", "ingressDeny", "egress", "egressDeny"];
    names.into_iter().filter_map(|name| Some((name, rule[name].as_array()?.as_slice()))).collect()
}

fn deciding<'c>(trace: &Trace, objects: &BTreeMap<String, (&'c Value, bool)>) -> Option<Deciding<'c>> {
    let Some(Step::Element { object, path, answer: Answer::Matches { .. }, .. }) = trace.steps.last() else {
        return None;
    };
    let (object, kept) = objects.iter().find(|(name, _)| is_of(object, name)).map(|(_, found)| *found)?;
    let (rule_path, place) = path.rsplit_once('.')?;
    let rule = object.pointer(&format!("/{}", rule_path.replace('[', "/").replace(']', "")))?;
    let (list, index) = place.strip_suffix(']')?.split_once('[')?;
    let (list, elements) = lists(rule).into_iter().find(|(name, _)| *name == list)?;
    Some(Deciding {
        rule,
        path: rule_path.to_owned(),
        list,
        element: elements.get(index.parse::<usize>().ok()?)?,
        kept,
    })
}

fn stage(trace: &Trace) -> &'static str {
    match trace.steps.last() {
        Some(Step::Element { deny: false, .. }) => "element allows",
        Some(Step::Element { deny: true, .. }) => "element denies",
        Some(Step::DefaultDeny { .. }) => "default deny",
        Some(Step::DefaultAllow) => "default allow",
        Some(Step::AlwaysDeny) => "always denies",
        _ => "not enforced",
    }
}

fn settings(case: &Value) -> Vec<String> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = case["config"].as_object().into_iter().flatten();
    members.map(|(key, value)| format!("{key}: {}", shown(value))).collect()
}

fn rule_facts(path: &str, rule: &Value) -> Vec<String> {
    let place = if path.starts_with("specs") { "specs" } else { "spec" };
    let lists = ["ingress", "ingressDeny", "egress", "egressDeny"];
    let keys = rule.as_object().into_iter().flatten().map(|(key, _)| key.clone());
    keys.filter(|key| !lists.contains(&key.as_str())).chain([place.to_owned()]).collect()
}

fn element_facts(list: &str, element: &Value) -> Vec<(&'static str, String)> {
    let mut facts = vec![(FIELD, list.to_owned())];
    facts.extend(element.as_object().into_iter().flatten().map(|(key, _)| (FIELD, key.clone())));
    facts.extend(peers(element).into_iter().map(|name| (PEER, name)));
    let (ports, fields) = ports(element);
    facts.extend(ports.into_iter().map(|name| (PORT, name.to_owned())));
    facts.extend(fields.into_iter().map(|name| (FIELD, name.to_owned())));
    facts.sort();
    facts.dedup();
    facts
}

fn peers(element: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    let mut fact = |name: &str| facts.push(name.to_owned());
    for (key, list) in element.as_object().into_iter().flatten() {
        let Some(items) =
            list.as_array().filter(|_| key.starts_with("from") || (key.starts_with("to") && key != "toPorts"))
        else {
            continue;
        };
        if items.is_empty() {
            fact("empty list");
        }
        for item in items {
            match item {
                Value::String(text) if key.ends_with("Entities") => fact(&format!("entity {text}")),
                Value::String(text) => prefix(text, &mut fact),
                Value::Object(rule) if key.ends_with("CIDRSet") => {
                    rule.get("cidr").and_then(Value::as_str).into_iter().for_each(|text| prefix(text, &mut fact));
                    if rule.contains_key("cidrGroupRef") {
                        fact("group by name");
                    }
                    if let Some(labels) = rule.get("cidrGroupSelector") {
                        let empty = labels.as_object().is_some_and(serde_json::Map::is_empty);
                        fact(if empty { "group by {}" } else { "group by labels" });
                    }
                    if rule.get("except").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
                        fact("except");
                    }
                }
                other => labels(other, &mut fact),
            }
        }
    }
    if facts.is_empty() {
        facts.push("none".to_owned());
    }
    facts
}

fn prefix(text: &str, fact: &mut impl FnMut(&str)) {
    let Ok(prefix) = text.parse::<ipnet::IpNet>() else { return };
    fact(match prefix {
        _ if prefix.prefix_len() == 0 => "prefix of length 0",
        _ if prefix.trunc() != prefix => "prefix with host bits",
        _ => "prefix",
    });
}

fn labels(selector: &Value, fact: &mut impl FnMut(&str)) {
    let (own, expressions) = (selector["matchLabels"].as_object(), selector["matchExpressions"].as_array());
    if own.is_none_or(serde_json::Map::is_empty) && expressions.is_none_or(Vec::is_empty) {
        fact("{}");
    }
    if own.is_some_and(|labels| !labels.is_empty()) {
        fact("label");
    }
    expressions.into_iter().flatten().filter_map(|one| one["operator"].as_str()).for_each(fact);
}

/// Forms of ports, and fields beside them.
fn ports(element: &Value) -> (Vec<&'static str>, Vec<&'static str>) {
    let listed = |name: &str| element[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut facts, mut fields) = (Vec::new(), Vec::new());
    if listed("toPorts").is_empty() && listed("icmps").is_empty() {
        facts.push("none");
    }
    for rule in listed("toPorts") {
        fields.extend(["serverNames", "rules"].into_iter().filter(|name| rule.get(*name).is_some()));
        let ports = rule["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        if ports.is_empty() {
            facts.push("no ports");
        }
        for port in ports {
            let protocol = port["protocol"].as_str().unwrap_or("no protocol");
            facts.extend(PORTS.iter().find(|known| **known == protocol));
            let (text, end) = (port["port"].as_str().unwrap_or_default(), port["endPort"].as_u64().unwrap_or_default());
            let plain = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
            facts.push(match plain {
                _ if text.is_empty() => "no port",
                Some(0) if end > 0 => "0 with endPort",
                Some(0) => "0",
                Some(first) if end > first => "range",
                Some(_) if end > 0 => "range downwards",
                Some(_) => "one",
                None if text.contains('_') || !text.contains(|one: char| one.is_ascii_alphabetic()) => "not decimal",
                None => "name",
            });
        }
    }
    for rule in listed("icmps") {
        let types = rule["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        if types.is_empty() {
            facts.push("no ports");
        }
        for kind in types {
            facts.push(if kind["family"] == "IPv6" { "ICMP IPv6" } else { "ICMP IPv4" });
            facts.push(match &kind["type"] {
                Value::String(_) => "ICMP name",
                number if number.as_i64() == Some(0) => "ICMP 0",
                _ => "ICMP number",
            });
        }
    }
    (facts, fields)
}
