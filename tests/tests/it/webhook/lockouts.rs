//! Changes that lock a cluster out, by each way to write them: each is refused with the right words, its repair is accepted,
//! and what only looks like one passes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tests::api::objects;
use tests::calico_apiserver::CalicoApiserver;
use tests::cluster::{Cluster, CrdSet};
use tests::guarded::{Guarded, Replica};
use tests::kubectl::Output;
use webhook::verdict::is_guarded;

use super::Test;

/// What no object of the small clusters tells: the lifelines that the cases are about.
pub(crate) const CONFIG: &str = "
apiVersion: lifeline.dev/v1alpha1
kind: LifelineConfig
metadata: {name: test}
spec:
  parameters:
    distribution: kubeadm
    adminCIDRs: [192.0.2.0/24]
    nodeCIDRs: [10.0.0.0/24]
    podCIDRs: [10.244.0.0/16]
    dnsServers: [192.0.2.53/32]
    dhcpServers: []
    overlay: [UDP/4789]
  switchOff:
  - {id: host-to-pod, reason: the cases name the pods that matter}
  - {id: kubelet-probes, reason: the cases name the pods that matter}
  - {id: node-join, reason: no case is about nodes that are not there yet}
  add:
  - {id: kubelet-api, reason: metrics-server, from: {cidrs: [10.244.0.0/16]}, to: {nodes: {}}, traffic: [TCP/10250]}
  - {id: kube-apiserver, reason: pods, from: {cidrs: [10.244.0.0/16]}, to: &cp {nodes: {matchExpressions: [{key: \
   node-role.kubernetes.io/control-plane, operator: Exists}]}}, traffic: [TCP/6443]}
  - {id: etcd-peer, reason: members, from: *cp, to: *cp, traffic: [TCP/2379-2380]}
  - {id: supervisor, reason: agents, from: {nodes: {}}, to: *cp, traffic: [TCP/9345]}
  - {id: bgp, reason: mesh, from: {nodes: {}}, to: {nodes: {}}, traffic: [TCP/179]}
  - {id: cni-control, reason: Typha, from: {nodes: {}}, to: *cp, traffic: [TCP/5473]}
  - {id: icmp-health, reason: pings, from: {nodes: {}}, to: {nodes: {}}, traffic: [ICMP/8]}
  - {id: webhook-path, reason: a webhook, from: *cp, to: {cidrs: [10.244.1.9/32]}, traffic: [TCP/8443]}
";

/// Cases that the API server, or what it serves, leaves nothing of, with the reason.
const LEFT_OUT: [(&str, &str); 2] = [
    ("doubt_unknown_field", "the API server drops fields that the CRD does not have"),
    ("lockout_23_policy_that_felix_does_not_read", "two API groups at once"),
];

/// Cases from whose end the way back is taken, too; `fixes.rs` does so with all of them, without an API server.
const MENDED: [&str; 7] = [
    "incident_node_exporter",
    "incident_deny_over_an_allow",
    "incident_overlay_cut_by_an_egress_policy",
    "lockout_01_endpoint_without_policy_or_profile",
    "lockout_04_allow_deleted",
    "lockout_07_order",
    "lockout_09_set_without_its_nets",
];

/// A change, and what is to come of it: `policy/tests/lifeline/cases`.
#[derive(Deserialize)]
pub(crate) struct Case {
    bases: Vec<String>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    pub(crate) change: String,
    #[serde(default)]
    pub(crate) delete: String,
    verdict: String,
    #[serde(default)]
    cuts: Vec<String>,
}

/// What policies of hosts are written as.
const NATIVE: (&str, &str) = ("projectcalico.org/v3", "GlobalNetworkPolicy");
const STORED: (&str, &str) = ("crd.projectcalico.org/v1", "GlobalNetworkPolicy");
const CILIUM: (&str, &str) = ("cilium.io/v2", "CiliumClusterwideNetworkPolicy");

fn cases_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/lifeline")
}

fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

pub(crate) fn name(object: &Value) -> String {
    format!(
        "{}/{}",
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["name"].as_str().unwrap_or_default()
    )
}

/// A case that is one change of one guarded object, with its state.
struct Lab {
    title: String,
    case: Case,
    state: Vec<Value>,
}

