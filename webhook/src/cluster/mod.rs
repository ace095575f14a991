//! The cluster at hand: what is known of it, and how changes to it are judged.
//!
//! Watches keep a cache of everything that a verdict reads ([`watch`], [`store`]). A change that a verdict depends on is
//! judged on policy that is read for it ([`live`]), together with what has been allowed and may not be stored yet
//! ([`ledger`]).

mod audit;
pub mod config;
pub mod discover;
pub mod events;
mod guard;
pub mod ledger;
mod listing;
pub mod live;
pub mod object;
mod self_test;
pub mod store;
pub mod table;
mod warm;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use policy::lifeline::config::Config;
use policy::lifeline::judge::Assumptions;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::health::Readiness;
use crate::metrics::Metrics;

pub use guard::Guard;
pub use self_test::{Report, self_test};

/// How a cluster is guarded.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespace of what is ours.
    pub namespace: String,
    /// Name of the ConfigMap with the configuration, and of the custom resource.
    pub config: String,
    /// Name of the ConfigMap with the ledger; absent: this is the only replica.
    pub ledger: Option<String>,
    /// Name of this replica, as Events have it.
    pub instance: String,
    /// What is known of the cluster otherwise than from its objects.
    pub assumptions: Arc<Assumptions>,
    /// How often it is looked for kinds of objects that are new to the cluster.
    pub discovery: Duration,
    /// For how long a watch may be interrupted before there are no verdicts any more.
    pub oldest: Duration,
}

impl Options {
    /// Those of the manifests, in a namespace.
    pub fn of(namespace: &str, instance: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            config: "lifeline-config".to_owned(),
            ledger: Some("lifeline-ledger".to_owned()),
            instance: instance.to_owned(),
            assumptions: Arc::default(),
            discovery: Duration::from_secs(20),
            oldest: Duration::from_secs(300),
        }
    }
}

/// What guards a cluster.
pub struct Running {
    /// Decides about changes.
    pub guard: Arc<Guard>,
    /// What is known of the cluster.
    pub store: Arc<store::Store>,
    /// What goes on beside, until `stop`.
    pub tasks: JoinSet<()>,
}

/// Begins to guard a cluster. Reviews may be asked for at once; until `readiness` says so, there are no verdicts.
pub fn run(
    client: &Client,
    options: &Options,
    metrics: &Arc<Metrics>,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Running {
    let mut tasks = JoinSet::new();
    let store = store::Store::new(readiness.clone(), Arc::clone(metrics));
    tasks.spawn(watch::follow(client.clone(), Arc::clone(&store), options.discovery, stop.clone()));

    let (current, config) = tokio::sync::watch::channel(Arc::new(Config::default()));
    let events = Arc::new(events::Events::new(client.clone(), options.instance.clone()));
    let follow = config::Follow {
        client: client.clone(),
        place: config::Place { namespace: options.namespace.clone(), name: options.config.clone() },
        current,
        readiness: readiness.clone(),
        metrics: Arc::clone(metrics),
        events: Arc::clone(&events),
    };
    tasks.spawn(follow.run(stop.clone()));

    let limits = live::Limits { oldest: options.oldest };
    let live = Arc::new(live::Live::new(client.clone(), Arc::clone(&store), limits, Arc::clone(metrics)));
    let warm = Arc::new(warm::Warm::new(Arc::clone(&options.assumptions)));
    let audit = audit::Audit {
        live: Arc::clone(&live),
        changes: store.changes(),
        config: config.clone(),
        warm: Arc::clone(&warm),
        metrics: Arc::clone(metrics),
        events,
    };
    tasks.spawn(audit.run(stop.clone()));
    let tested = self_test::once(Arc::clone(&store), config.clone(), options.clone(), readiness.clone());
    let stopped = stop.clone();
    tasks.spawn(async move {
        let _ = stopped.run_until_cancelled(tested).await;
    });
    let cell: Arc<dyn ledger::cell::Cell> = match &options.ledger {
        Some(name) => Arc::new(ledger::config_map::Shared::new(client.clone(), &options.namespace, name)),
        None => Arc::new(ledger::cell::Memory::default()),
    };
    let guard = Guard {
        runtime: Handle::current(),
        store: Arc::clone(&store),
        ledger: ledger::Ledger::new(cell, live::Shared::new(live), Arc::clone(metrics)),
        config,
        warm,
    };
    Running { guard: Arc::new(guard), store, tasks }
}
