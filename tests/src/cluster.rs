//! A control plane of one's own: etcd and the Kubernetes API server on loopback ports.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::pki::{Authority, Identity, signing_key};
use crate::scratch::Scratch;
use crate::server::Server;
use crate::{Error, Result, ports};
pub use parts::CrdSet;
use parts::{Program, program};

/// Ten times what a cold start on two busy cores takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// A port may be taken between finding it free and using it.
const ATTEMPTS: u32 = 3;

const AUDIT_LOG: &str = "audit.log";
const AUDIT_POLICY: &str = r#"{
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": ["system:serviceaccount:lifeline-system:lifeline"]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"], "resources": [
            {"group": "projectcalico.org"}, {"group": "crd.projectcalico.org"}, {"group": "cilium.io"}
        ]},
        {"level": "None"}
    ]
}"#;

/// A running control plane, with nothing in it but what the API server makes itself and the CRDs asked for.
///
/// The admission plugin ServiceAccount is off, so that Pods need no token; RBAC is on. Dropping the cluster ends its
/// processes and removes its data.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: the API server would complain about a store that is gone.
    apiserver: Mutex<Server>,
    etcd: Mutex<Server>,
    url: String,
    kubectl: Kubectl,
    crds: Vec<CrdSet>,
    keys: Keys,
    scratch: Scratch,
}

/// The two authorities of a cluster, kept apart because whoever holds a certificate of the second one may speak in
/// anybody's name.
#[derive(Debug)]
struct Keys {
    authority: Authority,
    front_proxy: Authority,
}

impl Cluster {
    /// Starts a control plane and gives it the CRDs of the sets.
    ///
    /// # Errors
    /// When a part cannot be had, does not start, or refuses the CRDs.
    pub fn start(crds: &[CrdSet]) -> Result<Self> {
        let mut attempt = 1;
        let mut cluster = loop {
            match Self::start_bare(crds) {
                Err(Error::Ended { log, .. }) if attempt < ATTEMPTS && log.contains("address already in use") => {
                    attempt += 1;
                }
                other => break other?,
            }
        };
        cluster.define(crds)?;
        Ok(cluster)
    }

    fn start_bare(crds: &[CrdSet]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let keys = Keys {
            authority: Authority::new("lifeline-tests")?,
            front_proxy: Authority::new("lifeline-tests-front-proxy")?,
        };
        let (etcd, store) = start_etcd(scratch.path())?;
        let port = ports::free()?;
        let url = format!("https://127.0.0.1:{port}");
        let command = apiserver_command(&scratch, &keys, &store, port)?;
        let admin = keys.authority.client("admin", &["system:masters"])?;
        let kubeconfig = write_kubeconfig(&scratch, &url, "admin", &admin, keys.authority.pem())?;
        let kubectl = Kubectl::new(kubeconfig)?;

        let mut apiserver = Server::start("kube-apiserver", command, scratch.path())?;
        until_ready(&mut apiserver, &kubectl)?;
        let mut crds = crds.to_vec();
        crds.sort_unstable();
        crds.dedup();
        let (apiserver, etcd) = (Mutex::new(apiserver), Mutex::new(etcd));
        Ok(Self { apiserver, etcd, url, kubectl, crds, keys, scratch })
    }

    /// Kills the API server, and starts it again after a while. Returns when it is ready.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn without_apiserver(&self, pause: Duration) -> Result<()> {
        let mut apiserver = locked(&self.apiserver);
        apiserver.kill()?;
        std::thread::sleep(pause);
        apiserver.start_again()?;
        until_ready(&mut apiserver, &self.kubectl)
    }

    /// Kills etcd, and starts it again after a while. Returns when the API server is ready again.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn without_etcd(&self, pause: Duration) -> Result<()> {
        let mut etcd = locked(&self.etcd);
        etcd.kill()?;
        std::thread::sleep(pause);
        etcd.start_again()?;
        until_ready(&mut locked(&self.apiserver), &self.kubectl)
    }

    fn define(&mut self, crds: &[CrdSet]) -> Result<()> {
        if crds.is_empty() {
            return Ok(());
        }
        let folders = crds.iter().map(|&set| parts::crds(set)).collect::<Result<Vec<_>>>()?;
        let folders: Vec<_> = folders.iter().map(|folder| folder.to_string_lossy()).collect();
        let mut args = vec!["apply", "--server-side"];
        for folder in &folders {
            args.extend(["-f", folder]);
        }
        self.kubectl.ok(&args, "")?;
        // Not `kubectl wait`: it fails on a CRD that has no conditions yet.
        locked(&self.apiserver).wait_until(PATIENCE, || {
            let found = self.kubectl.get(&["customresourcedefinitions"])?;
            let is_established = |crd: &Value| {
                let conditions = crd["status"]["conditions"].as_array();
                conditions.is_some_and(|conditions| {
                    conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True")
                })
            };
            let waiting = found["items"].as_array().and_then(|crds| crds.iter().find(|crd| !is_established(crd)));
            Ok(waiting.map_or(Ok(()), |crd| Err(format!("{} is not established", crd["metadata"]["name"]))))
        })
    }

    /// The address of the API server, `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// kubectl as a member of `system:masters`.
    #[must_use]
    pub const fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The CRD sets that it was started with, each once.
    #[must_use]
    pub fn crds(&self) -> &[CrdSet] {
        &self.crds
    }

    /// The authority that the API server trusts for clients, and clients for the API server.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.keys.authority
    }

    /// A directory for the test's own files, removed with the cluster.
    #[must_use]
    pub const fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Writes a kubeconfig for a user of the given groups. What the user may do is RBAC's to say.
    ///
    /// # Errors
    /// When the file or the certificate cannot be made.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let identity = self.keys.authority.client(user, groups)?;
        write_kubeconfig(&self.scratch, &self.url, user, &identity, self.keys.authority.pem())
    }

    /// The audit log, a JSON event a line, of requests to the groups of the CRDs, and of all that the webhook itself asks for.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.scratch.path().join(AUDIT_LOG)
    }

    /// The process ids of the servers.
    #[must_use]
    pub fn process_ids(&self) -> [u32; 2] {
        [locked(&self.etcd).id(), locked(&self.apiserver).id()]
    }
}

