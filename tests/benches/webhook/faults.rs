//! Reviews by a real API server, and asked for as it asks, while something goes wrong.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::json;
use tests::guarded::{Guarded, Replica};
use tests::ports;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::asker::{self, Direct};
use crate::front::Front;
use crate::load::{self, Load};
use crate::{CONFIG, Outcome, hostile};

/// Reviews each way.
const A_SECOND: u32 = 100;
const REPLICAS: usize = 2;
/// How long what is taken away stays away.
const AWAY: Duration = Duration::from_secs(20);
/// How long an authority of four minutes and its certificates are watched: until another one has followed it.
const LIFE: Duration = Duration::from_secs(260);

/// Replicas behind one address, as endpoints follow their readiness.
#[derive(Clone)]
struct Fleet {
    guarded: Arc<Guarded>,
    front: Front,
    replicas: Arc<Mutex<Vec<Replica>>>,
    /// Arguments of each replica.
    args: &'static [&'static str],
    client: Client,
    direct: Direct,
}

impl Fleet {
    /// Replicas with arguments of their own, one for each offset of a clock, in seconds.
    async fn start(args: &'static [&'static str], clocks: [i64; REPLICAS]) -> Outcome<Self> {
        let guarded = Arc::new(spawn_blocking(|| Guarded::calico(CONFIG)).await??);
        let (front, replicas) = (Front::default(), Arc::default());
        front.serve(guarded.port()).await?;
        for clock in clocks {
            add(&guarded, &replicas, args, clock).await?;
        }
        let kubeconfig = guarded.cluster().kubeconfig("load", &["system:masters"])?;
        let client = asker::client(&kubeconfig).await?;
        let direct = Direct::start(client.clone(), guarded.port()).await?;
        let fleet = Self { guarded, front, replicas, args, client, direct };
        fleet.watch();
        // The API server learns of the webhook a little later.
        asker::let_in(&fleet.client).await?;
        Ok(fleet)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Replica>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends connections to those that say that they are ready, asked four times a second.
    fn watch(&self) {
        let (replicas, front) = (Arc::downgrade(&self.replicas), self.front.clone());
        tokio::spawn(async move {
            while let Some(replicas) = replicas.upgrade() {
                let ready = spawn_blocking(move || {
                    let replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner);
                    let ready = replicas.iter().filter(|one| one.readiness().is_ok_and(|(status, _)| status == 200));
                    ready.map(Replica::port).collect()
                });
                if let Ok(ready) = ready.await {
                    front.set(ready);
                }
                sleep(Duration::from_millis(250)).await;
            }
        });
    }

    /// Has so many reviewed both ways while something happens, which may have something to tell.
    async fn row(&self, name: &str, reviews: usize, fault: impl Future<Output = Outcome<String>>) -> Outcome {
        // What one row needed is not the next one's.
        self.lock().iter().try_for_each(Replica::forget_peak)?;
        let through = load::run(reviews, Some(A_SECOND), |number| asker::through(self.client.clone(), number));
        let direct = load::run(reviews, Some(A_SECOND), |number| self.direct.ask(number));
        let (through, direct, told) = tokio::join!(through, direct, fault);
        let mut line = format!("| {name} ");
        for load in [&through, &direct] {
            let (asked, failed) = (load.asked, load.failed);
            write!(line, "| {asked} | {failed} | {:.1} | {:.1} ", load.percentile(50), load.percentile(99))?;
        }
        let why = |load: &Load| {
            let reasons = load.reasons.iter().map(|(reason, times)| format!("{times} x {reason}"));
            reasons.collect::<Vec<_>>()
        };
        let told = [vec![told?], why(&through), why(&direct)].concat();
        let told: Vec<String> = told.into_iter().filter(|text| !text.is_empty()).collect();
        let [now, most] = self.memory();
        println!("{line}| {now} | {most} | {} |", told.join("; "));
        Ok(())
    }

    /// One after the other is told to end, and followed by a new one once it has.
    async fn roll(&self) -> Outcome<String> {
        for _ in 0..REPLICAS {
            add(&self.guarded, &self.replicas, self.args, 0).await?;
            sleep(Duration::from_secs(1)).await;
            let id = self.lock().first().map(Replica::id).ok_or("no replica")?;
            Command::new("kill").args(["-TERM", &id.to_string()]).status()?;
            // Its grace, and what was under way.
            sleep(Duration::from_secs(4)).await;
            drop(self.lock().remove(0));
        }
        Ok(String::new())
    }

    async fn kill(&self) -> Outcome<String> {
        sleep(Duration::from_secs(2)).await;
        drop(self.lock().remove(0));
        sleep(Duration::from_secs(2)).await;
        add(&self.guarded, &self.replicas, self.args, 0).await?;
        Ok(String::new())
    }

    async fn misconfigure(&self) -> Outcome<String> {
        for config in ["spec: [", CONFIG] {
            let guarded = Arc::clone(&self.guarded);
            let patched = spawn_blocking(move || {
                let metadata = json!({"name": "lifeline-config", "namespace": "lifeline-system"});
                let data = json!({"lifeline.yaml": config});
                let changed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
                guarded.unreviewed().merge(&[changed])
            });
            patched.await??;
            sleep(Duration::from_secs(8)).await;
        }
        Ok(String::new())
    }

    async fn besiege(&self) -> Outcome<String> {
        let ports: Vec<u16> = self.lock().iter().map(Replica::port).collect();
        hostile::besiege(&ports, &self.direct.connector()?, Instant::now() + Duration::from_secs(30)).await
    }

    async fn without(&self, part: &'static str) -> Outcome<String> {
        let guarded = Arc::clone(&self.guarded);
        let away = spawn_blocking(move || match part {
            "etcd" => guarded.cluster().without_etcd(AWAY),
            _ => guarded.cluster().without_apiserver(AWAY),
        });
        away.await??;
        let seconds = asker::let_in(&self.client).await?.as_secs_f64();
        Ok(format!("{} s away, reviews again {seconds:.1} s after it was ready", AWAY.as_secs()))
    }

    /// What became of the certificates so far.
    async fn rotate(&self) -> Outcome<String> {
        sleep(LIFE).await;
        let replicas = Arc::clone(&self.replicas);
        let read = spawn_blocking(move || {
            let replicas = replicas.lock().unwrap_or_else(PoisonError::into_inner);
            replicas.iter().map(Replica::metrics).collect::<tests::Result<Vec<_>>>()
        });
        let rotations = read.await??.into_iter().filter_map(|metrics| {
            let line =
                metrics.lines().find_map(|line| line.strip_prefix("lifeline_webhook_certificate_rotations_total "));
            line.map(str::to_owned)
        });
        Ok(format!("certificates replaced: {}", rotations.collect::<Vec<_>>().join(" and ")))
    }

    /// What the largest replica holds, and the most that one held in this row, in MiB.
    fn memory(&self) -> [u64; 2] {
        let all: Vec<[u64; 2]> = self.lock().iter().filter_map(|replica| replica.memory().ok()).collect();
        [0, 1].map(|place| all.iter().map(|one| one[place]).max().unwrap_or_default())
    }
}

