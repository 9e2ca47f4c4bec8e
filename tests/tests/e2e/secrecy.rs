//! Test that secrets appear in no output of gwc and gwd. The test plants secrets in requests,
//! secret files, variables and responses, and searches everything that the programs write and send
//! to a collector of traces.

mod collector;
mod proofs;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::gateway::{Gateway, Options};
use e2e::openssl::{RsaKey, sha256};
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::{binaries, wait};
use serde_json::{Value, json};

pub(crate) use collector::Collector;

/// Text that each planted secret contains.
const MARK: &str = "PLANTED";

const KEY: &str = "PLANTED-api-key";
const PASSWORD: &str = "alice:PLANTED-password";
const SECRET: &str = "PLANTED-shared-secret-of-32-bytes-and-more";
const SERVICE: &str = "PLANTED-token-of-the-service";
const VARIABLE: &str = "PLANTED-value-of-a-variable";
const OPAQUE: &str = "PLANTED-opaque-token";
const CLIENT: &str = "PLANTED-secret-of-the-client";
const SESSION: &str = "PLANTED-session";
const IDENTITY: &str = "PLANTED-token-of-the-identity-service";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    query: {type: apiKey, in: query, name: sid, x-gateway: {auth: keys}}
    cookie: {type: apiKey, in: cookie, name: sid, x-gateway: {auth: keys}}
    basic: {type: http, scheme: basic, x-gateway: {auth: people}}
    token: {type: http, scheme: bearer, x-gateway: {auth: idp}}
    shared: {type: http, scheme: bearer, x-gateway: {auth: shared}}
    asked: {type: http, scheme: bearer, x-gateway: {auth: asked}}
paths:
  /key: {get: {operationId: key, security: [{key: []}], responses: {"200": {description: ok}}}}
  /query: {get: {operationId: query, security: [{query: []}], responses: {"200": {description: ok}}}}
  /cookie: {get: {operationId: cookie, security: [{cookie: []}], responses: {"200": {description: ok}}}}
  /basic: {get: {operationId: basic, security: [{basic: []}], responses: {"200": {description: ok}}}}
  /token: {get: {operationId: token, security: [{token: []}], responses: {"200": {description: ok}}}}
  /shared: {get: {operationId: shared, security: [{shared: []}], responses: {"200": {description: ok}}}}
  /asked: {get: {operationId: asked, security: [{asked: []}], responses: {"200": {description: ok}}}}
  /limited: {get: {operationId: limited, security: [], x-gateway: {public: true, +policies: [limited]}, responses: {"200": {description: ok}}}}
  /login: {get: {operationId: login, security: [], x-gateway: {public: true, +policies: [login]}, responses: {"200": {description: ok}}}}
  /outage: {get: {operationId: outage, security: [], x-gateway: {public: true, +policies: [outage]}, responses: {"200": {description: ok}}}}
  /gone: {get: {operationId: gone, security: [{token: []}], x-gateway: {upstream: gone}, responses: {"200": {description: ok}}}}
"#;

/// Responses of the service for `forward_auth` and `introspection`.
fn identity(seen: &Seen) -> Answer {
    if seen.target == "/introspect" {
        let is_known = String::from_utf8_lossy(&seen.body).contains(OPAQUE);
        let answer = json!({"active": is_known, "sub": "alice", "secret": IDENTITY});
        return Answer {
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            ..Answer::ok(answer.to_string())
        };
    }
    let is_known = seen
        .header("cookie")
        .is_some_and(|all| all.contains(SESSION));
    Answer {
        status: if is_known { 200 } else { 401 },
        headers: vec![("x-auth-token".to_owned(), IDENTITY.to_owned())],
        ..Answer::ok(format!("{MARK}-answer"))
    }
}

struct Scene {
    project: Project,
    key: RsaKey,
    upstream: Upstream,
    identity: Upstream,
}

