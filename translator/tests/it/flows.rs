//! `translate trace` and `translate diff`: flows one by one, and all that differ.

use crate::common::{DENY, Folder, NODES, json, text};

fn folder() -> Folder {
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {nodeName: w1}\nstatus: {podIPs: \
               [{ip: 10.1.0.5}]}\n";
    let set = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: admins}\nspec: {nets: \
               [192.0.2.0/24]}\n";
    let admins = DENY.replace(
        "  - action: Deny",
        "  - action: Allow\n    protocol: TCP\n    source: {nets: [192.0.2.0/24]}\n    \
                                                   destination: {ports: [10250]}\n  - action: Deny",
    );
    Folder::new(&[
        ("open/nodes.yaml", &format!("{NODES}{pod}")),
        ("closed/nodes.yaml", &format!("{NODES}{pod}")),
        ("closed/deny.yaml", DENY),
        ("admins/nodes.yaml", &format!("{NODES}{pod}")),
        ("admins/deny.yaml", &admins),
        ("admins/set.yaml", set),
        ("other/nodes.yaml", &NODES.replace("w1", "w2")),
    ])
}

#[test]
fn a_trace_ends_with_the_step_that_decides() {
    let folder = folder();
    let trace = |rest: &[&str]| text(&folder.run(&[&["trace", "--snapshot", "closed"], rest].concat()));
    let (code, out, err) = trace(&["--from", "cp", "--to", "w1", "--port", "10250/tcp"]);
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    for wanted in [
        "leaving at cp, out through eth0: TCP 10.0.0.1:40000 -> 10.0.0.2:10250: passes",
        "arriving at w1, in through eth0: TCP 10.0.0.1:40000 -> 10.0.0.2:10250: dropped",
        "rule 0: no match",
        "rule 1: drop",
    ] {
        assert!(out.contains(wanted), "{wanted} is not in\n{out}");
    }
    assert_eq!(out.lines().last(), Some("dropped"));
    assert_eq!(trace(&["--from", "cp", "--to", "w1", "--port", "TCP/6443"]).0, 0);
    assert_eq!(trace(&["--from", "outside", "--to", "w1", "--port", "22/TCP"]).0, 0);
    assert_eq!(trace(&["--from", "198.51.100.0/24", "--to", "10.0.0.2", "--port", "23/TCP"]).0, 1);
    let (code, out, _) = trace(&["--from", "cp", "--to", "cp", "--port", "80/TCP"]);
    assert!(code == 1 && out.contains("over lo: TCP 10.0.0.1:40000 -> 10.0.0.1:80: dropped"), "{out}");
    // The default of host endpoints lets pods of a node by, and leaves what passes through to others.
    assert_eq!(trace(&["--from", "outside", "--to", "shop/web", "--port", "80/TCP"]).0, 0);
    assert_eq!(trace(&["--from", "shop/web", "--to", "cp", "--port", "8080/TCP"]).0, 1);
}

#[test]
fn a_lifeline_brings_its_own_ends_and_packets() {
    let folder = folder();
    let trace =
        |state: &str, rest: &[&str]| text(&folder.run(&[&["trace", "--snapshot", state, "-o", "json"], rest].concat()));
    let (code, out, _) = trace("closed", &["--from", "kubelet-api"]);
    let value = json(&out);
    assert_eq!((code, &value["passes"]), (1, &false.into()), "{out}");
    let flow = value["flows"].as_array().expect("flows").iter().find(|flow| flow["dropped"] != 0).expect("a drop");
    assert_eq!(flow["traffic"][0], "TCP/10250");
    let passages = flow["example"]["passages"].as_array().expect("passages");
    let drop = passages.iter().find(|passage| passage["passes"] == false).expect("a drop");
    let steps = drop["calico"]["steps"].as_array().expect("steps");
    let last = steps.last().expect("a step");
    assert_eq!(
        (&last["object"], &last["rule"], &last["outcome"]),
        (&"GlobalNetworkPolicy/nodes-in".into(), &1.into(), &"drop".into())
    );
    assert_eq!(trace("open", &["--from", "kubelet-api"]).0, 0);
    assert_eq!(
        trace("closed", &["--from", "kubelet-api", "--port", "6443/TCP"]).0,
        0,
        "other packets between its ends"
    );
    assert_eq!(trace("closed", &["--from", "outside", "--to", "kubelet-api"]).0, 1, "its port, from elsewhere");
    assert_eq!(trace("open", &["--from", "loopback"]).0, 0);
}

