//! Tests over real sockets of the item check of sequences (`itemSchema`): valid items in an open
//! body, refused items, long items, and the operator's switch.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::wait;
use serde_json::{Value, json};

const DOCUMENT: &str = r##"openapi: 3.2.0
info: {title: s, version: "1"}
x-gateway: {undeclared_params: reject}
paths:
  /lines:
    post:
      operationId: lines
      requestBody: &lines {required: true, content: {application/x-ndjson: {itemSchema: {$ref: "#/components/schemas/Item"}}}}
      responses: &ok {"200": {description: ok}}
  /logged:
    post:
      operationId: logged
      x-gateway: {validate: {request: log}}
      requestBody: *lines
      responses: *ok
  /records:
    post:
      operationId: records
      requestBody: {required: true, content: {application/json-seq: {itemSchema: {$ref: "#/components/schemas/Item"}}}}
      responses: *ok
  /events:
    get:
      operationId: events
      x-gateway: {stream: true}
      responses: &events {"200": {description: ok, content: {text/event-stream: {itemSchema: {$ref: "#/components/schemas/Event"}}}}}
  /plain:
    get:
      operationId: plain
      responses: *events
  /seen:
    get:
      operationId: seen
      x-gateway: {stream: true, validate: {response: log}}
      responses: *events
components:
  schemas:
    Item: {type: object, required: [id], properties: {id: {type: integer}, names: {type: object, additionalProperties: {type: integer}, x-gateway: {redact: true}}}}
    Event:
      required: [data]
      properties:
        data: {type: string, contentMediaType: application/json, contentSchema: {$ref: "#/components/schemas/Item"}}
"##;

/// Time to wait before the test concludes that no bytes arrive.
const QUIET: Duration = Duration::from_millis(200);

struct Scene {
    gateway: Gateway,
    /// Socket of the upstream, whose connections the tests accept.
    upstream: TcpListener,
    _project: Project,
}

impl Scene {
    fn new() -> Self {
        Self::with("")
    }

    /// Starts a gateway with limits at its listener.
    fn with(limits: &str) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = upstream.local_addr().expect("an address");
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"{limits}}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"http://{address}\"}}}}}}}}\n\
             defaults: {{upstream: main, security: upstream, validate: {{request: block, response: block}}}}\n\
             release: {{store: releases, channel: prod}}\n",
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        let gateway = Options::of(&project).start();
        for path in [
            "POST /lines",
            "POST /logged",
            "POST /records",
            "GET /events",
            "GET /plain",
            "GET /seen",
        ] {
            // Compiling a validator may take longer than a request waits for it.
            wait::until("a compiled validator", || {
                let refused = gateway.ask(&format!("{path}?undescribed=1 HTTP/1.1\nhost: h"));
                (refused.status == 400).then_some(())
            });
        }
        Self {
            gateway,
            upstream,
            _project: project,
        }
    }

    /// Sends the head of a request with these fields, and the first bytes of the body.
    fn begin(&self, line: &str, fields: &str, body: &str) -> Connection {
        let mut client = self.gateway.connect();
        let head = format!("{line} HTTP/1.1\r\nhost: h\r\n{fields}\r\n\r\n{body}");
        client.send(head.as_bytes()).expect("sent");
        client
    }

    /// Accepts the gateway's next upstream connection that carries a request, and reads the request
    /// head. Connections without bytes are skipped, because an early refusal can leave such a
    /// connection.
    fn accept(&self) -> Peer {
        let begun = |stream: &TcpStream| stream.peek(&mut [0]).expect("bytes in time") > 0;
        let mut connections = std::iter::repeat_with(|| self.upstream.accept());
        let stream = connections.find_map(|connection| {
            let (stream, _) = connection.expect("a connection");
            begun(&stream).then_some(stream)
        });
        let stream = stream.expect("a request");
        stream.set_read_timeout(Some(wait::WAIT_MAX)).expect("set");
        let mut peer = Peer {
            stream,
            head: String::new(),
            text: String::new(),
        };
        // The first bytes of the body may follow the head.
        while !peer.text.contains("\r\n\r\n") {
            peer.fill();
        }
        let head = peer.text.find("\r\n\r\n").unwrap_or_default();
        peer.head = peer.text.drain(..head + 4).collect();
        peer
    }

    fn outcome(&self, kind: &str, outcome: &str) -> f64 {
        let labels = [format!("kind=\"{kind}\""), format!("outcome=\"{outcome}\"")];
        let labels = [labels[0].as_str(), labels[1].as_str()];
        self.gateway
            .metrics()
            .sum("gwd_policy_calls_total", &labels)
    }

    /// Log line of the first request to a path. Requests that [`Self::new`] sent are excluded.
    fn line(&self, path: &str) -> Value {
        wait::until("a log line", || {
            let lines = self.gateway.access_log().lines();
            let mut own = lines.into_iter().filter(|line| line["path"] == path);
            own.find(|line| line["query"].is_null())
        })
    }
}

