//! Bad input is answered with a clear error that says where and what to do, and nothing is written.
//!
//! One golden file per case under `snapshots/`. To add a matrix, put it into `../bad/` and run
//! `INSTA_UPDATE=always cargo test -p translator bad_inputs`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn translate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_translate"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad"));
    command.env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
    command
}

/// Exit status and standard error; standard output must be empty.
fn transcript(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing goes to standard output on failure");
    let code = output.status.code().expect("it ended by itself");
    assert_ne!(code, 0);
    assert_ne!(code, 70, "{}", String::from_utf8_lossy(&output.stderr));
    format!("exit {code}\n{}", String::from_utf8_lossy(&output.stderr))
}

fn run(arguments: &[&str]) -> String {
    transcript(&translate().args(arguments).output().expect("translate runs"))
}

#[test]
fn matrices() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad"))
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(files.len() >= 40, "there are {} cases", files.len());
    for file in files {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        let text = run(&["--cni", "calico", "-f", &name]);
        assert!(text.starts_with("exit 3\n"), "{name}: {text}");
        insta::assert_snapshot!(format!("matrix-{}", name.trim_end_matches(".yaml")), text);
    }
}

const HARVESTER: [&str; 4] = ["--cni", "calico", "--preset", "harvester"];

/// The preset with further arguments.
fn harvester(arguments: &[&str]) -> String {
    run(&[&HARVESTER, arguments].concat())
}

#[test]
fn command_lines() {
    let cases: Vec<(&str, String)> = vec![
        ("no-cni", run(&["--preset", "harvester"])),
        ("no-matrix", run(&["--cni", "calico"])),
        ("unknown-cni", run(&["--cni", "flannel", "--preset", "harvester"])),
        ("unknown-preset", run(&["--cni", "calico", "--preset", "havester"])),
        ("preset-and-file", harvester(&["-f", "empty.yaml"])),
        ("unknown-option", harvester(&["--foo"])),
        ("unknown-parameter", harvester(&["--set", "adminCIDR=10.0.0.0/8"])),
        ("set-without-value", harvester(&["--set", "adminCIDRs"])),
        ("bad-parameter-value", harvester(&["--set", "adminCIDRs=10.0.0.1/8", "--set", "sources=all"])),
        ("unknown-addon", harvester(&["--addon", "monitoring=off"])),
        ("addon-neither-on-nor-off", harvester(&["--addon", "rancher-monitoring=maybe"])),
        ("unknown-fact", harvester(&["--assume", "weather=fine"])),
        ("contradicting-assumption", harvester(&["--assume", "cni=cilium"])),
        ("option-of-the-other-cni", harvester(&["--cilium-version", "1.20"])),
        ("option-of-calico-with-cilium", run(&["--cni", "cilium", "--preset", "harvester", "--tier", "a"])),
        ("bad-calico-version", harvester(&["--calico-version", "new"])),
        ("failsafe-none", harvester(&["--failsafe", "none"])),
        ("written-without-nodes", harvester(&["--host-endpoints", "written"])),
        ("bad-output", harvester(&["-o", "xml"])),
        ("bad-name-prefix", harvester(&["--name-prefix", "Not_A_Name"])),
        ("missing-file", run(&["--cni", "calico", "-f", "is-not-there.yaml"])),
        ("directory", run(&["--cni", "calico", "-f", "."])),
        ("missing-nodes", harvester(&["--nodes", "is-not-there.json"])),
        ("nodes-are-no-nodes", harvester(&["--nodes", "another-kind.yaml"])),
        ("two-readers-of-stdin", run(&["--cni", "calico", "-f", "-", "--nodes", "-"])),
        ("bad-cilium-option", run(&["--cni", "cilium", "--preset", "harvester", "--cilium-option", "enable-foo=true"])),
        (
            "cilium-config-is-none",
            run(&["--cni", "cilium", "--preset", "harvester", "--cilium-config", "no-spec.yaml"]),
        ),
        ("unknown-code", run(&["explain", "row-not-expressibel"])),
        ("unknown-preset-shown", run(&["presets", "show", "nope"])),
    ];
    for (name, text) in cases {
        insta::assert_snapshot!(format!("command-{name}"), text);
    }
}

