//! gRPC (semantics.md §13): the gateway's own responses, deadlines, trailers.

use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gwd::node::AccessLog;
use http::{HeaderMap, Request};

use crate::fixture::*;
use crate::http2::{Http2, Whole, http2};

/// Sends a call with an empty message.
fn call(client: &mut Http2, path: &str, fields: &[(&str, &str)]) -> Whole {
    let begun = client.begin(to(path, fields), Some(Bytes::from_static(&[0; 5])));
    client.end(begun).unwrap()
}

fn to(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("http://shop.example{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn status(fields: &HeaderMap) -> &str {
    fields["grpc-status"].to_str().unwrap()
}

/// Status and message of a response of the gateway itself, which consists of a head only.
fn trailers_only(whole: &Whole) -> (u16, String) {
    assert_eq!(whole.head.status(), 200);
    let headers = whole.head.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    assert!(!headers.contains_key("content-length"), "{headers:?}");
    assert!(whole.body.is_empty() && whole.trailers.is_none());
    assert!(headers.contains_key("x-request-id") && headers.contains_key("proxy-status"));
    let message = headers["grpc-message"].to_str().unwrap().to_owned();
    (status(headers).parse().unwrap(), message)
}

/// Starts an upstream that answers with a message and these trailers, chunked.
fn answering(trailers: &'static str) -> Upstream {
    Upstream::start(move |_, stream| {
        say(
            stream,
            "content-type: application/grpc\r\ntransfer-encoding: chunked\r\n",
            &format!("5\r\n\0\0\0\0\0\r\n0\r\n{trailers}\r\n"),
        );
        Then::Keep
    })
}

/// Serves the gateway and connects a client.
fn served(shop: Shop) -> (Served, Http2) {
    let served = http2(shop).serve();
    let client = Http2::connect(served.address);
    (served, client)
}

#[test]
fn refusals_and_failures_are_a_status_in_the_head() {
    let upstream = Upstream::saying("ok");
    let dead = dead();
    let mut limited = op("POST", "/limited").policy("few");
    limited.chain.insert(0, bundle::ir::Link::Authenticate);
    let mut large = op("POST", "/large");
    large.max_body_bytes = Some(4);
    let ops = vec![
        op("POST", "/closed").policy("closed"),
        op("POST", "/dead").upstream("dead"),
        op("POST", "/secret").secured("key"),
        op("GET", "/get"),
        limited,
        large,
    ];
    let mut shop = shop(upstream.address, ops);
    shop.upstreams.push(service("dead", &[dead]));
    shop.policies.push(closed("closed"));
    shop.policies.push(rate_limit("few", 1));
    shop.listener.limits.target_bytes = 64;
    let (_served, mut client) = served(shop);
    call(&mut client, "/limited", &[]);
    let long = format!("/{}", "a".repeat(70));
    let cases = [
        ("/nowhere", 12, "no_route"),
        ("/get", 12, "method_not_allowed"),
        ("/secret", 16, "credential_missing"),
        ("/limited", 8, "rate_limited"),
        ("/large", 8, "body_too_large"),
        ("/dead", 14, "upstream_connect_failed"),
        (&long, 3, "target_too_long"),
    ];
    for (path, code, reason) in cases {
        let whole = call(&mut client, path, &[]);
        let (grpc_status, message) = trailers_only(&whole);
        assert_eq!(grpc_status, code, "{path}: {message}");
        assert!(message.ends_with(&format!("({reason})")), "{message}");
        let headers = whole.head.headers();
        assert_eq!(headers.contains_key("www-authenticate"), code == 16);
        assert_eq!(headers.contains_key("retry-after"), path == "/limited");
    }
    // A `respond` policy: its text is not sent to gRPC clients.
    let whole = call(&mut client, "/closed", &[]);
    assert_eq!((status(whole.head.headers()), whole.body.len()), ("14", 0));
}

#[test]
fn clients_other_than_grpc_get_problem_documents() {
    let upstream = Upstream::saying("ok");
    let (served, _) = served(shop(upstream.address, vec![op("POST", "/a")]));
    for kind in ["application/json", "application/grpc-web+proto"] {
        let answer = fetch(
            served.address,
            "POST",
            "/nowhere",
            &format!("content-type: {kind}\r\ncontent-length: 0\r\n"),
        );
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "no_route"),
            "{kind}"
        );
    }
    // Other methods are not gRPC calls: caches would keep a 200 of a GET.
    let claim = "content-type: application/grpc\r\ngrpc-timeout: 0n\r\n";
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let answer = fetch(served.address, method, "/nowhere", claim);
        assert_eq!(answer.status, 404, "{method}");
        assert!(answer.field("grpc-status").is_empty());
    }
    // gRPC rules also apply to requests over HTTP/1.1.
    let answer = fetch(
        served.address,
        "POST",
        "/nowhere",
        "content-type: application/grpc\r\ncontent-length: 0\r\n",
    );
    assert_eq!(
        (answer.status, answer.field("grpc-status")),
        (200, vec!["12"])
    );
    assert_eq!(answer.field("cache-control"), ["no-store"]);
    assert!(answer.body.is_empty());
}

