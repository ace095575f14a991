//! Policies of Cilium.

use policy::lifeline::judge::{Change, Judge, Verdict};
use serde_json::{Value, json};

use crate::lab::{assumptions, delete, lifelines, put, snapshot};

/// Nodes with the host firewall on, what lets their lifelines by, and some policies beside it.
#[derive(Clone)]
struct State {
    settings: Value,
    objects: Vec<Value>,
}

impl State {
    fn new() -> Self {
        let untold = json!({
            "nodeSelector": {},
            "ingress": [tcp("172.16.0.0/16", 9100)],
            "ingressDeny": [tcp("172.16.0.0/16", 9200)],
        });
        let settings = json!({"enable-host-firewall": "true", "enable-ipv6": "false"});
        Self { settings, objects: vec![policy("lifelines", &everything()), policy("untold", &untold)] }
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.settings[key] = json!(value);
        self
    }

    fn with(mut self, name: &str, spec: &Value) -> Self {
        self.objects.push(policy(name, spec));
        self
    }

    fn object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.objects.retain(|object| object["metadata"]["name"] != name);
        self
    }

    fn judge(&self) -> Judge<'static> {
        let nodes = std::fs::read_to_string(format!("{}/tests/lifeline/bases/nodes.yaml", env!("CARGO_MANIFEST_DIR")));
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "cilium-config", "namespace": "kube-system"}, "data": self.settings,
        });
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.objects});
        // Agents pass over labels of Kubernetes.
        let nodes = nodes.expect("a base").replace("kubernetes.io/hostname:", "name:");
        let texts = [nodes, map.to_string(), list.to_string()];
        Judge::new(&snapshot(&texts.each_ref().map(String::as_str)), lifelines, &assumptions())
    }

    /// A glance tells that a change cuts nothing, which at length is said too.
    fn told(&self, what: &str, change: &Change) {
        let judge = self.judge();
        let at_length = judge.decide_at_length(std::slice::from_ref(change)).expect("a change");
        assert_eq!(at_length.verdict, Verdict::Safe, "{what}: {:?}", at_length.doubts);
        let glance = judge.glance(change).unwrap_or_else(|| panic!("{what}"));
        let text = |judgement| serde_json::to_string(judgement).expect("serialises");
        assert_eq!(text(&glance), text(&at_length), "{what}");
    }

    /// A glance does not tell about a change that cuts something.
    fn cuts(&self, what: &str, change: &Change) {
        let judge = self.judge();
        let at_length = judge.decide_at_length(std::slice::from_ref(change)).expect("a change");
        assert_eq!(at_length.verdict, Verdict::Cuts, "{what}: {:?}", at_length.doubts);
        assert!(judge.glance(change).is_none(), "{what}");
    }

    /// A glance does not tell, and at length it is not proved.
    fn doubts(&self, what: &str, change: &Change) {
        let judge = self.judge();
        let at_length = judge.decide_at_length(std::slice::from_ref(change)).expect("a change");
        assert_eq!(at_length.verdict, Verdict::CannotProve, "{what}");
        assert!(judge.glance(change).is_none(), "{what}");
    }

    /// A glance does not tell, though it cuts nothing.
    fn untold(&self, what: &str, change: &Change) {
        let judge = self.judge();
        let at_length = judge.decide_at_length(std::slice::from_ref(change)).expect("a change");
        assert_eq!(at_length.verdict, Verdict::Safe, "{what}");
        assert!(judge.glance(change).is_none(), "{what}");
    }
}

/// Both ways, with everybody.
fn everything() -> Value {
    json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}], "egress": [{"toEntities": ["all"]}]})
}

fn ports(port: u16) -> Value {
    json!([{"ports": [{"port": port.to_string(), "protocol": "TCP"}]}])
}

/// From a prefix. None of 172.16.0.0/12 has a lifeline, administrators are in 192.0.2.0/24.
fn tcp(from: &str, port: u16) -> Value {
    json!({"fromCIDR": [from], "toPorts": ports(port)})
}

