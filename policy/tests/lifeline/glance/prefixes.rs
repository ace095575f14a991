//! Policies of Cilium that name prefixes, and others that live on it.

use serde_json::{Value, json};

use super::cilium::{State, allows, denies, gone, ports, tcp, with};
use crate::lab::{delete, put};

/// Administrators may reach port 22 by the given element only, from a prefix that only the policy `naming` names.
fn by(element: &Value, named: &str) -> State {
    let range = |first: u16, last: u16, protocol: &str| json!({"port": first.to_string(), "endPort": last, "protocol": protocol});
    let others = json!([{"ports": [range(1, 21, "TCP"), range(23, 65535, "TCP"), range(1, 65535, "UDP")]}]);
    let lifelines = json!({
        "nodeSelector": {},
        "ingress": [
            {"fromEntities": ["cluster"]}, {"fromEntities": ["world"], "toPorts": others},
            {"icmps": [{"fields": [{"type": 8}]}]}, element,
        ],
        "egress": [{"toEntities": ["all"]}],
    });
    let naming = json!({"nodeSelector": {}, "ingress": [tcp(named, 9)]});
    State::new().without("lifelines").with("lifelines", &lifelines).with("naming", &naming)
}

/// The policy that lets administrators by with an element.
fn lifelines_of(element: &Value) -> Value {
    let objects = by(element, "192.0.2.0/24").objects;
    objects.into_iter().find(|object| object["metadata"]["name"] == "lifelines").expect("it is there")
}

fn who(expressions: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = expressions.iter().map(|(key, operator)| json!({"key": key, "operator": operator})).collect();
    json!({"fromEndpoints": [{"matchExpressions": all}], "toPorts": ports(22)})
}

#[test]
fn a_rule_by_the_label_of_a_prefix_lives_on_who_names_it() {
    let world = ("reserved:world", "Exists");
    let wide = by(&who(&[world, ("cidr:192.0.2.0/24", "Exists")]), "192.0.2.0/24");
    wide.cuts("by the label", &gone("naming"));
    wide.cuts("by the label of a wider one", &allows("naming", &tcp("192.0.0.0/16", 9)));
    wide.untold("of a narrower one", &allows("new", &tcp("192.0.2.0/25", 9)));
    wide.told("without another prefix", &allows("naming", &tcp("192.0.2.0/24", 10)));
    wide.cuts("one prefix less", &allows("naming", &tcp("172.16.0.0/16", 9)));
    let key = by(&who(&[world, ("192.0.2.0/24", "Exists")]), "192.0.2.0/24");
    key.cuts("by the key", &gone("naming"));
    key.cuts("by the key, of a narrower one", &allows("new", &tcp("192.0.2.0/25", 9)));
    let pods = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "pods", "namespace": "default"},
        "spec": {"endpointSelector": {}, "ingress": [tcp("192.0.2.0/24", 9)]}});
    let of_pods = wide.without("naming").object(pods.clone());
    of_pods.cuts("named by a policy for pods", &delete(&pods.to_string()).remove(0));
    let denied = json!({"nodeSelector": {}, "ingressDeny": [who(&[world, ("cidr:192.0.2.0/25", "Exists")])]});
    let state = State::new().with("denied", &denied);
    state.cuts("a deny by the label", &allows("new", &tcp("192.0.2.0/26", 9)));
    let own = json!({"nodeSelector": {}, "ingress": [tcp("192.0.2.0/26", 9)],
        "ingressDeny": [who(&[world, ("cidr:192.0.2.0/25", "Exists")])]});
    State::new().cuts("a deny by the label of a prefix that it names itself", &with("new", &own));
    state.untold("another one's", &allows("new", &tcp("172.17.0.0/16", 9)));
    state.cuts("with its own", &denies("denied", &who(&[world, ("cidr:192.0.2.0/24", "DoesNotExist")])));
}

