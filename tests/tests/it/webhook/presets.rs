//! What `translate` writes of a preset is let in under enforce, object by object in its order, on a cluster that fits it; and
//! with each object the next is judged in the state that the one before has made.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use policy::lifeline::config::Config;
use policy::lifeline::judge::Assumptions;
use policy::object::LabelSelector;
use serde_json::{Map, Value, json};
use tests::cluster::{Cluster, CrdSet};
use tests::guarded::{Guarded, UNREVIEWED};
use tests::kubectl::Kubectl;
use tests::variants::{self, Target, Variant};
use translator::render::Manifest;
use webhook::verdict::State;

use super::Test;
use super::fixes::{World, ask, loaded};
use super::rights::{PATIENCE, remaining_kinds};

const NODES: &str = "10.0.0.0/24";
const PODS: &str = "10.244.0.0/16";
const ADMINS: &str = "192.0.2.0/24";
/// Nodes of each role.
const EACH: usize = 2;
/// Presets for clusters whose pods' packets go unwrapped.
const ROUTED: [&str; 3] = ["aks", "eks", "gke"];

/// A preset as whoever has this cluster would ask for it.
fn fitting(target: Target, preset: &str) -> Variant {
    let mut variant = variants::all(target.cni())
        .into_iter()
        .find(|variant| variant.preset.name == preset && variant.toggle.is_empty())
        .expect("a preset");
    let mut facts = vec![("nodeCIDRs", NODES), ("adminCIDRs", ADMINS)];
    if target != Target::Cilium {
        facts.push(("podCIDRs", PODS));
    }
    for (name, value) in facts {
        if variant.preset.text.contains(&format!("\n    {name}: {{")) {
            variant.settings.set.retain(|(other, _)| other != name);
            variant.settings.set.push((name.to_owned(), value.to_owned()));
        }
    }
    variant
}

/// Labels that a selector of a role asks for.
fn labels(selector: &LabelSelector) -> Map<String, Value> {
    let text = serde_json::to_value(selector).expect("a selector is JSON");
    let mut labels = text["matchLabels"].as_object().cloned().unwrap_or_default();
    for wanted in text["matchExpressions"].as_array().into_iter().flatten() {
        if wanted["operator"] == "Exists" {
            labels.insert(wanted["key"].as_str().unwrap_or_default().to_owned(), "true".into());
        }
    }
    labels
}

/// Nodes of each role with a pod on each, and the CNI set up as the preset takes it to be.
pub(crate) fn cluster(variant: &Variant, target: Target) -> Vec<Value> {
    let (calico, preset) = (target != Target::Cilium, variant.preset.name);
    // Flannel carries the pods' packets, and Calico only polices them.
    let canal = preset == "harvester" || variant.settings.set.iter().any(|(_, value)| value == "canal");
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}}})];
    let roles = variant.expand().roles;
    let names = roles.iter().flat_map(|role| (1..=EACH).map(move |number| (role, format!("{}-{number}", role.name))));
    for (index, (role, name)) in names.enumerate() {
        let number = index + 1;
        let address = format!("10.0.0.{number}");
        let of_pods = |last: &str| format!("10.244.{number}.{last}");
        let mut labels = labels(&role.selector);
        labels.insert("kubernetes.io/hostname".to_owned(), name.clone().into());
        let mut annotations = json!({});
        if calico {
            annotations["projectcalico.org/IPv4Address"] = format!("{address}/24").into();
        }
        if calico && !canal && !ROUTED.contains(&preset) {
            annotations["projectcalico.org/IPv4VXLANTunnelAddr"] = of_pods("1").into();
        }
        objects.push(json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels, "annotations": annotations},
            "spec": {"podCIDRs": [of_pods("0/24")]},
            "status": {"addresses": [{"type": "InternalIP", "address": address}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}));
        objects.push(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "default", "name": format!("pod-{number}"), "labels": {"app": "some"}},
            "spec": {"nodeName": name, "containers": [{"name": "some", "image": "some"}]},
            "status": {"phase": "Running", "podIP": of_pods("20"), "podIPs": [{"ip": of_pods("20")}]}}));
        if !calico {
            objects.push(json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": name},
                "spec": {"addresses": [{"type": "InternalIP", "ip": address},
                    {"type": "CiliumInternalIP", "ip": of_pods("1")}]}}));
        }
    }
    if calico {
        let mode = if canal || ROUTED.contains(&preset) { "Never" } else { "Always" };
        objects.push(json!({"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "pods"},
            "spec": {"cidr": PODS, "vxlanMode": mode, "natOutgoing": true}}));
        objects.push(json!({"apiVersion": "projectcalico.org/v3", "kind": "FelixConfiguration",
            "metadata": {"name": "default"},
            "spec": {"nftablesMode": "Enabled", "defaultEndpointToHostAction": "Accept"}}));
    } else {
        let routing = if ROUTED.contains(&preset) { "native" } else { "tunnel" };
        objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "kube-system", "name": "cilium-config"},
            "data": {"enable-host-firewall": "true", "enable-ipv4": "true", "enable-ipv6": "false",
                "kube-proxy-replacement": "true", "routing-mode": routing, "tunnel-protocol": "vxlan"}}));
    }
    objects
}