#[test]
fn not_utf8() {
    let file = tempfile::Builder::new().prefix("matrix").suffix(".yaml").tempfile().expect("a file");
    std::fs::write(file.path(), b"apiVersion: \xff\xfe").expect("written");
    let text = run(&["--cni", "calico", "-f", &file.path().to_string_lossy()]);
    assert!(text.starts_with("exit 3\n"), "{text}");
    assert!(
        text.contains("error[input-unreadable]") && text.contains("it is not UTF-8 text, from byte 12 on"),
        "{text}"
    );
}

#[test]
fn a_hundred_megabytes_are_not_read() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(100 << 20).expect("sparse");
    let output = translate().args(["--cni", "calico", "-f", "-"]).stdin(file).output().expect("translate runs");
    let text = transcript(&output);
    assert!(text.starts_with("exit 3\n") && text.contains("error[input-too-large]"), "{text}");
}

#[test]
fn a_closed_pipe_is_quiet() {
    let mut child = translate().args(HARVESTER).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("Broken pipe") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_full_disk_is_reported() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = translate().args(HARVESTER).stdout(full).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output: No space left on device")
    );
}

#[test]
fn a_report_that_cannot_be_written_stops_the_output() {
    let text = harvester(&["--report", "/dev/full"]);
    assert!(text.starts_with("exit 4\n") && text.contains("cannot write /dev/full: No space left on device"), "{text}");
    let text = harvester(&["--report", "is-not-there/report.json"]);
    assert!(text.starts_with("exit 4\n") && text.contains("cannot write is-not-there/report.json"), "{text}");
}

#[test]
fn a_file_in_place_of_the_directory_is_reported() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().write_all(b"mine").expect("written");
    let text = harvester(&["-o", &format!("dir={}", file.path().display())]);
    assert!(text.starts_with("exit 4\n") && text.contains("cannot create"), "{text}");
    assert_eq!(std::fs::read(file.path()).expect("still there"), b"mine");
}

#[test]
fn files_of_others_in_the_directory_are_never_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = format!("dir={}", directory.path().display());
    let arguments: Vec<&str> = HARVESTER.iter().copied().chain(["-o", &output]).collect();
    let first = translate().args(&arguments).output().expect("it runs");
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    std::fs::write(directory.path().join("mine.yaml"), "mine").expect("written");
    let list = || {
        let mut names: Vec<String> = std::fs::read_dir(directory.path())
            .expect("there")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = list();
    // The same again changes nothing; another matrix takes its own files away and leaves the stranger.
    assert_eq!(translate().args(&arguments).output().expect("it runs").status.code(), Some(0));
    assert_eq!(list(), before);
    let other = ["--cni", "calico", "--preset", "kubeadm", "-o", &output];
    let other = translate().args(other).output().expect("it runs");
    assert_eq!(other.status.code(), Some(0), "{}", String::from_utf8_lossy(&other.stderr));
    assert!(list().iter().all(|name| !name.contains("harvester")), "{:?}", list());
    assert_eq!(std::fs::read_to_string(directory.path().join("mine.yaml")).expect("there"), "mine");

    // A file of the name we want that we did not write is in the way.
    let name = list().into_iter().find(|name| name.starts_with("00-")).expect("a first file");
    std::fs::remove_file(directory.path().join(".lifeline-files")).expect("removed");
    let text = transcript(
        &translate().args(["--cni", "calico", "--preset", "kubeadm", "-o", &output]).output().expect("it runs"),
    );
    assert!(
        text.starts_with("exit 4\n") && text.contains(&name) && text.contains("was not written by translate"),
        "{text}"
    );
}

#[test]
fn a_directory_that_cannot_be_finished_is_left_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = format!("dir={}", directory.path().display());
    let arguments: Vec<&str> = HARVESTER.iter().copied().chain(["-o", &output]).collect();
    // The place where a file is staged is taken by a directory, so staging fails half-way.
    let probe = tempfile::tempdir().expect("a directory");
    let probe_output = format!("dir={}", probe.path().display());
    translate().args(HARVESTER).args(["-o", &probe_output]).output().expect("it runs");
    let last = std::fs::read_dir(probe.path())
        .expect("there")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml"))
        .max()
        .expect("files");
    std::fs::create_dir(directory.path().join(format!(".{last}.new"))).expect("made");
    let text = transcript(&translate().args(&arguments).output().expect("it runs"));
    assert!(text.starts_with("exit 4\n") && text.contains("cannot write"), "{text}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
