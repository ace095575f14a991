//! The command, from its arguments to its exit status.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::args::{Args, Certificates};
use crate::certificates::{self, Clock, Files, Own, Pace, Source};
use crate::cluster::{self, Options, Running};
use crate::health::Readiness;
use crate::logs;
use crate::metrics::Metrics;
use crate::offline::{self, Fixed, Unusable};
use crate::serve::{self, Addresses, Listeners, Served};
use certs::Lifetimes;
use clap::Parser as _;
use kube::Client;
use tokio_util::sync::CancellationToken;

/// Why this ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Input(#[from] Unusable),
    #[error("{0}")]
    File(String),
    #[error("{0}")]
    Io(String),
    #[error("the self-test failed; see above")]
    SelfTest,
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Input(_) | Self::File(_) => 3,
            Self::Io(_) => 4,
            Self::SelfTest => 1,
        }
    }
}

/// Runs the command with the arguments of the process, and the system's clock.
pub fn run() -> ExitCode {
    run_by(Arc::new(SystemTime::now))
}

/// Runs the command with the arguments of the process, and another wall clock. Certificates are made by it; what is timed is
/// timed by a clock that nobody sets.
pub fn run_by(clock: Clock) -> ExitCode {
    let args = Args::parse();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| start(&args, clock)));
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

fn start(args: &Args, clock: Clock) -> Result<(), Failure> {
    // The client asks for the provider of the process.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Io(format!("cannot start: {error}")))?;
    // Dropped before the runtime is, which sends the last spans.
    let _logs = logs::start(args, runtime.handle()).map_err(Failure::Usage)?;
    if installed.is_err() {
        tracing::debug!("a TLS provider is installed already");
    }
    if !args.snapshot.is_empty() {
        runtime.block_on(offline(args))
    } else if args.self_test {
        runtime.block_on(self_test(args))
    } else {
        runtime.block_on(guard(args, clock))
    }
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

/// Guards the cluster at hand until told to end.
async fn guard(args: &Args, clock: Clock) -> Result<(), Failure> {
    // Before anything is asked of a cluster: what is said wrong on the command line is said at once.
    let lifetimes = Lifetimes { authority: args.authority_lifetime, leaf: args.certificate_lifetime };
    if lifetimes.leaf > lifetimes.authority / 3 {
        let most = (lifetimes.authority / 3).as_secs();
        return Err(Failure::Usage(format!(
            "--certificate-lifetime: at most a third of --authority-lifetime, {most}s"
        )));
    }
    let default = Pace::default();
    let (pace, stop) =
        (Pace { least: default.least.min(lifetimes.leaf / 6), clock, ..default }, CancellationToken::new());
    let clients = match &args.client_authorities {
        None => None,
        Some(file) => {
            let names = args.client_name.iter().cloned().collect();
            let clients = certificates::clients(file, names, &pace, stop.clone());
            Some(clients.map_err(|error| Failure::File(error.to_string()))?)
        }
    };
    let listeners = listen(args).await?;
    let client = connect().await?;
    let (readiness, metrics) = (Readiness::default(), Arc::new(Metrics::default()));
    let source = match (args.certificates, &args.certificate, &args.key) {
        (Certificates::Files, Some(certificate), Some(key)) => Source::Files(Files::new(certificate, key)),
        _ => Source::Own(Box::new(Own::new(client.clone(), &args.namespace, lifetimes))),
    };
    let certificate = certificates::start(source, pace, readiness.clone(), Arc::clone(&metrics), stop.clone());
    let Running { guard, mut tasks, .. } = cluster::run(&client, &options(args), &metrics, &readiness, &stop);
    let served = Served { judge: guard, certificate, clients, readiness, metrics };
    let ended = serve::run(listeners, served, Duration::from_secs(args.grace), stop.clone()).await;
    stop.cancel();
    tasks.shutdown().await;
    ended.map_err(Failure::Io)
}

async fn self_test(args: &Args) -> Result<(), Failure> {
    let client = connect().await?;
    let report = cluster::self_test(&client, &options(args)).await;
    println!("{}", report.text.trim_end());
    if report.passed { Ok(()) } else { Err(Failure::SelfTest) }
}

/// The API server, by the service account of the pod, or by a kubeconfig.
async fn connect() -> Result<Client, Failure> {
    Client::try_default().await.map_err(|error| {
        Failure::Io(format!("no way to an API server: {error}; set KUBECONFIG, or run in a pod with a service account"))
    })
}

fn options(args: &Args) -> Options {
    // The name of the pod, where nothing says otherwise.
    let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| "lifeline".to_owned());
    Options::of(&args.namespace, &instance)
}

async fn listen(args: &Args) -> Result<Listeners, Failure> {
    let addresses = Addresses { reviews: args.listen, health: args.health_listen, metrics: args.metrics_listen };
    let listeners = Listeners::open(addresses).await.map_err(Failure::Io)?;
    let got = listeners.addresses().map_err(|error| Failure::Io(error.to_string()))?;
    tracing::info!(reviews = %got.reviews, health = %got.health, metrics = %got.metrics, "listening");
    Ok(listeners)
}
