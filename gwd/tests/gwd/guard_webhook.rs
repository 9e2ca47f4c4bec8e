//! Webhooks of guards: a service judges a progressive release.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::statement::predicate::{Guard, OnOutage, RecordKind, Webhook};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::guards::{Stage, guard};
use crate::traffic_steps::Split;
use crate::world::numbered;

/// Guard that has only a webhook at this address.
fn judged_by(at: std::net::SocketAddr, for_ms: u64, on_outage: OnOutage) -> Guard {
    Guard {
        errors_ppm: None,
        for_ms,
        p99_ppm: None,
        webhook: Some(Webhook {
            authorization: Some("${env:GWS_EDGE}".to_owned()),
            failures: 1,
            interval_ms: 1_000,
            on_outage,
            timeout_ms: 1_000,
            url: format!("http://{at}/judge?a=1"),
        }),
        ..guard()
    }
}

fn stage(guard: Guard) -> Stage {
    let two = Upstream::saying("ok");
    let next = numbered(&two, 2);
    Stage::releasing((Upstream::saying("ok"), two), next, guard, &[])
}

#[test]
fn release_that_the_webhook_rejects_returns() {
    let status = Arc::new(AtomicUsize::new(200));
    let judge = Upstream::telling(&status);
    let stage = stage(judged_by(judge.address, 600_000, OnOutage::Ignore));
    stage.begin();
    eventually("the service has accepted", || {
        stage.guard()["webhook"]["passed"].as_u64() >= Some(1)
    });
    let seen = judge.seen().remove(0);
    assert_eq!(seen.line(), "POST /judge?a=1 HTTP/1.1");
    assert_eq!(seen.field("content-type"), ["application/json"]);
    assert_eq!(seen.field("authorization"), ["hunter2"]);
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let before = stage.gwd.status();
    let expected = json!({
        "name": before["project"],
        "namespace": before["channel"],
        "phase": "Progressing",
        "metadata": {
            "node": before["node"],
            "bundle": stage.candidate.to_string(),
            "base": stage.base.to_string(),
            "serial": "2",
            "step": "1 of 2",
        },
    });
    assert_eq!(body, expected);
    let running = stage.guard();
    assert_eq!(running["result"], "testing", "{running}");
    assert_eq!(running["requests"], Value::Null, "nothing is compared");

    status.store(503, Ordering::SeqCst);
    stage.gwd.wait_for(&stage.base);
    let status = stage.gwd.status();
    assert_eq!(status["hold"]["guard"], "webhook");
    assert_eq!(status["alarms"], json!(["release-guard-failed"]));
    let message = "the guard of a release failed";
    eventually(message, || stage.gwd.logged(message).is_some());
    let line = stage.gwd.logged(message).unwrap();
    assert_eq!(line["why"], "webhook");
    assert_eq!(
        line["webhook"]["last"],
        json!({"status": 503, "message": "ok"})
    );
    assert!(!line.to_string().contains("hunter2"), "{line}");
    // The requests end with the guard.
    let count = judge.seen().len();
    std::thread::park_timeout(std::time::Duration::from_millis(1_500));
    assert_eq!(judge.seen().len(), count);
}

#[test]
fn release_that_the_webhook_accepts_passes() {
    let judge = Upstream::saying("ok");
    let stage = stage(judged_by(judge.address, 1_500, OnOutage::Fail));
    stage.begin();
    stage.wait_for_result("passed");
    assert!(stage.gwd.runs(&stage.candidate));
    // The requests end with the result, and the status keeps the responses.
    let count = judge.seen().len();
    std::thread::park_timeout(std::time::Duration::from_millis(1_500));
    assert_eq!(judge.seen().len(), count);
    assert_eq!(stage.guard()["webhook"]["last"]["status"], 200);
}

/// A service could otherwise put off its rejection, or read the credential in the status.
#[test]
fn status_rejects_whatever_the_body_is() {
    let bodies = [
        // Longer than a response may be, endless, and the request itself.
        ("content-length: 100000\r\n", "x".repeat(100_000)),
        ("content-length: 10\r\n", "x".to_owned()),
        (
            "content-length: 30\r\n",
            "echo: authorization: hunter2 x".to_owned(),
        ),
    ];
    for (fields, body) in bodies {
        let judge = Upstream::start(move |_, stream| {
            let head = format!("HTTP/1.1 500 x\r\n{fields}\r\n{body}");
            let _gone = stream.write_all(head.as_bytes());
            Then::Keep
        });
        let stage = stage(judged_by(judge.address, 600_000, OnOutage::Ignore));
        stage.begin();
        stage.gwd.wait_for(&stage.base);
        let message = "the guard of a release failed";
        eventually(message, || stage.gwd.logged(message).is_some());
        let last = stage.gwd.logged(message).unwrap()["webhook"]["last"].clone();
        assert_eq!(last, json!({"status": 500, "message": ""}), "{fields}");
    }
}

