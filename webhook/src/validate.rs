//! `POST /validate`: one review in, one answer out.
//!
//! | answer | when |
//! |---|---|
//! | 200 with a verdict | always, if there is one |
//! | 400, 413, 415 | the body is no review, is larger than 8 MiB, is not JSON |
//! | 500 | a defect here; the panic is counted |
//! | 503, 504 | no verdict in time, or none to be had; 504 if the body itself came too slowly |
//!
//! Anything but 200 counts as a failed call for the API server, so that `failurePolicy` decides: no verdict is ever made up.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt as _;
use policy::snapshot::Manifest;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::logs;
use crate::metrics::{Metrics, Outcome};
use crate::review::{Malformed, Operation, Request};
use crate::verdict::Decision;

/// Largest body. API servers accept objects of 3 MiB, and an update carries two.
pub const BODY: usize = 8 << 20;
/// Bodies held at a time, in KiB.
const IN_FLIGHT: usize = 16 << 10;
/// Reviews that are judged at a time. Most of the time a judge waits for the API server; those that wait together share
/// what it answers, and what they work out by themselves they do one after another.
const THREADS: usize = 16;
/// Longest time a review takes.
const LONGEST: Duration = Duration::from_secs(4);
/// The API server rounds the time it still has up to whole seconds, and the answer has to travel.
const MARGIN: Duration = Duration::from_millis(1500);
/// Shortest time a review is given.
const SHORTEST: Duration = Duration::from_millis(250);
/// From the header to the last byte of an answer.
const REQUEST: Duration = Duration::from_millis(4500);

/// Decides about changes. Called on threads of its own, several at a time.
pub trait Judge: Send + Sync + 'static {
    /// Decides about one.
    ///
    /// # Errors
    ///
    /// No verdict is possible, and why.
    fn judge(&self, change: &Change<'_>) -> Result<Decision, String>;
}

/// What is to change.
#[derive(Debug)]
pub struct Change<'c> {
    /// The question.
    pub request: &'c Request<'c>,
    /// What is done.
    pub operation: Operation,
    /// The object as it is.
    pub before: Option<Manifest>,
    /// The object as it is to be.
    pub after: Option<Manifest>,
    /// When the answer has to be there.
    pub deadline: std::time::Instant,
}

struct Shared {
    judge: Arc<dyn Judge>,
    metrics: Arc<Metrics>,
    in_flight: Semaphore,
    threads: Arc<Semaphore>,
}

/// The route.
pub fn router(judge: Arc<dyn Judge>, metrics: Arc<Metrics>) -> Router {
    let shared =
        Shared { judge, metrics, in_flight: Semaphore::new(IN_FLIGHT), threads: Arc::new(Semaphore::new(THREADS)) };
    Router::new().route("/validate", post(validate)).layer(DefaultBodyLimit::disable()).with_state(Arc::new(shared))
}

async fn validate(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
    request: HttpRequest,
) -> Response {
    let start = Instant::now();
    let span = tracing::debug_span!(
        "review",
        otel.kind = "server",
        otel.status_code = Empty,
        uid = Empty,
        operation = Empty,
        kind = Empty,
        name = Empty,
        verdict = Empty
    );
    logs::follow(&span, request.headers());
    let review = review(&shared, &query, request, start).instrument(span.clone());
    let review = timeout_at(start + REQUEST, review).await;
    let (status, body, outcome) = match review {
        Ok(Ok((body, outcome))) => (StatusCode::OK, body, outcome),
        Ok(Err(failure)) => {
            let (status, outcome) = failure.shown();
            tracing::warn!(status = status.as_u16(), reason = %failure, "no verdict");
            (status, failure.to_string().into_bytes(), outcome)
        }
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, b"the body came too slowly".to_vec(), Outcome::Slow),
    };
    shared.metrics.review(outcome, start.elapsed());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let kind = if status == StatusCode::OK { "application/json" } else { "text/plain; charset=utf-8" };
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("content-type is not application/json")]
    NotJson,
    #[error("the body is larger than {BODY} bytes")]
    TooLarge,
    #[error("the body broke off: {0}")]
    Body(axum::Error),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("too many reviews at a time; no verdict in time")]
    Busy,
    #[error("no verdict in time")]
    Deadline,
    #[error("no verdict: {0}")]
    Unable(String),
    #[error("a defect in this program; see its log")]
    Panic,
}

impl Failure {
    fn shown(&self) -> (StatusCode, Outcome) {
        match self {
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Outcome::Malformed),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Outcome::Malformed),
            Self::Body(_) | Self::Malformed(_) => (StatusCode::BAD_REQUEST, Outcome::Malformed),
            Self::Busy | Self::Deadline => (StatusCode::SERVICE_UNAVAILABLE, Outcome::Late),
            Self::Unable(_) => (StatusCode::SERVICE_UNAVAILABLE, Outcome::Unable),
            Self::Panic => (StatusCode::INTERNAL_SERVER_ERROR, Outcome::Panic),
        }
    }
}

