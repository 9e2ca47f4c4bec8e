//! Tests of key sets that gwd fetches, by URL or through the metadata of an issuer. The test
//! provider is unreachable, broken or slow, or rotates its keys. `openssl` signs the tokens.

mod before_switch;
mod outages;

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use e2e::gateway::{Gateway, Options};
use e2e::openssl::RsaKey;
use e2e::project::{Ended, Project};
use e2e::server::free_port;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::{binaries, wait};
use serde_json::{Value, json};

use crate::faulty_server::{Body, drips, floods, serve};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components: {securitySchemes: {token: {type: http, scheme: bearer, x-gateway: {auth: idp}}}}
paths:
  /secured:
    get: {operationId: secured, security: [{token: []}], responses: {"200": {description: ok}}}
    post: {operationId: call, security: [{token: []}], responses: {"200": {description: ok}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
"#;

/// Function that makes the provider's responses.
type Script = Arc<Mutex<Box<dyn Fn(&Seen) -> Answer + Send>>>;

/// Provider whose responses a test can change.
struct Provider {
    upstream: Upstream,
    script: Script,
}

impl Provider {
    fn new() -> Self {
        let script: Script = Arc::new(Mutex::new(Box::new(|_| status(404))));
        let shared = Arc::clone(&script);
        let upstream = Upstream::scripted(move |seen| shared.lock().expect("no panic")(seen));
        Self { upstream, script }
    }

    fn answers(&self, script: impl Fn(&Seen) -> Answer + Send + 'static) {
        *self.script.lock().expect("no panic") = Box::new(script);
    }

    fn has(&self, keys: &[(&str, &RsaKey)]) {
        let set = set(keys);
        self.answers(move |seen| match seen.target.as_str() {
            "/keys" => document(&set),
            _ => status(404),
        });
    }
}

fn status(status: u16) -> Answer {
    Answer {
        status,
        ..Answer::ok("")
    }
}

fn document(body: &Value) -> Answer {
    Answer {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..Answer::ok(body.to_string())
    }
}

fn page(kind: &str, body: &str) -> Answer {
    Answer {
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        ..Answer::ok(body)
    }
}

fn set(keys: &[(&str, &RsaKey)]) -> Value {
    let keys = keys.iter().map(|(kid, key)| {
        json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": key.modulus(), "e": "AQAB"})
    });
    json!({"keys": keys.collect::<Vec<_>>()})
}

/// Token of `issuer`, signed with `key` and valid for an hour.
pub(crate) fn token(issuer: &str, kid: &str, key: &RsaKey) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970");
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "RS256", "typ": "JWT", "kid": kid}));
    let claims =
        json!({"iss": issuer, "aud": "orders", "sub": "alice", "exp": now.as_secs() + 3_600});
    let signed = format!("{head}.{}", part(claims));
    format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()))
    )
}

struct Scene {
    project: Project,
    _main: Upstream,
}

impl Scene {
    /// Releases a project whose JWT verifier has these settings.
    fn new(verifier: &str) -> Self {
        let main = Upstream::start();
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             auth: {{idp: {{kind: jwt, audience: [orders], algorithms: [RS256], {verifier}}}}}\n\
             defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
            main.url()
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        Self {
            project,
            _main: main,
        }
    }

    fn by_url(url: &str) -> Self {
        Self::new(&format!("issuer: tests, jwks_url: \"{url}/keys\""))
    }

    fn start(&self) -> Gateway {
        Options::of(&self.project)
            .state(&self.project.path("state"))
            .start()
    }
}

