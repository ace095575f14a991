//! calico-apiserver: `projectcalico.org/v3` as an aggregated API in front of a cluster that stores
//! `crd.projectcalico.org/v1`.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::cluster::{Cluster, CrdSet};
use crate::pki::Authority;
use crate::server::Server;
use crate::{Error, Result, ports};
use parts::{Program, program};

/// The user that it writes to the cluster as, the one of Calico's own manifests.
pub const USER: &str = "system:serviceaccount:calico-apiserver:calico-apiserver";

const NAMESPACE: &str = "calico-apiserver";
const SERVICE: &str = "calico-api";
const API: &str = "v3.projectcalico.org";
const PATIENCE: Duration = Duration::from_secs(90);

/// A running calico-apiserver. It has to be dropped before its cluster.
#[derive(Debug)]
pub struct CalicoApiserver {
    server: Server,
    port: u16,
}

impl CalicoApiserver {
    /// Starts it, registers it with the cluster and waits until the cluster serves its API.
    ///
    /// The cluster reaches it through a Service of type ExternalName. An endpoint must not be a loopback address, but
    /// an external name may be one, and without `--enable-aggregator-routing` the aggregator uses the name as it is.
    /// So it needs neither root nor a network of its own.
    ///
    /// # Errors
    /// When the cluster lacks Calico's v1 CRDs or has its v3 ones, or when the server does not start.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        if !cluster.crds().contains(&CrdSet::CalicoV1) || cluster.crds().contains(&CrdSet::CalicoV3) {
            return Err(Error::Misuse(
                "calico-apiserver stores projectcalico.org/v3 as crd.projectcalico.org/v1, so it needs a cluster with the CRDs of v1 and without those of v3",
            ));
        }
        let authority = Authority::new("calico-apiserver")?;
        let port = ports::free()?;
        prepare(cluster)?;
        let mut server =
            Server::start("calico-apiserver", command(cluster, &authority, port)?, cluster.scratch().path())?;
        register(cluster, &authority, port)?;
        let kubectl = cluster.kubectl();
        server.wait_until(PATIENCE, || {
            // Available says that the API answers; listing says that it reaches its store too.
            let available =
                kubectl.run(&["wait", "--for=condition=Available", "apiservice", API, "--timeout=1s"], "")?;
            if !available.status.success() {
                return Ok(Err(available.stderr.trim().to_owned()));
            }
            let listed = kubectl.run(&["get", "tiers.v3.projectcalico.org"], "")?;
            Ok(if listed.status.success() { Ok(()) } else { Err(listed.stderr.trim().to_owned()) })
        })?;
        Ok(Self { server, port })
    }

    /// The port of 127.0.0.1 that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }
}

fn command(cluster: &Cluster, authority: &Authority, port: u16) -> Result<Command> {
    let scratch = cluster.scratch();
    let serving = authority.server(&[&format!("{SERVICE}.{NAMESPACE}.svc"), "127.0.0.1"])?;
    let certificate = scratch.write("calico-apiserver.crt", &serving.certificate)?;
    let key = scratch.write("calico-apiserver.key", &serving.key)?;
    let kubeconfig = cluster.kubeconfig(USER, &[])?;

    let mut command = Command::new(program(Program::CalicoApiserver)?);
    command
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--secure-port={port}"))
        .arg(format!("--tls-cert-file={}", certificate.display()))
        .arg(format!("--tls-private-key-file={}", key.display()));
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        command.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    command
        .env("DATASTORE_TYPE", "kubernetes")
        .env("KUBECONFIG", &kubeconfig)
        // It writes a readiness file and the like into its working directory.
        .current_dir(scratch.path());
    Ok(command)
}

/// What has to be there before it starts: it ends at once when it has no rights.
fn prepare(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl();
    apply(
        cluster,
        &[
            // Calico's manifests give it a long list of rights. Which they are does not matter to what it stores.
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "calico-apiserver"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
            }),
            // calico-node makes it at its first start. Every policy without a tier of its own is in it.
            json!({
                "apiVersion": "crd.projectcalico.org/v1",
                "kind": "Tier",
                "metadata": {"name": "default"},
                "spec": {"order": 1_000_000, "defaultAction": "Deny"},
            }),
        ],
    )?;
    // A binding holds a moment after it is stored.
    let start = Instant::now();
    while !kubectl.run(&["auth", "can-i", "*", "*", "--all-namespaces", "--as", USER], "")?.status.success() {
        if start.elapsed() > PATIENCE {
            return Err(Error::Answer { part: "kube-apiserver", answer: format!("{USER} has no rights") });
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn register(cluster: &Cluster, authority: &Authority, port: u16) -> Result<()> {
    apply(
        cluster,
        &[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": SERVICE, "namespace": NAMESPACE},
                "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
            }),
            json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": API},
                "spec": {
                    "group": "projectcalico.org",
                    "version": "v3",
                    "groupPriorityMinimum": 1500,
                    "versionPriority": 200,
                    "caBundle": BASE64_STANDARD.encode(authority.pem()),
                    "service": {"name": SERVICE, "namespace": NAMESPACE, "port": port},
                },
            }),
        ],
    )
}

fn apply(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    cluster.kubectl().apply(&list.to_string())?;
    Ok(())
}
