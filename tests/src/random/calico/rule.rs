//! Rules with every field.

use ::policy::calico::settings::Dataplane;
use serde_json::{Value, json};

use super::policy::Context;
use super::{selector, world};
use crate::random::Dice;

/// ICMP types in rules and packets.
pub(super) const ICMP: [u8; 7] = [0, 3, 8, 11, 13, 15, 17];
/// As [`ICMP`].
pub(super) const ICMPV6: [u8; 9] = [1, 2, 128, 129, 133, 134, 135, 136, 137];

pub(super) fn rule(dice: &mut Dice, ingress: bool, context: &Context) -> Value {
    let action = dice.weighted(&[(45, "Allow"), (30, "Deny"), (15, "Pass"), (10, "Log")]);
    let mut rule = json!({"action": action});
    let six = dice.chance(30);
    match dice.number(..10) {
        0..3 => with_ports(dice, &mut rule),
        3 => icmp(dice, &mut rule, six, context.only == Some(Dataplane::Iptables)),
        4 => {
            rule["protocol"] =
                dice.pick(&[json!("UDPLite"), json!(47), json!(112), json!("SCTP"), json!(6), json!("TCP")])
        }
        5 => {
            rule["notProtocol"] =
                dice.pick(&[json!("TCP"), json!(17), json!("ICMP"), json!("ICMPv6"), json!("SCTP"), json!(47)])
        }
        6 if dice.chance(50) => {
            // Only names may stand without a protocol.
            let side = dice.pick(&["source", "destination"]);
            rule[side]["ports"] = json!([dice.pick(&world::PORT_NAMES)]);
        }
        _ => {}
    }
    if context.only == Some(Dataplane::Nftables) && dice.chance(10) {
        // Two matches of a protocol, or a type behind none, end Felix in iptables mode.
        match dice.number(..3) {
            0 if rule["protocol"].is_null() => rule["notICMP"] = json!({"type": dice.pick(&ICMP)}),
            _ => rule["notProtocol"] = json!(dice.pick(&["TCP", "UDP", "ICMP", "ICMPv6", "SCTP"])),
        }
    }
    if dice.chance(8) {
        rule["ipVersion"] = json!(if six { 6 } else { 4 });
    }
    for side in ["source", "destination"] {
        if dice.chance(45) {
            entity(dice, &mut rule[side], six);
        }
    }
    if dice.chance(6) {
        long_lists(dice, &mut rule, six);
    }
    if dice.chance(5) {
        let service =
            json!({"name": dice.weighted(&[(4, world::SERVICES[0]), (1, world::SERVICES[1])]), "namespace": "default"});
        let side = if ingress { "source" } else { "destination" };
        rule[side] = json!({"services": service});
        if !ingress
            && context.only != Some(Dataplane::Iptables)
            && [47, 112].iter().any(|number| rule["protocol"] == *number)
        {
            // In nftables mode a service behind a protocol of which nft knows no header ends Felix.
            rule["protocol"] = json!("UDPLite");
        }
    }
    if dice.chance(3) && ingress && action == "Allow" {
        rule["http"] = json!({"methods": ["GET"]});
    }
    if dice.chance(3) {
        rule["metadata"] = json!({"annotations": {"note": "x"}});
    }
    if dice.chance(2) {
        spoil(dice, &mut rule, context);
    }
    // A side that nothing was written on.
    if let Some(fields) = rule.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    rule
}

fn with_ports(dice: &mut Dice, rule: &mut Value) {
    rule["protocol"] = dice.pick(&[json!("TCP"), json!("TCP"), json!("UDP"), json!("SCTP"), json!(6), json!(17)]);
    for side in ["source", "destination"] {
        for field in ["ports", "notPorts"] {
            let chance = match (side, field) {
                ("destination", "ports") => 75,
                _ => 12,
            };
            if dice.chance(chance) {
                rule[side][field] = dice.list(1..=3, port).into();
            }
        }
    }
}