/// From everybody.
fn any(port: u16) -> Value {
    json!({"fromEntities": ["all"], "toPorts": ports(port)})
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn policy(name: &str, spec: &Value) -> Value {
    object("CiliumClusterwideNetworkPolicy", name, spec)
}

fn with(name: &str, spec: &Value) -> Change {
    put(&policy(name, spec).to_string()).remove(0)
}

fn gone(name: &str) -> Change {
    delete(&policy(name, &json!({})).to_string()).remove(0)
}

/// A policy for all nodes that allows some of what arrives.
fn allows(name: &str, from: &Value) -> Change {
    with(name, &json!({"nodeSelector": {}, "ingress": [from]}))
}

fn denies(name: &str, from: &Value) -> Change {
    with(name, &json!({"nodeSelector": {}, "ingressDeny": [from]}))
}

#[test]
fn what_a_policy_said_and_says_is_often_enough() {
    let state = State::new();
    let narrow = json!({"matchLabels": {"name": "w1"}});
    for (what, change) in [
        ("an allow where the default is to deny already", allows("new", &any(9999))),
        ("from a prefix that nobody named", allows("new", &tcp("172.17.0.0/16", 9999))),
        ("no lifeline has these packets", denies("new", &tcp("172.16.0.0/16", 9999))),
        ("nor these, of a prefix that nobody named", denies("new", &tcp("172.17.0.0/16", 22))),
        ("a deny less", allows("untold", &tcp("172.16.0.0/16", 9100))),
        ("other peers", allows("untold", &tcp("172.18.0.0/16", 9100))),
        ("nothing lives on what goes", gone("untold")),
        (
            "of some nodes, which no rule told apart",
            with("new", &json!({"nodeSelector": narrow, "ingress": [any(9999)]})),
        ),
        (
            "more of the same",
            with(
                "untold",
                &json!({"nodeSelector": {}, "ingress": [tcp("172.16.0.0/16", 9100), any(9100)],
                       "ingressDeny": [tcp("172.16.0.0/16", 9200)]}),
            ),
        ),
    ] {
        state.told(what, &change);
    }
    // What is still allowed by one rule of an object is allowed.
    let specs = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": "lifelines"}, "specs": [everything(), {"nodeSelector": {}, "ingress": [any(22)]}]});
    state.told("one rule more in an object", &put(&specs.to_string()).remove(0));
}

#[test]
fn what_a_lifeline_needs_is_looked_at() {
    let state = State::new();
    for (what, change) in [
        ("the kubelet's port denied", denies("new", &any(10250))),
        ("what lets lifelines by goes", gone("lifelines")),
        ("an allow narrowed", allows("lifelines", &any(22))),
        ("an allow narrowed to a prefix that nobody named", allows("lifelines", &tcp("192.0.2.0/24", 22))),
        ("administrators denied, by a prefix within theirs", denies("new", &tcp("192.0.2.128/25", 22))),
        (
            "an allow of other nodes",
            with(
                "lifelines",
                &json!({"nodeSelector": {"matchLabels": {"role": "worker"}}, "ingress": [{"fromEntities": ["all"]}],
                       "egress": [{"toEntities": ["all"]}]}),
            ),
        ),
    ] {
        state.cuts(what, &change);
    }
}

#[test]
fn a_deny_goes_before_an_allow_that_comes_with_it() {
    let both = json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}], "egress": [{"toEntities": ["all"]}],
        "ingressDeny": [any(10250)]});
    State::new().cuts("one object", &with("lifelines", &both));
}

#[test]
fn what_was_denied_is_not_lost() {
    let denied = json!({"nodeSelector": {}, "ingress": [any(10250), any(9999)], "ingressDeny": [any(10250)]});
    let state = State::new().with("denied", &denied);
    state.told("an allow beside a deny", &gone("denied"));
    state.told("a deny that stays", &denies("denied", &any(10250)));
    let elsewhere = json!({"nodeSelector": {"matchLabels": {"role": "worker"}}, "ingressDeny": [any(10250)]});
    let state = State::new().with("denied", &elsewhere);
    state.cuts("a deny of more nodes", &denies("denied", &any(10250)));
}