impl Scene {
    fn new() -> Self {
        let (project, key) = (Project::new(), RsaKey::new());
        let file = |name: &str| {
            let path = project.path("secrets").join(name);
            format!("${{file:{}}}", path.display())
        };
        let (upstream, identity) = (Upstream::start(), Upstream::scripted(identity));
        let jwks = json!({"keys": [{"kty": "RSA", "kid": "a", "n": key.modulus(), "e": "AQAB"}]});
        let nowhere = format!("http://127.0.0.1:{}", free_port());
        let target = |url: &str| json!({"targets": {"a": {"url": url}}});
        let verifier = json!({"kind": "jwt", "issuer": "tests", "audience": ["orders"]});
        let verifier = |more: Value| {
            let mut whole = verifier.clone();
            for (name, value) in more.as_object().expect("members") {
                whole[name] = value.clone();
            }
            whole
        };
        let gateway = json!({
            "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
            "listeners": {"public": {"address": "127.0.0.1:8080"}},
            "upstreams": {"main": target(&upstream.url()), "gone": target(&nowhere)},
            "auth": {
                "keys": {"kind": "api_key"},
                "people": {"kind": "basic", "realm": "shop"},
                "idp": verifier(json!({"algorithms": ["RS256"], "jwks": jwks})),
                "shared": verifier(json!({"algorithms": ["HS256"], "secret": file("shared")})),
                "asked": {
                    "kind": "introspection", "url": format!("{}/introspect", identity.url()),
                    "client_id": "gateway", "client_secret": file("client"),
                },
            },
            "consumers": {
                "acme": {"keys": [{"sha256": sha256(KEY.as_bytes())}]},
                "alice": {"basic": [{"sha256": sha256(PASSWORD.as_bytes())}]},
            },
            "policies": {
                "service": {"kind": "headers", "request": {"set": {
                    "X-Service-Token": file("service"), "X-Other-Token": "${env:GWS_OTHER}",
                }}},
                "login": {
                    "kind": "forward_auth", "url": format!("{}/auth", identity.url()),
                    "response_headers": ["X-Auth-Token"], "cache": "1m",
                },
                "limited": {"kind": "rate_limit", "limit": "1/min", "burst": 1, "key": "header:X-Key"},
                "outage": {"kind": "forward_auth", "url": format!("{nowhere}/auth")},
            },
            "defaults": {"upstream": "main", "policies": ["service"]},
            "release": {"store": "releases", "channel": "prod"},
        });
        project.write("gateway.yaml", gateway.to_string());
        project.write("openapi.yaml", DOCUMENT);
        project.write("secrets/shared", SECRET);
        project.write("secrets/service", SERVICE);
        project.write("secrets/client", CLIENT);
        project.keygen();
        Self {
            project,
            key,
            upstream,
            identity,
        }
    }

    fn start(&self, collector: &Collector) -> Gateway {
        let secrets = self.project.path("secrets").display().to_string();
        Options::of(&self.project)
            .state(&self.project.path("state"))
            .arguments(&["--secret-dir", &secrets, "--log-level", "debug"])
            .arguments(&collector.arguments().each_ref().map(String::as_str))
            .variable("GWS_OTHER", VARIABLE)
            .start()
    }
}

