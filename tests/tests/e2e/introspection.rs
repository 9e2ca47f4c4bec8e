//! Tests of token introspection by gwd (RFC 7662): requests and responses of the endpoint, caching,
//! shared requests, broken endpoints, and reports to clients and operators.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::server::free_port;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::wait;
use serde_json::{Value, json};

use crate::faulty_server::{Body, drips, floods, hangs, serve};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    token:
      type: oauth2
      flows: {clientCredentials: {tokenUrl: "https://idp.test/t", scopes: {read: r, write: w}}}
      x-gateway: {auth: idp, strip_credential: true, forward_as: X-Who, claims_to_headers: {tenant: X-Tenant}}
paths:
  /secured: {get: {operationId: secured, security: [{token: [read]}], responses: {"200": {description: ok}}}}
  /written: {get: {operationId: written, security: [{token: [write]}], responses: {"200": {description: ok}}}}
  /staff: {get: {operationId: staff, security: [{token: []}], x-gateway: {+policies: [staff]}, responses: {"200": {description: ok}}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
"#;

const SECRET: &str = "s3cret-of-the-gateway";

type Script = Arc<Mutex<Arc<dyn Fn(&Seen) -> Answer + Send + Sync>>>;

/// Authorization server whose responses a test can change.
struct Issuer {
    upstream: Upstream,
    script: Script,
}

impl Issuer {
    fn new() -> Self {
        let script: Script = Arc::new(Mutex::new(Arc::new(|seen: &Seen| of_token(seen))));
        let shared = Arc::clone(&script);
        let upstream = Upstream::scripted(move |seen| {
            let script = Arc::clone(&shared.lock().expect("no panic"));
            script(seen)
        });
        Self { upstream, script }
    }

    fn answers(&self, script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        *self.script.lock().expect("no panic") = Arc::new(script);
    }

    /// Tokens in the introspection requests that the server received.
    fn received_tokens(&self) -> Vec<String> {
        let all = self.upstream.take();
        all.iter().map(token_of).collect()
    }
}

/// Token in an introspection request.
fn token_of(seen: &Seen) -> String {
    let body = String::from_utf8(seen.body.clone()).expect("a form");
    let token = body.split('&').find_map(|part| part.strip_prefix("token="));
    token.expect("a token").to_owned()
}

/// Script of the endpoint: the introspection response depends on the first word of the token.
fn of_token(seen: &Seen) -> Answer {
    let token = token_of(seen);
    let mut members = json!({
        "active": true, "iss": "https://idp.test", "aud": ["orders"], "sub": "alice",
        "client_id": "acme", "scope": "read", "token_type": "Bearer", "tenant": "t-1", "groups": ["staff"],
    });
    match token.split('-').next().unwrap_or_default() {
        "good" => {}
        "guest" => members["groups"] = json!(["guests"]),
        "foreign" => members["iss"] = json!("https://idq.test"),
        "stray" => members["aud"] = json!("invoices"),
        "late" => members["exp"] = json!(1_000_000_000),
        "refresh" => members["token_use"] = json!("refresh_token"),
        "bound" => members["cnf"] = json!({"jkt": "x"}),
        _ => members = json!({"active": false}),
    }
    document(&members)
}

fn document(body: &Value) -> Answer {
    Answer {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..Answer::ok(body.to_string())
    }
}

fn status(status: u16) -> Answer {
    Answer {
        status,
        ..Answer::ok("")
    }
}

struct Scene {
    project: Project,
    gateway: Gateway,
    main: Upstream,
}

impl Scene {
    fn new(url: &str, more: &str) -> Self {
        let main = Upstream::start();
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             auth:\n  idp: {{kind: introspection, url: \"{url}/introspect\", client_id: \"the gateway\", \
             client_secret: \"${{env:GWS_IDP}}\", issuer: \"https://idp.test\", audience: [orders], consumer_claim: client_id{more}}}\n\
             consumers: {{acme: {{keys: []}}}}\n\
             policies: {{staff: {{kind: authorize, groups: [staff]}}}}\n\
             defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
            main.url()
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        let gateway = Options::of(&project)
            .state(&project.path("state"))
            .variable("GWS_IDP", SECRET)
            .start();
        Self {
            gateway,
            project,
            main,
        }
    }

    fn by(issuer: &Issuer, more: &str) -> Self {
        Self::new(&issuer.upstream.url(), more)
    }

    fn ask(&self, path: &str, token: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
        let response = self.gateway.ask(&request);
        (response.status, response.text())
    }

    fn policy_calls(&self, outcome: &str) -> f64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let labels = ["kind=\"introspection\"", outcome.as_str()];
        self.gateway
            .metrics()
            .sum("gwd_policy_calls_total", &labels)
    }
}

#[test]
fn active_token_is_admitted_and_describes_its_caller() {
    let issuer = Issuer::new();
    let scene = Scene::by(&issuer, "");
    assert_eq!(scene.ask("/secured", "good-1").0, 200);
    let requests = issuer.upstream.take();
    let [requests] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(
        (requests.method.as_str(), requests.target.as_str()),
        ("POST", "/introspect")
    );
    let basic = requests.header("authorization").unwrap_or_default();
    let basic = basic.strip_prefix("Basic ").unwrap_or_default();
    let pair = STANDARD.decode(basic).expect("Basic");
    assert_eq!(pair, format!("the+gateway:{SECRET}").as_bytes());
    let kind = requests.header("content-type");
    assert_eq!(kind, Some("application/x-www-form-urlencoded"));
    assert_eq!(requests.body, b"token=good-1&token_type_hint=access_token");
    for forwarding in ["x-forwarded-for", "forwarded", "cookie"] {
        assert_eq!(requests.header(forwarding), None);
    }
    let seen = scene.main.take();
    assert_eq!(seen[0].header("x-tenant"), Some("t-1"));
    assert_eq!(seen[0].header("x-who"), Some("acme"));
    assert_eq!(seen[0].header("x-consumer-name"), Some("acme"));
    assert_eq!(seen[0].header("authorization"), None);
    // Another operation uses the cached response, including its scopes and groups.
    let (code, body) = scene.ask("/written", "good-1");
    assert_eq!(code, 403, "{body}");
    assert!(body.contains("insufficient_scope"), "{body}");
    assert_eq!(scene.ask("/staff", "good-1").0, 200);
    assert!(issuer.received_tokens().is_empty());
    assert_eq!(scene.ask("/staff", "guest-1").0, 403);
}

#[test]
fn token_that_is_not_for_the_api_is_401() {
    let issuer = Issuer::new();
    let scene = Scene::by(&issuer, "");
    let foreign = "e30.eyJpc3MiOiJodHRwczovL2lkcS50ZXN0In0.c2ln";
    for (token, fault) in [
        ("dead-1", "inactive"),
        ("foreign-1", "issuer"),
        ("stray-1", "audience"),
        ("late-1", "expired"),
        ("refresh-1", "type"),
        ("bound-1", "binding"),
        (foreign, "issuer"),
        ("b\"d", "malformed"),
    ] {
        let request = format!("GET /secured HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
        let response = scene.gateway.ask(&request);
        let body = response.text();
        assert_eq!(response.status, 401, "{token}: {body}");
        let challenge = response.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(
            body.contains("token_invalid") && (fault == "type" || !body.contains(fault)),
            "{body}"
        );
        wait::until("the line of the request", || {
            let lines = scene.gateway.access_log().lines();
            let mut lines = lines.iter();
            lines.any(|line| line["token_fault"] == fault).then_some(())
        });
    }
    // Malformed tokens are not sent to the issuer.
    let tokens = issuer.received_tokens();
    assert!(
        !tokens
            .iter()
            .any(|one| one.contains("e30") || one.contains("b%22d")),
        "{tokens:?}"
    );
    assert_eq!(scene.ask("/secured", "dead-1").0, 401);
    assert!(
        issuer.received_tokens().is_empty(),
        "refusals are kept for a while"
    );
    assert!(scene.main.take().is_empty());
}

#[test]
fn broken_endpoint_is_503_and_never_admits() {
    let huge = Answer {
        body: vec![b' '; 1 << 20],
        ..document(&json!({}))
    };
    let slow = Answer {
        delay: Duration::from_secs(8),
        ..document(&json!({"active": true}))
    };
    let active =
        json!({"active": true, "iss": "https://idp.test", "aud": "orders", "scope": "read"});
    let redirect = Answer {
        status: 302,
        headers: vec![("location".to_owned(), "/other".to_owned())],
        ..document(&active)
    };
    let failing = Answer {
        status: 500,
        ..document(&active)
    };
    let cookie = Answer {
        status: 401,
        headers: vec![("set-cookie".to_owned(), "a=b".to_owned())],
        ..Answer::ok("")
    };
    for (why, answer, outcome) in [
        ("status 500", failing, "answered"),
        ("a redirect", redirect, "answered"),
        ("wrong client", cookie, "answered"),
        ("no JSON", Answer::ok(active.to_string()), "answered"),
        ("garbage", document(&json!("x")), "answered"),
        ("100 MB", huge, "too_large"),
        ("no time", slow, "timeout"),
    ] {
        let issuer = Issuer::new();
        issuer.answers(move |_| answer.clone());
        let scene = Scene::by(&issuer, ", timeout: 300ms");
        let (code, body) = scene.ask("/secured", "good-1");
        assert_eq!(code, 503, "{why}: {body}");
        assert!(body.contains("introspection_unavailable"), "{why}: {body}");
        assert_eq!(scene.ask("/open", "good-1").0, 200, "{why}");
        wait::until(why, || (scene.policy_calls(outcome) >= 1.0).then_some(()));
        let requests = issuer.upstream.take();
        assert!(
            requests.iter().all(|one| one.target == "/introspect"),
            "{why}"
        );
    }
    let nowhere = Scene::new(&format!("http://127.0.0.1:{}", free_port()), "");
    assert_eq!(nowhere.ask("/secured", "good-1").0, 503);
    assert_eq!(nowhere.ask("/open", "good-1").0, 200);
}

/// The introspection endpoint sends nothing, one byte per second, 100 MB, or an incomplete
/// response. Requests with a token get 503 at the end of `timeout`, and no other request waits.
#[test]
fn endpoint_that_hangs_or_floods_stalls_no_other() {
    use std::io::Write as _;
    let breaks: Body = |stream| stream.write_all(b"content-length: 1000\r\n\r\n{\"active\": tr");
    for (name, body, outcome) in [
        ("hangs", hangs as Body, "timeout"),
        ("drips", drips, "timeout"),
        ("floods", floods, "too_large"),
        ("breaks", breaks, "failed"),
    ] {
        let scene = Scene::new(&serve(body), ", timeout: 2500ms");
        let memory = scene.gateway.memory_bytes();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| scene.ask("/secured", "good-1"));
            for _ in 0..20 {
                assert_eq!(scene.ask("/open", "good-1").0, 200, "{name}");
            }
            if name == "hangs" {
                assert!(!waiting.is_finished(), "the other requests did not wait");
            }
            let (status, body) = waiting.join().expect("no panic");
            assert_eq!(status, 503, "{name}: {body}");
            assert!(body.contains("introspection_unavailable"), "{name}: {body}");
        });
        wait::until(name, || (scene.policy_calls(outcome) >= 1.0).then_some(()));
        let grown = scene.gateway.memory_bytes().saturating_sub(memory);
        assert!(grown < 32 << 20, "{name}: {grown} bytes more");
    }
}

/// Makes the issuer wait before each response. The receiver reports each request, and the sender
/// releases each response.
fn hold_responses(issuer: &Issuer) -> (Receiver<()>, Sender<()>) {
    let (begun, received) = channel();
    let (release, wait) = channel::<()>();
    let begun = Mutex::new(begun);
    let wait = Mutex::new(wait);
    issuer.answers(move |seen| {
        let _gone = begun.lock().expect("no panic").send(());
        let _released = wait.lock().expect("no panic").recv();
        of_token(seen)
    });
    (received, release)
}

#[test]
fn equal_questions_are_sent_once_and_stall_no_other() {
    let issuer = Issuer::new();
    let (received, release) = hold_responses(&issuer);
    let scene = Scene::by(&issuer, ", timeout: 20s");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| scene.ask("/secured", "good-1").0))
            .collect();
        received.recv().expect("a question");
        wait::until("all requests are there", || {
            let metrics = scene.gateway.metrics();
            let open = metrics.sum("gwd_downstream_connections", &[]);
            (open >= 8.0).then_some(())
        });
        // While a request to the issuer is open, all workers serve other requests.
        for _ in 0..8 {
            assert_eq!(scene.ask("/open", "x").0, 200);
        }
        assert_eq!(scene.main.take().len(), 8);
        assert!(waiting.iter().all(|one| !one.is_finished()));
        drop(release);
        for one in waiting {
            assert_eq!(one.join().expect("no panic"), 200);
        }
    });
    assert_eq!(issuer.received_tokens(), ["good-1"]);
    wait::until("counted", || {
        (scene.policy_calls("joined") >= 1.0).then_some(())
    });
    assert_eq!(scene.policy_calls("answered"), 1.0);
}

