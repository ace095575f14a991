//! The two ways to have a change reviewed: to make it, and to ask as the API server asks.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tests::guarded::{Guarded, Replica};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use webhook::certificates::CONFIGURATION;

use crate::Outcome;

/// How often what is published is looked at.
const NOTICED: Duration = Duration::from_secs(5);
/// How long changes may be refused at the beginning, or after a fault.
const PATIENCE: Duration = Duration::from_secs(90);
/// Policies that are stored again and again.
const STORED: usize = 20;

/// Starts a replica on a port, with arguments of its own, its clock so many seconds ahead.
pub(crate) async fn replica(guarded: &Arc<Guarded>, port: u16, args: &[&str], clock: i64) -> Outcome<Replica> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-under-test"));
    command.args(args).env("LIFELINE_CLOCK_AHEAD", clock.to_string());
    let guarded = Arc::clone(guarded);
    Ok(spawn_blocking(move || guarded.start_on(command, port)).await??)
}

/// How long it takes until changes are let in, of those that have to be judged.
pub(crate) async fn let_in(client: &Client) -> Outcome<Duration> {
    let start = Instant::now();
    loop {
        match through(client.clone(), 1).await {
            Ok(()) => return Ok(start.elapsed()),
            Err(reason) if start.elapsed() > PATIENCE => return Err(reason.into()),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A client of the API server.
pub(crate) async fn client(kubeconfig: &Path) -> Outcome<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    // What is refused counts.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// A harmless policy, every other one about the nodes.
fn policy(number: usize) -> Value {
    let spec = if number.is_multiple_of(2) {
        json!({"namespaceSelector": "all()", "types": ["Ingress"], "ingress": [{"action": "Deny"}]})
    } else {
        json!({"order": 10, "selector": "has(kubernetes.io/hostname)", "types": ["Ingress"], "ingress": [
            {"action": "Allow", "protocol": "TCP", "destination": {"ports": [number % 60_000 + 1]}}, {"action": "Allow"}]})
    };
    json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": format!("load-{number}")}, "spec": spec})
}

/// What an API server asks about a policy that somebody tries to make.
pub(crate) fn review(number: usize, policy: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": number.to_string(), "operation": "CREATE", "name": policy["metadata"]["name"], "dryRun": true,
        "kind": {"group": "projectcalico.org", "version": "v3", "kind": "GlobalNetworkPolicy"}, "object": policy}})
    .to_string()
}

fn policies(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("projectcalico.org", "v3", "GlobalNetworkPolicy");
    Api::all_with(client, &ApiResource::from_gvk_with_plural(&kind, "globalnetworkpolicies"))
}

/// Stores another version of one of a few policies.
pub(crate) async fn store(client: Client, number: usize) -> Result<(), String> {
    let mut policy = policy(number);
    policy["metadata"]["name"] = format!("stored-{}", number % STORED).into();
    let name = policy["metadata"]["name"].as_str().unwrap_or_default();
    let params = PatchParams::apply("bench").force();
    let stored = policies(client).patch(name, &params, &Patch::Apply(&policy)).await;
    stored.map(|_| ()).map_err(|error| error.to_string())
}

/// Makes a policy at the API server, as a dry run.
pub(crate) async fn through(client: Client, number: usize) -> Result<(), String> {
    let api = policies(client);
    let policy: DynamicObject = serde_json::from_value(policy(number)).map_err(|error| error.to_string())?;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&params, &policy).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks the webhook itself, and trusts what is published in its configuration, as an API server does.
#[derive(Clone)]
pub(crate) struct Direct(Arc<Mutex<Trusting>>);

/// A client of whoever has a certificate of one of the authorities in a bundle.
struct Trusting {
    client: Client,
    bundle: Vec<u8>,
}

impl Direct {
    /// Follows what is published until the process ends.
    pub(crate) async fn start(cluster: Client, port: u16) -> Outcome<Self> {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster);
        let trusting = Trusting::new(published(&configurations).await?, port)?;
        let direct = Self(Arc::new(Mutex::new(trusting)));
        let own = direct.clone();
        tokio::spawn(async move {
            loop {
                sleep(NOTICED).await;
                // Without an API server nothing is published anew.
                let Ok(bundle) = published(&configurations).await else { continue };
                if bundle != own.lock().bundle
                    && let Ok(trusting) = Trusting::new(bundle, port)
                {
                    *own.lock() = trusting;
                }
            }
        });
        Ok(direct)
    }

    fn lock(&self) -> MutexGuard<'_, Trusting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What connects as this one does.
    pub(crate) fn connector(&self) -> Outcome<TlsConnector> {
        connector(&self.lock().bundle)
    }

    pub(crate) fn ask(&self, number: usize) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let client = self.lock().client.clone();
        async move {
            let request = http::Request::post("/validate?timeout=10s").header("content-type", "application/json");
            let request =
                request.body(review(number, &policy(number)).into_bytes()).map_err(|error| error.to_string())?;
            let answer: Value = client.request(request).await.map_err(|error| error.to_string())?;
            if answer["response"]["allowed"] == true { Ok(()) } else { Err(answer["response"]["status"].to_string()) }
        }
    }
}

async fn published(configurations: &Api<ValidatingWebhookConfiguration>) -> Outcome<Vec<u8>> {
    let webhooks = configurations.get(CONFIGURATION).await?.webhooks.unwrap_or_default();
    let bundle = webhooks.into_iter().find_map(|webhook| webhook.client_config.ca_bundle);
    Ok(bundle.ok_or("no caBundle")?.0)
}

impl Trusting {
    fn new(bundle: Vec<u8>, port: u16) -> Outcome<Self> {
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
        // What is not answered counts.
        config.default_retry = false;
        config.root_cert = Some(roots(&bundle)?.into_iter().map(|root| root.to_vec()).collect());
        Ok(Self { client: Client::try_from(config)?, bundle })
    }
}

/// What connects to whoever has a certificate of one of the authorities in a bundle.
pub(crate) fn connector(bundle: &[u8]) -> Outcome<TlsConnector> {
    let mut all = RootCertStore::empty();
    for root in roots(bundle)? {
        all.add(root)?;
    }
    let config = ClientConfig::builder().with_root_certificates(all).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(bundle: &[u8]) -> Outcome<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(bundle).collect::<Result<_, _>>()?)
}