/// What no object of it tells.
fn stated(variant: &Variant, target: Target) -> String {
    let (calico, preset) = (target != Target::Cilium, variant.preset.name);
    let canal = preset == "harvester" || variant.settings.set.iter().any(|(_, value)| value == "canal");
    let mut parameters =
        json!({"distribution": preset, "nodeCIDRs": [NODES], "adminCIDRs": [ADMINS], "dhcpServers": []});
    parameters["overlay"] = match () {
        () if ROUTED.contains(&preset) => json!([]),
        () if calico && !canal => json!(["UDP/4789"]),
        () => json!(["UDP/8472"]),
    };
    if calico {
        parameters["podCIDRs"] = json!([PODS]);
    }
    let hosted =
        variant.settings.set.iter().find(|(name, _)| name == "apiServerSources" || name == "controlPlaneCIDRs");
    if let Some((_, sources)) = hosted {
        let sources: Vec<&str> = sources.split(',').collect();
        parameters["tunnelSources"] = json!(sources[..1]);
        parameters["apiServerSources"] = json!(sources);
        parameters["apiServerAddresses"] = json!(["203.0.113.10/32"]);
    }
    let mut spec = json!({"parameters": parameters});
    if preset == "harvester" && !calico {
        let reason = "Harvester has Canal, so its matrix does not name the health port of Cilium";
        spec["switchOff"] = json!([{"id": "cni-control", "reason": reason}]);
    }
    json!({"apiVersion": "lifeline.dev/v1alpha1", "kind": "LifelineConfig", "metadata": {"name": preset}, "spec": spec})
        .to_string()
}

/// An object as it is once it is applied: what others have in a shared one stays.
fn applied(before: Option<&Value>, manifest: &Manifest) -> Value {
    let object = serde_json::to_value(&manifest.object).expect("an object is JSON");
    match before {
        Some(before) if manifest.shared => merged(before, &object),
        _ => object,
    }
}

fn merged(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let mut all = old.clone();
    for (key, value) in new {
        let value = all.get(key).map_or_else(|| value.clone(), |old| merged(old, value));
        all.insert(key.clone(), value);
    }
    all.into()
}

#[test]
fn presets_are_let_in_object_by_object() {
    let mut refused = Vec::new();
    let mut asked = 0;
    for target in Target::ALL {
        let presets: std::collections::BTreeSet<&str> =
            variants::all(target.cni()).iter().map(|variant| variant.preset.name).collect();
        assert_eq!(presets.len(), 12);
        for preset in presets {
            let variant = fitting(target, preset);
            let mut world = World(cluster(&variant, target));
            if target == Target::CalicoV1 {
                for object in &mut world.0 {
                    if object["apiVersion"] == "projectcalico.org/v3" {
                        object["apiVersion"] = "crd.projectcalico.org/v1".into();
                    }
                }
            }
            let config = Arc::new(Config::read(&stated(&variant, target)).expect("a configuration"));
            let mut state = State::new(&loaded(&world.0), config, &Assumptions::default());
            for manifest in &variant.render(target, "lifeline").objects {
                let object = serde_json::to_value(&manifest.object).expect("an object is JSON");
                let before = world.get(&object).cloned();
                let after = applied(before.as_ref(), manifest);
                asked += 1;
                if let Some(denial) = ask(&state, before.as_ref(), Some(&after)).answer.denial {
                    let name = super::lockouts::name(&object);
                    refused.push(format!("{preset} for {}: {name}: {}", target.name(), denial.message));
                }
                world.put(&after);
                state = state.with(&loaded(&world.0));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
    assert!(asked >= 200, "{asked} objects");
}

/// Applies a preset with kubectl, one object after the other, and then all of them again at once.
fn is_applied(preset: &str, target: Target, crds: CrdSet) -> Test {
    let variant = fitting(target, preset);
    let guarded = Guarded::install(Cluster::start(&[crds])?, &stated(&variant, target))?;
    let unreviewed = Kubectl::new(guarded.cluster().kubeconfig(UNREVIEWED, &["system:masters"])?)?;
    unreviewed.apply(&remaining_kinds(guarded.cluster())?.to_string())?;
    for object in cluster(&variant, target) {
        // Every cluster has it.
        if object["kind"] == "Namespace" {
            continue;
        }
        // A kind that was just defined is served a moment later.
        let start = Instant::now();
        while let Err(error) = unreviewed.ok(&["create", "-f", "-"], &object.to_string()) {
            if start.elapsed() > PATIENCE {
                return Err(error.into());
            }
        }
        if object["kind"] == "Pod" {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let status = json!({"status": object["status"]}).to_string();
            unreviewed.ok(&["patch", "pod", name, "--subresource=status", "--type=merge", "-p", &status], "")?;
        }
    }
    let replica = guarded.start(Path::new(env!("CARGO_BIN_EXE_webhook-under-test")))?;
    let kubectl = guarded.cluster().kubectl();
    let mut all = Vec::new();
    for manifest in variant.render(target, "lifeline").objects {
        let object = serde_json::to_value(&manifest.object)?;
        kubectl.ok(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &object.to_string())?;
        all.push(object);
    }
    let all = json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string();
    kubectl.ok(&["apply", "--server-side", "-f", "-"], &all)?;
    assert!(!replica.metrics()?.contains("mode=\"enforce\""), "nothing was found: {}", replica.metrics()?);
    Ok(())
}

#[test]
fn kubeadm_is_applied_to_calico() -> Test {
    if tests::offline() {
        return Ok(());
    }
    is_applied("kubeadm", Target::CalicoV3, CrdSet::CalicoV3)
}

#[test]
fn harvester_is_applied_to_calico() -> Test {
    if tests::offline() {
        return Ok(());
    }
    is_applied("harvester", Target::CalicoV3, CrdSet::CalicoV3)
}

#[test]
fn k3s_is_applied_to_cilium() -> Test {
    if tests::offline() {
        return Ok(());
    }
    is_applied("k3s", Target::Cilium, CrdSet::Cilium)
}
