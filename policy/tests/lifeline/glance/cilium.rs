//! Policies of Cilium.

use policy::lifeline::Severity;
use policy::lifeline::detect::{Detected, Missing};
use policy::lifeline::judge::{Change, Judge, Verdict};
use policy::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::lab::{assumptions, delete, lifelines, put, snapshot};

/// Nodes with the host firewall on, what lets their lifelines by, and some policies beside it.
#[derive(Clone)]
pub(super) struct State {
    settings: Value,
    pub(super) objects: Vec<Value>,
}

impl State {
    pub(super) fn new() -> Self {
        let untold = json!({
            "nodeSelector": {},
            "ingress": [tcp("172.16.0.0/16", 9100)],
            "ingressDeny": [tcp("172.16.0.0/16", 9200)],
        });
        let settings = json!({"enable-host-firewall": "true", "enable-ipv6": "false"});
        Self { settings, objects: vec![policy("lifelines", &everything()), policy("untold", &untold)] }
    }

    pub(super) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings[key] = json!(value);
        self
    }

    pub(super) fn with(mut self, name: &str, spec: &Value) -> Self {
        self.objects.push(policy(name, spec));
        self
    }

    pub(super) fn object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
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
    pub(super) fn told(&self, what: &str, change: &Change) {
        let judge = self.judge();
        let at_length = judge.decide_at_length(std::slice::from_ref(change)).expect("a change");
        assert_eq!(at_length.verdict, Verdict::Safe, "{what}: {:?}", at_length.doubts);
        let glance = judge.glance(change).unwrap_or_else(|| panic!("{what}"));
        let text = |judgement| serde_json::to_string(judgement).expect("serialises");
        assert_eq!(text(&glance), text(&at_length), "{what}");
    }

    /// A glance does not tell about a change that cuts something.
    pub(super) fn cuts(&self, what: &str, change: &Change) {
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
    pub(super) fn untold(&self, what: &str, change: &Change) {
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

pub(super) fn ports(port: u16) -> Value {
    json!([{"ports": [{"port": port.to_string(), "protocol": "TCP"}]}])
}

/// From a prefix. None of 172.16.0.0/12 has a lifeline, administrators are in 192.0.2.0/24.
pub(super) fn tcp(from: &str, port: u16) -> Value {
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

pub(super) fn with(name: &str, spec: &Value) -> Change {
    put(&policy(name, spec).to_string()).remove(0)
}

pub(super) fn gone(name: &str) -> Change {
    delete(&policy(name, &json!({})).to_string()).remove(0)
}

/// A policy for all nodes that allows some of what arrives.
pub(super) fn allows(name: &str, from: &Value) -> Change {
    with(name, &json!({"nodeSelector": {}, "ingress": [from]}))
}

pub(super) fn denies(name: &str, from: &Value) -> Change {
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
        (
            "what nodes send narrowed",
            with(
                "lifelines",
                &json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}], "egress": [{"toCIDR": ["192.0.2.0/24"]}]}),
            ),
        ),
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
    only_ingress().cuts("the other direction", &first_of_egress());
    // Always: there is nothing that can begin.
    only_ingress().set("enable-policy", "always").told("where it is always on", &first_of_egress());
}

/// What lets lifelines by, and leaves it to everybody what nodes send.
fn only_ingress() -> State {
    let ingress = json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}]});
    State::new().without("lifelines").with("lifelines", &ingress)
}

fn first_of_egress() -> Change {
    with("new", &json!({"nodeSelector": {}, "egress": [{"toCIDR": ["172.16.0.0/16"]}]}))
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
    let specs = json!([
        {"nodeSelector": worker, "ingress": [{"fromEntities": ["all"]}]}, {"nodeSelector": one, "ingress": [any(1)]},
    ]);
    let more = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": "workers"}, "specs": specs});
    state.cuts("for others beside those of before", &put(&more.to_string()).remove(0));
    let named = json!({"matchExpressions": [{"key": "name", "operator": "Exists"}]});
    let quiet = json!({"nodeSelector": named, "enableDefaultDeny": {"ingress": false}, "ingress": [any(1)]});
    let alike = State::new().without("lifelines").without("untold").with("quiet", &quiet);
    let last = json!({"matchLabels": {"name": "w2"}});
    alike.cuts("of one by a value", &with("new", &json!({"nodeSelector": last, "ingress": [any(9999)]})));
    state.cuts("for other nodes than before", &with("workers", &json!({"nodeSelector": one, "ingress": [any(9999)]})));
}

