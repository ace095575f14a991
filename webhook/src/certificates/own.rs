//! Authorities of our own: one Secret that the replicas share, and a caBundle that the API server reads.
//!
//! Each replica takes the same steps. The Secret is written by the version that was read, so of two replicas one writes and the
//! other reads again; no leader is needed, and none can be lost.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::SystemTime;

use certs::{Authorities, Entries, KEYS, Leaf, Lifetimes};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::{Error, Fresh};

/// The Secret of the authorities. The manifests bring it, empty.
pub const SECRET: &str = "lifeline-certificates";
/// The webhook configuration whose caBundle is ours.
pub const CONFIGURATION: &str = "lifeline";
/// The field manager under which we own the caBundle, and nothing else.
pub const MANAGER: &str = "lifeline-certificates";
/// The Service in front of the replicas.
const SERVICE: &str = "lifeline";
/// Times that another replica may come first.
const ATTEMPTS: usize = 5;

/// Names that the API server may call a replica by: those of the Service, and the loopback address, where it runs beside the
/// API server.
pub fn names(namespace: &str) -> Vec<String> {
    let service = format!("{SERVICE}.{namespace}");
    vec![format!("{service}.svc"), format!("{service}.svc.cluster.local"), service, "127.0.0.1".to_owned()]
}

/// Certificates from authorities of our own.
pub struct Own {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    namespace: String,
    lifetimes: Lifetimes,
    /// A constant of this replica, so that not all renew at once.
    jitter: f64,
    leaf: Option<Leaf>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Own")
            .field("namespace", &self.namespace)
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}

impl Own {
    /// Those of the Secret in a namespace.
    pub fn new(client: Client, namespace: &str, lifetimes: Lifetimes) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            configurations: Api::all(client),
            namespace: namespace.to_owned(),
            lifetimes,
            jitter: f64::from(u16::try_from(RandomState::new().hash_one(0) >> 48).unwrap_or(0)) / f64::from(u16::MAX),
            leaf: None,
        }
    }

    /// Takes the step that is due, if one is: authorities first, then what is published, then the certificate.
    pub(super) async fn step(&mut self, now: SystemTime) -> Result<Option<Fresh>, Error> {
        for _ in 0..ATTEMPTS {
            let Some(authorities) = self.turn(now).await? else { continue };
            if let Some(leaf) = &self.leaf
                && !leaf.is_due(now, self.jitter, authorities.current())
            {
                return Ok(None);
            }
            let leaf = authorities.issue(&names(&self.namespace), now)?;
            let fresh = Fresh { pair: leaf.certified_key()?, validity: leaf.validity() };
            self.leaf = Some(leaf);
            return Ok(Some(fresh));
        }
        Err(Error::Contended)
    }

    /// The authorities, stored and published as they are now; none if another replica wrote first.
    async fn turn(&self, now: SystemTime) -> Result<Option<Authorities>, Error> {
        let secret = self.secrets.get_opt(SECRET).await.map_err(cluster("read the Secret"))?;
        let mut secret = secret.ok_or_else(|| Error::NoSecret { namespace: self.namespace.clone() })?;
        let configuration = self.configurations.get_opt(CONFIGURATION).await;
        let configuration = configuration.map_err(cluster("read the webhook configuration"))?;

        let damaged = |source| Error::Damaged { namespace: self.namespace.clone(), source };
        let (mut authorities, first) = match Authorities::read(&entries(&secret), self.lifetimes).map_err(damaged)? {
            Some(authorities) => (authorities, false),
            None => (Authorities::new(now, self.lifetimes)?, true),
        };
        let changed = authorities.turn(now, &configuration.as_ref().and_then(published).unwrap_or_default())?;
        if first || changed {
            let mut written = entries(&secret);
            authorities.write(&mut written);
            let data = secret.data.get_or_insert_default();
            data.retain(|key, _| !KEYS.contains(&key.as_str()));
            data.extend(written.into_iter().map(|(key, value)| (key, ByteString(value))));
            match self.secrets.replace(SECRET, &PostParams::default(), &secret).await {
                Ok(_) => tracing::info!(until = %super::date(authorities.validity().not_after), "authorities stored"),
                Err(kube::Error::Api(status)) if status.is_conflict() => return Ok(None),
                Err(error) => return Err(cluster("write the Secret")(error)),
            }
        }
        // Without a configuration nobody asks, and there is nothing to publish to.
        if let Some(configuration) = &configuration {
            self.publish(configuration, &authorities.bundle()).await?;
        }
        Ok(Some(authorities))
    }

    /// Puts the bundle into every entry of the configuration, unless it is there.
    async fn publish(&self, configuration: &ValidatingWebhookConfiguration, bundle: &str) -> Result<(), Error> {
        if published(configuration).as_deref() == Some(bundle) {
            return Ok(());
        }
        let hooks = configuration.webhooks.iter().flatten();
        let hooks: Vec<_> = hooks
            .map(|hook| json!({"name": hook.name, "clientConfig": {"caBundle": ByteString(bundle.into())}}))
            .collect();
        let ours = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": CONFIGURATION},
            "webhooks": hooks,
        });
        // Whoever else wrote a caBundle here meant one that no replica has a certificate from.
        let params = PatchParams::apply(MANAGER).force();
        let patched = self.configurations.patch(CONFIGURATION, &params, &Patch::Apply(&ours)).await;
        patched.map_err(cluster("publish the caBundle"))?;
        tracing::info!("caBundle published");
        Ok(())
    }
}

/// What every entry of the configuration trusts; none if they differ, or there are none.
fn published(configuration: &ValidatingWebhookConfiguration) -> Option<String> {
    let mut bundles = configuration.webhooks.iter().flatten().map(|hook| hook.client_config.ca_bundle.as_ref());
    let first = bundles.next()??;
    bundles.all(|bundle| bundle == Some(first)).then(|| String::from_utf8_lossy(&first.0).into_owned())
}

fn entries(secret: &Secret) -> Entries {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn cluster(what: &'static str) -> impl Fn(kube::Error) -> Error {
    move |source| Error::Cluster { what, source: Box::new(source) }
}
