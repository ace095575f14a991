//! Verbs, modes and ways out.

use std::path::Path;

use serde_json::{Value, json};
use tests::guarded::{Guarded, Replica};
use tests::kubectl::Kubectl;

use super::Test;
use super::lockouts::CONFIG;

fn start(config: &str) -> Result<(Guarded, Replica), Box<dyn std::error::Error>> {
    let guarded = Guarded::calico(config)?;
    let replica = guarded.start(Path::new(env!("CARGO_BIN_EXE_webhook-under-test")))?;
    Ok((guarded, replica))
}

fn deny(name: &str) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": name},
        "spec": {"types": ["Ingress"], "ingress": [{"action": "Deny"}]}})
}

/// For pods: no host is concerned.
fn harmless(name: &str) -> Value {
    let mut policy = deny(name);
    policy["spec"]["namespaceSelector"] = json!("all()");
    policy
}

fn refused(kubectl: &Kubectl, args: &[&str], object: &str) -> Test {
    let said = kubectl.run(args, object)?;
    assert!(
        !said.status.success() && said.stderr.contains("cuts-kubelet-api"),
        "{args:?}: {}{}",
        said.stdout,
        said.stderr
    );
    Ok(())
}

#[test]
fn every_verb_is_judged() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let (guarded, replica) = start(CONFIG)?;
    let kubectl = guarded.cluster().kubectl();
    let bad = deny("bad").to_string();
    refused(kubectl, &["create", "-f", "-"], &bad)?;
    refused(kubectl, &["create", "--dry-run=server", "-f", "-"], &bad)?;
    refused(kubectl, &["apply", "-f", "-"], &bad)?;
    refused(kubectl, &["apply", "--server-side", "-f", "-"], &bad)?;
    let mut unnamed = deny("bad");
    unnamed["metadata"] = json!({"generateName": "bad-"});
    refused(kubectl, &["create", "-f", "-"], &unnamed.to_string())?;

    // A policy that harms nobody, made into one that does.
    kubectl.ok(&["create", "-f", "-"], &harmless("pods").to_string())?;
    refused(kubectl, &["replace", "-f", "-"], &deny("pods").to_string())?;
    let patch = r#"[{"op": "remove", "path": "/spec/namespaceSelector"}]"#;
    let gnp = "globalnetworkpolicies.projectcalico.org";
    refused(kubectl, &["patch", gnp, "pods", "--type=json", "-p", patch], "")?;
    refused(kubectl, &["patch", gnp, "pods", "--type=merge", "-p", r#"{"spec": {"namespaceSelector": null}}"#], "")?;
    // Labels and the like are no business of ours, and are quick.
    kubectl.ok(&["label", gnp, "pods", "team=blue"], "")?;

    // One that lets in goes, and with it what it lets in; one by one, and all at once.
    let mut allow = deny("allow");
    allow["spec"] = json!({"order": 10, "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
    kubectl.ok(&["create", "-f", "-"], &allow.to_string())?;
    let mut behind = deny("behind");
    behind["spec"]["order"] = json!(20);
    kubectl.ok(&["create", "-f", "-"], &behind.to_string())?;
    refused(kubectl, &["delete", gnp, "allow"], "")?;
    let all = format!("/apis/projectcalico.org/v3/{}", "globalnetworkpolicies");
    let said = kubectl.run(&["delete", "--raw", &all], "")?;
    let left = kubectl.ok(&["get", gnp, "-o", "name"], "")?;
    assert!(!said.status.success() && left.contains("/allow"), "{left}{}", said.stderr);

    // What denies may go, and then so may what allows.
    kubectl.ok(&["delete", gnp, "behind", "--ignore-not-found"], "")?;
    kubectl.ok(&["delete", gnp, "allow"], "")?;
    assert!(replica.metrics()?.contains("code=\"cuts-kubelet-api\",mode=\"enforce\""));
    Ok(())
}

#[test]
fn what_is_observed_passes_with_a_warning() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let observing = format!("{CONFIG}  mode: {{blocker: observe, major: observe, minor: observe}}\n");
    let (guarded, replica) = start(&observing)?;
    let said = guarded.cluster().kubectl().run(&["create", "-f", "-"], &deny("bad").to_string())?;
    assert!(
        said.status.success() && said.stderr.contains("Warning: lifeline observes cuts-kubelet-api"),
        "{}",
        said.stderr
    );
    assert!(replica.metrics()?.contains("code=\"cuts-kubelet-api\",mode=\"observe\""));
    Ok(())
}

#[test]
fn glass_is_broken_with_a_reason_and_the_right_and_when_nobody_answers() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let (guarded, replica) = start(CONFIG)?;
    let cluster = guarded.cluster();
    let admin = cluster.kubectl();
    let mut broken = deny("bad");
    broken["metadata"]["annotations"] = json!({"lifeline.dev/break-glass": "ticket 4711"});
    let broken = broken.to_string();
    // May write policies, and not get by.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "writer"},
        "rules": [{"apiGroups": ["projectcalico.org"], "resources": ["*"], "verbs": ["*"]}]});
    admin.ok(&["create", "-f", "-"], &role.to_string())?;
    admin.ok(&["create", "clusterrolebinding", "writer", "--clusterrole=writer", "--group=writers"], "")?;
    let writer = Kubectl::new(cluster.kubeconfig("ann", &["writers"])?)?;
    // The API server hears of a binding a moment after it is made.
    let may = ["auth", "can-i", "create", "globalnetworkpolicies.projectcalico.org"];
    let heard = (0..100).any(|_| writer.run(&may, "").is_ok_and(|said| said.status.success()));
    assert!(heard, "ann may not write");
    refused(&writer, &["create", "-f", "-"], &broken)?;
    refused(admin, &["create", "-f", "-"], &deny("bad").to_string())?;
    admin.ok(&["create", "-f", "-"], &broken)?;
    admin.ok(&["delete", "globalnetworkpolicies.projectcalico.org", "bad"], "")?;

    // With nobody to ask, only who breaks the glass writes, and everybody deletes.
    admin.ok(&["create", "-f", "-"], &harmless("pods").to_string())?;
    drop(replica);
    let said = admin.run(&["create", "-f", "-"], &harmless("more").to_string())?;
    assert!(!said.status.success() && said.stderr.contains("failed calling webhook"), "{}", said.stderr);
    admin.ok(&["create", "-f", "-"], &broken)?;
    writer.ok(&["delete", "globalnetworkpolicies.projectcalico.org", "pods"], "")?;
    Ok(())
}
