//! What a collector of spans is sent.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http::Request;
use kube::{Client, Config};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::Test;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// For an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The webhook from the files of the README, without anything of the tests' own environment.
fn webhook() -> Command {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/try");
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-under-test"));
    command.arg("--snapshot").arg(files.join("state")).arg("--config").arg(files.join("lifeline.yaml"));
    for port in ["--listen", "--health-listen", "--metrics-listen"] {
        command.arg(format!("{port}=127.0.0.1:0"));
    }
    command.env("LIFELINE_DIE_WITH_STDIN", "1").stdin(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Where reviews are answered, which it tells when it listens. Nobody reads on after that.
fn reviews(child: &mut Child) -> Result<SocketAddr, Box<dyn std::error::Error>> {
    let log = BufReader::new(child.stderr.take().ok_or("no log")?);
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(&line?)?;
        if let Some(address) = line["reviews"].as_str() {
            return Ok(address.parse()?);
        }
    }
    Err("it ended".into())
}

/// Takes what exporters send, until the runtime ends.
async fn collector() -> Result<(SocketAddr, UnboundedReceiver<Bytes>), Box<dyn std::error::Error>> {
    let (sender, receiver) = unbounded_channel();
    let take = move |body: Bytes| {
        let _ = sender.send(body);
        std::future::ready(())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, receiver))
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The last spans are sent when the process is told to end: nothing is to be sent before that here.
#[test]
fn a_review_is_a_span_in_the_trace_of_the_api_server() -> Test {
    let review = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/try/review.json"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let body = runtime.block_on(async {
        let (address, mut sent) = collector().await?;
        let mut command = webhook();
        command.arg("--grace=0").env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
        let mut child = command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000").spawn()?;
        // It would die with it, and waiting closes it.
        let _stdin = child.stdin.take();
        let mut config = Config::new(format!("https://{}", reviews(&mut child)?).parse()?);
        config.accept_invalid_certs = true;
        let request = Request::post("/validate")
            .header("content-type", "application/json")
            .header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
        let client = Client::try_from(config)?;
        let answer = timeout(PATIENCE, client.request_text(request.body(review)?)).await??;
        assert!(answer.contains("cuts-kubelet-api"), "{answer}");
        Command::new("kill").arg(child.id().to_string()).status()?;
        assert!(child.wait()?.success());
        timeout(PATIENCE, sent.recv()).await?.ok_or_else(|| Box::<dyn std::error::Error>::from("nothing was sent"))
    })?;
    let sent = ExportTraceServiceRequest::decode(body)?;
    let [of] = sent.resource_spans.as_slice() else { panic!("{sent:?}") };
    let resource = of.resource.as_ref().ok_or("no resource")?;
    assert_eq!(text(&resource.attributes, "service.name"), Some("lifeline-webhook"));
    let spans: Vec<_> = of.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    let hexadecimal = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((span.name.as_str(), span.kind()), ("review", SpanKind::Server));
    assert_eq!((hexadecimal(&span.trace_id), hexadecimal(&span.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    let told = ["operation", "kind", "name", "verdict"].map(|key| text(&span.attributes, key));
    assert_eq!(told, [Some("CREATE"), Some("GlobalNetworkPolicy"), Some("no-kubelet"), Some("denied")]);
    Ok(())
}

/// A collector that could not be sent anything is found out at the start.
#[test]
fn another_protocol_is_refused() -> Test {
    let mut command = webhook();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317").env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let ended = command.env_remove("LIFELINE_DIE_WITH_STDIN").output()?;
    let said = String::from_utf8(ended.stderr)?;
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc: spans are sent by http/protobuf alone"), "{said}");
    Ok(())
}
