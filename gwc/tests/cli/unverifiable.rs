//! Tests of `gwc route` and `gwc test` with credentials that only the owner of a secret can verify:
//! HS256 tokens, nonces of DPoP proofs, signatures of requests, login sessions. gwc has no secrets,
//! so the decision is `depends`, unless the credential is certainly invalid.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::project::Project;
use crate::route::{ask, explained};

const GATEWAY: &str = r#"
version: 1
name: s
apis: {s: {path: s.yaml}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9"}}}}
auth:
  shared: {kind: jwt, issuer: "https://i.example", audience: [orders], algorithms: [HS256], secret: "${env:GWS_A}"}
  signed: {kind: hmac_signature, secrets: {acme: "${env:GWS_B}"}, nonce: optional}
  ali: {kind: hmac_signature, style: aliyun, secrets: {acme: "${env:GWS_C}"}, nonce: optional}
  tc: {kind: hmac_signature, style: tencent, secrets: {acme: "${env:GWS_D}"}}
  bound: {kind: dpop, token: shared, nonce: true}
  login: {kind: oidc, issuer: "https://i.example", client_id: c, client_secret: "${env:GWS_E}", redirect_path: /cb, scopes: [openid, read], session: {secret: "${env:GWS_F}", cookie: __Host-s}}
consumers: {acme: {}}
defaults: {upstream: u}
"#;

const DOCUMENT: &str = r#"
openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    shared: {type: http, scheme: bearer, x-gateway: {auth: shared}}
    bound: {type: http, scheme: dpop, x-gateway: {auth: bound}}
    signed: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed}}
    ali: {type: apiKey, in: header, name: X-Ca-Signature, x-gateway: {auth: ali}}
    tc: {type: http, scheme: hmac, x-gateway: {auth: tc}}
    login: {type: openIdConnect, openIdConnectUrl: "https://i.example/.well-known/openid-configuration", x-gateway: {auth: login}}
paths:
  /shared: {get: {operationId: shared, security: [{shared: []}], responses: {}}}
  /bound: {get: {operationId: bound, security: [{bound: []}], responses: {}}}
  /signed: {get: {operationId: signed, security: [{signed: []}], responses: {}}}
  /ali: {get: {operationId: ali, security: [{ali: []}], responses: {}}}
  /tc: {get: {operationId: tc, security: [{tc: []}], responses: {}}}
  /login: {get: {operationId: login, security: [{login: [read]}], responses: {}}}
"#;

fn project() -> Project {
    let project = Project::bare();
    project.write("gateway.yaml", GATEWAY);
    project.write("s.yaml", DOCUMENT);
    project
}

fn now_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is right").as_secs()
}

/// Token with this algorithm, expiry time and signature.
fn token(algorithm: &str, expires_s: u64, signature: &[u8]) -> String {
    let header = format!(r#"{{"alg":"{algorithm}"}}"#);
    let claims =
        format!(r#"{{"iss":"https://i.example","aud":"orders","sub":"a","exp":{expires_s}}}"#);
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (part(header.as_bytes()), part(claims.as_bytes()));
    format!(
        "Authorization: Bearer {header}.{claims}.{}",
        part(signature)
    )
}

/// Base64 of a MAC that differs from the MACs of all secrets in the tests.
fn mac() -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest("any"))
}

/// Header fields with the signature of a request (RFC 9421). `key_id`: id of the key; `created_s`:
/// time of the signature.
fn signed(key_id: &str, created_s: u64) -> [String; 2] {
    let covered = r#"("@method" "@authority" "@target-uri")"#;
    [
        format!(
            r#"Signature-Input: sig={covered};created={created_s};keyid="{key_id}";alg="hmac-sha256""#
        ),
        format!("Signature: sig=:{}:", mac()),
    ]
}

fn ali(key_id: &str, created_s: u64) -> [String; 4] {
    [
        format!("X-Ca-Key: {key_id}"),
        format!("X-Ca-Timestamp: {created_s}000"),
        "X-Ca-Signature-Headers: X-Ca-Timestamp,X-Ca-Key".to_owned(),
        format!("X-Ca-Signature: {}", mac()),
    ]
}

fn tc(key_id: &str, date: &str) -> [String; 2] {
    let mac = mac();
    [
        format!("X-Date: {date}"),
        format!(
            r#"Authorization: hmac id="{key_id}", algorithm="hmac-sha256", headers="x-date", signature="{mac}""#
        ),
    ]
}

/// Session cookie with this many sealed bytes.
fn session(bytes: usize) -> String {
    format!(
        "Cookie: __Host-s=1.{}",
        URL_SAFE_NO_PAD.encode(vec![7; bytes])
    )
}

