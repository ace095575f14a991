//! Health and metrics, in plain HTTP on ports of their own: a kubelet and a Prometheus ask, and neither has our CA.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::metrics::Metrics;

/// What has to be in order before reviews are sent here. Each part says for itself; all must be ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Result<String, String>>>>);

impl Readiness {
    /// Says that a part is in order, and how, or that it is not, and why.
    pub fn set(&self, part: &'static str, state: Result<String, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }

    /// What a part said last.
    pub fn get(&self, part: &str) -> Option<Result<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(part).cloned()
    }

    /// Whether every part is in order.
    pub fn is_ready(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().all(Result::is_ok)
    }
}

/// `/livez`, which depends on nothing, and `/readyz`, which says what is amiss.
pub fn health(readiness: Readiness) -> Router {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(readyz)).with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let parts = readiness.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let is_ready = parts.values().all(Result::is_ok);
    let shown: BTreeMap<_, _> = parts
        .into_iter()
        .map(|(part, state)| {
            let ready = state.is_ok();
            let (Ok(detail) | Err(detail)) = state;
            (part, json!({"ready": ready, "detail": detail}))
        })
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(shown)).into_response()
}

/// `/metrics`.
pub fn metrics(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics)
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
