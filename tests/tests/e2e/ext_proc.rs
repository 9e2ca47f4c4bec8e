//! Tests of `ext_proc` with a third-party processor: grpcio with the classes that Envoy's `.proto`
//! files define (`tests/peers/ext_proc.py`).

use bytes::Bytes;
use e2e::client::Response;
use e2e::gateway::{Gateway, Options};
use e2e::peers::{MISSING, Peer};
use e2e::project::Project;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::wait;
use serde_json::{Value, json};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /headers: {get: {operationId: headers, x-gateway: {public: true, policies: [headers]}, responses: {"200": {description: ok}}}}
  /open: {get: {operationId: open, x-gateway: {public: true, policies: [open]}, responses: {"200": {description: ok}}}}
  /some: {get: {operationId: some, x-gateway: {public: true, policies: [some]}, responses: {"200": {description: ok}}}}
  /all: {x-gateway: {policies: [all]}, post: {operationId: all, x-gateway: {public: true}, responses: {"200": {description: ok}}}, get: {operationId: getAll, x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /late: {get: {operationId: late, x-gateway: {public: true, policies: [late]}, responses: {"200": {description: ok}}}}
  /known: {get: {operationId: known, security: [{key: []}], x-gateway: {policies: [headers]}, responses: {"200": {description: ok}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, forward_as: X-User}}
"#;

struct Scene {
    gateway: Gateway,
    main: Upstream,
    processor: Peer,
    project: Project,
}

fn upstream(seen: &Seen) -> Answer {
    let mut answer = Answer::ok(seen.body.clone());
    answer.headers = vec![("x-powered-by".to_owned(), "test".to_owned())];
    answer
}

/// Releases a project with policies that ask the processor at this port.
fn released(main: &Upstream, processor: &str) -> Project {
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams:\n  main: {{targets: {{a: {{url: \"{}\"}}}}}}\n  \
           waf: {{protocol: h2c, targets: {{a: {{url: \"http://127.0.0.1:{}\"}}}}}}\n\
         auth: {{keys: {{kind: api_key}}}}\n\
         consumers: {{alice: {{keys: [{{sha256: {}}}]}}}}\n\
         policies:\n  \
           headers: {{kind: ext_proc, upstream: waf, timeout: 500ms}}\n  \
           open: {{kind: ext_proc, upstream: waf, timeout: 500ms, on_outage: open}}\n  \
           some: {{kind: ext_proc, upstream: waf, request_headers: [X-Test]}}\n  \
           all: {{kind: ext_proc, upstream: waf, request_body: buffered, max_body: 1KiB, response: headers}}\n  \
           late: {{kind: ext_proc, upstream: waf, response: headers, on_outage: open}}\n\
         defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
        main.url(),
        processor,
        // SHA-256 of `secret`.
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    project
}

/// Starts a processor that ends each stream with OK in the middle of a message. Returns its port.
fn processor_of_partial_messages() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = |mut reply: h2::server::SendResponse<Bytes>| {
        let head = http::Response::builder().header("content-type", "application/grpc");
        let head = head.body(()).expect("a head");
        let mut stream = reply.send_response(head, false)?;
        // The message would have nine bytes.
        stream.send_data(Bytes::from_static(b"\0\0\0\0\x09ab"), false)?;
        let trailers = [(
            "grpc-status".parse().expect("a name"),
            "0".parse().expect("a value"),
        )];
        stream.send_trailers(trailers.into_iter().collect())
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

impl Scene {
    /// Starts processor, upstream and gateway. `None` if the packages of Python are missing.
    fn new() -> Option<Self> {
        let processor = Peer::python("ext_proc.py", &["0"])?;
        let main = Upstream::scripted(upstream);
        let project = released(&main, &processor.greeting()["port"].to_string());
        Some(Self {
            gateway: Options::of(&project).start(),
            main,
            processor,
            project,
        })
    }

    /// Sends a GET request. `test` selects the behaviour of the processor.
    fn get(&self, path: &str, test: &str) -> Response {
        let head = format!(
            "GET {path} HTTP/1.1\nhost: shop.test\nx-test: {test}\nx-list: one\nx-present: old\nx-secret: s"
        );
        self.gateway.ask(&head)
    }

    fn post(&self, test: &str, body: &str) -> Response {
        let mut connection = self.gateway.connect();
        let request = format!(
            "POST /all HTTP/1.1\r\nhost: shop.test\r\nx-test: {test}\r\ncontent-digest: sha-256=:AA==:\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.send(request.as_bytes()).expect("gwd reads");
        connection.read_response(false).expect("gwd answers")
    }

    /// Messages that the processor received since the last call, by stream.
    fn streams(&mut self) -> Vec<Value> {
        let answer = self.processor.ask(&json!({}));
        answer["streams"].as_array().expect("a list").clone()
    }

    fn calls(&self, outcome: &str) -> f64 {
        let labels = ["kind=\"ext_proc\"", &format!("outcome=\"{outcome}\"")];
        let metrics = self.gateway.metrics();
        metrics.sum("gwd_policy_calls_total", &labels)
    }

    /// The only request that the upstream received since the last call.
    fn forwarded(&self) -> Seen {
        let mut all = self.main.take();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

/// Runs a test with a scene, or skips it.
fn with_scene(test: impl FnOnce(Scene)) {
    match Scene::new() {
        Some(scene) => test(scene),
        None => prerequisite::skip(MISSING),
    }
}

#[test]
fn processor_sees_the_head_as_envoy_sends_it() {
    with_scene(|mut scene| {
        assert_eq!(scene.get("/headers?a=b", "").status, 200);
        let streams = scene.streams();
        let head = &streams[0][0];
        for (name, value) in [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "shop.test"),
            (":path", "/headers?a=b"),
            ("x-list", "one"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "shop.test"),
        ] {
            assert_eq!(head["fields"][name], value, "{name}: {head}");
        }
        assert_eq!((&head["end"], &head["mode"]), (&json!(true), &json!(0)));
        assert!(scene.get("/some", "").status == 200);
        let streams = scene.streams();
        assert!(streams[0][0]["fields"]["x-secret"].is_null(), "{streams:?}");
        assert_eq!(scene.calls("answered"), 2.0);
    });
}

#[test]
fn mutations_reach_the_upstream_within_their_rules() {
    with_scene(|scene| {
        let head = "GET /known HTTP/1.1\nhost: shop.test\nx-key: secret\nx-test: mutate\nx-list: one\nx-present: old\nx-secret: s";
        assert_eq!(scene.gateway.ask(head).status, 200);
        let seen = scene.forwarded();
        let lines: Vec<&str> = seen.head.all("x-list").collect();
        assert_eq!(lines, ["one", "two"]);
        for (name, value) in [
            ("x-score", Some("7")),
            ("x-present", Some("old")),
            ("x-absent", None),
            ("x-secret", None),
            // The processor must not change the following fields.
            ("x-user", Some("alice")),
            ("x_user", None),
            ("host", Some("shop.test")),
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("content-length", None),
            ("transfer-encoding", None),
        ] {
            assert_eq!(seen.header(name), value, "{name}");
        }
        assert_eq!(seen.target, "/known");
        assert_eq!(scene.calls("ignored_change"), 8.0);
    });
}

#[test]
fn immediate_response_reaches_the_client() {
    with_scene(|scene| {
        let denied = scene.get("/headers", "deny");
        assert_eq!((denied.status, denied.text().as_str()), (403, "denied"));
        assert_eq!(denied.header("x-rule"), Some("942100"));
        assert_eq!(denied.header("content-length"), Some("6"));
        let login = scene.get("/headers", "login");
        assert_eq!(
            (login.status, login.header("location")),
            (302, Some("/login"))
        );
        // A response without content (RFC 9110 §15.3.6).
        let reset = scene.get("/headers", "reset");
        assert_eq!((reset.status, reset.text().as_str()), (205, ""));
        let attack = scene.post("", "an attack");
        assert_eq!((attack.status, attack.text().as_str()), (422, "attack"));
        assert!(scene.main.take().is_empty());
        let hidden = scene.post("hide", "a");
        assert_eq!((hidden.status, hidden.text().as_str()), (502, "hidden"));
        assert_eq!(hidden.header("x-rule"), Some("950100"));
        assert!(hidden.header("x-powered-by").is_none());
        let labels = ["reason=\"ext_proc_denied\""];
        let refused = scene.gateway.metrics().sum("gwd_rejections_total", &labels);
        assert_eq!(refused, 4.0);
        assert_eq!(scene.calls("replied"), 5.0);
        assert_eq!(scene.calls("ignored_change"), 2.0);
    });
}

#[test]
fn bodies_are_sent_replaced_and_limited() {
    with_scene(|mut scene| {
        for (test, body, expected) in [
            ("", "plain", "plain"),
            ("", "shout", "SHOUT"),
            ("", "clear", ""),
            ("replace", "anything", "replaced"),
        ] {
            let response = scene.post(test, body);
            assert_eq!((response.status, response.text().as_str()), (200, expected));
            let seen = scene.forwarded();
            assert_eq!(seen.body, expected.as_bytes());
            let length = expected.len().to_string();
            assert_eq!(seen.header("content-length"), Some(&*length), "{body}");
            let is_same = body == expected;
            assert_eq!(seen.header("content-digest").is_some(), is_same, "{body}");
        }
        // The processor receives all messages of an exchange on the same stream.
        let streams = scene.streams();
        let parts: Vec<usize> = streams
            .iter()
            .map(|one| one.as_array().unwrap().len())
            .collect();
        assert_eq!(parts, [4, 4, 4, 3], "{streams:?}");
        let [_, body, response, end] = &streams[0].as_array().expect("a list")[..] else {
            panic!("{streams:?}");
        };
        assert_eq!(
            [body, response, end],
            ["request_body", "response_headers", "end"]
        );
        assert_eq!(streams[0][0]["mode"], 2);

        // For a request without a body, the processor receives no body message.
        assert_eq!(scene.get("/all", "").status, 200);
        scene.forwarded();
        assert_eq!(scene.streams()[0][1], "response_headers");

        let large = scene.post("", &"a".repeat(1_025));
        assert_eq!(large.status, 413);
        assert_eq!(large.json()["code"], "ext_proc_body_too_large");
        let largest = "a".repeat(1_024);
        assert_eq!(scene.post("", &largest).text(), largest);
        assert_eq!(scene.main.take().len(), 1);
    });
}

#[test]
fn responses_are_changed_and_replaced() {
    with_scene(|scene| {
        let changed = scene.post("", "a");
        assert_eq!(changed.header("x-inspected"), Some("3,response_headers"));
        assert!(changed.header("x-powered-by").is_none());
        assert_ne!(changed.header("x-request-id"), Some("forged"));
        let rewritten = scene.post("rewrite", "a");
        assert_eq!(
            (rewritten.status, rewritten.text().as_str()),
            (200, "rewritten")
        );
        assert_eq!(rewritten.header("content-length"), Some("9"));
        assert_eq!(rewritten.header("x-powered-by"), Some("test"));
    });
}

#[test]
fn outage_refuses_unless_it_is_open() {
    with_scene(|scene| {
        for (test, outcome) in [
            ("fail", "failed"),
            ("hang", "timeout"),
            ("wrong", "failed"),
            ("invalid", "failed"),
        ] {
            let before = scene.calls(outcome);
            let closed = scene.get("/headers", test);
            assert_eq!(closed.status, 503, "{test}");
            assert_eq!(closed.json()["code"], "ext_proc_unavailable");
            assert!(scene.main.take().is_empty());
            assert_eq!(scene.get("/open", test).status, 200, "{test}");
            assert_eq!(scene.forwarded().header("x-secret"), Some("s"));
            assert_eq!(scene.calls(outcome), before + 2.0, "{test}");
        }
        // The gateway also refuses if the processor fails after the upstream has responded.
        let closed = scene.post("fail-later", "a");
        assert_eq!(closed.status, 503);
        assert_eq!(closed.json()["code"], "ext_proc_unavailable");
        let open = scene.get("/late", "fail-later");
        assert_eq!(
            (open.status, open.header("x-powered-by")),
            (200, Some("test"))
        );
        let logged = ["reason=\"ext_proc_unavailable\""];
        let metrics = scene.gateway.metrics();
        let logged = metrics.sum("gwd_rejections_logged_total", &logged);
        assert_eq!(logged, 5.0);
    });
}

/// The rest of the message could be a refusal.
#[test]
fn partial_message_before_a_clean_end_is_an_outage() {
    let main = Upstream::scripted(upstream);
    let project = released(&main, &processor_of_partial_messages().to_string());
    let gateway = Options::of(&project).start();
    let ask = |path: &str| gateway.ask(&format!("GET {path} HTTP/1.1\nhost: shop.test"));
    let closed = ask("/headers");
    assert_eq!(closed.status, 503);
    assert_eq!(closed.json()["code"], "ext_proc_unavailable");
    assert!(main.take().is_empty());
    assert_eq!(ask("/open").status, 200);
}

#[test]
fn clean_end_of_the_stream_continues_the_request() {
    with_scene(|mut scene| {
        assert_eq!(scene.get("/headers", "close").status, 200);
        let response = scene.post("close", "attack");
        assert_eq!((response.status, response.text().as_str()), (200, "attack"));
        assert!(response.header("x-inspected").is_none());
        assert_eq!(scene.streams().len(), 2);
    });
}

#[test]
fn processor_that_returns_is_used_again() {
    with_scene(|mut scene| {
        let port = scene.processor.greeting()["port"].to_string();
        assert_eq!(scene.get("/headers", "").status, 200);
        let Some(again) = Peer::python("ext_proc.py", &["0"]) else {
            return prerequisite::skip(MISSING);
        };
        // Assigning a new processor drops the old value, which kills the old process.
        scene.processor = again;
        assert_eq!(scene.get("/headers", "").status, 503);
        assert_eq!(scene.get("/open", "").status, 200);
        scene.processor = Peer::python("ext_proc.py", &[port]).expect("it started before");
        wait::until("the processor is used again", || {
            (scene.get("/headers", "").status == 200).then_some(())
        });
        scene.gateway.stops_clean();
    });
}

#[test]
fn exchanges_share_a_connection_and_end_their_streams() {
    with_scene(|mut scene| {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut connection = scene.gateway.connect();
                    for _ in 0..25 {
                        let body = "POST /all HTTP/1.1\r\nhost: s\r\ncontent-length: 2\r\n\r\nab";
                        connection.send(body.as_bytes()).expect("gwd reads");
                        let response = connection.read_response(false).expect("gwd answers");
                        assert_eq!(response.status, 200, "{}", response.text());
                        assert_eq!(response.header("x-inspected"), Some("3,response_headers"));
                    }
                });
            }
        });
        wait::until("all streams have ended", || {
            let metrics = scene.gateway.metrics();
            let active = ["upstream=\"waf\"", "state=\"active\""];
            (metrics.sum("gwd_upstream_connections", &active) == 0.0).then_some(())
        });
        let streams = scene.streams();
        assert_eq!(streams.len(), 200);
        assert!(streams.iter().all(|one| one[3] == "end"), "{streams:?}");
    });
}

#[test]
fn route_decides_by_an_assumed_answer() {
    with_scene(|scene| {
        let decision = |assumed: &[&str]| {
            let all = [
                &["route", "GET", "/headers", "--format", "json"][..],
                assumed,
            ]
            .concat();
            scene.project.gwc(&all).succeeds().json()
        };
        let none = decision(&[]).to_string();
        assert!(none.contains("depends"), "{none}");
        for (answer, expected) in [("allow", "forward"), ("deny", "403"), ("outage", "503")] {
            let assumed = format!("headers={answer}");
            let decided = decision(&["--assume", &assumed]).to_string();
            assert!(decided.contains(expected), "{answer}: {decided}");
        }
    });
}
