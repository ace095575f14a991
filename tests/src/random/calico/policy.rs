//! GlobalNetworkPolicies of every class.

use ::policy::calico::settings::Dataplane;
use serde_json::{Value, json};

use super::{rule, selector};
use crate::random::Dice;

/// What the policies of a case have in common.
pub(super) struct Context {
    /// Whether they are stored as they are.
    pub(super) raw: bool,
    /// The one mode that the case is for, where it may hold what ends Felix in the other.
    pub(super) only: Option<Dataplane>,
    /// Tiers besides the default one.
    pub(super) tiers: Vec<String>,
    /// Index of the case.
    pub(super) index: u64,
}

pub(super) fn object(dice: &mut Dice, context: &Context, number: usize) -> Value {
    let tier = match context.tiers.as_slice() {
        // A tier that is not there.
        _ if dice.chance(3) => format!("nope-{}", context.index),
        [] => "default".to_owned(),
        _ if dice.chance(35) => "default".to_owned(),
        tiers => dice.pick(tiers),
    };
    let plain = dice.pick(&["a", "b", "b-x", "p-1", "zz"]);
    let name = format!("{plain}{number}");
    let name = match (tier.as_str(), context.raw) {
        // As the aggregated API stores it, and as one writes it by hand.
        ("default", true) if dice.chance(50) => format!("default.{name}"),
        ("default", _) => name,
        // Which tier it is in, 3.31 takes from the name.
        _ if dice.chance(3) => name,
        _ => format!("{tier}.{name}"),
    };
    let mut spec = json!({"selector": policy_selector(dice)});
    if tier != "default" || dice.chance(30) {
        spec["tier"] = json!(tier);
    }
    if dice.chance(80) {
        spec["order"] = dice.pick(&[json!(1), json!(10), json!(10), json!(10.5), json!(20), json!(-3)]);
    }
    let class = dice.weighted(&[(45, "normal"), (25, "forward"), (15, "pre"), (15, "untracked")]);
    match class {
        "forward" => spec["applyOnForward"] = json!(true),
        "pre" => {
            spec["preDNAT"] = json!(true);
            spec["applyOnForward"] = json!(true);
        }
        "untracked" => {
            spec["doNotTrack"] = json!(true);
            spec["applyOnForward"] = json!(true);
        }
        _ => {}
    }
    match dice.number(..7) {
        0..3 => {}
        3 | 4 => spec["types"] = json!(["Ingress"]),
        _ if class == "pre" => spec["types"] = json!(["Ingress"]),
        5 => spec["types"] = json!(["Egress"]),
        _ => spec["types"] = json!(["Ingress", "Egress"]),
    }
    if spec["types"] != json!(["Egress"]) || dice.chance(10) {
        spec["ingress"] = rules(dice, context, true).into();
    }
    if (class != "pre" && spec["types"] != json!(["Ingress"])) || dice.chance(2) {
        spec["egress"] = rules(dice, context, false).into();
    }
    if dice.chance(4) {
        spec["namespaceSelector"] = json!(dice.pick(&["all()", "role == 'x'"]));
    }
    if dice.chance(3) {
        spec["serviceAccountSelector"] = json!("all()");
    }
    if dice.chance(5) {
        spec["performanceHints"] = json!(["AssumeNeededOnEveryNode"]);
    }
    let kind = if dice.chance(4) { "StagedGlobalNetworkPolicy" } else { "GlobalNetworkPolicy" };
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn rules(dice: &mut Dice, context: &Context, ingress: bool) -> Vec<Value> {
    dice.list(..=4, |dice| rule::rule(dice, ingress, context))
}

/// Mostly one that selects something.
fn policy_selector(dice: &mut Dice) -> String {
    if dice.chance(1) {
        return dice.pick(&["has(role", "role = 'x'", "has(a)) || (all()"]).to_owned();
    }
    if dice.chance(40) {
        dice.pick(&["all()", "", "has(role) || !has(role)"]).to_owned()
    } else {
        selector::selector(dice)
    }
}