async fn review(
    shared: &Arc<Shared>,
    query: &HashMap<String, String>,
    request: HttpRequest,
    start: Instant,
) -> Result<(Vec<u8>, Outcome), Failure> {
    let deadline = start + allowance(query.get("timeout").map(String::as_str));
    if !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length: usize = length.unwrap_or(BODY);
    if length > BODY {
        return Err(Failure::TooLarge);
    }
    // Bodies of unknown length count as the largest.
    let weight = u32::try_from(length.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
    let held = timeout_at(deadline, shared.in_flight.acquire_many(weight)).await;
    let Ok(Ok(_held)) = held else { return Err(Failure::Busy) };
    let body = read(request).await?;
    let thread = timeout_at(deadline, Arc::clone(&shared.threads).acquire_owned()).await;
    let Ok(Ok(thread)) = thread else { return Err(Failure::Busy) };
    let (judge, metrics) = (Arc::clone(&shared.judge), Arc::clone(&shared.metrics));
    let span = Span::current();
    let task = tokio::task::spawn_blocking(move || {
        let _span = span.entered();
        // Held until the work is done, also when nobody waits for it any more.
        let _thread = thread;
        // Nothing is left half done: the state that a judge reads is immutable.
        catch_unwind(AssertUnwindSafe(|| decide(judge.as_ref(), &metrics, &body, deadline.into_std())))
    });
    match timeout_at(deadline, task).await {
        Ok(Ok(Ok(decided))) => decided,
        Ok(Ok(Err(_)) | Err(_)) => Err(Failure::Panic),
        Err(_) => Err(Failure::Deadline),
    }
}

fn decide(
    judge: &dyn Judge,
    metrics: &Metrics,
    body: &[u8],
    deadline: std::time::Instant,
) -> Result<(Vec<u8>, Outcome), Failure> {
    let request = Request::read(body)?;
    let operation = request.operation()?;
    // A part, such as the status, never changes a verdict.
    let Decision { answer, findings } = if request.sub_resource.is_empty() {
        let (before, after) = request.change()?;
        let change = Change { request: &request, operation, before, after, deadline };
        judge.judge(&change).map_err(Failure::Unable)?
    } else {
        Decision::allowed()
    };
    for finding in &findings {
        metrics.finding(&finding.code, finding.mode);
    }
    let verdict = if answer.denial.is_some() { Outcome::Denied } else { Outcome::Allowed };
    let span = Span::current();
    span.record("uid", &*request.uid).record("operation", operation.name());
    span.record("kind", &*request.kind.kind).record("name", &*request.name).record("verdict", verdict.name());
    tracing::info!(
        uid = &*request.uid,
        user = &*request.user_info.username,
        operation = operation.name(),
        kind = &*request.kind.kind,
        name = &*request.name,
        dry_run = request.dry_run.unwrap_or(false),
        verdict = verdict.name(),
        reason = answer.denial.as_ref().and_then(|denial| denial.message.lines().next()),
        "review"
    );
    let body = answer.write(&request.uid).map_err(|error| Failure::Unable(error.to_string()))?;
    Ok((body, verdict))
}

async fn read(request: HttpRequest) -> Result<Bytes, Failure> {
    match http_body_util::Limited::new(request.into_body(), BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Failure::TooLarge),
        Err(error) => Err(Failure::Body(axum::Error::new(error))),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Time for an answer, from what the API server says it still has, in Go's notation for durations.
fn allowance(timeout: Option<&str>) -> Duration {
    let stated = timeout.and_then(seconds).map(|stated| stated.saturating_sub(MARGIN));
    stated.map_or(LONGEST, |stated| stated.clamp(SHORTEST, LONGEST))
}

/// `10s`, `1m0s`, or a number of seconds.
fn seconds(text: &str) -> Option<Duration> {
    let (minutes, rest) = match text.split_once('m') {
        Some((minutes, rest)) => (minutes.parse::<u64>().ok()?, rest),
        None => (0, text),
    };
    let rest = rest.strip_suffix('s').unwrap_or(rest);
    let seconds = if rest.is_empty() { 0 } else { rest.parse::<u64>().ok()? };
    Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_ready_before_the_api_server_gives_up() {
        let millis = |text: Option<&str>| allowance(text).as_millis();
        assert_eq!(millis(None), 4000);
        assert_eq!(millis(Some("10s")), 4000);
        assert_eq!(millis(Some("1m0s")), 4000);
        assert_eq!(millis(Some("5s")), 3500);
        assert_eq!(millis(Some("3")), 1500);
        assert_eq!(millis(Some("1s")), 250);
        assert_eq!(millis(Some("soon")), 4000);
        assert_eq!(millis(Some("99999999999999999999m")), 4000);
    }
}
