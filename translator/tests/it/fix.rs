//! `translate check --fix`: what is written, and what is not touched.

use crate::common::{CONFIG, DENY, Folder, NODES, text};

/// Objects that no repair has to do with, with comments and spaces of their own.
const BESIDE: &str = "# the administrators\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata:   {name: \
                      admins}\nspec: {nets: [192.0.2.0/24]}   # one net\n";

fn folder() -> Folder {
    let change = format!("{BESIDE}---\n{DENY}---\n{}", BESIDE.replace("admins", "others"));
    Folder::new(&[("nodes.yaml", NODES), ("config.yaml", CONFIG), ("change.yaml", &change), ("beside.yaml", BESIDE)])
}

const STATE: [&str; 4] = ["--snapshot", "nodes.yaml", "--config", "config.yaml"];

#[test]
fn what_is_written_is_safe_and_leaves_the_rest_alone() {
    let folder = folder();
    let fix = folder.check(&[&STATE[..], &["-f", "change.yaml", "--fix=fixed.yaml"]].concat());
    let (code, out, err) = text(&fix);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("error[cuts-kubelet-api]"), "{out}");
    let fixed = folder.read("fixed.yaml");
    assert!(
        fixed.starts_with(BESIDE) && fixed.ends_with(&format!("---\n{}", BESIDE.replace("admins", "others"))),
        "{fixed}"
    );
    let (code, out, _) = text(&folder.check(&[&STATE[..], &["-f", "fixed.yaml"]].concat()));
    assert_eq!((code, out.lines().last()), (0, Some("safe: the change cuts no lifeline")), "{out}");
}

#[test]
fn without_a_path_it_goes_to_standard_output() {
    let folder = folder();
    let (code, out, err) = text(&folder.check(&[&STATE[..], &["-f", "change.yaml", "--fix"]].concat()));
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with(BESIDE) && err.contains("error[cuts-kubelet-api]"), "{out}{err}");
    // What is safe needs no repair, and comes out as it went in.
    let (code, out, err) = text(&folder.check(&[&STATE[..], &["-f", "beside.yaml", "--fix"]].concat()));
    assert_eq!((code, out.as_str()), (0, BESIDE), "{err}");
}

#[test]
fn a_file_can_be_mended_in_its_place() {
    let folder = folder();
    let arguments = [&STATE[..], &["-f", "change.yaml", "--fix=change.yaml"]].concat();
    assert_eq!(text(&folder.check(&arguments)).0, 0);
    let once = folder.read("change.yaml");
    assert_eq!(text(&folder.check(&arguments)).0, 0);
    assert_eq!(folder.read("change.yaml"), once, "what is safe is left as it is");
}

#[test]
fn without_a_proved_repair_nothing_is_written() {
    let folder = folder();
    // Nobody states who the administrators are, so nothing is proved.
    let unproved = ["--snapshot", "nodes.yaml", "-f", "change.yaml", "--fix=fixed.yaml"];
    let (code, _, err) = text(&folder.check(&unproved));
    assert_eq!(code, 1);
    assert!(err.contains("--fix: nothing is written: the repair is not proved"), "{err}");
    assert!(!folder.0.path().join("fixed.yaml").exists());
}

#[test]
fn the_two_outputs_do_not_get_into_each_other_s_way() {
    let folder = folder();
    let (code, out, err) = text(&folder.check(&[&STATE[..], &["-f", "change.yaml", "--fix", "-o", "json"]].concat()));
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("--fix=PATH"), "{err}");
    assert_eq!(text(&folder.check(&[&STATE[..], &["--fix"]].concat())).0, 2, "--fix is for the objects of -f");
}
