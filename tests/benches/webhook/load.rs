//! Changes at a steady rate, counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests under way at a time.
const CLIENTS: usize = 50;

/// What came of them.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) asked: usize,
    pub(crate) failed: usize,
    /// Why, and how often.
    pub(crate) reasons: BTreeMap<String, usize>,
    latencies: Vec<Duration>,
}

impl Load {
    /// The time that so many of a hundred were answered in.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }

    fn count(&mut self, answer: Result<Duration, String>) {
        self.asked += 1;
        match answer {
            Ok(took) => self.latencies.push(took),
            Err(reason) => {
                self.failed += 1;
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
    }
}

/// Asks the API server for harmless policies, so many, so many a second, each a dry run.
pub(crate) async fn run(client: &Client, count: usize, a_second: u32) -> Load {
    let kind = GroupVersionKind::gvk("projectcalico.org", "v3", "GlobalNetworkPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "globalnetworkpolicies");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second.max(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (places, mut tasks, mut load) = (Arc::new(Semaphore::new(CLIENTS)), JoinSet::new(), Load::default());
    for number in 0..count {
        ticks.tick().await;
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let (api, resource) = (api.clone(), resource.clone());
        tasks.spawn(async move {
            let _place = place;
            let policy = DynamicObject::new(&format!("load-{number}"), &resource).data(json!({"spec": {
                "namespaceSelector": "all()", "types": ["Ingress"], "ingress": [{"action": "Deny"}]}}));
            let start = Instant::now();
            let params = PostParams { dry_run: true, ..PostParams::default() };
            api.create(&params, &policy).await.map(|_| start.elapsed()).map_err(|error| reason(&error))
        });
        while let Some(Ok(answer)) = tasks.try_join_next() {
            load.count(answer);
        }
    }
    while let Some(Ok(answer)) = tasks.join_next().await {
        load.count(answer);
    }
    load
}

/// Without what differs each time.
fn reason(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.chars().filter(|it| !it.is_ascii_digit()).take(160).collect(),
        other => other.to_string().chars().filter(|it| !it.is_ascii_digit()).take(160).collect(),
    }
}
