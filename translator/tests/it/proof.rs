//! What the command says about the proof.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

const CLUSTER: &str = r#"{"kind": "List", "items": [
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "cp-1", "labels":
        {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/hostname": "cp-1"}},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.30.1"}]}},
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "w-1", "labels": {"kubernetes.io/hostname": "w-1"}},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.30.11"}]}},
    {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "early.open"},
     "spec": {"tier": "early", "selector": "all()", "types": ["Ingress"], "ingress": [{"action": "Allow"}]}},
    {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "early"}, "spec": {"order": 1}}]}"#;

fn translate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_translate"));
    command.env("NO_COLOR", "1").args(["--preset", "kubeadm", "--set", "nodeCIDRs=192.168.30.0/24"]).args(arguments);
    command.output().expect("translate runs")
}

/// Codes of the findings, and what is said about the proof.
fn report(arguments: &[&str]) -> (Vec<String>, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.json");
    let output = translate(&[arguments, &["--report", file.to_str().expect("UTF-8")]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty());
    let report: Value = serde_json::from_str(&fs::read_to_string(file).expect("a report")).expect("JSON");
    let codes = report["findings"].as_array().expect("a list").iter();
    (codes.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect(), report["proof"].clone())
}

#[test]
fn the_report_says_where_the_objects_were_proved() {
    for cni in ["calico", "cilium"] {
        let (codes, proof) = report(&["--cni", cni]);
        assert_eq!(proof["cluster"], "model");
        assert!(proof["states"].as_u64() > Some(1), "{proof}");
        assert!(!codes.iter().any(|code| code.starts_with("proof-") || code == "not-proved"), "{codes:?}");
    }
}

#[test]
fn what_is_not_proved_is_said() {
    let (codes, proof) = report(&["--cni", "calico", "--no-prove"]);
    assert!(codes.contains(&"proof-skipped".to_owned()), "{codes:?}");
    assert_eq!(proof, Value::Null);
    let with = ["--cni", "calico"];
    assert_eq!(translate(&[&with[..], &["--no-prove"]].concat()).stdout, translate(&with).stdout, "the same objects");
    let (codes, proof) = report(&["--cni", "cilium", "--cilium-option", "label-prefix-file=/etc/labels"]);
    assert!(codes.contains(&"not-proved".to_owned()), "{codes:?}");
    assert_eq!(proof, Value::Null);
}

#[test]
fn a_cluster_is_read_from_a_file_or_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    fs::write(inner.join("cluster.json"), CLUSTER).expect("a file");
    fs::write(folder.path().join("notes.txt"), "not a manifest").expect("a file");
    for path in [folder.path().to_owned(), inner.join("cluster.json")] {
        let (codes, proof) = report(&["--cni", "calico", "--snapshot", path.to_str().expect("UTF-8")]);
        assert_eq!(proof["cluster"], "snapshot");
        assert!(codes.contains(&"cluster-disagrees".to_owned()), "{codes:?}");
    }
}

#[test]
fn a_cluster_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cluster.yaml");
    for (text, wanted) in [
        ("kind: Node", "`apiVersion` is missing"),
        ("{", "neither YAML nor JSON"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "there is no node in it"),
    ] {
        fs::write(&file, text).expect("a file");
        let output = translate(&["--cni", "calico", "--snapshot", file.to_str().expect("UTF-8")]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{stderr}");
        assert!(stderr.contains("snapshot-unreadable") && stderr.contains(wanted), "{stderr}");
    }
    let missing = folder.path().join("nothing");
    let output = translate(&["--cni", "calico", "--snapshot", missing.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(3));
    let both = translate(&["--cni", "calico", "--snapshot", "cluster", "--no-prove"]);
    assert_eq!(both.status.code(), Some(2));
}
