//! `translate lifelines`, as a person calls it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn clusters(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/clusters").join(name)
}

/// Runs it on the files of a recorded cluster.
fn run(name: &str, more: &[&str]) -> Output {
    let files = std::fs::read_dir(clusters(name)).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_translate"));
    command.arg("lifelines");
    for path in files.filter(|path| path.extension().is_some_and(|it| it == "yaml") && !path.ends_with("config.yaml")) {
        command.arg("--snapshot").arg(path);
    }
    command.args(more).current_dir(clusters(name)).output().expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn flows_are_shown_with_what_tells_of_them() {
    let output = run("k3s", &["--config", "config.yaml"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    for line in [
        "kubelet-api (blocker)\n  s-1, s-2 -> itself: TCP/10250\n  s-1, s-2 -> every node: TCP/10250\n",
        "  told by Node/s-1 metadata.labels[node-role.kubernetes.io/etcd]\n",
        "  told by built in: Flannel's vxlan uses 8472\n",
        "  told by spec.parameters.adminCIDRs\n",
        "  administrators (192.168.10.0/24) -> every node: TCP/22\n",
        "  without it: pods reach nothing on other nodes",
        "\n19 lifelines, 0 facts not known\n",
    ] {
        assert!(text(&output.stdout).contains(line), "{line}\n{}", text(&output.stdout));
    }
}

#[test]
fn what_a_cluster_lives_on_and_nobody_states_is_a_finding() {
    let output = run("eks", &[]);
    assert_eq!(output.status.code(), Some(1));
    let missing = "  kubelet-api (blocker): no node runs an API server, and no object tells from which addresses it dials \
                   kubelets\n    state it as spec.parameters.apiServerSources of a LifelineConfig\n";
    assert!(text(&output.stdout).contains(missing), "{}", text(&output.stdout));
    let stated = run("lke", &["--config", "config.yaml", "-o", "json"]);
    assert_eq!(stated.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&stated.stdout).expect("JSON");
    let kubelet = &json["lifelines"][0];
    assert_eq!((&kubelet["id"], &kubelet["severity"]), (&Value::from("kubelet-api"), &Value::from("blocker")));
    assert_eq!(kubelet["flows"][0]["from"]["addresses"]["nets"][0], "172.31.0.0/16");
    assert_eq!(kubelet["flows"][0]["traffic"][0]["ports"]["range"], serde_json::json!([10250, 10250]));
    assert_eq!(json["missing"][0]["parameter"], "adminCIDRs");
}

#[test]
fn mistakes_in_the_configuration_are_shown_where_they_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.yaml");
    let config = "apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nspec:\n  switchOff:\n  - {id: ntpp, reason: r}\n  \
                  - {id: dns}\n";
    std::fs::write(&path, config).expect("written");
    let output = run("k3s", &["--config", path.to_str().expect("UTF-8")]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), ""));
    let shown = text(&output.stderr);
    for part in [
        "error[config-unknown-lifeline]: there is no lifeline `ntpp`",
        "bad.yaml:5:10",
        "^^^^ spec.switchOff[0].id",
        "help: did you mean `ntp`?",
        "error[config-no-reason]: `dns` is changed without a reason",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(shown.contains("2 mistakes in the configuration"), "{shown}");
}

#[test]
fn a_matrix_states_lifelines_too() {
    let preset =
        Command::new(env!("CARGO_BIN_EXE_translate")).args(["presets", "show", "k3s"]).output().expect("it runs");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("k3s.yaml");
    std::fs::write(&path, &preset.stdout).expect("written");
    let output = run("k3s", &["--matrix", path.to_str().expect("UTF-8"), "--set", "cni=canal"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("  every node -> s-1, s-2: TCP/6443\n"), "{}", text(&output.stdout));
}
