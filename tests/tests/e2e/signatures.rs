//! Tests of signed requests (RFC 9421). A third-party signer (`tests/peers/signer.py`, Python's
//! standard library) signs the requests. Some requests have a different body than the signed body.
//! The requests go over HTTP/1.1 to an upstream that records bytes.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use e2e::gateway::{Gateway, Options};
use e2e::peers::Peer;
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::{Value, json};

const SECRET: &str = "a secret of acme, of at least thirty-two bytes";
const OTHER: &str = "a secret of nobody, of at least thirty-two bytes";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    signed: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed, strip_credential: true}}
    narrow: {type: apiKey, in: header, name: Signature, x-gateway: {auth: narrow}}
    aliyun: {type: apiKey, in: header, name: X-Ca-Signature, x-gateway: {auth: aliyun, strip_credential: true}}
    tencent: {type: apiKey, in: header, name: Authorization, x-gateway: {auth: tencent, strip_credential: true}}
paths:
  /orders:
    get: {operationId: list, security: [{signed: []}], responses: {"200": {description: ok}}}
    post: {operationId: add, security: [{signed: []}], responses: {"200": {description: ok}}}
  /aliyun: {post: {operationId: aliyun, security: [{aliyun: []}], responses: {"200": {description: ok}}}}
  /tencent: {post: {operationId: tencent, security: [{tencent: []}], responses: {"200": {description: ok}}}}
  /narrow: {post: {operationId: narrow, security: [{narrow: []}], responses: {"200": {description: ok}}}}
"#;

/// Test scene: a gateway with signed operations, and a third-party signer.
struct Scene {
    gateway: Gateway,
    signer: Peer,
    nonces: u32,
    _project: Project,
}

impl Scene {
    /// Creates the scene with this upstream. `None` if Python is not installed.
    fn before(upstream: &str) -> Option<Self> {
        let signer = Peer::plain_python("signer.py")?;
        let project = Project::new();
        let secret = project.path("secrets/acme").display().to_string();
        let secrets = json!({"acme": format!("${{file:{secret}}}")});
        let narrow = ["@method", "@path", "@authority", "content-digest"];
        let gateway = json!({
            "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
            "listeners": {"public": {"address": "127.0.0.1:8080", "http2": true}},
            "upstreams": {"main": {"targets": {"a": {"url": upstream}}}},
            "auth": {
                "signed": {"kind": "hmac_signature", "secrets": secrets},
                "aliyun": {"kind": "hmac_signature", "secrets": secrets, "style": "aliyun"},
                "tencent": {"kind": "hmac_signature", "secrets": secrets, "style": "tencent"},
                "narrow": {"kind": "hmac_signature", "secrets": secrets, "components": narrow},
            },
            "consumers": {"acme": {"groups": ["partners"]}},
            "defaults": {"upstream": "main"},
        });
        project.write("gateway.yaml", gateway.to_string());
        project.write("openapi.yaml", DOCUMENT);
        project.write("secrets/acme", SECRET);
        project.keygen();
        project.apply();
        let folder = project.path("secrets").display().to_string();
        let options = Options::of(&project).workers(2);
        let gateway = options.arguments(&["--secret-dir", &folder]).start();
        Some(Self {
            gateway,
            signer,
            nonces: 0,
            _project: project,
        })
    }

    /// Signs a request and returns its head, without the empty line. `edit` changes the recipe for
    /// the signer.
    fn signed(&mut self, method: &str, target: &str, edit: &Value) -> String {
        self.nonces += 1;
        let mut recipe = json!({
            "method": method, "url": format!("http://api.example{target}"), "secret": SECRET,
            "covered": ["\"@method\"", "\"@target-uri\"", "\"@authority\""],
            "params": format!(";keyid=\"acme\";nonce=\"n{}\"", self.nonces),
        });
        for (key, value) in edit.as_object().expect("an edit") {
            recipe[key] = value.clone();
        }
        let answer = self.signer.ask(&recipe);
        let fields = answer["fields"].as_array().expect("fields").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = fields.map(|field| format!("\r\n{}: {}", text(&field[0]), text(&field[1])));
        let lines: String = lines.collect();
        format!("{method} {target} HTTP/1.1\r\nhost: api.example{lines}")
    }

