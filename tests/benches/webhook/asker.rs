//! The two ways to have a change reviewed: to make it, and to ask as the API server asks.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use webhook::certificates::CONFIGURATION;

use crate::Outcome;

/// How often what is published is looked at.
const NOTICED: Duration = Duration::from_secs(5);
/// Policies that are stored again and again.
const STORED: usize = 20;

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
pub(crate) struct Direct(Arc<Mutex<Client>>);

impl Direct {
    /// Follows what is published until the process ends.
    pub(crate) async fn start(cluster: Client, port: u16) -> Outcome<Self> {
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster);
        let mut known = published(&configurations).await?;
        let direct = Self(Arc::new(Mutex::new(trusting(&known, port)?)));
        let own = direct.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(NOTICED).await;
                // Without an API server nothing is published anew.
                let Ok(bundle) = published(&configurations).await else { continue };
                if bundle != known
                    && let Ok(client) = trusting(&bundle, port)
                {
                    *own.0.lock().unwrap_or_else(PoisonError::into_inner) = client;
                    known = bundle;
                }
            }
        });
        Ok(direct)
    }

    pub(crate) fn ask(&self, number: usize) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let client = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        async move {
            let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": number.to_string(), "operation": "CREATE", "name": format!("load-{number}"), "dryRun": true,
                "kind": {"group": "projectcalico.org", "version": "v3", "kind": "GlobalNetworkPolicy"},
                "object": policy(number)}});
            let request = http::Request::post("/validate?timeout=10s").header("content-type", "application/json");
            let request = request.body(review.to_string().into_bytes()).map_err(|error| error.to_string())?;
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

fn trusting(bundle: &[u8], port: u16) -> Outcome<Client> {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bundle).collect();
    // What is not answered counts.
    config.default_retry = false;
    config.root_cert = Some(roots?.into_iter().map(|root| root.to_vec()).collect());
    Ok(Client::try_from(config)?)
}
