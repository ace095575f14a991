//! What a case holds, and what of it decides packets.

use std::collections::BTreeSet;

use policy::calico::trace::{Hook, Stage, Step, Trace};
use serde_json::Value;

use super::traps;
use crate::coverage::Coverage;
use crate::felix::compare::Pair;
use crate::verdicts::calico::{CasePacket, Direction};

/// Fields of rules, with their forms where these differ.
const FIELD: &str = "rule field";
/// Fields of policies.
const POLICY: &str = "policy field";
/// Operators of selectors in rules.
const OPERATOR: &str = "selector in a rule";
/// Fields and forms of host endpoints.
const ENDPOINT: &str = "host endpoint";
/// Settings of Felix that are not the default.
const SETTING: &str = "setting";
/// Where and by what a packet is decided.
const STAGE: &str = "stage";
/// What packets are.
const PACKET: &str = "packet";
/// Objects besides policies.
const OBJECT: &str = "object";
/// Ways in which Calico surprises.
pub(super) const TRAP: &str = "trap";

const FIELDS: &[&str] = &[
    "action: Allow",
    "action: Deny",
    "action: Pass",
    "action: Log",
    "protocol",
    "notProtocol",
    "notProtocol beside protocol",
    "ipVersion",
    "icmp.type",
    "icmp.code",
    "notICMP.type",
    "notICMP.code",
    "http",
    "metadata",
    "source.nets",
    "source.notNets",
    "source.selector",
    "source.notSelector",
    "source.namespaceSelector",
    "source.serviceAccounts",
    "source.services",
    "source.ports",
    "source.notPorts",
    "destination.nets",
    "destination.notNets",
    "destination.selector",
    "destination.notSelector",
    "destination.namespaceSelector",
    "destination.serviceAccounts",
    "destination.services",
    "destination.ports",
    "destination.notPorts",
    "port number",
    "port range",
    "port name",
];
const POLICIES: &[&str] = &[
    "tier",
    "order",
    "selector",
    "types",
    "no types",
    "doNotTrack",
    "preDNAT",
    "applyOnForward",
    "namespaceSelector",
    "serviceAccountSelector",
    "performanceHints",
    "staged",
    "stored as it is",
];
const OPERATORS: &[&str] = &[
    "==",
    "!=",
    " in {",
    "not in",
    "notin",
    "has(",
    "contains",
    "starts with",
    "endswith",
    "&&",
    "||",
    "!",
    "all()",
    "global()",
    "(",
];
const STAGES: &[&str] = &[
    "raw PREROUTING: tier",
    "raw OUTPUT: tier",
    "mangle PREROUTING: tier",
    "mangle PREROUTING: conntrack",
    "filter INPUT: failsafe ports",
    "filter INPUT: conntrack",
    "filter INPUT: tier",
    "filter INPUT: end of tier",
    "filter INPUT: profile",
    "filter INPUT: end",
    "filter OUTPUT: failsafe ports",
    "filter OUTPUT: conntrack",
    "filter OUTPUT: tier",
    "filter OUTPUT: end of tier",
    "filter OUTPUT: profile",
    "filter OUTPUT: end",
    "filter FORWARD: conntrack",
    "filter FORWARD: tier",
    "filter FORWARD: end of tier",
    "filter FORWARD: end",
];

pub(super) fn declared() -> Coverage {
    let mut coverage = Coverage::default();
    coverage.declare(FIELD, FIELDS);
    coverage.declare(POLICY, POLICIES);
    coverage.declare(OPERATOR, OPERATORS);
    coverage.declare(STAGE, STAGES);
    coverage.declare(TRAP, traps::ALL);
    coverage
}

/// Counts what a case has, and what decides its packets.
pub(super) fn count(pair: &Pair, coverage: &mut Coverage) {
    let mut seen = BTreeSet::new();
    let objects = &pair.case.objects;
    for object in objects {
        seen.extend(object_facts(object));
        for (_, rule) in rules(object) {
            seen.extend(rule_facts(rule));
        }
    }
    if pair.case.raw {
        seen.insert((POLICY, "stored as it is".to_owned()));
    }
    let settings: Vec<_> = pair.case.env.keys().map(|name| (SETTING, format!("environment: {name}"))).collect();
    seen.extend(settings);
    for (packet, trace) in pair.case.packets.iter().zip(&pair.traces) {
        let mut decided = vec![(STAGE, stage(trace))];
        decided.extend(packet_facts(packet).into_iter().map(|fact| (PACKET, fact)));
        let rule = deciding(trace, objects);
        if let Some((policy, rule)) = rule {
            decided.extend(rule_facts(rule));
            decided.extend(object_facts(policy));
        }
        decided.extend(traps::sprung(&pair.case, packet, trace, rule).into_iter().map(|trap| (TRAP, trap.to_owned())));
        for (group, name) in decided {
            coverage.decided(group, &name);
            seen.insert((group, name));
        }
    }
    for (group, name) in seen {
        coverage.occurred(group, &name);
    }
}