#[test]
fn call_ends_at_its_deadline_or_operation_timeout() {
    let (_proceed, wait) = gate();
    let hanging = Upstream::start(move |_, _| {
        let _ended = wait.lock().unwrap().recv();
        Then::Close
    });
    let mut short = op("POST", "/short");
    short.timeout_ms = 150;
    let (_served, mut client) = served(shop(hanging.address, vec![op("POST", "/a"), short]));
    for (path, wait, reason) in [
        ("/a", "100m", "grpc_deadline_exceeded"),
        ("/a", "100000u", "grpc_deadline_exceeded"),
        ("/a", "0n", "grpc_deadline_exceeded"),
        ("/short", "1H", "upstream_timeout"),
        ("/short", "nonsense", "upstream_timeout"),
    ] {
        let begun = Instant::now();
        let whole = call(&mut client, path, &[("grpc-timeout", wait)]);
        let (code, message) = trailers_only(&whole);
        assert!(message.contains(reason), "{wait}: {message}");
        assert_eq!(code, 4);
        assert!(begun.elapsed() < Duration::from_secs(5), "{wait}");
    }
}

#[test]
fn a_deadline_is_the_calls_alone() {
    // On one HTTP/1.1 connection, a call's deadline must not end later requests.
    let upstream = Upstream::saying("ok");
    let (served, _) = served(shop(upstream.address, vec![op("POST", "/a")]));
    let mut client = Client::connect(served.address);
    let head = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n";
    client.send(&format!(
        "{head}content-type: application/grpc\r\ngrpc-timeout: 50m\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    let begun = Instant::now();
    eventually("the deadline passes", || {
        begun.elapsed() > Duration::from_millis(100)
    });
    client.send(&format!("{head}\r\n"));
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn passed_deadline_leaves_later_calls_alone() {
    // Over HTTP/1.1, a call that ended at its deadline must not end the next call of the
    // connection.
    let (_proceed, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        let _gone = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n\
              transfer-encoding: chunked\r\n\r\n5\r\n\0\0\0\0\0\r\n",
        );
        if seen.field("x-hang") == ["yes"] {
            let _ended = wait.lock().unwrap().recv();
            return Then::Close;
        }
        let _gone = stream.write_all(b"0\r\ngrpc-status: 0\r\n\r\n");
        Then::Keep
    });
    let (served, _) = served(shop(upstream.address, vec![op("POST", "/a")]));
    let mut client = Client::connect(served.address);
    let head = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\
                content-type: application/grpc\r\n";
    for fields in ["grpc-timeout: 100m\r\nx-hang: yes\r\n", ""] {
        client.send(&format!("{head}{fields}\r\n"));
        assert_eq!(client.answer().body, [0; 5], "{fields}");
    }
}

#[test]
fn trailers_pass_without_forbidden_fields() {
    let upstream = answering(
        "grpc-status: 9\r\ngrpc-message: nope%21\r\ngrpc-status-details-bin: CAk\r\nx-own: 1\r\n\
         connection: x\r\nset-cookie: a=b\r\nx-forwarded-for: 6.6.6.6\r\n",
    );
    let (_served, mut client) = served(shop(upstream.address, vec![op("POST", "/a")]));
    let whole = call(&mut client, "/a", &[]);
    assert_eq!(whole.body, [0; 5]);
    assert!(!whole.head.headers().contains_key("grpc-status"));
    let trailers = whole.trailers.unwrap();
    let mut names: Vec<&str> = trailers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "grpc-message",
            "grpc-status",
            "grpc-status-details-bin",
            "x-own"
        ]
    );
    assert_eq!(trailers["grpc-message"], "nope%21");
    let seen = upstream.only();
    assert_eq!(seen.field("te"), ["trailers"]);
    assert_eq!(seen.field("connection"), ["te"]);
}