/// One replica more.
async fn add(
    guarded: &Arc<Guarded>,
    replicas: &Mutex<Vec<Replica>>,
    args: &'static [&'static str],
    clock: i64,
) -> Outcome {
    let replica = asker::replica(guarded, ports::free()?, &[&["--grace=2"], args].concat(), clock).await?;
    replicas.lock().unwrap_or_else(PoisonError::into_inner).push(replica);
    Ok(())
}

pub(crate) async fn run(reviews: usize) -> Outcome {
    println!("{REPLICAS} replicas, {A_SECOND} reviews a second by the API server and as many asked for directly,");
    println!("half of them about pods, half about nodes; p50 and p99 in milliseconds\n");
    println!(
        "| case | through the API server | failed | p50 | p99 | directly | failed | p50 | p99 | MiB then | at the most | |"
    );
    println!("|{}", "---|".repeat(12));
    let fleet = Fleet::start(&[], [0; REPLICAS]).await?;
    fleet.row("nothing", reviews, async { Ok(String::new()) }).await?;
    fleet.row("rolling restart", reviews, fleet.roll()).await?;
    fleet.row("configuration broken and mended", reviews, fleet.misconfigure()).await?;
    fleet.row("slow and hostile clients", reviews, fleet.besiege()).await?;
    fleet.row("replica killed", reviews, fleet.kill()).await?;
    fleet.row("API server killed", reviews, fleet.without("kube-apiserver")).await?;
    fleet.row("etcd killed", reviews, fleet.without("etcd")).await?;
    fleet.row("nothing, after all that", reviews, async { Ok(String::new()) }).await?;
    drop(fleet);
    let fleet = Fleet::start(&[], [120, -120]).await?;
    fleet.row("clocks four minutes apart", reviews, async { Ok(String::new()) }).await?;
    drop(fleet);
    let short: &[&str] = &["--authority-lifetime=4m", "--certificate-lifetime=60s"];
    let fleet = Fleet::start(short, [0; REPLICAS]).await?;
    let lasting = reviews.max(LIFE.as_secs() as usize * A_SECOND as usize);
    fleet.row("certificates renewed, authority followed by another", lasting, fleet.rotate()).await?;
    Ok(())
}
