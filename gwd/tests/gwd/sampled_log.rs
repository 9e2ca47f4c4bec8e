//! Sampling of the access log: which requests have a line, and how the others are counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::fixture::*;
use crate::traces::traced;
use gwd::node::{AccessLog, LogSampling, Settings};

/// Duration from which a request counts as slow in most tests. No request is that slow.
const NEVER: Duration = Duration::from_secs(600);

fn sampled(path: &Path, ratio: f64, slow: Duration) -> Settings {
    Settings {
        access_log: AccessLog::File(path.into()),
        access_log_sampling: Some(LogSampling { ratio, slow }),
        ..settings()
    }
}

fn log() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    (folder, path)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

fn left_out(served: &Served) -> usize {
    let count = served.metric("gwd_log_sampled_out_total", &[]);
    // Whole numbers of a few requests.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small"
    )]
    let count = count as usize;
    count
}

#[test]
fn failures_and_refusals_are_always_logged() {
    let status = Arc::new(AtomicUsize::new(200));
    let upstream = Upstream::telling(&status);
    let mut shop = shop(
        upstream.address,
        vec![
            op("GET", "/orders").secured("key"),
            op("GET", "/a"),
            op("GET", "/dead").upstream("dead"),
        ],
    );
    shop.upstreams.push(service("dead", &[dead()]));
    let (_folder, path) = log();
    let served = shop.serve_by(sampled(&path, 0.0, NEVER));
    for told in [200, 404, 500] {
        status.store(told, Ordering::SeqCst);
        assert_eq!(usize::from(get(served.address, "/a").status), told);
    }
    get(served.address, "/nothing");
    get(served.address, "/orders");
    get(served.address, "/dead");
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    eventually("the requests are logged", || lines(&path).len() >= 5);
    let lines = lines(&path);
    let statuses: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, [500, 404, 401, 502, 400], "{lines:#?}");
    assert_eq!(lines[1]["reason"], "no_route");
    assert!(lines.iter().all(|line| line.get("sample_ratio").is_none()));
    assert_eq!(left_out(&served), 2, "200 and 404 of the upstream");
}

#[test]
fn broken_off_responses_are_always_logged() {
    let (finish, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        use std::io::Write as _;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        let _gone = stream.write_all(head);
        let _ended = wait.lock().unwrap().recv();
        Then::Close
    });
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let (_folder, path) = log();
    let served = shop.serve_by(sampled(&path, 0.0, NEVER));
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200"));
    drop(client);
    eventually("the abort is logged", || lines(&path).len() == 1);
    assert_eq!(lines(&path)[0]["reason"], "client_closed");
    drop(finish);
}

#[test]
fn slow_requests_are_always_logged() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let (_folder, path) = log();
    let served = shop.serve_by(sampled(&path, 0.0, Duration::ZERO));
    assert_eq!(get(served.address, "/a").status, 200);
    eventually("the request is logged", || lines(&path).len() == 1);
    assert_eq!(lines(&path)[0].get("sample_ratio"), None);
    assert_eq!(left_out(&served), 0);
}

#[test]
fn lines_have_the_ratio_and_the_rest_is_counted() {
    const REQUESTS: usize = 300;
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let (_folder, path) = log();
    let served = shop.serve_by(sampled(&path, 0.5, NEVER));
    let mut client = Client::connect(served.address);
    for _ in 0..REQUESTS {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.answer().status, 200);
    }
    eventually("each request is logged or counted", || {
        lines(&path).len() + left_out(&served) == REQUESTS
    });
    let lines = lines(&path);
    assert!((90..210).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line["sample_ratio"] == 0.5));
}

#[test]
fn request_with_a_sampled_trace_is_logged() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let (_folder, path) = log();
    let served = shop.serve_by(Settings {
        traces: traced(&format!("http://{}", dead()), 0.0).traces,
        ..sampled(&path, 0.0, NEVER)
    });
    let parent = |flags: &str| {
        format!("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}\r\n")
    };
    for flags in ["00", "01"] {
        let answer = fetch(served.address, "GET", "/a", &parent(flags));
        assert_eq!(answer.status, 200);
    }
    get(served.address, "/a");
    eventually("the traced request is logged", || lines(&path).len() == 1);
    assert_eq!(lines(&path)[0]["sampled"], true);
    assert_eq!(lines(&path)[0].get("sample_ratio"), None);
    eventually("the others are counted", || left_out(&served) == 2);
}
