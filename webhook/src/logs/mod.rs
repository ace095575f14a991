//! What is told of the work: logs on standard error, and with the feature `otlp` spans to a collector.

#[cfg(feature = "otlp")]
mod spans;

use axum::http::HeaderMap;
use tokio::runtime::Handle;
use tracing::Span;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::args::{Args, Format};

/// Telling; what is not sent yet is sent when this is dropped.
#[derive(Debug)]
pub(crate) struct Logs {
    #[cfg(feature = "otlp")]
    _spans: Option<spans::Spans>,
}

/// Begins to tell, as the arguments and the environment of the process say.
///
/// # Errors
///
/// One of them says something that is not understood; the message names it.
pub(crate) fn start(args: &Args, runtime: &Handle) -> Result<Logs, String> {
    let filter = EnvFilter::try_new(&args.log).map_err(|error| format!("--log {}: {error}", args.log))?;
    // What cannot be written would be told of on standard error too, and end the work where that is closed.
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).log_internal_errors(false);
    let log = match args.log_format {
        Format::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        Format::Text => log.boxed(),
    };
    let registry = tracing_subscriber::registry().with(log.with_filter(filter));
    #[cfg(feature = "otlp")]
    {
        let (layer, spans) = spans::start(runtime)?.unzip();
        registry.with(layer).init();
        Ok(Logs { _spans: spans })
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = runtime;
        registry.init();
        Ok(Logs {})
    }
}

/// Makes a span part of the trace that a request says it belongs to.
#[cfg(feature = "otlp")]
pub(crate) fn follow(span: &Span, headers: &HeaderMap) {
    spans::follow(span, headers);
}

/// Makes a span part of the trace that a request says it belongs to.
#[cfg(not(feature = "otlp"))]
pub(crate) fn follow(_: &Span, _: &HeaderMap) {}