#[test]
fn default_deny_that_begins_may_lose_everything() {
    let quiet = json!({"ingress": false, "egress": false});
    let open = json!({"nodeSelector": {}, "enableDefaultDeny": quiet, "ingress": [any(9100)]});
    let state = State::new().without("lifelines").without("untold").with("open", &open);
    state.cuts("the first of all nodes", &allows("new", &any(9999)));
    state.cuts("another one of all nodes", &allows("open", &any(9100)));
    state.cuts(
        "the first of one",
        &with("new", &json!({"nodeSelector": {"matchLabels": {"name": "w1"}}, "ingress": [any(9999)]})),
    );
    state.cuts("a deny alone", &denies("new", &tcp("172.16.0.0/16", 1)));
    state.told("one that leaves the default alone", &with("new", &open));
    state.told(
        "the other direction of one that is said to",
        &with(
            "open",
            &json!({"nodeSelector": {},
        "enableDefaultDeny": quiet, "ingress": [any(9100)], "egressDeny": [{"toCIDR": ["172.16.0.0/16"]}]}),
        ),
    );
    let forced = State::new()
        .without("lifelines")
        .without("untold")
        .with("other", &open)
        .set("enable-non-default-deny-policies", "false");
    // Agents that know nothing of it deny by default already.
    forced.told("an agent that does not know of it", &with("new", &open));
    // Egress is open.
    let ingress = State::new()
        .without("lifelines")
        .with("lifelines", &json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}]}));
    ingress.cuts(
        "the other direction",
        &with("new", &json!({"nodeSelector": {}, "egress": [{"toCIDR": ["172.16.0.0/16"]}]})),
    );
    // Always: there is nothing that can begin.
    let always = State::new().without("untold").with("open", &open).set("enable-policy", "always");
    always.told(
        "where it is always on",
        &with("new", &json!({"nodeSelector": {}, "egress": [{"toCIDR": ["172.16.0.0/16"]}]})),
    );
}