/// Ports and prefixes in lists that one match of the packet filter cannot hold.
fn long_lists(dice: &mut Dice, rule: &mut Value, six: bool) {
    let Some(fields) = rule.as_object_mut() else { return };
    fields.retain(|field, _| field == "action");
    rule["protocol"] = dice.pick(&[json!("TCP"), json!("UDP")]);
    for (side, chance) in [("source", 35), ("destination", 75)] {
        if dice.chance(chance) {
            rule[side]["ports"] = if dice.chance(80) {
                json!([format!("{}:65535", dice.pick(&[1, 1, 1, 1024])), dice.pick(&world::PORT_NAMES)])
            } else {
                dice.list(15..=17, |dice| json!(dice.pick(&world::PORTS))).into()
            };
        }
        if dice.chance(85) {
            let pool: &[&str] = if six { &world::NETS_V6 } else { &world::NETS_V4 };
            rule[side]["nets"] = json!(dice.several(pool, 2..=3));
        }
        if dice.chance(15) {
            entity(dice, &mut rule[side], six);
        }
    }
}

fn port(dice: &mut Dice) -> Value {
    let from = dice.pick(&world::PORTS);
    match dice.number(..10) {
        0..5 => json!(from),
        5..8 => {
            let to = from.saturating_add(dice.pick(&[0, 1, 100, 2767]));
            json!(format!("{from}:{to}"))
        }
        _ => json!(dice.pick(&world::PORT_NAMES)),
    }
}

fn icmp(dice: &mut Dice, rule: &mut Value, six: bool, with_codes: bool) {
    rule["protocol"] = json!(if six { "ICMPv6" } else { "ICMP" });
    if dice.chance(75) {
        let kind = if six { dice.pick(&ICMPV6) } else { dice.pick(&ICMP) };
        let field = dice.pick(&["icmp", "icmp", "notICMP"]);
        rule[field] = json!({"type": kind});
        if with_codes && dice.chance(60) {
            rule[field]["code"] = json!(dice.number(..=2));
        }
    }
}

fn entity(dice: &mut Dice, entity: &mut Value, six: bool) {
    let own = |dice: &mut Dice, negated: bool| {
        let pool: &[&str] = if six { &world::NETS_V6 } else { &world::NETS_V4 };
        // The whole of a family may not be excluded.
        let pool = if negated { &pool[..pool.len() - 1] } else { pool };
        dice.several(pool, 1..=3)
    };
    let fields = dice.weighted(&[(40, 0), (20, 1), (20, 2), (12, 3), (8, 4)]);
    match fields {
        0 => entity["nets"] = json!(own(dice, false)),
        1 => entity["selector"] = json!(selector::selector(dice)),
        2 => {
            if dice.chance(60) {
                entity["nets"] = json!(own(dice, false));
            }
            entity["notNets"] = json!(own(dice, true));
        }
        3 => {
            if dice.chance(60) {
                // A blank one beside it ends Felix.
                entity["selector"] = json!(selector::expression(dice, 2));
            }
            entity["notSelector"] = json!(selector::expression(dice, 1));
            if dice.chance(25) {
                entity["nets"] = json!(own(dice, false));
            }
        }
        _ => match dice.number(..3) {
            0 => {
                entity["namespaceSelector"] = json!(dice.pick(&["all()", "global()", "global()"]));
                if dice.chance(50) {
                    entity["selector"] = json!(selector::selector(dice));
                }
            }
            1 => entity["serviceAccounts"] = json!({"names": ["sa"]}),
            _ => entity["serviceAccounts"] = json!({"selector": "all()"}),
        },
    }
}

/// What Calico's validator refuses.
fn spoil(dice: &mut Dice, rule: &mut Value, context: &Context) {
    let which = dice.number(..6);
    if let (2 | 3, Some(fields)) = (which, rule.as_object_mut()) {
        // Beside another protocol a type ends Felix, and in iptables mode another one that is excluded.
        let kept = |field: &str| match field {
            "icmp" | "notICMP" => false,
            "notProtocol" => context.only == Some(Dataplane::Nftables),
            _ => true,
        };
        fields.retain(|field, _| kept(field));
    }
    match which {
        0 => rule["source"] = json!({"nets": ["10.9.0.7/24"]}),
        1 => rule["source"] = json!({"notNets": ["0.0.0.0/0"]}),
        2 => rule["protocol"] = json!("tcp"),
        3 => {
            rule["protocol"] = json!("ICMP");
            rule["ipVersion"] = json!(6);
        }
        4 => rule["destination"] = json!({"selector": "role =="}),
        _ => rule["destination"] = json!({"nets": ["10.9.0.0/16", "fd09::/16"]}),
    }
}
