//! `webhook --self-test`: what can and what cannot be seen in this cluster, and whether a lock-out would be refused.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use policy::lifeline::config::Config;
use policy::lifeline::detect::{Detected, detect};
use policy::lifeline::judge::{Assumptions, Change, Cni, Judgement, Verdict, decide};
use policy::snapshot::{Key, Manifest, Snapshot};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::store::{Standing, Store};
use super::table::{ROWS, Row};
use super::{Options, config, watch};
use crate::health::Readiness;

/// How long everything may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

/// Part of readiness.
const PART: &str = "self-test";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For a person.
    pub text: String,
    /// Whether everything can be seen that has to be, and a lock-out would be refused.
    pub passed: bool,
}

/// Looks at a cluster.
pub async fn self_test(client: &Client, options: &Options) -> Report {
    let store = Store::new(Readiness::default(), Arc::default());
    let stop = CancellationToken::new();
    let follow = tokio::spawn(watch::follow(client.clone(), Arc::clone(&store), PATIENCE, stop.clone()));
    let start = Instant::now();
    while store.view().is_err() && start.elapsed() < PATIENCE && !forbidden(&store) {
        sleep(Duration::from_millis(100)).await;
    }
    let place = config::Place { namespace: options.namespace.clone(), name: options.config.clone() };
    let config = config::read(client, &place).await;
    let report = report(&store, config, options);
    stop.cancel();
    // That it ends is all that is wanted of it.
    let _ = follow.await;
    report
}

/// Says in the readiness, once everything has been read, whether a lock-out would be refused.
pub(super) async fn once(store: Arc<Store>, config: Receiver<Arc<Config>>, options: Options, readiness: Readiness) {
    readiness.set(PART, Err("it waits for the caches".to_owned()));
    while store.view().is_err() {
        sleep(Duration::from_millis(250)).await;
    }
    let config = Arc::clone(&config.borrow());
    let judged = tokio::task::spawn_blocking(move || lock_outs(&store.snapshot(), &config, &options)).await;
    let state = match judged {
        Ok(judgements) => {
            let told: Vec<String> =
                judgements.into_iter().map(|(cni, judgement)| format!("{cni}: {}", told(judgement).0)).collect();
            // A cluster that this knows too little of is guarded as well as it can be.
            Ok(if told.is_empty() { "no CNI that is guarded was found".to_owned() } else { told.join("; ") })
        }
        Err(error) => Err(format!("it failed: {error}")),
    };
    readiness.set(PART, state);
}

/// Whether everything has been tried, and something may not be read.
fn forbidden(store: &Store) -> bool {
    let tried = store.standings().into_iter().filter(|standing| !is_known(standing));
    let reasons: Vec<Option<String>> = tried
        .map(|standing| match standing {
            Standing::Listing(reason) => reason,
            _ => None,
        })
        .collect();
    !reasons.is_empty() && reasons.iter().all(|reason| reason.as_ref().is_some_and(|it| it.starts_with("forbidden")))
}

fn is_known(standing: &Standing) -> bool {
    !matches!(standing, Standing::Unknown(_) | Standing::Listing(_))
}

fn report(store: &Store, config: Result<Config, String>, options: &Options) -> Report {
    let mut text = String::new();
    let mut passed = true;
    let mut say = |line: String| {
        // Text is written into memory.
        let _ = writeln!(text, "{line}");
    };
    let snapshot = store.snapshot();
    say("What this cluster shows:".to_owned());
    for (row, standing) in ROWS.iter().zip(store.standings()) {
        passed &= is_known(&standing);
        say(format!("  {}", shown(row, &standing, &snapshot)));
    }
    let config = match config {
        Ok(config) => config,
        Err(reason) => {
            passed = false;
            say(format!("The configuration cannot be used, and defaults are taken: {reason}"));
            Config::default()
        }
    };
    let Detected { lifelines, missing, switched_off } = detect(&snapshot, &config);
    say(format!("Lifelines that were found ({}):", lifelines.len()));
    for lifeline in &lifelines {
        say(format!("  {} ({}): {}", lifeline.id, lifeline.severity, lifeline.breaks));
    }
    for off in &switched_off {
        say(format!("  {} is switched off: {}", off.id, off.reason));
    }
    if !missing.is_empty() {
        say("What no object tells; state it in the LifelineConfig:".to_owned());
    }
    for missing in &missing {
        say(format!(
            "  {} ({}): {}: spec.parameters.{}",
            missing.id, missing.severity, missing.what, missing.parameter
        ));
    }
    say("A made-up policy that closes every node:".to_owned());
    for (cni, judgement) in lock_outs(&snapshot, &config, options) {
        let (line, refused) = told(judgement);
        passed &= refused;
        say(format!("  {cni}: {line}"));
    }
    say(if passed { "The self-test has passed." } else { "The self-test has failed." }.to_owned());
    Report { text, passed }
}