fn shown(gateway: &Gateway, token: &str) -> (u16, String) {
    let request = format!("GET /secured HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
    let response = gateway.ask(&request);
    (response.status, response.text())
}

fn open(gateway: &Gateway) -> u16 {
    gateway.ask("GET /open HTTP/1.1\nhost: h").status
}

/// Waits until the status of the only key set meets the condition, and returns it.
fn reported(gateway: &Gateway, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until("the report on the key set", || {
        let set = gateway.status()["key_sets"][0].clone();
        wanted(&set).then_some(set)
    })
}

fn fetches(gateway: &Gateway, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    gateway
        .metrics()
        .sum("gwd_key_set_fetches_total", &[&label])
}

#[test]
fn keys_of_a_url_admit_from_the_first_request() {
    let (provider, key, other) = (Provider::new(), RsaKey::new(), RsaKey::new());
    provider.has(&[("a", &key)]);
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    assert_eq!(shown(&gateway, &token("tests", "a", &key)).0, 200);
    assert_eq!(shown(&gateway, &token("tests", "a", &other)).0, 401);
    assert_eq!(shown(&gateway, &token("others", "a", &key)).0, 401);
    assert_eq!(provider.upstream.take().len(), 1);
    let report = reported(&gateway, |set| set["keys"] == 1);
    assert_eq!(report["failure"], Value::Null);
    assert_eq!(gateway.metrics().sum("gwd_key_set_keys", &[]), 1.0);
}

#[test]
fn issuer_alone_is_enough_by_both_standards() {
    let key = RsaKey::new();
    for path in [
        "/realm/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realm",
    ] {
        let provider = Provider::new();
        let issuer = format!("{}/realm", provider.upstream.url());
        let metadata =
            json!({"issuer": issuer, "jwks_uri": format!("{}/k", provider.upstream.url())});
        let set = set(&[("a", &key)]);
        provider.answers(move |seen| match seen.target.as_str() {
            "/k" => document(&set),
            target if target == path => document(&metadata),
            _ => status(404),
        });
        let scene = Scene::new(&format!("issuer: \"{issuer}\""));
        let gateway = scene.start();
        assert_eq!(shown(&gateway, &token(&issuer, "a", &key)).0, 200, "{path}");
    }
}

#[test]
fn metadata_of_another_issuer_gives_no_keys() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    let url = provider.upstream.url();
    let metadata = json!({"issuer": format!("{url}/"), "jwks_uri": format!("{url}/k")});
    let set = set(&[("a", &key)]);
    provider.answers(move |seen| match seen.target.as_str() {
        "/k" => document(&set),
        _ => document(&metadata),
    });
    let scene = Scene::new(&format!("issuer: \"{url}\""));
    let gateway = scene.start();
    let (status, body) = shown(&gateway, &token(&url, "a", &key));
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("keys_unavailable"), "{body}");
    reported(&gateway, |set| {
        set["failure"].to_string().contains("another issuer")
    });
}

#[test]
fn unknown_key_id_causes_no_fetch_after_another() {
    let (provider, [one, two]) = (Provider::new(), [RsaKey::new(), RsaKey::new()]);
    provider.has(&[("a", &one)]);
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    assert_eq!(shown(&gateway, &token("tests", "a", &one)).0, 200);
    provider.has(&[("b", &two)]);
    for _ in 0..5 {
        assert_eq!(shown(&gateway, &token("tests", "b", &two)).0, 401);
    }
    assert_eq!(provider.upstream.take().len(), 1);
    assert_eq!(shown(&gateway, &token("tests", "a", &one)).0, 200);
}

#[test]
fn broken_provider_is_503_for_its_own_requests_only() {
    let key = RsaKey::new();
    let token = token("tests", "a", &key);
    let good = set(&[("a", &key)]);
    let answers: Vec<(&str, Answer)> = vec![
        ("status 500", status(500)),
        (
            "status 302",
            Answer {
                status: 302,
                headers: vec![("location".to_owned(), "/keys".to_owned())],
                ..Answer::ok("")
            },
        ),
        (
            "the key set: it is not a JSON object (content-type text/html)",
            page("text/html; charset=utf-8", "<html>sign in</html>"),
        ),
        ("not a JSON object", document(&json!("x"))),
        ("no usable public key", document(&json!({"keys": []}))),
        (
            "too_large",
            Answer {
                body: vec![b' '; 2 << 20],
                ..document(&json!({}))
            },
        ),
        (
            "timeout",
            Answer {
                delay: Duration::from_secs(8),
                ..document(&good)
            },
        ),
    ];
    for (why, answer) in answers {
        let provider = Provider::new();
        provider.answers(move |_| answer.clone());
        let scene = Scene::by_url(&provider.upstream.url());
        let gateway = scene.start();
        assert_eq!(open(&gateway), 200, "{why}");
        let (status, body) = shown(&gateway, &token);
        assert_eq!(status, 503, "{why}: {body}");
        assert!(body.contains("keys_unavailable"), "{why}: {body}");
        reported(&gateway, |set| set["failure"].to_string().contains(why));
        assert!(fetches(&gateway, "failed") >= 1.0);
    }
}

#[test]
fn key_set_is_read_whatever_its_type() {
    let key = RsaKey::new();
    for kind in ["text/plain", "application/octet-stream"] {
        let (provider, good) = (Provider::new(), set(&[("a", &key)]).to_string());
        let kind = kind.to_owned();
        provider.answers(move |_| page(&kind, &good));
        let scene = Scene::by_url(&provider.upstream.url());
        let gateway = scene.start();
        assert_eq!(shown(&gateway, &token("tests", "a", &key)).0, 200);
        // The output of `gwd status` contains the source, the number of keys and the age of the key
        // set.
        reported(&gateway, |set| set["keys"] == 1);
        let status = status_of(&gateway);
        let keys = format!("key set    {}/keys 1 key, ", provider.upstream.url());
        assert!(status.contains(&keys), "{status}");
        assert!(!status.contains("failed"), "{status}");
    }
}

