//! Upstream's tables of programs for host interfaces (projectcalico/calico:felix/bpf/ut/pol_prog_test.go, `hostPolProgramTests`
//! and `xdpPolProgramTests`), as far as objects can say them: `preDNAT` policy has no egress, and `applyOnForward` policy is
//! for the node's own packets too. Those about pods are left out. Every failsafe port is closed.

use serde_json::{Value, json};

use super::lab::{Lab, inward, other, outward, through, translated, with_ports};
use crate::calico::question::Question;
use crate::calico::settings::Dataplane;

/// A service, another one, one of another network, and the backend of any.
const VIP: (&str, u16) = ("10.96.0.10", 53);
const OTHER: (&str, u16) = ("10.96.0.11", 53);
const FAR: (&str, u16) = ("10.96.5.10", 53);
const BACKEND: (&str, u16) = ("10.0.0.2", 12345);

#[derive(Clone, Copy, Debug)]
enum Way {
    In,
    Out,
    Through,
}

fn closed() -> Lab {
    let none = json!({"failsafeInboundHostPorts": [], "failsafeOutboundHostPorts": []});
    Lab::new().on_eth0().with("FelixConfiguration", "default", none)
}

/// Rules that allow one destination, and may deny the rest.
fn allow(net: &str, else_deny: bool) -> Value {
    let allow = json!({"action": "Allow", "destination": {"nets": [net]}});
    if else_deny { json!([allow, {"action": "Deny"}]) } else { json!([allow]) }
}

fn both_ways(rules: &Value) -> Value {
    json!({"selector": "has(a)", "types": ["Ingress", "Egress"], "ingress": rules, "egress": rules})
}

fn before_nat(rules: &Value) -> Value {
    json!({"selector": "has(a)", "types": ["Ingress"], "ingress": rules, "preDNAT": true, "applyOnForward": true})
}

fn untracked(rules: &Value) -> Value {
    json!({"selector": "has(a)", "types": ["Ingress"], "ingress": rules, "doNotTrack": true, "applyOnForward": true})
}

/// Where a packet goes, as what it came, if that differs, and whether it passes.
type Row = (Way, (&'static str, u16), Option<(&'static str, u16)>, bool);

fn check(lab: &Lab, dataplanes: &[Dataplane], rows: &[Row]) {
    for &dataplane in dataplanes {
        for &(way, after, before, passes) in rows {
            let (to, port) = before.unwrap_or(after);
            let packet = with_ports(17, "123.0.0.1", 1024, to, port);
            let question: Question = match way {
                Way::In => inward(),
                Way::Out => outward(),
                Way::Through => through(),
            };
            let question = if before.is_some() { translated(question, after.0, after.1, None) } else { question };
            let found = lab.clone().dataplane(dataplane).passes(&question, &packet);
            assert_eq!(found, passes, "{dataplane:?} {way:?} {after:?} that came as {before:?}");
        }
    }
}

const ALL: [Dataplane; 3] = [Dataplane::Bpf, Dataplane::Iptables, Dataplane::Nftables];

#[test]
fn without_policy_only_forwarded_packets_pass() {
    use Way::{In, Out, Through};
    let rows = [
        (Through, BACKEND, Some(VIP), true),
        (Through, VIP, None, true),
        (Through, BACKEND, Some(OTHER), true),
        (Through, VIP, Some(BACKEND), true),
        (Through, OTHER, None, true),
        (Out, BACKEND, Some(VIP), false),
        (Out, VIP, None, false),
        (In, BACKEND, Some(OTHER), false),
        (In, VIP, Some(BACKEND), false),
        (In, OTHER, None, false),
    ];
    check(&closed(), &ALL, &rows);
}

#[test]
fn pre_dnat_policy_judges_the_destination_before_nat() {
    use Way::Through;
    let lab = closed().policy("p", before_nat(&allow("10.96.0.10/32", true)));
    let rows = [
        (Through, BACKEND, Some(VIP), true),
        (Through, VIP, None, true),
        (Through, BACKEND, Some(OTHER), false),
        (Through, VIP, Some(BACKEND), false),
        (Through, OTHER, None, false),
    ];
    check(&lab, &ALL, &rows);
    for (to, passes) in [("10.96.0.10", true), ("10.0.0.10", false)] {
        assert_eq!(lab.passes(&through(), &other("11.0.0.2", to, 253)), passes, "{to}");
    }
}

#[test]
fn forward_policy_judges_the_destination_after_nat() {
    use Way::Through;
    let mut spec = both_ways(&allow("10.96.0.10/32", true));
    spec["applyOnForward"] = json!(true);
    let lab = closed().policy("p", spec);
    let rows = [
        (Through, VIP, None, true),
        (Through, VIP, Some(BACKEND), true),
        (Through, OTHER, None, false),
        (Through, BACKEND, Some(VIP), false),
    ];
    check(&lab, &ALL, &rows);
    let beside_normal = lab.policy("q", both_ways(&allow("10.96.5.0/24", true)));
    check(&beside_normal, &ALL, &[(Through, VIP, None, true), (Through, FAR, None, false)]);
}

#[test]
fn normal_policy_judges_the_nodes_own_packets_after_nat() {
    use Way::{In, Out, Through};
    let rows = [
        (Through, VIP, None, true),
        (Through, VIP, Some(BACKEND), true),
        (Through, OTHER, None, true),
        (Out, VIP, None, true),
        (In, VIP, Some(BACKEND), true),
        (Out, BACKEND, Some(VIP), false),
        (In, BACKEND, Some(OTHER), false),
        (In, OTHER, None, false),
    ];
    check(&closed().policy("p", both_ways(&allow("10.96.0.10/32", true))), &ALL, &rows);
}

#[test]
fn what_pre_dnat_policy_leaves_undecided_meets_normal_rules() {
    use Way::{In, Out, Through};
    let lab = closed().policy("p", before_nat(&allow("10.96.0.10/32", false)));
    let lab = lab.policy("q", both_ways(&allow("10.96.5.0/24", false)));
    let rows = [
        (Through, VIP, None, true),
        (In, VIP, None, true),
        (Through, FAR, None, true),
        (In, FAR, None, true),
        (Out, FAR, None, true),
        (In, VIP, Some(BACKEND), false),
        (In, BACKEND, Some(OTHER), false),
    ];
    check(&lab, &ALL, &rows);
}

#[test]
fn what_xdp_leaves_undecided_meets_the_other_policies() {
    let allow_else_deny = allow("10.96.0.10/32", true);
    let allow_some = allow("10.96.0.10/32", false);
    let deny_some = json!([{"action": "Deny", "destination": {"nets": ["10.96.0.10/32"]}}]);
    // Whether the service and the other one pass: where nothing else lets packets in, and where something does.
    let table = [
        (allow_else_deny, [(true, false), (true, false)]),
        (allow_some, [(true, false), (true, true)]),
        (deny_some, [(false, false), (false, true)]),
    ];
    let open = json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
    for (rules, [alone, beside]) in table {
        let lab = closed().policy("p", untracked(&rules));
        for (lab, (vip, other)) in [(lab.clone(), alone), (lab.policy("q", open.clone()), beside)] {
            check(&lab, &ALL, &[(Way::In, VIP, None, vip), (Way::In, OTHER, None, other)]);
        }
    }
}