/// Header fields with a token and its DPoP proof, which has this nonce.
fn bound(nonce: Option<&str>) -> [String; 2] {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let rng = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng);
    let pkcs8 = pkcs8.expect("a key is made");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref());
    let key = key.expect("the key is valid");
    // The public key is 0x04, x and y.
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let jkt = URL_SAFE_NO_PAD.encode(Sha256::digest(&jwk));
    let expires_s = now_s() + 600;
    let claims = format!(
        r#"{{"iss":"https://i.example","aud":"orders","sub":"a","exp":{expires_s},"cnf":{{"jkt":"{jkt}"}}}}"#
    );
    let mac = URL_SAFE_NO_PAD.encode(Sha256::digest("any"));
    let token = format!("{}.{}.{mac}", part(r#"{"alg":"HS256"}"#), part(&claims));
    let mut proof = json!({
        "jti": "1",
        "htm": "GET",
        "htu": "http://shop.example/bound",
        "iat": now_s(),
        "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(&token)),
    });
    if let Some(nonce) = nonce {
        proof["nonce"] = nonce.into();
    }
    let header = part(&format!(
        r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{jwk}}}"#
    ));
    let signed = format!("{header}.{}", part(&proof.to_string()));
    let signature = key.sign(&rng, signed.as_bytes()).expect("it is signed");
    let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
    [
        format!("Authorization: DPoP {token}"),
        format!("DPoP: {signed}.{signature}"),
    ]
}

/// Nonce as gateways make it: the time, and a hash of another secret.
fn nonce(made_s: u64) -> String {
    URL_SAFE_NO_PAD.encode([&made_s.to_be_bytes()[..], &[7; 16]].concat())
}

fn decided(project: &Project, path: &str, fields: &[String], more: &[&str]) -> Value {
    let mut arguments = vec!["GET", path];
    for field in fields {
        arguments.extend(["-H", field]);
    }
    arguments.extend(more);
    explained(project, &arguments)
}

#[test]
fn credential_of_a_secret_depends_on_the_secret() {
    let project = project();
    let now = now_s();
    for (name, fields) in [
        (
            "shared",
            vec![token("HS256", now + 600, &Sha256::digest("any"))],
        ),
        ("signed", signed("acme", now).to_vec()),
        ("ali", ali("acme", now).to_vec()),
        ("tc", tc("acme", &http_date(now)).to_vec()),
        ("login", vec![session(200)]),
    ] {
        let path = format!("/{name}");
        let open = decided(&project, &path, &fields, &[]);
        assert_eq!(open["decision"], "depends", "{name}: {open}");
        let why = format!(
            "depends on a secret of `{name}` that only gateways have; assume one of them: \
`--assume {name}=valid`, `--assume {name}=forged`"
        );
        assert_eq!(open["why"], why.as_str());
        let with = |answer: &str| {
            let assumption = format!("{name}={answer}");
            let answer = decided(&project, &path, &fields, &["--assume", &assumption]);
            (answer["decision"].clone(), answer["status"].clone())
        };
        assert_eq!(with("valid"), (json!("forward"), Value::Null), "{name}");
        assert_eq!(with("forged"), (json!("reject"), json!(401)), "{name}");
    }
    let outage = ask(&project, &["GET", "/shared", "--assume", "shared=outage"]).with(64);
    outage.contains("`outage` is not an answer to `shared`");
    // An outage of the login's provider does not affect existing sessions.
    let more = ["--assume", "login=outage"];
    let open = decided(&project, "/login", &[session(200)], &more);
    assert_eq!(open["decision"], "depends");
}

#[test]
fn nonce_of_a_proof_depends_on_the_secret() {
    let project = project();
    let url = "http://shop.example/bound";
    let decided = |nonce: Option<&str>, more: &[&str]| {
        let more = [&["--assume", "shared=valid"], more].concat();
        let answer = decided(&project, url, &bound(nonce), &more);
        ["decision", "reason", "why"].map(|key| answer[key].clone())
    };
    let fresh = nonce(now_s());
    let [decision, _, why] = decided(Some(&fresh), &[]);
    let expected = "depends on a secret of `bound` that only gateways have; assume one of them: \
`--assume bound=valid`, `--assume bound=forged`";
    assert_eq!((decision, why), (json!("depends"), json!(expected)));
    let with = |answer: &str| decided(Some(&fresh), &["--assume", answer]);
    assert_eq!(with("bound=valid")[0], "forward");
    let required = json!("dpop_nonce_required");
    assert_eq!(with("bound=forged")[1], required);
    // Invalid with every secret.
    for nonce in [None, Some(nonce(now_s() - 61)), Some("abc".to_owned())] {
        let answer = decided(nonce.as_deref(), &["--assume", "bound=valid"]);
        assert_eq!(
            answer[..2],
            [json!("reject"), required.clone()],
            "{nonce:?}"
        );
    }
}

