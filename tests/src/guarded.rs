//! A cluster that Lifeline's webhook guards, installed from the manifests that users install.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::api::{Api, objects};
use crate::cluster::{Cluster, CrdSet};
use crate::server::Server;
use crate::{Result, ports};
use parts::Doing;

/// The user that the webhook is, as the manifests bind it to what it may do.
pub const USER: &str = "system:serviceaccount:lifeline-system:lifeline";
/// The user whose changes are not reviewed: whoever prepares a state to break.
pub const UNREVIEWED: &str = "preparer";
/// The port in the overlay for control planes.
const PORT: &str = "127.0.0.1:18443";
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes under Calico, with automatic host endpoints and policies that let them live.
const NODES: [&str; 3] = [
    include_str!("../../policy/tests/lifeline/bases/nodes.yaml"),
    include_str!("../../policy/tests/lifeline/bases/calico.yaml"),
    include_str!("../../policy/tests/lifeline/bases/automatic.yaml"),
];

/// A cluster with the webhook's objects in it. Replicas are started one by one.
#[derive(Debug)]
pub struct Guarded {
    cluster: Cluster,
    reviews: u16,
    kubeconfig: PathBuf,
    unreviewed: Api,
}

/// A running webhook.
#[derive(Debug)]
pub struct Replica {
    server: Server,
    reviews: u16,
    health: u16,
    metrics: u16,
}

impl Guarded {
    /// Installs the overlay for control planes: the API server asks over loopback. What is another test's business, the floor
    /// and the workload, is left out, and one user more is let by.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub fn install(cluster: Cluster, config: &str) -> Result<Self> {
        let reviews = ports::free()?;
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/overlays/control-plane");
        let kubectl = cluster.kubectl();
        let yaml = kubectl.ok(&["kustomize", &overlay.to_string_lossy()], "")?;
        let yaml = yaml.replace(PORT, &format!("127.0.0.1:{reviews}"));
        let mut objects = objects(&yaml)?;
        objects.retain(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            !kind.starts_with("ValidatingAdmissionPolicy") && kind != "DaemonSet"
        });
        for object in &mut objects {
            if object["kind"] == "ValidatingWebhookConfiguration" {
                let expression = format!("request.userInfo.username != '{UNREVIEWED}'");
                for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
                    if let Some(conditions) = webhook["matchConditions"].as_array_mut() {
                        conditions.push(json!({"name": "not-preparing", "expression": expression}));
                    }
                }
            }
            if object["kind"] == "ConfigMap" && object["metadata"]["name"] == "lifeline-config" {
                object["data"]["lifeline.yaml"] = json!(config);
            }
        }
        let all = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        kubectl.apply(&all.to_string())?;
        let kubeconfig = cluster.kubeconfig(USER, &["system:serviceaccounts"])?;
        let unreviewed = Api::new(&cluster.kubeconfig(UNREVIEWED, &["system:masters"])?)?;
        Ok(Self { cluster, reviews, kubeconfig, unreviewed })
    }

    /// A cluster of three nodes under Calico that it guards, under a LifelineConfig.
    ///
    /// # Errors
    /// When a part cannot be had, or the API server refuses an object.
    pub fn calico(config: &str) -> Result<Self> {
        let guarded = Self::install(Cluster::start(&[CrdSet::CalicoV3])?, config)?;
        guarded.unreviewed.create(&objects(&NODES.join("\n---\n"))?)?;
        Ok(guarded)
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The API server, for somebody whose changes are not reviewed.
    #[must_use]
    pub const fn unreviewed(&self) -> &Api {
        &self.unreviewed
    }

    /// The port that the API server asks.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.reviews
    }

    /// The kubeconfig of the user that the webhook is.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Starts a replica of `program` on the port that the API server asks, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn start(&self, program: &Path) -> Result<Replica> {
        let mut command = Command::new(program);
        command.arg("--grace=0");
        self.start_on(command, self.reviews)
    }

    /// Starts a replica on another port, for whoever passes connections on. The command has the arguments that are its own.
    ///
    /// # Errors
    /// When it ends, or does not become ready.
    pub fn start_on(&self, mut command: Command, reviews: u16) -> Result<Replica> {
        let (health, metrics) = (ports::free()?, ports::free()?);
        command.env("KUBECONFIG", &self.kubeconfig).args([
            format!("--listen=127.0.0.1:{reviews}"),
            format!("--health-listen=127.0.0.1:{health}"),
            format!("--metrics-listen=127.0.0.1:{metrics}"),
        ]);
        let mut server = Server::start("webhook", command, self.cluster.scratch().path())?;
        server.wait_until(PATIENCE, || {
            Ok(match get(health, "/readyz") {
                Ok((200, _)) => Ok(()),
                Ok((_, body)) => Err(body),
                Err(error) => Err(error.to_string()),
            })
        })?;
        Ok(Replica { server, reviews, health, metrics })
    }
}

impl Replica {
    /// Its metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> Result<String> {
        Ok(get(self.metrics, "/metrics")?.1)
    }

    /// What it says about its readiness.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn readiness(&self) -> Result<(u16, String)> {
        get(self.health, "/readyz")
    }

    /// The port on which it answers reviews.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.reviews
    }

    /// The end of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        self.server.log_end()
    }

    /// The [`memory`] that it holds.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<[u64; 2]> {
        memory(self.id())
    }

    /// Counts the most that it held from now on (Linux: `proc_pid_clear_refs(5)`).
    ///
    /// # Errors
    /// When it has ended.
    pub fn forget_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.id());
        std::fs::write(&path, "5").doing(|| format!("write {path}"))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.server.id()
    }
}

/// The memory that a process holds, in MiB, and the most that it held.
///
/// # Errors
/// When it has ended.
pub fn memory(process: u32) -> Result<[u64; 2]> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).doing(|| format!("read {path}"))?;
    let of = |name: &str| {
        let kib = status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
        kib.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    Ok(["VmRSS:", "VmHWM:"].map(|name| of(name).unwrap_or_default()))
}

/// Status and body of a plain HTTP answer.
fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().doing(|| format!("ask for {path}"))?;
    let (header, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = header.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}
