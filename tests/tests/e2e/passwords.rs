//! Tests of passwords with argon2id hashes: admitted users, the cache, and a flood of wrong
//! passwords that must not delay other requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

/// Password hash, from `printf %s 'open sesame' | argon2 saltsalt -id -k 7168 -t 1 -p 1 -e`.
const SESAME: &str =
    "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$XmHe4YTGjByNV82+uKdjKgxks2mo39jqBGxKaFKoIhs";
/// Password hash, from `printf %s 'second word' | argon2 saltsalt -id -k 7168 -t 1 -p 1 -e`.
const SECOND: &str =
    "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$OjCu/Ra38mQD3qMPwDG45sgk9/8C4EGXylhzlI7hReU";
/// Password hash, from `printf %s 'slow word' | argon2 saltsalt -id -k 65536 -t 10 -p 1 -e`.
const SLOW: &str =
    "$argon2id$v=19$m=65536,t=10,p=1$c2FsdHNhbHQ$UrHxcsqamq9qXqajlGVW7I5hNgEQNeKIU2VfpEI1X3U";
/// Password hash, from `printf %s 'steady word' | argon2 saltsalt -id -k 65536 -t 2 -p 1 -e`.
pub(crate) const STEADY: &str =
    "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHQ$LqYouA9tU5TWnG49jpVTVypvFP6cy1V9Ag8GJ/tnz+U";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    staff: {type: http, scheme: basic, x-gateway: {auth: staff}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
paths:
  /a: {get: {operationId: a, security: [{staff: []}], responses: {"200": {description: ok}}}}
  /k: {get: {operationId: k, security: [{key: []}], responses: {"200": {description: ok}}}}
  /short: {get: {operationId: short, security: [{staff: []}], x-gateway: {timeout: 50ms}, responses: {"200": {description: ok}}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
"#;

struct Scene {
    project: Project,
    gateway: Gateway,
    main: Upstream,
}

impl Scene {
    fn new() -> Self {
        let main = Upstream::start();
        let hash = |text: &str| {
            let output = std::process::Command::new("sha256sum")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .and_then(|mut child| {
                    use std::io::Write as _;
                    child
                        .stdin
                        .take()
                        .expect("piped")
                        .write_all(text.as_bytes())?;
                    child.wait_with_output()
                });
            let output = output.expect("sha256sum runs");
            String::from_utf8_lossy(&output.stdout)[..64].to_owned()
        };
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             auth: {{staff: {{kind: basic}}, keys: {{kind: api_key}}}}\n\
             consumers:\n  \
               alice: {{basic: [{{user: alice, argon2id: \"{SESAME}\"}}, {{user: alice, argon2id: \"{SECOND}\"}}]}}\n  \
               bob: {{basic: [{{user: bob, argon2id: \"{SLOW}\"}}, {{sha256: {}}}], keys: [{{sha256: {}}}]}}\n  \
               carol: {{basic: [{{user: carol, argon2id: \"{SESAME}\", not_after: 2020-01-01}}]}}\n  \
               dave: {{basic: [{{user: dave, argon2id: \"{STEADY}\"}}]}}\n\
             defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
            main.url(),
            hash("bob:generated"),
            hash("k-bob"),
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        Self {
            gateway: Options::of(&project).start(),
            project,
            main,
        }
    }

    fn login(&self, pair: &str) -> (u16, String) {
        self.login_at("/a", pair)
    }

    fn login_at(&self, path: &str, pair: &str) -> (u16, String) {
        let pair = STANDARD.encode(pair);
        let request = format!("GET {path} HTTP/1.1\nhost: h\nauthorization: Basic {pair}");
        let response = self.gateway.ask(&request);
        (response.status, response.text())
    }

    fn policy_calls(&self, outcome: &str) -> f64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let labels = ["kind=\"password\"", outcome.as_str()];
        self.gateway
            .metrics()
            .sum("gwd_policy_calls_total", &labels)
    }
}

#[test]
fn right_passwords_admit_and_wrong_ones_are_401() {
    let scene = Scene::new();
    assert_eq!(scene.login("alice:open sesame").0, 200);
    let seen = scene.main.take();
    assert_eq!(seen[0].header("x-consumer-name"), Some("alice"));
    assert_eq!(scene.login("alice:second word").0, 200);
    assert_eq!(scene.login("bob:generated").0, 200);
    assert_eq!(scene.main.take().len(), 2);
    let long = format!("alice:{}", "a".repeat(2_000));
    for pair in [
        "alice:open sesam",
        "alice:",
        "Alice:open sesame",
        "alice:open sesame ",
        "bob:open sesame",
        "nobody:open sesame",
        ":open sesame",
        "carol:open sesame",
        &format!("alice:{SESAME}"),
        &long,
        "alice",
    ] {
        let (status, body) = scene.login(pair);
        assert_eq!(status, 401, "{pair}: {body}");
        assert!(body.contains("credential_invalid"), "{pair}: {body}");
    }
    assert!(scene.main.take().is_empty());
}

#[test]
fn check_slower_than_the_timeout_is_503() {
    let scene = Scene::new();
    let (status, body) = scene.login_at("/short", "bob:slow word");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("password_check_unavailable"), "{body}");
    assert!(scene.main.take().is_empty());
    wait::until("counted", || {
        (scene.policy_calls("timeout") >= 1.0).then_some(())
    });
    // The time limit applies only to passwords that need an argon2id check.
    assert_eq!(scene.login_at("/short", "bob:generated").0, 200);
}

#[test]
fn passwords_are_remembered_for_a_while() {
    let scene = Scene::new();
    for _ in 0..3 {
        assert_eq!(scene.login("alice:open sesame").0, 200);
    }
    wait::until("counted", || {
        (scene.policy_calls("kept") >= 2.0).then_some(())
    });
    assert_eq!(scene.policy_calls("answered"), 1.0);
    // The first login with a wrong password computes both hashes of `alice`. Later logins use the
    // cached results.
    for _ in 0..3 {
        assert_eq!(scene.login("alice:no").0, 401);
    }
    wait::until("counted", || {
        (scene.policy_calls("kept") >= 6.0).then_some(())
    });
    assert_eq!(scene.policy_calls("answered"), 3.0);
    // The number of checked hashes must not reveal the user. An unknown user, an expired password
    // and a user with one password cost two hashes, like `alice`.
    for (number, user) in (1u8..).zip(["nobody", "carol", "bob"]) {
        assert_eq!(scene.login(&format!("{user}:no")).0, 401);
        wait::until("counted", || {
            (scene.policy_calls("answered") == 3.0 + 2.0 * f64::from(number)).then_some(())
        });
    }
}

#[test]
fn equal_wrong_passwords_at_once_are_one_check() {
    const EQUAL: u8 = 8;
    let scene = Scene::new();
    std::thread::scope(|scope| {
        for _ in 0..EQUAL {
            scope.spawn(|| assert_eq!(scene.login("bob:wrong").0, 401));
        }
    });
    // A wrong password costs two hashes. The other requests share their results: they wait for the
    // check, or find its result in the cache.
    let shared = || scene.policy_calls("joined") + scene.policy_calls("kept");
    wait::until("all results are counted", || {
        (shared() == 2.0 * f64::from(EQUAL - 1)).then_some(())
    });
    assert_eq!(scene.policy_calls("answered"), 2.0);
    assert!(scene.policy_calls("joined") >= f64::from(EQUAL - 1));
}

#[test]
fn check_outlives_the_client_that_caused_it() {
    // The check can end before the client disconnects. Then try again with another gateway.
    assert!((0..5).any(|_| first_client_leaves_during_its_check(&Scene::new())));
}

/// Sends equal passwords and disconnects the client whose request started the check. Requires that
/// the other requests get the result of this check. Returns false if the check ended before.
fn first_client_leaves_during_its_check(scene: &Scene) -> bool {
    const OTHERS: u8 = 4;
    const PAIR: &str = "dave:steady word";
    let wait_until_active = |count: u8| {
        wait::until("the requests are active", || {
            let metrics = scene.gateway.metrics();
            let active = metrics.sum("http_server_active_requests", &[]) == f64::from(count);
            (active || scene.policy_calls("answered") > 0.0).then_some(())
        });
    };
    let mut first = scene.gateway.connect();
    let pair = STANDARD.encode(PAIR);
    let request = format!("GET /a HTTP/1.1\r\nhost: h\r\nauthorization: Basic {pair}\r\n\r\n");
    first.send(request.as_bytes()).expect("gwd reads");
    wait_until_active(1);
    std::thread::scope(|scope| {
        for _ in 0..OTHERS {
            scope.spawn(|| {
                let (status, body) = scene.login(PAIR);
                assert_eq!(status, 200, "{body}");
            });
        }
        wait_until_active(1 + OTHERS);
        drop(first);
    });
    let lines = wait::until("the lines of all requests", || {
        let lines = scene.gateway.access_log().lines();
        (lines.len() == usize::from(1 + OTHERS)).then_some(lines)
    });
    assert_eq!(scene.policy_calls("answered"), 1.0);
    let has_left = lines.iter().any(|line| line["status"] == 499);
    if has_left {
        let shared = scene.policy_calls("joined") + scene.policy_calls("kept");
        assert_eq!(shared, f64::from(OTHERS));
    }
    has_left
}

#[test]
fn flood_of_wrong_passwords_stops_no_other_request() {
    let scene = Scene::new();
    assert_eq!(scene.login("alice:open sesame").0, 200);
    let ended = AtomicUsize::new(0);
    const FLOOD: usize = 24;
    std::thread::scope(|scope| {
        for number in 0..FLOOD {
            let (scene, ended) = (&scene, &ended);
            scope.spawn(move || {
                let (status, body) = scene.login(&format!("bob:wrong {number}"));
                // The status is 401 after the password check, or 503 after five seconds in the
                // queue.
                assert!(status == 401 || status == 503, "{status} {body}");
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        wait::until("the flood is there", || {
            let open = scene.gateway.metrics();
            let open = open.sum("gwd_downstream_connections", &[]);
            (open >= FLOOD as f64).then_some(())
        });
        // During the flood, all workers serve requests that need no slow hash.
        for _ in 0..20 {
            assert_eq!(scene.gateway.ask("GET /open HTTP/1.1\nhost: h").status, 200);
            let key = "GET /k HTTP/1.1\nhost: h\nx-key: k-bob";
            assert_eq!(scene.gateway.ask(key).status, 200);
            assert_eq!(scene.login("alice:open sesame").0, 200);
            assert_eq!(scene.login("bob:generated").0, 200);
        }
        let ended = ended.load(Ordering::SeqCst);
        assert!(ended < FLOOD, "the flood ended first");
    });
}

#[test]
fn line_of_one_address_is_bounded() {
    let scene = Scene::new();
    const FLOOD: usize = 80;
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..FLOOD {
            let (scene, refused) = (&scene, &refused);
            scope.spawn(move || {
                let (status, body) = scene.login(&format!("bob:wrong {number}"));
                if status == 503 {
                    assert!(body.contains("password_check_unavailable"), "{body}");
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(refused.load(Ordering::SeqCst) >= FLOOD - 32 - 8);
    assert!(scene.policy_calls("overflow") >= 1.0);
    // Once the queue is empty, gwd checks passwords again.
    wait::until("checked", || {
        (scene.login("alice:open sesame").0 == 200).then_some(())
    });
}

#[test]
fn revoked_password_is_refused_though_it_was_checked() {
    let scene = Scene::new();
    assert_eq!(scene.login("alice:open sesame").0, 200);
    let output = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" | sha256sum", "sh"])
        .arg(format!("alice:{SESAME}"))
        .output()
        .expect("sh runs");
    let hash = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
    let revoke = [
        "revoke",
        "--credential",
        &hash,
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    scene.project.gwc(&revoke).succeeds();
    scene.gateway.notify();
    assert_eq!(scene.login("alice:open sesame").0, 401);
    assert_eq!(scene.login("alice:second word").0, 200);
}

#[test]
fn route_checks_passwords_as_gwd_does() {
    let scene = Scene::new();
    let decision = |pair: &str| {
        let field = format!("Authorization: Basic {}", STANDARD.encode(pair));
        let route = ["route", "GET", "/a", "--format", "json", "-H", &field];
        let result = scene.project.gwc(&route).succeeds().json();
        (result["decision"].clone(), result["consumer"].clone())
    };
    assert_eq!(decision("alice:open sesame").0, "forward");
    assert_eq!(decision("alice:open sesame").1, "alice");
    assert_eq!(decision("alice:wrong").0, "reject");
}

#[test]
fn passwords_are_not_disclosed() {
    let scene = Scene::new();
    assert_eq!(scene.login("alice:open sesame").0, 200);
    assert_eq!(scene.login("alice:planted word").0, 401);
    let log = scene.gateway.access_log();
    wait::until("the lines", || (log.lines().len() == 2).then_some(()));
    for text in [
        format!("{:?}", log.lines()),
        scene.gateway.log(),
        scene.gateway.metrics().0,
        scene.gateway.status().to_string(),
    ] {
        for secret in ["sesame", "planted", "$argon2id"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
