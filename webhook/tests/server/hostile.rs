//! Clients that are slow, broken or hostile, beside one that matters.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use webhook::server::Limits;
use webhook::validate::Change;
use webhook::verdict::Decision;

use crate::client::{Says, Server};
use crate::reviews::review;

/// Far longer than any limit of these tests.
const PATIENCE: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits {
        handshake: Duration::from_millis(200),
        header: Duration::from_millis(200),
        connections: 16,
        per_source: 16,
        ..Limits::default()
    }
}

async fn server() -> Server {
    Server::start(Says(|_: &Change<'_>| Ok(Decision::allowed())), limits()).await
}

/// Reads until the server closes.
async fn closes(mut stream: impl tokio::io::AsyncRead + Unpin) -> bool {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.is_ok()
}

#[tokio::test]
async fn a_silent_socket_is_closed() {
    let server = server().await;
    let silent = TcpStream::connect(server.address).await.expect("connected");
    assert!(closes(silent).await);
    assert!(server.metrics.text().expect("text").contains("lifeline_webhook_handshakes_failed_total 1"));
}

#[tokio::test]
async fn what_is_no_tls_is_closed() {
    let server = server().await;
    let mut plain = TcpStream::connect(server.address).await.expect("connected");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    assert!(closes(plain).await);
}

#[tokio::test]
async fn half_a_header_is_closed() {
    let server = server().await;
    let mut slow = server.connect().await.expect("a connection");
    slow.write_all(b"POST /validate HTTP/1.1\r\nhost: ").await.expect("written");
    slow.flush().await.expect("flushed");
    assert!(closes(slow).await);
}

#[tokio::test]
async fn a_header_without_end_is_closed() {
    let server = server().await;
    let mut endless = server.connect().await.expect("a connection");
    let line = format!("x-filler: {}\r\n", "a".repeat(1000));
    endless.write_all(b"POST /validate HTTP/1.1\r\n").await.expect("written");
    let mut sent = 0;
    while sent < 1000 && endless.write_all(line.as_bytes()).await.is_ok() {
        sent += 1;
    }
    assert!(closes(endless).await);
    assert_eq!(server.review("", &review("a")).await.0, 200);
}

#[tokio::test]
async fn a_flood_of_connections_keeps_nobody_out() {
    let server = server().await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(server.address).await.expect("connected"));
        if let Ok(Ok(idle)) = timeout(Duration::from_millis(50), server.connect()).await {
            let (idle, _) = idle.into_inner();
            flood.push(idle);
        }
    }
    for _ in 0..20 {
        assert_eq!(server.review("", &review("a")).await.0, 200);
    }
}

#[tokio::test]
async fn a_body_that_never_ends_holds_up_nobody_else() {
    let server = server().await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await.expect("a connection");
        let header =
            "POST /validate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{";
        stream.write_all(header.as_bytes()).await.expect("written");
        stream.flush().await.expect("flushed");
        slow.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(server.review("", &review("a")).await.0, 200);
    }
    for mut stream in slow {
        let mut answer = vec![0; 64];
        let read = timeout(PATIENCE, stream.read(&mut answer)).await.expect("in time").expect("an answer");
        assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 504"));
    }
}