/// Runs `gwd status` and returns its output.
fn status_of(gateway: &Gateway) -> String {
    let admin = format!("unix:{}", gateway.admin().display());
    let mut command = std::process::Command::new(binaries::gwd());
    let ended = Ended::of(command.args(["status", "--admin", &admin]));
    ended.succeeds().stdout.clone()
}

#[test]
fn each_change_of_a_failure_is_logged() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    provider.answers(|_| status(500));
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    let token = token("tests", "a", &key);
    let logged = |what: &str| {
        wait::until("the line in the log", || {
            let status = shown(&gateway, &token).0;
            gateway.log().contains(what).then_some(status)
        })
    };
    assert_eq!(logged("/keys: status 500"), 503);
    reported(&gateway, |set| set["failure"].is_string());
    let text = status_of(&gateway);
    assert!(text.contains("the last fetch failed"), "{text}");
    assert!(text.contains("/keys: status 500"), "{text}");
    provider.answers(|_| page("text/html", "<html>"));
    assert_eq!(logged("content-type text/html"), 503);
    provider.has(&[("a", &key)]);
    logged("keys can be fetched again");
    let log = gateway.log();
    let failures = log.matches("keys cannot be fetched").count();
    assert_eq!(failures, 2, "{log}");
}

#[test]
fn provider_that_returns_is_found_without_a_restart() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    provider.answers(|_| status(500));
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    let token = token("tests", "a", &key);
    assert_eq!(shown(&gateway, &token).0, 503);
    provider.has(&[("a", &key)]);
    wait::until("the keys are there", || {
        (shown(&gateway, &token).0 == 200).then_some(())
    });
}

#[test]
fn gateway_starts_with_the_copy_without_the_provider() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    provider.has(&[("a", &key)]);
    let scene = Scene::by_url(&provider.upstream.url());
    let token = token("tests", "a", &key);
    let mut gateway = scene.start();
    assert_eq!(shown(&gateway, &token).0, 200);
    let folder = scene.project.path("state/key-sets");
    wait::until("the copy is written", || {
        folder
            .read_dir()
            .is_ok_and(|mut all| all.next().is_some())
            .then_some(())
    });
    assert_eq!(gateway.stop(), Some(0));
    drop(provider);
    let gateway = scene.start();
    assert_eq!(shown(&gateway, &token).0, 200);
}

#[test]
fn provider_that_is_gone_at_the_first_start_is_503() {
    let key = RsaKey::new();
    let scene = Scene::by_url(&format!("http://127.0.0.1:{}", free_port()));
    let gateway = scene.start();
    assert_eq!(shown(&gateway, &token("tests", "a", &key)).0, 503);
    assert_eq!(open(&gateway), 200);
    let ready = gateway.admin_ask("GET", "/readyz", &Value::Null).json();
    assert_eq!(ready["checks"]["key_sets"][0]["status"], "warn", "{ready}");
}

#[test]
fn fetch_outlives_the_request_that_began_it() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    let scene = Scene::by_url(&provider.upstream.url());
    // The fetch before the start fails, so that the next request starts a new fetch.
    let gateway = scene.start();
    let _before = provider.upstream.take();
    let set = set(&[("a", &key)]);
    provider.answers(move |_| Answer {
        delay: Duration::from_millis(500),
        ..document(&set)
    });
    let token = token("tests", "a", &key);
    wait::until("a fetch is allowed", || {
        let late = gateway.ask(&format!(
            "POST /secured HTTP/1.1\nhost: h\nauthorization: Bearer {token}\n\
             content-type: application/grpc\ngrpc-timeout: 50m\ncontent-length: 0"
        ));
        (late.header("grpc-status") == Some("4")).then_some(())
    });
    assert_eq!(shown(&gateway, &token).0, 200);
    assert_eq!(provider.upstream.take().len(), 1, "the same fetch");
    assert_eq!(fetches(&gateway, "failed"), 1.0);
}