#[test]
fn nothing_is_lost_where_nothing_is_denied() {
    let (state, closes) = (only_ingress(), first_of_egress());
    state.cuts("what is enforced", &closes);
    state.clone().set("enable-host-firewall", "false").told("no host firewall", &closes);
    state.clone().set("enable-policy", "never").told("policy is never enforced", &closes);
    state.set("policy-audit-mode", "true").told("policy is only reported", &closes);
    let unread = State::new().set("enable-cilium-clusterwide-network-policy", "false");
    unread.untold("such policies are not read", &allows("new", &any(1)));
    unread.untold("nor another version of one", &allows("untold", &any(1)));
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
    state.untold("a name that only DNS knows", &with("new", &names));
    State::new().with("names", &names).told("beside such a name", &allows("new", &any(9999)));
    let denies_names = json!({"nodeSelector": {}, "egressDeny": [{"toGroups": [{"aws": {"region": "x"}}]}]});
    let beside = State::new().with("group", &denies_names);
    beside.told("beside such a deny", &allows("new", &any(9999)));
    beside.untold("it goes", &gone("group"));
    state.doubts("whom it denies", &with("new", &denies_names));
    let by_name =
        json!({"nodeSelector": {}, "ingress": [{"fromEndpoints": [{"matchLabels": {"cidr:10.0.0.0/8": ""}}]}]});
    beside.doubts("who is named elsewhere", &with("new", &by_name));
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

#[test]
fn what_is_allowed_on_a_condition_is_allowed() {
    let authenticated = json!({"fromEntities": ["all"], "authentication": {"mode": "required"}});
    let spec = |more: &Value| json!({"nodeSelector": {}, "ingress": [authenticated, more], "egress": [{"toEntities": ["all"]}]});
    let state = State::new().without("lifelines").with("lifelines", &spec(&any(1)));
    state.told("another element beside it", &with("lifelines", &spec(&any(2))));
    let less = json!({"nodeSelector": {}, "ingress": [any(1)], "egress": [{"toEntities": ["all"]}]});
    state.cuts("an allow that goes", &with("lifelines", &less));
}

#[test]
fn named_ports_that_are_not_clear_are_said_at_length() {
    let pod = |name: &str, port: u16| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": "x"}},
            "spec": {"nodeName": "w1", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
            "status": {"podIP": format!("10.244.1.{}", port - 8000), "podIPs": [{"ip": format!("10.244.1.{}", port - 8000)}]}})
    };
    let web = json!([{"ports": [{"port": "web", "protocol": "TCP"}]}]);
    let named =
        json!({"nodeSelector": {}, "egress": [{"toEndpoints": [{"matchLabels": {"app": "x"}}], "toPorts": web}]});
    let state = State::new().object(pod("one", 8001)).object(pod("other", 8001));
    state.told("one port of the name", &with("new", &named));
    let state = State::new().object(pod("one", 8001)).object(pod("other", 8002));
    state.doubts("two ports of the name", &with("new", &named));
    let named = json!({"nodeSelector": {}, "egress": [{"toEntities": ["all"], "toPorts": web}]});
    let group = json!({"nodeSelector": {}, "egress": [{"toCIDRSet": [{"cidrGroupSelector": {}}]}]});
    State::new().with("named", &named).doubts("beside ports of everyone", &with("new", &group));
    State::new().with("group", &group).doubts("beside an empty selector of groups", &with("new", &named));
}

#[test]
fn what_is_not_known_does_not_matter_without_the_host_firewall() {
    let unread = json!({"nodeSelector": {}, "ingress": [any(1)], "unheard": 1});
    let state = State::new().set("enable-host-firewall", "false").with("unread", &unread);
    state.told("beside it", &allows("new", &any(9999)));
    state.told("one more", &with("new", &unread));
    state.doubts("what agents refuse", &with("new", &json!({"nodeSelector": {}, "ingress": [{"fromCIDR": ["none"]}]})));
}

#[test]
fn where_lifelines_are_not_known_every_packet_counts() {
    let missing = |snapshot: &Snapshot| {
        let what =
            Missing { id: "dns", severity: Severity::Blocker, what: "nobody tells".to_owned(), parameter: "resolvers" };
        Detected { missing: vec![what], ..lifelines(snapshot) }
    };
    let judge = Judge::new(State::new().judge().snapshot(), missing, &assumptions());
    assert!(judge.glance(&denies("new", &tcp("172.16.0.0/16", 9999))).is_none());
    assert!(judge.glance(&allows("new", &any(9999))).is_some());
}
