//! Ways in which Calico surprises, and how often a packet falls into one.

use policy::calico::trace::{Hook, Outcome, Stage, Trace};
use serde_json::Value;

use crate::verdicts::calico::{Case, CasePacket, Direction};

const ALL_IN_RULE: &str = "all() in a rule is known endpoints and sets only";
const EVERYBODY: &str = "an empty selector or all() of a policy takes every endpoint";
const TYPES_BY_LENGTH: &str = "absent types are filled in by the length of the lists";
const TYPES_BOTH: &str = "absent types of a stored policy are both";
const ONE_DIRECTION: &str = "a tier without policies of a direction is not asked about it";
const NO_TIER: &str = "a policy in a tier that is not there is enforced, last";
const STAGED_ONLY: &str = "a tier with staged policies only is passed";
const NO_ORDER: &str = "a tier without order is where the default tier is";
const TIES: &str = "policies of equal order go by name";
const TIER_OF_NAME: &str = "3.31 takes the tier from the name";
const FAILSAFE_MANGLE: &str = "failsafe ports before preDNAT policies";
const FAILSAFE_RAW: &str = "failsafe ports before untracked policies";
const INVALID_FIRST: &str = "what belongs to no flow is dropped before failsafe ports and policies";
const INVALID_SKIPS: &str = "in nftables mode what belongs to no flow leaves the host unasked";
const TUNNEL: &str = "a tunnel of Calico's own is decided before policies";
const LOOPBACK: &str = "an endpoint of all interfaces has lo too";
const POD_TO_NODE: &str = "packets from a pod's interface skip the policies of the host";
const LEAK: &str = "preDNAT policies of all interfaces reach interfaces with an endpoint of their own";
const PRE_THEN_FORWARD: &str = "a preDNAT allow does not skip the way out";
const FORWARD_UNDECIDED: &str = "forward policies of the other direction only decide nothing";
const UNTRACKED_STAR: &str = "untracked policies are ignored on an endpoint of all interfaces";
const TWO_ENDPOINTS: &str = "of two endpoints on an interface the smaller name wins";
const AND_NOT: &str = "notSelector beside selector is taken per endpoint";
const NOT_ALONE: &str = "notSelector alone takes the world";
const UNRESOLVED: &str = "a port name that nothing has";
const OTHER_FAMILY: &str = "a rule with prefixes of one family is none in the other";
const OVERLOOKED: &str = "the third of a rule's longer lists is overlooked";
const NO_PROFILE: &str = "a profile that is not there denies";

pub(super) const ALL: &[&str] = &[
    ALL_IN_RULE,
    EVERYBODY,
    TYPES_BY_LENGTH,
    TYPES_BOTH,
    ONE_DIRECTION,
    NO_TIER,
    STAGED_ONLY,
    NO_ORDER,
    TIES,
    TIER_OF_NAME,
    FAILSAFE_MANGLE,
    FAILSAFE_RAW,
    INVALID_FIRST,
    INVALID_SKIPS,
    TUNNEL,
    LOOPBACK,
    POD_TO_NODE,
    LEAK,
    PRE_THEN_FORWARD,
    FORWARD_UNDECIDED,
    UNTRACKED_STAR,
    TWO_ENDPOINTS,
    AND_NOT,
    NOT_ALONE,
    UNRESOLVED,
    OTHER_FAMILY,
    OVERLOOKED,
    NO_PROFILE,
];

/// The traps that a packet is in.
pub(super) fn sprung(
    case: &Case,
    packet: &CasePacket,
    trace: &Trace,
    deciding: Option<(&Value, &Value)>,
) -> Vec<&'static str> {
    let mut traps = by_stage(case, packet, trace);
    if let Some((policy, rule)) = deciding {
        traps.extend(by_policy(case, policy));
        traps.extend(by_rule(rule));
    }
    let six = packet.src.is_ipv6();
    if all_rules(case).any(|rule| foreign(rule, six)) && trace.steps.iter().any(|step| step.outcome == Outcome::NoMatch)
    {
        traps.push(OTHER_FAMILY);
    }
    if trace.decision().is_some_and(|step| step.reason.contains("overlooks")) {
        traps.push(OVERLOOKED);
    }
    traps
}