fn locked(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

fn until_ready(apiserver: &mut Server, kubectl: &Kubectl) -> Result<()> {
    apiserver.wait_until(PATIENCE, || {
        let answer = kubectl.run(&["get", "--raw", "/readyz"], "")?;
        Ok(if answer.status.success() { Ok(()) } else { Err(answer.stderr.trim().to_owned()) })
    })
}

fn start_etcd(dir: &Path) -> Result<(Server, String)> {
    let clients = format!("http://127.0.0.1:{}", ports::free()?);
    let peers = format!("http://127.0.0.1:{}", ports::free()?);
    let mut command = Command::new(program(Program::Etcd)?);
    command
        .arg(format!("--data-dir={}", dir.join("etcd").display()))
        .arg(format!("--listen-client-urls={clients}"))
        .arg(format!("--advertise-client-urls={clients}"))
        .arg(format!("--listen-peer-urls={peers}"))
        .arg(format!("--initial-advertise-peer-urls={peers}"))
        .arg(format!("--initial-cluster=default={peers}"))
        // The data need not survive anything.
        .arg("--unsafe-no-fsync");
    // The API server waits for it by itself.
    Ok((Server::start("etcd", command, dir)?, clients))
}

fn apiserver_command(scratch: &Scratch, keys: &Keys, store: &str, port: u16) -> Result<Command> {
    let serving = keys.authority.server(&["127.0.0.1", "localhost", "kubernetes.default.svc"])?;
    let proxy = keys.front_proxy.client("front-proxy-client", &[])?;
    let (signer, verifier) = signing_key()?;
    let files = [
        ("tls-cert-file", "serving.crt", serving.certificate.as_str()),
        ("tls-private-key-file", "serving.key", &serving.key),
        ("client-ca-file", "ca.crt", keys.authority.pem()),
        ("requestheader-client-ca-file", "front-proxy-ca.crt", keys.front_proxy.pem()),
        ("proxy-client-cert-file", "front-proxy.crt", &proxy.certificate),
        ("proxy-client-key-file", "front-proxy.key", &proxy.key),
        ("service-account-signing-key-file", "tokens.key", &signer),
        ("service-account-key-file", "tokens.pub", &verifier),
        ("audit-policy-file", "audit.json", AUDIT_POLICY),
    ];
    let mut command = Command::new(program(Program::KubeApiserver)?);
    for (flag, name, content) in files {
        command.arg(format!("--{flag}={}", scratch.write(name, content)?.display()));
    }
    command.arg(format!("--audit-log-path={}", scratch.path().join(AUDIT_LOG).display()));
    command.arg(format!("--etcd-servers={store}")).arg(format!("--secure-port={port}")).args([
        "--bind-address=127.0.0.1",
        // Given, because otherwise a machine without a default route could not start it.
        "--advertise-address=127.0.0.1",
        // Endpoints must not be loopback addresses, so the one of the API server itself cannot be published.
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]);
    Ok(command)
}

/// Writes `<user>.kubeconfig`, in JSON, which kubeconfig files may be.
fn write_kubeconfig(scratch: &Scratch, url: &str, user: &str, identity: &Identity, ca: &str) -> Result<PathBuf> {
    // User names have colons and slashes, which file names had better not.
    let stem: String = user.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let authority = scratch.write("ca.crt", ca)?;
    let certificate = scratch.write(&format!("{stem}.crt"), &identity.certificate)?;
    let key = scratch.write(&format!("{stem}.key"), &identity.key)?;
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": authority}}],
        "users": [{"name": user, "user": {"client-certificate": certificate, "client-key": key}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    });
    scratch.write(&format!("{stem}.kubeconfig"), config.to_string())
}