/// All cases, each with its title and the objects of its state.
pub(crate) fn cases() -> tests::Result<Vec<(String, Case, Vec<Value>)>> {
    let root = cases_root();
    let mut cases = Vec::new();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("cases")).expect("the folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let title = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("the file");
        let case: Case = serde_saphyr::from_str(&text).expect(&title);
        let mut written: Vec<Value> = Vec::new();
        for base in &case.bases {
            written.extend(objects(&std::fs::read_to_string(root.join(format!("bases/{base}.yaml"))).expect(base))?);
        }
        written.extend(objects(&case.state)?);
        let mut state: Vec<Value> = Vec::new();
        for mut object in written {
            state.retain(|before| name(before) != name(&object));
            // What the cases take for granted.
            if object["kind"] == "FelixConfiguration" && object["spec"]["nftablesMode"].is_null() {
                object["spec"]["nftablesMode"] = json!("Enabled");
            }
            state.push(object);
        }
        cases.push((title, case, state));
    }
    Ok(cases)
}

/// Cases about one CNI that an API server asks about.
fn labs(calico: bool) -> tests::Result<Vec<Lab>> {
    let mut labs = Vec::new();
    for (title, case, state) in cases()? {
        let changes = [objects(&case.change)?, objects(&case.delete)?].concat();
        let [change] = changes.as_slice() else { continue };
        if state.iter().chain(&changes).any(|object| object["apiVersion"] == "crd.projectcalico.org/v1") {
            continue;
        }
        let group = change["apiVersion"].as_str().and_then(|version| version.split('/').next()).unwrap_or_default();
        let is_guarded = is_guarded(group, change["kind"].as_str().unwrap_or_default());
        let is_calico = group == "projectcalico.org";
        if is_guarded && is_calico == calico {
            labs.push(Lab { title, case, state });
        }
    }
    Ok(labs)
}

/// How Calico's objects are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// As they are.
    Native,
    /// As they are stored.
    Stored,
    /// As Calico's API server stores them: what users call them, and their labels, in an annotation.
    Kept,
}

/// An object of `projectcalico.org/v3` as `crd.projectcalico.org/v1` stores it: policies have their tier before their name.
fn stored(object: &Value) -> Value {
    let mut object = object.clone();
    if object["apiVersion"] != "projectcalico.org/v3" {
        return object;
    }
    object["apiVersion"] = json!("crd.projectcalico.org/v1");
    if object["kind"] == "GlobalNetworkPolicy" {
        let tier = object["spec"]["tier"].as_str().unwrap_or("default").to_owned();
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        object["metadata"]["name"] = json!(format!("{tier}.{name}"));
        object["spec"]["tier"] = json!(tier);
    }
    object
}

/// The Status among what kubectl says of its requests, plain or quoted.
fn status(stderr: &str) -> Option<Value> {
    let plain = stderr
        .match_indices("{\"kind\":\"Status\"")
        .filter_map(|(at, _)| serde_json::Deserializer::from_str(&stderr[at..]).into_iter::<Value>().next()?.ok());
    let quoted = stderr.match_indices("\"{\\\"kind\\\":\\\"Status\\\"").filter_map(|(at, _)| {
        let text = serde_json::Deserializer::from_str(&stderr[at..]).into_iter::<String>().next()?.ok()?;
        serde_json::from_str(&text).ok()
    });
    plain.chain(quoted).find(|status| !status["details"]["causes"].is_null())
}

/// What kubectl says in the end, without its requests.
fn error(stderr: &str) -> &str {
    stderr.find("\nError").map_or(stderr, |at| &stderr[at + 1..])
}

/// The same with what Calico's API server notes beside it (projectcalico/calico:libcalico-go/lib/backend/k8s/resources).
fn kept(object: &Value) -> Value {
    let mut kept = stored(object);
    if object["apiVersion"] == "projectcalico.org/v3" {
        let noted = object["metadata"].to_string();
        kept["metadata"]["annotations"] = json!({"projectcalico.org/metadata": noted});
        if let Some(metadata) = kept["metadata"].as_object_mut() {
            metadata.remove("labels");
        }
    }
    kept
}

pub(crate) struct House {
    guarded: Guarded,
    replica: Replica,
    /// How states are prepared.
    prepared: Written,
    /// How changes are made.
    changed: Written,
}

