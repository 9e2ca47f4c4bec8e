//! Tests of tokens that are signed with expensive keys (ES384, RSA with 4,096 bits). gwd verifies
//! such signatures on separate threads, so that a flood of tokens blocks no other request.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::gateway::{Gateway, Options};
use e2e::openssl::{P384Key, RsaKey};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::{Value, json};

use crate::passwords::STEADY;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    token: {type: http, scheme: bearer, x-gateway: {auth: idp}}
    staff: {type: http, scheme: basic, x-gateway: {auth: staff}}
paths:
  /secured: {get: {operationId: secured, security: [{token: []}], responses: {"200": {description: ok}}}}
  /staff: {get: {operationId: staff, security: [{staff: []}], responses: {"200": {description: ok}}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
"#;

struct Scene {
    project: Project,
    gateway: Gateway,
    p384: P384Key,
    large: RsaKey,
    small: RsaKey,
    _main: Upstream,
}

impl Scene {
    fn new() -> Self {
        Self::with(|options| options)
    }

    /// Creates the scene. The function changes the options of the gateway.
    fn with(edit: fn(Options) -> Options) -> Self {
        let main = Upstream::start();
        let (p384, large, small) = (P384Key::new(), RsaKey::of_bits(4_096), RsaKey::new());
        let [x, y] = p384.point();
        let rsa = |kid: &str, key: &RsaKey| json!({"kty": "RSA", "kid": kid, "n": key.modulus(), "e": "AQAB"});
        let keys = json!({"keys": [
            {"kty": "EC", "crv": "P-384", "kid": "p384", "x": x, "y": y},
            rsa("large", &large),
            rsa("small", &small),
        ]});
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             auth: {{idp: {{kind: jwt, issuer: tests, audience: [orders], algorithms: [ES384, RS256], jwks_file: keys.json}}, staff: {{kind: basic}}}}\n\
             consumers: {{bob: {{basic: [{{user: bob, argon2id: \"{STEADY}\"}}]}}}}\n\
             defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
            main.url()
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.write("keys.json", keys.to_string());
        project.keygen();
        project.apply();
        Self {
            gateway: edit(Options::of(&project)).start(),
            project,
            p384,
            large,
            small,
            _main: main,
        }
    }

    /// Token for `subject`, signed with the key `kid` and valid for an hour.
    fn token(&self, kid: &str, subject: &str) -> String {
        let signed = signed_part(kid, subject);
        let bytes = match kid {
            "p384" => self.p384.sign(signed.as_bytes()),
            "large" => self.large.sign(signed.as_bytes()),
            _ => self.small.sign(signed.as_bytes()),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    fn shown(&self, token: &str) -> (u16, String) {
        let request = format!("GET /secured HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
        let response = self.gateway.ask(&request);
        (response.status, response.text())
    }

    fn checks(&self, outcome: &str) -> f64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let labels = ["kind=\"signature\"", outcome.as_str()];
        self.gateway
            .metrics()
            .sum("gwd_policy_calls_total", &labels)
    }
}

fn signed_part(kid: &str, subject: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970");
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let algorithm = if kid == "p384" { "ES384" } else { "RS256" };
    let head = part(json!({"alg": algorithm, "typ": "JWT", "kid": kid}));
    let claims =
        json!({"iss": "tests", "aud": "orders", "sub": subject, "exp": now.as_secs() + 3_600});
    format!("{head}.{}", part(claims))
}

/// Token that names the P-384 key and has a wrong signature.
fn forged(number: usize) -> String {
    let signed = signed_part("p384", &format!("forged-{number}"));
    // Both numbers of the signature are 2, so that the whole verification is computed.
    let mut signature = [0; 96];
    (signature[47], signature[95]) = (2, 2);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn tokens_of_expensive_keys_are_verified_elsewhere() {
    let scene = Scene::new();
    assert_eq!(scene.shown(&scene.token("small", "alice")).0, 200);
    assert_eq!(scene.shown(&forged(0)).0, 401);
    for kid in ["p384", "large"] {
        let token = scene.token(kid, "alice");
        let (status, body) = scene.shown(&token);
        assert_eq!(status, 200, "{kid}: {body}");
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        let (_, other) = scene
            .token(kid, "bob")
            .rsplit_once('.')
            .map(|(signed, signature)| (signed.to_owned(), signature.to_owned()))
            .expect("three parts");
        let (status, body) = scene.shown(&format!("{signed}.{other}"));
        assert_eq!(status, 401, "{kid}: {body}");
        assert!(body.contains("token_invalid"), "{kid}: {body}");
    }
    // gwd verifies the 2,048-bit key on the worker, so `answered` does not count its tokens.
    wait::until("counted", || {
        (scene.checks("answered") == 5.0).then_some(())
    });
}

/// A password check occupies the only thread for computations, so that the checks of the equal
/// tokens are in the queue at the same time.
#[test]
fn equal_expensive_signatures_at_once_are_one_check() {
    let scene = Scene::with(|options| options.workers(1));
    // The password check can end before the tokens arrive. Then try again with other tokens.
    let joined = (1..=10).any(|attempt: u8| {
        let token = scene.token("p384", &format!("alice-{attempt}"));
        let pair = STANDARD.encode(format!("bob:wrong {attempt}"));
        let request =
            format!("GET /staff HTTP/1.1\r\nhost: h\r\nauthorization: Basic {pair}\r\n\r\n");
        let mut staff = scene.gateway.connect();
        staff.send(request.as_bytes()).expect("gwd reads");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(scene.shown(&token).0, 200));
            }
        });
        assert_eq!(staff.read_response(false).expect("a response").status, 401);
        assert_eq!(scene.checks("answered"), f64::from(attempt));
        scene.checks("joined") > 0.0
    });
    assert!(joined, "no request shared the check of another one");
}

#[test]
fn route_verifies_expensive_keys_as_gwd_does() {
    let scene = Scene::new();
    for (token, expected) in [
        (scene.token("p384", "alice"), "forward"),
        (scene.token("large", "alice"), "forward"),
        (forged(0), "reject"),
    ] {
        let field = format!("Authorization: Bearer {token}");
        let route = ["route", "GET", "/secured", "--format", "json", "-H", &field];
        let decision = scene.project.gwc(&route).succeeds().json();
        assert_eq!(decision["decision"], expected);
    }
}

#[test]
fn flood_of_forged_tokens_stops_no_other_request() {
    let scene = Scene::new();
    let (small, valid) = (scene.token("small", "alice"), scene.token("p384", "alice"));
    assert_eq!(scene.shown(&valid).0, 200);
    let (sent, ends) = (AtomicUsize::new(0), AtomicBool::new(false));
    const CLIENTS: usize = 16;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (scene, sent, ends) = (&scene, &sent, &ends);
            scope.spawn(move || {
                let mut connection = scene.gateway.connect();
                let mut number = client;
                while !ends.load(Ordering::SeqCst) {
                    let token = forged(number);
                    let request =
                        format!("GET /secured HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
                    let response = connection.ask(&request).expect("a response");
                    // The status is 401 after a check of the signature, and 503 if the queue is
                    // full.
                    let status = response.status;
                    assert!(status == 401 || status == 503, "{status}");
                    if status == 503 {
                        let body = response.text();
                        assert!(body.contains("signature_check_unavailable"), "{body}");
                    }
                    sent.fetch_add(1, Ordering::SeqCst);
                    number += CLIENTS;
                }
            });
        }
        wait::until("the flood is there", || {
            (sent.load(Ordering::SeqCst) > 4 * CLIENTS).then_some(())
        });
        for _ in 0..20 {
            assert_eq!(scene.gateway.ask("GET /open HTTP/1.1\nhost: h").status, 200);
            assert_eq!(scene.shown(&small).0, 200);
            assert_eq!(scene.shown(&valid).0, 200);
        }
        ends.store(true, Ordering::SeqCst);
    });
    assert!(scene.checks("answered") > 1.0);
    // After the flood, a new token of an expensive key is verified.
    assert_eq!(scene.shown(&scene.token("p384", "bob")).0, 200);
}
