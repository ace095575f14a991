//! Policies and rules.

use serde_json::{Map, Value, json};

use super::element::{self, Side};
use super::{Dice, invalid};

/// A policy. Of those with one number there is one at a time, because its name is made of it.
pub(super) fn object(dice: &mut Dice, number: usize) -> Value {
    let mut object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": format!("p{number}")},
    });
    let shape = dice.weighted(&[(75, 0), (15, 1), (8, 2), (2, 3)]);
    if shape == 0 || shape == 2 {
        object["spec"] = rule(dice);
    }
    match shape {
        1 | 2 => object["specs"] = Value::Array(dice.list(1..=3, rule)),
        3 => object["specs"] = json!([]),
        _ => {}
    }
    if dice.chance(9) {
        invalid::spoil(dice, &mut object);
    }
    object
}

fn rule(dice: &mut Dice) -> Value {
    let mut rule = Map::new();
    if dice.chance(4) {
        rule.insert(
            "endpointSelector".to_owned(),
            json!(dice.pick(&[json!({}), json!({"matchLabels": {"reserved:host": ""}})])),
        );
    } else {
        rule.insert("nodeSelector".to_owned(), subject(dice));
    }
    let lists = dice.weighted(&[
        (40, 0b0001),
        (15, 0b0011),
        (20, 0b0100),
        (8, 0b1100),
        (6, 0b0101),
        (6, 0b1111),
        (5, 0b0010),
        (3, 0b1000),
    ]);
    for (bit, name, side) in [
        (1, "ingress", Side { from: true, deny: false }),
        (2, "ingressDeny", Side { from: true, deny: true }),
        (4, "egress", Side { from: false, deny: false }),
        (8, "egressDeny", Side { from: false, deny: true }),
    ] {
        if lists & bit != 0 {
            let elements = dice.list(1..=3, |dice| element::element(dice, side));
            rule.insert(name.to_owned(), Value::Array(elements));
        } else if dice.chance(3) {
            rule.insert(name.to_owned(), json!([]));
        }
    }
    if dice.chance(35) {
        let mut stated = Map::new();
        for direction in ["ingress", "egress"] {
            if dice.chance(70) {
                stated.insert(direction.to_owned(), json!(dice.chance(35)));
            }
        }
        rule.insert("enableDefaultDeny".to_owned(), Value::Object(stated));
    }
    if dice.chance(4) {
        rule.insert("description".to_owned(), json!("free text"));
        rule.insert("log".to_owned(), json!({"value": "a text for the log"}));
        rule.insert("labels".to_owned(), json!([{"key": "k", "source": "k8s", "value": "v"}]));
    }
    Value::Object(rule)
}

fn subject(dice: &mut Dice) -> Value {
    if dice.chance(60) {
        return json!({});
    }
    let keys = [
        "rack",
        "k8s:rack",
        "tier",
        "node-role.kubernetes.io/control-plane",
        "node-role.kubernetes.io/worker",
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
        "reserved:host",
        "host",
        "any:tier",
    ];
    element::selector(dice, &keys)
}