/// Connection of the gateway to the upstream, or a streamed response at the client.
struct Peer {
    stream: TcpStream,
    /// Head of the request, at the upstream.
    head: String,
    /// Bytes received since the last call of [`Self::read_until`].
    text: String,
}

impl Peer {
    /// Reads until the received text ends in `end`, and returns it.
    fn read_until(&mut self, end: &str) -> String {
        while !self.text.ends_with(end) {
            self.fill();
        }
        std::mem::take(&mut self.text)
    }

    fn fill(&mut self) {
        let mut bytes = [0; 65_536];
        let length = self.stream.read(&mut bytes).expect("bytes in time");
        assert!(length > 0, "ended after {:?}", self.text);
        let text = String::from_utf8_lossy(&bytes[..length]);
        self.text.push_str(&text);
    }

    /// Reads until the connection ends.
    fn read_to_end(&mut self) -> String {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        // A reset also ends the connection.
        let _reset = self.stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asserts that nothing arrives for a while.
    fn is_quiet(&mut self) {
        self.stream.set_read_timeout(Some(QUIET)).expect("set");
        let read = self.stream.read(&mut [0]);
        assert!(read.is_err(), "{read:?}");
        self.stream
            .set_read_timeout(Some(wait::WAIT_MAX))
            .expect("set");
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("sent");
    }
}

/// Chunk of a chunked body.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const LINES: &str = "content-type: application/x-ndjson\r\ntransfer-encoding: chunked";
const RECORDS: &str = "content-type: application/json-seq\r\ntransfer-encoding: chunked";
const OK: &str = "HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &str = "HTTP/1.1 200 x\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\
                      transfer-encoding: chunked\r\n\r\n";

#[test]
fn good_lines_pass_before_the_upload_ends() {
    let scene = Scene::new();
    for (line, fields, begin) in [
        ("POST /lines", LINES, ""),
        ("POST /records", RECORDS, "\x1e"),
    ] {
        let item = |text: &str| chunk(&format!("{begin}{text}"));
        let first = item("{\"id\":1}\n") + &item("{\"id\":");
        let mut client = scene.begin(line, fields, &first);
        let mut upstream = scene.accept();
        upstream.read_until("{\"id\":1}\n\r\n");
        upstream.is_quiet();
        client.send(chunk("2}\n").as_bytes()).expect("sent");
        upstream.read_until("{\"id\":2}\n\r\n");
        let bad = item("{\"id\":\"SECRET\"}\n{\"id\":4}\n");
        client.send(bad.as_bytes()).expect("sent");
        let refused = client.read_response(false).expect("a response");
        assert_eq!(refused.status, 400, "{}", refused.text());
        let refused = refused.json();
        assert_eq!(refused["code"], "request_invalid", "{refused}");
        assert_eq!(refused["errors"][0]["pointer"], "#/2/id", "{refused}");
        assert!(!refused.to_string().contains("SECRET"), "{refused}");
        assert_eq!(upstream.read_to_end(), "", "neither the item nor an end");
    }
    assert_eq!(scene.outcome("validate", "invalid"), 2.0);
    let line = scene.line("/lines");
    assert_eq!(line["reason"], "request_invalid", "{line}");
    assert_eq!(
        line["invalid"], "body #/2/id must be of type integer",
        "{line}"
    );
    // The log line must not report that the client ended the body early.
    assert_eq!(line["reason_detail"], Value::Null, "{line}");
    let labels = ["policy=\"validate\"", "reason=\"request_invalid\""];
    wait::until("two rejections", || {
        let refused = scene.gateway.metrics().sum("gwd_rejections_total", &labels);
        // [`Scene::new`] causes six more rejections.
        (refused >= 8.0).then_some(())
    });
    scene.gateway.stops_clean();
}

#[test]
fn valid_upload_is_complete() {
    let scene = Scene::new();
    for (path, body) in [
        ("/lines", "{\"id\":1}\n\n{\"id\":2}\n{\"id\":3}"),
        ("/logged", "{\"id\":1}\n{\"id\":2}"),
        ("/lines", ""),
    ] {
        // Each byte is a chunk.
        let bytes: String = body.chars().map(|one| chunk(&one.to_string())).collect();
        let mut client = scene.begin(&format!("POST {path}"), LINES, &(bytes + "0\r\n\r\n"));
        let mut upstream = scene.accept();
        upstream.read_until("0\r\n\r\n");
        upstream.send(OK);
        assert_eq!(client.read_response(false).expect("a response").status, 200);
        let length = "content-type: application/x-ndjson\r\ncontent-length:";
        let fields = format!("{length} {}", body.len());
        if body.is_empty() {
            continue;
        }
        let mut client = scene.begin(&format!("POST {path}"), &fields, body);
        let mut upstream = scene.accept();
        let tail = &body[body.len() - 8..];
        upstream.read_until(tail);
        upstream.send(OK);
        assert_eq!(client.read_response(false).expect("a response").status, 200);
    }
    wait::until("valid bodies", || {
        (scene.outcome("validate", "valid") >= 5.0).then_some(())
    });
    scene.gateway.stops_clean();
}

#[test]
fn refused_upload_with_a_length_is_incomplete() {
    let scene = Scene::new();
    let body = "{\"id\":1}\n{\"id\":\"x\"}";
    let fields = format!(
        "content-type: application/x-ndjson\r\ncontent-length: {}",
        body.len()
    );
    let (begun, rest) = body.split_at(12);
    let mut client = scene.begin("POST /lines", &fields, begun);
    let mut upstream = scene.accept();
    upstream.read_until("{\"id\":1}\n");
    client.send(rest.as_bytes()).expect("sent");
    assert_eq!(client.read_response(false).expect("a response").status, 400);
    assert_eq!(upstream.read_to_end(), "");
    scene.gateway.stops_clean();
}

#[test]
fn bad_lines_are_logged_and_pass_at_once() {
    let scene = Scene::new();
    let body = chunk("{\"id\":\"SECRET\"}\n{}\n{\"id\"");
    let mut client = scene.begin("POST /logged", LINES, &body);
    let mut upstream = scene.accept();
    upstream.read_until("{\"id\"\r\n");
    let rest =
        chunk(":3}\n") + &chunk("{\"id\":0,\"names\":{\"SECRET\":\"SECRET\"}}") + "0\r\n\r\n";
    client.send(rest.as_bytes()).expect("sent");
    upstream.read_until("0\r\n\r\n");
    upstream.send(OK);
    assert_eq!(client.read_response(false).expect("a response").status, 200);
    let line = scene.line("/logged");
    assert_eq!(line["would_refuse"], "request_invalid", "{line}");
    assert_eq!(
        line["invalid"],
        "body #/0/id must be of type integer; body #/1 must have the property \"id\"; \
         body #/3/names does not match the schema",
        "{line}"
    );
    assert_eq!(line["invalid_items"], 3, "{line}");
    assert!(!line.to_string().contains("SECRET"), "{line}");
    let labels = ["policy=\"validate\"", "reason=\"request_invalid\""];
    let logged = scene
        .gateway
        .metrics()
        .sum("gwd_rejections_logged_total", &labels);
    assert_eq!(logged, 1.0);
    assert_eq!(scene.outcome("validate", "invalid"), 1.0);
    scene.gateway.stops_clean();
}

/// Begins a streamed response. Returns the connections of the client and of the upstream.
fn stream(scene: &Scene, path: &str) -> (Peer, Peer) {
    let stream = TcpStream::connect(scene.gateway.address()).expect("connected");
    stream.set_read_timeout(Some(wait::WAIT_MAX)).expect("set");
    let mut client = Peer {
        stream,
        head: String::new(),
        text: String::new(),
    };
    client.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
    let mut upstream = scene.accept();
    upstream.send(STREAM);
    client.read_until("\r\n\r\n");
    (client, upstream)
}

#[test]
fn good_events_pass_before_the_stream_ends() {
    let scene = Scene::new();
    let (mut client, mut upstream) = stream(&scene, "/events");
    for id in 0..3 {
        let event = format!("data: {{\"id\": {id}}}\n\n");
        upstream.send(&chunk(&event));
        client.read_until(&format!("{event}\r\n"));
        upstream.send(&chunk(": ping\n"));
        client.read_until(": ping\n\r\n");
    }
    upstream.send(&chunk("event: x\ndata: {\"id\": "));
    client.is_quiet();
    upstream.send(&chunk("\"SECRET\"}\n\ndata: {\"id\": 9}\n\n"));
    assert_eq!(client.read_to_end(), "", "neither the event nor an end");
    let line = scene.line("/events");
    let found = "body #/3/data/id must be of type integer";
    assert_eq!(line["reason"], "response_invalid", "{line}");
    assert_eq!(line["reason_detail"], found, "{line}");
    assert_eq!(line["error_origin"], "upstream", "{line}");
    assert!(!line.to_string().contains("SECRET"), "{line}");
    assert_eq!(scene.outcome("validate_response", "invalid"), 1.0);
    let labels = ["policy=\"validate\"", "reason=\"response_invalid\""];
    let refused = scene.gateway.metrics().sum("gwd_rejections_total", &labels);
    assert_eq!(refused, 1.0);
    scene.gateway.stops_clean();
}

#[test]
fn bad_events_are_logged_and_pass_at_once() {
    let scene = Scene::new();
    let (mut client, mut upstream) = stream(&scene, "/seen");
    upstream.send(&chunk("data: {\"id\": \"SECRET\"}\n\ndata: {\"id\""));
    client.read_until("data: {\"id\"\r\n");
    upstream.send(&(chunk(": 1}\r\r") + &chunk("data: [") + "0\r\n\r\n"));
    client.read_until("0\r\n\r\n");
    let line = scene.line("/seen");
    assert_eq!(line["would_refuse"], "response_invalid", "{line}");
    assert_eq!(
        line["invalid_response"],
        "body #/0/data/id must be of type integer; body #/2/data is not valid JSON",
        "{line}"
    );
    assert_eq!(line["invalid_response_items"], 2, "{line}");
    assert!(!line.to_string().contains("SECRET"), "{line}");
    scene.gateway.stops_clean();
}

/// An item of 100 KiB is checked on another thread. One of more than 1 MiB is not checked.
#[test]
fn long_items_are_checked_up_to_a_limit() {
    let scene = Scene::new();
    let item =
        |bytes: usize, id: &str| format!("{{\"id\":{id},\"x\":\"{}\"}}\n", "y".repeat(bytes));
    let upload = |path: &str, items: &[String]| {
        let parts = items.concat().into_bytes();
        let parts = parts
            .chunks(10_000)
            .map(|part| String::from_utf8(part.to_vec()).expect("text"));
        let body: String = parts.map(|part| chunk(&part)).collect();
        let mut client = scene.gateway.connect();
        let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\n{LINES}\r\n\r\n");
        let upstream = scene.upstream.try_clone().expect("a socket");
        let serves = std::thread::spawn(move || {
            let (stream, _) = upstream.accept().expect("a connection");
            let mut peer = Peer {
                stream,
                head: String::new(),
                text: String::new(),
            };
            let mut bytes = vec![0; 65_536];
            while !peer.text.ends_with("0\r\n\r\n") {
                match peer.stream.read(&mut bytes) {
                    Ok(length) if length > 0 => {
                        peer.text
                            .push_str(&String::from_utf8_lossy(&bytes[..length]));
                    }
                    _ => return peer.text,
                }
            }
            peer.send(OK);
            peer.text
        });
        // Ignore errors: the gateway may refuse the body before the whole body is sent.
        let _early = client.send((head + &body + "0\r\n\r\n").as_bytes());
        let status = client
            .read_response(false)
            .map_or(0, |response| response.status);
        (status, serves.join().expect("an upstream"))
    };
    let (status, received) = upload("/lines", &[item(100_000, "1"), item(100_000, "2")]);
    assert_eq!(status, 200);
    assert!(received.len() > 200_000);
    let (status, received) = upload("/lines", &[item(100_000, "1"), item(100_000, "\"z\"")]);
    assert_eq!(status, 400);
    assert!(received.contains("{\"id\":1") && !received.contains("{\"id\":\"z\""));
    let long = [item(10, "1"), item(2_000_000, "\"z\""), item(10, "3")];
    let (status, received) = upload("/lines", &long);
    assert_eq!(status, 413);
    assert!(!received.contains("{\"id\":\"z\""));
    let (status, received) = upload("/logged", &long);
    assert_eq!(status, 200);
    assert!(received.contains("{\"id\":\"z\""));
    wait::until("an unchecked body", || {
        (scene.outcome("validate", "unchecked") >= 2.0).then_some(())
    });
    scene.gateway.stops_clean();
}

#[test]
fn operator_limits_the_check_of_open_streams() {
    let scene = Scene::new();
    let limit = |mode: &str| {
        let order = json!({"mode": mode, "reason": "false alarms"});
        let done = scene.gateway.admin_ask("PUT", "/v1/validation", &order);
        assert_eq!(done.status, 200);
    };
    let (mut client, mut upstream) = stream(&scene, "/events");
    for mode in ["log", "off"] {
        limit(mode);
        let event = format!("data: {mode}\n\n");
        upstream.send(&chunk(&event));
        client.read_until(&format!("{event}\r\n"));
    }
    limit("restore");
    upstream.send(&chunk("data: restore\n\n"));
    assert_eq!(client.read_to_end(), "");
    limit("log");
    let mut client = scene.begin("POST /lines", LINES, &chunk("1\n"));
    let mut upstream = scene.accept();
    upstream.read_until("1\n\r\n");
    limit("restore");
    client.send(chunk("2\n").as_bytes()).expect("sent");
    assert_eq!(client.read_response(false).expect("a response").status, 400);
    assert_eq!(upstream.read_to_end(), "");
    scene.gateway.stops_clean();
}

#[test]
fn items_of_http2_messages_are_checked() {
    let scene = Scene::with(", http2: true");
    let url = |path: &str| format!("http://{}{path}", scene.gateway.address());
    let curl = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--http2-prior-knowledge", "--max-time", "20"]);
        curl.args(["--write-out", " %{http_version} %{http_code}"]);
        let curl = curl.args(arguments).stdout(Stdio::piped());
        curl.spawn().expect("curl runs")
    };
    let ends = |curl: Child| {
        let output = curl.wait_with_output().expect("curl ends");
        let text = String::from_utf8(output.stdout).expect("a text");
        (output.status.success(), text)
    };
    let lines = ["--header", "content-type: application/x-ndjson"];
    let uploads = |body: &str| {
        let body = ["--data-binary", body, &url("/lines")];
        curl(&[&lines[..], &body[..]].concat())
    };
    let good = uploads("{\"id\":1}\n{\"id\":2}");
    let mut upstream = scene.accept();
    upstream.read_until("{\"id\":2}");
    upstream.send(OK);
    assert_eq!(ends(good), (true, "ok 2 200".to_owned()));
    let (is_complete, refused) = ends(uploads("{\"id\":1}\n{\"id\":\"x\"}"));
    assert!(is_complete && refused.ends_with(" 2 400"), "{refused}");
    assert!(refused.contains("\"pointer\":\"#/1/id\""), "{refused}");
    for (event, expected) in [("data: 2\n\n", false), ("data: {\"id\":2}\n\n", true)] {
        let client = curl(&[&url("/events")]);
        // Skip the upstream request of the refused upload. gwd may have forwarded its head.
        let requests = std::iter::repeat_with(|| scene.accept());
        let mut requests = requests.skip_while(|one| !one.head.starts_with("GET"));
        let mut upstream = requests.next().expect("a request");
        upstream.send(STREAM);
        upstream.send(&(chunk("data: {\"id\":1}\n\n") + &chunk(event) + "0\r\n\r\n"));
        let (is_complete, received) = ends(client);
        assert_eq!(is_complete, expected, "{received}");
        // curl may discard what it has received before the reset.
        assert_eq!(received.contains(event), expected, "{received}");
    }
    scene.gateway.stops_clean();
}