#[test]
fn a_rule_by_the_aggregate_of_the_world_lives_on_who_names_a_prefix() {
    let named = json!({"fromEndpoints": [{"matchLabels": {"reserved:aggregate-world": ""}}], "toPorts": ports(22)});
    let state = by(&named, "192.0.2.0/24");
    state.cuts("by name", &gone("naming"));
    let others = by(&who(&[("reserved:world", "DoesNotExist"), ("reserved:other", "DoesNotExist")]), "192.0.2.0/24");
    others.cuts("by what it lacks", &gone("naming"));
    let denied = json!({"nodeSelector": {}, "ingressDeny": [
        who(&[("reserved:world", "DoesNotExist"), ("reserved:remote-node", "DoesNotExist"), ("reserved:host", "DoesNotExist")])]});
    let state = State::new().with("denied", &denied);
    state.cuts("a deny by what it lacks", &allows("new", &tcp("192.0.2.0/25", 9)));
    let both = by(&json!({"fromEntities": ["world"], "toPorts": ports(22)}), "192.0.2.0/24");
    both.told("the whole world", &gone("naming"));
    both.told("the whole world, and a part of it", &allows("new", &tcp("192.0.2.0/25", 9)));
    let image = |version: &str| {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "cilium", "namespace": "kube-system"},
        "spec": {"template": {"spec": {"containers": [{"name": "cilium-agent", "image": format!("quay.io/cilium/cilium:v{version}")}]}}}})
    };
    let older = State::new().with("denied", &denied).object(image("1.19.0"));
    older.told("agents without aggregates", &allows("new", &tcp("192.0.2.0/25", 9)));
    let newer = State::new().with("denied", &denied).object(image("1.20.0"));
    newer.cuts("agents with them", &allows("new", &tcp("192.0.2.0/25", 9)));
}

#[test]
fn a_group_can_hide_a_prefix() {
    let group = |key: &str| {
        json!({"apiVersion": "cilium.io/v2", "kind": "CiliumCIDRGroup",
        "metadata": {"name": "office", "labels": {key: "x"}}, "spec": {"externalCIDRs": ["192.0.2.0/25"]}})
    };
    let state = by(&tcp("192.0.2.0/24", 22), "192.0.2.0/25");
    state.clone().object(group("192.0.2.0/24")).cuts("by its label", &gone("naming"));
    state.object(group("team")).told("by another label", &gone("naming"));
    let of_group = |more: Value| json!({"fromCIDRSet": [more], "toPorts": ports(22)});
    let refers = by(&of_group(json!({"cidrGroupRef": "office"})), "192.0.2.0/24").object(group("team"));
    // The other half has no way in before it either.
    refers.told("who is in the group stays in it", &gone("naming"));
    refers.told("whoever names a part", &allows("new", &tcp("192.0.2.0/26", 9)));
    let group_and_part = of_group(json!({"cidrGroupRef": "office", "except": ["172.30.0.0/16"]}));
    let world = by(&json!({"fromEntities": ["world"], "toPorts": ports(22)}), "192.0.2.0/24").object(group("team"));
    world.cuts("only who is in the group, less a prefix", &put(&lifelines_of(&group_and_part).to_string()).remove(0));
    let except = of_group(json!({"cidrGroupSelector": {"matchLabels": {"team": "x"}}, "except": ["192.0.2.64/26"]}));
    refers.cuts("who is in it, less a prefix", &put(&lifelines_of(&except).to_string()).remove(0));
    let key = of_group(
        json!({"cidrGroupSelector": {"matchExpressions": [{"key": "any:192.0.2.0/24", "operator": "Exists"}]}}),
    );
    by(&key, "192.0.2.0/24").cuts("groups by a key that a prefix has", &gone("naming"));
}

#[test]
fn prefixes_mean_whom_the_settings_say() {
    let halves = json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["0.0.0.0/1", "128.0.0.0/1"]}], "egress": [{"toEntities": ["all"]}]});
    State::new().cuts("nodes are no part of a prefix", &with("lifelines", &halves));
    let except = |but: &str| {
        json!({"nodeSelector": {}, "ingress": [
        {"fromEntities": ["cluster"]}, {"fromCIDRSet": [{"cidr": "0.0.0.0/0", "except": [but]}]}],
        "egress": [{"toEntities": ["all"]}]})
    };
    let state = State::new().without("lifelines").with("lifelines", &except("172.20.0.0/16"));
    state.told("all but others", &with("lifelines", &except("172.21.0.0/16")));
    state.cuts("all but some of them", &with("lifelines", &except("192.0.2.0/25")));
    for mode in ["nodes", "pods", "nodes,pods"] {
        let state = State::new().set("policy-cidr-match-mode", mode);
        state.untold("a prefix that nobody named", &allows("new", &tcp("172.17.0.0/16", 9999)));
        state.told("one that somebody named", &allows("new", &tcp("172.16.0.0/16", 9999)));
    }
}