#[test]
fn requests_of_all_workers_wait_for_one_fetch() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let scene = Scene::by_url(&provider.upstream.url());
    // The fetch before the start fails, so that the next request starts a new fetch.
    let gateway = scene.start();
    let _before = provider.upstream.take();
    let (now, peak, set) = (Arc::clone(&at_once), Arc::clone(&most), set(&[("a", &key)]));
    provider.answers(move |_| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let answer = document(&set);
        now.fetch_sub(1, Ordering::SeqCst);
        Answer {
            delay: Duration::from_millis(300),
            ..answer
        }
    });
    let request = format!(
        "GET /secured HTTP/1.1\nhost: h\nauthorization: Bearer {}",
        token("tests", "a", &key)
    );
    let address = gateway.address();
    wait::until("a fetch is allowed", || {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                let request = request.clone();
                std::thread::spawn(move || {
                    let mut client = e2e::client::Connection::open(address).expect("gwd accepts");
                    client.ask(&request).expect("an answer").status
                })
            })
            .collect();
        let clients = clients.into_iter();
        let statuses: Vec<u16> = clients
            .map(|client| client.join().expect("no panic"))
            .collect();
        statuses.iter().all(|status| *status == 200).then_some(())
    });
    assert_eq!(provider.upstream.take().len(), 1);
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn route_depends_on_keys_until_they_are_assumed() {
    let key = RsaKey::new();
    let scene = Scene::by_url("https://idp.example");
    let field = format!("authorization: Bearer {}", token("tests", "a", &key));
    let route = |more: &[&str]| {
        let all = ["route", "GET", "/secured", "-H", &field, "--format", "json"];
        scene
            .project
            .gwc(&[&all[..], more].concat())
            .succeeds()
            .json()
    };
    assert_eq!(route(&[])["decision"], "depends");
    for (answer, decision, status) in [
        ("valid", "forward", None),
        ("forged", "reject", Some(401)),
        ("outage", "reject", Some(503)),
    ] {
        let result = route(&["--assume", &format!("idp={answer}")]);
        assert_eq!(result["decision"], decision, "{answer}");
        assert_eq!(result["status"].as_u64(), status, "{answer}");
    }
}

/// The provider sends one byte per second, 100 MB in chunks, an incomplete body, or an endless
/// head. Requests without a token must not wait.
#[test]
fn provider_that_drips_or_floods_stalls_no_other() {
    let breaks: Body = |stream| stream.write_all(b"content-length: 1000\r\n\r\n{\"keys\": [");
    let endless: Body = |stream| loop {
        stream.write_all(b"x: y\r\n")?;
        std::thread::sleep(Duration::from_millis(200));
    };
    let key = RsaKey::new();
    let token = token("tests", "a", &key);
    for (name, body) in [
        ("drips", drips as Body),
        ("floods", floods),
        ("breaks", breaks),
        ("endless", endless),
    ] {
        let scene = Scene::by_url(&serve(body));
        let gateway = scene.start();
        let memory = gateway.memory_bytes();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shown(&gateway, &token));
            // Requests without a token do not wait for the provider.
            for _ in 0..20 {
                let began = std::time::Instant::now();
                assert_eq!(open(&gateway), 200, "{name}");
                assert!(began.elapsed() < Duration::from_secs(2), "{name}");
            }
            let (status, body) = waiting.join().expect("no panic");
            assert_eq!(status, 503, "{name}: {body}");
            assert!(body.contains("keys_unavailable"), "{name}: {body}");
        });
        let report = reported(&gateway, |set| set["failure"].is_string());
        assert_eq!(report["keys"], 0, "{name}: {report}");
        let grown = gateway.memory_bytes().saturating_sub(memory);
        assert!(grown < 32 << 20, "{name}: {grown} bytes more");
    }
}

#[test]
fn rollback_does_not_wait_for_a_hanging_provider() {
    let (provider, key) = (Provider::new(), RsaKey::new());
    let set = set(&[("a", &key)]);
    provider.answers(move |_| document(&set));
    let scene = Scene::by_url(&provider.upstream.url());
    let gateway = scene.start();
    let token = token("tests", "a", &key);
    assert_eq!(shown(&gateway, &token).0, 200);
    // The second version fetches its keys from another URL, so the first version stops fetching
    // keys.
    let text = String::from_utf8(scene.project.read("gateway.yaml")).expect("text");
    scene
        .project
        .write("gateway.yaml", text.replace("/keys\"", "/others\""));
    let second = scene.project.apply();
    gateway.notify();
    gateway.wait_bundle(&second);
    assert_eq!(shown(&gateway, &token).0, 200);
    provider.answers(|_| Answer {
        delay: Duration::from_secs(30),
        ..status(500)
    });
    let admin = format!("unix:{}", gateway.admin().display());
    let began = std::time::Instant::now();
    let mut command = std::process::Command::new(binaries::gwd());
    Ended::of(command.args(["rollback", "--admin", &admin])).succeeds();
    assert_eq!(shown(&gateway, &token).0, 200);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_ne!(gateway.status()["bundle"], second);
}