#[test]
fn certainly_invalid_credential_is_refused() {
    let project = project();
    let now = now_s();
    let any: &[u8] = &Sha256::digest("any");
    let expired = http_date(now - 3_600);
    for (path, fields) in [
        ("/shared", vec!["Authorization: Bearer nothing".to_owned()]),
        ("/shared", vec![token("HS384", now + 600, any)]),
        ("/shared", vec![token("none", now + 600, any)]),
        ("/shared", vec![token("HS256", now - 600, any)]),
        ("/shared", vec![token("HS256", now + 600, &any[1..])]),
        ("/signed", signed("other", now).to_vec()),
        ("/signed", signed("acme", now - 3_600).to_vec()),
        ("/signed", vec!["Signature: ?".to_owned()]),
        ("/ali", ali("other", now).to_vec()),
        ("/ali", ali("acme", now - 3_600).to_vec()),
        ("/tc", tc("other", &http_date(now)).to_vec()),
        ("/tc", tc("acme", &expired).to_vec()),
        ("/login", vec!["Cookie: __Host-s=1.AAAA".to_owned()]),
        ("/login", vec![session(28)]),
        ("/login", vec!["Cookie: __Host-s=2.AAAA".to_owned()]),
        ("/login", vec!["Cookie: __Host-s=valid".to_owned()]),
    ] {
        let answer = decided(&project, path, &fields, &[]);
        let found = (&answer["decision"], &answer["status"]);
        assert_eq!(found, (&json!("reject"), &json!(401)), "{path} {fields:?}");
    }
}

#[test]
fn browser_with_a_forged_session_logs_in_again() {
    let project = project();
    let page = [session(200), "Accept: text/html".to_owned()];
    let decision = |answer: &str| {
        let assumption = format!("login={answer}");
        let answer = decided(&project, "/login", &page, &["--assume", &assumption]);
        (answer["decision"].clone(), answer["status"].clone())
    };
    assert_eq!(decision("valid"), (json!("forward"), Value::Null));
    assert_eq!(decision("forged"), (json!("respond"), json!(303)));
}

#[test]
fn browser_without_a_session_is_sent_to_the_provider() {
    let project = project();
    let page = ["Accept: text/html".to_owned()];
    let decision = |more: &[&str]| {
        let answer = decided(&project, "/login", &page, more);
        let of = |key: &str| answer[key].clone();
        [of("decision"), of("status"), of("reason")]
    };
    let none = Value::Null;
    assert_eq!(decision(&[])[0], "depends");
    for (answer, expected) in [
        ("valid", [json!("respond"), json!(303), none.clone()]),
        ("forged", [json!("respond"), json!(303), none]),
        (
            "outage",
            [json!("reject"), json!(503), json!("login_unavailable")],
        ),
    ] {
        let assumption = format!("login={answer}");
        assert_eq!(decision(&["--assume", &assumption]), expected);
    }
    let with = |credential: &str| decision(&["--credential", credential])[0].clone();
    assert_eq!(with("login=valid"), "forward");
    // A client that is no browser is refused, because it cannot log in. The provider is called only
    // for a browser with a cookie of gwd.
    let script = decided(&project, "/login", &[], &["--credential", "login=forged"]);
    assert_eq!(script["reason"], "session_invalid");
    let end = decided(&project, "/cb?code=1&state=2", &page, &[]);
    assert_eq!(end["reason"], "login_failed");
}

#[test]
fn test_file_assumes_a_check_with_a_secret() {
    let project = project();
    let token = token("HS256", now_s() + 600, &Sha256::digest("any"));
    let token = token.trim_start_matches("Authorization: ");
    project.edit("gateway.yaml", "name: s\n", "name: s\ntests: [t.yaml]\n");
    let one = |name: &str, rest: &str| {
        format!(
            "- {{name: {name}, request: GET /shared, headers: {{Authorization: \"{token}\"}}, {rest}}}\n"
        )
    };
    let tests = [
        one("open", "expect: {decision: depends}"),
        one(
            "genuine",
            "assume: {shared: valid}, expect: {decision: forward}",
        ),
        one("forged", "assume: {shared: forged}, expect: {status: 401}"),
    ];
    project.write("t.yaml", tests.concat());
    project
        .run(&["test"])
        .with(0)
        .contains("3 passed, 0 failed");
}

/// Date for header fields (RFC 9110 §5.6.7).
fn http_date(unix_s: u64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(unix_s as i64).expect("it is a time");
    let format = &time::format_description::well_known::Rfc2822;
    time.format(format)
        .expect("it has a form")
        .replace("+0000", "GMT")
}
