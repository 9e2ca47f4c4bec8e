//! Tests of `ext_proc` with bodies of responses (`response_body: buffered`). The processor is
//! grpcio with the classes that Envoy's `.proto` files define (`tests/peers/ext_proc.py`).

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use e2e::client::{Connection, Response};
use e2e::gateway::{Gateway, Options};
use e2e::peers::{MISSING, Peer};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;
use http::{HeaderMap, Request};
use serde_json::{Value, json};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /whole: {x-gateway: {policies: [whole]}, get: &any {responses: {"200": {description: ok}}}, head: *any}
  /open: {x-gateway: {policies: [open]}, get: *any}
  /both: {x-gateway: {policies: [whole, second]}, get: *any}
  /flaky: {x-gateway: {policies: [whole], upstream: flaky}, get: *any}
  /large: {x-gateway: {policies: [large]}, get: *any}
  /bounded: {x-gateway: {policies: [bounded, whole]}, get: *any}
  /socket: {x-gateway: {policies: [whole], upstream: socket}, get: {x-gateway: {websocket: true}, responses: {"101": {description: ok}}}}
  /interop.Test/Unary: {x-gateway: {policies: [whole], upstream: grpc}, post: *any}
"#;

/// Length of a body for which a process with 64 MiB of memory has no buffers: 30 % of the memory are
/// for buffers, and the body is in memory twice while the processor reads it.
const LARGE_BYTES: usize = 15 << 20;

struct Scene {
    gateway: Gateway,
    main: Upstream,
    processor: Peer,
    _project: Project,
}

impl Scene {
    /// Starts processor, upstreams and gateway. `arguments` are further arguments of `gwd run`.
    /// `None` if the packages of Python are missing.
    fn with(arguments: &[&str]) -> Option<Self> {
        let processor = Peer::python("ext_proc.py", &["0"])?;
        let attempts = AtomicUsize::new(0);
        let main = Upstream::scripted(move |seen| match seen.header("x-test") {
            Some("flaky") if attempts.fetch_add(1, Ordering::Relaxed) == 0 => Answer {
                status: 503,
                ..Answer::ok("leak")
            },
            Some("large") => Answer::ok(vec![b'a'; LARGE_BYTES]),
            _ => Answer {
                is_endless: seen.header("x-endless").is_some(),
                ..Answer::as_requested(seen)
            },
        });
        let parts = "kind: ext_proc, upstream: waf, response: headers, response_body: buffered";
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\", http2: true}}}}\n\
             upstreams:\n  main: {{targets: {{a: {{url: \"{url}\"}}}}}}\n  \
               flaky: {{retries: {{attempts: 1, on: [5xx]}}, targets: {{a: {{url: \"{url}\"}}}}}}\n  \
               socket: {{targets: {{a: {{url: \"http://127.0.0.1:{}\"}}}}}}\n  \
               grpc: {{protocol: h2c, targets: {{a: {{url: \"http://127.0.0.1:{}\"}}}}}}\n  \
               waf: {{protocol: h2c, targets: {{a: {{url: \"http://127.0.0.1:{}\"}}}}}}\n\
             policies:\n  \
               whole: {{{parts}, max_body: 1KiB, timeout: 500ms}}\n  \
               second: {{{parts}}}\n  \
               large: {{{parts}, max_body: 16MiB, on_outage: open}}\n  \
               bounded: {{kind: body_limit, response: 2KiB}}\n  \
               open: {{{parts}, max_body: 1KiB, timeout: 500ms, on_outage: open}}\n\
             defaults: {{upstream: main, security: upstream}}\nrelease: {{store: releases, channel: prod}}\n",
            echo_socket(),
            upstream_with_trailers(),
            processor.greeting()["port"],
            url = main.url(),
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        Some(Self {
            gateway: Options::of(&project).arguments(arguments).start(),
            main,
            processor,
            _project: project,
        })
    }

    /// Sends a GET request. `test` selects the behaviour of the processor, `wished` the response of
    /// the upstream.
    fn get(&self, path: &str, test: &str, wished: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\nhost: s\nx-test: {test}\nx-answer: {wished}");
        self.gateway.ask(&head)
    }

