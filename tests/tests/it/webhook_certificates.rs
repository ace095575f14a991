//! The webhook's own authorities on a real API server, under the rights that the manifests give: replicas agree, the caBundle is
//! there and comes back, and no client is ever refused while authorities follow one another.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use certs::Lifetimes;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tests::cluster::Cluster;
use tests::kubectl::Kubectl;
use tests::pki::Authority;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use webhook::certificates::{self, CONFIGURATION, MANAGER, Own, Pace, SECRET, Source};
use webhook::health::Readiness;
use webhook::metrics::Metrics;

type Failed = Box<dyn std::error::Error>;
type Test = Result<(), Failed>;

const NAMESPACE: &str = "lifeline-system";
const NAME: &str = "lifeline.lifeline-system.svc";
const USER: &str = "system:serviceaccount:lifeline-system:lifeline";
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn replicas_agree_publish_and_mend() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[])?;
    let kubectl = cluster.kubectl();
    install(kubectl)?;
    let clock = Hand::new();
    let (one, two) = tokio::try_join!(
        Replica::start(&cluster, Lifetimes::default(), &clock),
        Replica::start(&cluster, Lifetimes::default(), &clock)
    )?;
    one.eventually(|state| state.starts_with("until ")).await?;
    two.eventually(|state| state.starts_with("until ")).await?;

    // One authority for both, in every entry, and nothing else of the configuration is ours.
    let bundle = one.published().await?.ok_or("no caBundle")?;
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 1, "{bundle}");
    let stored = one.secret().await?.data.unwrap_or_default();
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["ca.crt", "ca.key"]);
    assert_eq!(stored["ca.crt"].0, bundle.as_bytes());
    let (first, second) = (one.connect(&bundle, &clock).await?, two.connect(&bundle, &clock).await?);
    assert_ne!(first, second, "each replica has a key of its own");
    let fields = one.configurations.get(CONFIGURATION).await?.metadata.managed_fields.unwrap_or_default();
    let ours: Vec<String> = fields
        .into_iter()
        .filter(|entry| entry.manager.as_deref() == Some(MANAGER))
        .filter_map(|entry| entry.fields_v1.map(|fields| fields.0.to_string()))
        .collect();
    let entry = |name: &str| {
        format!(
            "\"k:{{\\\"name\\\":\\\"{name}\\\"}}\":{{\".\":{{}},\"f:clientConfig\":{{\"f:caBundle\":{{}}}},\"f:name\":{{}}}}"
        )
    };
    let expected = format!("{{\"f:webhooks\":{{{},{}}}}}", entry("delete.lifeline.dev"), entry("write.lifeline.dev"));
    assert_eq!(ours, [expected]);

    // Facts of the certificate, asked of another implementation.
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
        Arc::new(roots(&bundle)?),
        Arc::new(default_provider()),
    );
    let verifier = verifier.build()?;
    let holds = |name: &'static str, at: SystemTime| -> Result<bool, Failed> {
        let now = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH)?);
        Ok(verifier.verify_server_cert(&first, &[], &ServerName::try_from(name)?, &[], now).is_ok())
    };
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    for name in [NAME, "lifeline.lifeline-system", "lifeline.lifeline-system.svc.cluster.local", "127.0.0.1"] {
        assert!(holds(name, clock.now())?, "{name}");
    }
    assert!(!holds("lifeline.elsewhere.svc", clock.now())?);
    assert!(holds(NAME, clock.now() + DAY * 7 - Duration::from_secs(60))? && !holds(NAME, clock.now() + DAY * 8)?);

    // Applied again, and made anew.
    kubectl.ok(&["apply", "-k", &base()], "")?;
    assert_eq!(one.published().await?, Some(bundle.clone()), "applying the manifests again takes nothing away");
    kubectl.ok(&["delete", "validatingwebhookconfiguration", CONFIGURATION], "")?;
    kubectl.ok(&["apply", "-k", &base()], "")?;
    one.until_published(&bundle).await?;

    // A damaged Secret is told of, and what is served stays.
    let damage = r#"[{"op": "remove", "path": "/data/ca.key"}]"#;
    kubectl.ok(&["-n", NAMESPACE, "patch", "secret", SECRET, "--type=json", "-p", damage], "")?;
    one.eventually(|state| state.contains("entry `ca.key` of the Secret: it is missing")).await?;
    let said = one.state().await?;
    assert!(
        said.starts_with("until ") && said.contains("to start anew: kubectl -n lifeline-system patch secret"),
        "{said}"
    );
    assert!(one.metrics.text()?.contains("lifeline_webhook_certificate_trouble 1\n"));
    assert_eq!(one.connect(&bundle, &clock).await?, first);
    let anew = r#"[{"op": "remove", "path": "/data"}]"#;
    kubectl.ok(&["-n", NAMESPACE, "patch", "secret", SECRET, "--type=json", "-p", anew], "")?;
    one.eventually(|state| !state.contains(';')).await?;
    two.eventually(|state| !state.contains(';')).await?;
    let start = Instant::now();
    let another = loop {
        let published = one.published().await?.ok_or("no caBundle")?;
        if published != bundle
            && two.connect(&published, &clock).await.is_ok()
            && one.connect(&published, &clock).await.is_ok()
        {
            break published;
        }
        waited(start)?;
    };
    assert_ne!(another, bundle);

    // A clock that jumps a month ahead: leaf and readiness follow.
    clock.advance(DAY * 30);
    one.eventually(|state| state.starts_with("until ")).await?;
    one.ticked().await?;
    one.connect(&another, &clock).await?;
    kubectl.ok(&["-n", NAMESPACE, "delete", "secret", SECRET], "")?;
    one.eventually(|state| state.contains("Secret lifeline-system/lifeline-certificates is not there")).await?;
    Ok(())
}

