//! What is answered to whom.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use webhook::review::{Answer, Denial};
use webhook::server::Limits;
use webhook::validate::Change;
use webhook::verdict::Decision;

use crate::client::{Says, Server, parsed, send};

pub(crate) fn review(name: &str) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": format!("uid of {name}"), "operation": "CREATE", "name": name,
        "kind": {"group": "projectcalico.org", "version": "v3", "kind": "Tier"},
        "object": {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name}}}})
    .to_string()
}

/// Refuses what is called `bad`, has no verdict about `unknown`, is slow about `slow`, and breaks at `broken`.
fn judge(change: &Change<'_>) -> Result<Decision, String> {
    match &*change.request.name {
        "bad" => {
            let denial = Denial { message: "cuts-all".to_owned(), causes: Vec::new() };
            Ok(Decision { answer: Answer { denial: Some(denial), ..Answer::default() }, findings: Vec::new() })
        }
        "unknown" => Err("the API server does not answer".to_owned()),
        "slow" => {
            std::thread::sleep(Duration::from_secs(2));
            Ok(Decision::allowed())
        }
        "broken" => panic!("as the test wants"),
        _ => Ok(Decision::allowed()),
    }
}

#[tokio::test]
async fn verdicts_bear_the_uid_of_their_question() {
    let server = Server::start(Says(judge), Limits::default()).await;
    for (name, allowed) in [("good", true), ("bad", false)] {
        let (status, body) = server.review("?timeout=5s", &review(name)).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(answer["response"]["uid"], format!("uid of {name}"));
        assert_eq!(answer["response"]["allowed"], allowed);
        assert_eq!(answer["response"]["status"]["code"].as_u64(), (!allowed).then_some(403));
    }
}

#[tokio::test]
async fn without_a_verdict_there_is_none() {
    let server = Server::start(Says(judge), Limits::default()).await;
    let (status, body) = server.review("", &review("unknown")).await;
    assert_eq!((status, body.as_str()), (503, "no verdict: the API server does not answer"));
    // In time for an API server that waits a second.
    let start = Instant::now();
    let (status, body) = server.review("?timeout=1s", &review("slow")).await;
    assert_eq!((status, body.as_str()), (503, "no verdict in time"));
    assert!(start.elapsed() < Duration::from_secs(2), "the answer waited for the judge");
}

#[tokio::test]
async fn a_defect_is_one_answer_and_not_the_end() {
    let server = Server::start(Says(judge), Limits::default()).await;
    for _ in 0..3 {
        let (status, _) = server.review("", &review("broken")).await;
        assert_eq!(status, 500);
    }
    assert_eq!(server.review("", &review("good")).await.0, 200);
    assert!(server.metrics.text().expect("text").contains("lifeline_webhook_reviews_total{outcome=\"panic\"} 3"));
}

#[tokio::test]
async fn what_is_no_review_is_no_verdict() {
    let server = Server::start(Says(judge), Limits::default()).await;
    assert_eq!(server.ask("", "text/plain", review("good").as_bytes()).await.0, 415);
    assert_eq!(server.ask("", "application/json", b"{}").await.0, 400);
    assert_eq!(server.ask("", "application/json", b"\xff\xfe").await.0, 400);
    let nested = "[".repeat(1_000_000);
    assert_eq!(server.ask("", "application/json", nested.as_bytes()).await.0, 400);
    let large = vec![b' '; webhook::validate::BODY + 1];
    assert_eq!(server.ask("", "application/json", &large).await.0, 413);
    assert_eq!(server.review("", &review("good")).await.0, 200);
}

#[tokio::test]
async fn a_status_is_nothing_to_judge() {
    let server = Server::start(Says(judge), Limits::default()).await;
    let mut body: Value = serde_json::from_str(&review("unknown")).expect("JSON");
    body["request"]["subResource"] = json!("status");
    assert_eq!(server.review("", &body.to_string()).await.0, 200);
}

#[tokio::test]
async fn reviews_under_way_are_answered_before_the_end() {
    let server = Server::start(Says(judge), Limits::default()).await;
    let mut busy = server.connect().await.expect("a connection");
    send(&mut busy, "", "application/json", review("slow").as_bytes(), false).await.expect("sent");
    let idle = server.connect().await.expect("a connection");
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.stop.cancel();
    let mut answer = Vec::new();
    busy.read_to_end(&mut answer).await.expect("all of it");
    assert_eq!(parsed(&answer).0, 200);
    server.ended.await.expect("no panic").expect("a clean end");
    drop(idle);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn whoever_is_about_to_leave_answers_and_closes() {
    let server = Server::start(Says(judge), Limits::default()).await;
    let kept = server.connect().await.expect("a connection");
    server.leaving.cancel();
    for mut stream in [server.connect().await.expect("the port is open"), kept] {
        send(&mut stream, "", "application/json", review("a").as_bytes(), false).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("all of it, and the end");
        assert!(String::from_utf8_lossy(&answer).contains("\r\nconnection: close\r\n"));
        assert_eq!(parsed(&answer).0, 200);
    }
    assert!(!server.ended.is_finished());
}