/// Request heads, each with the expected status. Each head contains a planted secret.
fn requests(token: &str, forged: &str) -> Vec<(String, u16)> {
    let basic = |text: &str| format!("authorization: Basic {}", STANDARD.encode(text));
    let bearer = |token: &str| format!("authorization: Bearer {token}");
    let get = |target: &str, field: &str| format!("GET {target} HTTP/1.1\r\nhost: h\r\n{field}");
    vec![
        (get("/key", &format!("x-key: {KEY}")), 200),
        (get("/key", &format!("x-key: {MARK}-unknown-key")), 401),
        (
            get("/key", &format!("x-key: {KEY}\r\nx-key: {MARK}-again")),
            400,
        ),
        (get(&format!("/query?sid={KEY}&page=2"), "accept: a/b"), 200),
        (get(&format!("/query?s%69d={MARK}-x"), "accept: a/b"), 401),
        (
            get(&format!("/query?sid={KEY}&sid={KEY}"), "accept: */*"),
            400,
        ),
        (get("/cookie", &format!("cookie: a=b; sid={KEY}")), 200),
        (get("/cookie", &format!("cookie: sid={MARK}-cookie")), 401),
        (get("/basic", &basic(PASSWORD)), 200),
        (get("/basic", &basic("alice:PLANTED-wrong")), 401),
        (get("/basic", &format!("authorization: Basic {MARK}!")), 401),
        (get("/token", &bearer(token)), 200),
        (get("/token", &bearer(forged)), 401),
        (get("/token", &bearer(&format!("{MARK}-no-token"))), 401),
        (get("/token", &format!("cookie: session={SESSION}")), 401),
        (
            get(
                "/token",
                &format!("{}\r\n{}", bearer(token), bearer(forged)),
            ),
            400,
        ),
        // These credentials are in places that the gateway does not read.
        (
            get(&format!("/token?access_token={token}"), "accept: */*"),
            401,
        ),
        (get("/token", &format!("x-authorization: {MARK}-x")), 401),
        (get("/shared", &bearer(forged)), 401),
        (get("/asked", &bearer(OPAQUE)), 200),
        (get("/asked", &bearer("PLANTED-unknown-token")), 401),
        (get("/limited", &format!("x-key: {MARK}-one")), 200),
        (get("/limited", &format!("x-key: {MARK}-one")), 429),
        (get("/gone", &bearer(token)), 502),
        (get("/login", &format!("cookie: session={SESSION}")), 200),
        (get("/login", &format!("cookie: session={MARK}-old")), 401),
        (get("/login", &bearer(forged)), 401),
        (get("/outage", &format!("cookie: session={SESSION}")), 503),
        // These requests are malformed.
        (
            get("/token", &format!("authorization : Bearer {token}")),
            400,
        ),
        (get("/token", &format!("{}\u{1}", bearer(token))), 400),
        (get("/token", &format!("authorization Bearer {token}")), 400),
        (format!("GET /token HTTP/1.1\r\n{}", bearer(token)), 400),
        (
            get(
                "/token",
                &format!("{}\r\nx: {}", bearer(token), "x".repeat(70_000)),
            ),
            431,
        ),
        (get("/nowhere", &bearer(token)), 404),
        (
            format!("DELETE /token HTTP/1.1\r\nhost: h\r\n{}", bearer(token)),
            405,
        ),
    ]
}

/// Sends a request. Returns the whole response as text.
fn sent(gateway: &Gateway, head: &str, status: u16) -> String {
    let mut connection = gateway.connect();
    let bytes = format!("{head}\r\n\r\n");
    // Ignore errors: gwd may respond and close the connection before the whole request is sent.
    let _sent = connection.send(bytes.as_bytes());
    let response = connection.read_response(false);
    let response = response.unwrap_or_else(|error| panic!("{error}: {head}"));
    assert_eq!(response.status, status, "{head}: {}", response.text());
    format!("{:?}\n{}", response.head, response.text())
}

/// Collects the files below a folder as text.
fn files(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in folder.read_dir().expect("a folder").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, into);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            into.push((path.display().to_string(), text));
        }
    }
}

/// Files in the state folder of a gateway.
pub(crate) fn outputs_after(project: &Project) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    files(&project.path("state"), &mut outputs);
    outputs
}