/// Twenty minutes of a life of ten minutes per authority and three per certificate, ten seconds at a time. The client trusts what
/// was published up to half a minute ago, as an API server that is slow to notice does.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_is_refused_while_authorities_follow_one_another() -> Test {
    if tests::offline() {
        return Ok(());
    }
    let cluster = Cluster::start(&[])?;
    install(cluster.kubectl())?;
    let clock = Hand::new();
    let lifetimes = Lifetimes { authority: Duration::from_secs(600), leaf: Duration::from_secs(180) };
    let replicas =
        [Replica::start(&cluster, lifetimes, &clock).await?, Replica::start(&cluster, lifetimes, &clock).await?];
    for replica in &replicas {
        replica.eventually(|state| state.starts_with("it ends at ")).await?;
    }
    let (mut trusted, mut authorities, mut leaves) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for round in 0..120 {
        if round % 3 == 0 {
            trusted = replicas[0].published().await?.ok_or("no caBundle")?;
            assert!(trusted.matches("BEGIN CERTIFICATE").count() <= 3, "old authorities are dropped: {trusted}");
            authorities.extend(trusted.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned));
        }
        for replica in &replicas {
            let at = clock.now();
            let leaf = replica.connect(&trusted, &clock).await;
            leaves.insert(leaf.map_err(|error| format!("round {round}, {at:?}: {error}"))?.to_vec());
        }
        clock.advance(Duration::from_secs(10));
        for replica in &replicas {
            // Before and after it has noticed.
            replica.connect(&trusted, &clock).await.map_err(|error| format!("round {round}, unnoticed: {error}"))?;
            replica.ticked().await?;
        }
    }
    assert!(authorities.len() >= 3, "{} authorities", authorities.len());
    assert!(leaves.len() >= 20, "{} certificates", leaves.len());
    for replica in &replicas {
        assert!(!replica.state().await?.contains(';'), "{}", replica.state().await?);
    }
    Ok(())
}

/// Whoever renews the authorities of clients writes them to a file: those in it are trusted a moment later, and no others. What is no
/// certificate changes nothing.
#[tokio::test]
async fn authorities_of_clients_are_read_again() -> Test {
    let scratch = tests::scratch::Scratch::new()?;
    let (first, second) = (Authority::new("first")?, Authority::new("second")?);
    let file = scratch.write("clients.pem", first.pem())?;
    let stop = CancellationToken::new();
    let pace = Pace { tick: Duration::from_millis(5), ..Pace::default() };
    let names = BTreeSet::from(["apiserver".to_owned()]);
    let verifier = certificates::clients(&file, names, &pace, stop.clone())?;
    let of = |authority: &Authority, name: &str| -> Result<CertificateDer<'static>, Failed> {
        Ok(CertificateDer::from_pem_slice(authority.client(name, &[])?.certificate.as_bytes())?)
    };
    let (old, new, other) = (of(&first, "apiserver")?, of(&second, "apiserver")?, of(&second, "somebody")?);
    let trusted = |client: &CertificateDer<'_>| verifier.verify_client_cert(client, &[], UnixTime::now()).is_ok();
    assert!(trusted(&old) && !trusted(&new));
    let start = Instant::now();
    scratch.write("clients.pem", [first.pem(), second.pem()].concat())?;
    while !trusted(&new) {
        waited(start)?;
        tokio::time::sleep(pace.tick).await;
    }
    assert!(trusted(&old), "both, while one follows the other");
    // Half written, and then whole: without the first.
    scratch.write("clients.pem", "-----BEGIN CERTIFICATE-----")?;
    tokio::time::sleep(pace.tick * 10).await;
    assert!(trusted(&old) && trusted(&new));
    scratch.write("clients.pem", second.pem())?;
    while trusted(&old) {
        waited(start)?;
        tokio::time::sleep(pace.tick).await;
    }
    assert!(trusted(&new) && !trusted(&other), "names count as before");
    stop.cancel();
    Ok(())
}

/// A clock that is moved by hand.
#[derive(Clone)]
struct Hand {
    start: SystemTime,
    ahead: Arc<AtomicU64>,
}