    /// Messages that the processor received since the last call, by stream, without their content.
    fn streams(&mut self) -> Vec<Vec<String>> {
        let answer = self.processor.ask(&json!({}));
        let streams = answer["streams"].as_array().expect("a list");
        let part = |one: &Value| match one {
            Value::String(name) => name.clone(),
            head => {
                assert_eq!(head["response_mode"], 2, "{head}");
                "request_headers".to_owned()
            }
        };
        let parts = streams.iter().map(|one| one.as_array().expect("parts"));
        parts.map(|one| one.iter().map(part).collect()).collect()
    }

    fn calls(&self, outcome: &str) -> f64 {
        let labels = ["kind=\"ext_proc\"", &format!("outcome=\"{outcome}\"")];
        let metrics = self.gateway.metrics();
        metrics.sum("gwd_policy_calls_total", &labels)
    }
}

/// Starts an HTTP/2 upstream that answers each request with a body and trailers. Returns its port.
fn upstream_with_trailers() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = |mut reply: h2::server::SendResponse<Bytes>| {
        let head = http::Response::builder().header("content-type", "application/grpc");
        let mut stream = reply.send_response(head.body(()).expect("a head"), false)?;
        stream.send_data(Bytes::from_static(b"\0\0\0\0\x04ma"), false)?;
        stream.send_data(Bytes::from_static(b"sk"), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().expect("a value"));
        stream.send_trailers(trailers)
    };
    let serve = async move {
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((_, reply))) = connection.accept().await {
                    let _gone = answer(reply);
                }
            });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    std::thread::spawn(move || runtime.block_on(serve));
    port
}

/// Starts a server that accepts one WebSocket and sends each received byte back. Returns its port.
fn echo_socket() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut writer = stream.try_clone().expect("a socket");
        let mut reader = stream.try_clone().expect("a socket");
        Connection::accepted(stream).read_head().expect("a head");
        // RFC 6455 §1.3: the key of its example and the value for it.
        let head = "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        writer.write_all(head.as_bytes()).expect("gwd reads");
        let _end = std::io::copy(&mut reader, &mut writer);
    });
    port
}

/// Runs a test with a scene, or skips it.
fn with_scene(test: impl FnOnce(Scene)) {
    match Scene::with(&[]) {
        Some(scene) => test(scene),
        None => prerequisite::skip(MISSING),
    }
}

const WHOLE: [&str; 4] = [
    "request_headers",
    "response_headers",
    "response_body",
    "end",
];
const HEAD_ONLY: [&str; 3] = ["request_headers", "response_headers", "end"];

#[test]
fn response_bodies_are_sent_and_replaced() {
    with_scene(|mut scene| {
        let fields = "content-encoding=gzip; etag=\"a\"; content-digest=sha-256=:AA==:";
        let masked = format!("a {}", "*".repeat(4_000));
        for (body, expected, seen) in [
            ("plain", "plain", Some("5")),
            // The new body may be longer than `max_body`, and has the coding of the old one.
            ("a mask", &*masked, Some("6")),
            ("clear", "", None),
        ] {
            let response = scene.get("/whole", "", &format!("body={body}; {fields}"));
            assert_eq!((response.status, &*response.text()), (200, expected));
            let length = expected.len().to_string();
            assert_eq!(response.header("content-length"), Some(&*length), "{body}");
            assert_eq!(response.header("x-length"), seen, "{body}");
            assert_eq!(response.header("content-encoding"), Some("gzip"));
            for name in ["etag", "content-digest"] {
                let is_same = body == expected;
                assert_eq!(response.header(name).is_some(), is_same, "{name} of {body}");
            }
        }
        assert_eq!(scene.streams(), [WHOLE; 3]);
        assert_eq!(scene.calls("answered"), 6.0);
    });
}

#[test]
fn immediate_response_replaces_the_response() {
    with_scene(|scene| {
        for path in ["/whole", "/open"] {
            let hidden = scene.get(path, "", "body=a leak; x-powered-by=test");
            assert_eq!((hidden.status, &*hidden.text()), (502, "leak"));
            assert_eq!(hidden.header("x-rule"), Some("950100"));
            assert_eq!(hidden.header("x-powered-by"), None);
        }
        let labels = ["reason=\"ext_proc_denied\""];
        let refused = scene.gateway.metrics().sum("gwd_rejections_total", &labels);
        assert_eq!((refused, scene.calls("replied")), (2.0, 2.0));
        // The connection to the upstream is not left in the middle of a response.
        assert_eq!(scene.get("/whole", "", "body=plain").text(), "plain");
    });
}