/// All outputs of a running gateway: logs, admin responses and files.
pub(crate) fn outputs_of(gateway: &Gateway, project: &Project) -> Vec<(String, String)> {
    let mut outputs = vec![
        ("program log".to_owned(), gateway.log()),
        (
            "access log".to_owned(),
            format!("{:?}", gateway.access_log().lines()),
        ),
    ];
    for path in [
        "/metrics",
        "/readyz",
        "/v1/status",
        "/v1/bundles",
        "/v1/routes",
    ] {
        let text = gateway.admin_ask("GET", path, &Value::Null).text();
        outputs.push((path.to_owned(), text));
    }
    for folder in ["state", "releases"] {
        files(&project.path(folder), &mut outputs);
    }
    outputs
}

/// Outputs that contain a secret: the mark, a part of a token, or a password as it was sent.
fn leaks(outputs: &[(String, String)], tokens: &[&str]) -> Vec<String> {
    let mut needles = vec![MARK.to_owned(), MARK.to_lowercase()];
    for text in [
        PASSWORD,
        "alice:PLANTED-wrong",
        &format!("gateway:{CLIENT}"),
    ] {
        needles.push(STANDARD.encode(text));
    }
    for token in tokens {
        let parts = token.split('.').filter(|part| part.len() > 30);
        needles.extend(parts.map(str::to_owned));
    }
    let mut leaks = Vec::new();
    for (place, text) in outputs {
        for needle in &needles {
            if let Some(at) = text.find(needle.as_str()) {
                let from = text.floor_char_boundary(at.saturating_sub(80));
                let to = text.floor_char_boundary(at + 60);
                leaks.push(format!("{place}: …{}…", &text[from..to]));
            }
        }
    }
    leaks
}

#[test]
fn secrets_of_requests_are_seen_nowhere() {
    let scene = Scene::new();
    let applied = scene.project.apply();
    let collector = Collector::start();
    let gateway = scene.start(&collector);
    let token = crate::key_sets::token("tests", "a", &scene.key);
    let forged = crate::key_sets::token("tests", "a", &RsaKey::new());
    let mut outputs = Vec::new();
    let requests = requests(&token, &forged);
    for (head, status) in &requests {
        let response = sent(&gateway, head, *status);
        // The authorization service addresses this text to the client, so the check removes the
        // text first.
        let response = response.replace("PLANTED-answer", "");
        outputs.push((format!("response to {head:.40}"), response));
    }
    // Check that the upstream and the services received the secrets that they need.
    let seen = scene.upstream.take();
    let at = |target: &str| {
        let seen = seen.iter().find(|seen| seen.target.starts_with(target));
        seen.unwrap_or_else(|| panic!("no request to {target}"))
    };
    assert_eq!(at("/key").header("x-service-token"), Some(SERVICE));
    assert_eq!(at("/key").header("x-other-token"), Some(VARIABLE));
    assert_eq!(at("/login").header("x-auth-token"), Some(IDENTITY));
    let subrequests = scene.identity.take();
    let of = |target| subrequests.iter().filter(move |seen| seen.target == target);
    assert_eq!((of("/auth").count(), of("/introspect").count()), (3, 2));
    let own = format!("Basic {}", STANDARD.encode(format!("gateway:{CLIENT}")));
    assert!(of("/introspect").all(|seen| seen.header("authorization") == Some(&own)));
    // Each of these requests has a log line. A malformed head may have no log line.
    let logged = requests.iter().filter(|(_, status)| *status != 400);
    let _lines = gateway.access_log().by_request(logged.count());
    for (head, _) in &requests {
        let mut lines = head.lines();
        let target = lines.next().and_then(|line| line.split(' ').nth(1));
        let fields = lines.filter_map(|line| line.split_once(": "));
        let fields: serde_json::Map<_, _> = fields
            .filter(|(name, value)| *name != "host" && value.len() < 9_000)
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let url = format!("http://h{}", target.expect("a target"));
        let question = json!({"method": "GET", "url": url, "headers": fields});
        let explained = gateway.admin_ask("POST", "/v1/explain", &question);
        outputs.push((format!("explain {head:.40}"), explained.text()));
    }
    outputs.extend(outputs_of(&gateway, &scene.project));
    outputs.extend(collector.outputs_of(&gateway));
    assert!(outputs.iter().any(|(_, text)| text.contains(&applied)));
    let leaks = leaks(&outputs, &[&token, &forged]);
    assert!(leaks.is_empty(), "{leaks:#?}");
    gateway.stops_clean();
}