/// Rules with their direction.
fn rules(object: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    ["ingress", "egress"].into_iter().flat_map(move |direction| {
        object["spec"][direction].as_array().into_iter().flatten().map(move |rule| (direction, rule))
    })
}

/// The rule that decides a packet, and its policy, if it is one.
fn deciding<'c>(trace: &Trace, objects: &'c [Value]) -> Option<(&'c Value, &'c Value)> {
    let step = trace.decision()?;
    let (key, index) = (step.object.as_ref()?, step.rule?);
    let policy =
        objects.iter().find(|object| object["kind"] == *key.kind && object["metadata"]["name"] == *key.name)?;
    let rule = |direction: &str| policy["spec"][direction].get(index);
    let rule = match step.hook {
        Hook::RawOutput | Hook::Output | Hook::ManglePostrouting => rule("egress"),
        // The step does not say which end of the way it is; only one may have such a rule.
        Hook::Forward => match (rule("ingress"), rule("egress")) {
            (Some(_), Some(_)) => None,
            (ingress, egress) => ingress.or(egress),
        },
        _ => rule("ingress"),
    }?;
    Some((policy, rule))
}

fn stage(trace: &Trace) -> String {
    let Some(step) = trace.decision() else { return "nothing of Calico's".to_owned() };
    let Step { hook, stage, .. } = step;
    let stage = match stage {
        Stage::Tier(_) => "tier".to_owned(),
        Stage::EndOfTier(_) => "end of tier".to_owned(),
        Stage::Profile(_) => "profile".to_owned(),
        other => other.to_string(),
    };
    format!("{hook}: {stage}")
}

fn packet_facts(packet: &CasePacket) -> Vec<String> {
    let way = match (packet.dir, packet.iface.as_str()) {
        (_, "lo") => "local",
        (Direction::In, _) => "in",
        (Direction::Out, _) => "out",
        (Direction::Fwd, _) => "forwarded",
    };
    let family = if packet.src.is_ipv4() { "IPv4" } else { "IPv6" };
    vec![way.to_owned(), family.to_owned(), format!("protocol {}", packet.proto)]
}

fn object_facts(object: &Value) -> Vec<(&'static str, String)> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let spec = &object["spec"];
    let keys = || spec.as_object().into_iter().flat_map(serde_json::Map::keys).cloned();
    match kind {
        "HostEndpoint" => {
            let form = match spec["interfaceName"].as_str() {
                _ if spec["node"] != "node-a" => "of another node",
                Some("*") if object["metadata"]["labels"]["projectcalico.org/created-by"].is_string() => "automatic",
                Some("*") => "of all interfaces",
                Some(_) => "of an interface",
                None => "by address",
            };
            keys().chain([form.to_owned()]).map(|name| (ENDPOINT, name)).collect()
        }
        "FelixConfiguration" => keys().map(|name| (SETTING, name)).collect(),
        "GlobalNetworkPolicy" | "StagedGlobalNetworkPolicy" => {
            let mut facts: Vec<_> = keys().filter(|name| name != "ingress" && name != "egress").collect();
            if kind.starts_with("Staged") {
                facts.push("staged".to_owned());
            }
            if spec["types"].is_null() {
                facts.push("no types".to_owned());
            }
            facts.into_iter().map(|name| (POLICY, name)).collect()
        }
        other => vec![(OBJECT, other.to_owned())],
    }
}

fn rule_facts(rule: &Value) -> Vec<(&'static str, String)> {
    let mut facts = BTreeSet::new();
    let fields =
        |value: &Value| value.as_object().into_iter().flat_map(serde_json::Map::keys).cloned().collect::<Vec<_>>();
    for field in fields(rule) {
        match field.as_str() {
            "action" => drop(facts.insert((FIELD, format!("action: {}", rule["action"].as_str().unwrap_or_default())))),
            "source" | "destination" | "icmp" | "notICMP" => {
                for inner in fields(&rule[&field]) {
                    facts.insert((FIELD, format!("{field}.{inner}")));
                }
            }
            _ => drop(facts.insert((FIELD, field))),
        }
    }
    if [&rule["protocol"], &rule["notProtocol"]].iter().all(|protocol| !protocol.is_null()) {
        facts.insert((FIELD, "notProtocol beside protocol".to_owned()));
    }
    for side in ["source", "destination"] {
        let entity = &rule[side];
        for port in ["ports", "notPorts"].iter().flat_map(|list| entity[*list].as_array().into_iter().flatten()) {
            let form = match port.as_str() {
                None => "port number",
                Some(text) if text.contains(':') => "port range",
                Some(_) => "port name",
            };
            facts.insert((FIELD, form.to_owned()));
        }
        for text in ["selector", "notSelector", "namespaceSelector"].iter().filter_map(|field| entity[*field].as_str())
        {
            let used = OPERATORS.iter().filter(|operator| text.contains(**operator));
            facts.extend(used.map(|operator| (OPERATOR, (*operator).to_owned())));
        }
    }
    facts.into_iter().collect()
}
