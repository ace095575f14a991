//! `translate check`, as a pipeline calls it.

use std::fs;

use crate::common::{CONFIG, DENY, Folder, NODES, text};

#[test]
fn a_cut_is_shown_with_its_packet_its_rule_and_a_repair() {
    let folder = Folder::new(&[("state/nodes.yaml", NODES), ("deny.yaml", DENY)]);
    let (code, out, err) = text(&folder.check(&["--snapshot", "state", "-f", "deny.yaml"]));
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    for wanted in [
        "error[cuts-kubelet-api]: kubelet-api is cut arriving: cp to w1",
        "deny.yaml:12:5",
        "TCP 10.0.0.1:40000 -> 10.0.0.2:10250",
        "patch GlobalNetworkPolicy/nodes-in (JSON Patch)",
        "cuts: the change cuts",
    ] {
        assert!(out.contains(wanted), "{wanted} is not in\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "{out}");
}

#[test]
fn json_says_the_same_and_follows_its_schema() {
    let folder = Folder::new(&[("nodes.yaml", NODES), ("deny.yaml", DENY)]);
    let value = folder.json(&["--snapshot", "nodes.yaml", "-f", "deny.yaml"]);
    assert_eq!(value["verdict"], "cuts");
    let cuts = value["cuts"].as_array().expect("a list");
    let cut = cuts.iter().find(|cut| cut["lifeline"] == "kubelet-api").expect("the kubelet");
    assert_eq!(cut["packet"]["destinationPort"], 10250);
    assert_eq!(cut["deciding"]["object"], "GlobalNetworkPolicy/nodes-in");
    assert_eq!(cut["deciding"]["path"], "spec.ingress[1]");
    assert_eq!((&cut["place"]["file"], &cut["place"]["line"]), (&"deny.yaml".into(), &12.into()));
    assert_eq!(cut["repair"]["steps"][0]["action"], "patch");
    assert_eq!(cut["repair"], value["repair"]);
}

#[test]
fn the_repaired_manifest_is_safe() {
    let folder = Folder::new(&[("nodes.yaml", NODES), ("deny.yaml", DENY), ("config.yaml", CONFIG)]);
    let config = ["--config", "config.yaml"];
    let value = folder.json(&[&config[..], &["--snapshot", "nodes.yaml", "-f", "deny.yaml"]].concat());
    assert_eq!(value["repair"]["proved"], true, "{value:#}");
    fs::write(folder.0.path().join("repaired.json"), value["repair"]["steps"][0]["manifest"].to_string())
        .expect("a file");
    let output = folder.check(&[&config[..], &["--snapshot", "nodes.yaml", "-f", "repaired.json"]].concat());
    let (code, out, _) = text(&output);
    assert_eq!((code, out.lines().last()), (0, Some("safe: the change cuts no lifeline")), "{out}");
}

#[test]
fn a_state_alone_is_judged() {
    let folder = Folder::new(&[("nodes.yaml", NODES), ("deny.yaml", DENY)]);
    // Nothing takes anything away, so it does not matter whose ends are not known.
    assert_eq!(folder.json(&["--snapshot", "nodes.yaml"])["verdict"], "safe");
    let value = folder.json(&["--snapshot", "nodes.yaml", "--snapshot", "deny.yaml"]);
    assert_eq!(value["verdict"], "cuts");
}

#[test]
fn a_deletion_can_cut() {
    let allow = DENY.replace("nodes-in", "nodes-allow").replace("  selector", "  order: 1\n  selector").replace(
        "  - action: Allow\n    protocol: TCP\n    destination: {ports: [22, 6443]}\n  - action: Deny",
        "  - action: Allow",
    );
    let folder = Folder::new(&[("s/nodes.yaml", NODES), ("s/deny.yaml", DENY), ("s/allow.yaml", &allow)]);
    let value = folder.json(&["--snapshot", "s", "--delete", "s/allow.yaml"]);
    assert_eq!(value["verdict"], "cuts");
    assert_eq!(value["repair"]["steps"][0]["action"], "withhold");
    assert_eq!(value["repair"]["steps"][0]["deletion"], true);
}

#[test]
fn an_order_is_proposed_where_the_given_one_cuts_on_the_way() {
    let allow = DENY.replace("nodes-in", "nodes-allow").replace("  selector", "  order: 1\n  selector").replace(
        "  - action: Allow\n    protocol: TCP\n    destination: {ports: [22, 6443]}\n  - action: Deny",
        "  - action: Allow",
    );
    let folder = Folder::new(&[("nodes.yaml", NODES), ("both.yaml", &format!("{DENY}---\n{allow}"))]);
    let value = folder.json(&["--snapshot", "nodes.yaml", "-f", "both.yaml"]);
    assert_eq!((&value["verdict"], &value["order"]), (&"cuts".into(), &serde_json::json!([1, 0])), "{value:#}");
    assert!(value["cuts"].as_array().expect("a list").iter().all(|cut| cut["step"] == 1), "{value:#}");
}

#[test]
fn a_configuration_switches_lifelines_off() {
    let config = "apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nmetadata: {name: c}\nspec:\n  switchOff:\n  \
                  - {id: kubelet-api, reason: nobody looks at logs here}\n";
    let folder = Folder::new(&[("nodes.yaml", NODES), ("deny.yaml", DENY), ("config.yaml", config)]);
    let value = folder.json(&["--snapshot", "nodes.yaml", "-f", "deny.yaml", "--config", "config.yaml"]);
    let cuts = value["cuts"].as_array().expect("a list");
    assert!(!cuts.iter().any(|cut| cut["lifeline"] == "kubelet-api"), "{value:#}");
}

#[test]
fn a_change_is_what_apply_makes_of_it() {
    let felix = |metadata: &str, spec: &str| {
        format!(
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default{metadata}}}\nspec: {{{spec}}}\n"
        )
    };
    let kubelet = "failsafeInboundHostPorts: [{protocol: TCP, port: 10250}]";
    let copy = |spec: &str| {
        let copy = format!(r#"{{"metadata": {{"name": "default"}}, "spec": {{{spec}}}}}"#);
        format!(", annotations: {{kubectl.kubernetes.io/last-applied-configuration: '{copy}'}}")
    };
    let applied = copy(r#""failsafeInboundHostPorts": [{"protocol": "TCP", "port": 10250}]"#);
    let change = felix("", "logSeverityScreen: Debug");
    for (metadata, merge, cut, said) in [
        // Whose the list is nobody tells.
        (String::new(), false, true, true),
        (String::new(), true, false, false),
        // Somebody else's, and our own.
        (copy(""), false, false, false),
        (applied.clone(), false, true, false),
        (applied, true, true, false),
    ] {
        let state = felix(&metadata, kubelet);
        let files = [
            ("s/nodes.yaml", NODES),
            ("s/deny.yaml", &DENY.replace("22, 6443", "22, 6443, 179")),
            ("s/felix.yaml", &state),
            ("config.yaml", CONFIG),
            ("change.yaml", &change),
        ];
        let folder = Folder::new(&files);
        let mut arguments = vec!["--snapshot", "s", "-f", "change.yaml", "--config", "config.yaml"];
        arguments.extend(merge.then_some("--merge"));
        let value = folder.json(&arguments);
        let cuts = value["cuts"].as_array().expect("a list");
        assert_eq!(cuts.iter().any(|cut| cut["lifeline"] == "kubelet-api"), cut, "{metadata} {merge} {value:#}");
        let loses = "FelixConfiguration/default loses spec.failsafeInboundHostPorts: ";
        let assumed = value["assumed"].as_array().expect("a list");
        let taken = assumed.iter().any(|text| text.as_str().is_some_and(|text| text.starts_with(loses)));
        assert_eq!(taken, said, "{metadata} {merge} {assumed:?}");
        if cut {
            arguments.push("--fix=fixed.yaml");
            assert_eq!(text(&folder.check(&arguments)).0, 0, "{value:#}");
            arguments.retain(|argument| !argument.starts_with("--fix"));
            arguments[3] = "fixed.yaml";
            assert_eq!(folder.json(&arguments)["verdict"], "safe");
        }
    }
}

#[test]
fn a_node_keeps_the_status_that_nobody_applies() {
    let label = "apiVersion: v1\nkind: Node\nmetadata: {name: w1, labels: {kubernetes.io/hostname: w1, a: b}}\n";
    let folder = Folder::new(&[("nodes.yaml", NODES), ("config.yaml", CONFIG), ("label.yaml", label)]);
    let value = folder.json(&["--snapshot", "nodes.yaml", "-f", "label.yaml", "--config", "config.yaml"]);
    assert_eq!((&value["verdict"], &value["cuts"]), (&"safe".into(), &serde_json::json!([])), "{value:#}");
}

#[test]
fn bad_input_says_where_and_what_to_do() {
    let twice = format!("{DENY}---\n{DENY}");
    let folder = Folder::new(&[
        ("nodes.yaml", NODES),
        ("deny.yaml", DENY),
        ("twice.yaml", &twice),
        ("broken.yaml", "a: ["),
        ("half.yaml", "apiVersion: v1\nkind: Node\n"),
        ("empty.yaml", "---\n"),
        (
            "config.yaml",
            "apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nmetadata: {name: c}\nspec: {flavour: 1}\n",
        ),
        ("none/readme.txt", ""),
        ("part/nodes.yaml", NODES),
        (
            "part/pods.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec: {hostNetwork: perhaps}\n",
        ),
        ("cut/nodes.yaml", &NODES[..NODES.len() / 2]),
        ("matrix.yaml", "apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix\nmetadata: {name: m}\n"),
        ("own.yaml", CONFIG),
    ]);
    let state = ["--snapshot", "nodes.yaml"];
    for (arguments, wanted) in [
        (vec!["--snapshot", "gone.yaml"], "gone.yaml: "),
        (vec!["--snapshot", "none"], "no .yaml, .yml or .json file in it"),
        (vec!["--snapshot", "deny.yaml"], "the snapshot has no Node"),
        (vec!["--snapshot", "nodes.yaml", "--snapshot", "nodes.yaml"], "Node/cp is in the snapshot already"),
        ([&state[..], &["-f", "broken.yaml"]].concat(), "broken.yaml: it is neither YAML nor JSON"),
        (
            [&state[..], &["-f", "half.yaml"]].concat(),
            "half.yaml:1: it is no Kubernetes object: `metadata.name` is missing",
        ),
        ([&state[..], &["-f", "empty.yaml"]].concat(), "the change has no object in it"),
        (
            [&state[..], &["-f", "twice.yaml"]].concat(),
            "twice.yaml:15: GlobalNetworkPolicy/nodes-in is in the change already, at twice.yaml:2",
        ),
        (
            [&state[..], &["--delete", "deny.yaml"]].concat(),
            "GlobalNetworkPolicy/nodes-in is to be deleted, and the state has none",
        ),
        ([&state[..], &["-f", "deny.yaml", "--config", "config.yaml"]].concat(), "config.yaml:"),
        ([&state[..], &["--calico-version", "three"]].concat(), "--calico-version three"),
        (vec!["--snapshot", "part"], "part/pods.yaml:1: Pod/b/a: spec.hostNetwork: "),
        (vec!["--snapshot", "cut"], "cut/nodes.yaml"),
        (
            [&state[..], &["-f", "matrix.yaml"]].concat(),
            "matrix.yaml:1: PortMatrix/m is no object of a cluster; translate it",
        ),
        (
            [&state[..], &["-f", "own.yaml"]].concat(),
            "LifelineConfig/c is no object of a cluster; give it with --config",
        ),
        ([&state[..], &["-f", "deny.yaml", "--config", "nodes.yaml"]].concat(), "nodes.yaml: "),
        ([&state[..], &["-f", "broken.yaml", "--fix=deny.yaml"]].concat(), "broken.yaml: it is neither YAML nor JSON"),
    ] {
        let (code, out, err) = text(&folder.check(&arguments));
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?}: {err}");
        assert!(err.contains(wanted), "{wanted} is not in {err}");
    }
    assert_eq!(folder.read("deny.yaml"), DENY, "nothing is written");
}