fn shown(row: &Row, standing: &Standing, snapshot: &Snapshot) -> String {
    let title = row.title();
    match standing {
        Standing::Watched => format!("{title}: {} read", count(row, snapshot)),
        Standing::Absent => format!("{title}: this cluster has none of the kind"),
        Standing::Twin => format!("{title}: the same objects are read as crd.projectcalico.org stores them"),
        Standing::Forbidden => {
            format!("{title}: may not be read, and need not, unless agents of the network run there")
        }
        Standing::Stale { reason, .. } | Standing::Listing(Some(reason)) | Standing::Unknown(reason) => {
            format!("{title}: NOT READ ({reason}); without them it is not known: {}", row.why)
        }
        Standing::Listing(None) => format!("{title}: NOT READ in time; without them it is not known: {}", row.why),
    }
}

fn count(row: &Row, snapshot: &Snapshot) -> usize {
    snapshot.names(row.group, row.kind).into_iter().filter(|(namespace, name)| row.has(namespace, name)).count()
}

fn told(judgement: Result<Judgement, String>) -> (String, bool) {
    match judgement {
        Err(reason) => (format!("it cannot be judged: {reason}"), false),
        Ok(judgement) => {
            let cuts: Vec<&str> = judgement.cuts.iter().map(|cut| cut.lifeline.as_str()).collect();
            match judgement.verdict {
                Verdict::Cuts => (format!("would be refused, it cuts {}", cuts.join(", ")), true),
                Verdict::CannotProve => ("would be refused, as it cannot be proved harmless".to_owned(), true),
                Verdict::Safe => ("would NOT be refused: it cuts nothing that is known of".to_owned(), false),
            }
        }
    }
}

/// A lock-out of each CNI that the cluster has, judged. Modes do not matter for it.
fn lock_outs(snapshot: &Snapshot, config: &Config, options: &Options) -> Vec<(Cni, Result<Judgement, String>)> {
    let judged = |state: &Snapshot, change: Change, assumptions: &Assumptions| {
        let lifelines = |snapshot: &Snapshot| detect(snapshot, config);
        decide(state, &[change], &lifelines, assumptions).map_err(|error| error.to_string())
    };
    let containers = snapshot.cluster.daemon_sets.iter().flat_map(|set| &set.containers);
    let agents: Vec<&str> = containers.map(|container| container.name.as_str()).collect();
    let mut judgements = Vec::new();
    let endpoints = || snapshot.objects.keys().any(|key| key.kind == "HostEndpoint");
    if agents.contains(&"calico-node") || endpoints() {
        let (open, closing) = calico(snapshot);
        judgements.push((Cni::Calico, judged(&open, closing, &options.assumptions)));
    }
    if agents.contains(&"cilium-agent") {
        let mut assumptions = options.assumptions.as_ref().clone();
        // Where the host firewall is off, no policy closes a node; what it would do if it were on is what is asked.
        assumptions.cilium_settings.insert("enable-host-firewall".to_owned(), "true".to_owned());
        judgements.push((Cni::Cilium, judged(snapshot, cilium(), &assumptions)));
    }
    judgements
}

const NAME: &str = "lifeline-self-test";

/// The cluster with an open host endpoint on every node, and a policy that closes them.
fn calico(snapshot: &Snapshot) -> (Snapshot, Change) {
    let object = |kind: &str, name: &str, spec: Value| {
        let value = json!({"apiVersion": "projectcalico.org/v3", "kind": kind,
            "metadata": {"name": name, "labels": {NAME: ""}}, "spec": spec});
        made_up("projectcalico.org", "v3", kind, name, value)
    };
    let endpoint = |name: &str| {
        let spec = json!({"node": name, "interfaceName": "*", "profiles": ["projectcalico-default-allow"]});
        object("HostEndpoint", &format!("{NAME}-{name}"), spec)
    };
    let nodes = snapshot.cluster.nodes.iter().map(|node| endpoint(&node.name));
    let mut open = snapshot.clone();
    // They have no field that could not be read.
    open.update(nodes.map(|endpoint| (endpoint.key.clone(), Some(endpoint))).collect());
    let spec = json!({"tier": "default", "order": 0, "selector": format!("has({NAME})"),
        "types": ["Ingress", "Egress"], "ingress": [{"action": "Deny"}], "egress": [{"action": "Deny"}]});
    (open, Change::Put(object("GlobalNetworkPolicy", NAME, spec)))
}

fn cilium() -> Change {
    let kind = "CiliumClusterwideNetworkPolicy";
    let value = json!({"apiVersion": "cilium.io/v2", "kind": kind, "metadata": {"name": NAME},
        "spec": {"nodeSelector": {}, "ingressDeny": [{"fromEntities": ["all"]}]}});
    Change::Put(made_up("cilium.io", "v2", kind, NAME, value))
}

fn made_up(group: &str, version: &str, kind: &str, name: &str, value: Value) -> Manifest {
    let [group, kind, name] = [group, kind, name].map(str::to_owned);
    let key = Key { group, kind, namespace: String::new(), name };
    Manifest { key, version: version.to_owned(), value, source: None }
}