#[test]
fn known_answers_serve_until_the_issuer_refuses() {
    let issuer = Issuer::new();
    let scene = Scene::by(
        &issuer,
        ", cache: 0s, cache_inactive: 0s, on_outage: cached",
    );
    assert_eq!(scene.ask("/secured", "good-1").0, 200);
    issuer.answers(|_| status(500));
    assert_eq!(scene.ask("/secured", "good-1").0, 200);
    assert_eq!(scene.ask("/secured", "good-2").0, 503);
    wait::until("counted", || {
        (scene.policy_calls("stale") == 1.0).then_some(())
    });
    let log = scene.gateway.access_log();
    wait::until("the lines", || (log.lines().len() == 3).then_some(()));
    // Log lines may be in any order, because several workers write them.
    let stale = log.lines().into_iter();
    let stale = stale.filter(|line| line["stale_answer"] != Value::Null);
    let stale: Vec<(Value, Value)> = stale
        .map(|line| (line["stale_answer"].clone(), line["status"].clone()))
        .collect();
    assert_eq!(stale, [(json!("introspection"), json!(200))]);
    issuer.answers(|_| document(&json!({"active": false})));
    // gwd uses the cached response for some seconds, and then calls the issuer again.
    wait::until("the issuer decides", || {
        (scene.ask("/secured", "good-1").0 == 401).then_some(())
    });
    issuer.answers(|_| status(500));
    assert_eq!(scene.ask("/secured", "good-1").0, 503);
}

