//! Mistakes: what users write that the API server's schema, the agent's decoder or its checks refuse.

use serde_json::{Value, json};

use super::Dice;

/// Puts a mistake into a policy.
pub(super) fn spoil(dice: &mut Dice, object: &mut Value) {
    let place = if object["spec"].is_object() { "/spec" } else { "/specs/0" };
    let Some(rule) = object.pointer_mut(place) else { return };
    if dice.chance(35) {
        spoil_rule(dice, rule);
        return;
    }
    let lists: Vec<&str> = ["ingress", "ingressDeny", "egress", "egressDeny"]
        .into_iter()
        .filter(|name| rule[*name].get(0).is_some())
        .collect();
    if lists.is_empty() {
        spoil_rule(dice, rule);
        return;
    }
    let name = dice.pick(&lists);
    let side = if name.starts_with("ingress") { "from" } else { "to" };
    spoil_element(dice, &mut rule[name][0], side);
}

fn spoil_rule(dice: &mut Dice, rule: &mut Value) {
    match dice.number(..12) {
        0 => rule["endpointSelector"] = json!({}),
        1 => {
            rule.as_object_mut().map(|rule| rule.remove("nodeSelector"));
        }
        2 => {
            for name in ["ingress", "ingressDeny", "egress", "egressDeny"] {
                rule.as_object_mut().map(|rule| rule.remove(name));
            }
            rule["ingress"] = json!([]);
        }
        3 => rule["nodeSelector"] = json!({"matchLabels": {"k8s:a:b": ""}}),
        4 => rule["nodeSelector"] = json!({"matchLabels": {"rack": "no value!"}}),
        5 => rule["nodeSelector"] = json!({"matchExpressions": [{"key": "rack", "operator": "In"}]}),
        6 => {
            rule["nodeSelector"] =
                json!({"matchExpressions": [{"key": "rack", "operator": "Exists", "values": ["r1"]}]})
        }
        7 => {
            rule["nodeSelector"] =
                json!({"matchExpressions": [{"key": "rack", "operator": "Equals", "values": ["r1"]}]})
        }
        8 => rule["log"] = json!({"value": "a text for the log that is far too long"}),
        9 => rule["enableDefaultDeny"] = json!({"ingress": "no"}),
        10 => rule["ingress"] = json!({}),
        _ => rule["noSuchField"] = json!(1),
    }
}

fn spoil_element(dice: &mut Dice, element: &mut Value, side: &str) {
    let field = |name: &str| format!("{side}{name}");
    let port = |port: Value| json!([{"ports": [port]}]);
    match dice.number(..30) {
        0 => {
            element[field("Entities")] = json!(["world"]);
            element[field("CIDR")] = json!(["10.0.0.0/8"]);
        }
        1 => {
            element[field("Endpoints")] = json!([{}]);
            element[field("CIDRSet")] = json!([{"cidr": "10.0.0.0/8"}]);
        }
        2 => {
            element["icmps"] = json!([{"fields": [{"type": 8}]}]);
            element["toPorts"] = port(json!({"port": "22"}));
        }
        3 => element[field("Entities")] = json!(["everyone"]),
        4 => element[field("Entities")] = json!(["world-ipv4"]),
        5 => {
            element[field("CIDR")] =
                json!([dice.pick(&["300.0.0.0/8", "10.0.0.0/33", "10.0.0.0/08", "010.0.0.0/8", "x"])])
        }
        6 => element[field("CIDRSet")] = json!([{"cidr": "192.0.2.0/24", "except": ["10.0.0.0/25"]}]),
        7 => element[field("CIDRSet")] = json!([{"cidr": "192.0.2.0/25", "except": ["192.0.2.0/24"]}]),
        8 => element[field("CIDRSet")] = json!([{"cidr": "192.0.2.0/24", "cidrGroupRef": "office"}]),
        9 => element[field("CIDRSet")] = json!([{}]),
        10 => element[field("CIDRSet")] = json!([{"cidrGroupRef": "No Name"}]),
        11 => element[field("Endpoints")] = json!([{"matchLabels": {"-bad": "x"}}]),
        12 => {
            element[field("Endpoints")] =
                json!([{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]}])
        }
        13 => element[field("Requires")] = json!([{}]),
        14 => element[field("Nodes")] = json!([{"matchLabels": {"rack": "a value with blanks"}}]),
        15 => {
            element["toPorts"] =
                port(json!({"port": dice.pick(&["99999", "-1", "1.5", "08", "a--b", "1_"]), "protocol": "TCP"}))
        }
        16 => element["toPorts"] = port(json!({"port": 22, "protocol": "TCP"})),
        17 => element["toPorts"] = port(json!({"port": "22", "protocol": dice.pick(&["tcp", "ICMP", "icmp", "6"])})),
        18 => element["toPorts"] = port(json!({"port": "22", "protocol": "ESP"})),
        19 => {
            element["toPorts"] = port(json!({"port": "22", "endPort": dice.pick(&[-1_i64, 65_536, 70_000, 1 << 33])}))
        }
        20 => {
            let ports: Vec<Value> =
                (1..=41).map(|number| json!({"port": number.to_string(), "protocol": "TCP"})).collect();
            element["toPorts"] = json!([{"ports": ports}]);
        }
        21 => {
            let fields: Vec<Value> = (1..=41).map(|kind| json!({"type": kind})).collect();
            element["icmps"] = json!([{"fields": fields}]);
        }
        22 => element["icmps"] = json!([{"fields": [{"type": "Redirect", "family": "IPv6"}]}]),
        23 => element["icmps"] = json!([{"fields": [{"type": dice.pick(&[256, -1, 70_000])}]}]),
        24 => element["icmps"] = json!([{"fields": [{"type": 8, "family": "IPv5"}]}]),
        25 => element["icmps"] = json!([{"fields": [{"family": "IPv4"}]}]),
        26 => element["toPorts"] = json!([{"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [{}]}}]),
        27 => {
            element["toPorts"] = json!([{"ports": [{"port": "53", "protocol": "UDP", "endPort": 60}], "rules": {"dns": [{"matchPattern": "*"}]}}])
        }
        28 => element["authentication"] = json!({"mode": "sometimes"}),
        _ => element["noSuchField"] = json!([]),
    }
}
