//! The test house itself: every part starts, does what it is there for, and ends.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use serde_json::{Value, json};
use tests::calico_apiserver::CalicoApiserver;
use tests::check::{Checker, CiliumOptions, Verdict};
use tests::cluster::{Cluster, CrdSet};
use tests::scratch::Scratch;
use tests::verdicts::calico::validity;

type Test = Result<(), Box<dyn std::error::Error>>;

const V3_POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: ssh}
spec:
  selector: has(role)
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [22, '30000:32767']}}]
";

const V1_POLICY: &str = "
apiVersion: crd.projectcalico.org/v1
kind: GlobalNetworkPolicy
metadata: {name: default.ssh}
spec:
  selector: has(role)
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [22]}}]
";

const CILIUM_POLICY: &str = "
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: ssh}
spec:
  nodeSelector: {}
  ingress: [{fromEntities: [world], toPorts: [{ports: [{port: '22', protocol: TCP}]}]}]
";

#[test]
fn kubectl_and_api_server_are_of_one_version() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[])?;
    let output = cluster.kubectl().run(&["version"], "")?;
    assert!(output.status.success(), "{}", output.stderr);
    assert_eq!(output.stderr, "", "kubectl complains");
    for line in ["Client Version: v1.34.4", "Server Version: v1.34.4"] {
        assert!(output.stdout.contains(line), "{}", output.stdout);
    }
    Ok(())
}

#[test]
fn policies_of_native_calico_and_cilium_are_stored_side_by_side() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV3, CrdSet::Cilium])?;
    let kubectl = cluster.kubectl();
    kubectl.apply(V3_POLICY)?;
    kubectl.apply(CILIUM_POLICY)?;

    let policy = kubectl.get(&["globalnetworkpolicies.v3.projectcalico.org", "ssh"])?;
    assert_eq!(policy["spec"]["ingress"][0]["destination"]["ports"], json!([22, "30000:32767"]));
    assert_eq!(policy["metadata"]["namespace"], Value::Null, "the kind is cluster-wide");
    let policy = kubectl.get(&["ciliumclusterwidenetworkpolicies.v2.cilium.io", "ssh"])?;
    assert_eq!(policy["spec"]["ingress"][0]["toPorts"][0]["ports"][0]["port"], "22");

    let refusal = kubectl.apply(&V3_POLICY.replace("selector:", "selektor:")).unwrap_err().to_string();
    assert!(refusal.contains(".spec.selektor: field not declared in schema"), "{refusal}");
    Ok(())
}

#[test]
fn policies_of_stored_calico_are_stored() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV1])?;
    cluster.kubectl().apply(V1_POLICY)?;
    let policy = cluster.kubectl().get(&["globalnetworkpolicies.v1.crd.projectcalico.org", "default.ssh"])?;
    assert_eq!(policy["spec"]["selector"], "has(role)");
    Ok(())
}

#[test]
fn calico_apiserver_stores_v3_as_v1() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[CrdSet::CalicoV1])?;
    let apiserver = CalicoApiserver::start(&cluster)?;
    let kubectl = cluster.kubectl();
    kubectl.apply(
        "
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: lifeline}
spec: {order: 10, defaultAction: Pass}
",
    )?;
    let policy = V3_POLICY.replace("name: ssh", "name: lifeline.ssh").replace("spec:", "spec:\n  tier: lifeline");
    kubectl.apply(&policy)?;
    kubectl.apply(V3_POLICY)?;

    let stored = kubectl.get(&["globalnetworkpolicies.v1.crd.projectcalico.org", "lifeline.ssh"])?;
    assert_eq!(stored["spec"]["tier"], "lifeline");
    assert_eq!(stored["spec"]["types"], json!(["Ingress"]), "filled in on the way");
    // In the default tier the name gets the tier put in front.
    let stored = kubectl.get(&["globalnetworkpolicies.v1.crd.projectcalico.org", "default.ssh"])?;
    assert_eq!(stored["spec"]["selector"], "has(role)");
    let shown = kubectl.get(&["globalnetworkpolicies.v3.projectcalico.org", "lifeline.ssh"])?;
    assert_eq!(shown["apiVersion"], "projectcalico.org/v3");

    let pid = apiserver.process_id();
    drop(apiserver);
    assert!(!runs(pid), "calico-apiserver runs on after its guard is dropped");
    Ok(())
}

#[test]
fn calico_apiserver_wants_v1_alone() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[])?;
    let refusal = CalicoApiserver::start(&cluster).unwrap_err().to_string();
    assert!(refusal.contains("needs a cluster with the CRDs of v1"), "{refusal}");
    Ok(())
}

/// Calico's validator says of them what this project does, see the test `conformance`.
#[test]
fn calico_check_agrees_about_the_facts() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let checker = Checker::calico()?;
    for fact in validity()? {
        let verdict = checker.check(&fact.object)?;
        assert_eq!(verdict == Verdict::Accepted, fact.valid, "{} {verdict:?}", fact.object);
    }
    Ok(())
}