#[test]
fn revoked_token_is_refused_though_still_active() {
    let issuer = Issuer::new();
    let scene = Scene::by(&issuer, "");
    assert_eq!(scene.ask("/secured", "good-1").0, 200);
    scene.project.write("stolen.txt", "good-1\n");
    let revoke = [
        "revoke",
        "--token",
        "stolen.txt",
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    scene.project.gwc(&revoke).succeeds();
    scene.gateway.notify();
    assert_eq!(scene.ask("/secured", "good-1").0, 401);
    assert_eq!(scene.ask("/secured", "good-2").0, 200);
}

#[test]
fn tokens_and_secrets_are_not_disclosed() {
    let issuer = Issuer::new();
    let scene = Scene::by(&issuer, "");
    let planted = "good-0123456789abcdefghijklmnopqrstuvwxyz";
    let wrong = "dead-0123456789abcdefghijklmnopqrstuvwxyz";
    assert_eq!(scene.ask("/secured", planted).0, 200);
    assert_eq!(scene.ask("/secured", wrong).0, 401);
    issuer.answers(|_| status(500));
    let (_, problem) = scene.ask("/secured", "good-9876543210abcdefghijklmnopqrstuvwxyz");
    let log = scene.gateway.access_log();
    wait::until("the lines", || (log.lines().len() == 3).then_some(()));
    let state = scene.project.path("state");
    let files = std::process::Command::new("grep")
        .args([
            "-r",
            "-l",
            "-a",
            "-e",
            "abcdefghijklmnopqrstuvwxyz",
            "-e",
            SECRET,
        ])
        .arg(&state)
        .output()
        .expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&files.stdout), "");
    let basic = STANDARD.encode(format!("the+gateway:{SECRET}"));
    for text in [
        format!("{:?}", log.lines()),
        scene.gateway.log(),
        scene.gateway.metrics().0,
        scene.gateway.status().to_string(),
        problem,
    ] {
        for secret in ["abcdefghijklmnopqrstuvwxyz", SECRET, basic.as_str()] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn route_depends_on_the_issuer_without_an_assumption() {
    let issuer = Issuer::new();
    let scene = Scene::by(&issuer, "");
    let route = |more: &[&str]| {
        let all = [&["route", "GET", "/staff", "--format", "json"][..], more].concat();
        scene.project.gwc(&all).succeeds().json()
    };
    let opaque = ["-H", "Authorization: Bearer abc"];
    let open = route(&opaque);
    assert_eq!(open["decision"], "depends", "{open}");
    let why = open["why"].as_str().unwrap_or_default();
    for word in ["active", "inactive", "outage"] {
        assert!(why.contains(&format!("--assume idp={word}")), "{why}");
    }
    let assumed = |more: &[&str], word: &str| {
        let assume = format!("idp={word}");
        let result = route(&[more, &["--assume", &assume]].concat());
        (result["decision"].clone(), result["status"].as_u64())
    };
    assert_eq!(assumed(&opaque, "inactive"), (json!("reject"), Some(401)));
    assert_eq!(assumed(&opaque, "outage"), (json!("reject"), Some(503)));
    // gwc does not know the claims of an opaque token, so it does not know the groups either.
    assert_eq!(assumed(&opaque, "active"), (json!("reject"), Some(403)));
    let claims = json!({"iss": "https://idp.test", "aud": "orders", "groups": ["staff"]});
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string());
    let jwt = format!("Authorization: Bearer e30.{claims}.c2ln");
    assert_eq!(assumed(&["-H", &jwt], "active"), (json!("forward"), None));
    let valid = [
        "route",
        "GET",
        "/secured",
        "--format",
        "json",
        "--credential",
        "token=valid",
    ];
    let valid = scene.project.gwc(&valid).succeeds().json();
    assert_eq!(valid["decision"], "forward", "{valid}");
    assert!(issuer.received_tokens().is_empty(), "gwc sends no request");
}

/// gwd cancels an introspection request if its only client disconnects and no other client waits
/// for the response.
#[test]
fn question_ends_with_its_only_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let (sender, begun) = channel();
    let (left, ended) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("gwd connects");
        let mut bytes = [0; 4096];
        let question = stream.read(&mut bytes);
        sender
            .send(question.is_ok_and(|read| read > 0))
            .expect("the test waits");
        // gwd closes the connection, so the next read returns the end of the stream.
        let end = stream.read(&mut bytes);
        left.send(!end.is_ok_and(|read| read > 0))
            .expect("the test waits");
    });
    let scene = Scene::new(&url, ", timeout: 20s");
    let mut client = scene.gateway.connect();
    client
        .send(b"GET /secured HTTP/1.1\r\nhost: h\r\nauthorization: Bearer good-1\r\n\r\n")
        .expect("gwd reads");
    let limit = Duration::from_secs(10);
    assert_eq!(begun.recv_timeout(limit), Ok(true));
    drop(client);
    assert_eq!(ended.recv_timeout(limit), Ok(true));
    wait::until("no request is open", || {
        let open = scene
            .gateway
            .metrics()
            .sum("http_server_active_requests", &[]);
        (open == 0.0).then_some(())
    });
}
