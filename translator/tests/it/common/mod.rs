//! A cluster of two nodes, a policy that cuts it, and the command run on files of them.

// Each suite uses some of it.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

pub const NODES: &str = "
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
pub const CONFIG: &str = "
apiVersion: lifeline.dev/v1alpha1
kind: LifelineConfig
metadata: {name: c}
spec:
  parameters: {distribution: kubeadm, overlay: [], etcdServers: [], nodeCIDRs: [10.0.0.0/24], adminCIDRs: [192.0.2.0/24],
    dhcpServers: []}
";

pub const DENY: &str = "# keeps everybody out
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
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        Self(folder)
    }

    /// Runs `translate` in the folder.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_translate"));
        command.current_dir(self.0.path()).env("NO_COLOR", "1").args(arguments).output().expect("it runs")
    }

    pub fn check(&self, arguments: &[&str]) -> Output {
        self.run(&[&["check"], arguments].concat())
    }

    /// What is in a file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).expect("a file")
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
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

pub fn text(output: &Output) -> (i32, String, String) {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (output.status.code().expect("a code"), utf8(&output.stdout), utf8(&output.stderr))
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