#[test]
fn call_without_a_status_is_no_success() {
    let silent = answering("x-other: 1\r\n");
    let none = answering("");
    let broken = Upstream::start(|_, stream| {
        let _gone = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n\
              transfer-encoding: chunked\r\n\r\n5\r\n\0\0\0\0\0\r\n",
        );
        Then::Close
    });
    let mut shop = shop(silent.address, vec![op("POST", "/silent")]);
    shop.upstreams.push(service("none", &[none.address]));
    shop.upstreams.push(service("broken", &[broken.address]));
    shop.ops.push(op("POST", "/none").upstream("none"));
    shop.ops.push(op("POST", "/broken").upstream("broken"));
    let (served, mut client) = served(shop);
    for (path, code) in [("/silent", "13"), ("/none", "13"), ("/broken", "14")] {
        let whole = call(&mut client, path, &[]);
        assert_eq!(whole.body, [0; 5], "{path}");
        let trailers = whole.trailers.unwrap();
        assert_eq!(status(&trailers), code, "{path}");
        assert!(!trailers["grpc-message"].is_empty());
    }
    let broke = ["error_type=\"upstream_reset\""];
    eventually("the failure is counted", || {
        served.metric("http_server_request_duration_seconds_count", &broke) == 1.0
    });
}

#[test]
fn an_upstreams_trailers_only_passes() {
    let upstream = Upstream::start(|_, stream| {
        say(
            stream,
            "content-type: application/grpc\r\ngrpc-status: 5\r\ngrpc-message: gone\r\n\
             grpc-status-details-bin: CAU\r\ncontent-length: 0\r\n",
            "",
        );
        Then::Keep
    });
    let (_served, mut client) = served(shop(upstream.address, vec![op("POST", "/a")]));
    let whole = call(&mut client, "/a", &[]);
    let headers = whole.head.headers();
    assert_eq!((status(headers), whole.trailers), ("5", None));
    assert_eq!(headers["grpc-status-details-bin"], "CAU");
    assert_eq!(headers["grpc-message"], "gone");
}

#[test]
fn http1_clients_that_take_trailers_get_them() {
    let upstream = answering("grpc-status: 0\r\n");
    let (served, _) = served(shop(upstream.address, vec![op("POST", "/a")]));
    let head = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\
                content-type: application/grpc\r\nconnection: close, te\r\n";
    let mut client = Client::connect(served.address);
    client.send(&format!("{head}te: trailers\r\n\r\n"));
    let whole = client.rest();
    assert!(
        whole.ends_with("\r\n0\r\ngrpc-status: 0\r\n\r\n"),
        "{whole}"
    );
    assert!(whole.contains("\r\ntrailer: grpc-status, "), "{whole}");
    let mut client = Client::connect(served.address);
    client.send(&format!("{head}\r\n"));
    let whole = client.rest();
    assert!(whole.ends_with("\r\n0\r\n\r\n"), "{whole}");
    assert!(!whole.contains("\r\ntrailer:"), "{whole}");
}

#[test]
fn access_log_has_the_status_of_a_call() {
    let upstream = answering("grpc-status: 9\r\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let shop = http2(shop(upstream.address, vec![op("POST", "/a")]));
    let served = shop.serve_with(1, AccessLog::File(path.clone()));
    let mut client = Http2::connect(served.address);
    call(&mut client, "/a", &[]);
    call(&mut client, "/nowhere", &[]);
    let mut statuses = Vec::new();
    eventually("both lines are written", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        statuses = lines
            .map(|line: serde_json::Value| (line["status"].clone(), line["grpc_status"].clone()))
            .collect();
        statuses.len() == 2
    });
    assert_eq!(statuses, [(200.into(), 9.into()), (200.into(), 12.into())]);
}