#[test]
fn default_deny_of_some_nodes_is_none_of_others() {
    let worker = json!({"matchLabels": {"role": "worker"}});
    let state = State::new()
        .without("lifelines")
        .without("untold")
        .with("workers", &json!({"nodeSelector": worker, "ingress": [{"fromEntities": ["all"]}]}));
    state.told("of those that have it", &with("new", &json!({"nodeSelector": worker, "ingress": [any(9999)]})));
    state.cuts("of all", &allows("new", &any(9999)));
    let one = json!({"matchLabels": {"name": "cp"}});
    state.cuts("of one that no rule told apart", &with("new", &json!({"nodeSelector": one, "ingress": [any(9999)]})));
    let values = json!({"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["worker"]}]});
    state.cuts("of those without the label", &with("new", &json!({"nodeSelector": values, "ingress": [any(9999)]})));
    let others = json!({"matchExpressions": [{"key": "role", "operator": "NotIn", "values": ["other"]}]});
    state.cuts(
        "by a value that no rule looked at",
        &with("new", &json!({"nodeSelector": others, "ingress": [any(9999)]})),
    );
    state.cuts("for other nodes than before", &with("workers", &json!({"nodeSelector": one, "ingress": [any(9999)]})));
}

#[test]
fn nothing_is_lost_where_nothing_is_denied() {
    let closes = allows("new", &tcp("172.16.0.0/16", 1));
    let open = State::new().without("lifelines");
    open.clone().set("enable-host-firewall", "false").told("no host firewall", &closes);
    open.clone().set("enable-policy", "never").told("policy is never enforced", &closes);
    open.set("policy-audit-mode", "true").told("policy is only reported", &closes);
    let unread = State::new().set("enable-cilium-clusterwide-network-policy", "false");
    unread.untold("such policies are not read", &closes);
}

#[test]
fn what_is_said_besides_is_said_at_length() {
    let state = State::new();
    let mode = |mode: &str| json!({"fromCIDR": ["172.16.0.0/16"], "authentication": {"mode": mode}});
    state.doubts(
        "a field that nothing reads",
        &with("new", &json!({"nodeSelector": {}, "ingress": [any(1)], "unheard": 1})),
    );
    state.doubts(
        "an object that agents refuse",
        &with("new", &json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["none"]}]})),
    );
    state.doubts(
        "one that goes on as it was",
        &with("untold", &json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["none"]}]})),
    );
    let names = json!({"nodeSelector": {}, "egress": [{"toFQDNs": [{"matchName": "example.com"}]}]});
    state.doubts("a name that only DNS knows", &with("new", &names));
    State::new().with("names", &names).doubts("beside one that is not understood", &allows("new", &any(9999)));
    let required = State::new().with("required", &json!({"nodeSelector": {}, "ingress": [mode("required")]}));
    required.doubts("another mode of authentication", &allows("new", &mode("disabled")));
    required.told(
        "another port, by the same mode",
        &with(
            "required",
            &json!({"nodeSelector": {}, "ingress": [
        {"fromCIDR": ["172.16.0.0/16"], "toPorts": ports(1), "authentication": {"mode": "required"}}]}),
        ),
    );
    let list = json!({"apiVersion": "v1", "kind": "List", "items": state.objects});
    let bare = Judge::new(&snapshot(&[&list.to_string()]), lifelines, &assumptions());
    assert!(bare.glance(&allows("new", &any(9999))).is_none(), "nothing tells what agents are configured to do");
    let stop = json!({"nodeSelector": {}, "ingress": [{"icmps": [{"fields": [{"type": "None"}]}]}]});
    assert!(state.judge().glance(&with("new", &stop)).is_none(), "what stops agents");
    assert!(state.judge().glance(&gone("nobody")).is_none(), "a policy that is not there goes");
}

#[test]
fn a_refused_policy_is_left_to_the_state_after_it() {
    let refused = json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["none"]}]});
    let judge = State::new().judge();
    // Agents go on with what lets lifelines by.
    let kept = judge.after(&[with("lifelines", &refused)]).expect("a change");
    assert_eq!(kept.decide_at_length(&[gone("lifelines")]).expect("a change").verdict, Verdict::Cuts);
    assert!(kept.glance(&gone("lifelines")).is_none());
    assert!(kept.glance(&allows("lifelines", &any(9999))).is_none());
    assert!(kept.glance(&allows("new", &any(9999))).is_some(), "of others nothing is left open");
}

#[test]
fn what_is_assumed_about_agents_goes_with_the_last_policy() {
    let alone = json!({"nodeSelector": {}, "ingress": [any(9999)]});
    let state = State::new().without("untold").without("lifelines").with("alone", &alone);
    let empty = State::new().without("untold").without("lifelines");
    assert!(!state.judge().decide_at_length(&[allows("alone", &any(9999))]).expect("a change").assumed.is_empty());
    state.untold("the last", &gone("alone"));
    let quiet = json!({"nodeSelector": {}, "enableDefaultDeny": {"ingress": false}, "ingress": [any(9999)]});
    empty.untold("the first", &with("new", &quiet));
    state.told("the same again", &with("alone", &alone));
    empty.told("none for hosts", &with("new", &json!({"endpointSelector": {}, "ingress": [any(9999)]})));
}

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
    let except = of_group(json!({"cidrGroupSelector": {"matchLabels": {"team": "x"}}, "except": ["192.0.2.64/26"]}));
    let lifelines =
        by(&except, "192.0.2.0/24").objects.iter().find(|it| it["metadata"]["name"] == "lifelines").cloned();
    refers.cuts("who is in it, less a prefix", &put(&lifelines.expect("one").to_string()).remove(0));
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
