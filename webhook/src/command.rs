//! The command, from its arguments to its exit status.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::args::{Args, Format};
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::offline::{self, Fixed, Unusable};
use crate::serve::{self, Addresses, Listeners, Served};
use clap::Parser as _;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Why this ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Input(#[from] Unusable),
    #[error("{0}")]
    Io(String),
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Input(_) => 3,
            Self::Io(_) => 4,
        }
    }
}

/// Runs the command with the arguments of the process.
pub fn run() -> ExitCode {
    let args = Args::parse();
    let outcome = std::panic::catch_unwind(|| start(&args));
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.status())
        }
        Err(_) => {
            eprintln!("error: internal error; please report it with the log");
            ExitCode::from(70)
        }
    }
}

fn start(args: &Args) -> Result<(), Failure> {
    log(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io(format!("cannot start: {error}")))?;
    runtime.block_on(offline(args))
}

fn log(args: &Args) -> Result<(), Failure> {
    let filter =
        EnvFilter::try_new(&args.log).map_err(|error| Failure::Usage(format!("--log {}: {error}", args.log)))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        Format::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        Format::Text => log.init(),
    }
    Ok(())
}

async fn offline(args: &Args) -> Result<(), Failure> {
    let judge = Fixed::read(&args.snapshot, args.config.as_deref())?;
    let (certificate, _) = offline::certificate()?;
    let listeners = listen(args).await?;
    let readiness = Readiness::default();
    readiness.set("snapshot", Ok("read".to_owned()));
    let served = Served {
        judge: Arc::new(judge),
        certificate: Arc::new(certificate),
        clients: None,
        readiness,
        metrics: Arc::new(Metrics::default()),
    };
    // Nobody has to be told of the end.
    serve::run(listeners, served, Duration::ZERO, CancellationToken::new()).await.map_err(Failure::Io)
}

async fn listen(args: &Args) -> Result<Listeners, Failure> {
    let addresses = Addresses { reviews: args.listen, health: args.health_listen, metrics: args.metrics_listen };
    let listeners = Listeners::open(addresses).await.map_err(Failure::Io)?;
    let got = listeners.addresses().map_err(|error| Failure::Io(error.to_string()))?;
    tracing::info!(reviews = %got.reviews, health = %got.health, metrics = %got.metrics, "listening");
    Ok(listeners)
}
