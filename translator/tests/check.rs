//! `translate check`, as a pipeline calls it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const NODES: &str = "
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {name: cp, labels: {kubernetes.io/hostname: cp, node-role.kubernetes.io/control-plane: ''}}
  status:
    addresses: [{type: InternalIP, address: 10.0.0.1}]
    daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
    nodeInfo: {kubeletVersion: v1.34.1}
- apiVersion: v1
  kind: Node
  metadata: {name: w1, labels: {kubernetes.io/hostname: w1}}
  status:
    addresses: [{type: InternalIP, address: 10.0.0.2}]
    daemonEndpoints: {kubeletEndpoint: {Port: 10250}}
    nodeInfo: {kubeletVersion: v1.34.1}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
  addressType: IPv4
  endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
  ports: [{name: https, port: 6443, protocol: TCP}]
- apiVersion: projectcalico.org/v3
  kind: KubeControllersConfiguration
  metadata: {name: default}
  spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
";

/// What no object of the state tells.
const CONFIG: &str = "
apiVersion: lifeline.dev/v1alpha1
kind: LifelineConfig
metadata: {name: c}
spec:
  parameters: {distribution: kubeadm, overlay: [], etcdServers: [], nodeCIDRs: [10.0.0.0/24], adminCIDRs: [192.0.2.0/24],
    dhcpServers: []}
";

const DENY: &str = "# keeps everybody out
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: nodes-in}
spec:
  selector: has(kubernetes.io/hostname)
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    destination: {ports: [22, 6443]}
  - action: Deny
";

/// Files of a test, and the command run among them.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Self(folder)
    }

    fn check(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_translate"));
        command.current_dir(self.0.path()).env("NO_COLOR", "1").arg("check").args(arguments).output().expect("it runs")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.check(&[arguments, &["-o", "json"]].concat());
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/check.json");
        let schema: Value = serde_json::from_str(&fs::read_to_string(schema).expect("the schema")).expect("JSON");
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .expect("a schema")
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
        value
    }
}

fn text(output: &Output) -> (i32, String, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code().expect("a code"), utf8(&output.stdout), utf8(&output.stderr))
}

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
    ] {
        let (code, out, err) = text(&folder.check(&arguments));
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?}: {err}");
        assert!(err.contains(wanted), "{wanted} is not in {err}");
    }
}