#[test]
fn responses_without_content_have_no_body_message() {
    with_scene(|mut scene| {
        for status in [204, 304] {
            let response = scene.get("/whole", "", &format!("status={status}; body=leak"));
            assert_eq!((response.status, &*response.text()), (status, ""));
            assert_eq!(response.header("x-inspected"), Some("2,response_headers"));
        }
        let mut connection = scene.gateway.connect();
        let head = "HEAD /whole HTTP/1.1\r\nhost: s\r\nx-answer: body=a leak\r\n\r\n";
        connection.send(head.as_bytes()).expect("gwd reads");
        let response = connection.read_response(true).expect("gwd answers");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-length"), Some("6"));
        assert_eq!(scene.get("/whole", "", "body=").status, 200);
        assert_eq!(scene.streams(), [HEAD_ONLY; 4]);
        // The processor replaces the response in its answer to the head.
        assert_eq!(
            scene.get("/whole", "rewrite", "body=leak").text(),
            "rewritten"
        );
        assert_eq!(scene.streams(), [HEAD_ONLY]);
    });
}

/// An upstream could otherwise make its responses too long for an inspection.
#[test]
fn longer_response_is_refused_even_if_open() {
    with_scene(|scene| {
        let wished = |length: usize| format!("body={}", "a".repeat(length));
        for path in ["/whole", "/open"] {
            let longer = scene.get(path, "", &wished(1_025));
            assert_eq!(longer.status, 502, "{path}");
            assert_eq!(longer.json()["code"], "response_too_large");
            let longest = scene.get(path, "", &wished(1_024));
            assert_eq!((longest.status, longest.text().len()), (200, 1_024));
        }
        assert_eq!(scene.calls("too_large"), 2.0);
    });
}

#[test]
fn new_body_above_the_limit_of_responses_is_refused() {
    with_scene(|scene| {
        let longer = scene.get("/bounded", "", "body=a mask");
        assert_eq!(longer.status, 502);
        assert_eq!(longer.json()["code"], "response_too_large");
        assert_eq!(scene.get("/bounded", "", "body=plain").text(), "plain");
    });
}

#[test]
fn outage_at_the_body_refuses_unless_open() {
    with_scene(|scene| {
        for (test, outcome) in [
            ("fail-last", "failed"),
            ("hang-later", "timeout"),
            ("inspect-more", "failed"),
        ] {
            let before = scene.calls(outcome);
            let closed = scene.get("/whole", test, "body=a mask");
            assert_eq!(closed.status, 503, "{test}");
            assert_eq!(closed.json()["code"], "ext_proc_unavailable");
            let open = scene.get("/open", test, "body=a mask; etag=a");
            assert_eq!((open.status, &*open.text()), (200, "a mask"), "{test}");
            assert_eq!(open.header("etag"), Some("a"));
            assert_eq!(scene.calls(outcome), before + 2.0, "{test}");
        }
        let ended = scene.get("/whole", "close-last", "body=a mask");
        assert_eq!((ended.status, &*ended.text()), (200, "a mask"));
    });
}

/// The last processor of the chain is the first one to see a response, as in Envoy.
#[test]
fn processors_see_the_body_in_reverse_order() {
    with_scene(|mut scene| {
        // `second` makes the body longer than `max_body` of `whole`.
        let longer = scene.get("/both", "", "body=a mask");
        assert_eq!(longer.status, 502, "{}", longer.text());
        assert_eq!(longer.json()["code"], "response_too_large");
        scene.streams();
        let leaked = scene.get("/both", "", "body=clear leak");
        assert_eq!((leaked.status, &*leaked.text()), (502, "leak"));
        // `second` clears the body, so that `whole` gets none.
        let cleared = scene.get("/both", "", "body=clear");
        assert_eq!((cleared.status, &*cleared.text()), (200, ""));
        let plain = scene.get("/both", "", "body=plain");
        assert_eq!((plain.status, &*plain.text()), (200, "plain"));
        let mut streams = scene.streams();
        streams.sort();
        let mut expected = [&WHOLE[..], &HEAD_ONLY, &WHOLE, &WHOLE, &WHOLE];
        expected.sort();
        let refused = ["request_headers", "end"];
        streams.retain(|one| one != &refused);
        assert_eq!(streams, expected);
    });
}