#[test]
fn secrets_given_to_gwc_are_not_printed() {
    let scene = Scene::new();
    let project = &scene.project;
    let run = |arguments: &[&str]| {
        let ended = project.gwc(arguments);
        (arguments.join(" "), ended.stdout + &ended.stderr)
    };
    let mut outputs = vec![
        run(&["lint"]),
        run(&["plan"]),
        run(&["plan", "--format", "json"]),
    ];
    project.apply();
    let text = String::from_utf8(project.read("gateway.yaml")).expect("text");
    let other = text
        .replace("X-Service-Token", "X-Service")
        .replace("\"1m\"", "\"2m\"");
    project.write("gateway.yaml", other);
    outputs.push(run(&["plan"]));
    outputs.push(run(&["plan", "--format", "json"]));
    outputs.push(run(&["build", "--format", "json"]));
    let token = crate::key_sets::token("tests", "a", &scene.key);
    let forged = crate::key_sets::token("tests", "a", &RsaKey::new());
    for (head, _) in requests(&token, &forged) {
        let mut lines = head.lines();
        let target = lines.next().and_then(|line| line.split(' ').nth(1));
        let fields = lines.filter(|line| line.contains(": ") && line.len() < 9_000);
        let fields: Vec<&str> = fields.filter(|line| !line.starts_with("host")).collect();
        for format in ["human", "json"] {
            let mut arguments = vec![
                "route",
                "GET",
                target.expect("a target"),
                "--format",
                format,
            ];
            for field in &fields {
                arguments.extend(["-H", field]);
            }
            outputs.push(run(&arguments));
        }
    }
    // Skip the command line, because it contains what the user typed.
    let outputs: Vec<_> = outputs
        .into_iter()
        .map(|(_, text)| ("gwc".to_owned(), text))
        .collect();
    let leaks = leaks(&outputs, &[&token, &forged]);
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn secret_that_does_not_fit_is_not_disclosed() {
    for (name, value, variable) in [
        ("shared", "PLANTED-too-short", VARIABLE),
        ("service", "PLANTED-two\r\nlines: PLANTED", VARIABLE),
        ("service", "PLANTED\u{0}nul", VARIABLE),
        ("service", SERVICE, "PLANTED\u{7f}control"),
    ] {
        let scene = Scene::new();
        scene.project.apply();
        scene.project.write(&format!("secrets/{name}"), value);
        let path = |name: &str| scene.project.path(name).display().to_string();
        let (store, trust, state) = (path("releases"), path("trust.json"), path("state"));
        let secrets = path("secrets");
        let mut check = std::process::Command::new(binaries::gwd());
        check.args([
            "check", "--store", &store, "--trust", &trust, "--state", &state,
        ]);
        check.args(["--secret-dir", &secrets, "--log-level", "debug"]);
        let ended = Ended::of(check.env("GWS_OTHER", variable));
        assert_ne!(ended.code, Some(0), "{name} {value:?}: {ended}");
        let mut gateway = Options::of(&scene.project)
            .arguments(&["--secret-dir", &secrets, "--log-level", "debug"])
            .variable("GWS_OTHER", variable)
            .spawn();
        wait::until("gwd tells that a secret is missing", || {
            gateway.log().contains("secret").then_some(())
        });
        let outputs = [
            ("gwd check".to_owned(), ended.stdout + &ended.stderr),
            ("program log".to_owned(), gateway.log()),
            ("/v1/status".to_owned(), gateway.status().to_string()),
        ];
        let leaks = leaks(&outputs, &[]);
        assert!(leaks.is_empty(), "{leaks:#?}");
        assert_eq!(gateway.stop(), Some(0));
    }
}
