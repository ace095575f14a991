//! Single packets and whole differences, over the states of the cases.

use policy::lifeline::judge::probe::{Passage, party, probe};
use policy::lifeline::judge::reach::{Flows, Line, reach};
use policy::lifeline::judge::{Change, Verdict, judge, judge_state};
use policy::lifeline::{Flow, Party};
use policy::snapshot::Snapshot;

use crate::cases::Case;
use crate::lab::{assumptions, lifelines, snapshot, tcp};

fn after(state: &Snapshot, changes: &[Change]) -> Snapshot {
    changes.iter().fold(state.clone(), |state, change| change.apply(&state).expect("a change"))
}

#[test]
fn what_a_probe_loses_is_cut() {
    let (mut lost, mut passed) = (0, 0);
    for (name, case) in Case::all() {
        let after = after(&case.state(), &case.changes());
        let judged = judge_state(&after, &lifelines, &assumptions());
        for lifeline in lifelines(&after).lifelines {
            for flow in &lifeline.flows {
                let probed = probe(&after, flow, &assumptions());
                assert!(probed.dropped <= probed.pairs, "{name}");
                if probed.dropped == 0 {
                    passed += 1;
                    continue;
                }
                let example = probed.example.as_ref().expect("an example");
                // No policy is to blame for what a setting does with pods' packets for their node; a state alone keeps it.
                let setting = |passage: &Passage| {
                    let step = passage.calico.as_ref().and_then(|trace| trace.decision());
                    passage.passes || step.is_some_and(|step| step.reason.starts_with("defaultEndpointToHostAction"))
                };
                if example.passages.iter().all(setting) {
                    continue;
                }
                lost += 1;
                let cut = judged.cuts.iter().any(|cut| cut.lifeline == lifeline.id);
                assert!(cut, "{name}: {} is not cut, and loses {:#?}", lifeline.id, probed.example);
                let example = probed.example.expect("an example");
                assert!(!example.passes && example.passages.iter().any(|one| !one.passes), "{name}");
            }
        }
    }
    assert!(lost > 40 && passed > 400, "{lost} lost, {passed} passed");
}

#[test]
fn differences_are_the_same_seen_from_the_other_side() {
    let mut different = 0;
    for (name, case) in Case::all() {
        let (before, changes) = (case.state(), case.changes());
        let after = after(&before, &changes);
        let there = reach(&before, &after, &assumptions()).expect(&name);
        let back = reach(&after, &before, &assumptions()).expect(&name);
        // Addresses are those of the second state, and names of pods' interfaces those of the first; only where both stay
        // as they are is it one question.
        let felix = changes.iter().any(|change| change.key().kind == "FelixConfiguration");
        if felix || before.cluster.nodes != after.cluster.nodes {
            continue;
        }
        let mut turned: Vec<Line> = back.lines.into_iter().map(|line| Line { opens: !line.opens, ..line }).collect();
        turned.sort();
        assert_eq!(there.lines, turned, "{name}");
        different += usize::from(!there.lines.is_empty());
        let same = reach(&after, &after, &assumptions()).expect(&name);
        assert_eq!(same, Flows::default(), "{name}");
        // What is cut is closed.
        let judged = judge(&before, &changes, &lifelines, &assumptions()).expect(&name);
        let whole =
            |cut: &policy::lifeline::judge::Cut| cut.step.is_none() && cut.example.source != cut.example.destination;
        if judged.verdict == Verdict::Cuts && judged.cuts.iter().any(whole) {
            assert!(there.lines.iter().any(|line| !line.opens), "{name}: {:#?}", judged.cuts);
        }
    }
    assert!(different > 30, "{different}");
}

#[test]
fn ends_are_found_by_what_people_call_them() {
    let state = snapshot(&["
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {nodeName: n1}
status: {podIPs: [{ip: 10.1.0.5}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: kube-system}
spec: {nodeName: n1, hostNetwork: true}
"]);
    let nets = |text: &str| match party(&state, text) {
        Some(Party::Addresses { nets, .. }) => nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        Some(Party::Nodes(names)) => names.iter().cloned().collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    };
    assert_eq!((nets("n1"), nets("10.0.0.1"), nets("kube-system/agent")), ("n1".into(), "n1".into(), "n1".into()));
    assert_eq!((nets("shop/web"), nets("192.0.2.0/24")), ("10.1.0.5/32".into(), "192.0.2.0/24".into()));
    assert_eq!(nets("outside"), "198.51.100.10/32,2001:db8::10/128");
    for unknown in ["n2", "shop/api", "10.0.0.0/33", ""] {
        assert_eq!(party(&state, unknown), None, "{unknown}");
    }
    let flow = |from: &str, to: &str| Flow {
        from: party(&state, from).expect(from),
        to: party(&state, to).expect(to),
        traffic: vec![tcp(443, 443)],
    };
    assert_eq!(probe(&state, &flow("outside", "n1"), &assumptions()).pairs, 1);
    assert_eq!(probe(&state, &flow("outside", "192.0.2.0/24"), &assumptions()).pairs, 0, "no node is on the way");
    // Under its own address, or behind that of its node.
    assert_eq!(probe(&state, &flow("shop/web", "192.0.2.0/24"), &assumptions()).pairs, 1);
}