fn by_stage(case: &Case, packet: &CasePacket, trace: &Trace) -> Vec<&'static str> {
    let Some(step) = trace.decision() else { return Vec::new() };
    let mut traps = Vec::new();
    let passed = |hook: Hook, stage: fn(&Stage) -> bool| {
        trace.steps.iter().any(|step| step.hook == hook && stage(&step.stage) && step.outcome == Outcome::Accept)
    };
    let failsafe = |stage: &Stage| *stage == Stage::Failsafe;
    let tier = |stage: &Stage| matches!(stage, Stage::Tier(_));
    if passed(Hook::ManglePrerouting, failsafe) {
        traps.push(FAILSAFE_MANGLE);
    }
    if passed(Hook::RawPrerouting, failsafe) || passed(Hook::RawOutput, failsafe) {
        traps.push(FAILSAFE_RAW);
    }
    if passed(Hook::ManglePrerouting, tier) && packet.dir == Direction::Fwd {
        traps.push(PRE_THEN_FORWARD);
    }
    let policies = || case.objects.iter().filter(|object| object["kind"] == "GlobalNetworkPolicy");
    let star = case.objects.iter().any(|object| object["spec"]["interfaceName"] == "*");
    match (&step.stage, step.outcome) {
        (Stage::Conntrack, Outcome::Drop) => traps.push(INVALID_FIRST),
        (Stage::Tunnel, _) => traps.push(TUNNEL),
        (Stage::Workload, _) if packet.dir == Direction::In => traps.push(POD_TO_NODE),
        (Stage::Profile(name), Outcome::Drop) if name == "missing" => traps.push(NO_PROFILE),
        _ => {}
    }
    if packet.iface == "lo" && star && step.stage != Stage::Endpoint {
        traps.push(LOOPBACK);
    }
    let invalid = trace.conntrack == policy::calico::question::Conntrack::Invalid;
    if invalid && packet.dir == Direction::Out && trace.verdict.passes() {
        traps.push(INVALID_SKIPS);
    }
    if step.hook == Hook::Forward
        && trace.verdict.passes()
        && policies().any(|one| one["spec"]["applyOnForward"] == true)
    {
        traps.push(FORWARD_UNDECIDED);
    }
    if star && policies().any(|one| one["spec"]["doNotTrack"] == true) {
        traps.push(UNTRACKED_STAR);
    }
    let named =
        |object: &&Value| object["spec"]["interfaceName"] == packet.iface && object["spec"]["node"] == *case.node;
    let own = case.objects.iter().filter(named).count();
    if own > 1 && matches!(step.stage, Stage::Tier(_) | Stage::EndOfTier(_) | Stage::Profile(_) | Stage::End) {
        traps.push(TWO_ENDPOINTS);
    }
    if own > 0 && star && step.hook == Hook::ManglePrerouting && tier(&step.stage) {
        traps.push(LEAK);
    }
    if matches!(step.stage, Stage::Profile(_))
        && policies().any(|one| one["spec"]["types"].as_array().is_some_and(|list| list.len() == 1))
    {
        traps.push(ONE_DIRECTION);
    }
    if matches!(step.stage, Stage::Profile(_))
        && case.objects.iter().any(|one| one["kind"] == "StagedGlobalNetworkPolicy")
    {
        traps.push(STAGED_ONLY);
    }
    traps
}

fn by_policy(case: &Case, policy: &Value) -> Vec<&'static str> {
    let mut traps = Vec::new();
    let spec = &policy["spec"];
    if spec["selector"].as_str().is_none_or(|text| text.trim().is_empty() || text == "all()") {
        traps.push(EVERYBODY);
    }
    if spec["types"].is_null() {
        traps.push(if case.raw { TYPES_BOTH } else { TYPES_BY_LENGTH });
    }
    let name = policy["metadata"]["name"].as_str().unwrap_or_default();
    let tier = name.split_once('.').map_or("default", |(tier, _)| tier);
    if spec["tier"].as_str().is_some_and(|written| written != tier) {
        traps.push(TIER_OF_NAME);
    }
    let found = case.objects.iter().find(|object| object["kind"] == "Tier" && object["metadata"]["name"] == *tier);
    match found {
        None if tier != "default" => traps.push(NO_TIER),
        Some(tier) if tier["spec"]["order"].is_null() => traps.push(NO_ORDER),
        _ => {}
    }
    let equal = |other: &&Value| other["kind"] == policy["kind"] && other["spec"]["order"] == spec["order"];
    if case.objects.iter().filter(equal).count() > 1 {
        traps.push(TIES);
    }
    traps
}

fn by_rule(rule: &Value) -> Vec<&'static str> {
    let mut traps = Vec::new();
    for side in ["source", "destination"] {
        let entity = &rule[side];
        if entity["selector"]
            .as_str()
            .is_some_and(|text| text.contains("all()") || (!text.is_empty() && text.trim().is_empty()))
        {
            traps.push(ALL_IN_RULE);
        }
        if entity["notSelector"].is_string() {
            let positive = entity["selector"].as_str().is_some_and(|text| !text.is_empty());
            traps.push(if positive { AND_NOT } else { NOT_ALONE });
        }
        let lists = ["ports", "notPorts"].into_iter().flat_map(|list| entity[list].as_array().into_iter().flatten());
        if lists.into_iter().any(|port| port == "nosuch") {
            traps.push(UNRESOLVED);
        }
    }
    traps
}

fn all_rules(case: &Case) -> impl Iterator<Item = &Value> {
    let lists = case.objects.iter().flat_map(|object| [&object["spec"]["ingress"], &object["spec"]["egress"]]);
    lists.filter_map(Value::as_array).flatten()
}

/// Whether it has prefixes, and none of the family.
fn foreign(rule: &Value, six: bool) -> bool {
    let sides = [&rule["source"], &rule["destination"]];
    sides
        .iter()
        .flat_map(|side| [&side["nets"], &side["notNets"]])
        .filter_map(Value::as_array)
        .any(|nets| !nets.is_empty() && nets.iter().filter_map(Value::as_str).all(|net| net.contains(':') != six))
}