impl House {
    fn start(cluster: Cluster, prepared: Written, changed: Written) -> Result<Self, Box<dyn std::error::Error>> {
        let guarded = Guarded::install(cluster, CONFIG)?;
        let replica = guarded.start(Path::new(env!("CARGO_BIN_EXE_webhook-under-test")))?;
        Ok(Self { guarded, replica, prepared, changed })
    }

    fn written(path: Written, objects: &[Value]) -> Vec<Value> {
        match path {
            Written::Native => objects.to_vec(),
            Written::Stored => objects.iter().map(stored).collect(),
            Written::Kept => objects.iter().map(kept).collect(),
        }
    }

    /// Makes the change of a case, with the verb that a user would take.
    fn make(&self, lab: &Lab) -> tests::Result<Output> {
        let kubectl = self.guarded.cluster().kubectl();
        let (change, gone) = (objects(&lab.case.change)?, objects(&lab.case.delete)?);
        if let Some(object) = change.first() {
            let exists = lab.state.iter().any(|before| name(before) == name(object));
            let verb = if exists { "replace" } else { "create" };
            kubectl.run(&[verb, "-v=10", "--validate=false", "-f", "-"], &list(&Self::written(self.changed, &change)))
        } else {
            kubectl.run(&["delete", "-v=10", "--wait=false", "-f", "-"], &list(&Self::written(self.changed, &gone)))
        }
    }

    fn check(&self, lab: &Lab) -> Test {
        let Lab { case, state, .. } = lab;
        self.guarded.unreviewed().create(&Self::written(self.prepared, state))?;
        let said = self.make(lab)?;
        let refused = said.stderr.contains("admission webhook \"");
        match case.verdict.as_str() {
            "safe" => assert!(said.status.success(), "{}", error(&said.stderr)),
            "cannot-prove" => assert!(refused && said.stderr.contains("cannot-prove: "), "{}", error(&said.stderr)),
            _ => {
                assert!(refused, "{}{}", said.stdout, error(&said.stderr));
                let told = |cut: &String| {
                    let mut words = cut.split(' ');
                    let code = format!("cuts-{}", words.next().unwrap_or_default());
                    let object = words.next().and_then(|object| object.split('/').nth(1)).unwrap_or_default();
                    said.stderr.contains(&code) && said.stderr.contains(object)
                };
                assert!(case.cuts.is_empty() || case.cuts.iter().any(told), "{:?} {}", case.cuts, error(&said.stderr));
                self.repair(lab, &said.stderr)?;
            }
        }
        Ok(())
    }

    /// Does what a denial says, line by line, as somebody who pastes it.
    fn repair(&self, lab: &Lab, stderr: &str) -> Test {
        // Calico's API server passes on the message of a deletion, and drops the causes.
        let repair = match status(stderr) {
            Some(status) => {
                let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
                let repair = causes.iter().find(|cause| cause["reason"] == "repair").ok_or("no repair")?;
                repair["message"].as_str().unwrap_or_default().to_owned()
            }
            None => {
                let told =
                    error(stderr).lines().filter(|line| line.starts_with("repair: ") || line.starts_with("kubectl "));
                told.collect::<Vec<_>>().join("\n")
            }
        };
        assert!(repair.starts_with("repair: "), "{}", error(stderr));
        let kubectl = self.guarded.cluster().kubectl();
        let file = self.guarded.cluster().scratch().path().join("change.json");
        let change = Self::written(self.changed, &objects(&lab.case.change)?);
        if let Some(change) = change.first() {
            std::fs::write(&file, change.to_string())?;
        }
        let mut added = false;
        for line in repair.lines() {
            if line.starts_with("kubectl ") {
                let line = line.replace(" FILE ", &format!(" {} ", file.display()));
                added = line.starts_with("kubectl create -f - <<<");
                let said = kubectl.shell(&line)?;
                assert!(said.status.success(), "{line}\n{}", said.stderr);
            } else {
                assert!(line.starts_with("repair: "), "{line}");
            }
        }
        if added {
            let said = self.make(lab)?;
            assert!(said.status.success(), "after the repair: {}", said.stderr);
        }
        Ok(())
    }

