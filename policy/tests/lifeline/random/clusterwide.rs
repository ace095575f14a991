//! Policies of Cilium, and what they depend on.

use serde_json::{Value, json};

use super::{PORTS, Random, object};

/// Lists of a rule, and how its peers are called.
const LISTS: [(&str, &str); 4] = [("ingress", "from"), ("egress", "to"), ("ingressDeny", "from"), ("egressDeny", "to")];

fn nodes(random: &mut Random) -> Value {
    let absent = json!({"matchExpressions": [{"key": "role", "operator": "DoesNotExist"}]});
    let choices = [json!({"matchLabels": {"role": "x"}}), json!({"matchLabels": {"name": "a"}}), absent];
    if random.one_in(2) { json!({}) } else { random.of(&choices) }
}

fn default_deny(random: &mut Random) -> Value {
    random.of(&[json!({"ingress": false, "egress": false}), json!({"ingress": false}), json!({"egress": false})])
}

fn element(random: &mut Random, peers: &str) -> Value {
    let mut element = json!({});
    let prefixes = ["192.0.2.0/24", "192.0.2.0/25", "192.0.2.1/32", "10.0.0.0/8", "0.0.0.0/0"];
    match random.below(8) {
        0 | 1 => {
            let entities = ["all", "world", "cluster", "remote-node", "host"];
            element[format!("{peers}Entities")] = json!([random.of(&entities)]);
        }
        2 | 3 => element[format!("{peers}CIDR")] = json!([random.of(&prefixes)]),
        4 => {
            let except = json!({"cidr": "192.0.2.0/24", "except": [random.of(&["192.0.2.0/30", "192.0.2.128/25"])]});
            let choices = [except, json!({"cidrGroupRef": "office"})];
            element[format!("{peers}CIDRSet")] = json!([random.of(&choices)]);
        }
        5 if random.one_in(3) => {
            let label = random.of(&["cidr:192.0.2.0/25", "192.0.2.0/24", "reserved:aggregate-world", "reserved:world"]);
            let operator = random.of(&["Exists", "DoesNotExist"]);
            let all =
                json!([{"key": "reserved:health", "operator": "DoesNotExist"}, {"key": label, "operator": operator}]);
            element[format!("{peers}Endpoints")] = json!([{"matchExpressions": all}]);
        }
        // Who is in it is not known.
        6 if random.one_in(3) => {
            element[format!("{peers}Groups")] = json!([{"aws": {"region": random.of(&["x", "y"])}}]);
        }
        _ => element[format!("{peers}Entities")] = json!(["all"]),
    }
    if random.one_in(2) {
        let port = random.of(&PORTS).to_string();
        element["toPorts"] = json!([{"ports": [{"port": port, "protocol": random.of(&["TCP", "UDP", "ANY"])}]}]);
    }
    element
}

fn rule(random: &mut Random) -> Value {
    let mut spec = json!({"nodeSelector": nodes(random)});
    for _ in 0..=usize::from(random.one_in(3)) {
        let (list, peers) = random.of(&LISTS);
        spec[list] = json!([element(random, peers)]);
    }
    if random.one_in(4) {
        spec["enableDefaultDeny"] = default_deny(random);
    }
    spec
}

pub(super) fn policy(random: &mut Random, name: &str) -> Value {
    let spec = rule(random);
    object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", name, &json!({}), &spec)
}

/// One with something else about it.
pub(super) fn edit(random: &mut Random, policy: &mut Value) {
    match random.below(8) {
        0 => policy["spec"]["nodeSelector"] = nodes(random),
        1 => policy["spec"]["enableDefaultDeny"] = default_deny(random),
        2 => {
            let rules = json!([policy["spec"], rule(random)]);
            if let Some(policy) = policy.as_object_mut() {
                policy.remove("spec");
                policy.insert("specs".to_owned(), rules);
            }
            return;
        }
        _ => {}
    }
    let (list, peers) = random.of(&LISTS);
    let new = element(random, peers);
    let Some(elements) = policy["spec"].get_mut(list).and_then(Value::as_array_mut) else {
        if random.one_in(2) {
            policy["spec"][list] = json!([new]);
        }
        return;
    };
    match random.below(4) {
        0 => elements.push(new),
        1 if elements.len() > 1 => drop(elements.pop()),
        2 => elements[0] = new,
        _ => {
            let port = random.of(&PORTS).to_string();
            elements[0]["toPorts"] = json!([{"ports": [{"port": port, "protocol": "TCP"}]}]);
        }
    }
}

/// What agents are configured to do.
pub(super) fn settings(random: &mut Random, host_firewall: bool) -> Value {
    let mut settings = json!({"enable-host-firewall": host_firewall.to_string(), "enable-ipv6": "false"});
    if random.one_in(8) {
        settings["enable-policy"] = json!(random.of(&["always", "never"]));
    }
    if random.one_in(8) {
        settings["policy-cidr-match-mode"] = json!(random.of(&["nodes", "pods"]));
    }
    if random.one_in(16) {
        settings["policy-audit-mode"] = json!("true");
    }
    settings
}

/// A group of prefixes, at times with a label that looks like one.
pub(super) fn group(random: &mut Random) -> Value {
    let labels = random.of(&[json!({"team": "x"}), json!({"192.0.2.0/24": "x"})]);
    let prefix = random.of(&["192.0.2.0/25", "192.0.2.1/32", "10.0.0.0/24"]);
    object("cilium.io/v2", "CiliumCIDRGroup", "office", &labels, &json!({"externalCIDRs": [prefix]}))
}