impl Hand {
    fn new() -> Self {
        Self { start: SystemTime::now(), ahead: Arc::default() }
    }

    fn advance(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    fn now(&self) -> SystemTime {
        self.start + Duration::from_secs(self.ahead.load(Ordering::SeqCst))
    }
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Hand").field(&self.now()).finish()
    }
}

impl TimeProvider for Hand {
    fn current_time(&self) -> Option<UnixTime> {
        self.now().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

/// A replica, as far as certificates go: it shakes hands with whoever comes.
struct Replica {
    address: SocketAddr,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    looks: Arc<AtomicU64>,
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    stop: CancellationToken,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Replica {
    async fn start(cluster: &Cluster, lifetimes: Lifetimes, clock: &Hand) -> Result<Self, Failed> {
        let client = client(&cluster.kubeconfig(USER, &[])?).await?;
        let admin = client_of_admin(cluster).await?;
        let (readiness, metrics, stop) = (Readiness::default(), Arc::new(Metrics::default()), CancellationToken::new());
        let looks = Arc::new(AtomicU64::new(0));
        let (hand, counter) = (clock.clone(), Arc::clone(&looks));
        let pace = Pace {
            tick: Duration::from_millis(20),
            clock: Arc::new(move || {
                counter.fetch_add(1, Ordering::SeqCst);
                hand.now()
            }),
            ..Pace::default()
        };
        let source = Source::Own(Box::new(Own::new(client, NAMESPACE, lifetimes)));
        let resolver = certificates::start(source, pace, readiness.clone(), Arc::clone(&metrics), stop.clone());
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (acceptor, ended) = (TlsAcceptor::from(Arc::new(tls)), stop.clone());
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // What comes of it, the client says.
                drop(acceptor.accept(stream).await);
            }
        }));
        let (secrets, configurations) = (Api::namespaced(admin.clone(), NAMESPACE), Api::all(admin));
        Ok(Self { address, readiness, metrics, looks, secrets, configurations, stop })
    }

    /// The certificate that it shows to a client that trusts a bundle.
    async fn connect(&self, bundle: &str, clock: &Hand) -> Result<CertificateDer<'static>, Failed> {
        let config = ClientConfig::builder_with_details(Arc::new(default_provider()), Arc::new(clock.clone()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(bundle)?)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME)?, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        Ok(shown.ok_or("a server has a certificate")?.clone().into_owned())
    }

    /// What every entry of the configuration trusts.
    async fn published(&self) -> Result<Option<String>, Failed> {
        let configuration = self.configurations.get(CONFIGURATION).await?;
        let bundles: BTreeSet<Option<Vec<u8>>> = configuration
            .webhooks
            .into_iter()
            .flatten()
            .map(|hook| hook.client_config.ca_bundle.map(|it| it.0))
            .collect();
        let [one] = <[_; 1]>::try_from(bundles.into_iter().collect::<Vec<_>>()).map_err(|_| "the entries differ")?;
        Ok(one.map(String::from_utf8).transpose()?)
    }

    async fn until_published(&self, bundle: &str) -> Test {
        let start = Instant::now();
        while self.published().await?.as_deref() != Some(bundle) {
            waited(start)?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn secret(&self) -> Result<Secret, Failed> {
        Ok(self.secrets.get(SECRET).await?)
    }

    /// What its readiness says of certificates.
    async fn state(&self) -> Result<String, Failed> {
        let Some(Ok(state) | Err(state)) = self.readiness.get(certificates::PART) else {
            return Err("it says nothing".into());
        };
        Ok(state)
    }

    async fn eventually(&self, holds: impl Fn(&str) -> bool) -> Test {
        let start = Instant::now();
        loop {
            let state = self.state().await?;
            if holds(&state) {
                return Ok(());
            }
            waited(start).map_err(|_| format!("it stays at: {state}"))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a whole step was taken since now.
    async fn ticked(&self) -> Test {
        let (before, start) = (self.looks.load(Ordering::SeqCst), Instant::now());
        // The one that is under way may have looked at the clock before; the next one has not, and ends before the one after.
        while self.looks.load(Ordering::SeqCst) < before + 2 {
            waited(start)?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

fn waited(since: Instant) -> Test {
    if since.elapsed() > PATIENCE { Err("it does not come true".into()) } else { Ok(()) }
}

fn roots(bundle: &str) -> Result<RootCertStore, Failed> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

async fn client_of_admin(cluster: &Cluster) -> Result<Client, Failed> {
    client(&cluster.kubeconfig("admin", &["system:masters"])?).await
}

async fn client(kubeconfig: &Path) -> Result<Client, Failed> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn install(kubectl: &Kubectl) -> Test {
    kubectl.ok(&["apply", "-k", &base()], "")?;
    let may = ["auth", "can-i", "update", "secrets/lifeline-certificates", "-n", NAMESPACE, "--as", USER];
    let start = Instant::now();
    while !kubectl.run(&may, "")?.status.success() {
        waited(start)?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn base() -> String {
    let base: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/base");
    base.display().to_string()
}