#[test]
fn bytes_of_an_incomplete_item_are_counted() {
    let scene = Scene::new();
    let buffered = || scene.gateway.metrics().sum("gwd_buffered_bytes", &[]);
    let before = buffered();
    let item = format!("{{\"id\":1,\"x\":\"{}", "y".repeat(900_000));
    for path in ["/lines", "/logged"] {
        let client = scene.begin(&format!("POST {path}"), LINES, &chunk(&item));
        let _upstream = scene.accept();
        wait::until("bytes that are held", || {
            (buffered() - before >= 900_000.0).then_some(())
        });
        drop(client);
        wait::until("bytes that were released", || {
            (buffered() - before < 100_000.0).then_some(())
        });
    }
    scene.gateway.stops_clean();
}

/// Each received part of an incomplete item restarts the sender's timeouts.
#[test]
fn slow_item_restarts_the_timeouts() {
    const PARTS: usize = 8;
    let scene = Scene::with(", limits: {body_timeout: 1s, stream_idle_timeout: 1s}");
    let part = "x".repeat(200);
    let pause = Duration::from_millis(400);
    let (mut client, mut upstream) = stream(&scene, "/plain");
    upstream.send(&chunk("data: {\"id\": 1, \"x\": \""));
    for _ in 0..PARTS {
        std::thread::sleep(pause);
        upstream.send(&chunk(&part));
    }
    upstream.send(&(chunk("\"}\n\n") + "0\r\n\r\n"));
    client.read_until("0\r\n\r\n");
    let mut client = scene.begin("POST /lines", LINES, &chunk("{\"id\": 1, \"x\": \""));
    for _ in 0..PARTS {
        std::thread::sleep(pause);
        client.send(chunk(&part).as_bytes()).expect("sent");
    }
    let end = chunk("\"}\n") + "0\r\n\r\n";
    client.send(end.as_bytes()).expect("sent");
    let mut upstream = scene.accept();
    upstream.read_until("0\r\n\r\n");
    upstream.send(OK);
    assert_eq!(client.read_response(false).expect("a response").status, 200);
    scene.gateway.stops_clean();
}