#[test]
fn calico_check_tells_good_from_bad() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let checker = Checker::calico()?;
    let policy = |name: &str, spec: Value| {
        json!({
            "apiVersion": "projectcalico.org/v3",
            "kind": "GlobalNetworkPolicy",
            "metadata": {"name": name},
            "spec": spec,
        })
    };
    assert_eq!(
        checker.check(&policy("lifeline.ssh", json!({"tier": "lifeline", "selector": "has(role)"})))?,
        Verdict::Accepted
    );

    let Verdict::Invalid(reason) = checker.check(&policy("ssh", json!({"selector": "has(role"})))? else {
        panic!("an unfinished selector is not refused");
    };
    assert!(reason.contains("Selector = 'has(role'"), "{reason}");
    let Verdict::Invalid(reason) = checker.check(&policy("ssh", json!({"tier": "lifeline"})))? else {
        panic!("a name without its tier is not refused");
    };
    assert!(reason.contains("Incorrectly formatted policy name ssh"), "{reason}");
    let Verdict::Undecodable(reason) = checker.check(&policy("ssh", json!({"ingress": [{"Action": "Allow"}]})))? else {
        panic!("an unknown field is not refused");
    };
    assert!(reason.contains(r#"unknown field "spec.ingress[0].Action""#), "{reason}");
    Ok(())
}

#[test]
fn cilium_check_tells_good_from_bad() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let checker = Checker::cilium(&CiliumOptions::default())?;
    let policy = |rule: Value| {
        json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumClusterwideNetworkPolicy",
            "metadata": {"name": "ssh"},
            "spec": {"nodeSelector": {}, "ingress": [rule]},
        })
    };
    let port = |port: &str| json!({"toPorts": [{"ports": [{"port": port, "protocol": "TCP"}]}]});
    assert_eq!(checker.check(&policy(port("22")))?, Verdict::Accepted);

    let Verdict::Invalid(reason) = checker.check(&policy(port("99999")))? else {
        panic!("a port out of range is not refused");
    };
    assert!(reason.contains(r#"parsing "99999": value out of range"#), "{reason}");
    let Verdict::Undecodable(reason) = checker.check(&policy(json!({"fromEntity": []})))? else {
        panic!("an unknown field is not refused");
    };
    assert!(reason.contains("fromEntity"), "{reason}");

    // What is valid depends on how the agent is set up.
    let nodes = policy(json!({"fromNodes": [{}]}));
    assert!(matches!(checker.check(&nodes)?, Verdict::Invalid(_)));
    let checker = Checker::cilium(&CiliumOptions { node_selector_labels: true, ..CiliumOptions::default() })?;
    assert_eq!(checker.check(&nodes)?, Verdict::Accepted);

    let group = |cidr: &str| {
        json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumCIDRGroup",
            "metadata": {"name": "office"},
            "spec": {"externalCIDRs": [cidr]},
        })
    };
    assert_eq!(checker.check(&group("192.0.2.0/24"))?, Verdict::Accepted);
    assert!(matches!(checker.check(&group("192.0.2.1"))?, Verdict::Invalid(_)));
    Ok(())
}

#[test]
fn nothing_runs_on_after_a_drop() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[])?;
    let checker = Checker::calico()?;
    let mut pids = cluster.process_ids().to_vec();
    pids.push(checker.process_id());
    let data = cluster.scratch().path().to_owned();
    assert!(pids.iter().all(|&pid| runs(pid)) && data.is_dir());
    drop(checker);
    drop(cluster);
    assert!(!pids.iter().any(|&pid| runs(pid)), "something of {pids:?} runs on");
    assert!(!data.exists());
    Ok(())
}

/// How a test may end badly. After the second and third no destructor runs.
const ENDS: [&str; 3] = ["panic", "abort", "wait to be killed"];
const HOW_TO_END: &str = "LIFELINE_TEST_END";
const WHERE_TO_REPORT: &str = "LIFELINE_TEST_REPORT";

#[test]
fn nothing_runs_on_after_a_bad_end() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let scratch = Scratch::new()?;
    for end in ENDS {
        let report = scratch.path().join(end);
        let mut victim = Command::new(env::current_exe()?)
            .args(["--exact", "--ignored", "upstream::victim"])
            .env(HOW_TO_END, end)
            .env(WHERE_TO_REPORT, &report)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pids = pids_of(&mut victim, &report)?;
        if end == ENDS[2] {
            victim.kill()?;
        }
        assert!(!victim.wait()?.success(), "{end}: the victim was to end badly");
        let start = Instant::now();
        while pids.iter().any(|&pid| runs(pid)) {
            assert!(start.elapsed() < Duration::from_secs(10), "{end}: something of {pids:?} runs on");
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Waits for the victim's report: the processes that it started, all of which run.
fn pids_of(victim: &mut Child, report: &std::path::Path) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    loop {
        if let Ok(text) = fs::read_to_string(report) {
            return Ok(text.split(' ').map(str::parse).collect::<Result<_, _>>()?);
        }
        if let Some(status) = victim.try_wait()? {
            return Err(format!("the victim ended without a report: {status}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Not a test: the process that [`nothing_runs_on_after_a_bad_end`] starts and watches.
#[test]
#[ignore = "started by nothing_runs_on_after_a_bad_end"]
fn victim() -> Test {
    let (Ok(end), Ok(report)) = (env::var(HOW_TO_END), env::var(WHERE_TO_REPORT)) else { return Ok(()) };
    let cluster = Cluster::start(&[])?;
    let checker = Checker::cilium(&CiliumOptions::default())?;
    let [etcd, apiserver] = cluster.process_ids();
    // Renamed into place, so that nobody reads half of it.
    let unfinished = format!("{report}.unfinished");
    fs::write(&unfinished, format!("{etcd} {apiserver} {}", checker.process_id()))?;
    fs::rename(unfinished, report)?;
    match end.as_str() {
        "panic" => panic!("as asked"),
        "abort" => std::process::abort(),
        _ => loop {
            thread::park();
        },
    }
}

/// Whether a process runs. One that has ended and that nobody has asked about yet does not.
fn runs(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X'])))
}