#[test]
fn bad_questions_say_what_is_missing() {
    let folder = folder();
    for (rest, wanted) in [
        (vec!["--from", "cp2", "--to", "w1", "--port", "22/TCP"], "--from cp2: the snapshot has no such node"),
        (vec!["--from", "cp", "--to", "shop/api", "--port", "22/TCP"], "--to shop/api: the snapshot has no such node"),
        (vec!["--from", "cp", "--to", "w1"], "--port is missing"),
        (vec!["--from", "cp"], "--to is missing"),
        (vec!["--from", "outside", "--to", "203.0.113.7", "--port", "22/TCP"], "no packet passes a node"),
    ] {
        let (code, out, err) = text(&folder.run(&[&["trace", "--snapshot", "open"], &rest[..]].concat()));
        assert_eq!((code, out.as_str()), (3, ""), "{rest:?}: {err}");
        assert!(err.contains(wanted), "{wanted} is not in {err}");
    }
    let (code, _, err) =
        text(&folder.run(&["trace", "--snapshot", "open", "--from", "cp", "--to", "w1", "--port", "tcp"]));
    assert_eq!(code, 2, "{err}");
}

#[test]
fn two_states_differ_by_their_flows() {
    let folder = folder();
    let diff = |old: &str, new: &str| text(&folder.run(&["diff", old, new]));
    assert_eq!(diff("open", "open"), (0, "no flow opens or closes\n".to_owned(), String::new()));
    let (code, out, err) = diff("closed", "admins");
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert_eq!(
        out,
        "outside -> every node\n  + opens  TCP 10250 from GlobalNetworkSet/admins\nlines that open: 1, that close: 0\n"
    );
    let (code, out, _) = diff("admins", "closed");
    assert_eq!(code, 1);
    assert!(out.contains("  - closes TCP 10250 from GlobalNetworkSet/admins"), "{out}");
    let (_, out, _) = diff("open", "closed");
    for wanted in ["outside -> every node", "every node -> every node", "pods on w1 -> every node"] {
        assert!(out.lines().any(|line| line == wanted), "{wanted} is not in\n{out}");
    }
    assert!(out.contains("- closes TCP 0-21,23-178,180-2378,"), "{out}");
    assert!(!out.contains("opens"), "{out}");
}

#[test]
fn nodes_that_come_and_go_are_named() {
    let folder = folder();
    let (code, out, _) = text(&folder.run(&["diff", "open", "other", "-o", "json"]));
    let value = json(&out);
    assert_eq!((code, &value["joined"][0], &value["left"][0]), (1, &"w2".into(), &"w1".into()));
    let (code, out, err) = text(&folder.run(&["diff", "open", "gone"]));
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("gone: "), "{err}");
}

const MATRIX: &str = "apiVersion: lifeline.dev/v1alpha1
kind: PortMatrix
metadata: {name: m}
spec:
  peers: {admins: {cidrs: [192.0.2.0/24]}}
  roles:
    control-plane: {nodeSelector: {matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]}}
    worker: {nodeSelector: {matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: DoesNotExist}]}}
  rows:
  - {roles: all, ports: 22, from: admins, flow: admin-ssh, purpose: ssh}
  - {roles: control-plane, ports: 6443, from: any, flow: kube-apiserver, purpose: API server}
";

#[test]
fn two_matrices_differ_by_what_their_rows_mean() {
    let narrow = MATRIX.replace("ports: 6443, from: any", "ports: 6443, from: [nodes, admins]");
    // Written otherwise, and meant the same.
    let same = MATRIX.replace("ports: 22, from: admins,", "ports: 22-22, from: [192.0.2.0/25, 192.0.2.128/25],");
    let folder = Folder::new(&[
        ("wide.yaml", MATRIX),
        ("narrow.yaml", &narrow),
        ("same.yaml", &same),
        ("state.yaml", NODES),
        ("bad.yaml", &MATRIX.replace("from: any", "from: nobody")),
    ]);
    let diff = |old: &str, new: &str| text(&folder.run(&["diff", old, new]));
    let (code, out, err) = diff("wide.yaml", "same.yaml");
    assert_eq!((code, out.as_str()), (0, "no flow opens or closes\n"), "{err}");
    let (code, out, err) = diff("wide.yaml", "narrow.yaml");
    assert_eq!(code, 1, "{err}");
    assert!(out.starts_with("outside -> control-plane nodes\n  - closes TCP 6443 from 0.0.0.0-"), "{out}");
    assert!(out.contains("  - closes TCP 6443 from any IPv6\n"), "{out}");
    assert!(!out.contains("opens") && !out.contains("worker nodes -> control-plane"), "{out}");
    let (code, out, _) = diff("narrow.yaml", "wide.yaml");
    assert!(code == 1 && out.contains("+ opens  TCP 6443") && !out.contains("closes"), "{out}");
    let (code, out, err) = diff("wide.yaml", "state.yaml");
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("give two states, or two matrices"), "{err}");
    let (code, _, err) = diff("wide.yaml", "bad.yaml");
    assert!(code == 3 && err.contains("error[unknown-peer]"), "{err}");
}
