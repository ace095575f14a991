//! Spans of reviews and audits, sent to a collector over OTLP (HTTP, protobuf).
//!
//! Where to is said by the environment that OpenTelemetry specifies: nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set.

use std::env;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderMap;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The name of the service, unless the environment gives another.
const SERVICE: &str = "lifeline-webhook";
/// For one batch, with the answer to it: what the specification says where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const ANSWER: usize = 1 << 20;
/// For the last batches, when the process ends.
const LAST: Duration = Duration::from_secs(5);

/// Sends spans until it is dropped, and then the last of them.
#[derive(Debug)]
pub(super) struct Spans(SdkTracerProvider);

impl Drop for Spans {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last spans are lost");
        }
    }
}

/// What collects spans, and what sends them; nothing where no collector is named.
pub(super) fn start<S>(runtime: &Handle) -> Result<Option<(impl Layer<S> + use<S>, Spans)>, String>
where
    S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
{
    let Some((_, endpoint)) = set(&ENDPOINTS) else { return Ok(None) };
    if let Some((name, protocol)) = set(&PROTOCOLS).filter(|(_, protocol)| protocol != "http/protobuf") {
        return Err(format!("{name}={protocol}: spans are sent by http/protobuf alone, to port 4318 as a rule"));
    }
    let exporter = SpanExporter::builder().with_http().with_http_client(client(&endpoint, runtime)?).build();
    let exporter = exporter.map_err(|error| format!("the collector {endpoint}: {error}"))?;
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
    let tracer = provider.tracer("webhook");
    // Spans of our own: those of the exporter's client would have it send ever more.
    let own = Targets::new().with_target("webhook", LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(own);
    Ok(Some((layer, Spans(provider))))
}

/// The first variable of several that is set, with its value.
fn set(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| Some((*name, env::var(name).ok().filter(|value| !value.is_empty())?)))
}

fn resource() -> Resource {
    let name = set(&["OTEL_SERVICE_NAME"]).map_or_else(|| SERVICE.to_owned(), |(_, name)| name);
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder_empty()
        .with_service_name(name)
        .with_attribute(version)
        .with_detector(Box::new(EnvResourceDetector::new()))
        .build()
}

/// A client that trusts whom the system trusts, or the authorities in the file that `SSL_CERT_FILE` names.
fn client(endpoint: &str, runtime: &Handle) -> Result<Collector, String> {
    let connector = HttpsConnectorBuilder::new();
    let connector = if endpoint.starts_with("https:") {
        let connector = connector.with_native_roots();
        connector.map_err(|error| format!("{endpoint}: no authorities to trust ({error}); set SSL_CERT_FILE"))?
    } else {
        // Nobody is asked for a certificate.
        let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
        connector.with_tls_config(nobody.with_no_client_auth())
    };
    let connector = connector.https_or_http().enable_http1().build();
    Ok(Collector { client: Client::builder(TokioExecutor::new()).build(connector), runtime: runtime.clone() })
}

/// The exporter has a thread of its own, and the client lives where everything else waits.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.client.request(request.map(Full::new));
        let whole = async move {
            let (parts, body) = response.await?.into_parts();
            let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        // A clock belongs to a runtime.
        self.runtime.spawn(async { timeout(TIMEOUT, whole).await }).await??
    }
}

/// Makes a span part of the trace that a request says it belongs to.
pub(super) fn follow(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // It fails where nothing collects spans, and then nothing is to be done.
    let _ = span.set_parent(context);
}