#[test]
fn client_that_leaves_ends_the_conversation() {
    with_scene(|scene| {
        let mut connection = scene.gateway.connect();
        let head = "GET /whole HTTP/1.1\r\nhost: s\r\nx-endless: 1\r\n\r\n";
        connection.send(head.as_bytes()).expect("gwd reads");
        let active = |upstream: &str| {
            let labels = [&*format!("upstream=\"{upstream}\""), "state=\"active\""];
            scene
                .gateway
                .metrics()
                .sum("gwd_upstream_connections", &labels)
        };
        wait::until("gwd waits for the rest of the body", || {
            (active("main") == 1.0 && active("waf") == 1.0).then_some(())
        });
        drop(connection);
        wait::until("both exchanges have ended", || {
            (active("main") == 0.0 && active("waf") == 0.0).then_some(())
        });
        assert_eq!(scene.get("/whole", "", "body=plain").text(), "plain");
        scene.gateway.stops_clean();
    });
}

/// A gRPC response has its status in the trailers.
#[test]
fn trailers_follow_a_replaced_body() {
    with_scene(|mut scene| {
        let address = scene.gateway.address();
        let talk = async move {
            let stream = tokio::net::TcpStream::connect(address).await.expect("gwd");
            let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            let request = Request::post(format!("http://{address}/interop.Test/Unary"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let request = request.body(()).expect("a request");
            let (answer, mut body) = client.send_request(request, false).expect("sent");
            body.send_data(Bytes::from_static(b"\0\0\0\0\0"), true)
                .expect("sent");
            let response = answer.await.expect("a response");
            let (head, mut incoming) = response.into_parts();
            let mut content = Vec::new();
            while let Some(data) = incoming.data().await {
                let data = data.expect("a body");
                let _ = incoming.flow_control().release_capacity(data.len());
                content.extend_from_slice(&data);
            }
            let trailers = incoming.trailers().await.expect("an end");
            (head.status, content, trailers.expect("trailers"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let (status, content, trailers) = runtime.block_on(async {
            let limited = tokio::time::timeout(Duration::from_secs(10), talk);
            limited.await.expect("an answer")
        });
        assert_eq!(status, 200);
        assert_eq!(content.len(), 5 + 4_000);
        assert_eq!(content[5..], [b'*'; 4_000]);
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(scene.streams(), [WHOLE]);
    });
}

/// The processor gets the final response only, so that a retry cannot be told from a first answer.
#[test]
fn only_the_last_attempt_is_inspected() {
    with_scene(|mut scene| {
        let response = scene.get("/flaky", "flaky", "");
        assert_eq!((response.status, &*response.text()), (200, "ok"));
        assert_eq!(scene.streams(), [WHOLE]);
        assert_eq!(scene.main.take().len(), 2);
    });
}

#[test]
fn upgraded_connections_have_no_response_messages() {
    with_scene(|mut scene| {
        let mut connection = scene.gateway.connect();
        let head = "GET /socket HTTP/1.1\r\nhost: s\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        connection.send(head.as_bytes()).expect("gwd reads");
        let head = connection.read_head().expect("a head");
        assert!(head.line.contains("101"), "{}", head.line);
        // A masked text frame, and its pong-free echo.
        connection.send(b"\x81\x82\0\0\0\0hi").expect("gwd reads");
        assert_eq!(
            connection.read_exactly(8).expect("the echo"),
            b"\x81\x82\0\0\0\0hi"
        );
        drop(connection);
        assert_eq!(scene.streams(), [["request_headers", "end"]]);
    });
}

/// Upstreams can make memory scarce while the processor is healthy, so `on_outage: open` does not
/// apply.
#[test]
fn scarce_memory_refuses_the_response_even_if_open() {
    let Some(scene) = Scene::with(&["--memory", "64MiB"]) else {
        return prerequisite::skip(MISSING);
    };
    let refused = scene.get("/large", "large", "");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["code"], "ext_proc_unavailable");
    assert_eq!(scene.calls("overflow"), 1.0);
    let short = scene.get("/large", "", "body=plain");
    assert_eq!((short.status, &*short.text()), (200, "plain"));
}