/// The gateway stores at most one item of each sequence, so long sequences need constant memory.
#[test]
fn long_sequences_take_constant_memory() {
    const ROUNDS: usize = 1_600;
    let scene = Scene::new();
    let items: String = (0..1_000)
        .map(|id| format!("{{\"id\":{id},\"x\":\"{:50}\"}}\n", ""))
        .collect();
    let events: String = (0..1_000)
        .map(|id| format!("data: {{\"id\":{id},\"x\":\"{:40}\"}}\n\n", ""))
        .collect();
    let before = scene.gateway.memory_bytes();
    let upstream = scene.upstream.try_clone().expect("a socket");
    let serves = std::thread::spawn(move || {
        let (mut stream, _) = upstream.accept().expect("a connection");
        let (mut bytes, mut count, mut tail) = (vec![0; 1 << 16], 0, Vec::new());
        while !tail.ends_with(b"0\r\n\r\n") {
            let length = stream.read(&mut bytes).expect("bytes");
            assert!(length > 0, "the upload ended early");
            count += length;
            tail.extend_from_slice(&bytes[..length]);
            tail.drain(..tail.len().saturating_sub(5));
        }
        stream.write_all(OK.as_bytes()).expect("sent");
        let (mut stream, _) = upstream.accept().expect("a connection");
        let _head = stream.read(&mut bytes).expect("a head");
        stream.write_all(STREAM.as_bytes()).expect("sent");
        let part = chunk(&events);
        for _ in 0..ROUNDS {
            stream.write_all(part.as_bytes()).expect("sent");
        }
        stream.write_all(b"0\r\n\r\n").expect("sent");
        count
    });
    let mut client = scene.begin("POST /lines", LINES, "");
    let part = chunk(&items);
    for _ in 0..ROUNDS {
        client.send(part.as_bytes()).expect("sent");
    }
    client.send(b"0\r\n\r\n").expect("sent");
    assert_eq!(client.read_response(false).expect("a response").status, 200);
    let mut client = TcpStream::connect(scene.gateway.address()).expect("connected");
    client
        .write_all(b"GET /events HTTP/1.1\r\nhost: h\r\n\r\n")
        .expect("sent");
    let (mut bytes, mut received, mut tail) = (vec![0; 1 << 16], 0, Vec::new());
    while !tail.ends_with(b"0\r\n\r\n") {
        let length = client.read(&mut bytes).expect("bytes");
        assert!(length > 0, "the response ended early");
        received += length;
        tail.extend_from_slice(&bytes[..length]);
        tail.drain(..tail.len().saturating_sub(5));
    }
    let sent = serves.join().expect("an upstream");
    assert!(
        sent > 100_000_000 && received > 100_000_000,
        "{sent} {received}"
    );
    let more = scene.gateway.memory_bytes().saturating_sub(before);
    assert!(more < 32 << 20, "{more} bytes more");
    scene.gateway.stops_clean();
}