    /// Sends bytes on a new connection. Returns the status and the reason of the response.
    fn send(&self, bytes: &[u8]) -> (u16, String) {
        let mut connection = self.gateway.connect();
        // Ignore errors: gwd may respond before the whole request is sent.
        let _sent = connection.send(bytes);
        let response = connection.read_response(false).expect("a response");
        let code = match response.status {
            200 => Value::Null,
            _ => response.json()["code"].clone(),
        };
        (
            response.status,
            code.as_str().unwrap_or_default().to_owned(),
        )
    }

    /// Sends a head with a body and the body's `Content-Length`.
    fn post(&self, head: &str, body: &[u8]) -> (u16, String) {
        let head = format!("{head}\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat())
    }

    fn get(&self, head: &str) -> (u16, String) {
        self.send(format!("{head}\r\n\r\n").as_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn covered_digest(body: &[u8]) -> Value {
    json!({
        "body": hex(body),
        "covered": ["\"@method\"", "\"@target-uri\"", "\"@authority\"", "\"content-digest\""],
    })
}

const OK: (u16, &str) = (200, "");
const INVALID: (u16, &str) = (401, "signature_invalid");

fn borrowed(found: &(u16, String)) -> (u16, &str) {
    (found.0, &found.1)
}

#[test]
fn signed_requests_are_admitted_once() {
    let upstream = Upstream::start();
    let Some(mut scene) = Scene::before(&upstream.url()) else {
        return prerequisite::skip("python3 is not installed");
    };
    let get = scene.signed("GET", "/orders?x=1", &json!({}));
    assert_eq!(borrowed(&scene.get(&get)), OK);
    let seen = upstream.take().remove(0);
    assert_eq!(seen.header("x-consumer-name"), Some("acme"));
    for stripped in ["signature", "signature-input"] {
        assert_eq!(seen.header(stripped), None, "{stripped}");
    }
    // Several connections reach both workers. Nonces are stored per process, so each worker must
    // refuse the repeated nonce.
    for _ in 0..8 {
        assert_eq!(borrowed(&scene.get(&get)), INVALID);
    }
    let other = get.replacen("GET /orders?x=1", "GET /orders?x=2", 1);
    assert_eq!(borrowed(&scene.get(&other)), INVALID);
    let wrong = scene.signed("GET", "/orders", &json!({"secret": OTHER}));
    assert_eq!(borrowed(&scene.get(&wrong)), INVALID);
    let old = scene.signed("GET", "/orders", &json!({"created": 301}));
    assert_eq!(borrowed(&scene.get(&old)), INVALID);
    let body = b"{\"hello\": \"world\"}";
    let post = scene.signed("POST", "/orders", &covered_digest(body));
    assert_eq!(borrowed(&scene.post(&post, body)), OK);
    assert_eq!(upstream.take()[0].body, body);
    let narrow = json!({
        "body": hex(body),
        "covered": ["\"@method\"", "\"@path\"", "\"@authority\"", "\"content-digest\""],
    });
    let narrow = scene.signed("POST", "/narrow", &narrow);
    assert_eq!(borrowed(&scene.post(&narrow, body)), OK);
    assert!(
        upstream.take()[0].header("signature").is_some(),
        "not stripped"
    );
    let metrics = scene.gateway.metrics();
    let rejections = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        metrics.sum(
            "gwd_rejections_total",
            &["policy=\"authenticate\"", &reason],
        )
    };
    assert_eq!(rejections("signature_replayed"), 8.0);
    assert_eq!(rejections("signature_signature"), 2.0);
    assert_eq!(rejections("signature_age"), 1.0);
    let log = scene.gateway.log();
    assert!(!log.contains(SECRET));
}

#[test]
fn nonces_in_another_order_are_admitted_once() {
    let upstream = Upstream::start();
    let Some(mut scene) = Scene::before(&upstream.url()) else {
        return prerequisite::skip("Python is not installed");
    };
    let signed: Vec<String> = (0..6)
        .map(|_| scene.signed("GET", "/orders", &json!({})))
        .collect();
    for index in [5, 0, 3, 1, 4, 2] {
        assert_eq!(borrowed(&scene.get(&signed[index])), OK, "{index}");
    }
    // Both workers refuse each repeated request, in any order.
    for index in [2, 5, 0, 4, 1, 3, 0, 1, 2, 3, 4, 5] {
        assert_eq!(borrowed(&scene.get(&signed[index])), INVALID, "{index}");
    }
    assert_eq!(upstream.take().len(), 6);
}

#[test]
fn refused_signature_lists_what_to_sign() {
    let upstream = Upstream::start();
    let Some(mut scene) = Scene::before(&upstream.url()) else {
        return prerequisite::skip("python3 is not installed");
    };
    let wanted =
        r#"sig=("@authority" "@method" "@target-uri" "content-digest");created;alg="hmac-sha256""#;
    let get = scene.signed("GET", "/orders", &json!({"covered": []}));
    for (head, code) in [
        (
            "GET /orders HTTP/1.1\r\nhost: api.example",
            "credential_missing",
        ),
        (get.as_str(), "signature_invalid"),
    ] {
        let response = scene.gateway.ask(head);
        assert_eq!(response.status, 401);
        assert_eq!(response.json()["code"], code);
        assert_eq!(response.header("accept-signature"), Some(wanted), "{code}");
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, Some("Signature realm=\"gateway\""), "{code}");
    }
    assert!(upstream.take().is_empty());
}

/// Starts an upstream that never responds. The receiver gets the bytes that arrived before the
/// connection closed.
fn silent() -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut all = Vec::new();
            let _reset = stream.read_to_end(&mut all);
            if sender.send(all).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

const MISMATCH: (u16, &str) = (400, "content_digest_mismatch");

#[test]
fn end_of_an_unsigned_body_never_arrives() {
    let (url, upstream) = silent();
    let Some(mut scene) = Scene::before(&url) else {
        return prerequisite::skip("python3 is not installed");
    };
    let body = vec![b'a'; 300_000];
    let mut other = body.clone();
    other[299_999] = b'b';
    let post = scene.signed("POST", "/orders", &covered_digest(&body));
    assert_eq!(borrowed(&scene.post(&post, &other)), MISMATCH);
    let seen = upstream.recv().expect("the request was aborted");
    assert!(seen.len() < 300_000, "{}", seen.len());
    assert!(!seen.contains(&b'b') || !seen.ends_with(b"b"), "its end");
    // This body is chunked, and the last chunk never arrives.
    let post = scene.signed("POST", "/orders", &covered_digest(&body));
    let head = format!("{post}\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("{:x}\r\n", other.len());
    let chunks = [chunk.as_bytes(), &other, b"\r\n0\r\n\r\n"].concat();
    let sent = [head.as_bytes(), &chunks].concat();
    assert_eq!(borrowed(&scene.send(&sent)), MISMATCH);
    let seen = upstream.recv().expect("the request was aborted");
    assert!(!seen.ends_with(b"0\r\n\r\n"), "its end");
}

#[test]
fn bodies_without_their_digest_are_refused() {
    let upstream = Upstream::start();
    let Some(mut scene) = Scene::before(&upstream.url()) else {
        return prerequisite::skip("python3 is not installed");
    };
    let body: &[u8] = b"{\"hello\": \"world\"}";
    // The request has a body, but the signature covers no digest.
    let plain = scene.signed("POST", "/orders", &json!({}));
    assert_eq!(borrowed(&scene.post(&plain, body)), MISMATCH);
    let plain = scene.signed("POST", "/orders", &json!({}));
    let chunked = format!("{plain}\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!(borrowed(&scene.send(chunked.as_bytes())), MISMATCH);
    // The signature covers the digest of a body, but the request has no body.
    let post = scene.signed("POST", "/orders", &covered_digest(body));
    assert_eq!(borrowed(&scene.post(&post, b"")), MISMATCH);
    let post = scene.signed("POST", "/orders", &covered_digest(body));
    assert_eq!(borrowed(&scene.get(&post)), MISMATCH);
    let mut md5 = covered_digest(body);
    md5["digest"] = json!(["md5"]);
    let post = scene.signed("POST", "/orders", &md5);
    assert_eq!(borrowed(&scene.post(&post, body)), INVALID);
    assert!(upstream.take().is_empty());
    // Requests with signed bodies in all framings are accepted.
    for digest in [json!(["sha-512"]), json!(["md5", "sha-256", "sha-512"])] {
        let mut both = covered_digest(body);
        both["digest"] = digest;
        let post = scene.signed("POST", "/orders", &both);
        assert_eq!(borrowed(&scene.post(&post, body)), OK);
    }
    let empty = scene.signed("POST", "/orders", &covered_digest(b""));
    assert_eq!(borrowed(&scene.post(&empty, b"")), OK);
    let empty = scene.signed("POST", "/orders", &json!({}));
    let chunked = format!("{empty}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(borrowed(&scene.send(chunked.as_bytes())), OK);
    let post = scene.signed("POST", "/orders", &covered_digest(body));
    let head = format!("{post}\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut connection = scene.gateway.connect();
    connection.send(head.as_bytes()).expect("sent");
    for piece in body.chunks(5) {
        let chunk = format!("{:x}\r\n", piece.len());
        let chunk = [chunk.as_bytes(), piece, b"\r\n"].concat();
        connection.send(&chunk).expect("sent");
    }
    connection.send(b"0\r\n\r\n").expect("sent");
    let response = connection.read_response(false).expect("a response");
    assert_eq!(response.status, 200);
    let seen = upstream.take();
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.last().expect("five").body, body);
}

#[test]
fn older_formats_are_admitted_once() {
    let upstream = Upstream::start();
    let Some(mut scene) = Scene::before(&upstream.url()) else {
        return prerequisite::skip("python3 is not installed");
    };
    let body: &[u8] = b"{\"hello\": \"world\"}";
    for style in ["aliyun", "tencent"] {
        let target = format!("/{style}?b=2&a=x%20y&c");
        let recipe =
            |nonce: &str| json!({"style": style, "key": "acme", "nonce": nonce, "body": hex(body)});
        let post = scene.signed("POST", &target, &recipe("n1"));
        assert_eq!(borrowed(&scene.post(&post, body)), OK, "{style}");
        let seen = upstream.take().remove(0);
        assert_eq!(seen.body, body);
        assert_eq!(seen.header("x-consumer-name"), Some("acme"), "{style}");
        for stripped in ["authorization", "x-ca-signature", "x-ca-signature-headers"] {
            assert_eq!(seen.header(stripped), None, "{style} {stripped}");
        }
        assert_eq!(borrowed(&scene.post(&post, body)), INVALID, "{style}");
        let other = scene.signed("POST", &target, &recipe("n2"));
        assert_eq!(
            borrowed(&scene.post(&other, b"{\"hello\": \"w0rld\"}")),
            MISMATCH,
            "{style}"
        );
        let mut plain = recipe("n3");
        plain.as_object_mut().expect("an object").remove("body");
        let plain = scene.signed("POST", &target, &plain);
        assert_eq!(borrowed(&scene.post(&plain, body)), MISMATCH, "{style}");
        let mut wrong = recipe("n4");
        wrong["secret"] = json!(OTHER);
        let wrong = scene.signed("POST", &target, &wrong);
        assert_eq!(borrowed(&scene.post(&wrong, body)), INVALID, "{style}");
        assert!(upstream.take().is_empty(), "{style}");
    }
}
