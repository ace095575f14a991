//! Reviews over TLS, side by side: with the judgement, and the same server with it left out.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::lifeline::config::Config;
use policy::lifeline::judge::Assumptions;
use policy::snapshot::Loader;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use tests::guarded::memory;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use webhook::metrics::Metrics;
use webhook::server::{Limits, serve};
use webhook::validate::{Change, Judge, router};
use webhook::verdict::{Decision, State, verdict};

use crate::load::Load;
use crate::{Outcome, asker};

const NODES: usize = 1000;
const CONNECTIONS: usize = 16;
/// Reviews in each round, and rounds, in turn with and without the judgement.
const REVIEWS: usize = 4000;
const ROUNDS: usize = 3;
/// Bytes of a large object.
const LARGE: usize = 5 << 20;

/// Decides from a state, or lets everything in.
struct Side(Option<State>);

impl Judge for Side {
    fn judge(&self, change: &Change<'_>) -> Result<Decision, String> {
        self.0.as_ref().map_or_else(|| Ok(Decision::allowed()), |state| verdict(state, change))
    }
}

pub(crate) async fn run() -> Outcome {
    println!("{NODES} nodes, {CONNECTIONS} connections, {REVIEWS} reviews a round\n");
    println!(
        "| policies | reviews/s without | with | ratio | p99 ms without | with | 5 MiB review, ms | resident, client too |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for policies in [10, 100, 500] {
        let state = state(policies)?;
        let (floor, real) = (Target::start(Side(None)).await?, Target::start(Side(Some(state))).await?);
        let (mut without, mut with) = (Load::default(), Load::default());
        for _ in 0..ROUNDS {
            without.add(floor.round().await?);
            with.add(real.round().await?);
        }
        let ratio = with.rate() / without.rate();
        let (a, b) = (without.rate(), with.rate());
        let large = real.large().await?.as_secs_f64() * 1e3;
        let (p99, [resident, _]) = ([&without, &with].map(|load| load.percentile(99)), memory(std::process::id())?);
        println!(
            "| {policies} | {a:.0} | {b:.0} | {ratio:.2} | {:.2} | {:.2} | {large:.1} | {resident} MiB |",
            p99[0], p99[1]
        );
    }
    println!();
    Ok(())
}

/// Nodes that are alike but for their addresses, and policies that let them in.
fn state(policies: usize) -> Outcome<State> {
    let mut text = String::new();
    for node in 0..NODES {
        let (high, low) = (node / 250, node % 250 + 1);
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{node}"),
            "labels": {"kubernetes.io/hostname": format!("n{node}"), "node-role.kubernetes.io/control-plane": if node < 3 { "true" } else { "" }},
            "annotations": {"projectcalico.org/IPv4Address": format!("10.0.{high}.{low}/16")}},
            "spec": {"podCIDRs": [format!("10.{}.{}.0/24", 100 + node / 250, node % 250)]},
            "status": {"addresses": [{"type": "InternalIP", "address": format!("10.0.{high}.{low}")}]}});
        writeln!(text, "---\n{object}")?;
    }
    for object in [
        json!({"apiVersion": "projectcalico.org/v3", "kind": "KubeControllersConfiguration", "metadata": {"name": "default"},
            "spec": {"controllers": {"node": {"hostEndpoint": {"autoCreate": "Enabled"}}}}}),
        json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "zz-all"},
            "spec": {"order": 5000, "selector": "has(kubernetes.io/hostname)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]}}),
    ] {
        writeln!(text, "---\n{object}")?;
    }
    for policy in 0..policies {
        let object = json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
            "metadata": {"name": format!("p{policy}")},
            "spec": {"order": policy, "selector": "has(kubernetes.io/hostname)", "types": ["Ingress"], "ingress": [
                {"action": "Allow", "protocol": "TCP", "source": {"nets": [format!("10.{}.0.0/16", policy % 200)]},
                 "destination": {"ports": [1000 + policy]}}]}});
        writeln!(text, "---\n{object}")?;
    }
    let mut loader = Loader::default();
    loader.read("state.yaml", &text)?;
    Ok(State::new(&loader.finish().snapshot, Arc::new(Config::default()), &Assumptions::default()))
}

/// A server, and a client's way to it.
struct Target {
    address: SocketAddr,
    connector: TlsConnector,
    _stop: tokio_util::sync::DropGuard,
}

impl Target {
    async fn start(side: Side) -> Outcome<Self> {
        let (certificate, bundle) = webhook::offline::certificate()?;
        let tls = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(certificate));
        let (listener, metrics) = (TcpListener::bind("127.0.0.1:0").await?, Arc::new(Metrics::default()));
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let routes = router(Arc::new(side), Arc::clone(&metrics));
        tokio::spawn(serve(
            listener,
            Some(Arc::new(tls)),
            routes,
            Limits::default(),
            metrics,
            CancellationToken::new(),
            stop.clone(),
        ));
        Ok(Self { address, connector: asker::connector(bundle.as_bytes())?, _stop: stop.drop_guard() })
    }

    async fn connect(&self) -> Outcome<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        Ok(self.connector.connect(ServerName::try_from("localhost")?, stream).await?)
    }

    /// How long the median of a few reviews of large objects takes.
    async fn large(&self) -> Outcome<Duration> {
        let (mut stream, mut took) = (self.connect().await?, Vec::new());
        for number in 0..9 {
            let asked = Instant::now();
            ask(&mut stream, number, LARGE).await?;
            took.push(asked.elapsed());
        }
        took.sort_unstable();
        Ok(took[took.len() / 2])
    }

    async fn round(&self) -> Outcome<Load> {
        let (start, mut tasks) = (Instant::now(), JoinSet::new());
        for connection in 0..CONNECTIONS {
            let mut stream = self.connect().await?;
            tasks.spawn(async move {
                let mut latencies = Vec::with_capacity(REVIEWS / CONNECTIONS);
                for number in 0..REVIEWS / CONNECTIONS {
                    let asked = Instant::now();
                    ask(&mut stream, connection * REVIEWS + number, 0).await?;
                    latencies.push(asked.elapsed());
                }
                Outcome::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(answered) = tasks.join_next().await {
            latencies.extend(answered??);
        }
        Ok(Load::of(latencies, start.elapsed()))
    }
}

/// One review on a connection that stays, of an object with so many bytes that say nothing.
async fn ask(stream: &mut TlsStream<TcpStream>, number: usize, bytes: usize) -> Outcome {
    let policy = json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": format!("q{number}"), "annotations": {"note": "x".repeat(bytes)}},
        "spec": {"order": 10, "selector": "has(kubernetes.io/hostname)", "types": ["Ingress"], "ingress": [
            {"action": "Allow", "protocol": "TCP", "destination": {"ports": [number % 60_000 + 1]}}]}});
    let body = asker::review(number, &policy);
    let header = format!(
        "POST /validate?timeout=5s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[header.as_bytes(), body.as_bytes()].concat()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Err("the server closed".into());
        }
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((header, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = header.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() < length.ok_or("no length")?.trim().parse()? {
            continue;
        }
        return if body.contains("\"allowed\":true") { Ok(()) } else { Err(format!("not let in: {text}").into()) };
    }
}