#[test]
fn webhook_without_an_answer_fails_if_set() {
    let stage = stage(judged_by(dead(), 600_000, OnOutage::Fail));
    stage.begin();
    stage.gwd.wait_for(&stage.base);
    assert_eq!(stage.gwd.status()["hold"]["guard"], "webhook");
}

#[test]
fn webhook_without_an_answer_is_no_failure() {
    let (socket, address) = reserved();
    let stage = stage(judged_by(address, 1_000, OnOutage::Ignore));
    stage.begin();
    stage.wait_for_result("no-answer");
    let last = stage.guard()["webhook"]["last"]["error"].clone();
    assert!(last.as_str().unwrap().contains("no connection"), "{last}");
    assert!(stage.gwd.runs(&stage.candidate));
    // The guard continues: the service answers now.
    drop(socket);
    let _judge = Upstream::on(
        std::net::TcpListener::bind(address).unwrap(),
        |_, stream| {
            say(stream, "content-length: 0\r\n", "");
            Then::Keep
        },
    );
    stage.wait_for_result("passed");
}

#[test]
fn unavailable_secret_sends_no_request() {
    let judge = Upstream::saying("ok");
    let mut guard = judged_by(judge.address, 1_000, OnOutage::Ignore);
    let missing = "${env:GWS_MISSING}".to_owned();
    guard.webhook.as_mut().unwrap().authorization = Some(missing);
    let stage = stage(guard);
    stage.begin();
    stage.wait_for_result("no-answer");
    let last = stage.guard()["webhook"]["last"].clone();
    assert_eq!(
        last["error"], "secret-missing: ${env:GWS_MISSING}",
        "{last}"
    );
    assert_eq!(judge.seen().len(), 0);
}

#[test]
fn secret_that_appears_later_is_used() {
    let judge = Upstream::saying("ok");
    let mut stage = stage(judged_by(judge.address, 1_000, OnOutage::Ignore));
    let secret = stage.world.path("secrets").canonicalize().unwrap();
    let secret = secret.join("judge");
    let guard = stage.rollout.guard.as_mut().unwrap();
    let reference = format!("${{file:{}}}", secret.display());
    guard.webhook.as_mut().unwrap().authorization = Some(reference);
    stage.begin();
    stage.wait_for_result("no-answer");
    std::fs::write(secret, "s3same").unwrap();
    stage.wait_for_result("passed");
    assert_eq!(judge.seen()[0].field("authorization"), ["s3same"]);
}

#[test]
fn open_request_is_aborted_with_the_guard() {
    let (ended, aborted) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let judge = Upstream::start(move |_, stream| {
        // The end of the connection, because the service does not respond.
        let rest = stream.read(&mut [0; 1]);
        let _test_ended = ended.lock().unwrap().send(rest.ok());
        Then::Close
    });
    let mut guard = judged_by(judge.address, 600_000, OnOutage::Ignore);
    let webhook = guard.webhook.as_mut().unwrap();
    (webhook.interval_ms, webhook.timeout_ms) = (3_600_000, 3_600_000);
    let stage = stage(guard);
    stage.begin();
    eventually("a request", || !judge.seen().is_empty());
    stage.publish(RecordKind::Pin, None);
    stage.gwd.ask("POST", "/v1/notify", "");
    let rest = aborted.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(rest.unwrap(), Some(0));
}

#[test]
fn rejected_candidate_gives_requests_to_the_base() {
    let status = Arc::new(AtomicUsize::new(403));
    let judge = Upstream::telling(&status);
    let upstream = Upstream::saying("ok");
    let guard = judged_by(judge.address, 600_000, OnOutage::Ignore);
    let versions = [numbered(&upstream, 1), numbered(&upstream, 2)];
    let split = Split::of(versions, Some(guard));
    let gwd = split.begun();
    eventually("the guard fails", || {
        gwd.status()["hold"]["guard"] == "webhook"
    });
    split.assert_serves_base_alone(&gwd, &gwd.status());
}
