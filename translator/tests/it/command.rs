//! The command as a whole: as a plugin, its schemas, and what it explains.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::common::{DENY, Folder, NODES, json, text};

#[test]
fn as_a_plugin_it_is_called_by_its_other_name() {
    let folder = Folder::new(&[]);
    let plugin = folder.0.path().join("kubectl-lifeline");
    symlink(env!("CARGO_BIN_EXE_translate"), &plugin).expect("a link");
    let run = |arguments: &[&str]| text(&Command::new(&plugin).args(arguments).output().expect("it runs"));
    let (code, out, _) = run(&["check", "--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Usage: kubectl lifeline check "), "{out}");
    let (code, _, err) = run(&["check"]);
    assert_eq!(code, 2);
    assert!(err.contains("Usage: kubectl lifeline check "), "{err}");
    let (_, out, _) = text_of(&folder, &["check", "--help"]);
    assert!(out.contains("Usage: translate check "), "{out}");
}

fn text_of(folder: &Folder, arguments: &[&str]) -> (i32, String, String) {
    text(&folder.run(arguments))
}

#[test]
fn schemas_are_printed() {
    let folder = Folder::new(&[]);
    for (arguments, title) in [
        (vec!["schema"], "PortMatrix"),
        (vec!["schema", "matrix"], "PortMatrix"),
        (vec!["schema", "config"], "LifelineConfig"),
        (vec!["schema", "check"], "translate check"),
    ] {
        let (code, out, err) = text_of(&folder, &arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        let schema = json(&out);
        assert!(schema["title"].as_str().expect("a title").contains(title), "{}", schema["title"]);
    }
}

#[test]
fn whatever_check_says_is_explained() {
    let folder = Folder::new(&[("nodes.yaml", NODES), ("deny.yaml", DENY)]);
    let (_, out, _) = text_of(&folder, &["check", "--snapshot", "nodes.yaml", "-f", "deny.yaml"]);
    let commands: Vec<&str> = out.lines().filter_map(|line| line.trim().strip_prefix("translate explain ")).collect();
    assert!(commands.contains(&"cuts-kubelet-api") && commands.contains(&"cannot-prove"), "{out}");
    for code in commands {
        let (status, out, err) = text_of(&folder, &["explain", code]);
        assert_eq!((status, err.as_str()), (0, ""), "{code}");
        assert!(out.starts_with(&format!("{code}: ")) && out.contains("What to do"), "{out}");
        assert!(out.contains("error: the change is not safe; exit status 1"), "{out}");
    }
    let (_, list, _) = text_of(&folder, &["explain"]);
    for code in ["cuts-etcd-peer", "cuts-icmp6-nd", "stops-agent", "cannot-prove"] {
        assert!(list.lines().any(|line| line.starts_with(code)), "{code} is not in\n{list}");
    }
}
