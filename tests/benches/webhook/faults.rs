//! Reviews through a real API server while something goes wrong.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use tests::guarded::{Guarded, Replica};
use tests::ports;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::Outcome;
use crate::front::Front;
use crate::load::{self, Load};

const CONFIG: &str = include_str!("../../../docs/try/lifeline.yaml");
const A_SECOND: u32 = 100;
const REPLICAS: usize = 2;

/// Replicas behind one address, as endpoints follow their readiness.
#[derive(Clone)]
struct Fleet {
    guarded: Arc<Guarded>,
    front: Front,
    replicas: Arc<Mutex<Vec<Replica>>>,
}

impl Fleet {
    async fn start() -> Outcome<Self> {
        let guarded = spawn_blocking(|| Guarded::calico(CONFIG));
        let fleet = Self { guarded: Arc::new(guarded.await??), front: Front::default(), replicas: Arc::default() };
        fleet.front.serve(fleet.guarded.port()).await?;
        for _ in 0..REPLICAS {
            fleet.add().await?;
        }
        fleet.watch();
        Ok(fleet)
    }

    async fn add(&self) -> Outcome {
        let guarded = Arc::clone(&self.guarded);
        let program = Path::new(env!("CARGO_BIN_EXE_webhook-under-test"));
        let replica = spawn_blocking(move || guarded.start_on(program, ports::free()?, &["--grace=2"])).await??;
        self.lock().push(replica);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Replica>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends connections to those that say that they are ready, asked four times a second.
    fn watch(&self) {
        let fleet = self.clone();
        tokio::spawn(async move {
            loop {
                let ready = {
                    let replicas = fleet.lock();
                    let ready = replicas.iter().filter(|one| one.readiness().is_ok_and(|(status, _)| status == 200));
                    ready.map(Replica::port).collect()
                };
                fleet.front.set(ready);
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
    }

    /// One after the other is told to end, and followed by a new one once it has.
    async fn roll(self) -> Outcome {
        for _ in 0..REPLICAS {
            self.add().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let id = self.lock().first().map(Replica::id).ok_or("no replica")?;
            Command::new("kill").args(["-TERM", &id.to_string()]).status()?;
            // Its grace, and what was under way.
            tokio::time::sleep(Duration::from_secs(4)).await;
            drop(self.lock().remove(0));
        }
        Ok(())
    }

    async fn kill(self) -> Outcome {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(self.lock().remove(0));
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.add().await
    }

    async fn misconfigure(self) -> Outcome {
        for config in ["spec: [", CONFIG] {
            let guarded = Arc::clone(&self.guarded);
            let patched = spawn_blocking(move || {
                let metadata = json!({"name": "lifeline-config", "namespace": "lifeline-system"});
                let data = json!({"lifeline.yaml": config});
                let changed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
                guarded.unreviewed().merge(&[changed])
            });
            patched.await??;
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        Ok(())
    }

    /// Silent sockets, endless bodies and floods, for half a minute.
    async fn besiege(self) -> Outcome {
        let end = Instant::now() + Duration::from_secs(30);
        let ports: Vec<u16> = self.lock().iter().map(Replica::port).collect();
        let mut held = Vec::new();
        while Instant::now() < end {
            for port in &ports {
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", *port)).await {
                    let _ = stream.write_all(b"\x16\x03\x01").await;
                    held.push(stream);
                }
            }
            if held.len() > 1000 {
                held.drain(..500);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Most memory that a replica holds, in MiB.
    fn peak(&self) -> u64 {
        let of = |id: u32| -> Option<u64> {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        self.lock().iter().filter_map(|replica| of(replica.id())).max().unwrap_or_default() / 1024
    }
}

pub(crate) async fn run(reviews: usize) -> Outcome {
    let fleet = Fleet::start().await?;
    let kubeconfig = fleet.guarded.cluster().kubeconfig("load", &["system:masters"])?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &options).await?;
    let client = Client::try_from(config)?;
    println!("{REPLICAS} replicas, {A_SECOND} reviews a second through the API server\n");
    println!("| case | reviews | failed | p50 ms | p99 ms | peak MiB | why |\n|---|---|---|---|---|---|---|");
    let quiet = load::run(&client, reviews, A_SECOND).await;
    row("nothing", &quiet, fleet.peak());
    for name in ["rolling restart", "configuration broken and mended", "slow and hostile clients", "replica killed"] {
        let own = fleet.clone();
        let fault: JoinHandle<Outcome> = match name {
            "rolling restart" => tokio::spawn(own.roll()),
            "configuration broken and mended" => tokio::spawn(own.misconfigure()),
            "slow and hostile clients" => tokio::spawn(own.besiege()),
            _ => tokio::spawn(own.kill()),
        };
        let load = load::run(&client, reviews, A_SECOND).await;
        fault.await??;
        row(name, &load, fleet.peak());
    }
    Ok(())
}

fn row(name: &str, load: &Load, peak: u64) {
    let millis = |percent| load.percentile(percent).as_secs_f64() * 1e3;
    let why: Vec<String> = load.reasons.iter().map(|(reason, times)| format!("{times} x {reason}")).collect();
    let (asked, failed) = (load.asked, load.failed);
    println!("| {name} | {asked} | {failed} | {:.1} | {:.1} | {peak} | {} |", millis(50), millis(99), why.join("; "));
}
