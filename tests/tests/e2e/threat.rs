//! Tests of body scans (`kind: threat`) over real sockets. The tests check which part of a refused
//! body the upstream receives, and the log of a scan that only logs.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /blocked:
    post: {operationId: block, x-gateway: {policies: [waf]}, responses: {"200": {description: ok}}}
  /logged:
    post: {operationId: log, x-gateway: {policies: [trial]}, responses: {"200": {description: ok}}}
"#;

fn gateway(upstream: &str) -> Gateway {
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{upstream}\"}}}}}}}}\n\
         policies: {{waf: {{kind: threat, json: {{depth: 3}}}}, trial: {{kind: threat, json: {{depth: 3}}, mode: log}}}}\n\
         defaults: {{upstream: main, security: upstream}}\n\
         release: {{store: releases, channel: prod}}\n",
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    Options::of(&project).start()
}

/// Starts an upstream that reads all bytes of one connection and never responds. The channel
/// `begun` receives a message when the text `first` has arrived.
fn recorder(first: &'static str, begun: Sender<()>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let reads = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut all, mut buffer) = (String::new(), [0; 4096]);
        // The gateway may reset the connection.
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            all.push_str(&String::from_utf8_lossy(&buffer[..length]));
            if all.contains(first) {
                let _sent = begun.send(());
            }
        }
        all
    });
    (format!("http://{address}"), reads)
}

/// Sends a request in two parts. Sends the second part after the upstream has received the first
/// part. Returns the response, and the text that the upstream received.
fn in_two_parts(fields: &str, first: &str, rest: &str) -> (String, String) {
    let (begun, has_begun) = channel();
    let (url, reads) = recorder("[[1]", begun);
    let gateway = gateway(&url);
    let mut connection = gateway.connect();
    let head = format!(
        "POST /blocked HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n{fields}\r\n\r\n{first}"
    );
    connection.send(head.as_bytes()).expect("sent");
    has_begun.recv().expect("the first part");
    connection.send(rest.as_bytes()).expect("sent");
    let response = connection.read_response(false).expect("a response").text();
    (response, reads.join().expect("an upstream"))
}

#[test]
fn refused_body_with_a_length_stays_incomplete() {
    let (response, received) = in_two_parts("content-length: 8", "[[1]", ",[2]");
    assert!(response.contains("ends inside a JSON value"), "{response}");
    assert!(!received.contains("[2]"), "{received}");
}

#[test]
fn refused_body_in_chunks_has_no_end() {
    let chunked = "transfer-encoding: chunked";
    let (response, received) = in_two_parts(chunked, "4\r\n[[1]\r\n", "5\r\n,[2],\r\n0\r\n\r\n");
    assert!(response.contains("threat_detected"), "{response}");
    assert!(!received.ends_with("0\r\n\r\n"), "{received}");
    let (response, received) = in_two_parts(chunked, "4\r\n[[1]\r\n", "5\r\n,[[[]\r\n0\r\n\r\n");
    assert!(response.contains("has more than 3 levels"), "{response}");
    assert!(!received.contains("[[["), "{received}");
}

#[test]
fn violations_are_logged_and_counted() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url());
    let deep = "[[[[]]]]";
    for (path, status) in [("/logged", 200), ("/blocked", 400)] {
        let mut connection = gateway.connect();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{deep}"
        );
        connection.send(request.as_bytes()).expect("sent");
        let response = connection.read_response(false).expect("a response");
        assert_eq!(response.status, status, "{}", response.text());
    }
    assert_eq!(upstream.take().len(), 1);
    let lines = wait::until("two lines", || {
        let lines = gateway.access_log().lines();
        (lines.len() >= 2).then_some(lines)
    });
    let line = |path: &str| {
        lines
            .iter()
            .find(|line| line["path"] == path)
            .expect("a line")
    };
    assert_eq!(line("/logged")["would_refuse"], "threat_detected");
    assert_eq!(
        line("/logged")["threat"],
        "trial has more than 3 levels at byte 3"
    );
    assert_eq!(line("/blocked")["reason"], "threat_detected");
    assert_eq!(
        line("/blocked")["threat"],
        "waf has more than 3 levels at byte 3"
    );
    let count = |family: &str, policy: &str| {
        let policy = format!("policy=\"{policy}\"");
        let labels = ["reason=\"threat_detected\"", policy.as_str()];
        gateway.metrics().sum(family, &labels)
    };
    assert_eq!(count("gwd_rejections_total", "waf"), 1.0);
    assert_eq!(count("gwd_rejections_logged_total", "trial"), 1.0);
    gateway.stops_clean();
}