    /// From the state that a case leads to, back to what was: never refused.
    fn mend(&self, lab: &Lab) -> Test {
        let unreviewed = self.guarded.unreviewed();
        let before = |object: &Value| lab.state.iter().find(|before| name(before) == name(object));
        let written = |object: &Value| Self::written(self.prepared, std::slice::from_ref(object));
        unreviewed.create(&Self::written(self.prepared, &lab.state))?;
        let (changed, gone) = (objects(&lab.case.change)?, objects(&lab.case.delete)?);
        for object in &changed {
            if before(object).is_some() {
                unreviewed.delete(&written(object))?;
            }
            unreviewed.create(&written(object))?;
        }
        for object in &gone {
            unreviewed.delete(&written(object))?;
        }
        let kubectl = self.guarded.cluster().kubectl();
        for object in changed.iter().chain(&gone) {
            let (verb, object) = match before(object) {
                Some(before) => (if changed.is_empty() { "create" } else { "replace" }, before),
                None => ("delete", object),
            };
            let object = list(&Self::written(self.changed, std::slice::from_ref(object)));
            let wait = if verb == "delete" { "--wait=false" } else { "--validate=false" };
            let said = kubectl.run(&[verb, wait, "-f", "-"], &object)?;
            assert!(said.status.success(), "not mended: {}", error(&said.stderr));
        }
        Ok(())
    }

    /// Takes everything away, and with it what was allowed and is still waited for.
    fn clear(&self, lab: &Lab) -> Test {
        let unreviewed = self.guarded.unreviewed();
        let all = [lab.state.clone(), objects(&lab.case.change)?].concat();
        let all = Self::written(self.prepared, &all);
        unreviewed.delete(&all)?;
        // What repairs have put beside.
        let api = match self.prepared {
            _ if all.iter().any(|object| object["apiVersion"] == "cilium.io/v2") => CILIUM,
            Written::Native => NATIVE,
            Written::Stored | Written::Kept => STORED,
        };
        unreviewed.delete_kinds(&[json!({"apiVersion": api.0, "kind": api.1})])?;
        let metadata = json!({"name": "lifeline-ledger", "namespace": "lifeline-system"});
        unreviewed.merge(&[json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": null})])?;
        Ok(())
    }
}

fn every_case(house: &House, calico: bool) -> Test {
    let (mut wrong, mut mended) = (Vec::new(), 0);
    let labs = labs(calico)?;
    assert!(labs.len() > 10);
    for lab in labs {
        if LEFT_OUT.iter().any(|(title, _)| *title == lab.title) {
            continue;
        }
        let mut hold = |check: &dyn Fn() -> Test| -> Test {
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => wrong.push(format!("{}: {error}", lab.title)),
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    wrong.push(format!("{}: {said}", lab.title));
                }
            }
            house.clear(&lab)
        };
        hold(&|| house.check(&lab))?;
        if MENDED.contains(&lab.title.as_str()) {
            mended += 1;
            hold(&|| house.mend(&lab))?;
        }
    }
    assert!(mended >= 3, "{mended} cases mended");
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n\n"), house.replica.log_end());
    Ok(())
}

#[test]
fn lock_outs_are_refused_as_native_calico() -> Test {
    if tests::offline() {
        return Ok(());
    }
    every_case(&House::start(Cluster::start(&[CrdSet::CalicoV3])?, Written::Native, Written::Native)?, true)
}

#[test]
fn lock_outs_are_refused_as_stored_calico() -> Test {
    if tests::offline() {
        return Ok(());
    }
    every_case(&House::start(Cluster::start(&[CrdSet::CalicoV1])?, Written::Stored, Written::Stored)?, true)
}

/// What users write at `projectcalico.org/v3`, Calico's own API server stores as `crd.projectcalico.org/v1`: there it is judged.
#[test]
fn lock_outs_are_refused_behind_calicos_api_server() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV1])?;
    let _apiserver = CalicoApiserver::start(&cluster)?;
    every_case(&House::start(cluster, Written::Kept, Written::Native)?, true)
}

#[test]
fn lock_outs_are_refused_as_cilium() -> Test {
    if tests::offline() {
        return Ok(());
    }
    every_case(&House::start(Cluster::start(&[CrdSet::Cilium])?, Written::Native, Written::Native)?, false)
}
